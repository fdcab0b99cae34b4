"""Candidates x rules x loss: one expression for every choice of negatives.

    value_i = loss( s(a_i, p_i) / t,  log sum over all blocks, j of w_ij exp(s_ij / t) )

GISTEmbed, for instance, is `Contrast(candidates=[InBatch("ap", "aa", "pp"), Hard(1)],
rules=[rules.Guide()], loss=losses.InfoNCE(temperature=0.01))`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import BadArgument, check_choice, check_count
from workbench.losses import InfoNCE, SoftmaxLoss
from workbench.rules import Rule, check_rules, combine
from workbench.scores import normalize, streamed_logsumexp, weighted_logsumexp
from workbench.train.facts import Block, Embedded, Knowledge, cells, identical

BLOCKS = ("ap", "aa", "pp", "pa")
DENSE_CELLS = 4_000_000


@dataclass(frozen=True, init=False)
class InBatch:
    """Columns made of the batch itself.

    Args:
        blocks: left and right side of each block: "ap" other rows' positives, "aa" other anchors,
            "pp" positive against other positives, "pa" positive against other anchors.

    Raises:
        BadArgument: an unknown block, or none.

    Example:
        >>> InBatch("ap", "aa").blocks
        ('ap', 'aa')
    """

    blocks: tuple[str, ...]

    def __init__(self, *blocks: str) -> None:
        for block in blocks:
            check_choice("blocks", block, BLOCKS)
        object.__setattr__(self, "blocks", tuple(dict.fromkeys(blocks or ("ap",))))


@dataclass(frozen=True)
class Hard:
    """Columns made of mined negatives.

    Args:
        count: how many per row the sampler is to bring.
        shared: True: every row sees every row's negatives; False: only its own.

    Raises:
        BadArgument: count < 1.
    """

    count: int = 1
    shared: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        check_count("count", self.count, mend="Try 1.")


Tally = dict[tuple[str, int], tuple[int, float]]
"""(block, first column) -> (cells that are candidates at all, weight the rules left on them)."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """What is contrasted with what, how much, and what is done with it.

    Args:
        loss: of the softmax family.
        candidates: blocks of columns.
        rules: their weights multiply; the anchor itself and its labelled positive are removed
            from every block by identity, before any rule.
        directions: "one": anchors look for positives; "both": also positives for anchors (over
            the batch's anchors), the two values averaged.
        chunk: columns at a time in the streamed form; None = dense while a block has fewer than
            4 million cells, else 1024.

    Raises:
        BadArgument: parts that do not fit.

    Example:
        >>> from workbench.train.facts import Embedded
        >>> batch = Embedded.of(torch.eye(2), torch.eye(2))
        >>> Contrast(loss=InfoNCE(temperature=1.0))(batch)
        tensor([0.3133, 0.3133])
    """

    loss: SoftmaxLoss = field(default_factory=InfoNCE)
    candidates: Sequence[InBatch | Hard] = (InBatch("ap"),)
    rules: Sequence[Rule] = ()
    directions: Literal["one", "both"] = "one"
    chunk: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.loss, type) or not isinstance(self.loss, SoftmaxLoss):
            wanted = "it must be a loss of the softmax family"
            raise BadArgument("loss", self.loss, wanted, "Write losses.InfoNCE(temperature=0.05).")
        parts: Sequence[object] = self.candidates
        for part in parts:
            if not isinstance(part, InBatch | Hard):
                wanted = "each entry must be InBatch(...) or Hard(...)"
                raise BadArgument("candidates", part, wanted, 'Try [InBatch("ap")].')
        if not self.candidates:
            raise BadArgument("candidates", [], "it must not be empty", 'Try [InBatch("ap")].')
        kinds = [part for part in self.candidates if isinstance(part, InBatch)]
        blocks = [block for part in kinds for block in part.blocks]
        if len(set(blocks)) < len(blocks) or len(self.candidates) - len(kinds) > 1:
            wanted = "a block would be counted twice"
            raise BadArgument("candidates", self.candidates, wanted, "Name each block once.")
        check_choice("directions", self.directions, ["one", "both"])
        if self.chunk is not None:
            check_count("chunk", self.chunk, mend="Try 1024.")
        object.__setattr__(self, "candidates", tuple(self.candidates))
        object.__setattr__(self, "rules", tuple(self.rules))

    @property
    def hard(self) -> int:
        """Mined negatives wanted per row."""
        return sum(part.count for part in self.candidates if isinstance(part, Hard))

    def check(self, knowledge: Knowledge | None) -> None:
        """Refuse rules whose facts are missing, before any work."""
        check_rules(self.rules, knowledge.facts if knowledge else ("score", "positive_score"))

    def __call__(
        self, batch: Embedded, knowledge: Knowledge | None = None, *, tally: Tally | None = None
    ) -> Float[Tensor, " query"]:
        """One value per anchor.

        Args:
            batch: the student's vectors.
            knowledge: what rules may ask about.
            tally: filled with what the rules left of each block.
        """
        batch = _unit(batch)
        positive = (batch.anchors * batch.positives).sum(dim=1) / self.loss.temperature
        value = self._one_way(positive, self.blocks(batch), batch, knowledge, tally)
        if self.directions == "both":
            back: Tally = {}
            mirror = [_block("pa", batch)]
            value = (value + self._one_way(positive, mirror, batch, knowledge, back)) / 2
            if tally is not None:
                tally.update(
                    {(f"back {name}", column): cells for (name, column), cells in back.items()}
                )
        return value

    def weights(self, batch: Embedded, knowledge: Knowledge | None = None) -> dict[str, Tensor]:
        """Weight of every cell, per block, for looking at; 0 where the cell is no candidate."""
        batch = _unit(batch)
        everything = slice(0, None)
        return {
            block.name: self._weight(block, batch, knowledge, everything, None).float()
            for block in self.blocks(batch)
        }

    def blocks(self, batch: Embedded) -> list[Block]:
        """The candidate columns of one batch."""
        found = []
        for part in self.candidates:
            if isinstance(part, InBatch):
                found += [_block(name, batch) for name in part.blocks]
            elif len(batch.negatives):
                found.append(_block("an", batch, shared=part.shared))
        return found

    def _weight(
        self,
        block: Block,
        batch: Embedded,
        knowledge: Knowledge | None,
        columns: slice,
        tally: Tally | None,
    ) -> Tensor:
        own = identical(block, batch, columns)
        candidates = own.numel() - int(own.sum()) if tally is not None else 0
        ruled = combine(self.rules, cells(block, batch, knowledge, columns)) if self.rules else None
        if ruled is None:
            weight = own.logical_not_()
        else:
            weight = ruled.to(block.left.dtype).masked_fill_(own, 0.0)
        if tally is not None:
            tally[block.name, columns.start or 0] = (candidates, float(weight.sum()))
        return weight

    def _one_way(
        self,
        positive: Tensor,
        blocks: list[Block],
        batch: Embedded,
        knowledge: Knowledge | None,
        tally: Tally | None,
    ) -> Tensor:
        parts = [self._logsumexp(block, batch, knowledge, tally) for block in blocks]
        if not parts:
            parts = [positive.new_full(positive.shape, float("-inf"))]
        negatives = parts[0] if len(parts) == 1 else weighted_logsumexp(torch.stack(parts, dim=1))
        return self.loss.combine(positive, negatives)

    def _logsumexp(
        self, block: Block, batch: Embedded, knowledge: Knowledge | None, tally: Tally | None
    ) -> Tensor:
        scale = 1 / self.loss.temperature
        count = len(block.right)

        def weight(columns: slice) -> Tensor:
            return self._weight(block, batch, knowledge, columns, tally)

        if self.chunk is None and len(block.left) * count <= DENSE_CELLS:
            logits = (block.left @ block.right.T) * scale
            return weighted_logsumexp(logits, weight(slice(0, count)))
        chunk = self.chunk or 1024
        return streamed_logsumexp(block.left, block.right, scale=scale, weight=weight, chunk=chunk)


def _unit(batch: Embedded) -> Embedded:
    return Embedded(
        anchors=normalize(batch.anchors),
        positives=normalize(batch.positives),
        negatives=normalize(batch.negatives),
        queries=batch.queries,
        docs=batch.docs,
        negative_docs=batch.negative_docs,
        owners=batch.owners,
    )


def _block(name: str, batch: Embedded, *, shared: bool = True) -> Block:
    left = batch.anchors if name[0] == "a" else batch.positives
    right = {"a": batch.anchors, "p": batch.positives, "n": batch.negatives}[name[1]]
    positions = {"a": batch.queries, "p": batch.docs, "n": batch.negative_docs}[name[1]]
    owners = batch.owners if name == "an" and not shared else None
    return Block(name=name, left=left, right=right, positions=positions, owners=owners)
