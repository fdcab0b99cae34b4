"""Cosines, and the one primitive of the softmax family: a weighted row-wise log-sum-exp.

    lse_i = log sum_j w_ij exp(s_ij / temperature)

It stands here twice: dense, over a score matrix that exists, and streamed, over column chunks of
`left @ right.T` that are recomputed in backward, so that peak memory grows with the rows and not
with rows x columns. The two are equal by test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.errors import BadArgument

Weights = Callable[[slice], Tensor | None]
"""Weight of one chunk of columns: (query, len(columns)) in [0, 1], or None for all ones."""


def cosine(
    left: Float[Tensor, "query dim"], right: Float[Tensor, "doc dim"]
) -> Float[Tensor, "query doc"]:
    """Cosine of every row of `left` with every row of `right`: one matrix product.

    Args:
        left: anchors, any length.
        right: candidates, any length.

    Returns:
        (query, doc) in [-1, 1].

    Example:
        >>> cosine(torch.tensor([[3.0, 4.0]]), torch.tensor([[6.0, 8.0], [4.0, -3.0]]))
        tensor([[1., 0.]])
    """
    return normalize(left) @ normalize(right).T


def normalize(vectors: Float[Tensor, "row dim"]) -> Float[Tensor, "row dim"]:
    """Rows scaled to length 1; a zero row stays zero, with a finite gradient."""
    return torch.nn.functional.normalize(vectors, dim=-1)


class Cells:
    """What a rule may look at: one rectangle of (anchor, candidate) cells, facts fetched lazily.

    Args:
        shape: (query, doc).
        facts: name -> tensor, or a function that makes it on first use. Names in use: `score` and
            `positive_score` (the student's or miner's), `guide` and `guide_positive` (a frozen
            model's), `neighbour` (the guide's largest similarity of the candidate to any known
            positive of the anchor), `known` (known positive through the graph), `verdict` (+1
            judged positive, -1 judged negative, 0 not judged), `rank` (1-based).

    Raises:
        BadArgument: a fact is asked for that was not given, or has another shape.

    Example:
        >>> cells = Cells((1, 2), {"score": torch.tensor([[0.9, 0.2]])})
        >>> cells["score"].argmax().item(), cells.has("guide")
        (0, False)
    """

    def __init__(
        self, shape: tuple[int, int], facts: dict[str, Tensor | Callable[[], Tensor]]
    ) -> None:
        self.shape = shape
        self._facts = dict(facts)

    def has(self, name: str) -> bool:
        """Is this fact to be had?"""
        return name in self._facts

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._facts:
            raise BadArgument(
                "rules", name, f"only {', '.join(sorted(self._facts)) or 'nothing'} is known here",
                MENDS.get(name, "Give that fact, or leave out the rule that asks for it."),
            )  # fmt: skip
        fact = self._facts[name]
        if not isinstance(fact, Tensor):
            fact = fact().detach()
            self._facts[name] = fact
        if fact.shape not in (self.shape, self.shape[:1]):
            raise BadArgument(
                name,
                tuple(fact.shape),
                f"its shape must be {self.shape}",
                "Align it with the cells.",
            )
        return fact


MENDS = {
    "guide": "Pass guide=(query vectors, document vectors) of a frozen model.",
    "guide_positive": "Pass guide=(query vectors, document vectors) of a frozen model.",
    "neighbour": "Pass guide=(query vectors, document vectors), and known positives.",
    "known": "Pass known=KnownPositives.of(collection).",
    "verdict": "Pass verdicts=Verdicts.load(...).",
    "rank": "Ranks exist only for mined candidates; use this rule when mining.",
}
"""How to supply each fact, for error messages."""


def weighted_logsumexp(
    logits: Float[Tensor, "query doc"],
    weight: Float[Tensor, "query doc"] | Bool[Tensor, "query doc"] | None = None,
) -> Float[Tensor, " query"]:
    """Row-wise log sum_j w_ij exp(logits_ij) over a matrix that exists.

    Args:
        logits: scores already divided by the temperature.
        weight: in [0, 1], or booleans; a cell of weight 0 does not exist: exactly no gradient.
            None = ones.

    Returns:
        One value per row; -inf where nothing is left, with a gradient of 0.

    Example:
        >>> logits = torch.zeros(1, 3)
        >>> weighted_logsumexp(logits, torch.tensor([[1.0, 1.0, 0.0]])).exp()
        tensor([2.])

    Breaks when: a weight is negative or NaN.
    """
    if weight is not None and weight.dtype == torch.bool:
        logits = logits.masked_fill(~weight, NEGATIVE_INFINITY)
    elif weight is not None:
        logits = torch.where(weight > 0, logits + weight.clamp_min(TINY).log(), NEGATIVE_INFINITY)
    peak = logits.detach().amax(dim=1, keepdim=True) if logits.shape[1] else logits.new_zeros(1, 1)
    peak = torch.where(peak.isfinite(), peak, 0.0)
    total = (logits - peak).exp().sum(dim=1)
    alive = total != 0  # a NaN stays a NaN
    return torch.where(
        alive, torch.where(alive, total, 1.0).log() + peak.squeeze(1), NEGATIVE_INFINITY
    )


TINY = 1e-30
NEGATIVE_INFINITY = float("-inf")


def streamed_logsumexp(
    left: Float[Tensor, "query dim"],
    right: Float[Tensor, "doc dim"],
    *,
    scale: float,
    weight: Weights | None = None,
    chunk: int = 1024,
) -> Float[Tensor, " query"]:
    """Row-wise log sum_j w_ij exp(scale * left_i . right_j) without the (query, doc) matrix.

    Forward and backward walk the columns in chunks; backward recomputes each chunk (and its
    weights) instead of keeping it.

    Args:
        left: anchors.
        right: candidates.
        scale: 1 / temperature.
        weight: columns -> (query, columns) weights, asked once in forward and once in backward.
        chunk: columns at a time; memory is about 3 x query x chunk numbers.

    Returns:
        One value per row; -inf where nothing is left, with a gradient of 0.

    Example:
        >>> left, right = torch.eye(2), torch.eye(2)
        >>> streamed_logsumexp(left, right, scale=1.0, chunk=1)
        tensor([1.3133, 1.3133])

    Breaks when: `weight` answers differently the second time (a rule with hidden randomness).
    """
    if chunk < 1:
        raise BadArgument("chunk", chunk, "it must be a whole number >= 1", "Try 1024.")
    result: Tensor = _Streamed.apply(left, right, scale, weight, chunk)  # type: ignore[no-untyped-call]
    return result


def _chunk_logits(
    left: Tensor, right: Tensor, columns: slice, scale: float, weight: Weights | None
) -> Tensor:
    logits = (
        torch.mm(left, right[columns].T).float() if left.dtype in HALF else left @ right[columns].T
    )
    logits.mul_(scale)
    weights = None if weight is None else weight(columns)
    if weights is not None:
        if weights.dtype == torch.bool:
            logits.masked_fill_(~weights, NEGATIVE_INFINITY)
        else:
            logits.add_(weights.clamp_min(TINY).log()).masked_fill_(weights <= 0, NEGATIVE_INFINITY)
    return logits


HALF = (torch.bfloat16, torch.float16)


class _Streamed(torch.autograd.Function):
    """Online log-sum-exp over column chunks with a running peak; recomputed in backward."""

    @staticmethod
    def forward(
        ctx: Any, left: Tensor, right: Tensor, scale: float, weight: Weights | None, chunk: int
    ) -> Tensor:
        accumulate = torch.float32 if left.dtype in HALF else left.dtype
        peak = left.new_full((len(left),), NEGATIVE_INFINITY, dtype=accumulate)
        total = left.new_zeros(len(left), dtype=accumulate)
        for start in range(0, len(right), chunk):
            columns = slice(start, min(start + chunk, len(right)))
            logits = _chunk_logits(left, right, columns, scale, weight)
            higher = torch.maximum(peak, logits.amax(dim=1))
            shift = torch.where(higher.isfinite(), higher, 0.0)
            total.mul_((peak - shift).exp_()).add_(logits.sub_(shift[:, None]).exp_().sum(dim=1))
            peak = higher
        result = total.log_().add_(torch.where(peak.isfinite(), peak, 0.0))
        ctx.save_for_backward(left, right, result)
        ctx.scale, ctx.weight, ctx.chunk = scale, weight, chunk
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        left, right, result = ctx.saved_tensors
        (incoming,) = gradients
        alive = ~torch.isneginf(result)
        shift = torch.where(alive, result, 0.0)[:, None]
        factor = torch.where(alive, incoming * ctx.scale, 0.0)[:, None]
        wants_left, wants_right = ctx.needs_input_grad[:2]
        to_left = torch.zeros_like(left) if wants_left else None
        to_right = torch.zeros_like(right) if wants_right else None
        for start in range(0, len(right), ctx.chunk):
            columns = slice(start, min(start + ctx.chunk, len(right)))
            logits = _chunk_logits(left, right, columns, ctx.scale, ctx.weight)
            share = logits.sub_(shift).exp_().mul_(factor).to(left.dtype)
            if to_left is not None:
                to_left.addmm_(share, right[columns])
            if to_right is not None:
                to_right[columns] = share.T @ left
        return to_left, to_right, None, None, None
