"""Synthetic negatives: mixes of each anchor's hardest kept documents, scored without keeping them.

The mixes are constants. Only their dot products with the anchor enter the loss, so they are made
for a chunk of rows at a time, and again in backward.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.scores import CELLS, NEGATIVE_INFINITY, rows_at_once
from workbench.train.candidates import Mixed
from workbench.train.cells import Block

Weigh = Callable[[Block, slice], Tensor]


@dataclass(frozen=True, eq=False, kw_only=True)
class Made:
    """The synthetic columns of a batch; every row has its own.

    Args:
        scores: (query, mix) cosine with the anchor, with the gradient of the anchor.
        weight: (query, mix) trust of what was mixed; 0 where an anchor had too few negatives.
        sources: (query, mix, 2) positions of the documents mixed; -1 = the anchor itself.
    """

    scores: Tensor
    weight: Tensor
    sources: np.ndarray


def mix(options: Mixed, blocks: list[Block], weigh: Weigh, *, step: int) -> Made | None:
    """Mix the hardest documents that keep a weight; None before `start` or without documents.

    Args:
        options: how many of what.
        blocks: real columns; those in which anchors look at documents are drawn from.
        weigh: weight of some rows of a block.
        step: optimiser step; draws depend on it and on the seed alone.

    Returns:
        Scores, weights and sources.
    """
    from_blocks = [block for block in blocks if not block.is_query and not block.from_doc]
    if step < options.start or not any(len(block.columns) for block in from_blocks):
        return None
    anchors = from_blocks[0].left
    pool = torch.cat([block.right.detach() for block in from_blocks])
    positions = np.concatenate([block.columns.positions for block in from_blocks])
    with torch.no_grad():
        places, trust = hardest(from_blocks, weigh, options.n)
    recipe = _draw(options, trust, anchors, step)
    left, right, share, weight = recipe
    first = places.gather(1, left)
    second = places.gather(1, right)
    anchor_from = options.pairs

    def made(rows: slice) -> Tensor:
        a, b = pool[first[rows]], pool[second[rows]].clone()
        b[:, anchor_from:] = a[:, anchor_from:]
        a = a.clone()
        a[:, anchor_from:] = anchors.detach()[rows, None]
        return torch.nn.functional.normalize(
            share[rows, :, None] * a + (1 - share[rows, :, None]) * b, dim=-1
        )

    scores: Tensor = _Dots.apply(anchors, made, first.shape[1])  # type: ignore[no-untyped-call]
    ones, others = positions[first.cpu().numpy()], positions[second.cpu().numpy()].copy()
    others[:, anchor_from:] = -1
    return Made(scores=scores, weight=weight, sources=np.stack([ones, others], axis=-1))


def hardest(blocks: list[Block], weigh: Weigh, n: int) -> tuple[Tensor, Tensor]:
    """(query, n) places in the concatenated columns of the best-scored kept cells, and weights.

    Where an anchor keeps fewer than n, the rest has weight 0.
    """
    values, places, trusts, offset = [], [], [], 0
    for block in blocks:
        count = len(block.columns)
        step = rows_at_once(count)
        found: list[tuple[Tensor, Tensor, Tensor]] = []
        for start in range(0, len(block.left) if count else 0, step):
            rows = slice(start, min(start + step, len(block.left)))
            weight = weigh(block, rows).to(block.left.dtype)
            scores = block.left.detach()[rows] @ block.right.detach().T
            top = scores.masked_fill_(weight <= 0, NEGATIVE_INFINITY).topk(min(n, count), dim=1)
            found.append((top.values, top.indices + offset, weight.gather(1, top.indices)))
        if found:
            values.append(torch.cat([one for one, _, _ in found]))
            places.append(torch.cat([one for _, one, _ in found]))
            trusts.append(torch.cat([one for _, _, one in found]))
        offset += count
    every = torch.cat(values, dim=1)
    top = every.topk(min(n, every.shape[1]), dim=1)
    weight = torch.cat(trusts, dim=1).gather(1, top.indices)
    return torch.cat(places, dim=1).gather(1, top.indices), weight * top.values.isfinite()


def _draw(
    options: Mixed, trust: Tensor, like: Tensor, step: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Per mix: which two of the hardest, the share of the first, and the trust in both."""
    count = (trust > 0).sum(dim=1, keepdim=True).cpu()
    rows, mixes = len(trust), options.pairs + options.with_anchor
    seed = np.random.SeedSequence([options.seed, step]).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(seed))
    one, two, share = torch.rand(3, rows, mixes, generator=generator, dtype=torch.float64)
    left = (one * count).long().clamp_(max=(count - 1).clamp(min=0))
    shift = 1 + (two * (count - 1)).long()
    right = (left + shift) % count.clamp(min=1)
    share[:, options.pairs :] *= 0.5  # the anchor never dominates
    left, right = left.to(like.device), right.to(like.device)
    weight = trust.gather(1, left)
    weight = torch.cat(
        [
            weight[:, : options.pairs] * trust.gather(1, right)[:, : options.pairs],
            weight[:, options.pairs :],
        ],
        dim=1,
    )
    too_few = torch.cat(
        [(count < 2).expand(-1, options.pairs), (count < 1).expand(-1, options.with_anchor)], dim=1
    )
    weight = weight.masked_fill(too_few.to(weight.device), 0.0)
    return left, right, share.to(like.device, like.dtype), weight


class _Dots(torch.autograd.Function):
    """Dot product of every row with each of its own constants, made chunk by chunk, twice."""

    @staticmethod
    def forward(ctx: Any, anchors: Tensor, made: Callable[[slice], Tensor], mixes: int) -> Tensor:
        ctx.made, ctx.shape = made, anchors.shape
        ctx.chunk = max(1, CELLS // max(1, mixes * anchors.shape[1]))
        parts = [
            torch.einsum("qd,qmd->qm", anchors[rows], made(rows))
            for rows in _Dots.chunks(len(anchors), ctx.chunk)
        ]
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (incoming,) = gradients
        parts = [
            torch.einsum("qm,qmd->qd", incoming[rows], ctx.made(rows))
            for rows in _Dots.chunks(ctx.shape[0], ctx.chunk)
        ]
        return torch.cat(parts), None, None

    @staticmethod
    def chunks(count: int, size: int) -> list[slice]:
        """Rows cut into chunks."""
        return [slice(start, min(start + size, count)) for start in range(0, count, size)]
