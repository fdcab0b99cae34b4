"""Which negatives carried the gradient of a batch, and why the others did not count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from workbench.errors import BadArgument, check_count
from workbench.rules import vouched
from workbench.scores import CELLS
from workbench.train.cells import REMOVED
from workbench.train.contrast import Contrast
from workbench.train.facts import Embedded, Knowledge
from workbench.train.rows import Table
from workbench.types import Ids, Ints, at_step

if TYPE_CHECKING:
    import pandas as pd

MOST = 25 * CELLS
"""Cells that are looked at all at once."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Explanation:
    """Every cell of a batch: its score, weight, share of the gradient, and why it was dropped.

    Args:
        queries: (query,) positions of the anchors.
        docs: (query,) positions of their labelled positives.
        blocks: (column,) name of the block each column belongs to.
        positions: (column,) position of the text of a column, in the corpus or (blocks "aa",
            "pa") among the queries; -1 for mixes, whose sources differ by row.
        sources: (query, mix, 2) positions of the documents mixed, -1 = the anchor; empty without.
        scores: (query, column).
        weight: (query, column) in [0, 1].
        share: (query, column) share of the row's gradient on negatives; rows sum to 1, or to 0
            where nothing is left. In the softmax family it is the softmax mass.
        reason: (query, column) index into `reasons`; 0 = kept.
        reasons: names of the reasons, the first "kept".
        values: (query,) the loss of each pair.
        ids: (query ids, document ids) of the collection, for the tables; None = positions.
    """

    queries: Ints
    docs: Ints
    blocks: Ids
    positions: Ints
    sources: Ints
    scores: NDArray[np.float32]
    weight: NDArray[np.float32]
    share: NDArray[np.float32]
    reason: NDArray[np.int8]
    reasons: tuple[str, ...]
    values: NDArray[np.float32]
    ids: tuple[Ids, Ids] | None = None

    def _names(self, rows: Ints, columns: Ints) -> dict[str, Any]:
        """Who stands in a table's rows, by id where ids are known."""
        block, place = self.blocks[columns], self.positions[columns]
        found: dict[str, Any] = {
            "row": rows,
            "query": self.queries[rows],
            "positive": self.docs[rows],
            "block": block,
            "candidate": place,
        }
        if self.ids is not None:
            queries, docs = self.ids
            found["query"], found["positive"] = queries[found["query"]], docs[found["positive"]]
            is_query = np.isin(block.astype(str), ("aa", "pa"))
            named = np.where(is_query, queries[place * is_query], docs[place * ~is_query])
            named[place < 0] = None  # a mix has no text
            found["candidate"] = named
        return found

    def heaviest(self, top: int = 10) -> pd.DataFrame:
        """The `top` candidates of each anchor that carried most gradient, heaviest first.

        Columns: row, query, positive, block, candidate (ids, or positions), score, weight, share.
        """
        import pandas as pd

        check_count("top", top, mend="Try 10.")
        order = np.argsort(-self.share, axis=1, kind="stable")[:, :top]
        rows = np.repeat(np.arange(len(order)), order.shape[1])
        columns = order.reshape(-1)
        there = self.share[rows, columns] > 0
        rows, columns = rows[there], columns[there]
        return pd.DataFrame(
            {
                **self._names(rows, columns),
                "score": self.scores[rows, columns],
                "weight": self.weight[rows, columns],
                "share": self.share[rows, columns],
            }
        )

    def by_block(self) -> pd.DataFrame:
        """Per block: cells, how many are no candidates, dropped by rules, kept; trust; gradient."""
        import pandas as pd

        rows = {}
        for name in dict.fromkeys(self.blocks.tolist()):
            some = self.blocks == name
            reason, weight = self.reason[:, some], self.weight[:, some]
            removed = (reason > 0) & (reason <= len(REMOVED))
            kept = reason == 0
            rows[name] = {
                "cells": reason.size,
                "no_candidate": int(removed.sum()),
                "dropped": int((reason > len(REMOVED)).sum()),
                "kept": int(kept.sum()),
                "mean_weight": float(weight[~removed].mean()) if (~removed).any() else np.nan,
                "share": float(self.share[:, some].sum() / max(1, len(self.queries))),
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("block")

    def by_reason(self) -> pd.DataFrame:
        """Cells per block (columns) and reason (rows); the first reason that applies counts."""
        import pandas as pd

        counts = {
            name: np.bincount(
                self.reason[:, self.blocks == name].reshape(-1), minlength=len(self.reasons)
            )
            for name in dict.fromkeys(self.blocks.tolist())
        }
        frame = pd.DataFrame(counts, index=pd.Index(self.reasons, name="reason"))
        return frame[frame.sum(axis=1) > 0]

    def dropped(self, reason: str | None = None) -> pd.DataFrame:
        """Which cells were dropped, and why: like `heaviest`, with the reason instead of the share.

        Raises:
            BadArgument: a reason that does not exist.
        """
        import pandas as pd

        chosen = self.reason > 0
        if reason is not None:
            if reason not in self.reasons:
                wanted = f"it must be one of {', '.join(self.reasons)}"
                raise BadArgument("reason", reason, wanted, "Choose one of them.")
            chosen = self.reason == self.reasons.index(reason)
        rows, columns = np.nonzero(chosen)
        return pd.DataFrame(
            {
                **self._names(rows, columns),
                "score": self.scores[rows, columns],
                "reason": np.array(self.reasons)[self.reason[rows, columns]],
            }
        )

    def __repr__(self) -> str:
        kept = int((self.reason == 0).sum())
        return (
            f"Explanation({len(self.queries)} anchors, {self.reason.size:,} cells, {kept:,} kept)"
        )


def explain(
    contrast: Contrast,
    batch: Embedded,
    knowledge: Knowledge | None = None,
    *,
    step: int = 0,
    ids: tuple[Ids, Ids] | None = None,
) -> Explanation:
    """Take one batch apart: every cell's weight, share of the gradient, and reason.

    Args:
        contrast: the expression; a Matryoshka wrapper is looked through, at full width.
        batch: the student's vectors; `Run.explain(step)` makes those of a logged step.
        knowledge: what rules and losses may ask about.
        step: optimiser step, for ramps and draws.
        ids: (query ids, document ids) of the collection, for the tables.

    Returns:
        The cells, and tables of them.

    Raises:
        BadArgument: more than 100 million cells.

    Example:
        >>> found = explain(Contrast(), Embedded.of(torch.eye(3), torch.eye(3)))
        >>> found, round(float(found.share.sum()), 6)
        (Explanation(3 anchors, 9 cells, 6 kept), 3.0)
    """
    contrast.check(knowledge)
    table = contrast.table(batch.unit(), knowledge, step)
    everything = slice(0, len(batch.queries))
    columns = sum(len(block.columns) for block in table.blocks)
    if columns * len(batch.queries) > MOST:
        wanted = f"at most {MOST:,} cells are looked at at once"
        raise BadArgument("batch", columns * len(batch.queries), wanted, "Take fewer rows.")
    loss = at_step(contrast.row_loss, step)
    scores = table.scores(everything).detach().requires_grad_()
    weight = table.weights(everything).to(scores.dtype)
    facts = {name: table.fact(name, everything) for name in loss.needs}
    first = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
    values = loss(scores, first, weight=weight, **facts)
    (gradient,) = torch.autograd.grad(values.sum(), scores)
    pushed = gradient[:, 1:].abs()
    share = pushed / pushed.sum(dim=1, keepdim=True).clamp_min(torch.finfo(pushed.dtype).tiny)
    reason, reasons = _reasons(contrast, table, everything)
    made = 0 if table.made is None else table.made.scores.shape[1]
    names = [block.name for block in table.blocks for _ in range(len(block.columns))]
    positions = [block.columns.positions for block in table.blocks]
    return Explanation(
        queries=batch.queries,
        docs=batch.docs,
        blocks=np.array([*names, *["mixed"] * made], dtype=object),
        positions=np.concatenate([*positions, np.full(made, -1, dtype=np.int64)]),
        sources=np.zeros((len(scores), 0, 2), np.int64)
        if table.made is None
        else table.made.sources,
        scores=_numbers(scores[:, 1:]),
        weight=_numbers(weight[:, 1:]),
        share=_numbers(share),
        reason=reason,
        reasons=reasons,
        values=_numbers(values),
        ids=ids,
    )


def _numbers(tensor: torch.Tensor) -> NDArray[np.float32]:
    return tensor.detach().float().cpu().numpy()


def _reasons(
    contrast: Contrast, table: Table, rows: slice
) -> tuple[NDArray[np.int8], tuple[str, ...]]:
    """The first reason of every cell; rules are asked one by one, in their order."""
    names = ["kept", *REMOVED, *(repr(rule) for rule in table.rules)]
    parts = []
    for block in table.blocks:
        code = np.zeros((len(table.batch.queries[rows]), len(block.columns)), dtype=np.int8)
        for name, where in block.reasons(rows, protect=contrast.protect):
            code[(code == 0) & where] = names.index(name)
        gone = block.removed(rows, protect=contrast.protect)
        cells = block.cells(rows, gone=gone)
        sure = vouched(table.rules, cells)
        for place, rule in enumerate(table.rules):
            lost = rule(cells) <= 0
            dropped = (lost if sure is None else lost & ~sure).cpu().numpy()
            code[(code == 0) & dropped] = 1 + len(REMOVED) + place
        parts.append(code)
    if table.made is not None:
        few = (table.made.weight[rows] <= 0).cpu().numpy()
        names.append("too few negatives to mix")
        parts.append(np.where(few, len(names) - 1, 0).astype(np.int8))
    code = np.concatenate(parts, axis=1)
    return code, tuple(names)
