"""Trying again until a checker accepts: what it is worth, and when to stop.

A checker that errs accepts some wrong answers; every further try adds them. No number of tries
gets above the ceiling of one try, `audit.audited_precision(success, completeness, soundness)`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, check_count, check_number

Doubles = NDArray[np.float64]
_mend = "It is a share, 0..1."


def resample_value(
    success: Sequence[float],
    prior: Sequence[float],
    *,
    completeness: float,
    soundness: float,
    wrong_value: float,
    right_value: float = 1.0,
    tries: int = 15,
) -> Doubles:
    """What trying until a checker accepts is worth, for at most 1, 2 ... tries.

        EV(K) = sum_{k <= K} sum_i p_i b_i^(k-1) [c r_i V_right + (1 - r_i)(1 - s) V_wrong]
        b_i   = (1 - c) r_i + s (1 - r_i)                       a try of kind i is rejected

    Args:
        success: (kind,) share of right single tries r of each kind of task (paper: .87, .13).
        prior: (kind,) share p of each kind; sums to 1 (paper: .58, .42).
        completeness: P(accepted | right) c (paper: 1).
        soundness: P(rejected | wrong) s (paper: .75).
        wrong_value: of a wrong answer that is accepted (paper: -0.7, -1, -2).
        right_value: of a right answer that is accepted; giving up is worth 0.
        tries: K.

    Returns:
        (tries,) expected value of stopping at the latest after 1, 2 ... K tries.

    Raises:
        BadArgument: lengths that differ, a share outside 0..1, priors that do not sum to 1.

    Example:
        >>> worth = resample_value([0.87, 0.13], [0.58, 0.42], completeness=1, soundness=0.75,
        ...                        wrong_value=-1)
        >>> [round(float(worth[k - 1]), 3) for k in (1, 2, 15)]
        [0.449, 0.472, 0.433]

    Source: Stroebl, Kapoor and Narayanan 2024, "Inference Scaling fLaws". Their notebook weights
    survival by the posterior of the kind, which counts it twice (0.396 for the last figure).

    Breaks when: tries of one task are not independent, as those of one model on one text are not.
    """
    rates, shares = _kinds(success, prior)
    for name, share in (("completeness", completeness), ("soundness", soundness)):
        check_number(name, share, at_least=0, at_most=1, mend=_mend)
    check_number("wrong_value", wrong_value, mend="Try -1.")
    check_number("right_value", right_value, mend="Try 1.")
    check_count("tries", tries, mend="Try 15.")
    rejected = (1 - completeness) * rates + soundness * (1 - rates)
    gain = completeness * rates * right_value + (1 - rates) * (1 - soundness) * wrong_value
    reached = shares * rejected ** np.arange(tries)[:, None]
    worth: Doubles = np.cumsum(reached @ gain)
    return worth


def best_k(
    success: Sequence[float],
    prior: Sequence[float],
    *,
    completeness: float,
    soundness: float,
    wrong_value: float,
    right_value: float = 1.0,
    most: int = 100,
) -> int:
    """How often to try at most, by `resample_value`; 0 where not trying at all is best.

    Args:
        success: see `resample_value`.
        prior: see `resample_value`.
        completeness: see `resample_value`.
        soundness: see `resample_value`.
        wrong_value: see `resample_value`.
        right_value: see `resample_value`.
        most: the largest number looked at; the answer is that where more tries always help.

    Returns:
        The smallest number of tries that is worth most.

    Raises:
        BadArgument: see `resample_value`.

    Example:
        >>> [best_k([0.87, 0.13], [0.58, 0.42], completeness=1, soundness=0.75, wrong_value=cost)
        ...  for cost in (-0.7, -1, -2, -30)]
        [3, 2, 1, 0]

    Source: Stroebl, Kapoor and Narayanan 2024, "Inference Scaling fLaws".

    Breaks when: a wrong answer's cost is unknown; it decides between one try and dozens.
    """
    worth = resample_value(
        success,
        prior,
        completeness=completeness,
        soundness=soundness,
        wrong_value=wrong_value,
        right_value=right_value,
        tries=most,
    )
    best = float(worth.max())
    if best <= 0:
        return 0
    return int(np.flatnonzero(worth >= best - 1e-12)[0]) + 1


def _kinds(success: Sequence[float], prior: Sequence[float]) -> tuple[Doubles, Doubles]:
    for name, given in (("success", success), ("prior", prior)):
        if not len(given):
            raise BadArgument(name, given, "it must not be empty", "Give one share per kind.")
        for share in given:
            check_number(name, share, at_least=0, at_most=1, mend=_mend)
    if len(prior) != len(success):
        wanted = f"it must be of {len(success)} kinds as success is"
        raise BadArgument("prior", prior, wanted, "Give one share per kind.")
    shares = np.asarray(prior, dtype=np.float64)
    if abs(float(shares.sum()) - 1) > 1e-6:
        raise BadArgument("prior", float(shares.sum()), "it must sum to 1", "Divide by the sum.")
    return np.asarray(success, dtype=np.float64), shares
