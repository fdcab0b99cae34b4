"""A batch's rows of scores: all blocks side by side, weighed by rules, handed to a loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from workbench.losses import RowLoss, SoftmaxLoss
from workbench.rules import Rule, combine
from workbench.scores import CELLS, rows_at_once, streamed_logsumexp, weighted_logsumexp
from workbench.train.candidates import Candidate, Mixed, blocks_of, in_batch
from workbench.train.cells import Block
from workbench.train.facts import TEACHERS, Embedded, Knowledge
from workbench.train.mixing import Made, mix


@dataclass(eq=False)
class Account:
    """What the last batch came to, filled by `Contrast`.

    Args:
        cells: (block, first row) -> (cells that are candidates at all, weight the rules left).
        values: (query,) each pair's own value, before trust in whole pairs.
    """

    cells: dict[tuple[str, int], tuple[int, float]] = field(default_factory=dict)
    values: Tensor | None = None

    @property
    def candidates(self) -> int:
        """Cells that are candidates at all."""
        return sum(count for count, _ in self.cells.values())

    @property
    def kept(self) -> float:
        """Weight that the rules left on them."""
        return sum(weight for _, weight in self.cells.values())


def told_of(accounts: Sequence[Account]) -> dict[str, float]:
    """What a row of the history says of the candidates of a step.

    Args:
        accounts: one per batch of the step.

    Returns:
        `candidates`, `dropped` (weight the rules took from them), and per block `kept_<block>`, the
        share of its candidates that the rules left, in [0, 1].

    Example:
        >>> told_of([Account(cells={("ap", 0): (6, 6.0), ("an", 0): (4, 1.0)})])
        {'candidates': 10, 'dropped': 3.0, 'kept_ap': 1.0, 'kept_an': 0.25}
    """
    blocks: dict[str, tuple[int, float]] = {}
    for account in accounts:
        for (name, _), (count, weight) in account.cells.items():
            cells, kept = blocks.get(name, (0, 0.0))
            blocks[name] = (cells + count, kept + weight)
    candidates = sum(count for count, _ in blocks.values())
    told: dict[str, float] = {
        "candidates": candidates,
        "dropped": candidates - sum(account.kept for account in accounts),
    }
    shares = {name: kept / count for name, (count, kept) in blocks.items() if count}
    return told | {f"kept_{name.replace(' ', '_')}": value for name, value in shares.items()}


@dataclass(frozen=True, eq=False, kw_only=True)
class Table:
    """Rows of scores of one batch, never all at once unless they are few.

    Args:
        batch: unit vectors.
        blocks: real columns.
        made: synthetic columns, or None.
        rules: with every option fixed.
        protect: see `Contrast`.
        chunk: rows at a time; None = by size.
        knowledge: what rules and losses may ask about.
    """

    batch: Embedded
    blocks: list[Block]
    made: Made | None
    rules: tuple[Rule, ...]
    protect: str
    chunk: int | None
    knowledge: Knowledge | None

    @classmethod
    def of(
        cls,
        batch: Embedded,
        knowledge: Knowledge | None,
        *,
        candidates: Sequence[Candidate],
        rules: tuple[Rule, ...],
        protect: str,
        chunk: int | None,
        step: int,
    ) -> Table:
        """Assemble the columns that candidates name; mixes are made of the others."""
        plain = cls(
            batch=batch,
            blocks=blocks_of(candidates, batch, knowledge),
            made=None,
            rules=rules,
            protect=protect,
            chunk=chunk,
            knowledge=knowledge,
        )
        for part in candidates:
            if isinstance(part, Mixed):
                return replace(plain, made=mix(part, plain.blocks, plain.weight, step=step))
        return plain

    def mirror(self) -> Table:
        """The other way: positives look for anchors, over the batch's anchors."""
        return replace(self, blocks=[in_batch("pa", self.batch, self.knowledge)], made=None)

    @property
    def positive(self) -> Tensor:
        """(query,) score of each anchor's labelled positive."""
        return (self.batch.anchors * self.batch.positives).sum(dim=1)

    def weight(
        self, block: Block, rows: slice, account: Account | None = None, prefix: str = ""
    ) -> Tensor:
        """(rows, column) weight: boolean where no rule says more than yes or no by identity."""
        gone = block.removed(rows, protect=self.protect)
        ruled = combine(self.rules, block.cells(rows, gone=gone)) if self.rules else None
        if ruled is None:
            weight = gone.logical_not()
        else:
            weight = ruled.to(block.left.dtype).masked_fill(gone, 0.0)
        if account is not None:
            count = gone.numel() - int(gone.sum())
            account.cells[prefix + block.name, rows.start or 0] = (count, float(weight.sum()))
        return weight

    # -- losses that need one number of the negatives ------------------------------------------

    def softmax(self, loss: SoftmaxLoss, account: Account | None, prefix: str) -> Tensor:
        """Value per anchor from the positive's logit and a log-sum-exp over every block."""
        positive = self.positive / loss.temperature
        parts = [self._logsumexp(loss, block, account, prefix) for block in self.blocks]
        if self.made is not None:
            logits = _logits(self.made.scores, loss, "mixed")
            parts.append(weighted_logsumexp(logits, self.made.weight))
        if not parts:
            parts = [positive.new_full(positive.shape, float("-inf"))]
        negatives = parts[0] if len(parts) == 1 else weighted_logsumexp(torch.stack(parts, dim=1))
        return loss.combine(positive, negatives)

    def _logsumexp(
        self, loss: SoftmaxLoss, block: Block, account: Account | None, prefix: str
    ) -> Tensor:
        if self.chunk is None and len(block.left) * len(block.columns) <= CELLS:
            logits = _logits(block.left @ block.right.T, loss, block.name)
            everything = slice(0, len(block.left))
            return weighted_logsumexp(logits, self.weight(block, everything, account, prefix))
        return streamed_logsumexp(
            block.left,
            block.right,
            scale=1 / loss.temperature,
            hardness=loss.hardness(block.name),
            weight=lambda rows: self.weight(block, rows, account, prefix),
            chunk=self.chunk,
        )

    # -- losses that see whole rows ------------------------------------------------------------

    def rows(self, loss: RowLoss, account: Account | None, prefix: str) -> Tensor:
        """Value per anchor of any loss; chunks are made again in backward."""
        count = len(self.batch.queries)
        width = 1 + sum(len(block.columns) for block in self.blocks)
        step = rows_at_once(width, self.chunk)
        if step >= count or not loss.independent:
            return self._some(loss, slice(0, count), account, prefix)
        parts = []
        for start in range(0, count, step):
            rows = slice(start, min(start + step, count))
            part: Tensor = checkpoint(self._some, loss, rows, account, prefix, use_reentrant=False)
            parts.append(part)
        return torch.cat(parts)

    def _some(self, loss: RowLoss, rows: slice, account: Account | None, prefix: str) -> Tensor:
        scores, weight = self.scores(rows), self.weights(rows, account, prefix)
        first = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
        facts = {name: self.fact(name, rows) for name in loss.needs}
        return loss(scores, first, weight=weight.to(scores.dtype), **facts)

    def scores(self, rows: slice) -> Tensor:
        """(rows, 1 + columns): the labelled positive, then every block, then the mixes."""
        parts = [self.positive[rows, None]]
        parts += [block.left[rows] @ block.right.T for block in self.blocks]
        if self.made is not None:
            parts.append(self.made.scores[rows])
        return torch.cat(parts, dim=1)

    def weights(self, rows: slice, account: Account | None = None, prefix: str = "") -> Tensor:
        """Weights of the same cells; 1 for the labelled positive."""
        like = self.positive
        parts = [like.new_ones(len(like[rows]), 1)]
        parts += [self.weight(block, rows, account, prefix).to(like) for block in self.blocks]
        if self.made is not None:
            parts.append(self.made.weight[rows].to(like))
        return torch.cat(parts, dim=1)

    def fact(self, name: str, rows: slice) -> Tensor:
        """One fact of the same cells; nothing is known of a mix."""
        parts = [self._own_fact(name, rows)[:, None]]
        for block in self.blocks:
            if name == "known" and self.knowledge is None:  # nothing is, but the labelled positive
                parts.append(self._unknown(name, len(parts[0]), len(block.columns)))
            else:
                parts.append(block.cells(rows)[name].to(parts[0]))
        if self.made is not None:
            parts.append(self._unknown(name, len(parts[0]), self.made.scores.shape[1]))
        return torch.cat(parts, dim=1)

    def _own_fact(self, name: str, rows: slice) -> Tensor:
        """The fact about each anchor and its labelled positive."""
        queries, docs = self.batch.queries[rows], self.batch.docs[rows]
        like, knowledge = self.positive, self.knowledge
        if name in ("known", "same_group", "mined"):
            return torch.full((len(queries),), name != "mined", device=like.device)
        found: Callable[[], Tensor] | None = None
        if knowledge is not None and name in knowledge.scores:
            found = lambda: torch.from_numpy(knowledge.scored_pairs(name, queries, docs))  # noqa: E731
        elif knowledge is not None and name == "grade" and knowledge.grades is not None:
            grades = knowledge.grades
            found = lambda: torch.from_numpy(np.asarray(grades[queries, docs]).reshape(-1))  # noqa: E731
        elif self.blocks and name in ("guide", *TEACHERS):
            found = lambda: self.blocks[0].cells(rows)["guide_positive"]  # noqa: E731
        return like[rows].detach() if found is None else found().to(like)

    def _unknown(self, name: str, rows: int, columns: int) -> Tensor:
        like = self.positive
        if name in ("known", "same_group", "mined"):
            return torch.full((rows, columns), name == "mined", device=like.device)
        return like.new_full((rows, columns), 0.0 if name == "grade" else float("nan"))


def _logits(scores: Tensor, loss: SoftmaxLoss, block: str) -> Tensor:
    logits, hardness = scores / loss.temperature, loss.hardness(block)
    return logits + hardness * scores.detach() if hardness else logits
