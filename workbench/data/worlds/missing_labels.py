"""A table of samples and labels in which most of the yeses were never entered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.errors import check_count, check_number
from workbench.types import Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class MissingLabels:
    """Inputs, true labels, and the labels that were kept.

    Args:
        inputs: (row, dim) to train on.
        truth: (row, label).
        kept: (row, label) true labels that were entered; every other cell is unlabelled.
        test_inputs: (row, dim).
        test_truth: (row, label).
    """

    inputs: Floats
    truth: NDArray[np.bool_]
    kept: NDArray[np.bool_]
    test_inputs: Floats
    test_truth: NDArray[np.bool_]


def missing_labels(
    *,
    rows: int = 3000,
    labels: int = 12,
    dim: int = 30,
    keep: float = 0.5,
    noise: float = 0.5,
    seed: int = 0,
) -> MissingLabels:
    """Make linear labels, about a tenth of the cells true, and keep a share of the true ones.

    Args:
        rows: to train on, and as many to test.
        labels: how many.
        dim: inputs.
        keep: share of true cells that were entered; each label keeps at least one.
        noise: standard deviation of what the inputs do not show, beside a signal of 1.
        seed: of everything.

    Returns:
        The world.

    Raises:
        BadArgument: a count below 1, a share outside [0, 1].

    Example:
        >>> world = missing_labels(keep=0.1)
        >>> round(float(world.truth.mean()), 2), bool((world.kept <= world.truth).all())
        (0.11, True)

    Source: methods dossier on PU-MLC (Yuan et al. 2023), algorithmic unit test.
    """
    check_count("rows", rows, mend="Try 3,000.")
    check_count("labels", labels, mend="Try 12.")
    check_count("dim", dim, mend="Try 30.")
    check_number("keep", keep, at_least=0, at_most=1, mend="Try 0.5.")
    check_number("noise", noise, at_least=0, mend="Try 0.5.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((2 * rows, dim))
    signal = inputs @ rng.standard_normal((dim, labels)) / np.sqrt(dim)
    heard = signal + noise * rng.standard_normal(signal.shape)
    truth = heard > np.quantile(heard, 0.89, axis=0)
    kept = truth[:rows] & (rng.random((rows, labels)) < keep)
    for label in np.flatnonzero(~kept.any(axis=0)):
        kept[heard[:rows, label].argmax(), label] = True
    return MissingLabels(
        inputs=inputs[:rows].astype(np.float32),
        truth=truth[:rows],
        kept=kept,
        test_inputs=inputs[rows:].astype(np.float32),
        test_truth=truth[rows:],
    )
