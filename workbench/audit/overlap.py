"""What stands on both sides of a split: equal texts, near-copies, neighbours by vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.data.duplicates import exact_duplicates
from workbench.data.known import spread
from workbench.data.minhash import pairs_across, shingle_sets, signatures
from workbench.data.sets import check_texts
from workbench.errors import BadArgument, check_choice, check_count, check_number
from workbench.mine.exact import finite_sides
from workbench.mine.facts import check_ids, check_pair, unit
from workbench.mine.index import nearest
from workbench.types import Collection, Ints, Vectors

if TYPE_CHECKING:
    import pandas as pd

Sides = tuple[Vectors, Vectors]
"""(query vectors, document vectors) of one collection."""
FIELDS = ("query in queries", "query in docs", "doc in queries", "doc in docs")
"""Where a text of the test side was found on the training side."""


def near_copies(
    test: Sequence[str],
    train: Sequence[str],
    *,
    threshold: float = 0.8,
    shingle: int = 5,
    permutations: int = 128,
    seed: int = 0,
) -> pd.DataFrame:
    """Pairs of a test and a training text that are equal, or share most of their shingles.

        similarity = |A & B| / |A | B| >= threshold,   A, B = sets of `shingle` consecutive tokens

    MinHash proposes pairs, each is then verified on the full sets, as in `data.near_duplicates`;
    here nothing is chained: every pair stands for itself.

    Args:
        test: any strings; those shorter than `shingle` tokens are found only when equal.
        train: any strings.
        threshold: Jaccard similarity in (0, 1]; 0.8 is usual.
        shingle: tokens per shingle, usually 3 to 9.
        permutations: length of a MinHash signature.
        seed: of the permutations.

    Returns:
        One row per test text and distinct training text: positions `test` and `train` (the first of
        the training texts that are equal), `similarity`, `how` ("equal", white space aside, or
        "shingles"), `copies` (training texts that are equal to it); by test, most similar first.

    Raises:
        BadArgument: an option out of range, or a text that is no string.

    Example:
        >>> copy = "for row in rows: total = total + row.price * row.count"
        >>> near_copies([copy, "pass"], ["return", copy + ";"])[["test", "train", "how"]].values
        array([[0, 1, 'shingles']], dtype=object)

    Source: Broder, 1997.

    Breaks when: a copy is reworded; `near_vectors` and `find_rephrased` look for those.
    """
    check_number("threshold", threshold, above=0, at_most=1, mend="Try 0.8.")
    check_count("shingle", shingle, mend="Try 5.")
    check_count("permutations", permutations, at_least=8, mend="Try 128.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    check_texts("test", test)
    check_texts("train", train)
    same = exact_duplicates([*test, *train])
    ours, first_of_ours, owner = np.unique(
        same[: len(test)], return_index=True, return_inverse=True
    )
    theirs, first, copies = np.unique(same[len(test) :], return_index=True, return_counts=True)
    sets = shingle_sets(
        [*(test[place] for place in first_of_ours), *(train[place] for place in first)], shingle
    )
    hashed = signatures(sets, permutations=permutations, seed=seed)
    near, shares = pairs_across(sets, hashed, len(ours), threshold=threshold)
    near[:, 1] -= len(ours)
    other = ours[near[:, 0]] != theirs[near[:, 1]]
    _, equal_ours, equal_theirs = np.intersect1d(ours, theirs, return_indices=True)
    pairs = np.concatenate([np.stack([equal_ours, equal_theirs], axis=1), near[other]])
    similarity = np.concatenate([np.ones(len(equal_ours)), shares[other]])
    # From distinct test texts back to every test text.
    order = np.argsort(owner, kind="stable")
    starts = np.searchsorted(owner[order], np.arange(len(ours) + 1))
    rows, places = spread(starts[pairs[:, 0]], np.diff(starts)[pairs[:, 0]])
    found = {
        "test": order[places],
        "train": first[pairs[rows, 1]],
        "similarity": similarity[rows],
        "how": np.where(rows < len(equal_ours), "equal", "shingles"),
        "copies": copies[pairs[rows, 1]],
    }
    return _sorted(found)


def near_vectors(
    test: Vectors,
    train: Vectors,
    *,
    threshold: float = 0.95,
    k: int = 5,
    index: str = "auto",
    seed: int = 0,
) -> pd.DataFrame:
    """Pairs of a test and a training text whose vectors nearly agree.

        similarity = cosine >= threshold, among the k nearest of each test text

    Args:
        test: vectors of the test texts.
        train: vectors of the training texts, by the same encoder.
        threshold: cosine, -1 to 1; what is near depends on the encoder: 0.9 to 0.98 are usual.
        k: most pairs per test text, 1 to 20.
        index: see `mine.nearest`; "flat" is exact.
        seed: of the index.

    Returns:
        The columns of `near_copies`; `how` is "vectors", `copies` 1.

    Raises:
        BadArgument: an option out of range, vectors of two encoders.
        BadData: a vector is not finite.

    Example:
        >>> ids = np.array(["a", "b"], dtype=object)
        >>> both = Vectors(values=np.eye(2, dtype=np.float32), ids=ids, encoder="e")
        >>> near_vectors(both, both, k=1)[["test", "train", "similarity"]].values.tolist()
        [[0.0, 0.0, 1.0], [1.0, 1.0, 1.0]]

    Breaks when: the encoder puts a whole topic close together; near is then not the same.
    """
    check_number("threshold", threshold, at_least=-1, at_most=1, mend="Try 0.95.")
    check_count("k", k, mend="Try 5.")
    check_same_encoder(test, train)
    if not len(test.ids) or not len(train.ids):
        none = np.empty(0, dtype=np.int64)
        return _frame(none, none, none.astype(np.float64))
    finite_sides(test.values, train.values)
    scores, places, _ = nearest(
        unit(test.values), unit(train.values), k=min(k, len(train.ids)), index=index, seed=seed
    )
    rows, ranks = np.nonzero((scores >= threshold) & (places >= 0))
    return _frame(rows, places[rows, ranks], scores[rows, ranks].astype(np.float64))


def check_same_encoder(test: Vectors, train: Vectors) -> None:
    """Refuse vectors that cannot be compared.

    Raises:
        BadArgument: two encoders, two widths.
    """
    mend = "Encode both sides with one encoder."
    one, two = ((side.encoder, side.age) for side in (test, train))
    if one != two:
        raise BadArgument("train", two, f"its encoder must be that of `test`, {one}", mend)
    if test.values.shape[1] != train.values.shape[1]:
        wanted = f"its width must be {test.values.shape[1]} as that of `test`"
        raise BadArgument("train", train.values.shape, wanted, mend)


@dataclass(frozen=True, eq=False, kw_only=True)
class Leaks:
    """What of a test collection stands in a training collection.

    Args:
        test: name of the test side.
        train: name of the training side.
        pairs: one row per pair found: `field`, `test_id`, `train_id`, and the last three columns of
            `near_copies`.
        counts: test texts by kind, "query" and "doc".

    Example:
        >>> from workbench.data import from_rows
        >>> test = from_rows([{"query": "a b", "positive": "c"}], name="test")
        >>> train = from_rows([{"query": "d", "positive": "a  b"}], name="train")
        >>> leaks(test, train)
        Leaks('test' in 'train': 1 of 1 queries, 0 of 1 docs)
    """

    test: str
    train: str
    pairs: pd.DataFrame
    counts: dict[str, int]

    def leaked(self, kind: str) -> int:
        """How many test texts of a kind ("query" or "doc") were found on the training side.

        Raises:
            BadArgument: another kind.
        """
        check_choice("kind", kind, self.counts)
        mine = self.pairs[self.pairs["field"].str.startswith(kind)]
        return int(mine["test_id"].nunique())

    def share(self) -> dict[str, float]:
        """Share of the test queries and docs that were found."""
        return {kind: self.leaked(kind) / max(1, count) for kind, count in self.counts.items()}

    def frame(self) -> pd.DataFrame:
        """One row per field: pairs found, and distinct test texts in them."""
        import pandas as pd

        found = self.pairs.groupby("field")["test_id"].agg(["size", "nunique"])
        found = found.reindex(list(FIELDS), fill_value=0)
        counts = [self.counts[field.split()[0]] for field in FIELDS]
        return pd.DataFrame(
            {
                "field": FIELDS,
                "pairs": found["size"].to_numpy(),
                "leaked": found["nunique"].to_numpy(),
                "of": counts,
            }
        )

    def __repr__(self) -> str:
        plural = {"query": "queries", "doc": "docs"}
        parts = [
            f"{self.leaked(kind):,} of {n:,} {plural[kind]}" for kind, n in self.counts.items()
        ]
        return f"Leaks({self.test!r} in {self.train!r}: {', '.join(parts)})"


def leaks(
    test: Collection,
    train: Collection,
    *,
    query_threshold: float | None = None,
    doc_threshold: float | None = 0.8,
    test_vectors: Sides | None = None,
    train_vectors: Sides | None = None,
    vector_threshold: float = 0.95,
) -> Leaks:
    """Which texts of a test collection stand in a training collection, in whatever field.

    Queries are looked for among training queries and training documents, and documents the same:
    a query whose text is a training document has been seen. A split at random leaks in all four.

    Args:
        test: one side of a split.
        train: the other.
        query_threshold: Jaccard threshold of two queries; None = equal texts only, which is right
            for short queries.
        doc_threshold: the same where a document is involved.
        test_vectors: (query, document) vectors of `test`; with those of `train`, queries are also
            compared with queries and documents with documents by cosine.
        train_vectors: the same of `train`, by the same encoder.
        vector_threshold: cosine, see `near_vectors`.

    Returns:
        The pairs, with shares; a pair found both ways is reported as text. Of equal training texts
        the first stands for all: `leaks(train, test)` lists every training text to take out.

    Raises:
        BadArgument: a threshold out of range, vectors of one side only or of two encoders.
        BadData: vectors of other ids.

    Example:
        >>> from workbench.data import from_rows
        >>> test = from_rows([{"query": "a", "positive": "same thing"}])
        >>> train = from_rows([{"query": "b", "positive": "same  thing"}])
        >>> leaks(test, train).share()
        {'query': 0.0, 'doc': 1.0}

    Breaks when: copies are reworded and no vectors are given.
    """
    import pandas as pd

    sides = _sides_of((test, train), test_vectors, train_vectors)
    check_number("vector_threshold", vector_threshold, at_least=-1, at_most=1, mend="Try 0.95.")
    for name, value in (("query_threshold", query_threshold), ("doc_threshold", doc_threshold)):
        if value is not None:
            check_number(name, value, above=0, at_most=1, mend="Try 0.8, or None for equal texts.")
    asked = [value for value in (query_threshold, doc_threshold) if value is not None]
    frame = near_copies(
        [*test.query_texts, *test.doc_texts],
        [*train.query_texts, *train.doc_texts],
        threshold=min(asked, default=1.0),
    )
    is_doc = [
        frame[side].to_numpy() >= len(whole.queries)
        for side, whole in (("test", test), ("train", train))
    ]
    floors = np.array(
        [2.0 if value is None else value for value in (query_threshold, doc_threshold)]
    )
    floor = floors[(is_doc[0] | is_doc[1]).astype(np.int64)]
    kept = (frame["how"] == "equal").to_numpy() | (frame["similarity"].to_numpy() >= floor - 1e-9)
    frame.insert(0, "field", np.array(FIELDS, dtype=object)[2 * is_doc[0] + 1 * is_doc[1]])
    found = [frame[kept]]
    found += _by_vectors(test, train, sides, vector_threshold)
    pairs = pd.concat(found, ignore_index=True)
    pairs = pairs.drop_duplicates(["test", "train"], ignore_index=True)
    for side, whole in (("test", test), ("train", train)):
        ids = np.concatenate([whole.query_ids, whole.doc_ids])
        pairs[f"{side}_id"] = ids[pairs[side].to_numpy()]
    columns = ["field", "test_id", "train_id", "similarity", "how", "copies"]
    counts = {"query": len(test.queries), "doc": len(test.corpus)}
    return Leaks(test=test.name, train=train.name, pairs=pairs[columns], counts=counts)


def _sides_of(
    wholes: tuple[Collection, Collection], test_vectors: Sides | None, train_vectors: Sides | None
) -> list[Sides]:
    """The vectors of both sides, checked before any text is compared; none where there are none."""
    if test_vectors is None and train_vectors is None:
        return []
    sides = []
    named = zip(
        ("test_vectors", "train_vectors"), wholes, (test_vectors, train_vectors), strict=True
    )
    for name, whole, pair in named:
        if pair is None:
            wanted = "both sides need vectors"
            raise BadArgument(name, None, wanted, "Pass encode_collection(encoder, collection).")
        check_pair(name, pair)
        for ids, given in zip((whole.query_ids, whole.doc_ids), pair, strict=True):
            check_ids(f"`{name}`", ids, given.ids, "Encode this very collection, in its order.")
        sides.append(pair)
    for ours, theirs in zip(*sides, strict=True):
        check_same_encoder(ours, theirs)
        finite_sides(ours.values, theirs.values)
    return sides


def _by_vectors(
    test: Collection, train: Collection, sides: list[Sides], threshold: float
) -> list[pd.DataFrame]:
    """Query with query and document with document; documents are counted on after the queries."""
    frames: list[pd.DataFrame] = []
    if not sides:
        return frames
    for field, ours, theirs in zip((FIELDS[0], FIELDS[3]), *sides, strict=True):
        frame = near_vectors(ours, theirs, threshold=threshold)
        if field == FIELDS[3]:
            frame["test"] += len(test.queries)
            frame["train"] += len(train.queries)
        frame.insert(0, "field", field)
        frames.append(frame)
    return frames


def _frame(rows: Ints, places: Ints, similarity: np.ndarray) -> pd.DataFrame:
    how = np.full(len(rows), "vectors")
    ones = np.ones(len(rows), dtype=np.int64)
    return _sorted(
        {"test": rows, "train": places, "similarity": similarity, "how": how, "copies": ones}
    )


def _sorted(columns: dict[str, np.ndarray]) -> pd.DataFrame:
    import pandas as pd

    order = np.lexsort((columns["train"], -columns["similarity"], columns["test"]))
    frame = pd.DataFrame({name: column[order] for name, column in columns.items()})
    return frame.astype({"how": object})
