"""Searching block of queries by block of queries, with finished blocks kept on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workbench import files
from workbench.errors import BadArgument, BadData
from workbench.types import Floats, Ints

ROWS = 65_536
"""Rows of an array fingerprinted at once."""

Tick = Callable[[], object]
Search = Callable[[slice, Tick], tuple[Floats, Ints]]
"""(rows, tick) -> (scores, positions) of these queries, calling tick `parts` times on the way."""


def rows_fingerprint(rows: NDArray[np.generic]) -> str:
    """Fingerprint of an array's shape and numbers, read in pieces, so that a memory map stays one.

    Example:
        >>> rows_fingerprint(np.zeros((3, 2))) == rows_fingerprint(np.zeros((2, 3)))
        False
    """
    pieces = [files.fingerprint(rows[at : at + ROWS]) for at in range(0, len(rows), ROWS)]
    return files.fingerprint(list(rows.shape), pieces)


def claim(folder: Path, made_of: Mapping[str, object]) -> None:
    """Take an empty folder for a search, or find in it that it is this search's.

    Args:
        folder: the checkpoint.
        made_of: what the result depends on, in plain values.

    Raises:
        BadArgument: the folder holds another search, or something else.
    """
    recipe = folder / files.RECIPE
    if not recipe.exists():
        files.check_replaceable(folder, lambda _: False)
        folder.mkdir(parents=True, exist_ok=True)
        files.write_json(recipe, made_of)
        return
    found = files.read_json(recipe)
    if found != made_of:
        keys = sorted({*found, *made_of}) if isinstance(found, dict) else []
        other = [key for key in keys if found.get(key) != made_of.get(key)]
        wanted = f"it holds another search (other {', '.join(other) or 'recipe'})"
        raise BadArgument("checkpoint", str(folder), wanted, "Name a new folder, or delete it.")


def in_blocks(
    search: Search,
    count: int,
    k: int,
    *,
    size: int,
    parts: int = 1,
    label: str = "search",
    checkpoint: Path | None = None,
) -> tuple[Floats, Ints]:
    """Search `count` queries in blocks of `size`, and with `checkpoint` never a block twice.

    Every finished block becomes one file, whole or not at all, so that a search that was
    interrupted or killed goes on with the first block that is missing.

    Args:
        search: finds the documents of one block of queries.
        count: queries.
        k: documents of each.
        size: queries per block.
        parts: how often `search` ticks per block, for the progress bar.
        label: what the bar says.
        checkpoint: folder that `claim` has found to be this search's; None = nothing is kept.

    Returns:
        scores and positions, both (count, k).

    Raises:
        BadData: a block in the folder is damaged.
    """
    from tqdm.auto import tqdm

    scores = np.empty((count, k), dtype=np.float32)
    places = np.empty((count, k), dtype=np.int64)
    blocks = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    kept = [_load(checkpoint, number, rows, k) for number, rows in enumerate(blocks)]
    initial = parts * sum(block is not None for block in kept)
    with tqdm(
        total=parts * len(blocks), initial=initial, desc=label, unit="block", disable=None, delay=2
    ) as progress:
        for number, rows in enumerate(blocks):
            block = kept[number]
            if block is None:
                block = search(rows, progress.update)
                _save(checkpoint, number, block)
            scores[rows], places[rows] = block
    return scores, places


def _paths(folder: Path, number: int) -> tuple[Path, Path]:
    return folder / f"{number:06d}.scores.npy", folder / f"{number:06d}.docs.npy"


def _save(folder: Path | None, number: int, block: tuple[Floats, Ints]) -> None:
    if folder is None:
        return
    paths = _paths(folder, number)
    for place in range(len(block)):
        with files.atomic_file(paths[place]) as temporary, temporary.open("wb") as file:
            np.save(file, block[place], allow_pickle=False)


def _load(folder: Path | None, number: int, rows: slice, k: int) -> tuple[Floats, Ints] | None:
    if folder is None or not all(path.exists() for path in _paths(folder, number)):
        return None
    shape, block = (rows.stop - rows.start, k), []
    for path in _paths(folder, number):
        try:
            values = np.load(path, mmap_mode="r", allow_pickle=False)
            problem = None if values.shape == shape else f"{values.shape} where {shape} is wanted"
        except (ValueError, OSError, EOFError) as error:
            problem = str(error)
        if problem is not None:
            raise BadData(str(path), [problem], "Delete it, and the search makes it again.")
        block.append(values)
    return block[0], block[1]
