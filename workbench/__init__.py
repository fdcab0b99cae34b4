"""A Jupyter workbench for people who fine-tune text-embedding models.

Importing it loads neither torch nor transformers: rooms and names are fetched on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_rooms = (
    *("arms", "audit", "cluster", "data", "encode", "errors", "evaluate", "losses", "mine"),
    *("nn", "registry", "report", "rules", "sample", "scores", "sweep", "train", "types"),
    "widgets",
)
_names = {
    "BadArgument": "errors",
    "BadData": "errors",
    "Batch": "types",
    "Candidates": "types",
    "Collection": "types",
    "Encoder": "encode",
    "Scorecard": "types",
    "Vectors": "types",
    "Verdicts": "types",
    "check_loss": "train",
    "board": "widgets",
    "hardness_explorer": "widgets",
    "inspect": "widgets",
    "map": "widgets",
    "microscope": "widgets",
    "monitor": "widgets",
    "side_by_side": "widgets",
}

__all__ = [*_rooms, *_names]


def __getattr__(name: str) -> Any:
    if name in _rooms:
        return import_module(f"workbench.{name}")
    if name in _names:
        return getattr(import_module(f"workbench.{_names[name]}"), name)
    raise AttributeError(f"module 'workbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
