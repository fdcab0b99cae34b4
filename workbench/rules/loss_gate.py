"""Leave out training pairs whose loss says that their label is wrong.

    weight_i = 1 where log loss_i <= x, else 0
    x between the two means with w1 N(x; m1, s1) = w2 N(x; m2, s2)

The mixture of two Gaussians is fitted to the log of what every pair cost in the last epoch it was
seen: correct pairs are learned first and pile up below, wrong ones above.

Source: Han et al. 2022, "Self-Supervised Speaker Verification Using Dynamic Loss-Gate and Label
Correction" (DLG-LC), the gate; the crossing in closed form.
Breaks when: pairs are hard and honest (in a separable problem the gate calls hard clean pairs
noise); losses do not form two heaps, where nothing is gated; one gates from the first epoch on,
before anything is learned; the loss may be negative (decoupled), which has no log: use on="raw".
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from math import log, nan, sqrt
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from workbench.errors import BadArgument, check_choice, check_count
from workbench.registry import register
from workbench.types import Ints, LossStore

TINY = 1e-12
"""A loss below this is no loss: it takes no part in the fit and is kept."""
FEWEST = 10


def crossing(
    weights: tuple[float, float], means: tuple[float, float], stds: tuple[float, float]
) -> float:
    """Where two weighted Gaussian densities cross between their means, the lower one ruling below.

    Args:
        weights: of the two components.
        means: of the two.
        stds: of the two.

    Returns:
        NaN where there is no such point.

    Example:
        >>> round(crossing((0.7, 0.3), (-1.0, 1.5), (0.5, 0.8)), 6)
        0.164291
    """
    low, high = (0, 1) if means[0] <= means[1] else (1, 0)
    precise = [1 / stds[place] ** 2 for place in (low, high)]
    # log ratio of the lower to the upper density: a x^2 + b x + c, falling through 0 at the gate;
    # x is counted from the lower mean
    gap = means[high] - means[low]
    a = (precise[1] - precise[0]) / 2
    b = -gap * precise[1]
    c = gap * gap * precise[1] / 2 + log(weights[low] * stds[high] / (weights[high] * stds[low]))
    inside = b * b - 4 * a * c
    if inside < 0:
        return nan
    root = sqrt(inside)
    # the root where 2 a x + b = -root < 0; b < 0, so written without cancellation
    at = 2 * c / (root - b) if root - b > 0 else nan
    return means[low] + at if 0 <= at <= gap else nan


class Heaps(NamedTuple):
    """Two Gaussians over losses on the scale of the fit, the lower first, and where they cross."""

    weights: tuple[float, float]
    means: tuple[float, float]
    stds: tuple[float, float]
    gate: float


def heaps(losses: NDArray[np.float64], *, on: str = "log", seed: int = 0) -> Heaps | None:
    """The two heaps that losses form, None where two do not show.

    Args:
        losses: (row,) past losses, NaN where there is none.
        on: "log", or "raw" for losses that may be negative.
        seed: of the fit's start.

    Raises:
        BadArgument: a negative loss has no log.

    Example:
        >>> easy = np.exp(np.random.default_rng(0).normal(-3, 0.5, size=500))
        >>> found = heaps(np.concatenate([easy, 1 / easy]))
        >>> [round(mean) for mean in found.means]
        [-3, 3]
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    past = losses[~np.isnan(losses)]
    if on == "log":
        if len(past) and past.min() < 0:
            wanted = f"a loss of {past.min():g} has no log"
            raise BadArgument("on", on, wanted, 'Use LossGate(on="raw") with this loss.')
        past = np.log(past[past >= TINY])
    if len(past) < FEWEST or float(past.std()) <= TINY:
        return None
    mixture = GaussianMixture(2, random_state=seed, max_iter=200, tol=1e-5)
    with warnings.catch_warnings():  # the gate may be a little off; the next epoch fits anew
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(past[:, None])
    order = np.argsort(mixture.means_[:, 0], kind="stable")
    columns = (mixture.weights_, mixture.means_[:, 0], np.sqrt(mixture.covariances_[:, 0, 0]))
    weights, means, stds = (
        (float(column[order[0]]), float(column[order[1]])) for column in columns
    )
    gate = crossing(weights, means, stds)
    return None if np.isnan(gate) else Heaps(weights, means, stds, gate)


def gate_threshold(losses: NDArray[np.float64], *, on: str = "log", seed: int = 0) -> float:
    """The largest loss that is kept, on the scale of the fit; inf where two heaps do not show.

    Args:
        losses: see `heaps`.
        on: see `heaps`.
        seed: see `heaps`.

    Raises:
        BadArgument: a negative loss has no log.

    Example:
        >>> easy = np.exp(np.random.default_rng(0).normal(-3, 0.5, size=500))
        >>> 0 < gate_threshold(np.concatenate([easy, 1 / easy])) + 0.5 < 1
        True
    """
    found = heaps(losses, on=on, seed=seed)
    return float("inf") if found is None else found.gate


def loss_gate(
    loss: Float[Tensor, " query"], threshold: float, *, on: str = "log"
) -> Float[Tensor, " query"]:
    """Weight 1 where the loss is at most the threshold.

    Args:
        loss: of each pair now.
        threshold: see `gate_threshold`.
        on: the threshold's scale.

    Returns:
        Detached weights, 1 or 0.

    Example:
        >>> loss_gate(torch.tensor([0.5, 3.0, 0.0]), 0.0)
        tensor([1., 0., 1.])
    """
    now = loss.detach().double()
    now = now.clamp_min(TINY).log() if on == "log" else now
    return (now <= threshold).to(loss.dtype)


@register("pair_rule", "loss_gate")
@dataclass(frozen=True, kw_only=True)
class LossGate:
    """Leave out pairs whose loss belongs to the upper of two heaps (DLG-LC).

    Args:
        on: see `gate_threshold`.
        warmup: epochs with losses before any pair is gated; 5 in an implementation of the paper.
        seed: see `gate_threshold`.

    Raises:
        BadArgument: an unknown scale, warmup < 1, seed < 0.
    """

    on: str = "log"
    warmup: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("on", self.on, ("log", "raw"))
        check_count("warmup", self.warmup, mend="Try 1.")
        check_count("seed", self.seed, at_least=0, mend="Try 0.")

    def __call__(
        self, loss: Float[Tensor, " query"], rows: Ints, losses: LossStore
    ) -> Float[Tensor, " query"]:
        """Weights of the pairs of one batch; `losses` are those of epochs that are over."""
        if losses.epochs < self.warmup:
            return torch.ones_like(loss, requires_grad=False)
        gate = losses.once(self, lambda: gate_threshold(losses.last(), on=self.on, seed=self.seed))
        return loss_gate(loss, gate, on=self.on)
