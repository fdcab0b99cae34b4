"""What rules may ask about mined lists, made for one chunk of queries after the other.

A mined list is a (query, rank) rectangle of cells, so the rules of the losses act on it unchanged.
A fact is made only when a rule asks for it; document vectors are gathered for one chunk at a time,
never as (query, rank, dim) of the whole list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, BadData
from workbench.mine.named import NamedScores, Scores
from workbench.mine.ranking import weakest
from workbench.types import (
    Candidates,
    Collection,
    Floats,
    Ids,
    Ints,
    Vectors,
    Verdicts,
    check_verdicts,
)

if TYPE_CHECKING:
    from workbench.rules import Rule
    from workbench.scores import Cells

GATHERED = 64 * 2**20
"""Bytes of document vectors gathered at once."""
VERDICT = {"positive": 1, "negative": -1}


def check_facts(
    rules: Sequence[Rule],
    *,
    collection: Collection | None,
    guide: tuple[Vectors, Vectors] | None,
    known: KnownPositives | None,
    verdicts: Verdicts | None,
    scores: Scores | None = None,
) -> None:
    """Refuse, before any work, a rule whose facts cannot be had from what was given.

    Raises:
        BadArgument: the rule, the fact it lacks, and how to supply it.
    """
    from workbench.rules import check_rules

    if not isinstance(rules, Sequence):
        raise BadArgument("rules", rules, "it must be a list of rules", "Write rules=[Margin()].")
    facts = ["score", "positive_score", "rank"]
    if guide is not None:
        facts += ["guide", *(["guide_positive", "neighbour"] if collection is not None else [])]
    if known is not None or collection is not None:
        facts.append("known")
    if collection is not None:
        facts.append("same_group")
    if verdicts is not None:
        check_verdicts("verdicts", verdicts)
        facts.append("verdict")
    for name in scores or {}:
        facts += [name, *([f"{name}_positive"] if collection is not None else [])]
    check_rules(rules, facts)


def check_ids(what: str, wanted: Ids, given: Ids, mend: str) -> None:
    """Refuse ids that are not the wanted ones in the wanted order."""
    if len(wanted) != len(given):
        raise BadData(what, [f"{len(given):,} ids where {len(wanted):,} are wanted"], mend)
    if len(wrong := np.flatnonzero(wanted != given)):
        place = int(wrong[0])
        problem = f"row {place} is {given[place]!r} where {wanted[place]!r} is wanted"
        raise BadData(what, [problem], mend)


def check_known(known: KnownPositives | None, wanted: tuple[int, int]) -> None:
    """Refuse a graph of other (queries, documents) than there are.

    Raises:
        BadArgument: its shape, or it is no graph.
    """
    mend = "Pass KnownPositives.of(collection) of the collection that was mined."
    if known is None:
        return
    if not isinstance(known, KnownPositives):
        raise BadArgument("known", known, "it must be a KnownPositives", mend)
    shape = (len(known.query_groups), len(known.doc_groups))
    if shape != wanted:
        raise BadArgument("known", shape, f"it must be of {wanted} queries and documents", mend)


def check_pair(name: str, pair: object) -> None:
    """Refuse what is no pair of vectors.

    Raises:
        BadArgument: what it is instead.
    """
    sides: list[object] = list(pair) if isinstance(pair, tuple | list) else []
    if len(sides) == 2 and all(isinstance(side, Vectors) for side in sides):
        return
    kind = type(pair).__name__
    if isinstance(pair, tuple | list):
        kind += f" of {', '.join(type(side).__name__ for side in sides) or 'nothing'}"
    wanted = "it must be a pair of Vectors (queries, documents)"
    raise BadArgument(name, kind, wanted, "Pass encode_collection(encoder, collection).")


def check_vectors(
    name: str, vectors: tuple[Vectors, Vectors], query_ids: Ids, doc_ids: Ids
) -> None:
    """Refuse a (query, document) pair of vectors that does not belong to these ids."""
    mend = "Encode the queries and the corpus of this very collection, in its order."
    check_pair(name, vectors)
    for side, ids, given in zip(("query", "doc"), (query_ids, doc_ids), vectors, strict=True):
        check_ids(f"{name} {side} vectors", ids, given.ids, mend)
    widths = [given.values.shape[1] for given in vectors]
    if widths[0] != widths[1]:
        raise BadArgument(
            name, widths, "both sides must have one width", "Encode both sides with one encoder."
        )


def unit(rows: NDArray[np.floating]) -> Floats:
    """Rows scaled to length 1; a row of zeros stays one.

    Example:
        >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    values = np.asarray(rows, dtype=np.float32)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    units: Floats = values / np.maximum(lengths, np.float32(1e-12))
    return units


