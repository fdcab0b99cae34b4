"""Embedding the texts of a batch: each text once, short ones together, graph kept or replayed.

Plain: every micro-batch keeps its graph until the loss is known. Cached (gradient caching, Gao et
al. 2021): micro-batches are embedded without a graph, the loss is differentiated down to the
embeddings, and each micro-batch is embedded again with a graph, under the same random state, to
receive its part of that gradient. Same numbers, memory of one micro-batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from workbench.encode import Tokens, token_batches
from workbench.types import Ints

Model = Callable[..., Tensor]


@dataclass(frozen=True, eq=False)
class Side:
    """Texts of one side that a batch needs: which, in what micro-batches, and how to get back.

    Args:
        tokens: the tokenised side of the collection.
        groups: positions of each micro-batch, every text once, sorted by length.
        order: where each asked-for text stands in the concatenated groups.
    """

    tokens: Tokens
    groups: list[Ints]
    order: Ints


def plan(tokens: Tokens, positions: Ints, *, token_budget: int) -> Side:
    """Cut the distinct texts at `positions` into micro-batches of at most `token_budget` tokens.

    Longest first, so that padding is small; a text longer than the budget goes alone.
    """
    unique, back = np.unique(positions, return_inverse=True)
    groups = list(token_batches(tokens.lengths[unique], token_budget=token_budget))
    rank = np.empty(len(unique), dtype=np.int64)
    rank[np.concatenate(groups)] = np.arange(len(unique))
    return Side(tokens, [unique[group] for group in groups], rank[back])


def _forward(model: Model, side: Side, group: Ints, device: torch.device, *, half: bool) -> Tensor:
    inputs = {name: value.to(device) for name, value in side.tokens.take(group).items()}
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
        return model(**inputs).float()


def _arranged(parts: list[Tensor], sides: list[Side]) -> list[Tensor]:
    """Concatenate each side's parts and put the texts back in the order asked for."""
    found, start = [], 0
    for side in sides:
        stop = start + len(side.groups)
        joined = torch.cat(parts[start:stop])
        found.append(joined[torch.from_numpy(side.order).to(joined.device)])
        start = stop
    return found


def embed(
    model: Model, sides: list[Side], device: torch.device, *, half: bool = False
) -> list[Tensor]:
    """Vectors of every side, with their graph; `half` runs the model in bf16."""
    plans = [(side, group) for side in sides for group in side.groups]
    return _arranged([_forward(model, *part, device, half=half) for part in plans], sides)


class CachedEmbedding:
    """Vectors without a graph, and the second pass that turns their gradients into the model's.

    Example:
        >>> CachedEmbedding.__name__  # used by the training loop: see `tests/train`
        'CachedEmbedding'
    """

    def __init__(
        self, model: Model, sides: list[Side], device: torch.device, *, half: bool = False
    ) -> None:
        self.model, self.sides, self.device, self.half = model, sides, device, half
        self._states: list[list[Tensor]] = []
        leaves = []
        with torch.no_grad():
            for side in sides:
                for group in side.groups:
                    self._states.append(_random_state(device))
                    leaves.append(_forward(model, side, group, device, half=half))
        self._leaves = [leaf.requires_grad_() for leaf in leaves]

    def vectors(self) -> list[Tensor]:
        """Vectors of every side; their graph ends at the cached embeddings."""
        return _arranged(self._leaves, self.sides)

    def replayed(self) -> Iterator[tuple[Callable[[], Tensor], bool]]:
        """Per micro-batch: a function that embeds it again, and whether it is the last.

        The function returns <embedding, cached gradient>, a scalar whose gradient is the
        micro-batch's share of the loss's.
        """
        plans = [(side, group) for side in self.sides for group in side.groups]
        for place, (side, group) in enumerate(plans):
            leaf = self._leaves[place]
            gradient = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad

            def again(
                side: Side = side, group: Ints = group, gradient: Tensor = gradient, at: int = place
            ) -> Tensor:
                with _random(self._states[at], self.device):
                    found = _forward(self.model, side, group, self.device, half=self.half)
                return (found * gradient).sum()

            yield again, place == len(plans) - 1


def _random_state(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    elif device.type == "mps":
        states.append(torch.mps.get_rng_state())
    return states


@contextmanager
def _random(states: list[Tensor], device: torch.device) -> Iterator[None]:
    before = _random_state(device)
    _set_random(states, device)
    try:
        yield
    finally:
        _set_random(before, device)


def _set_random(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states[1])


@contextmanager
def seeded(seed: int, step: int, device: torch.device) -> Iterator[None]:
    """Dropout of a step depends on (seed, step) alone, and the user's own randomness is left be.

    Example:
        >>> cpu = torch.device("cpu")
        >>> with seeded(0, 3, cpu):
        ...     first = torch.rand(1)
        >>> with seeded(0, 3, cpu):
        ...     print(bool(torch.rand(1) == first))
        True
    """
    before = _random_state(device)
    torch.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]))
    try:
        yield
    finally:
        _set_random(before, device)
