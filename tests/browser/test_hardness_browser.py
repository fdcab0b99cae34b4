"""The hardness explorer in a browser: bars and cells give their rows, keys stay, both themes."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser

SETUP = """
import numpy as np
from workbench import rules
from workbench.data import from_rows
from workbench.types import Candidates
from workbench.widgets.hardness_explorer import hardness_explorer

HOSTILE = ("<script>window.broken = 1</script> <img src=x onerror='window.broken = 1'> "
           "**bold** \\u05e9\\u05dc\\u05d5\\u05dd \\U0001F40D")
rows = [{"query": f"how to do {n} {HOSTILE}", "positive": f"def f{n}(): return '<b>{n}</b>'"}
        for n in range(80)]
collection = from_rows(rows, name="toy")

def mined(seed):
    rng = np.random.default_rng(seed)
    docs = (np.arange(80)[:, None] + np.arange(1, 21)) % 80
    scores = rng.beta(4, 3, size=docs.shape).astype(np.float32)
    return Candidates(
        query_ids=collection.query_ids, doc_ids=collection.doc_ids, docs=docs, scores=scores,
        ranks=np.broadcast_to(np.arange(1, 21, dtype=np.int32), docs.shape).copy(),
        weight=np.ones(docs.shape, np.float32),
        positive_scores=rng.uniform(0.6, 0.95, 80).astype(np.float32), miner="made")

view = hardness_explorer({f"step {n}": mined(n) for n in (0, 100, 200)}, collection=collection,
                         rules=[rules.Margin(margin=0.05), rules.RankWindow(first=3)], bins=24)
"""
READY = "() => document.querySelector('.wb-hard')?.dataset.wbReady === '{}'"
BEHIND = "() => document.querySelector('[data-wb-hard=rows]')?.dataset.wbCount === '{}'"
CELLS = "jupyterapp.shell.currentWidget.content.model.cells"


@pytest.fixture
def page(notebook):
    notebook.open([SETUP, "view"]).run()
    notebook.until(READY.format("step 200"))
    return notebook.page


def test_bars_and_cells_give_the_rows_behind_them(notebook, page):
    bar = page.locator("[data-wb-bar='1 and above|Margin(margin=0.05)']")
    bar.click()
    wanted = notebook.py("int(view.level.bands().loc['1 and above', 'Margin(margin=0.05)'])")
    notebook.until(BEHIND.format(wanted))
    assert notebook.py("len(view.ids)") == wanted > 50
    first = page.locator("[data-wb-hard=rows] tbody tr").first
    told = notebook.py("[str(view.frame()[name][0]) for name in ('query', 'query_text')]")
    assert told[0] in first.text_content()
    assert told[1] in first.text_content()
    assert "<script>" in told[1]
    assert page.evaluate("window.broken") is None
    assert page.locator("[data-wb-hard=rows] :is(script, img, b)").count() == 0
    assert page.locator("[data-wb-hard=rows] tbody tr").count() == 50
    page.keyboard.press("m")
    notebook.until("() => document.querySelectorAll('[data-wb-hard=rows] tbody tr').length > 50")

    number = page.locator("[data-wb-count='0.9 to 0.95|all']")
    number.focus()
    page.keyboard.press("Enter")
    wanted = notebook.py("int(view.level.bands().loc['0.9 to 0.95', 'found'])")
    notebook.until(BEHIND.format(wanted))
    assert notebook.py("view.chosen") == {"band": "0.9 to 0.95", "part": "all"}

    page.locator("[data-wb-hard=heading]").click()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    i, j = map(int, page.locator(".wb-hard").get_attribute("data-wb-at").split())
    page.keyboard.press("Enter")
    wanted = notebook.py(f"int(view.level.grid.counts[{i}, {j}])")
    notebook.until(BEHIND.format(wanted))
    assert notebook.py("view.chosen") == {"x": i, "y": j}

    notebook.py("len(view.select('below 0.5', 'kept'))")
    notebook.until(BEHIND.format(notebook.py("len(view.rows)")))


def test_checkpoints_are_stepped_through_and_no_key_escapes(notebook, page):
    page.locator("[data-wb-hard=heading]").click()
    notebook.until("() => document.activeElement.classList.contains('wb-hard')")
    page.keyboard.press("[")
    notebook.until(READY.format("step 100"))
    assert notebook.py("view.checkpoint") == "step 100"
    page.locator("[data-wb-hard=checkpoint]").select_option("step 0")
    notebook.until(READY.format("step 0"))
    page.locator("[data-wb-hard=heading]").click()
    before = page.evaluate(f"{CELLS}.length")
    for key in ["a", "b", "x", "d", "d", "s", "y", "Shift+M", "0", "0", "c", "v", "z", "r"]:
        page.keyboard.press(key)
    assert page.evaluate(f"{CELLS}.length") == before
    kinds = [page.evaluate(f"{CELLS}.get({place}).type") for place in range(before)]
    assert kinds == ["code"] * before
    assert notebook.py("view.checkpoint") == "step 0"


def test_both_themes_and_axe(notebook, page):
    notebook.py("len(view.select('1 and above'))")
    for theme in ("light", "dark"):
        notebook.theme(theme)
        notebook.shot(f"hardness-{theme}", selector=".wb-hard")
        assert notebook.axe(".wb-view") == []
    page.locator("[data-wb-hard=shares]").click()
    pressed = page.locator("[data-wb-hard=shares]").get_attribute("aria-pressed")
    assert pressed == "true"
