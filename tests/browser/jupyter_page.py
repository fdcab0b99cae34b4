"""One notebook, open in JupyterLab in a browser: run it, ask its kernel, look at it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab_browser import PATIENCE, ROOT, Lab

SHOTS = ROOT / "runs" / "browser"
# What JupyterLab itself says when a page goes away, and what a machine without a GPU says.
NOISE = re.compile(r"favicon|WebSocket is closed before|GPU stall due to ReadPixels", re.I)
_numbers = count()
PANEL = "jupyterapp.shell.currentWidget"
IDLE = f"() => {PANEL}?.sessionContext?.session?.kernel?.status === 'idle'"
CODE = f"""[...{PANEL}.content.model.cells]
  .filter(c => c.type === 'code' && c.sharedModel.source.trim())"""
DONE = f"() => {CODE}.every(c => c.executionCount !== null) && ({IDLE})()"
ERRORS = """(CELLS)().flatMap(c => c.outputs.toJSON())
  .filter(o => o.output_type === 'error').map(o => o.traceback.join('\\n') || o.evalue)"""
EXECUTE = f"""async ([code, seconds]) => {{
  const kernel = {PANEL}.sessionContext.session.kernel;
  const future = kernel.requestExecute({{code, store_history: false}});
  let text = '', error = null;
  future.onIOPub = ({{header, content}}) => {{
    if (header.msg_type === 'stream' && content.name === 'stdout') text += content.text;
    if (header.msg_type === 'error') error = content.traceback.join('\\n') || content.evalue;
  }};
  const late = (_, no) => setTimeout(() => no(Error('the kernel is busy')), 1000 * seconds);
  await Promise.race([future.done, new Promise(late)]);
  return {{text, error}};
}}"""
AXE = """async (selector) => {
  const found = await axe.run({include: [[selector]]}, {resultTypes: ['violations']});
  const bad = found.violations.filter(v => ['serious', 'critical'].includes(v.impact));
  return bad.flatMap(v => v.nodes.map(
    n => `${v.impact} ${v.id}: ${v.help}: ${n.target.join(' ')}: ${n.failureSummary}`));
}"""


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _printing(code: str) -> str:
    """Code that prints the value of an expression as JSON; other code as it is."""
    try:
        said = ast.parse(code.strip(), mode="eval").body
    except SyntaxError:
        return code
    if isinstance(said, ast.Call) and ast.unparse(said.func) == "print":
        return code
    plain = "default=lambda x: x.tolist()"  # numpy's numbers and arrays
    return f"print(__import__('json').dumps({code.strip()}, {plain}))"


SLOW = r"\[anywidget\] Failed to initialize model"
"""anywidget gives a module two seconds; plotly's five megabytes take longer on a busy machine. The
view is then blank, which `until(again=)` finds and mends by running the cell again."""


@dataclass(kw_only=True)
class Notebook:
    """One notebook, open in a page of the browser.

    Args:
        lab: the server.
        context: the browser context.
        name: what its pictures are called after.
        page: the Playwright page, for everything that has no method here.
        folder: the notebook's folder, where its kernel runs.
        outside: addresses of requests that left this machine.
        complaints: errors in the browser's console, and uncaught exceptions.
    """

    lab: Lab
    context: Any
    name: str = "notebook"
    page: Any = None
    folder: Path = Path()
    outside: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _tolerated: list[str] = field(default_factory=lambda: [SLOW])

    def open(self, cells: Sequence[str]) -> Notebook:
        """Write a new notebook of these code cells, open it and wait for its kernel."""
        self.folder = self.lab.folder / f"{next(_numbers)}"
        self.folder.mkdir()
        made = [
            {"cell_type": "code", "id": f"cell-{place}", "metadata": {}, "source": source,
             "outputs": [], "execution_count": None}
            for place, source in enumerate(cells)
        ]  # fmt: skip
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        book = {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {"kernelspec": kernel},
            "cells": made,
        }
        self.path.write_text(json.dumps(book), encoding="utf-8")
        return self.reopen()

    @property
    def path(self) -> Path:
        """The notebook's file."""
        return self.folder / "page.ipynb"

    def reopen(self) -> Notebook:
        """Load the page anew; with `save()` and `shut()` before, as somebody opens it next day."""
        self.close()
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE)
        self.page.on("request", lambda request: self._note(request.url))
        self.page.on("websocket", lambda socket: self._note(socket.url))
        self.page.on("console", lambda said: said.type == "error" and self._complain(said.text))
        self.page.on("pageerror", lambda error: self._complain(error.stack or error.message))
        place = self.path.relative_to(self.lab.folder).as_posix()
        workspace = f"lab/workspaces/w{next(_numbers)}/tree/{place}"
        self.page.goto(f"{self.lab.url}{workspace}?token={self.lab.token}")
        self.until("() => window.jupyterapp && jupyterapp.restored.then(() => true)")
        self.until(
            f"() => {PANEL}?.content?.model && document.querySelector('.jp-Notebook .jp-Cell')"
        )
        self.until(IDLE)
        return self

    def _note(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            self.outside.append(url)

    def _complain(self, text: str) -> None:
        if not NOISE.search(text) and len(self.complaints) < 20:
            self.complaints.append(text[:1000])

    def tolerate(self, pattern: str) -> None:
        """Let complaints that match this regular expression pass."""
        self._tolerated.append(pattern)

    def until(self, condition: str, *, seconds: float = PATIENCE, again: int | None = None) -> None:
        """Wait until a JavaScript function returns something true.

        Args:
            condition: `() => ...`.
            seconds: how long.
            again: a cell to run once more when it has not come true by half the time; a
                plotly figure may stay blank without an error.
        """
        from playwright.sync_api import TimeoutError as Late

        if again is not None:
            try:
                return self.until(condition, seconds=seconds / 2)
            except Late:
                self.cell(again)
                return self.until(condition, seconds=seconds / 2)
        try:
            self.page.wait_for_function(condition, timeout=1000 * seconds)
        except Late as late:
            raise Late(f"not true after {seconds:.0f} s: {condition}; {self.complaints}") from late
        return None

    def run(self, *, wait: bool = True, seconds: float = PATIENCE) -> Notebook:
        """Run all cells; with `wait` until all are done, raising what a cell raised."""
        self.page.evaluate(f"() => {CODE}.forEach(c => {{ c.executionCount = null; }})")
        self.page.evaluate("() => { void jupyterapp.commands.execute('notebook:run-all-cells'); }")
        return self.wait(seconds=seconds) if wait else self

    def wait(self, *, seconds: float = PATIENCE) -> Notebook:
        """Wait until every cell has run and the kernel idles; raises what a cell raised."""
        every = f"() => {CODE}"
        failed = f"{ERRORS.replace('CELLS', every)}.length > 0"
        self.until(f"() => ({DONE})() || {failed}", seconds=seconds)
        self._raise(every)
        return self

    def _raise(self, cells: str) -> None:
        if raised := self.page.evaluate(f"() => {ERRORS.replace('CELLS', cells)}"):
            raise AssertionError("a cell raised\n" + _plain("\n".join(raised)))

    def cell(self, place: int, *, seconds: float = PATIENCE) -> Notebook:
        """Run one cell (again), wait for it and raise what it raised."""
        self.page.evaluate(
            f"(place) => {{ const book = {PANEL}.content; book.activeCellIndex = place;"
            " book.activeCell.model.executionCount = null;"
            " void jupyterapp.commands.execute('notebook:run-cell'); }",
            place,
        )
        this = f"{PANEL}.content.model.cells.get({place})"
        self.until(f"() => {this}.executionCount !== null && ({IDLE})()", seconds=seconds)
        self._raise(f"() => [{this}]")
        return self

    def py(self, code: str, *, seconds: float = PATIENCE) -> Any:
        """What Python in the notebook's kernel says.

        Args:
            code: an expression, or statements that print JSON.
            seconds: how long; a kernel that still runs a cell answers after it.

        Returns:
            The expression's value, or the last printed line, read as JSON; None if there is none.
        """
        found = self.page.evaluate(EXECUTE, [_printing(code), seconds])
        if found["error"]:
            raise AssertionError(f"{code}\n{_plain(found['error'])}")
        lines = found["text"].strip().splitlines()
        return json.loads(lines[-1]) if lines else None

    def restart(self) -> Notebook:
        """Restart the kernel; outputs stay, variables are gone."""
        self.page.evaluate(f"async () => {{ await {PANEL}.sessionContext.restartKernel(); }}")
        self.until(IDLE)
        return self

    def save(self) -> Notebook:
        """Write the notebook with its outputs to its file."""
        self.page.evaluate(f"async () => {{ await {PANEL}.context.save(); }}")
        return self

    def shut(self) -> None:
        """End the kernel, for good."""
        self.lab.shut_kernels()

    def theme(self, name: str) -> Notebook:
        """Switch JupyterLab to "dark" or "light"."""
        self.page.evaluate(
            "async (theme) => {"
            " await jupyterapp.commands.execute('apputils:change-theme', {theme}); }",
            f"JupyterLab {name.title()}",
        )
        light = str(name == "light").lower()
        self.until(f"() => document.body.dataset.jpThemeLight === '{light}'")
        return self

    def shot(self, name: str, *, selector: str | None = None) -> Path:
        """Save a picture of the page, or of one element, as runs/browser/<test>-<name>.png."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        path = SHOTS / (re.sub(r"[^\w-]+", "-", f"{self.name}-{name}") + ".png")
        source = self.page.locator(selector).first if selector else self.page
        source.screenshot(path=path, animations="disabled")
        return path

    def axe(self, selector: str = ".wb-view") -> list[str]:
        """What axe-core finds serious or critical in the elements of this selector."""
        import axe_playwright_python

        script = Path(axe_playwright_python.__file__).parent / "axe.min.js"
        self.page.evaluate(script.read_text(encoding="utf-8"))
        return self.page.evaluate(AXE, selector)

    def check(self) -> None:
        """Nothing left this machine, and nothing complained."""
        assert not self.outside, f"requests left this machine: {self.outside}"
        wrong = [
            text for text in self.complaints
            if not any(re.search(one, text) for one in self._tolerated)
        ]  # fmt: skip
        assert not wrong, "the browser's console:\n" + "\n".join(wrong)

    def close(self) -> None:
        """Close the page; the kernel goes on."""
        if self.page is not None:
            self.page.close()
