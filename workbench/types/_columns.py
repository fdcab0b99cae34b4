"""Column types and the checks every record shares."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadData

Ids = NDArray[np.object_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


def same_length(owner: str, **columns: Any) -> None:
    """Refuse columns of different lengths, naming each."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
        raise BadData(owner, [f"lengths differ: {shown}"], "Give one entry per row everywhere.")
