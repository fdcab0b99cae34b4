"""Cosines, and the one primitive of the softmax family: a weighted row-wise log-sum-exp.

    lse_i = log sum_j w_ij exp(s_ij / temperature)

It stands here twice: dense, over a score matrix that exists, and streamed, over row chunks of
`left @ right.T` that are recomputed in backward, so that peak memory grows with the vectors and not
with rows x columns. The two are equal by test. Chunks are whole rows, so that whatever weighs the
cells (rules) sees all candidates of an anchor at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.errors import BadArgument

Weights = Callable[[slice], Tensor | None]
"""Weight of one chunk of rows: (len(rows), doc) in [0, 1], or None for all ones."""

CELLS = 4_000_000
"""Cells of one chunk when nobody says how many rows it is to hold."""


def rows_at_once(columns: int, chunk: int | None = None) -> int:
    """Rows of one chunk: `chunk`, or as many as keep it at `CELLS` cells.

    Example:
        >>> rows_at_once(80_000), rows_at_once(80_000, 16), rows_at_once(0)
        (50, 16, 4000000)
    """
    return chunk if chunk is not None else max(1, CELLS // max(1, columns))


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


def posterior_false_negative(
    score_logit: Float[Tensor, "*cells"], flip: float | Float[Tensor, ...]
) -> Float[Tensor, "*cells"]:
    """Probability that an unlabelled candidate is a positive whose label was lost.

        G R / (G R + 1 - R) = sigmoid(logit R + log G),   R = sigmoid(score_logit)

    A soft weight for a negative is one minus this.

    Args:
        score_logit: log-odds that the candidate is relevant, e.g. cosine / temperature + bias.
        flip: G, the share of relevant candidates without a label, in [0, 1]; one number, or a
            tensor that broadcasts to the cells. It cannot be learned as one free number from the
            same data: supply it, or model it with other features.

    Returns:
        In [0, 1], the shape of `score_logit`; 0 where flip is 0.

    Raises:
        BadArgument: flip outside [0, 1].

    Example:
        >>> posterior_false_negative(torch.tensor([-2.0, 0.0, 3.0]), 0.4)
        tensor([0.0514, 0.2857, 0.8893])

    Source: Yu and Qin 2020, "Sampler design for implicit feedback data by noisy-label robust
    learning" (NBPO), Bayes' rule on P(unlabelled) = (1 - R) + G R.
    Breaks when: the logits are not calibrated (all far above or below 0).
    """
    share = torch.as_tensor(flip, dtype=score_logit.dtype, device=score_logit.device)
    if not bool(((share >= 0) & (share <= 1)).all()):
        raise BadArgument("flip", flip, "it must lie in [0, 1]", "Try 0.1.")
    return torch.sigmoid(score_logit + share.log())


class Cells:
    """What a rule may look at: one rectangle of (anchor, candidate) cells, facts fetched lazily.

    Args:
        shape: (query, doc).
        facts: name -> tensor, or a function that makes it on first use. Names in use: `score` and
            `positive_score` (the student's or miner's), `guide` and `guide_positive` (a frozen
            model's), `neighbour` (the guide's largest similarity of the candidate to any known
            positive of the anchor), `known` (known positive through the graph), `verdict` (+1
            judged positive, -1 judged negative, 0 not judged), `rank` (1-based), `same_group` (near
            duplicate of the anchor or its labelled positive), and scores under a name of the
            user's, each with `<name>_positive`: `cross_encoder`, `selection`.

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
    "guide_positive": "Pass guide=(query vectors, document vectors) of a frozen model, and the "
    "collection, whose labels it is asked about.",
    "neighbour": "Pass guide=(query vectors, document vectors), and the collection or known "
    "positives.",
    "known": "Pass known=KnownPositives.of(collection).",
    "verdict": "Pass verdicts=Verdicts.load(...).",
    "rank": "Ranks exist only for mined candidates; use this rule when mining.",
    "same_group": "Pass the collection, whose groups say what near duplicates are.",
    "selection": "Pass scores={'selection': log-odds that a pair was in the judged pool}.",
    "cross_encoder": "Pass scores={'cross_encoder': score of each (query, document)}.",
    "cross_encoder_positive": "Pass scores={'cross_encoder': ...} and labelled positives.",
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
    hardness: float = 0.0,
    weight: Weights | None = None,
    chunk: int | None = None,
) -> Float[Tensor, " query"]:
    """Row-wise log sum_j w_ij exp(scale s_ij + hardness sg(s_ij)) without the (query, doc) matrix.

    s_ij = left_i . right_j, and sg stops the gradient: a hard negative weighs more, yet the weight
    is no way to a lower loss. Forward and backward walk the rows in chunks; backward recomputes
    each chunk (and its weights) instead of keeping it.

    Args:
        left: anchors.
        right: candidates.
        scale: 1 / temperature.
        hardness: see above; 0 = plain.
        weight: rows -> (rows, doc) weights, asked once in forward and once in backward.
        chunk: rows at a time; None = as many as make 4 million cells. Memory is about 3 chunks.

    Returns:
        One value per row; -inf where nothing is left, with a gradient of 0.

    Raises:
        BadArgument: chunk < 1.

    Example:
        >>> left, right = torch.eye(2), torch.eye(2)
        >>> streamed_logsumexp(left, right, scale=1.0, chunk=1)
        tensor([1.3133, 1.3133])

    Breaks when: `weight` answers differently the second time (a rule with hidden randomness).
    """
    if chunk is not None and chunk < 1:
        raise BadArgument("chunk", chunk, "it must be a whole number >= 1", "Try 256.")
    rows = rows_at_once(len(right), chunk)
    result: Tensor = _Streamed.apply(left, right, scale, hardness, weight, rows)  # type: ignore[no-untyped-call]
    return result


