"""SupReMix: supervised contrast for graded labels, with mixtures as hard negatives and positives.

For anchor i, logits s_im = f_i . m / t over entries m with label y_m and factor |y_i - y_m| + 1:

    real          f_j, j != i; a positive where y_j = y_i
    mixed with i  a f_i + (1 - a) f_k, a ~ Beta, label a y_i + (1 - a) y_k, where y_k != y_i
    mixed to i    a f_j + (1 - a) f_k, label y_i, a positive: y_j < y_i < y_k, both nearer than
                  the window, a = (y_k - y_i) / (y_k - y_j)
    loss_i = (t / t0) mean over positives p of [ log sum_m factor_m exp(s_im) - s_ip ]

Mixtures are detached, so their logits are sums of two entries of f sg(f)^T and no mixture is ever
formed. Mixtures to i beyond the cap are sampled evenly over all pairs, and stand for them all.
Memory: rows x (2 rows + cap).

Source: Wu et al. 2023, "Mixup Your Own Pairs" (SupReMix), its released functions; one log-sum-exp
a row, where the released code subtracts a maximum for each block and so changes the value.
Breaks when: labels are many unrelated classes (distance between labels must mean something); the
window is so small that no anchor has a mixed positive and no two labels are equal (all values 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import BadArgument, check_choice, check_count, check_number
from workbench.registry import register
from workbench.scores import weighted_logsumexp


def supremix(
    embeddings: Float[Tensor, "row dim"],
    labels: Float[Tensor, " row"],
    *,
    window: float,
    temperature: float = 0.07,
    beta: tuple[float, float] = (2.0, 8.0),
    weight: str = "distance",
    base_temperature: float = 0.07,
    max_positive_mixtures: int = 4096,
    generator: torch.Generator | None = None,
    alpha: Float[Tensor, "row row"] | None = None,
) -> Float[Tensor, " row"]:
    """One value per anchor; the caller takes the mean over those that are not 0.

    Args:
        embeddings: unit vectors, all views of the batch; mixtures are not normalised again.
        labels: graded labels, where a distance means something: scores, ratings, dates.
        window: how far apart, in label units, the two parts of a mixed positive may be from i.
        temperature: logit = dot product / temperature; paper 0.07.
        beta: shape of the anchor's share in its hard negatives; paper (2, 8).
        weight: factor of an entry at label distance d: "distance" d + 1, "square" d^2 + 1, "none".
        base_temperature: t0, a constant factor; paper 0.07.
        max_positive_mixtures: mixed positives per anchor at most.
        generator: of the shares and of the sampling; may be None where `alpha` is given.
        alpha: shares given instead of drawn, [i, k] for the mixture of i with k.

    Returns:
        Nats times t / t0 per anchor; 0 for anchors without a positive.

    Raises:
        BadArgument: options out of range, labels that are not finite, neither generator nor alpha.

    Example:
        >>> vectors, labels = torch.eye(3), torch.tensor([1.0, 2.0, 3.0])
        >>> supremix(vectors, labels, window=3.0, temperature=0.07, alpha=torch.full((3, 3), 0.2))
        tensor([0.0000, 4.2148, 0.0000])
    """
    _check(window, temperature, beta, weight, base_temperature, max_positive_mixtures)
    _check_data(embeddings, labels, alpha)
    if alpha is None:
        if generator is None:
            wanted = "it is needed to draw mixtures"
            raise BadArgument("generator", None, wanted, "Try torch.Generator().manual_seed(0).")
        alpha = _draw_beta(beta, embeddings, generator)
    between = (labels[:, None] - labels[None, :]).abs()
    own = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    constant = embeddings @ embeddings.detach().T / temperature
    itself = constant.diagonal()[:, None]
    real = embeddings @ embeddings.T / temperature
    hard = alpha * itself + (1 - alpha) * constant
    left, right, copies = _brackets(labels, window, max_positive_mixtures, generator)
    share = (labels[right] - labels[:, None]) / (labels[right] - labels[left]).clamp_min(TINY)
    soft = share * constant.gather(1, left) + (1 - share) * constant.gather(1, right)
    factor = torch.cat(
        [
            _factor(between, weight).masked_fill(own, 0.0),
            _factor((1 - alpha) * between, weight).masked_fill(between == 0, 0.0),
            copies,
        ],
        dim=1,
    )
    total = weighted_logsumexp(torch.cat([real, hard, soft], dim=1), factor)
    same = ((between == 0) & ~own).to(real.dtype)
    count = same.sum(dim=1) + copies.sum(dim=1)
    pull = ((same * real).sum(dim=1) + (copies * soft).sum(dim=1)) / count.clamp_min(1.0)
    value = (total.masked_fill(count == 0, 0.0) - pull) * (temperature / base_temperature)
    return value.masked_fill(count == 0, 0.0)


TINY = 1e-12


def _factor(distance: Tensor, weight: str) -> Tensor:
    if weight == "none":
        return torch.ones_like(distance)
    return (distance if weight == "distance" else distance.square()) + 1


def _draw_beta(
    beta: tuple[float, float], like: Tensor, generator: torch.Generator
) -> Float[Tensor, "row row"]:
    seed = torch.randint(2**62, (1,), generator=generator, device=generator.device)
    drawn = np.random.default_rng(int(seed)).beta(*beta, size=(len(like), len(like)))
    return torch.as_tensor(drawn, dtype=like.dtype, device=like.device)


def _brackets(
    labels: Tensor, window: float, most: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Per anchor: rows below and above it within the window, and how many pairs each stands for.

    In order of labels, both are runs: pair q of an anchor is (q // above, q % above).
    """
    ordered, order = labels.sort()
    first, last = (torch.searchsorted(ordered, labels, right=side) for side in (False, True))
    start = torch.searchsorted(ordered, labels - window, right=True)
    stop = torch.searchsorted(ordered, labels + window, right=False)
    below, above = (first - start).clamp_min(0), (stop - last).clamp_min(0)
    pairs = below * above
    width = min(most, int(pairs.max())) if len(labels) else 0
    place = torch.arange(width, device=labels.device).expand(len(labels), width)
    within = torch.full(place.shape, 0.5)
    if generator is not None:
        within = torch.rand(place.shape, generator=generator, device=generator.device)
    strata = (place + within.to(labels.device)) * (pairs[:, None] / max(width, 1))
    number = torch.where(pairs[:, None] > most, strata.long().clamp_max(pairs[:, None] - 1), place)
    there = place < pairs[:, None]
    number = number.masked_fill(~there, 0)
    rows = above.clamp_min(1)[:, None]
    end = len(labels) - 1
    left = order[(start[:, None] + number // rows).clamp_max(end)]
    right = order[(last[:, None] + number % rows).clamp_max(end)]
    return left, right, there * (pairs[:, None] / pairs.clamp(1, max(most, 1))[:, None])


def _check(
    window: float,
    temperature: float,
    beta: tuple[float, float],
    weight: str,
    base_temperature: float,
    most: int,
) -> None:
    check_number("window", window, above=0, mend="Try a quarter of the range of the labels.")
    check_number("temperature", temperature, above=0, mend="Try 0.07.")
    check_number("base_temperature", base_temperature, above=0, mend="Try 0.07.")
    for shape in beta:
        check_number("beta", shape, above=0, mend="Try (2, 8).")
    check_choice("weight", weight, ["distance", "square", "none"])
    check_count("max_positive_mixtures", most, mend="Try 4,096.")


def _check_data(embeddings: Tensor, labels: Tensor, alpha: Tensor | None) -> None:
    rows = len(embeddings)
    if labels.shape != (rows,):
        wanted = f"there must be one per row, {rows}"
        raise BadArgument("labels", tuple(labels.shape), wanted, "Label each vector.")
    if not bool(labels.isfinite().all()):
        raise BadArgument("labels", labels.tolist()[:8], "all must be finite", "Leave others out.")
    if alpha is not None and alpha.shape != (rows, rows):
        wanted = f"it must be {(rows, rows)}"
        raise BadArgument("alpha", tuple(alpha.shape), wanted, "Give one share per pair.")


@register("vector_loss", "supremix")
@dataclass(frozen=True, kw_only=True)
class SupReMix:
    """Supervised contrast for graded labels, with mixtures as hard negatives and positives.

    Args:
        window: see `supremix`.
        temperature: see `supremix`.
        beta: see `supremix`.
        weight: see `supremix`.
        base_temperature: see `supremix`.
        max_positive_mixtures: see `supremix`.

    Raises:
        BadArgument: options out of range.
    """

    window: float
    temperature: float = 0.07
    beta: tuple[float, float] = (2.0, 8.0)
    weight: str = "distance"
    base_temperature: float = 0.07
    max_positive_mixtures: int = 4096

    def __post_init__(self) -> None:
        _check(
            self.window,
            self.temperature,
            self.beta,
            self.weight,
            self.base_temperature,
            self.max_positive_mixtures,
        )

    def __call__(
        self,
        embeddings: Float[Tensor, "row dim"],
        labels: Float[Tensor, " row"],
        *,
        generator: torch.Generator | None = None,
        alpha: Float[Tensor, "row row"] | None = None,
    ) -> Float[Tensor, " row"]:
        """Value per anchor."""
        return supremix(
            embeddings,
            labels,
            window=self.window,
            temperature=self.temperature,
            beta=self.beta,
            weight=self.weight,
            base_temperature=self.base_temperature,
            max_positive_mixtures=self.max_positive_mixtures,
            generator=generator,
            alpha=alpha,
        )
