"""A small real collection that any machine with this workbench can make in a few seconds."""

from __future__ import annotations

from pathlib import Path

from workbench.data.python_functions import python_functions
from workbench.data.split import split
from workbench.errors import check_count
from workbench.types import Collection

TRAIN = ("accelerate", "datasets", "huggingface-hub")
TEST = ("networkx",)


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
