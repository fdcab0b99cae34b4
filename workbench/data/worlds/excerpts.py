"""Wholes and excerpts: bags of words whose input length says nothing about who contains whom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.errors import BadArgument, check_count
from workbench.types import Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class Excerpts:
    """Row i of one is an excerpt of row i of the other.

    Args:
        wholes: (row, word) unit vectors of 0 and one other number.
        excerpts: (row, word) the same, of some of the whole's words.
    """

    wholes: Floats
    excerpts: Floats


def excerpts(*, rows: int = 1000, words: int = 120, length: int = 16, seed: int = 0) -> Excerpts:
    """Draw items of `length` different words, and an excerpt of a quarter to five eighths of each.

    Args:
        rows: how many.
        words: of the language.
        length: words per item, at least 4.
        seed: of everything.

    Returns:
        The world.

    Raises:
        BadArgument: a count that is too small, items longer than the language.

    Example:
        >>> world = excerpts(rows=3)
        >>> (world.wholes > 0).sum(axis=1).tolist()
        [16, 16, 16]

    Source: methods dossier on ASL (Wang et al. 2023), algorithmic unit test.
    """
    check_count("rows", rows, mend="Try 1,000.")
    check_count("words", words, mend="Try 120.")
    check_count("length", length, at_least=4, mend="Try 16.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    if length > words:
        raise BadArgument("length", length, f"there are only {words} words", "Try 16.")
    rng = np.random.default_rng(seed)
    order = rng.random((rows, words)).argsort(axis=1)
    kept = rng.integers(length // 4, length * 5 // 8 + 1, size=rows)
    whole, part = np.zeros((rows, words)), np.zeros((rows, words))
    np.put_along_axis(whole, order[:, :length], 1.0, axis=1)
    first = (np.arange(length) < kept[:, None]).astype(float)
    np.put_along_axis(part, order[:, :length], first, axis=1)
    return Excerpts(wholes=_unit(whole), excerpts=_unit(part))


def _unit(rows: np.ndarray) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)
