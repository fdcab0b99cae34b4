"""Trust a training pair less whose past losses stand far outside those of all pairs.

    m_i = mean of the losses of pair i in past epochs;  mu, sd = mean and deviation of all m
    weight_i = exp(-z_i^2 / 2), z_i = (loss_i - mu) / sd   where m_i <= mu - cut_noisy * sd
                                                              or m_i >= mu + cut_faulty * sd
    weight_i = 1                                           elsewhere

A noisy pair shares a pattern that makes it too easy; a faulty one does not belong together and
stays hard. The paper weighs by the density N(loss; mu, sd), which exceeds 1 where sd < 0.4 and so
amplifies what it suspects; here it is divided by its peak.

Source: Lan et al. 2024, "Towards Enhancing Time Series Contrastive Learning: A Dynamic Bad Pair
Mining Approach" (DBPM); plain mean as in the paper, the released form by `discount`.
Breaks when: losses are bounded below and skewed, so that mu - 2 sd lies below all of them and no
noisy pair is ever found (give `lower_quantile`); many pairs are bad (they move mu and sd); hard
pairs are honest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from workbench.errors import BadArgument, check_count, check_number
from workbench.registry import register
from workbench.types import Ints, LossStore

Doubles = NDArray[np.float64]


class Population(NamedTuple):
    """What the past means of all pairs say: centre, spread, and the two cuts."""

    centre: float
    spread: float
    noisy: float
    faulty: float


def population(
    means: Doubles,
    *,
    cut_noisy: float = 2.0,
    cut_faulty: float = 3.0,
    lower_quantile: float | None = None,
) -> Population:
    """Mean and deviation (ddof 0) of past means, and where a pair is called bad.

    Args:
        means: (row,) m of every pair, NaN for one without a past.
        cut_noisy: deviations below the mean; paper 2.
        cut_faulty: deviations above the mean; paper 3.
        lower_quantile: share of pairs called noisy, in place of cut_noisy.

    Returns:
        Cuts at -inf and inf where pairs do not differ or there is no past.

    Example:
        >>> population(np.array([1.0, 2.0, 3.0]), cut_noisy=1, cut_faulty=1).centre
        2.0
    """
    past = means[~np.isnan(means)]
    centre, spread = (float(past.mean()), float(past.std())) if len(past) else (0.0, 0.0)
    if spread <= 1e-12 * max(1.0, abs(centre)):
        return Population(centre, spread, -np.inf, np.inf)
    noisy = centre - cut_noisy * spread
    if lower_quantile is not None:
        noisy = float(np.quantile(past, lower_quantile))
    return Population(centre, spread, noisy, centre + cut_faulty * spread)


def discounted_mean(history: NDArray[np.floating], total: int) -> Doubles:
    """(row,) mean over past epochs t of (t + 1) / total * loss, as in the released code.

    Args:
        history: (row, epoch) losses, NaN where there is none.
        total: E, epochs of the whole training.

    Example:
        >>> discounted_mean(np.array([[2.0, 1.5, 1.2]]), 5).round(4).tolist()
        [0.5733]
    """
    shares = (np.arange(history.shape[1]) + 1) / total
    count = (~np.isnan(history)).sum(axis=1)
    mean: Doubles = np.nansum(history * shares, axis=1) / np.maximum(count, 1)
    mean[count == 0] = np.nan
    return mean


def bad_pair(
    loss: Float[Tensor, " query"], past: Doubles, among: Population, *, bounded: bool = True
) -> Float[Tensor, " query"]:
    """Weight of each pair by its loss now, where its past is outside the cuts.

    Args:
        loss: of each pair now.
        past: (query,) its past mean m, NaN without one.
        among: of all pairs, see `population`.
        bounded: False gives the density of the paper, which is no weight: it may exceed 1.

    Returns:
        Detached weights; 1 inside the cuts.

    Example:
        >>> among = Population(centre=1.0, spread=1.0, noisy=-1.0, faulty=3.0)
        >>> bad_pair(torch.tensor([1.1, 4.0]), np.array([1.0, 3.5]), among)
        tensor([1.0000, 0.0111])
    """
    bad = torch.from_numpy((past <= among.noisy) | (past >= among.faulty)).to(loss.device)
    now = loss.detach().double()
    spread = among.spread or 1.0  # 0 where no pair is bad
    weight = (-0.5 * ((now - among.centre) / spread).square()).exp()
    if not bounded:
        weight = weight / (spread * (2 * torch.pi) ** 0.5)
    return torch.where(bad, weight, 1.0).to(loss.dtype)


@register("pair_rule", "bad_pair")
@dataclass(frozen=True, kw_only=True)
class BadPair:
    """Trust pairs less whose past losses lie far outside those of all pairs (DBPM).

    Args:
        cut_noisy: see `population`.
        cut_faulty: see `population`.
        warmup: epochs with losses before any pair is judged; paper 50 of 80.
        lower_quantile: see `population`.
        discount: None for the plain mean of the paper; E, epochs of the whole training, for the
            released form (`discounted_mean`).

    Raises:
        BadArgument: a cut < 0, warmup or discount < 1, lower_quantile outside [0, 1].
    """

    cut_noisy: float = 2.0
    cut_faulty: float = 3.0
    warmup: int = 1
    lower_quantile: float | None = None
    discount: int | None = None

    def __post_init__(self) -> None:
        check_number("cut_noisy", self.cut_noisy, at_least=0, mend="Try 2.")
        check_number("cut_faulty", self.cut_faulty, at_least=0, mend="Try 3.")
        check_count("warmup", self.warmup, mend="Try 1.")
        if self.lower_quantile is not None:
            mend = "Try 0.05."
            check_number("lower_quantile", self.lower_quantile, at_least=0, at_most=1, mend=mend)
        if self.discount is not None:
            check_count("discount", self.discount, mend="Give the epochs of the whole training.")

    def judge(self, losses: LossStore) -> tuple[Doubles, Population]:
        """(row,) past mean m of every pair, and what all of them say.

        Raises:
            BadArgument: more epochs of losses than discount says there will be.
        """
        means = losses.mean()
        if self.discount is not None:
            if losses.epochs > self.discount:
                wanted = f"there are {losses.epochs} epochs of losses already"
                raise BadArgument("discount", self.discount, wanted, "Give all epochs there are.")
            means = discounted_mean(losses.history(), self.discount)
        return means, population(
            means,
            cut_noisy=self.cut_noisy,
            cut_faulty=self.cut_faulty,
            lower_quantile=self.lower_quantile,
        )

    def __call__(
        self, loss: Float[Tensor, " query"], rows: Ints, losses: LossStore
    ) -> Float[Tensor, " query"]:
        """Weights of the pairs of one batch; `losses` are those of epochs that are over."""
        if losses.epochs < self.warmup:
            return torch.ones_like(loss, requires_grad=False)
        means, among = losses.once(self, lambda: self.judge(losses))
        return bad_pair(loss, means[rows], among)
