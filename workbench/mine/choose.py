"""Which of the kept candidates serve as negatives: a window of ranks, then top, random or banded.

kept    = candidates of weight > 0, in the order of the list
window  = kept[first:last] ("kept"), or kept ones of raw rank first+1..last ("found")
chosen  = num_negatives of the window
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, check_choice, check_count, check_number
from workbench.mine.draw import check_seed, keys, numbers
from workbench.mine.hardness import share_of_positive_score, told
from workbench.types import Candidates, Floats, Ints

Bools = NDArray[np.bool_]
Window = tuple[int, int | None]
HOW = ("top", "random", "banded")
WINDOW_ON = ("kept", "found")
_rows = 65_536


def check_window(window: object, num_negatives: int) -> None:
    """Refuse a window of ranks that cannot be; `choose` and the samplers ask it alike.

    Args:
        window: (ranks to skip, last rank or None).
        num_negatives: that it must have room for.

    Raises:
        BadArgument: as said.
    """
    if not isinstance(window, tuple) or len(window) != 2:
        wanted = "it must be (ranks to skip, last rank or None)"
        raise BadArgument("window", window, wanted, "Try (10, 60), or (0, None) for all.")
    check_count("window[0]", window[0], at_least=0, mend="Try 0, which skips none.")
    if window[1] is None:
        return
    check_count("window[1]", window[1], mend="Try None, which has no end.")
    if window[1] - window[0] < num_negatives:
        wanted = f"it must hold at least num_negatives ({num_negatives}) ranks"
        raise BadArgument("window", window, wanted, "Widen it, or ask for fewer.")


def check_choice_of(
    num_negatives: int,
    *,
    window: object,
    window_on: str,
    how: str,
    bands: int | Sequence[float],
    seed: int,
) -> None:
    """Refuse options of `choose` that cannot be, before any search.

    Raises:
        BadArgument: which, and why.
    """
    check_count("num_negatives", num_negatives, mend="Try 5.")
    check_choice("window_on", window_on, WINDOW_ON)
    check_choice("how", how, HOW)
    check_seed(seed)
    check_window(window, num_negatives)
    if not isinstance(bands, Sequence):
        check_count("bands", bands, mend="Try 4, or edges such as (0.5, 0.7, 0.9).")
        return
    edges = list(bands)
    for edge in edges:
        check_number("bands", edge, mend="Try (0.5, 0.7, 0.9).")
    if not edges or any(left >= right for left, right in pairwise(edges)):
        wanted = "edges must be there and rise"
        raise BadArgument("bands", bands, wanted, "Try (0.5, 0.7, 0.9), or a number of bands.")


def choose(
    candidates: Candidates,
    num_negatives: int,
    *,
    window: Window = (0, None),
    window_on: str = "kept",
    how: str = "top",
    bands: int | Sequence[float] = 4,
    seed: int = 0,
) -> Candidates:
    """Choose, of what rules have kept, the negatives of every query.

    Args:
        candidates: mined, rules applied; what has weight 0 is never chosen.
        num_negatives: per query; usually 1 to 10.
        window: (ranks to skip, last rank or None). (10, 60) leaves out the first ten, where false
            negatives crowd, and everything beyond the sixtieth.
        window_on: which ranks: "kept" counts what rules have kept, in the order of the list, as
            sentence-transformers' `range_min` and `range_max` do; "found" means `ranks`, those of
            the raw search, so that what a rule dropped still counts.
        how: "top" takes the first of the window; "random" draws without replacement; "banded"
            draws the same number from every band of hardness, remainders from the hardest.
        bands: a number of bands cuts each query's own window into runs of equal length; edges
            such as (0.5, 0.7, 0.9) cut by the share of the labelled positive's score, see
            `share_of_positive_score`. With fewer negatives than bands the hardest bands are served
            first. A short band is filled from the nearest ones, easier first,
            and last from what has no share (no labelled positive).
        seed: of "random" and "banded"; a query's draw does not depend on the other queries.

    Returns:
        (query, num_negatives) candidates in the order of the list, with their raw ranks, scores
        and weights. `recipe["choice"]` says what was asked, how many were chosen, how many queries
        came out short and by how many; `recipe["hardness"]` what `hardness(before_choice=True)`
        shows.

    Raises:
        BadArgument: a count, a word, or a window too small for num_negatives.

    Example:
        >>> from workbench.mine import bm25
        >>> from workbench.data import from_rows
        >>> rows = [{"query": f"word {n}", "positive": f"word {n} said"} for n in range(4)]
        >>> found = choose(bm25(from_rows(rows, name="demo")), 2, window=(1, None))
        >>> found.docs[0].tolist(), found.recipe["choice"]["short"]
        ([2, 3], 0)

    Breaks when: the window holds little more than num_negatives, and every way comes to the same.
    """
    check_choice_of(
        num_negatives, window=window, window_on=window_on, how=how, bands=bands, seed=seed
    )
    count = len(candidates.docs)
    columns = np.full((count, num_negatives), -1, dtype=np.int64)
    of_query, of_doc = _keys(candidates, seed) if how != "top" else (None, None)
    bands = bands if isinstance(bands, Sequence) else int(bands)
    tally = _Tally(bands if how == "banded" else 0)
    share = share_of_positive_score(candidates)
    for start in range(0, count, _rows):
        rows = slice(start, start + _rows)
        inside = _inside(candidates, rows, window, window_on)
        order = _place(inside)
        if of_query is not None and of_doc is not None:
            draw = numbers(of_query[rows], of_doc[np.maximum(candidates.docs[rows], 0)])
            order = _rank(draw, inside)
        if how == "banded":
            band = _bands(share[rows], inside, bands)
            chosen = tally.banded(band, order, inside, num_negatives)
        else:
            chosen = inside & (order < num_negatives)
        row, column = np.nonzero(chosen)
        columns[rows][row, _place(chosen)[row, column]] = column
    asked = {
        "asked": num_negatives,
        "how": how,
        "window": list(window),
        "window_on": window_on,
        **({} if how == "top" else {"seed": seed}),
        **tally.told(),
    }
    return _narrow(candidates, columns, asked)


def _inside(candidates: Candidates, rows: slice, window: Window, window_on: str) -> Bools:
    docs, weight = candidates.docs[rows], candidates.weight[rows]
    kept: Bools = (docs >= 0) & (weight > 0)
    rank = _place(kept) if window_on == "kept" else candidates.ranks[rows].astype(np.int64) - 1
    inside: Bools = kept & (rank >= window[0])
    if window[1] is not None:
        inside &= rank < window[1]
    return inside


def _place(mask: Bools) -> Ints:
    """Which of the true ones of its row each is, from 0."""
    return np.cumsum(mask, axis=1, dtype=np.int64) - 1


def _rank(draw: NDArray[np.uint64], inside: Bools) -> Ints:
    """Place of each cell among the smallest numbers drawn in its row; outside ones come last."""
    order = np.lexsort((draw, ~inside), axis=1)
    rank = np.empty(draw.shape, dtype=np.int64)
    np.put_along_axis(rank, order, np.arange(draw.shape[1])[None, :], axis=1)
    return rank


def _keys(candidates: Candidates, seed: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    return keys(candidates.query_ids, seed), keys(candidates.doc_ids, 0)


def _bands(share: Floats, inside: Bools, bands: int | Sequence[float]) -> Ints:
    """Band of each cell, 0 the hardest; the last is of those without a share."""
    if isinstance(bands, int):
        size = np.maximum(inside.sum(axis=1, keepdims=True), 1)
        band: Ints = _place(inside) * bands // size
        return band
    edges = np.array(bands, dtype=np.float32)
    below = len(edges) - np.searchsorted(edges, share, side="right")
    return np.where(np.isnan(share), len(edges) + 1, below).astype(np.int64)


class _Tally:
    """Chooses from bands, and remembers how many came from where."""

    def __init__(self, bands: int | Sequence[float]) -> None:
        # Edges make one band more than there are, and what has no share is another.
        self.size = bands if isinstance(bands, int) else len(bands) + 2
        self.bands: int | list[float] = bands if isinstance(bands, int) else list(bands)
        self.chosen = np.zeros(self.size, dtype=np.int64)
        self.moved = 0

    def banded(self, band: Ints, order: Ints, inside: Bools, wanted: int) -> Bools:
        """Equal numbers from each band, short ones filled from the nearest."""
        real = self.size if isinstance(self.bands, int) else self.size - 1
        have = np.stack([(inside & (band == b)).sum(axis=1) for b in range(self.size)], axis=1)
        quota = np.zeros(self.size, dtype=np.int64)
        quota[:real] = wanted // real + (np.arange(real) < wanted % real)
        take = np.minimum(quota, have)
        lacking = quota - take
        self.moved -= int(take.sum())
        for distance in range(1, self.size):
            for b in range(self.size):
                for other in (b + distance, b - distance):
                    if 0 <= other < self.size:
                        given = np.minimum(lacking[:, b], have[:, other] - take[:, other])
                        take[:, other] += given
                        lacking[:, b] -= given
        self.moved += int(take.sum())
        self.chosen += take.sum(axis=0)
        chosen = np.zeros_like(inside)
        for b in range(self.size):
            mine = inside & (band == b)
            chosen |= mine & (_rank(order.astype(np.uint64), mine) < take[:, b, None])
        return chosen

    def told(self) -> dict[str, Any]:
        """For the recipe: how many from each band, hardest first, and how many had to fill."""
        if not self.size:
            return {}
        return {"bands": self.bands, "from_band": self.chosen.tolist(), "filled": self.moved}


def _narrow(candidates: Candidates, columns: Ints, asked: dict[str, Any]) -> Candidates:
    """The candidates of these columns, -1 where there is none, and the account of them."""
    there = columns >= 0
    at = np.maximum(columns, 0)

    def take(values: NDArray[Any], empty: float) -> NDArray[Any]:
        if not values.shape[1]:
            return np.full(columns.shape, empty, dtype=values.dtype)
        return np.where(there, np.take_along_axis(values, at, axis=1), values.dtype.type(empty))

    missing = columns.shape[1] - there.sum(axis=1)
    short, queries = np.unique(missing[missing > 0], return_counts=True)
    kept = (candidates.docs >= 0) & (candidates.weight > 0)
    choice = {
        **asked,
        "kept": int(kept.sum()),
        "chosen": int(there.sum()),
        "queries": len(columns),
        "short": int(queries.sum()),
        "missing": int(missing.sum()),
        "short_by": {str(by): int(n) for by, n in zip(short, queries, strict=True)},
    }
    return replace(
        candidates,
        docs=take(candidates.docs, -1),
        scores=take(candidates.scores, -np.inf),
        ranks=take(candidates.ranks, 0),
        weight=take(candidates.weight, 0),
        recipe={
            **candidates.recipe,
            "hardness": candidates.recipe.get("hardness") or told(candidates),
            "choice": choice,
        },
    )
