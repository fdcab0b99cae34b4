"""Who says the same thing: exact groups, near-duplicate groups, one document per group."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from workbench.data.minhash import components, join, shingle_sets, signatures
from workbench.data.sets import check_texts, take
from workbench.errors import check_count, check_number
from workbench.types import Collection, Ints


def exact_duplicates(texts: Sequence[str]) -> Ints:
    """Group number per text: equal texts, white space aside, share one; empty ones stay apart.

    Example:
        >>> exact_duplicates(["a b", "c", "a  b"]).tolist()
        [0, 1, 0]
    """
    numbers: dict[str, int] = {}
    found = [
        # No text normalises to one with a line end in it: that marks the empty ones.
        numbers.setdefault(" ".join(text.split()) or f"\n{place}", len(numbers))
        for place, text in enumerate(texts)
    ]
    return np.array(found, dtype=np.int64)


def near_duplicates(
    texts: Sequence[str],
    *,
    threshold: float = 0.8,
    shingle: int = 5,
    permutations: int = 128,
    seed: int = 0,
) -> Ints:
    """Group number per text: exact duplicates, and chains of texts that share most shingles.

    Two texts are joined where |A & B| / |A | B| >= threshold, A and B being their sets of
    `shingle` consecutive tokens (words, or single signs). MinHash proposes pairs, each is then
    verified on the full sets, so precision is 1; a pair right at the threshold is proposed with
    probability 0.995. Groups are numbered by first appearance; the grouping does not depend on
    the order of the texts.

    Args:
        texts: any strings; those shorter than `shingle` tokens are grouped only when equal.
        threshold: Jaccard similarity in (0, 1]; 0.8 is usual, lower finds looser copies.
        shingle: tokens per shingle, usually 3 to 9.
        permutations: length of a MinHash signature.
        seed: of the permutations.

    Returns:
        One number per text.

    Raises:
        BadArgument: an option out of range, or a text that is no string.

    Example:
        >>> copy = "for row in rows: total = total + row.price * row.count"
        >>> near_duplicates([copy, "return None", copy + ";"]).tolist()
        [0, 1, 0]

    Source: Broder, 1997; banding: Leskovec, Rajaraman and Ullman, 2014, section 3.4.

    Breaks when: chains grow long (A like B like C joins A with C, however unlike they are).
    """
    check_number("threshold", threshold, above=0, at_most=1, mend="Try 0.8.")
    check_count("shingle", shingle, mend="Try 5.")
    check_count("permutations", permutations, at_least=8, mend="Try 128.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    check_texts("texts", texts)
    exact = exact_duplicates(texts)
    _, first = np.unique(exact, return_index=True)
    sets = shingle_sets([texts[place] for place in first], shingle)
    values = signatures(sets, permutations=permutations, seed=seed)
    return renumbered(join(sets, values, threshold=threshold)[exact])


def with_groups(
    collection: Collection,
    *,
    query_threshold: float | None = None,
    doc_threshold: float | None = 0.8,
) -> Collection:
    """The same collection with near-duplicate groups of documents (and queries) filled in.

    Args:
        collection: any.
        query_threshold: Jaccard threshold for queries; None groups equal texts only, which is
            right for short queries.
        doc_threshold: the same for documents.

    Example:
        >>> from workbench.data import from_rows
        >>> text = "open the file and read every line of it into a list"
        >>> rows = [{"query": "read", "positive": text}, {"query": "load", "positive": text + "."}]
        >>> with_groups(from_rows(rows)).doc_groups.tolist()
        [0, 0]
    """
    groups = [
        exact_duplicates(texts)
        if threshold is None
        else near_duplicates(texts, threshold=threshold)
        for texts, threshold in (
            (collection.query_texts, query_threshold),
            (collection.doc_texts, doc_threshold),
        )
    ]
    recipe = {"groups": {"query_threshold": query_threshold, "doc_threshold": doc_threshold}}
    return dataclasses.replace(
        collection,
        query_groups=groups[0],
        doc_groups=groups[1],
        recipe={**collection.recipe, **recipe},
    )


def collapse(collection: Collection) -> Collection:
    """One document per duplicate group (the first), with the highest grade any of them had.

    For evaluation: without it a copy of the answer ranked first counts as a mistake.

    Example:
        >>> from workbench.data import from_rows
        >>> rows = [{"query": "a", "positive": "x  y"}, {"query": "b", "positive": "x y"}]
        >>> collapse(from_rows(rows)).qrels.toarray().tolist()
        [[1.0], [1.0]]
    """
    from scipy.sparse import csr_array

    groups, first = np.unique(collection.doc_groups, return_index=True)
    kept = np.sort(first)
    representative = first[np.searchsorted(groups, collection.doc_groups)]
    matrix = collection.qrels.tocoo()
    queries, docs = matrix.coords[0], representative[matrix.coords[1]]
    order = np.lexsort((-matrix.data, docs, queries))
    cells = np.stack([queries, docs])[:, order]
    best = order[np.r_[True, (np.diff(cells, axis=1) != 0).any(axis=0)]] if len(order) else order
    qrels = csr_array((matrix.data[best], (queries[best], docs[best])), shape=matrix.shape)
    whole = dataclasses.replace(collection, qrels=qrels)
    everyone = np.arange(len(collection.queries))
    recipe = {**collection.recipe, "collapsed": len(collection.corpus) - len(kept)}
    return take(whole, queries=everyone, docs=kept, name=collection.name, recipe=recipe)


def renumbered(groups: Ints) -> Ints:
    """The same grouping, numbered from 0 by first appearance."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse].astype(np.int64)


def joined(*groupings: Ints) -> Ints:
    """The finest grouping that keeps together whatever any of `groupings` keeps together.

    Example:
        >>> joined(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])).tolist()
        [0, 0, 0, 1]
    """
    edges = []
    for groups in groupings:
        _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
        edges.append(np.stack([np.arange(len(groups)), first[inverse]], axis=1))
    return renumbered(components(len(groupings[0]), np.concatenate(edges)))