class Unit:
    """Rows of vectors, scaled to length 1 as they are read, so that a dot product is a cosine."""

    def __init__(self, vectors: Vectors) -> None:
        self.values = vectors.values

    def __call__(self, places: Ints | slice) -> Floats:
        """The rows at these positions, (*places, dim)."""
        rows = np.asarray(self.values[places], dtype=np.float32)
        lengths = np.sqrt(np.einsum("...d,...d->...", rows, rows))[..., None]
        units: Floats = rows / np.maximum(lengths, np.float32(1e-12))
        return units


class ListFacts:
    """The facts about one mined list.

    Args:
        candidates: the list.
        collection: where labelled positives stand; None = facts about them cannot be had.
        guide: (query, document) vectors of a frozen model.
        known: the known-positive graph; None = that of the collection, when asked for.
        verdicts: what people said.
        scores: name -> further scores of (query, document) pairs.

    Raises:
        BadArgument: scores of another shape, or under a name that is taken.
        BadData: ids of these do not fit together.
    """

    def __init__(
        self,
        candidates: Candidates,
        *,
        collection: Collection | None,
        guide: tuple[Vectors, Vectors] | None,
        known: KnownPositives | None,
        verdicts: Verdicts | None,
        scores: Scores | None = None,
    ) -> None:
        self.candidates, self.collection = candidates, collection
        if collection is not None:
            mend = "Mine this very collection again."
            check_ids("candidates' queries", collection.query_ids, candidates.query_ids, mend)
            check_ids("candidates' documents", collection.doc_ids, candidates.doc_ids, mend)
        self.step = 4096
        if guide is not None:
            check_vectors("guide", guide, candidates.query_ids, candidates.doc_ids)
            self.query_units, self.doc_units = Unit(guide[0]), Unit(guide[1])
            wide = max(1, candidates.docs.shape[1])
            self.step = max(1, GATHERED // (4 * wide * guide[1].values.shape[1]))
        wanted = (len(candidates.query_ids), len(candidates.doc_ids))
        self.scores = {
            name: NamedScores(name, given, wanted) for name, given in (scores or {}).items()
        }
        self.known = known
        check_known(known, wanted)
        self.said = None if verdicts is None else _said(verdicts, candidates)

    def chunks(self) -> Iterator[tuple[slice, Cells]]:
        """(rows of the list, their cells), over all rows."""
        from tqdm.auto import tqdm

        count = len(self.candidates.docs)
        with tqdm(total=count, desc="rules", unit="query", disable=None, delay=2) as progress:
            for start in range(0, count, self.step):
                rows = slice(start, min(start + self.step, count))
                yield rows, self._cells(rows)
                progress.update(rows.stop - rows.start)

    def _cells(self, rows: slice) -> Cells:
        import torch

        from workbench.scores import Cells

        docs = self.candidates.docs[rows]
        gathered = cache(lambda: self._gathered(docs))
        positives = cache(lambda: self._positives(rows))
        made: dict[str, Callable[[], NDArray[Any]]] = {
            "score": lambda: self.candidates.scores[rows],
            "positive_score": lambda: self.candidates.positive_scores[rows],
            "rank": lambda: self.candidates.ranks[rows],
            "guide": lambda: self._guide(rows, docs, gathered()),
            "guide_positive": lambda: self._guide_positive(rows, *positives()),
            "neighbour": lambda: self._neighbour(docs, gathered(), *positives()),
            "known": lambda: self._graph().paired(np.arange(rows.start, rows.stop), docs),
            "verdict": lambda: self._verdict(rows, docs),
            "same_group": lambda: self._same_group(docs, *positives()),
        }
        for name, given in self.scores.items():
            made[name] = partial(given.cells, np.arange(rows.start, rows.stop), docs)
            made[f"{name}_positive"] = partial(self._named_positive, given, rows)

        def tensor(make: Callable[[], NDArray[Any]]) -> Callable[[], torch.Tensor]:
            return lambda: torch.from_numpy(np.array(make()))

        facts = {name: tensor(make) for name, make in made.items()}
        return Cells((docs.shape[0], docs.shape[1]), {**facts})

    def _gathered(self, docs: Ints) -> Floats:
        """(query, rank, dim) vectors of the documents; nothing is read for rows without any."""
        filled = np.flatnonzero((docs >= 0).any(axis=1))
        if len(filled) == len(docs):
            return self.doc_units(np.maximum(docs, 0))
        units = np.zeros((*docs.shape, self.doc_units.values.shape[1]), dtype=np.float32)
        units[filled] = self.doc_units(np.maximum(docs[filled], 0))
        return units

    def _graph(self) -> KnownPositives:
        if self.known is None and self.collection is not None:
            self.known = KnownPositives.of(self.collection)
        if self.known is None:
            raise BadArgument("known", None, "a rule asks for it", "Pass collection= or known=.")
        return self.known

    def _positives(self, rows: slice) -> tuple[Ints, Ints]:
        """(row counted from the chunk's first, document) of every labelled positive, by row."""
        if self.collection is None:
            raise BadArgument(
                "collection", None, "a rule asks for the labelled positives", "Pass collection=."
            )
        pairs = self.collection.pairs
        ends = np.searchsorted(pairs[:, 0], [rows.start, rows.stop])
        return pairs[ends[0] : ends[1], 0] - rows.start, pairs[ends[0] : ends[1], 1]

    def _guide(self, rows: slice, docs: Ints, gathered: Floats) -> Floats:
        cosines = np.einsum("qd,qkd->qk", self.query_units(rows), gathered)
        return np.where(docs >= 0, cosines, np.float32(np.nan))

    def _guide_positive(self, rows: slice, owners: Ints, docs: Ints) -> Floats:
        queries = self.query_units(rows)
        cosines = np.empty(len(docs), dtype=np.float32)
        for start in range(0, len(docs), self.step):
            some = slice(start, start + self.step)
            cosines[some] = np.einsum("pd,pd->p", queries[owners[some]], self.doc_units(docs[some]))
        return weakest(owners, cosines, rows.stop - rows.start)

    def _neighbour(self, listed: Ints, gathered: Floats, owners: Ints, docs: Ints) -> Floats:
        nearest = np.full(gathered.shape[:2], np.nan, dtype=np.float32)
        ends = np.searchsorted(owners, np.arange(len(gathered) + 1))
        for row in np.flatnonzero((listed >= 0).any(axis=1) & (np.diff(ends) > 0)):
            mine = docs[ends[row] : ends[row + 1]]
            nearest[row] = (gathered[row] @ self.doc_units(mine).T).max(axis=1)
        return nearest

    def _same_group(self, docs: Ints, owners: Ints, positives: Ints) -> NDArray[np.bool_]:
        groups = self._graph().doc_groups
        wide = int(groups.max(initial=0)) + 1
        mine = np.unique(owners * wide + groups[positives])
        wanted = np.arange(len(docs))[:, None] * wide + groups[np.maximum(docs, 0)]
        return np.isin(wanted, mine) & (docs >= 0)

    def _named_positive(self, given: NamedScores, rows: slice) -> Floats:
        """The weakest score among labelled positives that have one."""
        owners, docs = self._positives(rows)
        scores = given.pairs(owners + rows.start, docs)
        known = ~np.isnan(scores)
        return weakest(owners[known], scores[known], rows.stop - rows.start)

    def _verdict(self, rows: slice, docs: Ints) -> NDArray[np.int8]:
        if self.said is None:
            raise BadArgument("verdicts", None, "a rule asks for them", "Pass verdicts=.")
        return _looked_up(self.said, rows, docs, len(self.candidates.doc_ids))


def said_of(verdicts: Verdicts, candidates: Candidates) -> NDArray[np.int8]:
    """(query, rank) of a whole list: +1 judged positive, -1 judged negative, 0 neither.

    Args:
        verdicts: the newest of a pair counts; "unsure" and "skip" are neither.
        candidates: the list.
    """
    check_verdicts("verdicts", verdicts)
    whole = slice(0, len(candidates.docs))
    return _looked_up(_said(verdicts, candidates), whole, candidates.docs, len(candidates.doc_ids))


def _looked_up(
    said: tuple[Ints, NDArray[np.int8]], rows: slice, docs: Ints, wide: int
) -> NDArray[np.int8]:
    keys, labels = said
    wanted = np.arange(rows.start, rows.stop)[:, None] * wide + docs
    place = np.searchsorted(keys[:-1], wanted)
    hit = (keys[place] == wanted) & (docs >= 0)
    return np.where(hit, labels[place], 0).astype(np.int8)


def _said(verdicts: Verdicts, candidates: Candidates) -> tuple[Ints, NDArray[np.int8]]:
    """Sorted cell numbers that were judged, and +1 or -1 each; a sentinel of -1 closes both."""
    queries = {name: place for place, name in enumerate(candidates.query_ids.tolist())}
    docs = {name: place for place, name in enumerate(candidates.doc_ids.tolist())}
    wide = len(docs)
    cells = sorted(
        (queries[query] * wide + docs[doc], VERDICT.get(label, 0))
        for (query, doc), label in verdicts.newest().items()
        if query in queries and doc in docs
    )
    keys = np.array([*(cell for cell, _ in cells), -1], dtype=np.int64)
    return keys, np.array([*(label for _, label in cells), 0], dtype=np.int8)
