"""The inspector in a real browser: judge by keyboard, undo, restart, slide, and nothing escapes."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser

SETUP = """
import numpy as np
from workbench.audit import Draw
from workbench.data import from_rows
from workbench.types import Candidates, LossStore
from workbench.widgets.inspector import inspect

HOSTILE = ("<script>window.broken = 1</script> <img src=x onerror='window.broken = 1'> "
           "**bold** [link](javascript:window.broken=1) $x^2$ "
           "\\u05e9\\u05dc\\u05d5\\u05dd \\U0001F40D")
COUNT, K = 24, 6
rows = [{"query": f"how to add {n} {HOSTILE}", "positive": f"def add{n}(a, b):\\n    return a + b",
         "query_id": f"q{n}", "positive_id": f"d{n}"} for n in range(COUNT)]
rows += [{"query": "what is shared", "positive": f"shared words of {n} {HOSTILE} " + "long " * 1500,
          "query_id": "last", "positive_id": f"d{n}"} for n in range(COUNT, COUNT + 2)]
collection = from_rows(rows, name="toy")
rng = np.random.default_rng(0)
wide = len(collection.doc_ids)
docs = np.stack([(n + (2 if n == COUNT else 1) + np.arange(K)) % wide
                 for n in range(len(collection.query_ids))])
scores = np.sort(rng.random(docs.shape).astype(np.float32))[:, ::-1].copy()
found = Candidates(
    query_ids=collection.query_ids, doc_ids=collection.doc_ids, docs=docs.astype(np.int64),
    scores=scores, ranks=np.tile(np.arange(1, K + 1, dtype=np.int32), (len(docs), 1)),
    weight=np.ones_like(scores), positive_scores=np.full(len(docs), 0.5, np.float32), miner="toy")
losses = LossStore(values=rng.random((len(collection.pairs), 3)).astype(np.float32))
empty = np.empty(0, dtype=object)
pairs = [(q, d) for q, row in zip(collection.query_ids, collection.doc_ids[docs]) for d in row[:2]]
drawn = Draw(
    query_ids=np.array([q for q, _ in pairs], dtype=object),
    doc_ids=np.array([d for _, d in pairs], dtype=object),
    strata=np.zeros(len(pairs), np.int64), sizes=np.array([docs.size]), expected=np.array([0.2]),
    population=docs.size, earlier_query_ids=empty, earlier_doc_ids=empty)
view = inspect(found, collection, store="judgments.sqlite", draw=drawn, losses=losses, judge="me")
"""
REFUSE = """
from workbench.errors import BadData
def refuse(*_, **__):
    raise BadData("judgments.sqlite", ["the disk is full"], "Make room.")
