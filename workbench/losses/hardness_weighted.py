"""InfoNCE whose negatives weigh more the harder they are, by a detached weight.

    additive:    l_ij = s_ij / t + strength sg(s_ij), negatives only; the positive stays s_ip / t
    normalised:  l_ij = s_ij / t + log v_ij,  v_ij = exp(strength sg(s_ij)) / mean_k exp(strength
                 sg(s_ik)), the weighted mean over the row's covered negatives
    loss_i = log(1 + sum_j w_ij exp(l_ij - s_ip / t))

sg detaches: without it the model would lower its own penalty. The additive form multiplies each
negative's exp by exp(strength s), so its value grows with strength; the normalised one keeps the
sum of the weights and only moves it to the hard ones. Strength 0 is InfoNCE exactly.

Source: additive form Lan et al. 2025 (LLaVE, equation 5, strength 9) and EmbeddingGemma (5), the
`hardness_mode` of sentence-transformers. With a `Ramp` as strength it is a SURROGATE for PEG (Wu et
al. 2023), whose exact weights and schedule are not published; so is the normalised form.
Breaks when: hard negatives are unlabelled positives (they are weighted up first: put a rule before
it); values of different strength are compared; one expects accuracy of a ramp alone (on planted
data it changed less than seeds do).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from workbench.errors import BadArgument, check_choice, check_number
from workbench.losses._base import against, check_scores, negative_weight, own_column
from workbench.registry import register
from workbench.scores import weighted_logsumexp
from workbench.types import Ramp


def hardness_weighted(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    *,
    temperature: float = 0.05,
    strength: float = 5.0,
    weight: Float[Tensor, "query doc"] | None = None,
    on: Literal["all", "in_batch", "hard"] = "all",
    normalise: bool = False,
    mined: Bool[Tensor, "query doc"] | None = None,
) -> Float[Tensor, " query"]:
    """One value per anchor; the caller takes the mean.

    Args:
        scores: cosines of anchors and candidates.
        positive: column of each row's labelled positive. It is never dropped nor weighted.
        temperature: logit = score / temperature; usual 0.01 to 0.1.
        strength: what multiplies the detached score; usual 0 to 9, papers 5 and 9.
        weight: 1 keep, 0 drop, between = trust; None keeps all.
        on: which negatives are weighted.
        normalise: the normalised form.
        mined: true where a candidate was mined for its anchor; asked for unless `on` is "all".

    Returns:
        Nats per anchor, >= 0; exactly 0 where every negative is dropped.

    Raises:
        BadArgument: an option out of range, `mined` missing, shapes that do not fit.

    Example:
        >>> import torch
        >>> scores, positive = torch.tensor([[0.8, 0.4, 0.1]]), torch.tensor([0])
        >>> for strength in (0.0, 5.0):
        ...     hardness_weighted(scores, positive, temperature=0.1, strength=strength)
        tensor([0.0190])
        tensor([0.1283])
    """
    loss = HardnessWeighted(temperature=temperature, strength=strength, on=on, normalise=normalise)
    return loss(scores, positive, weight=weight, mined=mined)


@register("loss", "hardness_weighted")
@dataclass(frozen=True, kw_only=True)
class HardnessWeighted:
    """InfoNCE whose negatives weigh more the harder they are.

    Args:
        temperature: see `hardness_weighted`.
        strength: a number, or a `Ramp` that `at_step(loss, step)` turns into one.
        on: "all" negatives, those "in_batch", or the mined "hard" ones. Block by block, "an" is
            mined and every other block is in-batch; the row form reads the fact `mined`, which may
            be left out when `on` is "all".
        normalise: see `hardness_weighted`; such a loss does not stream.

    Raises:
        BadArgument: temperature <= 0, strength < 0, an unknown `on`.
    """

    temperature: float = 0.05
    strength: float | Ramp = 5.0
    on: Literal["all", "in_batch", "hard"] = "all"
    normalise: bool = False
    needs: ClassVar[tuple[str, ...]] = ("mined",)
    independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, above=0, mend="Try 0.05.")
        ramp = self.strength if isinstance(self.strength, Ramp) else None
        for value in (ramp.start, ramp.end) if ramp else (self.strength,):
            check_number("strength", value, at_least=0, mend="Try 5, or 0 for InfoNCE.")
        check_choice("on", self.on, ["all", "in_batch", "hard"])

    @property
    def streams(self) -> bool:
        """The normalised form needs a second log-sum-exp, that of its weights."""
        return not self.normalise

    def _strength(self) -> float:
        if isinstance(self.strength, Ramp):
            wanted = "it must be a number when the loss is called"
            raise BadArgument("strength", self.strength, wanted, "Call at_step(loss, step) first.")
        return self.strength

    def hardness(self, block: str) -> float:
        """The strength in blocks that `on` covers, else 0.

        Raises:
            BadArgument: the strength is still a `Ramp`.
        """
        kind = "hard" if block == "an" else "in_batch"
        return self._strength() if self.on in ("all", kind) else 0.0

    def combine(
        self, positive: Float[Tensor, " query"], negatives: Float[Tensor, " query"]
    ) -> Float[Tensor, " query"]:
        """log(1 + exp(negatives - positive)); 0 where no negative is left."""
        return against(positive, negatives)

    def __call__(
        self,
        scores: Float[Tensor, "query doc"],
        positive: Integer[Tensor, " query"],
        *,
        weight: Float[Tensor, "query doc"] | None = None,
        mined: Bool[Tensor, "query doc"] | None = None,
    ) -> Float[Tensor, " query"]:
        """Value per anchor.

        Raises:
            BadArgument: the strength is still a `Ramp`; `mined` is missing though `on` asks for it.
        """
        check_scores(scores, positive, weight)
        own = own_column(scores, positive)
        kept = negative_weight(scores, own, weight)
        bonus = self._strength() * scores.detach()
        covered = self._covered(scores, mined)
        if self.normalise:
            among = kept * covered
            mean = weighted_logsumexp(bonus, among) - among.sum(dim=1).clamp_min(1e-30).log()
            bonus = bonus - mean.masked_fill(mean.isneginf(), 0.0)[:, None]
        logits = scores / self.temperature
        raised = logits + bonus.masked_fill(~covered, 0.0)
        return self.combine(logits[own], weighted_logsumexp(raised, kept))

    def _covered(
        self, scores: Float[Tensor, "query doc"], mined: Bool[Tensor, "query doc"] | None
    ) -> Bool[Tensor, "query doc"]:
        if self.on == "all":
            return torch.ones_like(scores, dtype=torch.bool)
        if mined is None or mined.shape != scores.shape:
            shape = None if mined is None else tuple(mined.shape)
            wanted = f"with on={self.on!r} it must be a mask of shape {tuple(scores.shape)}"
            raise BadArgument("mined", shape, wanted, "Say which cells are mined, or on='all'.")
        return mined if self.on == "hard" else ~mined
