"""Scores that a user gives for (query, document) pairs: a cross-encoder's, a pool's, anybody's.

They come as a sparse table, in which what is not stored is unknown, or as a function of positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument
from workbench.types import Floats, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Scorer: TypeAlias = Callable[[Ints, Ints], NDArray[np.floating]]
"""(queries, docs) positions -> (len(queries), len(docs)) scores."""
Scores: TypeAlias = Mapping[str, Union["csr_array", Scorer]]
BUILT_IN = (
    "score", "positive_score", "rank", "guide", "guide_positive", "neighbour", "known", "verdict",
    "same_group",
)  # fmt: skip
"""Facts that a user's score may not be called."""


def check_scores(scores: Scores | None, shape: tuple[int, int]) -> None:
    """Refuse scores that do not fit.

    Args:
        scores: name -> table or function.
        shape: (queries, documents) there are.

    Raises:
        BadArgument: what `NamedScores` refuses.
    """
    for name, given in (scores or {}).items():
        NamedScores(name, given, shape)


class NamedScores:
    """One score of (query, document) pairs by position.

    Args:
        name: what rules call it.
        given: sparse (queries, documents), or a function (queries, docs) -> rectangle.
        shape: (queries, documents) there are.

    Raises:
        BadArgument: the name is taken, or the table has another shape.
    """

    def __init__(self, name: str, given: csr_array | Scorer, shape: tuple[int, int]) -> None:
        from scipy import sparse

        self.argument = f"scores[{name!r}]"
        self.function: Scorer | None = None
        self.table: csr_array | None = None
        if not name or name in BUILT_IN:
            wanted = f"a name must be there and none of {', '.join(BUILT_IN)}"
            raise BadArgument("scores", name, wanted, "Call it cross_encoder, say.")
        if sparse.issparse(given):
            table = sparse.csr_array(given)
            if table.shape != shape:
                wanted = f"it must be {shape}, queries by documents"
                raise BadArgument(self.argument, table.shape, wanted, "Index by position.")
            if not table.has_canonical_format:
                table = table.copy()  # it may share its arrays with the user's
                table.sum_duplicates()
            self.table = table
        elif callable(given):
            self.function = given
        else:
            wanted = "it must be a sparse table or a function (queries, docs) -> scores"
            raise BadArgument(self.argument, type(given).__name__, wanted, "Use scipy.sparse.")

    def pairs(self, queries: Ints, docs: Ints) -> Floats:
        """(pair,) score of each (queries[i], docs[i]), NaN where unknown; queries in rising order.

        Raises:
            BadArgument: the function answers another shape than (len(queries), len(docs)).
        """
        found = np.full(len(docs), np.nan, dtype=np.float32)
        if not len(docs):
            return found
        if self.table is None:
            return self._asked(queries, docs)
        wide = int(self.table.shape[1])
        first, last = int(queries[0]), int(queries[-1]) + 1
        pointers = self.table.indptr[first : last + 1].astype(np.int64)
        stored = slice(int(pointers[0]), int(pointers[-1]))
        rows = np.repeat(np.arange(first, last), np.diff(pointers))
        keys = rows * wide + self.table.indices[stored].astype(np.int64)
        wanted = queries * wide + docs
        place = np.searchsorted(keys, wanted)
        hit = np.flatnonzero(place < len(keys))
        hit = hit[keys[place[hit]] == wanted[hit]]
        found[hit] = self.table.data[stored][place[hit]]
        return found

    def _asked(self, queries: Ints, docs: Ints) -> Floats:
        """Query by query, since every query of a mined list has documents of its own."""
        assert self.function is not None  # one of the two is there
        found = np.empty(len(docs), dtype=np.float32)
        owners, starts = np.unique(queries, return_index=True)
        for owner, some in zip(owners, np.split(np.arange(len(docs)), starts[1:]), strict=True):
            answer = np.asarray(self.function(np.array([owner]), docs[some]), dtype=np.float32)
            if answer.shape != (1, len(some)):
                wanted = f"one query and {len(some)} documents need (1, {len(some)}) scores"
                raise BadArgument(self.argument, answer.shape, wanted, "Return a rectangle.")
            found[some] = answer[0]
        return found

    def cells(self, queries: Ints, docs: Ints) -> Floats:
        """(query, rank) scores of a mined list's rows, NaN where unknown or docs is -1."""
        scores = np.full(docs.shape, np.nan, dtype=np.float32)
        rows, columns = np.nonzero(docs >= 0)
        scores[rows, columns] = self.pairs(queries[rows], docs[rows, columns])
        return scores
