"""Which rows are nearest, by vectors or by side information, and which of them stand in a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, BadData, check_choice, check_count
from workbench.mine.exact import finite
from workbench.mine.index import nearest as search
from workbench.types import Batch, Floats, Ints, Vectors

NEAREST = 10
"""How many of an anchor's hardest candidates are looked for in its batch."""
Sides = tuple[Floats, Floats | None]
"""(query vectors, document vectors); None = queries are compared with each other."""


def checked_sides(
    queries: Vectors | Floats,
    docs: Vectors | Floats | None,
    pairs: Ints,
    known: KnownPositives | None,
) -> Sides:
    """Both sides as arrays, checked: one finite row per position, one width.

    Args:
        queries: of every query position.
        docs: of every document position, or None.
        pairs: (row, 2) positions that must have vectors.
        known: says how many positions there are in all.

    Raises:
        BadArgument: a shape.
        BadData: a vector is not finite.
    """
    exact = known is not None
    counts = tuple((pairs.max(axis=0) + 1).tolist())
    if known is not None:
        counts = (len(known.query_groups), len(known.doc_groups))
    arrays: list[Floats] = []
    for name, side, count in zip(("queries", "docs"), (queries, docs), counts, strict=True):
        if side is None:
            continue
        rows = _rows_of(name, side)
        if rows.ndim != 2 or (len(rows) != count if exact else len(rows) < count):
            wanted = f"it must be ({'' if exact else '>= '}{count:,}, dim), a row per position"
            raise BadArgument(name, rows.shape, wanted, "Encode the collection of these pairs.")
        finite("query" if name == "queries" else "document", rows)
        arrays.append(rows)
    if len(arrays) == 2 and arrays[0].shape[1] != arrays[1].shape[1]:
        wanted = f"its width must be {arrays[0].shape[1]} as that of the queries"
        raise BadArgument("docs", arrays[1].shape, wanted, "Use one encoder.")
    return arrays[0], arrays[1] if len(arrays) == 2 else None


def _rows_of(name: str, side: object) -> Floats:
    values = side.values if isinstance(side, Vectors) else side
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        wanted = "it must be Vectors or a NumPy array of one side"
        mend = "Unpack a pair, as in refresh(*vectors); tensors have .numpy(force=True)."
        raise BadArgument(name, type(side).__name__, wanted, mend)
    return values


def both_sides(vectors: object) -> tuple[Vectors | Floats, Vectors | Floats | None]:
    """(queries, docs) of what a sampler takes as `vectors`, the latter None if there are none.

    Raises:
        BadArgument: neither one side nor a pair.
    """
    if isinstance(vectors, Vectors | np.ndarray):
        return vectors, None
    if isinstance(vectors, tuple) and len(vectors) == 2:
        return vectors
    wanted = "it must be query vectors, or a tuple (query vectors, document vectors)"
    mend = "Pass what encode_collection returns; tensors have .numpy(force=True)."
    raise BadArgument("vectors", type(vectors).__name__, wanted, mend)


def own_graph(pairs: Ints, known: KnownPositives | None) -> KnownPositives:
    """The known-positive graph, or one in which a query's answers are those of its rows."""
    if known is not None:
        return known
    from scipy.sparse import csr_array

    counts = pairs.max(axis=0) + 1
    cells = (np.ones(len(pairs), dtype=np.bool_), (pairs[:, 0], pairs[:, 1]))
    matrix = csr_array(cells, shape=tuple(counts.tolist()))
    matrix.sum_duplicates()
    matrix.data[:] = True
    return KnownPositives(
        query_groups=np.arange(counts[0]), doc_groups=np.arange(counts[1]), positives=matrix
    )


def nearest(sides: Sides, graph: KnownPositives, pairs: Ints, anchors: Ints, *, k: int) -> Ints:
    """The k wrong candidates most similar to each anchor, among those that stand in some row.

    Candidates are the rows' documents that are no known positives of the anchor, or, without
    document vectors, the rows' queries that say something else.

    Args:
        sides: vectors of queries and documents.
        graph: who answers whom.
        pairs: (row, 2) of the whole table.
        anchors: (anchor,) query positions.
        k: how many.

    Returns:
        (anchor, k) positions of documents (or queries), nearest first, -1 where there are fewer.
    """
    from scipy.sparse import csr_array

    queries, docs = sides
    among = np.flatnonzero(np.bincount(pairs[:, 0] if docs is None else pairs[:, 1]))
    if docs is None:
        groups = graph.query_groups
        ones = np.ones(len(groups), dtype=np.bool_)
        shape = (len(groups), int(groups.max()) + 1)
        said = csr_array((ones, (np.arange(len(groups)), groups)), shape=shape).astype(np.int32)
        exclude = said[anchors] @ said[among].T
    else:
        exclude = graph.positives[graph.query_groups[anchors]][:, graph.doc_groups[among]]
    values = queries if docs is None else docs
    if len(among) < len(values):
        values = values[among]
    _, places, _ = search(queries[anchors], values, k=k, exclude=csr_array(exclude))
    return np.where(places >= 0, among[places], -1)


