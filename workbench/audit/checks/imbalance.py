"""WB110: one source, or one writing system, drowns the others."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from workbench.audit.checks._base import Example, Finding, check_share, finding, of, short
from workbench.audit.checks._given import Given
from workbench.errors import check_number
from workbench.registry import register
from workbench.types import Collection, Ids

LETTERS = 400
"""Characters of a text that are looked at."""
AT_ONCE = 4096
JOINED = {"HIRAGANA": "JAPANESE", "KATAKANA": "JAPANESE", "CJK": "HAN", "FULLWIDTH": "LATIN"}


def script_of(letter: str) -> str:
    r"""The writing system of one character, "" for what belongs to none (digits, signs, space).

    Example:
        >>> [script_of(letter) for letter in "a\u0431\u6f227"]
        ['LATIN', 'CYRILLIC', 'HAN', '']
    """
    if not unicodedata.category(letter).startswith("L"):
        return ""
    word = unicodedata.name(letter, "").replace("-", " ").split(" ")[0]
    return JOINED.get(word, word)


def scripts(texts: Sequence[str]) -> Ids:
    r"""The writing system most letters of each text belong to, by its first 400 characters.

    Args:
        texts: any.

    Returns:
        (text,) names as Unicode gives them; "" for a text without letters.

    Example:
        >>> scripts(["add \u03b1 to it", "\u0434\u0430", "12"]).tolist()
        ['LATIN', 'CYRILLIC', '']

    Breaks when: languages share a script: English and French are both LATIN.
    """
    found = np.empty(len(texts), dtype=object)
    names: list[str] = [""]
    number_of = np.full(0x110000, -1, dtype=np.int16)
    for start in range(0, len(texts), AT_ONCE):
        cut = [text[:LETTERS] for text in texts[start : start + AT_ONCE]]
        raw = "".join(cut).encode("utf-32-le", "surrogatepass")
        codes = np.frombuffer(raw, dtype="<u4").astype(np.int64)
        owners = np.repeat(np.arange(len(cut)), [len(text) for text in cut])
        seen = np.flatnonzero(np.bincount(codes, minlength=1))
        for code in seen[number_of[seen] < 0].tolist():
            name = script_of(chr(code))
            if name not in names:
                names.append(name)
            number_of[code] = names.index(name)
        numbers = number_of[codes].astype(np.int64)
        wide = len(names)
        counts = np.bincount(owners * wide + numbers, minlength=len(cut) * wide)
        table = counts.reshape(len(cut), wide)
        table[:, 0] = 0
        best = np.where(table.any(axis=1), table.argmax(axis=1), 0)
        found[start : start + len(cut)] = np.array(names, dtype=object)[best]
    return found


def effective(shares: NDArray[np.float64]) -> float:
    """How many kinds of equal size are as uneven as these: exp of the entropy.

        exp(-sum p log p)

    Example:
        >>> round(effective(np.array([0.5, 0.5])), 3), round(effective(np.array([0.98, 0.02])), 3)
        (2.0, 1.103)
    """
    some = shares[shares > 0]
    return float(np.exp(-(some * np.log(some)).sum()))


@register("check", "WB110")
@dataclass(frozen=True, kw_only=True)
class Imbalance:
    """Labelled pairs of which nearly all come from one source, or are written in one script.

    Kinds below `trace` of all pairs are not counted as kinds: a stray name in Greek is no second
    language. The source and the script are those of the query.

    Args:
        largest: share of the largest kind beyond which the others drown; 0.9: in a batch of 64
            they have some 6 rows, and a negative of their own kind is rare.
        trace: share of pairs that makes a kind; 0.001.

    Raises:
        BadArgument: an option out of range.

    Example:
        >>> Imbalance(largest=0.8).code
        'WB110'

    Breaks when: the use is as uneven as the data: then it is no fault.
    """

    code: ClassVar[str] = "WB110"
    title: ClassVar[str] = "imbalance of sources or scripts"
    severity: ClassVar[str] = "note"
    mend: ClassVar[str] = (
        "Draw batches within one source (sample.Homogeneous) with the small ones more often, and "
        "read scores per source."
    )
    largest: float = 0.9
    trace: float = 0.001

    def __post_init__(self) -> None:
        check_number("largest", self.largest, above=0, at_most=1, mend="Try 0.9.")
        check_share("trace", self.trace)

    def __call__(self, given: Given) -> Finding:
        """Look."""
        rows = given.collection.pairs[:, 0]
        kinds = {"source": _sources(given.collection), "script": scripts(given.query_texts)}
        parts: list[str] = []
        examples: list[Example] = []
        drowned = np.zeros(len(rows), dtype=np.bool_)
        for what, column in kinds.items():
            names, numbers, counts = np.unique(
                column[rows].astype(str), return_inverse=True, return_counts=True
            )
            real = counts > self.trace * len(rows)
            if real.sum() < 2:
                parts.append(f"one {what}" + (f", {short(names[real][0])}" if real.any() else ""))
                continue
            top = int(counts.argmax())
            parts.append(
                f"{int(real.sum())} {what}s as uneven as {effective(counts / len(rows)):.1f} equal "
                f"ones, {of(int(counts[top]), len(rows), 'labelled pairs')} from "
                f"{short(names[top])}"
            )
            if counts[top] > self.largest * len(rows):
                small = real[numbers] & (numbers != top)
                drowned |= small
                queries = np.unique(rows[small])
                notes = [f"{what} {short(str(column[query]))}" for query in queries.tolist()]
                examples += given.queries_shown(queries, notes)[:5]
        count = int(drowned.sum())
        says = "; ".join(parts)
        return finding(self, count=count, whole=len(rows), says=says, examples=examples)


def _sources(collection: Collection) -> Ids:
    return np.array(collection.queries["source"][:], dtype=object)
