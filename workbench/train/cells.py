"""One block of candidate columns: whose they are, why some do not count, what is known of them.

A block is a rectangle of (anchor, candidate) cells. Everything here is made for a chunk of its
rows at a time, all columns of it, and only if somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workbench.data.known import matches
from workbench.errors import BadArgument
from workbench.scores import Cells
from workbench.train.facts import TEACHERS, Columns, Embedded, Knowledge
from workbench.types import Ints

Bools = NDArray[np.bool_]
Look = Callable[[Ints, Ints], np.ndarray]
REMOVED = ("self", "labelled positive", "another row's", "duplicate", "known positive")
"""Why a cell is no candidate at all, before any rule is asked."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Block:
    """Candidate columns of one kind, seen by the rows of a batch.

    Args:
        name: "ap", "aa", "pp", "pa" (in the batch), "an" (mined), "queue", "bank", "shared".
        batch: whose rows look at them.
        columns: the candidates.
        from_doc: does the positive look, not the anchor?
        is_query: are the columns queries rather than documents?
        own: does each row see only the columns mined for it?
        knowledge: what rules may ask about.
    """

    name: str
    batch: Embedded
    columns: Columns
    from_doc: bool = False
    is_query: bool = False
    own: bool = False
    knowledge: Knowledge | None = None

    @property
    def left(self) -> Tensor:
        """(query, dim) vectors that look."""
        return self.batch.positives if self.from_doc else self.batch.anchors

    @property
    def right(self) -> Tensor:
        """(column, dim) vectors looked at."""
        return self.columns.vectors

    @property
    def mirrored(self) -> bool:
        """Is the anchor of a row the document, looking at queries?"""
        return self.from_doc and self.is_query

    # -- by identity -------------------------------------------------------------------------

    def removed(self, rows: slice, *, protect: str) -> Tensor:
        """(rows, column): is the cell no candidate at all?

        Args:
            rows: of the batch.
            protect: "known": also what is known to answer the anchor; "own": identity alone.
        """
        gone = self._identical(rows) | self._others(rows)
        if protect == "known" and self.knowledge is not None:
            gone |= self.known(rows)
        return torch.from_numpy(gone).to(self.left.device)

    def reasons(self, rows: slice, *, protect: str) -> Iterator[tuple[str, Bools]]:
        """Every reason of `REMOVED` that applies, with its cells."""
        same = self._identical(rows)
        yield ("self" if self.is_query is not self.from_doc else "labelled positive"), same
        yield "another row's", self._others(rows)
        if protect == "known" and self.knowledge is not None:
            yield "duplicate", self.same_group(rows)
            yield "known positive", self.known(rows)

    def _identical(self, rows: slice) -> Bools:
        """Is the column the anchor itself or its labelled positive, by position?"""
        own = self._looking(rows)
        same = np.zeros((len(own), len(self.columns)), dtype=np.bool_)
        same[matches(own, self.columns.positions)] = True
        return same

    def _looking(self, rows: slice) -> Ints:
        """Positions of the row's own text on the side of the columns."""
        return (self.batch.queries if self.is_query else self.batch.docs)[rows]

    def _others(self, rows: slice) -> Bools:
        """Was the column mined for another row, where rows see only their own?"""
        owners = self.columns.owners
        mine = np.arange(len(self.batch.queries))[rows, None]
        if not self.own or owners is None:
            return np.zeros((len(mine), len(self.columns)), dtype=np.bool_)
        return np.asarray(owners[None, :] != mine)

    # -- by the known-positive graph -----------------------------------------------------------

    @property
    def _facts(self) -> Knowledge:
        if self.knowledge is None:
            raise BadArgument(
                "knowledge", None, "a rule or loss asks for facts", "Pass Knowledge.of(collection)."
            )
        return self.knowledge

    def known(self, rows: slice) -> Bools:
        """Is the column known to answer the anchor (or to be answered by the same text)?"""
        graph, right = self._facts.known, self.columns.positions
        if self.mirrored:
            return np.ascontiguousarray(graph.block(right, self.batch.docs[rows]).T)
        if self.is_query:
            return graph.shared(self.batch.queries[rows], right)
        return graph.block(self.batch.queries[rows], right)

    def same_group(self, rows: slice) -> Bools:
        """Is the column a near duplicate of the anchor or of its labelled positive?"""
        graph = self._facts.known
        groups = graph.query_groups if self.is_query else graph.doc_groups
        mine = groups[self._looking(rows)]
        return np.asarray(mine[:, None] == groups[self.columns.positions][None, :])

    # -- what rules and losses ask -------------------------------------------------------------

    def cells(self, rows: slice, *, gone: Tensor | None = None) -> Cells:
        """The facts of some rows, each made only if somebody asks.

        Args:
            rows: of the batch.
            gone: cells that are no candidates; their scores are NaN, so that what a rule says of
                a row as a whole (a mean, a spread) is said of its candidates.
        """
        device, knowledge = self.left.device, self.knowledge
        left, batch = self.left.detach()[rows], self.batch
        facts: dict[str, Tensor | Callable[[], Tensor]] = {
            "score": lambda: _without(left @ self.right.detach().T, gone),
            "positive_score": lambda: (batch.anchors * batch.positives).detach()[rows].sum(dim=1),
            "mined": lambda: torch.full(
                (len(left), len(self.columns)), self.name == "an", device=device
            ),
        }

        if knowledge is not None:
            facts["known"] = lambda: self._tensor(self._positive_cells(rows))
            facts["same_group"] = lambda: self._tensor(self.same_group(rows))
            if knowledge.guide_docs is not None:
                facts["guide"] = lambda: _without(self._guide(rows).to(device), gone)
                facts["guide_positive"] = lambda: self._guide_positive(rows).to(device)
                facts["neighbour"] = lambda: self._neighbour(rows).to(device)
                facts |= {name: lambda: self._guide(rows).to(device) for name in TEACHERS}
            if knowledge.verdicts is not None:
                facts["verdict"] = lambda: self._tensor(self._verdicts(rows))
            if knowledge.grades is not None:
                facts["grade"] = lambda: self._tensor(self._grades(rows))
            for name in knowledge.scores:
                facts[name] = partial(self._named, self._scored, name, rows)
                facts[f"{name}_positive"] = partial(self._named, self._own, name, rows)
        return Cells((len(left), len(self.columns)), facts)

    def _tensor(self, found: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(found)).to(self.left.device)

    def _named(self, look: Callable[[str, slice], np.ndarray], name: str, rows: slice) -> Tensor:
        return self._tensor(look(name, rows))

    def _positive_cells(self, rows: slice) -> Bools:
        """Known positives beside the labelled one, which has a column of its own."""
        return self.known(rows) & ~self._identical(rows)

    @cached_property
    def _guide_right(self) -> Tensor:
        side = self._facts.guide_queries if self.is_query else self._facts.guide_docs
        assert side is not None  # the caller saw to it
        return side[self.columns.positions]

    def _guide(self, rows: slice) -> Tensor:
        knowledge, batch = self._facts, self.batch
        assert knowledge.guide_queries is not None
        assert knowledge.guide_docs is not None
        if self.from_doc:
            return knowledge.guide_docs[batch.docs[rows]] @ self._guide_right.T
        return knowledge.guide_queries[batch.queries[rows]] @ self._guide_right.T

    def _guide_positive(self, rows: slice) -> Tensor:
        knowledge, batch = self._facts, self.batch
        assert knowledge.guide_queries is not None
        assert knowledge.guide_docs is not None
        queries, docs = batch.queries[rows], batch.docs[rows]
        return (knowledge.guide_queries[queries] * knowledge.guide_docs[docs]).sum(dim=1)

    def _neighbour(self, rows: slice) -> Tensor:
        """Largest similarity to any known positive of the anchor (of the column, if mirrored)."""
        docs = self._facts.guide_docs
        assert docs is not None
        if self.mirrored:
            whose, others = self.columns.positions, docs[self.batch.docs[rows]]
        else:
            whose, others = self.batch.queries[rows], self._guide_right
        owners, members = self._facts.positives_of(whose)
        near = docs[members] @ others.T
        result = near.new_full((len(whose), len(others)), -1.0)
        index = torch.from_numpy(owners)[:, None].expand_as(near)
        result.scatter_reduce_(0, index, near, "amax")
        return result.T if self.mirrored else result

    def _table(self, rows: slice) -> tuple[Ints, Ints] | None:
        """(queries, documents) of the rectangle; None where its sides are of one kind."""
        right = self.columns.positions
        if self.mirrored:
            return right, self.batch.docs[rows]
        return None if self.is_query or self.from_doc else (self.batch.queries[rows], right)

    def _looked_up(self, rows: slice, look: Look, empty: float) -> np.ndarray:
        places = self._table(rows)
        if places is None:
            count = len(self.batch.queries[rows])
            return np.full((count, len(self.columns)), empty, dtype=np.float32)
        found = np.asarray(look(*places))
        return found.T if self.mirrored else found

    def _verdicts(self, rows: slice) -> np.ndarray:
        matrix = self._facts.verdicts
        assert matrix is not None
        found = self._looked_up(rows, lambda q, d: matrix[q][:, d].toarray(), 0.0)
        return found.astype(np.int8)

    def _grades(self, rows: slice) -> np.ndarray:
        matrix = self._facts.grades
        assert matrix is not None
        return self._looked_up(rows, lambda q, d: matrix[q][:, d].toarray(), 0.0).astype(np.float32)

    def _scored(self, name: str, rows: slice) -> np.ndarray:
        return self._looked_up(rows, lambda q, d: self._facts.scored(name, q, d), np.nan)

    def _own(self, name: str, rows: slice) -> np.ndarray:
        batch = self.batch
        return self._facts.scored_pairs(name, batch.queries[rows], batch.docs[rows])


def _without(scores: Tensor, gone: Tensor | None) -> Tensor:
    return scores if gone is None else scores.masked_fill(gone, torch.nan)
