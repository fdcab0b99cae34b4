"""WB109: texts whose end the encoder never reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from workbench.audit.checks._base import Example, Finding, check_share, finding, of
from workbench.audit.checks._given import Given
from workbench.errors import check_count
from workbench.registry import register


@register("check", "WB109")
@dataclass(frozen=True, kw_only=True)
class Truncation:
    """Texts of more tokens than the encoder's `max_length`, prompt and special tokens included.

    Args:
        sample: texts per side that are tokenised; more are drawn from at random and the count is
            an estimate: 20,000 give a share of 5 % within 0.3 points.
        most: share of texts tolerated; 0.05.
        seed: of the draw.

    Raises:
        BadArgument: an option out of range.

    Example:
        >>> Truncation(sample=1000).code
        'WB109'

    Breaks when: what matters stands at the beginning of each text anyway, as in news: then nothing
    is lost.
    """

    code: ClassVar[str] = "WB109"
    title: ClassVar[str] = "truncated texts"
    severity: ClassVar[str] = "warning"
    mend: ClassVar[str] = (
        "Raise the encoder's max_length, or cut long documents into passages before training."
    )
    sample: int = 20_000
    most: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("sample", self.sample, mend="Try 20000.")
        check_count("seed", self.seed, at_least=0, mend="Try 0.")
        check_share("most", self.most)

    def __call__(self, given: Given) -> Finding:
        """Look."""
        encoder = given.need(given.encoder, "encoder")
        if encoder.max_length is None:
            return finding(self, count=0, whole=0, says="the encoder has no limit")
        total, parts, examples = 0.0, [], list[Example]()
        drawn = False
        for side, name in (("doc", "documents"), ("query", "queries")):
            texts = given.doc_texts if side == "doc" else given.query_texts
            places = np.arange(len(texts))
            if len(texts) > self.sample:
                draw = np.random.default_rng(self.seed)
                places, drawn = np.sort(draw.choice(len(texts), self.sample, replace=False)), True
            places = places[[bool(texts[place].strip()) for place in places]]  # WB114's
            if not len(places):
                continue
            tokens = encoder.tokenize([texts[place] for place in places], side=side)
            cut = tokens.truncated * len(texts) / len(places)
            total += cut
            parts.append(of(round(cut), len(texts), name))
            full = places[tokens.lengths >= encoder.max_length]
            long = full[np.argsort([-len(texts[place]) for place in full], kind="stable")]
            long = long[: min(tokens.truncated, 5)]
            notes = [f"{len(texts[place]):,} characters" for place in long]
            shown = given.docs_shown if side == "doc" else given.queries_shown
            examples += shown(long, notes)
        whole = len(given.doc_texts) + len(given.query_texts)
        says = f"{' and '.join(parts)} are longer than {encoder.max_length:,} tokens"
        says += f", estimated from {self.sample:,} texts a side" if drawn else ""
        return finding(
            self, count=round(total), whole=whole, says=says, most=self.most, examples=examples
        )
