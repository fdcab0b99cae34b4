"""Parts that list themselves: in errors, README tables, law tests and sweep choices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from workbench.errors import check_choice

Part = TypeVar("Part", bound=type)
_parts: dict[str, dict[str, type]] = {}


def register(kind: str, name: str) -> Callable[[Part], Part]:
    """Enter a class under `kind` (rule, loss, sampler, miner) and `name`.

    Args:
        kind: the shelf.
        name: the word a user, a sweep or a README table says.

    Raises:
        ValueError: the name is taken by another class.

    Example:
        >>> @register("demo", "nothing")
        ... class Nothing:
        ...     '''Does nothing at all. Really.'''
        >>> get("demo", "nothing").__name__, table("demo")
        ('Nothing', [('nothing', 'Does nothing at all.')])
    """

    def enter(part: Part) -> Part:
        shelf = _parts.setdefault(kind, {})
        taken = shelf.get(name)
        if taken is not None and taken.__qualname__ != part.__qualname__:
            raise ValueError(f"{kind} {name!r} is taken by {taken.__module__}.{taken.__qualname__}")
        shelf[name] = part
        return part

    return enter


def names(kind: str) -> list[str]:
    """The registered names of one kind, sorted."""
    return sorted(_parts.get(kind, {}))


def get(kind: str, name: str) -> type:
    """The class registered under `name`; an unknown one is refused with the nearest name."""
    check_choice(kind, name, names(kind))
    return _parts[kind][name]


def table(kind: str) -> list[tuple[str, str]]:
    """(name, first sentence of the docstring) of every part of one kind."""
    rows = []
    for name in names(kind):
        doc = (_parts[kind][name].__doc__ or "").strip()
        rows.append(
            (name, doc.split("\n\n")[0].replace("\n", " ").split(". ")[0].rstrip(".") + ".")
        )
    return rows
