"""Several views on one page: what a lasso takes on a map is judged in the inspector by keyboard."""

import pytest

pytestmark = pytest.mark.browser

SETUP = """
import workbench as wb
from workbench.audit.toys import toy_audit
from workbench.widgets.layout import layout
found, collection, guides, truth = toy_audit(facts=20, k=10)
inspector = wb.inspect(found, collection, store="judgments.sqlite", judge="ada", guides=guides)
made = layout(guides["toy"], how="pca")
chart = wb.map(guides["toy"], layout=made, collection=collection, candidates=found,
               backend="plotly", labels=4, inspector=inspector)
"""
READY = """() => { const plot = document.querySelector('.wb-map-picture .js-plotly-plot');
  return plot && plot._fullData && plot._fullData.length > 1 && plot._fullData[0]._length > 0
    && document.querySelector('.wb-inspect')?.dataset.wbShown !== undefined; }"""
COUNT = "document.querySelector('.wb-inspect').dataset.wbCount"
JUDGED = "() => document.querySelector('[data-wb-judged]')?.dataset.wbJudged === '{}'"


def lasso(page, left, top, right, bottom):
    """Draw round a part of the map, given in shares of its width and height."""
    box = page.locator(".wb-map-picture .nsewdrag").first.bounding_box()
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    spots = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*spots[0])
    page.mouse.down()
    for spot in spots[1:]:
        page.mouse.move(*spot, steps=8)
    page.mouse.up()


def test_from_a_lasso_to_verdicts(notebook):
    notebook.open([SETUP, "chart", "inspector", "wb.hardness_explorer(found)"]).run()
    page = notebook.page
    notebook.until(READY, again=1)
    whole = int(page.evaluate(COUNT))
    assert whole == notebook.py("len(inspector.ids)")

    page.locator(".wb-map-picture").scroll_into_view_if_needed()
    lasso(page, 0.02, 0.02, 0.6, 0.98)
    notebook.until(f"() => Number({COUNT}) < {whole}")
    queries, docs = notebook.py("[chart.query_ids, chart.doc_ids]")
    assert 0 < len(queries) < notebook.py("len(collection.query_ids)")
    shown = notebook.py("inspector.ids")
    assert shown
    assert all(query in queries and doc in docs for query, doc in shown)
    assert str(len(shown)) == page.evaluate(COUNT)
    xy = notebook.py("made.xy[[list(made.ids).index(one) for one in chart.query_ids], 0]")
    others = notebook.py("[x for one, kind, x in zip(made.ids, made.kinds, made.xy[:, 0].tolist())"
                         " if kind == 'query' and one not in chart.query_ids]")  # fmt: skip
    assert max(xy) < max(others)  # it is the left side that was drawn round

    page.locator(".wb-inspect").focus()
    first = notebook.py("inspector.current")
    page.keyboard.press("f")
    notebook.until(JUDGED.format(1))
    second = notebook.py("inspector.current")
    page.keyboard.press("n")
    notebook.until(JUDGED.format(2))
    said = notebook.py("inspector.verdicts().frame().iloc[:, :3].to_numpy()")
    assert sorted(said) == sorted([[*first, "positive"], [*second, "negative"]])
    notebook.shot("linked")

    notebook.py("chart.clear()\nprint(0)")
    notebook.until(f"() => Number({COUNT}) === {whole}")
    assert notebook.py("inspector.judged") == 2
