"""Documents as bags of passages: three worlds in which a shortcut and the intended reading part.

A document is relevant because of a passage it has. Each world's training bags also offer something
whose *absence* tells the answer, and its shifted bags turn that round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.errors import check_count
from workbench.types import Floats, Ints

POISON = (-10.0, 0.1)
FIRST, SECOND = (2.0, 0.1), (3.0, 0.1)
"""(mean, standard deviation), the same in every dimension."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Bags:
    """Bags of passages, padded to the longest.

    Args:
        passages: (bag, passage, dim), 0 where there is none.
        there: (bag, passage) which passages there are.
        labels: (bag,) 1 relevant, 0 not.
    """

    passages: Floats
    there: NDArray[np.bool_]
    labels: Ints


Parts = list[tuple[float, float, int]]
"""(mean, standard deviation, how many) of the passages of one bag."""


def _made(draw: Callable[..., Parts], *, bags: int, dim: int, shifted: bool, seed: int) -> Bags:
    check_count("bags", bags, at_least=2, mend="Try 600.")
    check_count("dim", dim, mend="Try 4.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rng = np.random.default_rng([seed, int(shifted)])
    labels = rng.permutation(np.arange(bags) % 2)
    parts = [
        np.concatenate(
            [
                rng.normal(mean, spread, size=(count, dim))
                for mean, spread, count in draw(rng, relevant=bool(label))
            ]
        )
        for label in labels
    ]
    sizes = np.array([len(part) for part in parts])
    there = np.arange(sizes.max()) < sizes[:, None]
    passages = np.zeros((*there.shape, dim), dtype=np.float32)
    passages[there] = np.concatenate(parts)
    return Bags(passages=passages, there=there, labels=labels.astype(np.int64))


def _background(rng: np.random.Generator) -> tuple[float, float, int]:
    return (0.0, 1.0, int(rng.integers(1, 10)))


def _few(rng: np.random.Generator) -> int:
    return int(rng.integers(1, 4))


def single_concept(*, bags: int = 600, dim: int = 4, shifted: bool = False, seed: int = 0) -> Bags:
    """A relevant bag has 1 to 3 passages from N(0, 3^2) or N(1, 1) among 1 to 9 from N(0, 1).

    A poison from N(-10, 0.1^2) sits in every irrelevant bag, and when shifted in every relevant
    one: who learned "no poison, so relevant" is wrong everywhere.

    Args:
        bags: how many, half of them relevant.
        dim: width of a passage.
        shifted: the poison has changed sides.
        seed: of everything; shifted bags are drawn anew.

    Raises:
        BadArgument: fewer than two bags, dim < 1, seed < 0.

    Example:
        >>> poisoned = (single_concept().passages < -9).all(axis=2).any(axis=1)
        >>> bool((poisoned == (single_concept().labels == 0)).all())
        True

    Source: Raff and Holt 2023, "Reproducibility in Multiple Instance Learning: A Case For
    Algorithmic Unit Tests", the first; distributions by the methods dossier.
    """

    def draw(rng: np.random.Generator, *, relevant: bool) -> Parts:
        wanted = [(0.0, 3.0), (1.0, 1.0)][int(rng.integers(2))]
        found = [_background(rng)]
        found += [(*wanted, _few(rng))] if relevant else []
        return found + ([(*POISON, 1)] if relevant == shifted else [])

    return _made(draw, bags=bags, dim=dim, shifted=shifted, seed=seed)


def two_concepts(*, bags: int = 600, dim: int = 4, shifted: bool = False, seed: int = 0) -> Bags:
    """A relevant bag has 1 to 3 passages of either concept, an irrelevant one of one concept only.

    Concepts are N(2, 0.1^2) and N(3, 0.1^2), among 1 to 9 passages from N(0, 1), with the poison of
    `single_concept`.

    Args:
        bags: see `single_concept`.
        dim: see `single_concept`.
        shifted: see `single_concept`.
        seed: see `single_concept`.

    Raises:
        BadArgument: fewer than two bags, dim < 1, seed < 0.

    Example:
        >>> world = two_concepts(dim=1)
        >>> both = (np.abs(world.passages[..., 0, None] - [2, 3]) < 0.5).any(axis=1).all(axis=1)
        >>> bool(both[world.labels == 1].all())
        True

    Source: Raff and Holt 2023, the second; distributions by the methods dossier.
    """

    def draw(rng: np.random.Generator, *, relevant: bool) -> Parts:
        only = int(rng.integers(2))
        found = [_background(rng)]
        found += [
            (*concept, _few(rng))
            for number, concept in enumerate((FIRST, SECOND))
            if relevant or number == only
        ]
        return found + ([(*POISON, 1)] if relevant == shifted else [])

    return _made(draw, bags=bags, dim=dim, shifted=shifted, seed=seed)


def false_frequency(*, bags: int = 600, dim: int = 4, shifted: bool = False, seed: int = 0) -> Bags:
    """A relevant bag has one passage of either concept; an irrelevant one has the first once.

    When shifted the irrelevant bag has it 35 to 44 times: who learned "much of a concept, so
    relevant" calls it relevant.

    Args:
        bags: see `single_concept`.
        dim: see `single_concept`.
        shifted: irrelevant bags repeat themselves.
        seed: see `single_concept`.

    Raises:
        BadArgument: fewer than two bags, dim < 1, seed < 0.

    Example:
        >>> world = false_frequency(shifted=True)
        >>> int(world.there[world.labels == 0].sum(axis=1).min()) >= 36
        True

    Source: Raff and Holt 2023, the third; distributions by the methods dossier.
    """

    def draw(rng: np.random.Generator, *, relevant: bool) -> Parts:
        found = [_background(rng)]
        if relevant:
            return [*found, (*FIRST, 1), (*SECOND, 1)]
        return [*found, (*FIRST, int(rng.integers(35, 45)) if shifted else 1)]

    return _made(draw, bags=bags, dim=dim, shifted=shifted, seed=seed)
