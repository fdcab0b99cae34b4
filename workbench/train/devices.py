"""What processes tell each other: columns with their gradient, and arrays all must agree on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workbench.train.facts import Columns

if TYPE_CHECKING:
    from accelerate import Accelerator

ROWS = 65_536
"""Rows of an array sent to the other processes at once."""


def gathered(columns: Columns, accelerator: Accelerator) -> Columns:
    """The columns of every process, in the order of their ranks; the same in one process.

    Backward sums what all processes say of a column. With gradients averaged over processes, as
    data parallelism does, the step is that of one process holding all rows.

    Args:
        columns: this process's own, of any number.
        accelerator: processes and device.

    Returns:
        Vectors and positions; owners are dropped.

    Example:
        >>> from accelerate import Accelerator
        >>> own = Columns(vectors=torch.eye(2), positions=np.arange(2))
        >>> gathered(own, Accelerator()) is own
        True
    """
    if accelerator.num_processes == 1:
        return columns
    from torch.distributed.nn.functional import all_gather

    device = accelerator.device
    count = torch.tensor([len(columns)], device=device)
    counts: list[int] = accelerator.gather(count).tolist()
    most = max(counts)
    positions = torch.from_numpy(np.asarray(columns.positions, dtype=np.int64)).to(device)
    places: Tensor = accelerator.gather(_padded(positions[:, None], most))
    parts: tuple[Tensor, ...] = all_gather(  # type: ignore[no-untyped-call]
        _padded(columns.vectors, most).contiguous()
    )
    vectors = torch.cat([part[:size] for part, size in zip(parts, counts, strict=True)])
    kept = [places[rank * most : rank * most + size] for rank, size in enumerate(counts)]
    return Columns(vectors=vectors, positions=torch.cat(kept)[:, 0].cpu().numpy())


def _padded(rows: Tensor, count: int) -> Tensor:
    return torch.nn.functional.pad(rows, (0, 0, 0, count - len(rows)))


def agreed(values: NDArray[Any], accelerator: Accelerator) -> NDArray[Any]:
    """The main process's array on every process; the array itself where there is one process.

    Every process does the same work, so nobody waits long; this takes away what rounding on
    different devices could leave.

    Args:
        values: of one shape everywhere.
        accelerator: processes and device.

    Example:
        >>> from accelerate import Accelerator
        >>> agreed(np.arange(3), Accelerator()).tolist()
        [0, 1, 2]
    """
    if accelerator.num_processes == 1:
        return values
    from accelerate.utils import broadcast

    parts = []
    for start in range(0, len(values), ROWS):
        some = torch.from_numpy(np.array(values[start : start + ROWS])).to(accelerator.device)
        parts.append(broadcast(some, from_process=0).cpu().numpy())
    return np.concatenate(parts)
