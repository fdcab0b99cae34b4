"""The parts of a view that are drawn in the browser: plain modules, read from `static/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget

from workbench.errors import BadArgument, BadData

STATIC = Path(__file__).parent / "static"
KIT = "kit"

Answer = Mapping[str, Any] | tuple[Mapping[str, Any], list[bytes]]


def esm(*names: str) -> str:
    """One module's text: the kit, then the named files of `static/`.

    Example:
        >>> esm().startswith("// What every view's own part uses")
        True
    """
    files = [f"{KIT}.js", *names]
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in files)


def css(*names: str) -> str:
    """The text of the named style files of `static/`.

    Example:
        >>> ".wb-view" in css("kit.css")
        True
    """
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in names)


class Core(anywidget.AnyWidget):
    """A part drawn by a module of `static/`, which may ask Python questions.

    The module calls `ask(model, {kind, ...})`; the handler registered for that kind answers with a
    dict, or with a dict and a list of binary buffers. Handlers run while the kernel is free, or
    late: they do short work only.

    Breaks when: a cell runs without awaiting; questions are then answered after it.
    """

    def __init__(self, **traits: Any) -> None:
        self._handlers: dict[str, Callable[[dict[str, Any]], Answer]] = {}
        super().__init__(**traits)
        self.on_msg(self._asked)

    def answer(self, kind: str, handler: Callable[[dict[str, Any]], Answer]) -> None:
        """Let a function answer questions of one kind.

        Raises:
            BadArgument: the kind has a handler already.
        """
        if kind in self._handlers:
            raise BadArgument("kind", kind, "it must be new", "Answer each kind once.")
        self._handlers[kind] = handler

    def _asked(self, _: object, content: dict[str, Any], buffers: object) -> None:
        number, kind = content.get("id"), content.get("kind")
        handler = self._handlers.get(str(kind))
        if handler is None:
            self.send({"id": number, "error": f"nobody answers {str(kind)[:80]!r}"})
            return
        try:
            found = handler({name: one for name, one in content.items() if name != "id"})
        except (BadArgument, BadData) as error:
            self.send({"id": number, "error": str(error)})
            return
        except Exception as error:
            self.send({"id": number, "error": f"{type(error).__name__}: {error}"})
            raise
        told, binary = found if isinstance(found, tuple) else (found, [])
        self.send({**told, "id": number}, binary)


class Theme(Core):
    """Brings the styles that all views share; shows nothing."""

    _esm = "export default { render({ el }) { el.style.display = 'none'; } };"
    _css = css("kit.css")
