"""Small real collections that any machine with this workbench can make in a few seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from workbench.data.python_functions import python_functions
from workbench.data.sets import take
from workbench.data.split import split
from workbench.errors import check_count
from workbench.types import Collection

TRAIN = ("accelerate", "datasets", "huggingface-hub")
TEST = ("networkx",)
MOST_COPIES = 8


def small_collections(
    *, pairs: int = 1500, test_queries: int = 500, seed: int = 0, folder: str | Path = "data"
) -> tuple[Collection, Collection]:
    """Docstrings and functions of three packages to train on, and of another to be scored on.

    Made by `python_functions` of packages that stand wherever this workbench does, and kept in
    `folder`: about 10 CPU seconds the first time. No package and no group of duplicates stands on
    both sides. Duplicates stay in the training side and are marked in its `doc_groups` and
    `query_groups`: they are its known false negatives. What one has for free, equal texts alone, is
    `with_groups(train, doc_threshold=1.0)`.

    Args:
        pairs: training pairs drawn; there are about 2,000.
        test_queries: drawn from about 1,200, with the documents judged for them as corpus.
        seed: of both draws.
        folder: where the collection is kept.

    Returns:
        (train, test).

    Raises:
        BadArgument: a count below 1, or a package is not installed.

    Breaks when: figures are compared across machines, whose packages differ in version.
    """
    check_count("pairs", pairs, mend="Try 1500.")
    check_count("test_queries", test_queries, mend="Try 500.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    whole = python_functions([*TRAIN, *TEST], folder=folder)
    sides = split(
        whole,
        train=TRAIN,
        test=TEST,
        most={"train": pairs, "test": test_queries},
        seed=seed,
    )
    return sides["train"], sides["test"]


def copied_functions(
    package: str = "transformers",
    *,
    copied: int = 450,
    others: int = 450,
    seed: int = 0,
    folder: str | Path = "data",
) -> tuple[Collection, Collection]:
    """Docstrings and functions of a package that copies within itself: raw, and with copies known.

    Half of the pairs are functions that stand there two to eight times, exactly or nearly. To
    negatives mined from the raw rows, one answer per query and nothing grouped, each copy is a
    false negative; the second collection says which.

    Args:
        package: an installed one; transformers is full of "copied from".
        copied: pairs at most whose function has copies, whole groups as far as they go.
        others: pairs drawn among those without.
        seed: of that draw.
        folder: where the functions are kept.

    Returns:
        (given, truth): the same texts in the same order, without groups and with them.

    Raises:
        BadArgument: a count below 1, or the package is not installed.

    Breaks when: a copy was changed beyond what near-duplicates show: it then counts as a negative.
    """
    check_count("copied", copied, mend="Try 450.")
    check_count("others", others, mend="Try 450.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    whole = python_functions([package], folder=folder)
    _, group = np.unique(whole.doc_groups, return_inverse=True)
    size = np.bincount(group)[group]
    several = np.flatnonzero((size > 1) & (size <= MOST_COPIES))
    several = several[np.argsort(group[several], kind="stable")][:copied]
    alone = np.random.default_rng(seed).permutation(np.flatnonzero(size == 1))[:others]
    rows = np.sort(np.concatenate([several, alone]))
    truth = take(whole, queries=rows, docs=rows, name=package, recipe=whole.recipe)
    apart = np.arange(len(rows))
    return replace(truth, query_groups=apart, doc_groups=apart), truth