def nearest_rows(sides: Sides, graph: KnownPositives, pairs: Ints, *, k: int) -> NDArray[np.int32]:
    """(row, k) rows whose documents are the wrong candidates most similar to each row's query.

    A document of several rows is stood for by one of them, not by the same one everywhere. Without
    document vectors queries are compared. -1 where there are fewer.
    """
    column = pairs[:, 0] if sides[1] is None else pairs[:, 1]
    anchors, which = np.unique(pairs[:, 0], return_inverse=True)
    found = nearest(sides, graph, pairs, anchors, k=k)
    order = np.argsort(column, kind="stable")
    counts = np.bincount(column)
    first = np.cumsum(counts) - counts
    table = np.full((len(pairs), k), -1, dtype=np.int32)
    for start in range(0, len(pairs), 65_536):
        rows = np.arange(start, min(start + 65_536, len(pairs)))
        near = found[which[rows]]
        turn = (rows[:, None] + np.arange(k)) % np.maximum(counts[near], 1)
        table[rows] = np.where(near >= 0, order[first[near] + turn], -1)
    return table


def nearby(
    places: NDArray[np.floating] | Ints, *, k: int, distance: str = "euclidean"
) -> NDArray[np.int32]:
    """The k rows nearest to each row by side information: coordinates, timestamps, lengths.

    Args:
        places: (row, m) numbers; m = 1 for timestamps, 2 for latitude and longitude in degrees.
        k: how many, usually 128 (Sample4Geo's value).
        distance: "euclidean", or "great_circle" on a sphere.

    Returns:
        (row, k) rows, nearest first, never the row itself; -1 where there are fewer.

    Raises:
        BadArgument: a shape, an unknown distance, a latitude beyond 90 degrees.
        BadData: a number is not finite.

    Example:
        >>> nearby(np.array([[0.0], [9.0], [1.0]]), k=1).tolist()
        [[2], [2], [0]]
        >>> nearby(np.array([[0.0, 179.0], [0.0, -179.0], [0.0, 170.0]]), k=1,
        ...        distance="great_circle").tolist()
        [[1], [0], [0]]

    Source: Deuser et al. 2023, Sample4Geo: GPS sampling of the first epochs.

    Breaks when: columns have different units; scale them first. Many columns (over some 20) make
    the search slow; those are vectors, so refresh a sampler with them.
    """
    from scipy.spatial import cKDTree

    check_count("k", k, mend="Try 128.")
    check_choice("distance", distance, ("euclidean", "great_circle"))
    try:
        points = np.asarray(places, dtype=np.float64)
    except (TypeError, ValueError):
        wanted = "it must be numbers of shape (row, m)"
        raise BadArgument("places", places, wanted, "Stack one row per training row.") from None
    sphere = distance == "great_circle"
    if points.ndim != 2 or not len(points) or (sphere and points.shape[1] != 2):
        wanted = "it must be (row, 2), degrees" if sphere else "it must be (row, m) with rows"
        raise BadArgument("places", points.shape, wanted, "Stack one row per training row.")
    broken = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(broken):
        problem = f"row {int(broken[0])} holds NaN or infinity"
        raise BadData("the side information", [problem], "Leave those rows out.")
    if sphere:
        if (widest := float(np.abs(points[:, 0]).max())) > 90:
            wanted = "a latitude must be in -90..90"
            raise BadArgument("places", widest, wanted, "Give latitude first, then longitude.")
        latitude, longitude = np.radians(points).T
        flat = np.cos(latitude)
        points = np.stack([flat * np.cos(longitude), flat * np.sin(longitude), np.sin(latitude)], 1)
    most = min(k + 1, len(points))
    found = cKDTree(points).query(points, k=np.arange(1, most + 1), workers=-1)[1]
    own = found == np.arange(len(points))[:, None]
    # Among many equal places a row may not find itself; then the last one goes.
    own[~own.any(axis=1), -1] = True
    others = found[~own].reshape(len(points), most - 1)
    table = np.full((len(points), k), -1, dtype=np.int32)
    table[:, : most - 1] = others
    return table


def measured(
    batches: Sequence[Batch], sides: Sides, graph: KnownPositives, pairs: Ints
) -> list[dict[str, float]]:
    """How hard each batch is by the vectors: its in-batch negatives, and what it misses.

    Args:
        batches: of one sampler.
        sides: vectors of queries and documents.
        graph: who answers whom; known positives are no negatives.
        pairs: (row, 2) of the whole table.

    Returns:
        Per batch: `hardest` (mean over anchors of the largest similarity of a negative),
        `similarity_10`, `_50`, `_90` (quantiles over all anchors and negatives), `nearest_recall`
        (share of each anchor's 10 nearest wrong candidates that stand in the batch). Nothing of
        the first four where a batch has no negative.
    """
    queries, docs = sides
    anchors = np.unique(np.concatenate([batch.queries for batch in batches]))
    near = nearest(sides, graph, pairs, anchors, k=NEAREST)
    reports = []
    for batch in batches:
        values, candidates = (queries, batch.queries) if docs is None else (docs, batch.docs)
        if docs is None:
            said = graph.query_groups[batch.queries]
            wrong = said[:, None] != said[None, :]
        else:
            wrong = ~graph.block(batch.queries, candidates)
            np.fill_diagonal(wrong, val=False)
        cosines = queries[batch.queries] @ values[candidates].T
        report = {}
        if wrong.any():
            has = wrong.any(axis=1)
            highest = np.where(wrong, cosines, -np.inf).max(axis=1)[has]
            report["hardest"] = float(highest.mean())
            quantiles = np.quantile(cosines[wrong], (0.1, 0.5, 0.9))
            for share, value in zip((10, 50, 90), quantiles, strict=True):
                report[f"similarity_{share}"] = float(value)
        wanted = near[np.searchsorted(anchors, batch.queries)]
        present = np.isin(wanted, candidates) & (wanted >= 0)
        count = np.maximum((wanted >= 0).sum(axis=1), 1)
        report["nearest_recall"] = float((present.sum(axis=1) / count).mean())
        reports.append(report)
    return reports
