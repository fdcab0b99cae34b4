"""A simulated judge of yes-or-no items that tires in the middle of long prompts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.errors import check_count, check_number
from workbench.types import Ints

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False, kw_only=True)
class ErringJudge:
    """What is true of each item, and everything that decides how it is judged.

    Args:
        truth: (item,) the right answer.
        persistent: (item,) answered wrong in every order.
        luck: (time, item, 2) uniform numbers, drawn once, so that all ways of counting votes are
            compared on the same judge.
        dip: how much accuracy a place in the middle of a prompt of 32 or more costs.
    """

    truth: Bools
    persistent: Bools
    luck: NDArray[np.float64]
    dip: float

    def read(self, items: Ints, times: Ints) -> tuple[Bools, Bools]:
        """What it says of the items of one prompt, in their order.

        Args:
            items: (place,) which item stands at each place.
            times: (place,) how often each was asked before.

        Returns:
            (place,) yes or no, and (place,) whether it calls itself sure: of 85 % of its right
            answers and of 40 % of its wrong ones.
        """
        size = len(items)
        middle = np.sin(np.pi * (np.arange(size) + 0.5) / max(1, size))
        drawn = self.luck[times, items]
        right = drawn[:, 0] < 0.88 - self.dip * middle * min(1.0, size / 32)
        right &= ~self.persistent[items]
        sure: Bools = drawn[:, 1] < np.where(right, 0.85, 0.4)
        said: Bools = self.truth[items] == right
        return said, sure


def erring_judge(
    *,
    items: int = 320,
    positives: float = 0.5,
    persistent: float = 0.0,
    dip: float = 0.16,
    times: int = 11,
    seed: int = 0,
) -> ErringJudge:
    """Make the items and the judge's luck.

        P(right) = .88 - dip * sin(pi * place) * min(1, size / 32),  0 for persistent errors

    Args:
        items: how many.
        positives: share of items whose right answer is yes.
        persistent: share answered wrong in every order.
        dip: see `ErringJudge`; 0 = every place is read alike.
        times: how often an item can be asked.
        seed: of everything.

    Returns:
        The world.

    Raises:
        BadArgument: a share outside 0..1, nothing to ask or nobody to.

    Example:
        >>> world, rows = erring_judge(), np.arange(32)
        >>> said, sure = world.read(rows, np.zeros(32, dtype=np.int64))
        >>> int((said == world.truth[:32]).sum()), int(sure.sum())
        (23, 24)

    Source: methods dossier on BatchPrompt (Lin et al. 2023), planted unit test.
    """
    check_count("items", items, mend="Try 320.")
    check_count("times", times, mend="Try 11.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    shares = {"positives": positives, "persistent": persistent, "dip": dip}
    for name, share in shares.items():
        check_number(name, share, at_least=0, at_most=1, mend="It is a share, 0..1.")
    rng = np.random.default_rng(seed)
    return ErringJudge(
        truth=rng.random(items) < positives,
        persistent=rng.random(items) < persistent,
        luck=rng.random((times, items, 2)),
        dip=dip,
    )
