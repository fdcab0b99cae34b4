"""What is known about the rows of a batch, cut to the cells a rule asks about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from workbench.data.known import KnownPositives, matches, spread
from workbench.errors import BadArgument, BadData
from workbench.files import fingerprint
from workbench.scores import Cells, normalize
from workbench.types import Collection, Ids, Ints, Vectors, Verdicts

if TYPE_CHECKING:
    from scipy.sparse import csr_array


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
    """

    anchors: Tensor
    positives: Tensor
    negatives: Tensor
    queries: Ints
    docs: Ints
    negative_docs: Ints
    owners: Ints

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
    """All a rule may ask about a collection during training; built once, before the first step.

    Args:
        known: the known-positive graph.
        guide_queries: (queries, dim) unit vectors of a frozen guide, or None.
        guide_docs: (documents, dim) likewise.
        verdicts: (queries, documents) +1 / -1, or None.
        pairs: (row, 2) all labelled positives, sorted by query.
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

    @classmethod
    def of(
        cls,
        collection: Collection,
        *,
        guide: tuple[Vectors, Vectors] | None = None,
        verdicts: Verdicts | None = None,
    ) -> Knowledge:
        """Gather what is known of a collection.

        Args:
            collection: its judgments and groups make the known-positive graph.
            guide: (query vectors, document vectors) of a frozen model, by id.
            verdicts: what people judged.
        """
        return cls(
            known=KnownPositives.of(collection),
            pairs=collection.pairs,
            collection=fingerprint(collection.query_ids, collection.doc_ids),
            recipe=fingerprint(
                [vectors.fingerprint for vectors in guide] if guide else None,
                [verdicts.query_ids, verdicts.doc_ids, verdicts.labels] if verdicts else None,
            ),
            guide_queries=aligned(guide[0], collection.query_ids, "guide[0]") if guide else None,
            guide_docs=aligned(guide[1], collection.doc_ids, "guide[1]") if guide else None,
            verdicts=verdict_matrix(collection, verdicts) if verdicts is not None else None,
        )

    @property
    def facts(self) -> tuple[str, ...]:
        """Names of the facts rules can have in a batch."""
        names = ["score", "positive_score", "known"]
        if self.guide_docs is not None:
            names += ["guide", "guide_positive", "neighbour"]
        if self.verdicts is not None:
            names.append("verdict")
        return tuple(names)

    def positives_of(self, queries: Ints) -> tuple[Ints, Ints]:
        """(index into `queries`, document) of every labelled positive of each query."""
        first = np.searchsorted(self.pairs[:, 0], queries, side="left")
        rows, places = spread(
            first, np.searchsorted(self.pairs[:, 0], queries, side="right") - first
        )
        return rows, self.pairs[places, 1]


@dataclass(frozen=True, eq=False, kw_only=True)
class Block:
    """Candidate columns of one kind: which vectors, and whose texts they are.

    `name` is two letters, left and right: a anchors, p positives, n mined negatives.
    """

    name: str
    left: Tensor
    right: Tensor
    positions: Ints
    owners: Ints | None = None

    @property
    def right_is_query(self) -> bool:
        """Are the columns queries rather than documents?"""
        return self.name[1] == "a"

    @property
    def mirrored(self) -> bool:
        """Is the anchor of this row the document, looking at queries?"""
        return self.name == "pa"


def identical(block: Block, batch: Embedded, columns: slice) -> Tensor:
    """(query, columns): is the column the anchor itself or its labelled positive, by position?

    Also true where a mined negative belongs to another row and rows keep their own.
    """
    own = batch.queries if block.right_is_query else batch.docs
    here = block.positions[columns]
    if block.owners is None:
        same = torch.zeros(len(own), len(here), dtype=torch.bool)
    else:
        same = torch.from_numpy(block.owners[columns][None, :] != np.arange(len(own))[:, None])
    rows, places = matches(own, here)
    same[torch.from_numpy(rows), torch.from_numpy(places)] = True
    return same.to(block.left.device)


def cells(block: Block, batch: Embedded, knowledge: Knowledge | None, columns: slice) -> Cells:
    """The facts of one rectangle, each made only if a rule asks."""
    right = block.positions[columns]
    device = block.left.device
    facts = {
        "score": lambda: block.left.detach() @ block.right[columns].detach().T,
        "positive_score": lambda: (batch.anchors * batch.positives).detach().sum(dim=1),
    }
    if knowledge is not None:
        known = knowledge.known
        facts["known"] = lambda: torch.from_numpy(_known(known, block, batch, right)).to(device)
        if knowledge.guide_docs is not None and knowledge.guide_queries is not None:
            asked = _Guided(knowledge, block, batch, right)
            facts["guide"] = lambda: asked.guide().to(device)
            facts["guide_positive"] = lambda: asked.positive().to(device)
            facts["neighbour"] = lambda: asked.neighbour().to(device)
        if knowledge.verdicts is not None:
            matrix = knowledge.verdicts
            facts["verdict"] = lambda: torch.from_numpy(_verdicts(matrix, block, batch, right)).to(
                device
            )
    return Cells((len(batch.queries), len(right)), facts)  # type: ignore[arg-type]


def _known(known: KnownPositives, block: Block, batch: Embedded, right: Ints) -> np.ndarray:
    if block.mirrored:
        return np.ascontiguousarray(known.block(right, batch.docs).T)
    if block.right_is_query:
        return known.shared(batch.queries, right)
    return known.block(batch.queries, right)


def _verdicts(matrix: csr_array, block: Block, batch: Embedded, right: Ints) -> np.ndarray:
    if block.mirrored:
        found = matrix[right][:, batch.docs].toarray().T
    elif block.right_is_query:
        found = np.zeros((len(batch.queries), len(right)))
    else:
        found = matrix[batch.queries][:, right].toarray()
    return np.ascontiguousarray(found, dtype=np.int8)


class _Guided:
    """What the guide says of one rectangle."""

    def __init__(self, knowledge: Knowledge, block: Block, batch: Embedded, right: Ints) -> None:
        assert knowledge.guide_queries is not None  # the caller saw to it
        assert knowledge.guide_docs is not None
        self.knowledge, self.block, self.batch, self.right = knowledge, block, batch, right
        self.queries, self.docs = knowledge.guide_queries, knowledge.guide_docs

    def _left(self) -> Tensor:
        if self.block.name[0] == "a":
            return self.queries[self.batch.queries]
        return self.docs[self.batch.docs]

    def _right(self) -> Tensor:
        return (self.queries if self.block.right_is_query else self.docs)[self.right]

    def guide(self) -> Tensor:
        return self._left() @ self._right().T

    def positive(self) -> Tensor:
        return (self.queries[self.batch.queries] * self.docs[self.batch.docs]).sum(dim=1)

    def neighbour(self) -> Tensor:
        """Largest similarity to any known positive of the anchor (of the column, if mirrored)."""
        whose = self.right if self.block.mirrored else self.batch.queries
        others = self.docs[self.batch.docs] if self.block.mirrored else self._right()
        rows, members = self.knowledge.positives_of(whose)
        near = self.docs[members] @ others.T
        result = near.new_full((len(whose), len(others)), -1.0)
        index = torch.from_numpy(rows)[:, None].expand_as(near)
        result.scatter_reduce_(0, index, near, "amax")
        return result.T if self.block.mirrored else result
