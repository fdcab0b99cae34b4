"""What any rule and margin would drop, over candidates that are there already: no new search.

A rule asks for facts (scores, ranks, a guide's cosines); only they cost time. Here each fact is
made once for the whole list, when the first rule asks for it, and every further rule, margin or
threshold is arithmetic on arrays: a million candidates in well under a second.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, check_choice, check_count
from workbench.mine.facts import ListFacts, check_facts
from workbench.mine.filter import dropped_against, weighed
from workbench.mine.named import Scores
from workbench.types import Candidates, Collection, Vectors, Verdicts

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from workbench.rules import Rule
    from workbench.scores import Cells

CELLS = 1_000_000
"""(query, rank) cells that rules look at together."""


class WhatIf:
    """Rules tried on one mined list, each fact made once.

    Args:
        candidates: mined; weights that it has already stay and multiply.
        collection: where the labelled positives stand.
        guide: (query, document) vectors of a frozen model.
        known: the known-positive graph; None = that of the collection.
        verdicts: what people said.
        scores: name -> further scores, see `apply_rules`.

    Raises:
        BadArgument: scores do not fit.
        BadData: ids of these do not fit together.

    Example:
        >>> from workbench.data import from_rows
        >>> from workbench.mine import bm25
        >>> from workbench.rules import RankWindow
        >>> rows = [{"query": f"word {n}", "positive": f"word {n} said"} for n in range(4)]
        >>> what_if = WhatIf(bm25(from_rows(rows, name="demo")))
        >>> what_if.sweep(RankWindow(first=1), "first", [1, 2])["dropped"].tolist()
        [0, 4]

    Breaks when: the list is too short for what is asked: a margin that drops all of its k
    candidates needs a deeper search, which no arithmetic replaces (`short` says so).
    """

    def __init__(
        self,
        candidates: Candidates,
        *,
        collection: Collection | None = None,
        guide: tuple[Vectors, Vectors] | None = None,
        known: KnownPositives | None = None,
        verdicts: Verdicts | None = None,
        scores: Scores | None = None,
    ) -> None:
        self.candidates = candidates
        self._collection, self._guide = collection, guide
        self._known, self._verdicts, self._scores = known, verdicts, scores
        self._source = ListFacts(
            candidates,
            collection=collection,
            guide=guide,
            known=known,
            verdicts=verdicts,
            scores=scores,
        )
        self._made: dict[str, Tensor] = {}

    @property
    def memory(self) -> int:
        """Bytes of the facts made so far: 4 per candidate for a score, 1 for a yes or no."""
        return sum(fact.nbytes for fact in self._made.values())

    def __call__(self, rules: Sequence[Rule]) -> Candidates:
        """What `apply_rules` with these rules would give, without making a fact again.

        Raises:
            BadArgument: a rule lacks a fact.
        """
        self._check(rules)
        self._make({fact for rule in rules for fact in rule.needs})
        return weighed(self.candidates, rules, self._chunks())

    def sweep(
        self,
        rule: Rule,
        option: str,
        values: Sequence[object],
        *,
        also: Sequence[Rule] = (),
        num_negatives: int = 1,
        truth: NDArray[np.bool_] | None = None,
    ) -> pd.DataFrame:
        """One row per value of one option of a rule: what it would drop.

        Args:
            rule: with its other options.
            option: which one to vary, "margin" say.
            values: what to try.
            also: rules that act beside it, unchanged.
            num_negatives: a query that keeps fewer is short.
            truth: (query, rank) true where a candidate is in fact a positive, see
                `dropped_against`.

        Returns:
            The values under the option's name; `dropped` by all rules together, `dropped_share` of
            what was found, `kept`, `short` queries; with a truth also `precision` and `recall`.

        Raises:
            BadArgument: an unknown option, a value the rule refuses, or a rule that lacks a fact.
        """
        import pandas as pd

        check_count("num_negatives", num_negatives, mend="Try 5.")
        self._check([rule, *also])
        given: object = rule
        if not dataclasses.is_dataclass(given) or isinstance(given, type):
            wanted = "it must be a dataclass with options"
            raise BadArgument("rule", rule, wanted, "Write rules.Guide(margin=0.1).")
        options = [field.name for field in dataclasses.fields(given)]
        check_choice("option", option, options)
        base: Any = rule
        tried: list[Rule] = [dataclasses.replace(base, **{option: value}) for value in values]
        found = int((self.candidates.docs >= 0).sum())
        rows: list[dict[str, object]] = []
        for value, one in zip(values, tried, strict=True):
            result = self([one, *also])
            kept = (result.weight > 0).sum(axis=1)
            dropped = found - int(kept.sum())
            short = int((kept < num_negatives).sum())
            share = dropped / max(1, found)
            row = {"dropped": dropped, "dropped_share": share, "kept": found - dropped}
            rows.append({option: value, **row, "short": short})
            if truth is not None:
                agreement = dropped_against(result, truth)
                rows[-1] |= {name: agreement[name] for name in ("precision", "recall")}
        return pd.DataFrame(rows)

    def _check(self, rules: Sequence[Rule]) -> None:
        check_facts(
            rules,
            collection=self._collection,
            guide=self._guide,
            known=self._known,
            verdicts=self._verdicts,
            scores=self._scores,
        )

    def _make(self, wanted: set[str]) -> None:
        """Facts that are not there yet, in one pass, so that they share the gathered vectors."""
        import torch

        missing = sorted(wanted - self._made.keys())
        if not missing:
            return
        parts: dict[str, list[Tensor]] = {name: [] for name in missing}
        for _, cells in self._source.chunks():
            for name in missing:
                parts[name].append(cells[name])
        self._made |= {name: torch.cat(some) for name, some in parts.items()}

    def _chunks(self) -> Iterator[tuple[slice, Cells]]:
        from workbench.scores import Cells

        count, wide = self.candidates.docs.shape
        step = max(1, CELLS // max(1, wide))
        for start in range(0, count, step):
            rows = slice(start, min(start + step, count))
            facts = {name: fact[rows] for name, fact in self._made.items()}
            yield rows, Cells((rows.stop - rows.start, wide), {**facts})

    def __repr__(self) -> str:
        facts = ", ".join(sorted(self._made)) or "none yet"
        return f"WhatIf({self.candidates!r}, facts: {facts}, {self.memory / 2**20:.1f} MB)"
