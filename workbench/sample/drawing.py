"""Which of a query's mined negatives a row takes this time: the best, some, or some of each margin.

A draw belongs to (seed, epoch, row): it does not depend on which rows share the batch, so any
batch can be made again, in any order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadData, check_choice, check_count
from workbench.mine.choose import check_window
from workbench.mine.draw import mix, numbers
from workbench.types import Candidates, Floats, Ints

DRAWS = ("top", "random", "margin_bins")
"""How negatives are drawn."""
Window = tuple[int, int | None]
"""(ranks to skip, last rank or None) among those that rules kept."""
Doubles = NDArray[np.float64]


def dice(seed: int, epoch: int, rows: Ints, *, width: int, stream: int = 0) -> Doubles:
    """(row, width) numbers uniform on [0, 1), each a hash of seed, epoch, row, column and stream.

    Args:
        seed: of the sampler.
        epoch: pass over the data.
        rows: training rows; the numbers of a row do not depend on the other rows asked for.
        width: numbers per row.
        stream: another number gives other numbers.

    Example:
        >>> few, many = dice(0, 3, np.array([7]), width=2), dice(0, 3, np.array([5, 7]), width=2)
        >>> bool((few[0] == many[1]).all())
        True
    """
    key = np.zeros(1, dtype=np.uint64)
    for number in (seed, epoch, stream):
        key = mix(key + np.uint64(number))
    drawn = numbers(mix(rows.astype(np.uint64) + key), np.arange(width))
    uniform: Doubles = (drawn >> np.uint64(11)).astype(np.float64) / 2.0**53
    return uniform


def margin_bins(margins: Floats | Doubles, *, bins: int = 10) -> Ints:
    """The bin of each margin between the smallest and the largest of its row.

        bin = floor(bins (m - min) / (max - min)), the largest margin in the last bin

    Args:
        margins: (query, rank) positive score minus negative score, NaN where there is none.
        bins: bins of equal width, usually 10 (the paper's value).

    Returns:
        (query, rank) 0..bins-1, -1 where there is no margin. Equal margins all go to bin 0.

    Raises:
        BadArgument: bins < 1.

    Example:
        >>> margins = np.array([[0, 0.5, 1, 2.2, 4.7, 6.1, 6.3, 8.8, 9.4, 10]])
        >>> margin_bins(margins, bins=4).tolist()
        [[0, 0, 0, 0, 1, 2, 2, 3, 3, 3]]

    Source: Hofstaetter et al. 2021, "Efficiently Teaching an Effective Dense Retriever with
    Balanced Topic Aware Sampling", section 3.2.

    Breaks when: one margin lies far from the others, which then all fall into one bin.
    """
    check_count("bins", bins, mend="Try 10.")
    there = ~np.isnan(margins)
    low = np.where(there, margins, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    high = np.where(there, margins, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    wide = (high > low).ravel()
    placed = np.where(there, 0, -1).astype(np.int64)
    share = (margins[wide].astype(np.float64) - low[wide]) / (high[wide] - low[wide])
    inside = np.minimum(np.floor(np.nan_to_num(share) * bins).astype(np.int64), bins - 1)
    placed[wide] = np.where(there[wide], inside, -1)
    return placed


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool:
    """The mined negatives that rows draw from, query by query.

    Args:
        docs: (query, rank) positions kept by rules and window, in the order of the list, then -1.
        bins: (query, rank) margin bin of each, -1 for none; (query, 0) where bins do not matter.
    """

    docs: Ints
    bins: Ints

    @classmethod
    def of(
        cls, negatives: Candidates, pairs: Ints, *, draw: str, window: Window, bins: int
    ) -> Pool:
        """What the rules kept of mined candidates, those whose place is inside the window.

        Args:
            negatives: mined; the order of the list counts, which `mine.rescore` changes, and
                not `ranks`, which stay those of the raw search.
            pairs: (row, 2) of the table; a query without a row may lack scores.
            draw: see `preferred`.
            window: (kept ones to skip, last or None).
            bins: margin bins.

        Raises:
            BadData: margin bins are wanted and a kept candidate of a row's query, or that query's
                positive, has no score.
        """
        kept = (negatives.docs >= 0) & (negatives.weight > 0)
        most = int(kept.sum(axis=1).max(initial=0))
        last = most if window[1] is None else min(window[1], most)
        order = np.argsort(~kept, axis=1, kind="stable")[:, window[0] : last]
        docs = np.take_along_axis(np.where(kept, negatives.docs, -1), order, axis=1)
        docs = docs.astype(np.int64)
        placed = np.full((len(docs), 0), -1, dtype=np.int64)
        if draw == "margin_bins":
            scores = np.take_along_axis(negatives.scores, order, axis=1).astype(np.float64)
            margins = negatives.positive_scores[:, None].astype(np.float64) - scores
            known = np.isfinite(margins)
            asked = np.zeros(len(docs), dtype=np.bool_)
            asked[pairs[:, 0]] = True
            broken = np.flatnonzero(asked & ((docs >= 0) & ~known).any(axis=1))
            if len(broken):
                problem = f"query {negatives.query_ids[broken[0]]} has a candidate without a margin"
                mend = 'Mine with a miner that scores, or draw="random".'
                raise BadData("the mined negatives", [problem], mend)
            placed = margin_bins(np.where((docs >= 0) & known, margins, np.nan), bins=bins)
        return cls(docs=docs, bins=placed)


def check_draw(draw: str, window: object, bins: int, count: int) -> None:
    """Refuse an unknown draw, an empty window, and one too small for what is wanted of it.

    Raises:
        BadArgument: as said.
    """
    check_choice("draw", draw, DRAWS)
    check_count("bins", bins, mend="Try 10.")
    check_window(window, max(count, 1))


def preferred(pool: Pool, rows: Ints, queries: Ints, *, draw: str, seed: int, epoch: int) -> Ints:
    """Each row's mined negatives, the most wanted first.

    Args:
        pool: what there is to draw from.
        rows: (row,) training rows.
        queries: (row,) their anchors.
        draw: "top" in the order of the list; "random" uniformly; "margin_bins" from a bin drawn
            uniformly among those not empty, uniformly inside it, and the next from another bin
            while there is one.
        seed: of the sampler.
        epoch: pass over the data.

    Returns:
        (row, rank) positions, -1 at the end where short.

    Source: random of the top 200: Zhan et al. 2021 (STAR); margin bins: Hofstaetter et al. 2021.

    Breaks when: the pool holds false negatives; a random draw meets every one of them in time.
    """
    docs = pool.docs[queries]
    if draw == "top" or not docs.shape[1]:
        return docs
    width = docs.shape[1]
    luck = np.where(docs >= 0, dice(seed, epoch, rows, width=width), 2.0)
    if draw == "random":
        return np.take_along_axis(docs, np.argsort(luck, axis=1), axis=1)
    bins = np.where(docs >= 0, pool.bins[queries], np.iinfo(np.int64).max)
    order = np.lexsort((luck, bins), axis=1)
    bins = np.take_along_axis(bins, order, axis=1)
    fresh = np.concatenate([np.ones((len(rows), 1), bool), bins[:, 1:] != bins[:, :-1]], axis=1)
    at = np.broadcast_to(np.arange(width), bins.shape)
    turn = at - np.maximum.accumulate(np.where(fresh, at, 0), axis=1)
    turn = np.where(bins == np.iinfo(np.int64).max, width, turn)
    # The first of every bin in random order, then the second of every bin, and so on.
    rounds = np.lexsort((dice(seed, epoch, rows, width=width, stream=1), turn), axis=1)
    return np.take_along_axis(docs, np.take_along_axis(order, rounds, axis=1), axis=1)
