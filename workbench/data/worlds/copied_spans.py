"""Test texts of which some were copied into training, and some only share its boilerplate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.errors import check_count


@dataclass(frozen=True, eq=False, kw_only=True)
class CopiedSpans:
    """Texts of both sides, which test texts stand in training, and whether a model got them right.

    Args:
        test: texts of 60 tokens.
        train: texts of some 20 to 100 tokens.
        copied: (item,) true where a span of 24 to 48 tokens stands in training.
        boilerplate: (item,) true where four scattered phrases of 10 tokens do.
        right: (item,) a model's answer: 85 % right where copied, 50 % elsewhere.
    """

    test: list[str]
    train: list[str]
    copied: NDArray[np.bool_]
    boilerplate: NDArray[np.bool_]
    right: NDArray[np.bool_]


def copied_spans(*, items: int = 400, seed: int = 0) -> CopiedSpans:
    """Copies that help a model (30 %), boilerplate that does not (30 %), and clean texts (40 %).

    Tokens follow Zipf's law over 3,000 words. Boilerplate covers two thirds of a text, a copy on
    average three fifths: what covers most is not what was copied.

    Args:
        items: test texts.
        seed: of everything drawn.

    Raises:
        BadArgument: fewer than 10 items.

    Example:
        >>> world = copied_spans(items=10)
        >>> int(world.copied.sum()), int(world.boilerplate.sum()), len(world.test[0].split())
        (3, 3, 60)

    Source: the methods dossier on ConTAM.
    """
    check_count("items", items, at_least=10, mend="Try 400.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rng = np.random.default_rng(seed)
    chance = 1 / np.arange(1, 3001)
    chance /= chance.sum()

    def draw(size: int) -> list[str]:
        return [f"w{number}" for number in rng.choice(3000, size=size, p=chance)]

    some = round(0.3 * items)
    kind = rng.permutation(np.repeat([0, 1, 2], [some, some, items - 2 * some]))
    phrases = [draw(10) for _ in range(20)]
    train = [draw(100) for _ in range(300)] + [draw(5) + phrase + draw(5) for phrase in phrases]
    test = []
    for which in kind:
        text = draw(60)
        if which == 0:
            size = int(rng.integers(24, 49))
            start = int(rng.integers(0, 61 - size))
            train.append([*draw(20), *text[start : start + size], *draw(20)])
        elif which == 1:
            for slot, phrase in enumerate(rng.choice(20, size=4, replace=False)):
                start = 15 * slot + int(rng.integers(0, 5))
                text[start : start + 10] = phrases[phrase]
        test.append(" ".join(text))
    return CopiedSpans(
        test=test,
        train=[" ".join(text) for text in train],
        copied=kind == 0,
        boilerplate=kind == 1,
        right=rng.random(items) < np.where(kind == 0, 0.85, 0.5),
    )
