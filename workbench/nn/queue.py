"""A queue of past keys: negatives beyond the batch, each with its text's position and its age.

    slot of the n-th key ever pushed = n mod size

A queue starts empty, and what is empty is never handed out: random vectors in it would be
negatives for the first size / batch steps.

Source: He et al. 2020 (MoCo), section 3.1 (first in, first out); CoCoSoDa (Shi et al. 2023), size
1,024 at batch 128.
Breaks when: the queue is long beside the collection. With a fresh shuffle per epoch of n texts, a
share size^2 / (2 n^2) of the anchors meets its own past key (0.13 at 1,024 of 2,000): mask by
`positions`. Keys of a fast encoder go stale: push those of a `MomentumEncoder`.
"""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor, nn

from workbench.errors import BadArgument, check_count


@final
class NegativeQueue(nn.Module):
    """Ring buffer of the last `size` keys; it travels in `state_dict`.

    Args:
        size: most keys held; usual 1,024 to 65,536. A batch need not divide it.
        dim: width of the vectors.

    Raises:
        BadArgument: a count below 1.

    Example:
        >>> queue = NegativeQueue(size=3, dim=1)
        >>> queue.push(torch.tensor([[0.1], [0.2]]), torch.tensor([7, 8]), step=0)
        >>> queue.push(torch.tensor([[0.3], [0.4]]), torch.tensor([9, 5]), step=1)
        >>> queue.columns()[1].tolist(), queue.age(step=4).tolist()
        ([5, 8, 9], [3, 4, 3])
    """

    vectors: Tensor
    positions: Tensor
    steps: Tensor
    pushed: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        check_count("size", size, mend="Try 1024.")
        check_count("dim", dim, mend="Give the width of the encoder's vectors.")
        self.register_buffer("vectors", torch.zeros(size, dim))
        self.register_buffer("positions", torch.full((size,), -1, dtype=torch.int64))
        self.register_buffer("steps", torch.full((size,), -1, dtype=torch.int64))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.int64))

    @property
    def size(self) -> int:
        """Most keys held."""
        return len(self.positions)

    def __len__(self) -> int:
        return min(int(self.pushed), self.size)

    @torch.no_grad()
    def push(
        self, vectors: Float[Tensor, "key dim"], positions: Integer[Tensor, " entry"], *, step: int
    ) -> None:
        """Enter keys in order, in place of the oldest; of more than `size` the last stay.

        Push after the scores of a step are made, so that no anchor meets its own key of today.

        Args:
            vectors: keys, detached here; unit length if scores are cosines.
            positions: of their texts in the collection, >= 0.
            step: optimiser step, for their age.

        Raises:
            BadArgument: another width, one position per key missing, a negative position or step,
                a vector that is not finite (it would stay for size / batch steps).
        """
        check_count("step", step, at_least=0, mend="Give the optimiser step, from 0.")
        count, wide = len(vectors), vectors.shape[1]
        if wide != self.vectors.shape[1]:
            wanted = f"this queue holds vectors of width {self.vectors.shape[1]}"
            raise BadArgument("vectors", tuple(vectors.shape), wanted, "Make a new queue.")
        if len(positions) != count:
            wanted = f"there must be one per key, {count}"
            raise BadArgument("positions", tuple(positions.shape), wanted, "Align them.")
        if count and int(positions.min()) < 0:
            wanted = "it must be >= 0 everywhere"
            raise BadArgument("positions", int(positions.min()), wanted, "-1 means an empty slot.")
        if not bool(vectors.isfinite().all()):
            wrong = int((~vectors.isfinite().all(dim=1)).nonzero()[0])
            wanted = f"it must be finite, and row {wrong} is not"
            raise BadArgument("vectors", tuple(vectors.shape), wanted, "Look at the encoder.")
        last = slice(max(0, count - self.size), count)
        device = self.positions.device
        slots = (self.pushed + torch.arange(count, device=device)[last]) % self.size
        self.vectors[slots] = vectors.detach()[last].to(self.vectors)
        self.positions[slots] = positions[last].to(self.positions)
        self.steps[slots] = step
        self.pushed += count

    def columns(
        self,
    ) -> tuple[Float[Tensor, "key dim"], Int[Tensor, " key"], Int[Tensor, " key"]]:
        """What is held, in the order of slots: vectors, positions, steps.

        They are copies, so that a push before `backward` spoils no gradient.

        Returns:
            `len(queue)` rows each; none while the queue is empty.
        """
        held = slice(0, len(self))
        return self.vectors[held].clone(), self.positions[held].clone(), self.steps[held].clone()

    def age(self, step: int) -> Int[Tensor, " key"]:
        """Optimiser steps since each key was pushed, in the order of `columns`.

        Args:
            step: the step of now.

        Raises:
            BadArgument: a key was pushed at a later step.
        """
        ages = step - self.steps[: len(self)]
        if len(ages) and int(ages.min()) < 0:
            wanted = f"the newest key is of step {int(self.steps.max())}"
            raise BadArgument("step", step, wanted, "Restore the queue with its checkpoint.")
        return ages

    def extra_repr(self) -> str:
        """How full it is."""
        return f"{len(self):,} of {self.size:,} keys, {self.vectors.shape[1]} dim"
