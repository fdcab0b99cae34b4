"""What one sees while a sweep runs."""

import io
import sys

from workbench.sweep.bars import Bars
from workbench.sweep.job import Watch


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_per_notebook_shows_its_cell_and_its_last_row(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    bars = Bars(3, places=2, shown=True)
    bars.began("margin=0.1")
    watch = Watch()
    watch.cell, watch.cells = 3, 5
    watch.rows = [{"step": 1, "value": 0.1 + 0.2, "name": "x" * 50}]
    bars.show({"margin=0.1": watch})
    bars.known("margin=0", "made with torch 1, now 2 (--again repeats it)")
    bars.ended("margin=0.1", "failed", 4.4, "In [2] failed: ZeroDivisionError: no")
    bars.close()
    said = terminal.getvalue()
    assert "margin=0.1: cell 3 of 5" in said
    assert "value=0.3, name=" + "x" * 20 in said
    assert "x" * 21 not in said
    assert "margin=0: was done before: made with torch 1, now 2" in said
    assert "margin=0.1: failed in 4 s: In [2] failed" in said
    assert "2/3" in said


def test_without_a_terminal_there_is_a_line_per_run(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    bars = Bars(2, places=2, shown=True)
    bars.began("a")
    bars.ended("a", "done", 7.0, "")
    bars.close()
    said = capsys.readouterr().err
    assert said == "Sweep: 2 runs, 2 at a time\n[1/2] a: done in 7 s\n"


def test_nothing_is_shown_when_nothing_is_asked_for(capsys):
    bars = Bars(1, places=1, shown=False)
    bars.began("a")
    bars.ended("a", "failed", 7.0, "no")
    bars.close()
    assert "".join(capsys.readouterr()) == ""
