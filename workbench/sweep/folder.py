"""A sweep's folder: its lock, its runs' names, what is set aside when a run is done again."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.errors import BadArgument

LOCK, ASIDE, COPY = ".lock", ".earlier", ".notebook"
LONGEST = 70


def run_name(parameters: Mapping[str, Any], varied: Mapping[str, Any], key: str) -> str:
    """A folder's name that says what the run varies, and a hash that says it all.

    Args:
        parameters: all of the run's.
        varied: the notebook's defaults; what differs from them is named.
        key: of the run.

    Example:
        >>> run_name({"loss": "guide", "seed": 1}, {"loss": "info_nce", "seed": 1}, "3f2a9c1b00")
        'loss=guide-3f2a9c1b'
    """
    parts = [
        f"{name}={value}"
        for name, value in parameters.items()
        if name not in varied or varied[name] != value
    ]
    text = re.sub(r"[^\w.=+-]+", "_", ",".join(parts).replace(",", "+"))[:LONGEST].strip("._")
    return f"{text or 'defaults'}-{key[:8]}"


def new_attempt(folder: Path) -> None:
    """An empty folder for a run; what an earlier attempt left is set aside, not deleted."""
    if folder.exists():
        aside = folder.parent / ASIDE
        aside.mkdir(exist_ok=True)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        for number in range(1, 1000):
            target = aside / f"{folder.name}~{stamp}-{number}"
            if not target.exists():
                shutil.move(folder, target)
                break
    folder.mkdir(parents=True)


def check_writable(folder: Path, *, least: int = 50 * 2**20) -> None:
    """Refuse a folder that cannot be written, or a disk that is nearly full.

    Args:
        folder: of the sweep; made here.
        least: bytes that must be free.

    Raises:
        BadArgument: it cannot be made or written, or the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{time.time_ns()}"
        probe.write_text("x", encoding="utf-8")
        probe.unlink()
    except OSError as error:
        wanted = f"it must be a folder that can be written ({error.strerror or error})"
        raise BadArgument("folder", str(folder), wanted, "Name another.") from error
    free = shutil.disk_usage(folder).free
    if free < least:
        wanted = f"its disk has {free // 2**20} MB left, a sweep wants {least // 2**20}"
        raise BadArgument("folder", str(folder), wanted, "Make room, or name another disk.")
