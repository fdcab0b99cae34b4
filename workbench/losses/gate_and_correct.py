"""Loss gate with label correction: trust a pair while its loss is small, else ask for a new label.

    l_i = -log softmax(s_i / t)[positive]
    keep_i:       log l_i <= threshold (or given)
    q_i = softmax(clean_i / (t T)), no gradient;  corrected_i: not keep_i and max q_i > confidence
    loss_i = keep_i l_i + corrected_i * -log softmax(s_i / t)[argmax q_i]
             soft: the dot product of q_i and -log softmax(s_i / t)

`clean` is what stands in `teacher`: the model's own scores of the un-augmented view, or a guide's
where nothing is augmented; then a correction takes the guide's top candidate as the positive. The
threshold is where two Gaussians fitted to the log losses of the last epoch cross; it is an option,
so that a stage may set it epoch by epoch. A weight multiplies a candidate inside the softmax.

Source: Han et al. 2022, "Self-supervised speaker verification with dynamic loss-gate and label
correction" (DLG-LC); confidence 0.5 and sharpening T = 0.1 of a third-party implementation.
Breaks when: the gate opens before the model knows anything (first epochs plain, then the gate, then
the correction); clean hard pairs have large losses too (they are re-labelled); values are averaged
over all rows, gated ones included (the step shrinks: note the jump when correction sets in).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from workbench.errors import BadArgument, check_number
from workbench.losses._base import check_scores, negative_weight, own_column
from workbench.registry import register
from workbench.scores import weighted_logsumexp


def gate_and_correct(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    *,
    teacher: Float[Tensor, "query doc"],
    keep: Bool[Tensor, " query"] | None = None,
    threshold: float | None = None,
    confidence: float = 0.5,
    sharpen: float = 0.1,
    soft: bool = False,
    temperature: float = 0.05,
    weight: Float[Tensor, "query doc"] | None = None,
) -> Float[Tensor, " query"]:
    """One value per anchor; the caller takes the mean over all rows, gated ones included.

    Args:
        scores: cosines of anchors and candidates (in the paper: logits of classes).
        positive: column of each row's labelled positive. It is never dropped.
        teacher: the clean view's scores, or a guide's; a NaN is never the new label.
        keep: which rows the gate lets through; None = by the threshold.
        threshold: greatest log loss that is kept; None or inf keeps all rows.
        confidence: least probability of a new label, in [0, 1]; usual 0.5.
        sharpen: divides the clean logits, > 0; usual 0.1.
        soft: use the clean view's whole distribution as target, not its best candidate.
        temperature: logit = score / temperature; usual 0.01 to 0.1.
        weight: 1 keep, 0 drop, between = trust; None keeps all.

    Returns:
        Nats per anchor, >= 0; 0 where a row is gated out and not corrected, or has no negative.

    Raises:
        BadArgument: options out of range, shapes that do not fit.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 3.0]])
        >>> options = {"keep": torch.tensor([True, False]), "temperature": 1.0}
        >>> gate_and_correct(scores, torch.tensor([0, 1]), teacher=scores, **options)
        tensor([0.2395, 0.0949])
    """
    loss = GateAndCorrect(
        threshold=threshold,
        confidence=confidence,
        sharpen=sharpen,
        soft=soft,
        temperature=temperature,
    )
    return loss(scores, positive, teacher=teacher, keep=keep, weight=weight)


@register("loss", "gate_and_correct")
@dataclass(frozen=True, kw_only=True)
class GateAndCorrect:
    """Softmax cross-entropy that lets a loss gate replace doubtful labels by confident guesses.

    Args:
        threshold: see `gate_and_correct`.
        confidence: see `gate_and_correct`.
        sharpen: see `gate_and_correct`.
        soft: see `gate_and_correct`.
        temperature: see `gate_and_correct`.

    Raises:
        BadArgument: temperature or sharpen <= 0, confidence outside [0, 1], a threshold of NaN.
    """

    threshold: float | None = None
    confidence: float = 0.5
    sharpen: float = 0.1
    soft: bool = False
    temperature: float = 0.05
    needs: ClassVar[tuple[str, ...]] = ("teacher",)
    independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, above=0, mend="Try 0.05.")
        check_number("sharpen", self.sharpen, above=0, mend="Try 0.1.")
        check_number("confidence", self.confidence, at_least=0, at_most=1, mend="Try 0.5.")
        if self.threshold not in (None, inf):
            check_number("threshold", self.threshold, mend="Give a log loss, or None.")

    def __call__(
        self,
        scores: Float[Tensor, "query doc"],
        positive: Integer[Tensor, " query"],
        *,
        teacher: Float[Tensor, "query doc"],
        keep: Bool[Tensor, " query"] | None = None,
        weight: Float[Tensor, "query doc"] | None = None,
    ) -> Float[Tensor, " query"]:
        """Value per anchor."""
        check_scores(scores, positive, weight, teacher=teacher)
        if keep is not None and len(keep) != len(scores):
            wanted = f"there must be one per row, {len(scores)}"
            raise BadArgument("keep", tuple(keep.shape), wanted, "Say of each row if it is kept.")
        own = own_column(scores, positive)
        negatives = negative_weight(scores, own, weight)
        share = negatives.masked_fill(own, 1.0)
        logits = scores / self.temperature
        total = weighted_logsumexp(logits, share)
        plain = total - logits[own]
        if keep is None:
            keep = self._passes(plain)
        target, sure = self._target(teacher, share)
        corrected = total - (target * logits).sum(dim=1)
        value = plain * keep + corrected * (sure & ~keep)
        return value.masked_fill(negatives.sum(dim=1) == 0, 0.0)

    def _passes(self, plain: Tensor) -> Tensor:
        if self.threshold is None:
            return plain.new_ones(plain.shape, dtype=torch.bool)
        return plain.detach().float().clamp_min(1e-12).log() <= self.threshold

    def _target(self, teacher: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """New label as a distribution over candidates that exist, and whether it is sure."""
        there = (share > 0) & ~teacher.isnan()
        clean = teacher.detach().masked_fill(~there, 0.0) / (self.temperature * self.sharpen)
        clean = (clean + share.clamp_min(1e-30).log()).masked_fill(~there, -inf)
        nothing = ~there.any(dim=1, keepdim=True)
        guess = clean.masked_fill(nothing, 0.0).softmax(dim=1)
        best, place = guess.max(dim=1)
        if not self.soft:
            guess = guess.new_zeros(guess.shape).scatter(1, place[:, None], 1.0)
        return guess, (best > self.confidence) & ~nothing.squeeze(1)