def _chunk_logits(
    left: Tensor, right: Tensor, rows: slice, scale: float, weight: Weights | None
) -> Tensor:
    logits = left[rows] @ right.T
    logits = (logits.float() if logits.dtype in HALF else logits).mul_(scale)
    weights = None if weight is None else weight(rows)
    if weights is None:
        return logits
    if weights.dtype == torch.bool:
        return logits.masked_fill_(~weights, NEGATIVE_INFINITY)
    return logits.add_(weights.clamp_min(TINY).log()).masked_fill_(weights <= 0, NEGATIVE_INFINITY)


HALF = (torch.bfloat16, torch.float16)


class _Streamed(torch.autograd.Function):
    """Log-sum-exp over row chunks; each chunk is made again in backward."""

    @staticmethod
    def forward(
        ctx: Any,
        left: Tensor,
        right: Tensor,
        scale: float,
        hardness: float,
        weight: Weights | None,
        chunk: int,
    ) -> Tensor:
        kept = torch.float32 if left.dtype in HALF else left.dtype
        result = left.new_full((len(left),), NEGATIVE_INFINITY, dtype=kept)
        for start in range(0, len(left) if len(right) else 0, chunk):
            rows = slice(start, min(start + chunk, len(left)))
            logits = _chunk_logits(left, right, rows, scale + hardness, weight)
            peak = logits.amax(dim=1, keepdim=True)
            peak = torch.where(peak.isneginf(), 0.0, peak)
            result[rows] = logits.sub_(peak).exp_().sum(dim=1).log_().add_(peak.squeeze(1))
        ctx.save_for_backward(left, right, result)
        ctx.options = scale, hardness, weight, chunk
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        left, right, result = ctx.saved_tensors
        scale, hardness, weight, chunk = ctx.options
        (incoming,) = gradients
        alive = ~result.isneginf()
        shift = torch.where(alive, result, 0.0)[:, None]
        factor = torch.where(alive, incoming * scale, 0.0)[:, None]
        wants_left, wants_right = ctx.needs_input_grad[:2]
        to_left = torch.zeros_like(left) if wants_left else None
        to_right = torch.zeros_like(right, dtype=result.dtype) if wants_right else None
        for start in range(0, len(left) if len(right) else 0, chunk):
            rows = slice(start, min(start + chunk, len(left)))
            logits = _chunk_logits(left, right, rows, scale + hardness, weight)
            share = logits.sub_(shift[rows]).exp_().mul_(factor[rows]).to(left.dtype)
            if to_left is not None:
                to_left[rows] = share @ right
            if to_right is not None and to_right.dtype == share.dtype:
                to_right.addmm_(share.T, left[rows])
            elif to_right is not None:  # half precision: sums of many chunks stay in fp32
                to_right += share.T @ left[rows]
        back = None if to_right is None else to_right.to(right.dtype)
        return to_left, back, None, None, None, None
