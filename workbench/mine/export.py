"""Mined negatives as a table of texts, in the four layouts that sentence-transformers trains on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.data.known import spread
from workbench.errors import BadArgument, check_choice
from workbench.files import atomic_file
from workbench.mine.facts import check_ids
from workbench.types import Candidates, Collection, Floats, Ints

if TYPE_CHECKING:
    from datasets import Dataset

LAYOUTS = ("triplet", "n-tuple", "labeled-pair", "labeled-list")


class _Source:
    """Positions, texts and scores of pairs and of the negatives that leave."""

    def __init__(
        self, collection: Collection, candidates: Candidates, positive_scores: Floats | None
    ) -> None:
        mend = "Mine this very collection again."
        check_ids("candidates' queries", collection.query_ids, candidates.query_ids, mend)
        check_ids("candidates' documents", collection.doc_ids, candidates.doc_ids, mend)
        self.collection, self.candidates = collection, candidates
        self.pairs = collection.pairs
        self.kept: NDArray[np.bool_] = (candidates.docs >= 0) & (candidates.weight > 0)
        self.positive_scores = positive_scores

    def of_pairs(self) -> Floats:
        """(pair,) the score of every labelled pair."""
        if self.positive_scores is not None:
            wanted = (len(self.pairs),)
            given: object = self.positive_scores
            if not isinstance(given, np.ndarray):
                kind = "it must be an array of numbers"
                raise BadArgument("positive_scores", given, kind, "Use numpy.asarray.")
            if self.positive_scores.shape != wanted:
                raise BadArgument(
                    "positive_scores", self.positive_scores.shape,
                    f"its shape must be {wanted}, that of collection.pairs", "Align it.",
                )  # fmt: skip
            return self.positive_scores
        if (np.diff(self.pairs[:, 0]) == 0).any():
            raise BadArgument(
                "positive_scores", None,
                "some query has several positives, and candidates hold the weakest's score only",
                "Give the score of each of collection.pairs.",
            )  # fmt: skip
        return self.candidates.positive_scores[self.pairs[:, 0]]


class _Table:
    """Columns of positions, turned into texts and, where wanted, ids at the end."""

    def __init__(self, collection: Collection, *, ids: bool) -> None:
        self.texts = {
            "query": np.array(collection.query_texts, dtype=object),
            "doc": np.array(collection.doc_texts, dtype=object),
        }
        self.names = {"query": collection.query_ids, "doc": collection.doc_ids} if ids else None
        self.columns: dict[str, list[Any]] = {}
        self.last: dict[str, list[Any]] = {}

    def add(self, name: str, side: str, positions: Ints) -> None:
        """A column of texts, and of ids under `<name>_id`."""
        self.columns[name] = self.texts[side][positions].tolist()
        if self.names is not None:
            self.last[f"{name}_id"] = self.names[side][positions].tolist()

    def add_lists(self, name: str, docs: Ints, ends: Ints) -> None:
        """A column of lists of documents, cut out of one long row."""
        self.columns[name] = _cut(self.texts["doc"][docs], ends)
        if self.names is not None:
            self.last[f"{name}_id"] = _cut(self.names["doc"][docs], ends)


def _cut(values: NDArray[Any], ends: Ints) -> list[list[Any]]:
    flat = values.tolist()
    starts = [0, *ends.tolist()][: len(ends)]
    return [flat[start:end] for start, end in zip(starts, ends.tolist(), strict=True)]


def to_dataset(
    collection: Collection,
    candidates: Candidates,
    *,
    layout: str = "triplet",
    scores: bool = False,
    positive_scores: Floats | None = None,
    ids: bool = False,
) -> Dataset:
    """Negatives of weight > 0 beside every labelled positive, as texts.

        triplet       query, positive, negative                 a row per pair and negative
        n-tuple       query, positive, negative_1..negative_n   a row per pair that has all n
        labeled-pair  query, positive, label                    a row per positive 1, negative 0
        labeled-list  query, [positive, negatives], labels      a row per pair with a negative

    Rows, columns and order are those of sentence-transformers' `mine_hard_negatives`; `from_rows`
    reads the first two back. A query without a labelled positive has no row.

    Args:
        collection: where texts and labelled positives stand.
        candidates: mined, usually chosen (`choose`): n is the width of the list.
        layout: which of the four.
        scores: add `scores` ([positive's, negatives']; in labeled-pair one `score`, and there and
            in labeled-list it stands in place of labels).
        positive_scores: (pair,) score of every row of `collection.pairs`, for `scores`. None takes
            `candidates.positive_scores`, which will do where no query has two positives.
        ids: add `query_id`, `positive_id` and so on.

    Returns:
        A `datasets.Dataset`; texts are as they stand in the collection.

    Raises:
        BadArgument: an unknown layout, or scores of positives are missing.
        BadData: candidates of another collection.

    Example:
        >>> from workbench.data import from_rows
        >>> from workbench.mine import bm25
        >>> rows = [{"query": f"word {n}", "positive": f"word {n} said"} for n in range(2)]
        >>> demo = from_rows(rows, name="demo")
        >>> to_dataset(demo, bm25(demo, k=1))[0]
        {'query': 'word 0', 'positive': 'word 0 said', 'negative': 'word 1 said'}

    Breaks when: queries differ much in how many negatives they have: n-tuple leaves out all that
    came out short.
    """
    from datasets import Dataset

    check_choice("layout", layout, LAYOUTS)
    source = _Source(collection, candidates, positive_scores)
    table = _Table(collection, ids=ids)
    of_pairs = source.of_pairs() if scores else None
    {
        "triplet": _triplet,
        "n-tuple": _tuples,
        "labeled-pair": _labelled_pairs,
        "labeled-list": _labelled_lists,
    }[layout](source, table, of_pairs)
    return Dataset.from_dict({**table.columns, **table.last})


def to_parquet(
    path: str | Path,
    collection: Collection,
    candidates: Candidates,
    *,
    layout: str = "triplet",
    scores: bool = False,
    positive_scores: Floats | None = None,
    ids: bool = False,
) -> Path:
    """Write `to_dataset` as one Parquet file, whole or not at all.

    Args:
        path: of the file; an older one is replaced.
        collection: see `to_dataset`, as for all.
        candidates: mined.
        layout: which of the four.
        scores: add them.
        positive_scores: of every labelled pair.
        ids: add them.

    Returns:
        The path.

    Raises:
        BadArgument: the path is a folder, or see `to_dataset`.

    Example:
        >>> from tempfile import mkdtemp
        >>> from workbench.data import from_rows
        >>> from workbench.mine import bm25
        >>> rows = [{"query": f"word {n}", "positive": f"word {n} said"} for n in range(2)]
        >>> demo = from_rows(rows, name="demo")
        >>> to_parquet(f"{mkdtemp()}/mined.parquet", demo, bm25(demo, k=1)).name
        'mined.parquet'
    """
    import pyarrow.parquet as pq

    if Path(path).is_dir():
        raise BadArgument("path", str(path), "it is a folder", "Name a file, mined.parquet say.")
    made = to_dataset(
        collection,
        candidates,
        layout=layout,
        scores=scores,
        positive_scores=positive_scores,
        ids=ids,
    )
    with atomic_file(Path(path)) as temporary:
        pq.write_table(made.with_format("arrow")[:], temporary)
    return Path(path)


def _beside_pairs(source: _Source) -> tuple[Ints, Ints, Ints]:
    """(pair, query, column) of every negative of every pair's query, in order."""
    queries = source.pairs[:, 0]
    pair, column = np.nonzero(source.kept[queries])
    return pair, queries[pair], column


