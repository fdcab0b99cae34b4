"""Vectors of texts, candidates found with them, and batches made of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench import files
from workbench.errors import BadArgument
from workbench.types._columns import Floats, Ids, Ints, same_length

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, kw_only=True)
class Vectors:
    """Embeddings of texts: (n, dim) float32, ids, and the fingerprint of what encoded them.

    Args:
        values: (n, dim), usually a memory map.
        ids: one id per row.
        encoder: fingerprint of weights, tokenizer, pooling, prompt and length.
        prompt: the words put before each text.
        age: optimiser steps the encoder had taken (0 before training).

    Raises:
        BadData: lengths differ or a value is not finite.
    """

    values: Floats
    ids: Ids
    encoder: str
    prompt: str = ""
    age: int = 0

    def __post_init__(self) -> None:
        if self.values.ndim != 2:
            raise BadArgument(
                "values", self.values.shape, "it must be (n, dim)", "Stack one row per id."
            )
        same_length("Vectors", values=self.values, ids=self.ids)

    @property
    def fingerprint(self) -> str:
        """Of ids and encoder, not of the numbers: cheap on a memory map."""
        return files.fingerprint(self.ids, self.encoder, self.prompt, self.age)

    def frame(self) -> pd.DataFrame:
        """One row per id."""
        import pandas as pd

        return pd.DataFrame(self.values, index=pd.Index(self.ids, name="id"))

    def save(self, folder: str | Path) -> Path:
        """Write one folder."""
        return files.save_record(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> Vectors:
        """Read what `save` wrote; the values stay memory-mapped."""
        return files.load_record(cls, folder)

    def __repr__(self) -> str:
        return f"Vectors({self.values.shape[0]:,} x {self.values.shape[1]}, encoder {self.encoder})"


@dataclass(frozen=True, eq=False, kw_only=True)
class Candidates:
    """Per query, what a miner found: positions, scores, ranks, and what rules made of them.

    The order of a list is its columns: "top" and windows take the first of it. A miner lists the
    best first, so that `ranks` rise along it; after `mine.rescore` the order is the new one, while
    `ranks` still say where the raw search had each.

    Args:
        query_ids: (query,).
        doc_ids: (doc,) of the whole corpus searched; `docs` points into it.
        docs: (query, rank) positions, -1 where a query came out short.
        scores: (query, rank) the miner's score, -inf where short.
        ranks: (query, rank) 1-based rank in the raw search, 0 where short.
        weight: (query, rank) in [0, 1]: 1 keep, 0 dropped by a rule.
        positive_scores: (query,) the miner's score of the weakest labelled positive.
        miner: who found them.
        recipe: options, fingerprints and how many each rule dropped.
    """

    query_ids: Ids
    doc_ids: Ids
    docs: Ints
    scores: Floats
    ranks: NDArray[np.int32]
    weight: Floats
    positive_scores: Floats
    miner: str
    recipe: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("scores", "ranks", "weight"):
            if getattr(self, name).shape != self.docs.shape:
                raise BadArgument(
                    name,
                    getattr(self, name).shape,
                    f"it must be {self.docs.shape} as docs is",
                    "Align it.",
                )
        same_length("Candidates", query_ids=self.query_ids, docs=self.docs)

    @property
    def fingerprint(self) -> str:
        """Of ids, positions and weights."""
        return files.fingerprint(self.query_ids, self.doc_ids, self.docs, self.weight, self.miner)

    def frame(self) -> pd.DataFrame:
        """One row per (query, candidate) found, dropped ones included."""
        import pandas as pd

        rows, columns = np.nonzero(self.docs >= 0)
        return pd.DataFrame(
            {
                "query_id": self.query_ids[rows],
                "doc_id": self.doc_ids[self.docs[rows, columns]],
                "rank": self.ranks[rows, columns],
                "score": self.scores[rows, columns],
                "positive_score": self.positive_scores[rows],
                "weight": self.weight[rows, columns],
            }
        )

    def save(self, folder: str | Path) -> Path:
        """Write one folder."""
        return files.save_record(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> Candidates:
        """Read what `save` wrote."""
        return files.load_record(cls, folder)

    def __repr__(self) -> str:
        found = int((self.docs >= 0).sum())
        kept = int(((self.docs >= 0) & (self.weight > 0)).sum())
        counts = f"{len(self.query_ids):,} queries, {found:,} found, {kept:,} kept"
        return f"Candidates({counts}, {self.miner})"


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """Rows of a training table chosen to be contrasted with each other.

    Args:
        rows: (row,) which training pairs.
        queries: (row,) positions of the anchors.
        docs: (row,) positions of their labelled positives.
        negatives: (row, rank) positions of own mined negatives, -1 where there is none.
        epoch: pass over the data, from 0.
        report: the sampler's composition report.
    """

    rows: Ints
    queries: Ints
    docs: Ints
    negatives: Ints
    epoch: int = 0
    report: dict[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def fingerprint(self) -> str:
        """Of rows and negatives."""
        return files.fingerprint(self.rows, self.queries, self.docs, self.negatives)
