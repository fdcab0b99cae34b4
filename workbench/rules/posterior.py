"""Trust a candidate as a negative by how probable it is that its label was merely lost.

    weight_ij = 1 - G R_ij / (G R_ij + 1 - R_ij),   R_ij = sigmoid(s_ij / temperature + bias)

R is how probable the candidate is relevant, G how probable it is that a relevant one is not
labelled. Nothing is dropped outright: trust falls smoothly as the score rises.

Source: Yu and Qin 2020, "Sampler design for implicit feedback data by noisy-label robust learning"
(NBPO), the posterior of its observation model.
Breaks when: the logits are not calibrated. With cosines and bias 0 every candidate above
temperature * log(1 / G) counts as more probably positive than not (0.12 at the defaults), so take
temperature and bias from a loss that learns them, or set bias so that R is one half where
candidates are as often relevant as not (-s / temperature for that score s). G cannot be learned as
one free number from the same data.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.errors import check_choice, check_number
from workbench.registry import register
from workbench.scores import Cells, posterior_false_negative


def posterior(
    scores: Float[Tensor, "query doc"],
    *,
    flip: float = 0.1,
    temperature: float = 0.05,
    bias: float = 0.0,
) -> Float[Tensor, "query doc"]:
    """One minus the probability that a candidate is a positive whose label was lost.

    Args:
        scores: of anchor and candidate.
        flip: G, share of relevant candidates that nobody labelled, in [0, 1]; usual 0.05 to 0.6.
        temperature: logit = score / temperature + bias.
        bias: see above; a sigmoid loss learns about -10.

    Returns:
        Weights in [0, 1]; 1 where the score is unknown (NaN).

    Example:
        >>> import torch
        >>> posterior(torch.tensor([[-2.0, 0.0, 3.0]]), flip=0.4, temperature=1.0)
        tensor([[0.9486, 0.7143, 0.1107]])
    """
    lost = posterior_false_negative(scores / temperature + bias, flip)
    return (1 - lost).masked_fill(scores.isnan(), 1.0)


@register("rule", "posterior")
@dataclass(frozen=True, kw_only=True)
class Posterior:
    """Trust a candidate less, the more probably it is a positive without a label (NBPO).

    Args:
        flip: see `posterior`.
        temperature: see `posterior`.
        bias: see `posterior`.
        by: whose scores, the student's or miner's ("score") or a frozen model's ("guide").

    Raises:
        BadArgument: flip is not in [0, 1], temperature <= 0, or an unknown `by`.
    """

    flip: float = 0.1
    temperature: float = 0.05
    bias: float = 0.0
    by: str = "score"

    def __post_init__(self) -> None:
        check_number("flip", self.flip, at_least=0, at_most=1, mend="Try 0.1.")
        check_number("temperature", self.temperature, above=0, mend="Try 0.05.")
        check_number("bias", self.bias, mend="Try -10.")
        check_choice("by", self.by, ("score", "guide"))

    @property
    def needs(self) -> tuple[str, ...]:
        """The scores it looks at."""
        return (self.by,)

    def __call__(self, cells: Cells) -> Float[Tensor, "query doc"]:
        """Weights of the cells."""
        return posterior(
            cells[self.by], flip=self.flip, temperature=self.temperature, bias=self.bias
        )