def _triplet(source: _Source, table: _Table, of_pairs: Floats | None) -> None:
    pair, query, column = _beside_pairs(source)
    table.add("query", "query", query)
    table.add("positive", "doc", source.pairs[pair, 1])
    table.add("negative", "doc", source.candidates.docs[query, column])
    if of_pairs is not None:
        both = [of_pairs[pair], source.candidates.scores[query, column]]
        table.columns["scores"] = np.stack(both, axis=1).tolist()


def _tuples(source: _Source, table: _Table, of_pairs: Floats | None) -> None:
    whole = np.flatnonzero(np.all(source.kept[source.pairs[:, 0]], axis=1))
    query, positive = source.pairs[whole].T
    table.add("query", "query", query)
    table.add("positive", "doc", positive)
    for place in range(source.kept.shape[1]):
        table.add(f"negative_{place + 1}", "doc", source.candidates.docs[query, place])
    if of_pairs is not None:
        both = [of_pairs[whole, None], source.candidates.scores[query]]
        table.columns["scores"] = np.concatenate(both, axis=1).tolist()


def _labelled_pairs(source: _Source, table: _Table, of_pairs: Floats | None) -> None:
    rows, column = np.nonzero(source.kept)
    asked = np.isin(rows, source.pairs[:, 0])
    rows, column = rows[asked], column[asked]
    queries = np.concatenate([source.pairs[:, 0], rows])
    docs = np.concatenate([source.pairs[:, 1], source.candidates.docs[rows, column]])
    label = np.repeat([1, 0], [len(source.pairs), len(rows)])
    order = np.lexsort((-label, queries))  # stable: positives, then negatives in their order
    table.add("query", "query", queries[order])
    table.add("positive", "doc", docs[order])
    if of_pairs is None:
        table.columns["label"] = label[order].tolist()
    else:
        values = np.concatenate([of_pairs, source.candidates.scores[rows, column]])
        table.columns["score"] = values[order].tolist()


def _labelled_lists(source: _Source, table: _Table, of_pairs: Floats | None) -> None:
    pair, query, column = _beside_pairs(source)
    with_some, counts = np.unique(pair, return_counts=True)
    sizes = counts + 1
    ends = np.cumsum(sizes)
    first = ends - sizes
    docs = np.empty(int(sizes.sum()), dtype=np.int64)
    docs[first] = source.pairs[with_some, 1]
    _, places = spread(first + 1, counts)
    docs[places] = source.candidates.docs[query, column]
    table.add("query", "query", source.pairs[with_some, 0])
    table.add_lists("positive", docs, ends)
    values: NDArray[Any] = np.zeros(len(docs), dtype=np.int64 if of_pairs is None else np.float32)
    values[first] = 1 if of_pairs is None else of_pairs[with_some]
    if of_pairs is not None:
        values[places] = source.candidates.scores[query, column]
    table.columns["labels" if of_pairs is None else "scores"] = _cut(values, ends)
