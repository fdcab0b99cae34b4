"""Ranking metrics per query, by `ir-measures` (trec_eval's own code and MS MARCO's for RR@k).

    RR@k   = 1 / rank of the first relevant document, 0 when it is not among the first k
    R@k    = relevant among the first k / relevant
    AP@k   = sum over relevant ranks r <= k of precision at r / relevant
    nDCG@k = DCG / DCG of the ideal order, DCG = sum over r <= k of grade_r / log2(r + 1)

nDCG's gain is linear in the grade, as in trec_eval and BEIR (not 2^grade - 1). AP divides by all
relevant documents; sentence-transformers' evaluator divides by min(k, relevant) and takes every
grade as 1, so its numbers agree only for binary judgments and at most k relevant documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, BadData
from workbench.types import Collection, Ints, Scorecard

if TYPE_CHECKING:
    from scipy.sparse import csr_array

METRICS = ("nDCG@10", "RR@10", "R@100", "AP@100")


def parse(metrics: Sequence[str]) -> dict[str, tuple[Any, int]]:
    """Name as ir-measures spells it -> (measure, cutoff).

    Raises:
        BadArgument: an unknown metric, or one without a cutoff.

    Example:
        >>> {name: cutoff for name, (_, cutoff) in parse(["MRR@10", "nDCG@5"]).items()}
        {'RR@10': 10, 'nDCG@5': 5}
    """
    import ir_measures

    if isinstance(metrics, str) or not metrics:
        raise BadArgument("metrics", metrics, "it must be a list of names", f"Try {list(METRICS)}.")
    parsed = {}
    for name in metrics:
        try:
            measure = ir_measures.parse_measure(name)
            cutoff = measure.params.get("cutoff")
        except (NameError, ValueError, TypeError, AttributeError) as error:
            raise BadArgument(
                "metrics",
                name,
                "ir-measures knows no such metric",
                "Write it like nDCG@10 or RR@10.",
            ) from error
        if cutoff is None:
            raise BadArgument(
                "metrics", name, "it must have a cutoff", f"Write {name}@100: rankings have an end."
            )
        parsed[str(measure)] = (measure, int(cutoff))
    return parsed


def check_judgments(collection: Collection) -> None:
    """Refuse judgments that would silently give wrong numbers.

    Raises:
        BadData: a query without a positive (its recall is 0/0), or a grade that is no whole number.
    """
    counts = np.bincount(collection.pairs[:, 0], minlength=len(collection.query_ids))
    problems = [
        f"query {name!r} has no relevant document"
        for name in collection.query_ids[counts == 0].tolist()
    ]
    if problems:
        raise BadData(f"the judgments of {collection.name}", problems, "Leave those queries out.")
    grades = np.asarray(collection.qrels.data)
    if len(wrong := np.unique(grades[grades != np.round(grades)])):
        raise BadData(
            f"the judgments of {collection.name}",
            [f"grade {grade:g} is no whole number" for grade in wrong.tolist()],
            "Grade with whole numbers: 0 not relevant, 1 and more relevant.",
        )


def collapse(docs: Ints, groups: Ints, *, depth: int) -> Ints:
    """Rankings of documents as rankings of groups: the first member of each group stands for it.

    Args:
        docs: (query, rank) positions, -1 where short.
        groups: (doc,) group number of each document.
        depth: width of the result.

    Returns:
        (query, depth) group numbers, -1 where short.

    Example:
        >>> collapse(np.array([[0, 1, 2, -1]]), np.array([7, 7, 9]), depth=3)
        array([[ 7,  9, -1]])
    """
    numbers = np.where(docs >= 0, groups[np.maximum(docs, 0)], -1)
    result = np.full((len(docs), depth), -1, dtype=np.int64)
    for row, ranked in enumerate(numbers):
        distinct, first = np.unique(ranked, return_index=True)
        order = distinct[np.argsort(first)]
        order = order[order >= 0][:depth]
        result[row, : len(order)] = order
    return result


def by_group(qrels: csr_array, groups: Ints) -> csr_array:
    """Judgments of groups: each takes the best grade of its members."""
    from scipy.sparse import csr_array

    matrix = qrels.tocoo()
    wide = int(groups.max()) + 1
    keys = matrix.coords[0].astype(np.int64) * wide + groups[matrix.coords[1]]
    cells, owners = np.unique(keys, return_inverse=True)
    grades = np.full(len(cells), -np.inf, dtype=np.float32)
    np.maximum.at(grades, owners, matrix.data.astype(np.float32))
    return csr_array((grades, (cells // wide, cells % wide)), shape=(qrels.shape[0], wide))


def score(
    docs: Ints, qrels: csr_array, parsed: dict[str, tuple[Any, int]]
) -> dict[str, NDArray[np.float64]]:
    """Metric -> (query,) values of rankings against judgments.

    The order of `docs` is the ranking: libraries that sort by score and break ties by id get
    strictly falling stand-in scores, so that no tie is left to break.
    """
    import ir_measures

    judged = qrels.tocoo()
    judgments: dict[str, dict[str, int]] = {str(row): {} for row in range(len(docs))}
    columns = (axis.tolist() for axis in (*judged.coords, judged.data))
    for query, doc, grade in zip(*columns, strict=True):
        judgments[str(query)][str(doc)] = max(0, int(grade))
    run = {
        str(row): {str(doc): float(-rank) for rank, doc in enumerate(ranked) if doc >= 0}
        for row, ranked in enumerate(docs.tolist())
    }
    values = {name: np.zeros(len(docs), dtype=np.float64) for name in parsed}
    measures = [measure for measure, _ in parsed.values()]
    for metric in ir_measures.iter_calc(measures, judgments, run):
        values[str(metric.measure)][int(metric.query_id)] = metric.value
    return values


def ranking(
    collection: Collection,
    docs: Ints,
    *,
    metrics: Sequence[str] = METRICS,
    group_aware: bool = False,
    name: str = "ranking",
    recipe: dict[str, Any] | None = None,
) -> Scorecard:
    """Score rankings of documents, one per query, in exactly the order given.

    Group-aware, a near duplicate of a relevant document is as good as the document: ranking and
    judgments are both collapsed to duplicate groups. A group stands at the rank of its first member
    among the groups (its further members neither help nor take up a rank) and has the best grade of
    its members, so finding five copies of one answer counts once.

    Args:
        collection: whose queries and judgments; every query needs a positive.
        docs: (query, rank) positions, best first, -1 after the last.
        metrics: as ir-measures spells them, each with a cutoff.
        group_aware: see above.
        name: what is scored, for tables.
        recipe: put into the scorecard beside the collection's fingerprint.

    Returns:
        One value per query and metric.

    Raises:
        BadArgument: an unknown metric, or rankings too short for a cutoff.
        BadData: a query without a positive, a document twice in a ranking, fractional grades.

    Example:
        >>> from workbench.data import from_rows
        >>> demo = from_rows([{"query": c, "positive": c + c} for c in "ab"], name="demo")
        >>> ranking(demo, np.array([[0, 1], [0, 1]]), metrics=["RR@10"]).values["RR@10"]
        array([1. , 0.5])

    Source: trec_eval; for RR@10 MS MARCO; both through ir-measures, MacAvaney et al. 2022.

    Breaks when: judgments are incomplete: what nobody judged counts as not relevant.
    """
    parsed = parse(metrics)
    check_judgments(collection)
    depth = max(cutoff for _, cutoff in parsed.values())
    ranked = _checked(collection, docs)
    qrels, size = collection.qrels, len(collection.doc_ids)
    if group_aware:
        groups = np.unique(collection.doc_groups, return_inverse=True)[1].astype(np.int64)
        qrels, size = by_group(qrels, groups), int(groups.max()) + 1
        wide, ranked = ranked.shape[1], collapse(ranked, groups, depth=depth)
        short = wide < len(collection.doc_ids) and _short(docs, ranked, min(depth, size))
    else:
        short = ranked.shape[1] < min(depth, size)
    if short:
        raise BadArgument(
            "docs", docs.shape, f"rankings must reach {depth} for {', '.join(parsed)}",
            "Search deeper, or ask for smaller cutoffs.",
        )  # fmt: skip
    return Scorecard(
        name=name,
        query_ids=collection.query_ids,
        values=score(ranked[:, :depth], qrels, parsed),
        recipe={
            "collection": collection.fingerprint,
            "metrics": list(parsed),
            "group_aware": group_aware,
            **(recipe or {}),
        },
    )


def _checked(collection: Collection, docs: Ints) -> Ints:
    ranked = np.asarray(docs, dtype=np.int64)
    count = len(collection.query_ids)
    if ranked.ndim != 2 or len(ranked) != count:
        raise BadArgument(
            "docs", ranked.shape, f"it must have {count} rows", "Give one ranking per query."
        )
    if ranked.size and int(ranked.max()) >= len(collection.doc_ids):
        raise BadArgument(
            "docs", int(ranked.max()), f"positions are 0..{len(collection.doc_ids) - 1}",
            "Pass positions in the corpus, not ids.",
        )  # fmt: skip
    ordered = np.sort(ranked, axis=1)
    twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)
    gaps = ((ranked[:, 1:] >= 0) & (ranked[:, :-1] < 0)).any(axis=1)
    problems = [
        f"query {name!r} ranks a document twice" for name in collection.query_ids[twice].tolist()
    ] + [f"query {name!r} has a gap" for name in collection.query_ids[gaps].tolist()]
    if problems:
        raise BadData("the rankings", problems, "Rank each document once, -1 only at the end.")
    return ranked


def _short(docs: Ints, collapsed: Ints, depth: int) -> bool:
    """Is there a full-width ranking that gives fewer groups than are wanted?"""
    full = docs[:, -1] >= 0
    return bool((full & ((collapsed >= 0).sum(axis=1) < depth)).any())
