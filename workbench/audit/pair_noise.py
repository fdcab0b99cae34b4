"""Which judgments of (query, document) pairs are wrong: confident learning on relevant or not.

    P_i = probability that pair i is relevant, from a classifier of pair scores that saw neither the
          pair nor its query;   a pair is an issue where `label_noise` disputes its judgment

An unjudged pair is not relevant by assumption, which is how training uses it, so a disputed one is
a suspected false negative; a disputed positive is a suspected false positive.

Source: Northcutt, Athalye, Mueller 2021, "Pervasive Label Errors in Test Sets", for classes; the
pair form is ours.
Breaks when: pairs were found in different ways, so that the classifier learns who was judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.audit.label_noise import FILTERS, label_issues, out_of_fold
from workbench.data.known import spread
from workbench.errors import BadArgument, check_choice
from workbench.mine.facts import Unit, check_vectors
from workbench.types import Candidates, Collection, Ints, Vectors

if TYPE_CHECKING:
    import pandas as pd

Doubles = NDArray[np.float64]
FEATURES = ("cosine", "neighbour", "cosine above mean", "neighbour above mean")
GATHERED = 2**18
"""(pair, positive) combinations whose vectors are held at once: 384 MiB at 384 dimensions."""


def pool(candidates: Candidates) -> Ints:
    """(pair, 2) positions (query, document) of everything listed, in the order of the lists.

    Example:
        >>> from workbench.data import from_rows
        >>> from workbench.mine import bm25
        >>> rows = [{"query": "add two", "positive": "add"}, {"query": "two", "positive": "two"}]
        >>> pool(bm25(from_rows(rows), k=2, exclude="nothing")).tolist()
        [[0, 0], [0, 1], [1, 1]]
    """
    rows, columns = np.nonzero(candidates.docs >= 0)
    return np.stack([rows, candidates.docs[rows, columns]], axis=1).astype(np.int64)


def pair_features(
    collection: Collection, vectors: tuple[Vectors, Vectors], pairs: NDArray[Any]
) -> Doubles:
    """What vectors say of pairs: cosine, nearness to the query's other positives, both centred.

        neighbour(q, d) = max cos(d, p) over labelled positives p of q, d itself left out

    Args:
        collection: where positives stand.
        vectors: (query, document) vectors of it, of a frozen model.
        pairs: (pair, 2) positions (query, document).

    Returns:
        (pair, 4) as `FEATURES` names them; "above mean" is less the mean over the query's pairs. A
        pair whose query has no other positive gets the mean of those that have, because "has none"
        would give its label away.

    Raises:
        BadArgument: pairs out of range.
        BadData: vectors of other ids.

    Example:
        >>> from workbench.data import from_rows
        >>> demo = from_rows([{"query": "a", "positive": p} for p in ("x", "y")], name="demo")
        >>> eye = np.eye(2, dtype=np.float32)
        >>> sides = (Vectors(values=eye[:1], ids=demo.query_ids, encoder="e"),
        ...          Vectors(values=eye, ids=demo.doc_ids, encoder="e"))
        >>> pair_features(demo, sides, np.array([[0, 0], [0, 1]])).tolist()
        [[1.0, 0.0, 0.5, 0.0], [0.0, 0.0, -0.5, 0.0]]

    Breaks when: pairs of a query were not found alike (judged ones beside mined ones): then a low
    cosine says "judged", not "irrelevant".
    """
    check_vectors("vectors", vectors, collection.query_ids, collection.doc_ids)
    found = _check_pairs(collection, pairs)
    queries, docs = Unit(vectors[0]), Unit(vectors[1])
    labelled = collection.pairs
    ends = np.searchsorted(labelled[:, 0], np.arange(len(collection.queries) + 1))
    counts = np.diff(ends)[found[:, 0]]
    cosine, neighbour = np.empty(len(found)), np.full(len(found), np.nan)
    held = np.cumsum(counts + 1)
    stops = np.searchsorted(held, np.arange(GATHERED, held[-1], GATHERED))
    for some in np.split(np.arange(len(found)), stops):
        there = docs(found[some, 1])
        cosine[some] = np.einsum("pd,pd->p", queries(found[some, 0]), there)
        rows, places = spread(ends[found[some, 0]], counts[some])
        positives = labelled[places, 1]
        others = positives != found[some[rows], 1]
        rows, positives = rows[others], positives[others]
        near = np.einsum("pd,pd->p", there[rows], docs(positives))
        best = np.full(len(some), -np.inf)
        np.maximum.at(best, rows, near)
        neighbour[some] = np.where(np.isneginf(best), np.nan, best)
    known = ~np.isnan(neighbour)
    neighbour[~known] = neighbour[known].mean() if known.any() else 0.0
    raw = np.stack([cosine, neighbour], axis=1)
    size = np.maximum(np.bincount(found[:, 0], minlength=len(collection.queries)), 1)
    means = [
        np.bincount(found[:, 0], weights=column, minlength=len(size)) / size for column in raw.T
    ]
    above = raw - np.stack(means, axis=1)[found[:, 0]]
    return np.concatenate([raw, above], axis=1)


def _check_pairs(collection: Collection, pairs: NDArray[Any]) -> Ints:
    found = np.asarray(pairs)
    if found.ndim != 2 or found.shape[1] != 2 or not np.issubdtype(found.dtype, np.integer):
        wanted = "it must be (pair, 2) positions (query, document)"
        raise BadArgument("pairs", found.shape, wanted, "Use pool(candidates).")
    if not len(found):
        raise BadArgument("pairs", found.shape, "there is none", "Use pool(candidates).")
    outside = ((found < 0) | (found >= collection.qrels.shape)).any(axis=1)
    if outside.any():
        wanted = f"positions must lie inside {collection.qrels.shape}"
        first = found[outside][0].tolist()
        raise BadArgument("pairs", first, wanted, "Pass positions, not ids.")
    if len(np.unique(found, axis=0)) < len(found):
        wanted = "a pair stands there twice"
        raise BadArgument("pairs", found.shape, wanted, "Pass np.unique(pairs, axis=0).")
    return found.astype(np.int64)


def pair_label_issues(
    collection: Collection,
    pairs: NDArray[Any],
    features: NDArray[np.floating],
    *,
    classifier: Any = None,
    folds: int = 5,
    filter_by: str = "prune_by_noise_rate",
    seed: int = 0,
) -> pd.DataFrame:
    """Judgments that are probably wrong: training qrels and evaluation qrels alike.

    A pair with a grade > 0 counts as relevant, one judged 0 or never judged as not. Folds are cut
    between groups of queries, so that no query teaches about itself or its paraphrase.

    Args:
        collection: its judgments.
        pairs: (pair, 2) positions, all found in one way, labelled positives included: `pool` of a
            list mined with exclude="nothing".
        features: (pair, feature) scores of each pair, e.g. `pair_features`, BM25, a cross-encoder.
        classifier: see `out_of_fold`.
        folds: see `out_of_fold`.
        filter_by: see `label_issues`.
        seed: of the folds.

    Returns:
        As `label_issues`, the pair in place of id: columns query_id, doc_id, judged (False where
        nobody looked), given, suggested (1 relevant, 0 not), probability, score, issue.

    Raises:
        BadArgument: pairs out of range or twice, shapes that do not fit, an unknown filter.
        BadData: features that are not finite; too few queries with pairs of either kind.

    Example:
        >>> from workbench.data import from_rows
        >>> rows = [{"query": f"q{n}", "positive": f"d{n}"} for n in range(6)]
        >>> demo = from_rows(rows, name="demo")
        >>> pairs = np.array([[q, d % 6] for q in range(6) for d in (q, q + 1)])
        >>> looks = np.where(np.arange(12) % 2, 0.0, 1.0)  # the positive looks relevant
        >>> looks[1] = 1.0  # and so does an unjudged pair
        >>> worst = pair_label_issues(demo, pairs, looks[:, None], folds=3).iloc[0]
        >>> bool(worst.doc_id == demo.doc_ids[1]), bool(worst.judged), int(worst.suggested)
        (True, False, 1)

    Measured (cranfield, top 30 by all-MiniLM-L6-v2, `pair_features`, seed 0): 178 of the listed
    pairs are sources of their query that were judged "no interest"; among pairs called not
    relevant they are found with AUC .908 and average precision .44 (base .030), and 65 of 134
    flagged pairs are such.

    Breaks when: most positives were never judged, so that the classifier learns the pool.
    """
    check_choice("filter_by", filter_by, FILTERS)
    found = _check_pairs(collection, pairs)
    # Stored zeros must be told from absent cells, so positions are looked up, not grades.
    matrix = collection.qrels.tocoo()
    wide = collection.qrels.shape[1]
    cells = matrix.coords[0].astype(np.int64) * wide + matrix.coords[1]
    wanted = found[:, 0] * wide + found[:, 1]
    judged = np.isin(wanted, cells)
    labels = np.isin(wanted, cells[matrix.data > 0]).astype(np.int64)
    groups = np.asarray(collection.query_groups)[found[:, 0]]
    chances = out_of_fold(
        features, labels, groups=groups, classifier=classifier, folds=folds, seed=seed
    )
    frame = label_issues(labels, chances, filter_by=filter_by)
    rows = frame.pop("id").to_numpy()
    frame.insert(0, "query_id", collection.query_ids[found[rows, 0]])
    frame.insert(1, "doc_id", collection.doc_ids[found[rows, 1]])
    frame.insert(2, "judged", judged[rows])
    return frame
