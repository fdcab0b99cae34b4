"""A real collection some of whose pairs were swapped: which labels are wrong is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, check_count, check_number
from workbench.types import Collection


@dataclass(frozen=True, eq=False, kw_only=True)
class WrongPairs:
    """A collection with wrong labels, and which they are.

    Args:
        collection: the same texts; some queries have another query's document as their positive.
        wrong: (row,) true at the wrong ones of `collection.pairs`.
    """

    collection: Collection
    wrong: NDArray[np.bool_]


def wrong_pairs(collection: Collection, *, share: float = 0.2, seed: int = 0) -> WrongPairs:
    """Pass the documents of a share of the pairs on to the next of these pairs, round a circle.

    Two near-duplicate documents never stand on the circle, so that a swapped label is wrong.

    Args:
        collection: one positive per query.
        share: of pairs that become wrong, in [0, 1]; fewer where too many documents are duplicates.
        seed: which ones.

    Returns:
        The spoiled collection and the truth.

    Raises:
        BadArgument: a share outside [0, 1], a query with several positives or none.

    Example:
        >>> from workbench.data import from_rows
        >>> rows = [{"query": f"how {c}", "positive": f"do {c}"} for c in "abcdefghij"]
        >>> spoiled = wrong_pairs(from_rows(rows, name="demo"), share=0.3)
        >>> int(spoiled.wrong.sum()), len(spoiled.collection.pairs)
        (3, 10)

    Source: symmetric label noise, as in the methods dossier on DBPM and DLG-LC.
    """
    from scipy import sparse

    check_number("share", share, at_least=0, at_most=1, mend="Try 0.2.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rows, docs = collection.pairs.T
    if not np.array_equal(rows, np.arange(len(collection.queries))):
        wanted = "every query must have exactly one positive"
        raise BadArgument("collection", collection, wanted, "Draw one pair per query.")
    order = np.random.default_rng(seed).permutation(len(rows))
    _, first = np.unique(collection.doc_groups[docs[order]], return_index=True)
    chosen = order[np.sort(first)][: int(share * len(rows))]
    said, wrong = docs.copy(), np.zeros(len(rows), dtype=np.bool_)
    if len(chosen) > 1:
        said[chosen], wrong[chosen] = np.roll(docs[chosen], 1), True
    shape = collection.qrels.shape
    qrels = sparse.csr_array((np.ones(len(rows), dtype=np.float32), (rows, said)), shape=shape)
    recipe = {**collection.recipe, "wrong_pairs": {"share": share, "seed": seed}}
    return WrongPairs(collection=replace(collection, qrels=qrels, recipe=recipe), wrong=wrong)
