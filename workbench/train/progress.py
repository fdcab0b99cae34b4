"""The progress bar of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from workbench.train.history import Row


@contextmanager
def bar(step: int, total: int, *, progress: bool) -> Iterator[Callable[[Row], None]]:
    """A bar that is told each row; without a terminal or notebook, or unwanted, it stays silent.

    Example:
        >>> with bar(0, 2, progress=False) as told:
        ...     told({"step": 1, "loss": 0.5})
    """
    from tqdm.auto import tqdm

    line = tqdm(total=total, initial=step, disable=not progress or None, unit="step")

    def told(row: Row) -> None:
        line.update()
        line.set_postfix(loss=f"{row['loss']:.4f}", refresh=False)

    with line:
        yield told
