"""Checkpoints: a folder per step, whole or not there, without pickle.

    step-00000100/encoder/            loads as an Encoder, here and in sentence-transformers
    step-00000100/optimizer.safetensors, state.json
    step-00000100/ema.safetensors, memory.safetensors, sampler.safetensors, losses/   (if any)
    best.json                         which step was best, and its value
    rounds/start, rounds/step-00000200 the mined negatives of each round of a refreshed run

Dropout depends on (seed, step) and batches on (seed, epoch), so no random state needs keeping.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workbench import files
from workbench.encode import Encoder
from workbench.types import LossStore

STATE, MEMORY, LOSSES = "state.json", "memory.safetensors", "losses"
SAMPLER = "sampler.safetensors"


def _flat(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{place}.{name}": torch.as_tensor(value).detach().cpu().contiguous()
        for place, values in state.items()
        for name, value in values.items()
    }


def save(
    folder: Path,
    *,
    step: int,
    encoder: Encoder,
    optimizer: torch.optim.Optimizer,
    ema: dict[str, Tensor] | None,
    memory: dict[str, Tensor],
    losses: LossStore | None,
    sampler: dict[str, NDArray[Any]],
    state: dict[str, Any],
) -> Path:
    """Write one checkpoint, atomically; an existing one of the same step is left as it is."""
    from safetensors.torch import save_file

    target = folder / f"step-{step:08d}"
    if target.exists():
        return target
    with files.atomic_folder(target) as temporary:
        encoder.save(temporary / "encoder")
        save_file(_flat(optimizer), temporary / "optimizer.safetensors")
        if ema is not None:
            save_file(
                {name: value.cpu() for name, value in ema.items()}, temporary / "ema.safetensors"
            )
        if memory:
            whole = {name: value.cpu().contiguous().clone() for name, value in memory.items()}
            save_file(whole, temporary / MEMORY)
        if losses is not None:
            losses.save(temporary / LOSSES)
        if sampler:
            copies = {name: np.array(value, order="C") for name, value in sampler.items()}
            tensors = {name: torch.from_numpy(value) for name, value in copies.items()}
            save_file(tensors, temporary / SAMPLER)
        files.write_json(temporary / STATE, {**state, "step": step})
    return target


def newest(folder: Path) -> Path | None:
    """The latest whole checkpoint, or None."""
    found = sorted(path for path in folder.glob("step-*") if (path / STATE).is_file())
    return found[-1] if found else None


def restore(
    path: Path, *, encoder: Encoder, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Any], dict[str, Tensor] | None]:
    """Put a checkpoint into an encoder and its optimiser.

    Returns:
        The saved state, and the moving average if there was one.
    """
    from safetensors.torch import load_file

    kind = type(getattr(encoder.body, "model", encoder.body))
    remote = kind.__module__.startswith("transformers_modules")  # it runs here already
    saved = Encoder.load(path / "encoder", device="cpu", trust_remote_code=remote)
    encoder.load_state_dict(saved.state_dict())
    flat = load_file(path / "optimizer.safetensors")
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        place, name = key.split(".", 1)
        state.setdefault(int(place), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    averages = path / "ema.safetensors"
    return files.read_json(path / STATE), load_file(averages) if averages.exists() else None


def memory(path: Path) -> dict[str, Tensor]:
    """The queue and slow encoder of a checkpoint; empty if it has none."""
    from safetensors.torch import load_file

    return load_file(path / MEMORY) if (path / MEMORY).exists() else {}


def sampler(path: Path) -> dict[str, NDArray[Any]]:
    """What refreshes had left in the sampler by then; empty if nothing."""
    from safetensors.numpy import load_file

    return load_file(path / SAMPLER) if (path / SAMPLER).exists() else {}


def losses(path: Path) -> LossStore | None:
    """What each row had cost by then, or None if nobody kept it."""
    return LossStore.load(path / LOSSES) if (path / LOSSES).exists() else None


def prune(folder: Path, *, keep: int, best: int | None) -> None:
    """Delete all but the newest `keep` checkpoints and the best one."""
    found = sorted(folder.glob("step-*"))
    spare = f"step-{best:08d}" if best is not None else ""
    for path in found[:-keep]:
        if path.name != spare:
            shutil.rmtree(path, ignore_errors=True)
