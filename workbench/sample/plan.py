"""The batches of one epoch: planned, laid out; and the fingerprint of what a sampler is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.data.known import KnownPositives
from workbench.files import fingerprint
from workbench.sample.composition import Columns
from workbench.types import Batch, Candidates, Ints, Vectors


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """The batches of one epoch.

    Args:
        batches: row numbers of each batch.
        left_out: rows that no batch holds, ascending.
        inspected: how often a row was looked at to build it, the unit of cost.
        labels: (row,) the source, topic, class or cluster of each row, of which the report says
            how pure a batch is; None = the sampler knows none.
    """

    batches: list[Ints]
    left_out: Ints
    inspected: int
    labels: Ints | None = None


def laid_out(
    parts: list[Ints], pairs: Ints, negatives: Ints, figures: Columns, *, epoch: int
) -> list[Batch]:
    """Batches out of their rows, and of what was drawn and counted for all of them at once.

    Args:
        parts: rows of each batch.
        pairs: (row, 2) of the whole table.
        negatives: (row, rank) of the batches' rows, laid end to end.
        figures: (batch,) what the reports say, by name.
        epoch: pass over the data.
    """
    lines = np.stack(list(figures.values()), axis=1).tolist()
    batches, first = [], 0
    for rows, line in zip(parts, lines, strict=True):
        own = negatives[first : first + len(rows)]
        first += len(rows)
        batches.append(
            Batch(
                rows=rows,
                queries=pairs[rows, 0],
                docs=pairs[rows, 1],
                negatives=own,
                epoch=epoch,
                report=dict(zip(figures, line, strict=True)),
            )
        )
    return batches


def made_of(name: str, options: dict[str, Any], *, draw: str) -> str:
    """The fingerprint of a sampler's data and options, arrays and records by their content.

    Args:
        name: of the sampler.
        options: all it was made with.
        draw: how negatives are drawn; only margin bins look at their scores.
    """
    parts: list[object] = [name]
    for option, value in options.items():
        if isinstance(value, KnownPositives):
            graph = value.positives
            value = [value.query_groups, value.doc_groups]
            value += [graph.indptr.astype(np.int64), graph.indices.astype(np.int64)]
        elif isinstance(value, Candidates):
            scores = [value.scores, value.positive_scores] if draw == "margin_bins" else []
            value = [value.docs, value.ranks, value.weight, *scores]
        elif isinstance(value, tuple | Vectors):
            sides = value if isinstance(value, tuple) else (value,)
            value = [side.fingerprint if isinstance(side, Vectors) else side for side in sides]
        parts += [option, value]
    return fingerprint(*parts)
