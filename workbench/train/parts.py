"""The parts of a run: what a sampler is, and whether all parts speak of the same collection."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from workbench import files
from workbench.errors import BadArgument
from workbench.train import checkpoint
from workbench.train.contrast import Contrast
from workbench.train.facts import Knowledge
from workbench.types import Batch, Candidates, Collection, Vectors


@runtime_checkable
class Sampler(Protocol):
    """Yields the batches of an epoch; the order depends only on its seed and the epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch the next iteration yields."""
        ...

    def __iter__(self) -> Iterator[Batch]: ...

    def __len__(self) -> int: ...


@runtime_checkable
class Refreshable(Sampler, Protocol):
    """A sampler whose negatives and grouping may change while a run goes on; all of ours are."""

    @property
    def fingerprint(self) -> str:
        """Of what it was built with; no refresh changes it."""
        ...

    @property
    def negatives(self) -> Candidates | None:
        """The mined negatives that it brings now."""
        ...

    def renew(self, negatives: Candidates) -> None:
        """Bring these negatives from now on; which rows stand together does not change."""
        ...

    def wants_refresh(self, epoch: int) -> bool:
        """Does it want fresh vectors before this epoch begins?"""
        ...

    def refresh(
        self, queries: Vectors, docs: Vectors | None = None, *, epoch: int | None = None
    ) -> int:
        """Group by these vectors from an epoch on; earlier epochs stay as they were."""
        ...

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What refreshes left behind, for a checkpoint."""
        ...

    def load_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Put back what `arrays` gave."""
        ...


def check_parts(
    collection: Collection,
    sampler: Sampler,
    contrast: Contrast,
    knowledge: Knowledge | None,
    first: Batch,
) -> None:
    """Refuse parts of another collection: their positions would be believed all the same.

    Raises:
        BadArgument: knowledge or mined negatives of other texts; a sampler that brings more or
            fewer mined negatives per row than the contrast has.
    """
    contrast.check(knowledge)
    ids = (collection.query_ids, collection.doc_ids)
    told = knowledge.collection if knowledge else ""
    if told and told != files.fingerprint(*ids):
        wanted = "it was made of another collection"
        raise BadArgument("knowledge", told, wanted, "Knowledge.of(collection, ...).")
    mined = getattr(sampler, "negatives", None)
    pairs = zip((mined.query_ids, mined.doc_ids), ids, strict=True) if mined else ()
    if not all(np.array_equal(theirs, ours) for theirs, ours in pairs):
        wanted = "its negatives were mined from another collection"
        raise BadArgument("sampler", sampler, wanted, "Mine this one.")
    brought, asked = first.negatives.shape[1], contrast.hard
    if brought != asked:
        wanted = f"it brings {brought} mined negatives per row where the contrast has {asked}"
        raise BadArgument("sampler", sampler, wanted, "Make num_negatives and Hard(count) equal.")


def accelerator() -> Any:
    """Devices and processes; mixed precision is the step's own affair (docs/DECISIONS.md)."""
    from accelerate import Accelerator

    try:
        return Accelerator(mixed_precision="no")
    except ValueError as error:
        wanted = f"this process holds other accelerate settings ({error})"
        raise BadArgument("accelerator", "bf16", wanted, "Restart the kernel.") from error


def holds_a_run(folder: Path) -> bool:
    """Is there a checkpoint or a history in this folder?"""
    history = folder / "history.jsonl"
    logged = history.exists() and history.stat().st_size > 0
    return logged or checkpoint.newest(folder) is not None