view.desk.store.judge = refuse
"""
PART = ".wb-inspect"
SHOWN = f"() => document.querySelector('{PART}')?.dataset.wbShown !== undefined"
JUDGED = "() => document.querySelector('[data-wb-judged]')?.dataset.wbJudged === '{}'"
CELLS = """() => jupyterapp.shell.currentWidget.content.model.cells.length + ' '
  + [...jupyterapp.shell.currentWidget.content.model.cells].map(c => c.type).join(' ')"""


@pytest.fixture
def page(notebook):
    notebook.open([SETUP, "view"]).run()
    notebook.until(SHOWN)
    notebook.page.locator(PART).focus()
    return notebook.page


def press(page, key):
    """One key, and the next item on the screen."""
    before = page.locator(PART).get_attribute("data-wb-shown")
    page.keyboard.press(key)
    page.wait_for_function(
        "([part, before]) => { const now = document.querySelector(part).dataset.wbShown;"
        " return now !== undefined && now !== before; }",
        arg=[PART, before],
    )


def test_twenty_judged_two_undone_eighteen_there_after_a_restart(notebook, page):
    first = page.locator("[data-wb-text=candidate]").text_content()
    keys = "ffnnnusnnf" * 2
    for key in keys:
        press(page, key)
    notebook.until(JUDGED.format(20))
    for left in (19, 18):
        page.keyboard.press("z")
        notebook.until(JUDGED.format(left))
    assert notebook.py("view.judged") == 18
    said = {"f": "positive", "n": "negative", "u": "unsure", "s": "skip"}
    expected = [[*pair, said[key]] for pair, key in
                zip(notebook.py("pairs[:18]"), keys, strict=False)]  # fmt: skip
    told = "sorted([list(p) + [l] for p, l in view.verdicts().newest().items()])"
    assert notebook.py(told) == sorted(expected)
    notebook.until("() => document.querySelector('.wb-bar').hidden === false")
    assert notebook.py("str(view.estimate())") in page.locator("[data-wb-estimate]").text_content()
    notebook.shot("judged", selector=PART)

    notebook.restart().run()
    notebook.until(JUDGED.format(18))
    assert notebook.py("[view.judged, view.position, view.current == pairs[18]]") == [18, 18, True]
    page.locator(PART).focus()
    page.keyboard.press("Home")
    notebook.until(
        f"() => document.querySelector('{PART}').dataset.wbShown !== undefined"
        " && document.querySelector('[data-wb-label]').dataset.wbLabel === 'positive'"
    )
    assert page.locator("[data-wb-text=candidate]").text_content() == first
    page.keyboard.press("z")  # undo goes on behind the restart
    notebook.until(JUDGED.format(17))


def test_slider_filters_and_brush(notebook, page):
    counted = "() => document.querySelector('.wb-rules').dataset.wbCounted"
    row = page.locator("[data-wb-rule='Margin (margin moves)']")
    notebook.until("() => document.querySelector('[data-wb-rules] tbody tr') !== null")
    before = int(row.get_attribute("data-wb-dropped"))
    page.locator("[data-wb-slider]").focus()
    page.keyboard.press("End")
    notebook.until(f"{counted} !== undefined")
    page.wait_for_function("before => Number(document.querySelector("
                           "'[data-wb-rule]').dataset.wbDropped) > before", arg=before)  # fmt: skip
    rows = notebook.py("view.rules().dropped.tolist()")
    assert int(row.get_attribute("data-wb-dropped")) == rows[0] > before
    assert notebook.py("view.margin") == float(page.evaluate(counted))

    page.locator(PART).focus()
    page.keyboard.press("/")
    page.keyboard.type("shared words")
    page.keyboard.press("Enter")
    notebook.until(f"() => document.querySelector('{PART}').dataset.wbCount === '11'")
    assert notebook.py("[len(view.ids), view.desk.filters.text]") == [11, "shared words"]
    page.locator("[data-wb-filters] summary").click()
    page.locator("[data-wb-filters] [data-wb-everything]").click()
    whole = notebook.py("len(view.desk.queue)")
    notebook.until(f"() => document.querySelector('{PART}').dataset.wbCount === '{whole}'")

    page.get_by_text("Training dynamics").click()
    notebook.until("() => document.querySelector('.wb-dynamics').dataset.wbPoints === '26'")
    box = page.locator(".wb-dynamics").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 40)
    page.mouse.up()
    notebook.until("() => !document.querySelector('[data-wb-narrowed]').hidden")
    ends = [float(one.input_value()) for one in page.locator("[data-wb-brush]").all()]
    wanted = notebook.py(f"view.desk.brushed({tuple(ends[:2])}, {tuple(ends[2:])})")
    assert 0 < len(wanted) < 25
    assert sorted(set(notebook.py("[q for q, _ in view.ids]"))) == sorted(wanted)


def test_texts_are_text_and_keys_stay_inside(notebook, page):
    cells = page.evaluate(CELLS)
    for key in "abxddmhlrtyc1":
        page.keyboard.press(key)
    assert page.evaluate(CELLS) == cells
    assert page.evaluate(f"document.activeElement.matches('{PART}')")
    page.evaluate(
        f"document.querySelector('{PART}').dispatchEvent(new KeyboardEvent("
        "'keydown', {key: 'f', repeat: true, bubbles: true}))"
    )  # a key held down judges nothing
    assert notebook.py("view.judged") == 0
    notebook.py("view.only(query_ids=['last'])")
    notebook.until(f"() => document.querySelector('{PART}').dataset.wbCount === '6'")
    notebook.py("view.filter(); view.only(doc_ids=['d24'])")
    notebook.until("() => document.querySelector('[data-wb-text=candidate]')"
                   "?.textContent.startsWith('shared words of 24')")  # fmt: skip
    text = notebook.py(
        "next(t for t in collection.doc_texts if t.startswith('shared words of 24'))"
    )
    shown = page.locator("[data-wb-text=candidate]").text_content()
    assert shown == text[:4000]
    page.get_by_text(f"Show all {len(text):,} characters").click()
    notebook.until("() => document.querySelector('[data-wb-text=candidate]').textContent.length"
                   " > 6000")  # fmt: skip
    assert page.locator("[data-wb-text=candidate]").text_content() == text
    assert page.locator("[data-wb-text=query]").text_content().count("<script>") == 1
    assert page.locator(f"{PART} script, {PART} img, {PART} .wb-text a").count() == 0
    assert page.evaluate("window.broken") is None


def test_both_themes_read_well_groups_and_refusals(notebook, page):
    for key in "fn":
        press(page, key)
    page.keyboard.press("?")
    assert notebook.axe(".wb-view") == []
    notebook.theme("dark")
    assert notebook.axe(".wb-view") == []
    notebook.shot("dark", selector=PART)
    page.locator(PART).focus()
    page.keyboard.press("g")
    notebook.until("() => document.querySelector('[data-wb-group]')?.dataset.wbGroup === '1'")
    page.keyboard.press("n")
    notebook.until(JUDGED.format(3))
    page.keyboard.press("z")
    notebook.until(JUDGED.format(2))
    notebook.theme("light")

    notebook.py(REFUSE)
    page.locator(PART).focus()
    page.keyboard.press("f")  # the next item is shown at once, and the refusal follows
    page.locator("[data-wb-error]", has_text="the disk is full").wait_for()
    assert notebook.py("view.judged") == 2
    assert page.locator("[data-wb-place='2'] .wb-said").text_content() == "·"
    notebook.py("view.desk.store.__dict__.pop('judge') and None")
    page.keyboard.press("Home")
    page.keyboard.press("j")
    page.keyboard.press("j")
    press(page, "f")
    notebook.until(JUDGED.format(3))
    assert page.locator("[data-wb-error]").text_content() == ""
