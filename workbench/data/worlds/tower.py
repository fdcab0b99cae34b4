"""Train the linear query tower of `linear_retrieval` under any loss: the smallest training loop.

    anchor = normalise(query W);   W <- Adam(mean over rows of value(anchors, rows, rng))

Documents are frozen: whatever `value` contrasts the anchors with, only W learns.

Source: methods dossier on retrieval, sections 3, 6, 11 and 14 (toys of 600 to 1,200 documents).
Breaks when: `value` draws from anything but the generator it is given; the run cannot then be
repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from workbench.data.worlds.linear_retrieval import LinearRetrieval
from workbench.errors import check_count, check_number
from workbench.types import Floats, Ints

if TYPE_CHECKING:
    from torch import Tensor

Value: TypeAlias = Callable[["Tensor", Ints, np.random.Generator], "Tensor"]
"""(anchors (row, dim) of length 1, rows, generator) -> one value per row."""
Pick: TypeAlias = Callable[[np.random.Generator], Ints]
"""generator -> the training rows of one batch."""


def train_tower(
    world: LinearRetrieval,
    value: Value,
    *,
    start: Floats | None = None,
    pick: Pick | None = None,
    batch: int = 16,
    steps: int = 100,
    rate: float = 5e-3,
    seed: int = 0,
) -> Floats:
    """Train W from `start` by Adam.

    Args:
        world: its training queries.
        value: what is minimised; its mean over the rows is taken here.
        start: (dim, dim); None = random, by `seed`.
        pick: rows of a batch; None = uniformly, with replacement.
        batch: rows per step, where `pick` is None.
        steps: of Adam.
        rate: of Adam.
        seed: of start, rows and whatever `value` draws.

    Returns:
        (dim, dim) float32, for `world.ranks`.

    Raises:
        BadArgument: a count below 1, rate <= 0.

    Example:
        >>> from workbench.data.worlds.linear_retrieval import linear_retrieval
        >>> world = linear_retrieval(docs=20, queries=20, tests=5, dim=4)
        >>> train_tower(world, lambda anchors, rows, rng: anchors.sum(dim=1), steps=2).shape
        (4, 4)
    """
    import torch
    from torch.nn.functional import normalize

    check_count("batch", batch, mend="Try 16.")
    check_count("steps", steps, mend="Try 100.")
    check_number("rate", rate, above=0, mend="Try 5e-3.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rng = np.random.default_rng(seed)
    dim = world.queries.shape[1]
    if start is None:
        start = (rng.standard_normal((dim, dim)) / np.sqrt(dim)).astype(np.float32)
    tower = torch.from_numpy(start.copy()).requires_grad_()
    optimiser = torch.optim.Adam([tower], lr=rate)
    for _ in range(steps):
        rows = rng.integers(len(world.queries), size=batch) if pick is None else pick(rng)
        anchors = normalize(torch.from_numpy(world.queries[rows]) @ tower, dim=1)
        optimiser.zero_grad()
        value(anchors, rows, rng).mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return np.asarray(tower.detach().numpy())


def contrasted(
    world: LinearRetrieval, anchors: Tensor, rows: Ints, columns: Ints
) -> tuple[Tensor, Tensor, Tensor]:
    """What a loss of scores takes: each row's own document first, then the same columns for all.

    Args:
        world: whose documents.
        anchors: (row, dim) of length 1.
        rows: training rows they were made from.
        columns: positions of documents; a row's own among them gets weight 0.

    Returns:
        scores (row, 1 + column), positive (row,) all 0, weight (row, 1 + column).

    Example:
        >>> import torch
        >>> from workbench.data.worlds.linear_retrieval import linear_retrieval
        >>> world = linear_retrieval(docs=20, queries=20, tests=5, dim=4)
        >>> own = world.positives[:1]
        >>> contrasted(world, torch.eye(4)[:1], np.arange(1), np.append(own, own + 1))[2]
        tensor([[1., 0., 1.]])
    """
    import torch

    own, docs = world.positives[rows], torch.from_numpy(world.docs)
    scores = torch.cat(
        [(anchors * docs[own]).sum(dim=1, keepdim=True), anchors @ docs[columns].T], dim=1
    )
    weight = torch.ones_like(scores)
    weight[:, 1:] = torch.from_numpy(columns[None] != own[:, None])
    return scores, torch.zeros(len(own), dtype=torch.long), weight


def reciprocal_rank(world: LinearRetrieval, tower: Floats, *, cutoff: int = 10) -> float:
    """RR@cutoff of a tower, the mean over the test queries.

    Example:
        >>> from workbench.data.worlds.linear_retrieval import linear_retrieval
        >>> world = linear_retrieval(docs=2, queries=2, tests=9, topics=1, dim=4)
        >>> 0.5 <= reciprocal_rank(world, np.eye(4, dtype=np.float32)) <= 1
        True
    """
    ranks = world.ranks(tower)
    return float(np.where(ranks <= cutoff, 1 / ranks, 0).mean())
