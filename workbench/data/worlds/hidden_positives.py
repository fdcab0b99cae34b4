"""Likes with most of them hidden: users and items of low rank, votes for a few of the likes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.errors import check_count, check_number


@dataclass(frozen=True, eq=False, kw_only=True)
class HiddenPositives:
    """Who likes what, and what of it anyone said.

    Args:
        likes: (user, item) the truth.
        voted: (user, item) likes that were said; every other cell is unlabelled.
        hidden: the share of likes that were not said.
    """

    likes: NDArray[np.bool_]
    voted: NDArray[np.bool_]
    hidden: float


def hidden_positives(
    *, users: int = 150, items: int = 120, rank: int = 4, hidden: float = 0.6, seed: int = 0
) -> HiddenPositives:
    """Make low-rank preferences, about a quarter of them likes, and hide a share of the likes.

    Args:
        users: rows.
        items: columns.
        rank: of the preferences.
        hidden: share of likes without a vote, drawn anew for each.
        seed: of everything.

    Returns:
        The world.

    Raises:
        BadArgument: a count below 1, a share outside [0, 1].

    Example:
        >>> world = hidden_positives()
        >>> round(float(world.likes.mean()), 2), bool((world.voted <= world.likes).all())
        (0.26, True)

    Source: methods dossier on NBPO (Yu and Qin 2020), algorithmic unit test.
    """
    check_count("users", users, mend="Try 150.")
    check_count("items", items, mend="Try 120.")
    check_count("rank", rank, mend="Try 4.")
    check_number("hidden", hidden, at_least=0, at_most=1, mend="Try 0.6.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rng = np.random.default_rng(seed)
    tastes = rng.standard_normal((users, rank)) @ rng.standard_normal((rank, items))
    odds = 3 * tastes / np.sqrt(rank) - 2
    likes = rng.random(odds.shape) < 1 / (1 + np.exp(-odds))
    voted = likes & (rng.random(odds.shape) >= hidden)
    return HiddenPositives(likes=likes, voted=voted, hidden=hidden)
