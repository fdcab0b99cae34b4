"""The comparison board in a real JupyterLab: choose two runs, open what got worse, read on."""

import pytest

pytestmark = pytest.mark.browser

MAKE = r"""
import os
import numpy as np
from workbench import report
from workbench.data import from_rows
from workbench.types import Candidates, Scorecard
from workbench.widgets.board import board

spite = "<script>window.bad = 1</script> <img src=x onerror='window.bad = 2'> **bold** שלום 🙂"
rows = [{"query": f"query {n} {spite}", "positive": f"document {n} {spite}"} for n in range(40)]
test = from_rows(rows, name="test")
own = np.arange(40)

def lists(first):
    docs = (first[:, None] + np.arange(10)) % 40
    return Candidates(
        query_ids=test.query_ids, doc_ids=test.doc_ids, docs=docs,
        scores=np.tile(np.linspace(1, 0, 10, dtype=np.float32), (40, 1)),
        ranks=np.tile(np.arange(1, 11, dtype=np.int32), (40, 1)),
        weight=np.ones(docs.shape, np.float32), positive_scores=np.ones(40, np.float32), miner="m",
    )

rng = np.random.default_rng(0)
for n, name in enumerate(("plain", "guided", "deeper")):
    os.environ["WORKBENCH_RUN"] = f"runs/{name}"
    values = {"RR@10": np.full(40, 0.5) if n == 0 else np.clip(rng.normal(0.55, 0.3, 40), 0, 1)}
    report.report(
        metric="RR@10", zero_shot=0.4, trained=0.5, headroom_recovered=None, seconds=10.0 * n,
        difference={"mean": 0.1, "low": 0.0, "high": 0.2}, seed=0, fingerprints={},
        parameters={"margin": 0.1 * n, "rule": name, "loss": "info_nce"},
        card=Scorecard(name=name, query_ids=test.query_ids, values=values), top=lists(own + 3 * n),
    )
os.makedirs("runs/half", exist_ok=True)
open("runs/half/result.json", "w").write('{"metric": "RR')
view = board("runs", collection=test, baseline="plain")
view
"""


def test_two_runs_are_chosen_and_a_worse_query_is_read(notebook):
    notebook.open([MAKE]).run()
    page = notebook.page
    row = lambda name: page.locator(f".wb-board-table tbody tr:has(strong:text-is('{name}'))")  # noqa: E731
    row("plain").wait_for()
    assert "not JSON" in row("half").inner_text()
    assert notebook.py("view.chosen")[0] == "plain"

    page.get_by_role("button", name="A: guided").click()
    page.get_by_role("button", name="B: deeper").click()
    notebook.until(
        "() => document.querySelector('.wb-board-words').textContent.includes('deeper - guided')"
    )
    assert notebook.py("view.chosen") == ["guided", "deeper"]
    words = page.inner_text(".wb-board-words")
    assert words == notebook.py("str(view.pair.comparison)"), "the interval is Python's"
    assert (
        row("deeper").get_by_role("button", name="B: deeper").get_attribute("aria-pressed")
        == "true"
    )

    worse = notebook.py("view.worse")
    buttons = page.locator(".wb-board-worse button")
    assert buttons.count() == len(worse) > 2
    buttons.nth(1).click()
    notebook.until(
        f"() => document.querySelector('.wb-board-query').textContent.startsWith({worse[1]!r})"
    )
    assert notebook.py("view.query") == worse[1]
    page.keyboard.press("j")
    notebook.until(
        f"() => document.querySelector('.wb-board-query').textContent.startsWith({worse[2]!r})"
    )
    assert notebook.py("view.query") == worse[2]
    sides = page.locator(".wb-board-sides > div")
    assert sides.count() == 2
    assert sides.first.locator("li").count() == 10
    spite = notebook.py("spite")
    assert spite in sides.first.locator(".wb-board-doc").first.inner_text(), "text, not markup"
    assert notebook.page.evaluate("window.bad === undefined")
    assert page.locator(".wb-board script, .wb-board img").count() == 0

    box = page.locator(".wb-board-curve").bounding_box()
    page.mouse.click(box["x"] + 0.85 * box["width"], box["y"] + box["height"] / 2)
    notebook.until(
        f"() => !document.querySelector('.wb-board-query').textContent.startsWith({worse[2]!r})"
    )
    assert notebook.py("view.query") not in worse, "the right end of the curve is what got better"
    assert notebook.axe() == []
    page.set_viewport_size({"width": 1400, "height": 2400})
    notebook.shot("light", selector=".wb-board")
    notebook.theme("dark")
    notebook.shot("dark", selector=".wb-board")
    assert notebook.axe() == []


def test_the_table_is_sorted_and_chosen_from_by_keyboard(notebook):
    notebook.open([MAKE]).run()
    page = notebook.page
    page.locator(".wb-board-table tbody tr").first.wait_for()
    names = ".wb-board-table tbody td strong"
    page.get_by_role("button", name="seconds").focus()
    page.keyboard.press("Enter")
    assert page.locator(names).all_inner_texts() == ["deeper", "guided", "plain", "half"]
    page.keyboard.press("Enter")
    assert page.locator(names).all_inner_texts() == ["plain", "guided", "deeper", "half"]
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("seconds")
    cells = page.locator(".jp-Notebook .jp-Cell").count()
    page.focus(".wb-board")
    for key in "xdd":  # unmapped: they would cut and delete cells
        page.keyboard.press(key)
    page.keyboard.press("j")  # plain
    page.keyboard.press("b")
    notebook.until(
        "() => document.querySelector('.wb-board-words').textContent.includes('plain - ')"
    )
    page.keyboard.press("j")
    page.keyboard.press("a")
    notebook.until(
        "() => document.querySelector('.wb-board-words').textContent.includes('plain - guided')"
    )
    assert notebook.py("view.chosen") == ["guided", "plain"]
    page.keyboard.press("w")
    assert page.evaluate("document.activeElement.closest('.wb-board-worse') !== null")
    assert page.locator(".jp-Notebook .jp-Cell").count() == cells
    assert notebook.save().path.read_text(encoding="utf-8").count("Board(4 runs, RR@10") == 1
