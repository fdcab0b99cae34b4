"""Texts and what was judged of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import files
from workbench.errors import BadArgument, BadData
from workbench.types._columns import Ids, Ints, same_length

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset
    from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False, kw_only=True)
class Collection:
    """Queries, documents and graded judgments between them.

    Args:
        name: what people call it.
        queries: Arrow table with string columns `id`, `text`, `source`.
        corpus: the same for documents; a title is already part of `text`.
        qrels: (query, doc) grades, sparse. Grade > 0 is a positive; a stored 0 or less was judged
            and found not relevant; anything absent was never judged.
        query_groups: queries with the same number say the same thing.
        doc_groups: documents with the same number are exact or near duplicates.
        recipe: how it was made.

    Raises:
        BadData: lengths or ids do not fit together.

    Example:
        >>> from workbench.data import from_rows
        >>> pairs = from_rows([{"query": "add two", "positive": "a + b"}], name="demo")
        >>> pairs.query_texts[0], pairs.doc_texts[0], pairs.qrels[[0], [0]].item()
        ('add two', 'a + b', 1.0)
    """

    name: str
    queries: Dataset
    corpus: Dataset
    qrels: csr_array
    query_groups: Ints
    doc_groups: Ints
    recipe: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for side, table in (("queries", self.queries), ("corpus", self.corpus)):
            missing = {"id", "text", "source"} - set(table.column_names)
            if missing:
                raise BadData(
                    f"{self.name} {side}", [f"no column {m!r}" for m in sorted(missing)], "Add it."
                )
        if self.qrels.shape != (len(self.queries), len(self.corpus)):
            wanted = f"its shape must be {(len(self.queries), len(self.corpus))}"
            raise BadArgument("qrels", self.qrels.shape, wanted, "Rebuild it by ids.")
        same_length(f"{self.name} queries", queries=self.queries, query_groups=self.query_groups)
        same_length(f"{self.name} corpus", corpus=self.corpus, doc_groups=self.doc_groups)

    @cached_property
    def query_ids(self) -> Ids:
        """Ids of the queries, by position."""
        return np.array(self.queries["id"][:], dtype=object)

    @cached_property
    def doc_ids(self) -> Ids:
        """Ids of the documents, by position."""
        return np.array(self.corpus["id"][:], dtype=object)

    @property
    def query_texts(self) -> list[str]:
        """Texts of the queries, by position."""
        return list(self.queries["text"][:])

    @property
    def doc_texts(self) -> list[str]:
        """Texts of the documents (title included), by position."""
        return list(self.corpus["text"][:])

    @cached_property
    def pairs(self) -> Ints:
        """(row, 2) positions (query, document) of every positive, in query order."""
        matrix = self.qrels.tocoo()
        keep = matrix.data > 0
        pairs = np.stack([matrix.coords[0][keep], matrix.coords[1][keep]], axis=1).astype(np.int64)
        return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]

    @cached_property
    def fingerprint(self) -> str:
        """Changes when any id, text, grade or group changes."""
        parts: list[object] = []
        for table in (self.queries, self.corpus):
            parts += [table["id"][:], table["text"][:]]
        matrix = self.qrels.tocoo()
        parts += [*(np.asarray(axis, dtype=np.int64) for axis in matrix.coords), matrix.data]
        return files.fingerprint(*parts, np.asarray(self.query_groups), np.asarray(self.doc_groups))

    def frame(self) -> pd.DataFrame:
        """One row per judged pair: query id, document id, grade, both texts."""
        import pandas as pd

        matrix = self.qrels.tocoo()
        rows, columns = matrix.coords
        return pd.DataFrame(
            {
                "query_id": self.query_ids[rows],
                "doc_id": self.doc_ids[columns],
                "grade": matrix.data,
                "query": np.array(self.query_texts, dtype=object)[rows],
                "doc": np.array(self.doc_texts, dtype=object)[columns],
            }
        )

    def save(self, folder: str | Path) -> Path:
        """Write one folder of Parquet, arrays and `recipe.json`."""
        return files.save_record(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> Collection:
        """Read what `save` wrote, Arrow-backed."""
        return files.load_record(cls, folder)

    def __repr__(self) -> str:
        counts = f"{len(self.queries):,} queries, {len(self.corpus):,} documents"
        return f"Collection({self.name!r}: {counts}, {len(self.pairs):,} positives)"
