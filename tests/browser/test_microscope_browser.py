"""The microscope in a browser: hover, arrows, a click read in Python, steps, no key escapes."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser

SETUP = """
import numpy as np
from workbench import rules
from workbench.data import from_rows
from workbench.sample import Shuffled
from workbench.train import Contrast, InBatch, Knowledge
from workbench.types import Vectors
from workbench.widgets.microscope import microscope

HOSTILE = ("<script>window.broken = 1</script> <img src=x onerror='window.broken = 1'> "
           "**bold** [link](http://x) \\u05e9\\u05dc\\u05d5\\u05dd \\U0001F40D")
rows = [{"query": f"how to do {n} {HOSTILE}", "positive": f"def f{n}(): return '<b>{n}</b>'"}
        for n in range(24)]
collection = from_rows(rows, name="toy")
rng = np.random.default_rng(0)
vectors = tuple(
    Vectors(values=rng.normal(size=(24, 8)).astype(np.float32), ids=ids, encoder="demo")
    for ids in (collection.query_ids, collection.doc_ids))
contrast = Contrast(candidates=[InBatch("ap", "aa")], rules=[rules.Margin(margin=0.3)])
sampler = Shuffled(collection.pairs, batch_size=8)
view = microscope(sampler, collection=collection, contrast=contrast, vectors=vectors,
                  knowledge=Knowledge.of(collection))
"""
READY = "() => document.querySelector('.wb-micro')?.dataset.wbReady === '{}'"
CELL = "() => document.querySelector('[data-wb-micro=panel]')?.dataset.wbCell === '{} {}'"
COUNT = "jupyterapp.shell.currentWidget.content.model.cells.length"


@pytest.fixture
def page(notebook):
    notebook.open([SETUP, "view"]).run()
    notebook.until(READY.format("0 reason"))
    return notebook.page


def point(page, row, column):
    """Where a cell of the 8 x 16 matrix is drawn, from the canvas's corner."""
    box = page.locator("[data-wb-micro=canvas]").bounding_box()
    return {"x": (column + 0.5) * box["width"] / 16, "y": (row + 0.5) * box["height"] / 8}


def test_cells_are_read_and_chosen_by_mouse_and_keyboard(notebook, page):
    veil = page.locator("[data-wb-micro=veil]")
    veil.hover(position=point(page, 2, 5))
    notebook.until(CELL.format(2, 5))
    told = notebook.py("__import__('workbench.widgets.matrix', fromlist=['x'])"
                       ".cell_of(view.explanation, 2, 5, collection)")  # fmt: skip
    panel = page.locator("[data-wb-micro=panel]")
    assert panel.locator("[data-wb-text=anchor] p").text_content() == told["query_text"]
    assert panel.locator("[data-wb-text=candidate] p").text_content() == told["candidate_text"]
    assert "<script>" in told["query_text"]
    assert page.evaluate("window.broken") is None
    assert panel.locator("script, img, b").count() == 0

    veil.click(position=point(page, 3, 9))
    notebook.until(CELL.format(3, 9))
    assert notebook.py("[view.row, view.column, view.cell['block']]") == [3, 9, "aa"]

    focus(notebook, page)
    page.mouse.move(0, 0)
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    notebook.until(CELL.format(5, 11))
    assert notebook.py("[view.row, view.column]") == [3, 9]  # walking chooses nothing
    page.keyboard.press("Enter")
    notebook.until("() => document.querySelector('[data-wb-micro=heaviest]').dataset.wbRow === '5'")
    assert notebook.py("[view.row, view.column, view.cell['row']]") == [5, 11, 5]
    page.keyboard.press("h")
    column = notebook.py("int(view.explanation.share[5].argmax())")
    notebook.until(CELL.format(5, column))
    assert notebook.py("view.column") == column

    notebook.py("view.select(1, 2)")
    notebook.until(CELL.format(1, 2))


def focus(notebook, page):
    """As a person does; JupyterLab moves the focus once more when a cell has run."""
    page.locator("[data-wb-micro=status]").click()
    notebook.until("() => document.activeElement.classList.contains('wb-micro')")


def test_batches_are_stepped_through_and_no_key_escapes(notebook, page):
    focus(notebook, page)
    page.keyboard.press("]")
    notebook.until(READY.format("1 reason"))
    assert notebook.py("[view.place, view.page.name]") == [1, "epoch 0, batch 1"]
    assert page.locator("[data-wb-micro=name]").text_content() == "epoch 0, batch 1"
    page.keyboard.press("4")
    notebook.until(READY.format("1 share"))
    assert notebook.py("view.mode") == "share"
    page.keyboard.press("[")
    notebook.until(READY.format("0 share"))

    before = page.evaluate(COUNT)
    for key in ["a", "b", "x", "d", "d", "m", "s", "y", "Shift+M", "0", "0", "c", "v", "z"]:
        page.keyboard.press(key)
    assert page.evaluate(COUNT) == before
    kinds = "jupyterapp.shell.currentWidget.content.model.cells.get({}).type"
    assert [page.evaluate(kinds.format(place)) for place in range(before)] == ["code"] * before
    assert page.evaluate("document.activeElement.classList.contains('wb-micro')")
    assert notebook.py("view.place") == 0


def test_both_themes_and_axe(notebook, page):
    page.locator("[data-wb-micro=mode-reason]").click()
    for theme in ("light", "dark"):
        notebook.theme(theme)
        notebook.shot(f"microscope-{theme}", selector=".wb-micro")
        assert notebook.axe(".wb-view") == []
    ground = page.evaluate("getComputedStyle(document.querySelector('.wb-micro')).backgroundColor")
    assert ground == "rgb(22, 22, 22)"
    reason = page.locator("[data-wb-micro^=reason-]").first
    reason.click()
    assert reason.get_attribute("aria-pressed") == "true"
