"""What a run remembers beyond its weights: the queue of past documents and their slow encoder."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from workbench.encode import Encoder
from workbench.nn import MomentumEncoder, NegativeQueue
from workbench.train.candidates import Queue
from workbench.train.contrast import Contrast
from workbench.train.facts import Columns
from workbench.types import Ints


class Memory:
    """Documents of past steps with positions and ages, and the encoder copy that makes them.

    Args:
        contrast: asks for a queue, or not.
        encoder: copied now if the queue has a momentum.

    Example:
        >>> Memory.__name__  # used by the training loop: see `tests/train`
        'Memory'
    """

    def __init__(self, contrast: Contrast, encoder: Encoder) -> None:
        found = [part for part in contrast.candidates if isinstance(part, Queue)]
        self.options = found[0] if found else None
        slow = self.options is not None and self.options.momentum > 0
        self.encoder = (
            MomentumEncoder(encoder, momentum=self.options.momentum)
            if slow and self.options is not None
            else None
        )
        self._device = next(encoder.parameters()).device
        self.queue: NegativeQueue | None = None
        self._seen: list[tuple[Tensor, Ints]] = []

    def columns(self, step: int) -> Columns | None:
        """What the queue holds, or None while it is empty."""
        if self.queue is None or not len(self.queue):
            return None
        vectors, positions, steps = self.queue.columns()
        return Columns(
            vectors=vectors,
            positions=positions.cpu().numpy(),
            ages=(step - steps).cpu().numpy(),
        )

    def note(self, vectors: Tensor, positions: Ints) -> None:
        """Keep a batch's documents until the step is over; nothing without a queue."""
        if self.options is not None:
            self._seen.append((vectors.detach(), positions))

    def seen(self) -> list[tuple[Tensor, Ints]]:
        """The documents noted since the last call."""
        seen, self._seen = self._seen, []
        return seen

    def push(self, vectors: Tensor, positions: Ints, *, step: int) -> None:
        """Put documents into the queue as of a step."""
        if self.options is None:
            return
        units = torch.nn.functional.normalize(vectors.float(), dim=1)
        if self.queue is None:
            self.queue = NegativeQueue(self.options.size, vectors.shape[1]).to(vectors.device)
        places = torch.from_numpy(np.asarray(positions, dtype=np.int64)).to(vectors.device)
        self.queue.push(units, places, step=step)

    def state(self) -> dict[str, Tensor]:
        """Everything as named tensors, for a checkpoint."""
        found: dict[str, Tensor] = {}
        if self.queue is not None:
            found |= {f"queue.{name}": value for name, value in self.queue.state_dict().items()}
        if self.encoder is not None:
            found |= {f"encoder.{name}": value for name, value in self.encoder.state_dict().items()}
        return found

    def restore(self, saved: dict[str, Tensor]) -> None:
        """Put back what `state` gave."""
        queue = _named(saved, "queue.")
        if queue and self.options is not None:
            width = queue["vectors"].shape[1]
            self.queue = NegativeQueue(self.options.size, width).to(self._device)
            self.queue.load_state_dict(queue)
        if self.encoder is not None:
            self.encoder.load_state_dict(_named(saved, "encoder."))


def _named(saved: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value for name, value in saved.items() if name.startswith(prefix)
    }
