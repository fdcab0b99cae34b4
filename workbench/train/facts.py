"""The vectors of one batch, and all that is known about the collection its rows come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from workbench.data.known import KnownPositives, spread
from workbench.errors import BadArgument, BadData
from workbench.files import fingerprint
from workbench.scores import normalize
from workbench.types import Collection, Ids, Ints, LossStore, Vectors, Verdicts

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False, kw_only=True)
class Columns:
    """Vectors of candidates, and the positions of the texts they stand for.

    Args:
        vectors: (column, dim).
        positions: (column,) in the corpus, or among the queries.
        owners: (column,) which row of the batch each was mined for; None = nobody's.
        ages: (column,) optimiser steps since each was encoded; None = this very step.
    """

    vectors: Tensor
    positions: Ints
    owners: Ints | None = None
    ages: Ints | None = None

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True, eq=False, kw_only=True)
class Embedded:
    """The student's vectors of one batch, with the positions of the texts they stand for.

    Args:
        anchors: (query, dim).
        positives: (query, dim), row i the labelled positive of anchor i.
        negatives: (negative, dim) mined negatives of all rows, possibly none.
        queries: (query,) positions of the anchors in the collection.
        docs: (query,) positions of the positives.
        negative_docs: (negative,) positions of the negatives.
        owners: (negative,) which row each negative was mined for.
        rows: (query,) training rows, for what is remembered per pair; None = 0, 1, ...
        extra: columns from beyond the batch, by name: "queue", "bank", "shared"; and "anchors",
            "positives", "negatives" of all processes together, where there are several.
    """

    anchors: Tensor
    positives: Tensor
    negatives: Tensor
    queries: Ints
    docs: Ints
    negative_docs: Ints
    owners: Ints
    rows: Ints | None = None
    extra: Mapping[str, Columns] = field(default_factory=dict)

    @classmethod
    def of(cls, anchors: Tensor, positives: Tensor, negatives: Tensor | None = None) -> Embedded:
        """From vectors alone: every row its own text; negatives shared out row by row.

        Raises:
            BadArgument: no rows, widths or lengths that differ.
        """
        count = len(anchors)
        if count == 0 or anchors.shape != positives.shape:
            wanted = f"it must be {tuple(anchors.shape)} as anchors are, and not empty"
            raise BadArgument("positives", tuple(positives.shape), wanted, "One row per anchor.")
        if negatives is None:
            negatives = anchors.new_zeros(0, anchors.shape[1])
        if negatives.shape[1] != anchors.shape[1]:
            wanted = f"its width must be {anchors.shape[1]}"
            raise BadArgument("negatives", tuple(negatives.shape), wanted, "Use one encoder.")
        rows = np.arange(count)
        others = np.arange(len(negatives))
        return cls(
            anchors=anchors,
            positives=positives,
            negatives=negatives,
            queries=rows,
            docs=rows,
            negative_docs=others + count,
            owners=others % count,
        )

    def unit(self) -> Embedded:
        """The same with every vector scaled to length 1."""
        return self._map(normalize)

    def prefix(self, dim: int) -> Embedded:
        """The same with vectors cut to their first `dim` numbers.

        Raises:
            BadArgument: they have fewer.
        """
        if dim > self.anchors.shape[1]:
            wanted = f"the vectors have {self.anchors.shape[1]} numbers"
            raise BadArgument("dims", dim, wanted, "Leave it out.")
        return self._map(lambda vectors: vectors[:, :dim])

    def _map(self, change: Callable[[Tensor], Tensor]) -> Embedded:
        extra = {
            name: replace(columns, vectors=change(columns.vectors))
            for name, columns in self.extra.items()
        }
        return replace(
            self,
            anchors=change(self.anchors),
            positives=change(self.positives),
            negatives=change(self.negatives),
            extra=extra,
        )


def aligned(vectors: Vectors, ids: Ids, argument: str) -> Tensor:
    """Unit rows of `vectors` in the order of `ids`; a missing id is an error.

    Raises:
        BadData: some ids have no vector.
        BadArgument: a vector is not finite.
    """
    values = torch.from_numpy(np.array(vectors.values, dtype=np.float32))
    if not np.array_equal(vectors.ids, ids):
        place = {name: row for row, name in enumerate(vectors.ids)}
        missing = [f"no vector for id {name!r}" for name in ids if name not in place]
        if missing:
            raise BadData(argument, missing, "Encode this collection with the guide.")
        values = values[torch.tensor([place[name] for name in ids])]
    if not bool(values.isfinite().all()):
        raise BadArgument(argument, "NaN or inf", "every value must be finite", "Encode again.")
    return normalize(values)


def verdict_matrix(collection: Collection, verdicts: Verdicts) -> csr_array:
    """(query, doc) newest verdicts: +1 positive, -1 negative; others are not stored."""
    from scipy import sparse

    queries = {name: place for place, name in enumerate(collection.query_ids)}
    docs = {name: place for place, name in enumerate(collection.doc_ids)}
    cells = [
        (queries[query], docs[doc], 1 if label == "positive" else -1)
        for (query, doc), label in verdicts.newest().items()
        if label in ("positive", "negative") and query in queries and doc in docs
    ]
    table = np.array(cells, dtype=np.int64).reshape(-1, 3)
    shape = (len(queries), len(docs))
    matrix = sparse.coo_array(
        (table[:, 2].astype(np.int8), (table[:, 0], table[:, 1])), shape=shape
    )
    return matrix.tocsr()


@dataclass(frozen=True, eq=False, kw_only=True)
class Knowledge:
    """All a rule or loss may ask about a collection in training; built before the first step.

    Args:
        known: the known-positive graph.
        guide_queries: (queries, dim) unit vectors of a frozen guide, or None.
        guide_docs: (documents, dim) likewise.
        verdicts: (queries, documents) +1 / -1, or None.
        pairs: (row, 2) all labelled positives, sorted by query.
        grades: (queries, documents) graded judgments, or None.
        scores: name -> further scores of (query, document) pairs: a cross-encoder's, a teacher's.
        bank: (documents, dim) unit vectors of every document by a frozen encoder, or None.
        losses: what each training row has cost so far, or None.
        recipe: fingerprint of guide and verdicts.
        collection: fingerprint of the collection's ids; "" = unknown.
    """

    known: KnownPositives
    pairs: Ints
    recipe: str = ""
    collection: str = ""
    guide_queries: Tensor | None = None
    guide_docs: Tensor | None = None
    verdicts: csr_array | None = None
    grades: csr_array | None = None
    scores: Mapping[str, csr_array | Callable[[Ints, Ints], np.ndarray]] = field(
        default_factory=dict
    )
    bank: Tensor | None = None
    losses: LossStore | None = None

    @classmethod
    def of(
        cls,
        collection: Collection,
        *,
        guide: tuple[Vectors, Vectors] | None = None,
        verdicts: Verdicts | None = None,
        scores: Mapping[str, csr_array | Callable[[Ints, Ints], np.ndarray]] | None = None,
        bank: Vectors | None = None,
        losses: LossStore | None = None,
    ) -> Knowledge:
        """Gather what is known of a collection.

        Args:
            collection: its judgments and groups make the known-positive graph.
            guide: (query vectors, document vectors) of a frozen model, by id.
            verdicts: what people said.
            scores: name -> scores by position: a sparse (queries, documents) table, in which what
                is not stored is not known, or a function (queries, docs) -> rectangle. A rule or
                loss asks for it by that name; `teacher` is what distillation losses ask for, and
                is the guide's cosine when nobody gives one.
            bank: document vectors of a frozen encoder, for `Bank`.
            losses: a store that training fills, row by row, for rules about whole pairs.

        Raises:
            BadData: vectors are missing for some ids.
            BadArgument: scores of another shape.
        """
        shape = (len(collection.queries), len(collection.corpus))
        named = dict(scores or {})
        for name, given in named.items():
            if not callable(given) and given.shape != shape:
                wanted = f"it must be {shape}, queries by documents"
                raise BadArgument(f"scores[{name!r}]", given.shape, wanted, "Index by position.")
        return cls(
            known=KnownPositives.of(collection),
            pairs=collection.pairs,
            grades=collection.qrels,
            scores=named,
            losses=losses,
            collection=fingerprint(collection.query_ids, collection.doc_ids),
            recipe=fingerprint(
                [vectors.fingerprint for vectors in guide] if guide else None,
                [verdicts.query_ids, verdicts.doc_ids, verdicts.labels] if verdicts else None,
                [[name, _contents(given)] for name, given in sorted(named.items())],
                bank.fingerprint if bank is not None else None,
            ),
            guide_queries=aligned(guide[0], collection.query_ids, "guide[0]") if guide else None,
            guide_docs=aligned(guide[1], collection.doc_ids, "guide[1]") if guide else None,
            verdicts=verdict_matrix(collection, verdicts) if verdicts is not None else None,
            bank=aligned(bank, collection.doc_ids, "bank") if bank is not None else None,
        )

    @property
    def facts(self) -> tuple[str, ...]:
        """Names of the facts rules and losses can have in a batch."""
        names = ["score", "positive_score", "known", "same_group", "mined"]
        if self.guide_docs is not None:
            names += ["guide", "guide_positive", "neighbour", *TEACHERS]
        if self.verdicts is not None:
            names.append("verdict")
        if self.grades is not None:
            names.append("grade")
        for name in self.scores:
            names += [name, f"{name}_positive"]
        return tuple(dict.fromkeys(names))

    @cached_property
    def _stored(self) -> dict[str, csr_array]:
        """Where each table of scores holds something: 1 there, nothing elsewhere."""
        found = {}
        for name, given in self.scores.items():
            if not callable(given):
                found[name] = given.copy()
                found[name].data = np.ones_like(given.data)
        return found

    def scored(self, name: str, queries: Ints, docs: Ints) -> np.ndarray:
        """(queries, docs) of the scores called `name`; NaN where nothing is known."""
        given = self.scores[name]
        if callable(given):
            return np.asarray(given(queries, docs), dtype=np.float32)
        there = self._stored[name][queries][:, docs].toarray() > 0
        return np.where(there, given[queries][:, docs].toarray(), np.nan).astype(np.float32)

    def scored_pairs(self, name: str, queries: Ints, docs: Ints) -> np.ndarray:
        """(pair,) of the same, for position i of both; a function is asked pair by pair."""
        given = self.scores[name]
        if callable(given):
            each = [self.scored(name, q[None], d[None]) for q, d in zip(queries, docs, strict=True)]
            return np.concatenate(each).reshape(-1)
        there = np.asarray(self._stored[name][queries, docs]).reshape(-1) > 0
        found = np.asarray(given[queries, docs]).reshape(-1)
        return np.where(there, found, np.nan).astype(np.float32)

    def positives_of(self, queries: Ints) -> tuple[Ints, Ints]:
        """(index into `queries`, document) of every labelled positive of each query."""
        first = np.searchsorted(self.pairs[:, 0], queries, side="left")
        rows, places = spread(
            first, np.searchsorted(self.pairs[:, 0], queries, side="right") - first
        )
        return rows, self.pairs[places, 1]


TEACHERS = ("teacher", "in_batch_teacher")
"""Facts that are the guide's cosine unless `scores` holds them."""


def _contents(given: csr_array | Callable[[Ints, Ints], np.ndarray]) -> list[object]:
    if callable(given):
        return [getattr(given, "__module__", ""), getattr(given, "__qualname__", repr(given))]
    return [given.indptr, given.indices, given.data]
