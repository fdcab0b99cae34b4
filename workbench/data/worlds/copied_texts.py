"""Texts with random labels, many of them copies: all one can learn is what a split lets through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.errors import BadArgument, check_count, check_number
from workbench.types import Collection, Ints


@dataclass(frozen=True, eq=False, kw_only=True)
class CopiedTexts:
    """Texts, labels that say nothing about them, and which texts are copies of which.

    Args:
        texts: 60 words each.
        labels: (text,) 0 or 1 by a coin; a copy has the label of its original.
        family: (text,) the same number for an original and its copies.
    """

    texts: list[str]
    labels: Ints
    family: Ints

    def collection(self) -> Collection:
        """Each text as a query, answered by a document of its own: "row 0", "row 1", ..."""
        from workbench.data.rows import from_rows

        rows = [
            {"query": text, "positive": f"row {place}"} for place, text in enumerate(self.texts)
        ]
        return from_rows(rows, name="copied texts")


def copied_texts(*, texts: int = 400, copies: float = 0.375, seed: int = 0) -> CopiedTexts:
    """Originals of random words, and copies of them in which one word is new.

    Args:
        texts: how many in all.
        copies: share of them that are copies, 0 to 1 (open).
        seed: of everything drawn.

    Raises:
        BadArgument: fewer than 10 texts, a share out of range.

    Example:
        >>> world = copied_texts(texts=16)
        >>> len(set(world.family.tolist())), len(world.texts)
        (10, 16)

    Source: the methods dossier on ReVeal, whose data sets hold 40 to 75 % duplicates.
    """
    check_count("texts", texts, at_least=10, mend="Try 400.")
    check_number("copies", copies, at_least=0, at_most=1, mend="Try 0.375.")
    if copies == 1:
        raise BadArgument("copies", copies, "it must be < 1", "Try 0.375.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rng = np.random.default_rng(seed)
    count = texts - round(copies * texts)
    family = np.r_[np.arange(count), rng.integers(count, size=texts - count)]
    words = rng.integers(2000, size=(count, 60))[family]
    copy = np.arange(count, texts)
    words[copy, rng.integers(60, size=len(copy))] = 2000 + copy
    return CopiedTexts(
        texts=[" ".join(f"w{word}" for word in row) for row in words.tolist()],
        labels=rng.integers(2, size=count)[family],
        family=family,
    )
