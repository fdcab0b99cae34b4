"""The map in a real JupyterLab: lasso, click, keyboard, themes, and thirty thousand points."""

import pytest

pytestmark = pytest.mark.browser

WORLD = """
import numpy as np
from datasets import Dataset
from scipy.sparse import coo_array
from workbench.types import Collection, Vectors
from workbench.widgets.layout import layout
from workbench.widgets.map import map

TOPICS = ["sort list order", "http socket request", "parse json file", "matrix vector dot"]
NASTY = "<img src=x onerror='window.harm=1'><script>window.harm=2</script> **b** "
NASTY += "\\u05e9\\u05dc \\U0001f9ea"

def side(count, prefix, centres, rng):
    topic = np.arange(count) % len(TOPICS)
    values = (centres[topic] + rng.normal(size=(count, 16))).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    ids = [f"{prefix}{one}" for one in range(count)]
    texts = [f"{TOPICS[one]} number {place}" for place, one in enumerate(topic)]
    texts[0] = NASTY
    table = {"id": ids, "text": texts, "source": [f"topic {one}" for one in topic]}
    made = Vectors(values=values, ids=np.array(ids, dtype=object), encoder="drawn")
    return Dataset.from_dict(table), made

def world(asked, docs):
    rng = np.random.default_rng(0)
    centres = 2 * rng.normal(size=(len(TOPICS), 16))
    (queries, left), (corpus, right) = (
        side(count, prefix, centres, rng) for count, prefix in ((asked, "q"), (docs, "d")))
    own = np.arange(asked)
    qrels = coo_array((np.ones(asked), (own, own)), shape=(asked, docs)).tocsr()
    made = Collection(name="made", queries=queries, corpus=corpus, qrels=qrels,
                      query_groups=own, doc_groups=np.arange(docs))
    return made, (left, right)
"""
SMALL = """
collection, vectors = world(1000, 2000)
view = map(vectors, collection=collection, layout=layout(vectors, how="pca"))
view
"""
LARGE = """
collection, vectors = world(10_000, 20_000)
view = map(vectors, collection=collection, layout=layout(vectors, how="pca"), labels=4)
view
"""
DRAWN = """() => { const plot = document.querySelector('.wb-map-picture .js-plotly-plot');
  return plot && plot._fullData && plot._fullData.length === 6
    && plot._fullData[0]._length === 2000 && document.querySelector('.wb-map-side'); }"""
PLACE = """(point) => { const plot = document.querySelector('.wb-map-picture .js-plotly-plot');
  const {xaxis, yaxis} = plot._fullLayout; const box = plot.getBoundingClientRect();
  return [box.x + xaxis._offset + xaxis.d2p(point[0]),
    box.y + yaxis._offset + yaxis.d2p(point[1])]; }"""
STRAY = "a b d d m y 1 q l Space".split()
CELLS = "() => [...jupyterapp.shell.currentWidget.content.model.cells].map(c => c.type)"


def lasso(notebook, corners):
    """Drag along some corners, given in coordinates of the map."""
    mouse = notebook.page.mouse
    path = [notebook.page.evaluate(PLACE, corner) for corner in corners]
    mouse.move(*path[0])
    mouse.down()
    for x, y in path[1:]:
        mouse.move(x, y, steps=5)
    mouse.up()


def test_lasso_click_search_and_keys_on_a_plotly_map(notebook):
    notebook.tolerate("Failed to initialize model")  # anywidget's patience on a busy machine
    notebook.open([WORLD, SMALL]).run()
    notebook.until(DRAWN, again=1)
    page = notebook.page
    notebook.shot("light", selector=".wb-view")

    # A click on a query draws its lines and tells its text, literally.
    notebook.py("view.show('q0')")
    notebook.until(
        "() => document.querySelector('.wb-map-head')?.textContent.includes('q0') === true"
    )
    shown = page.locator(".wb-map-text").evaluate("one => one.textContent")
    assert shown == notebook.py("NASTY")
    assert page.evaluate("() => window.harm === undefined")
    point = notebook.py("view.points.layout.xy[7].tolist()")
    x, y = page.evaluate(PLACE, point)
    page.mouse.move(x - 30, y - 30)
    page.mouse.move(x, y)
    notebook.until("() => document.querySelector('.wb-map-over').textContent.trim()")
    page.mouse.click(x, y)
    notebook.until(
        "() => !document.querySelector('.wb-map-head')?.textContent.includes('q0') === true"
    )
    kind, lines = notebook.py(
        "[view.core.detail['kind'], [len(trace.x) for trace in view.picture.widget.data[2:5]]]"
    )
    assert notebook.py("view.shown") in page.locator(".wb-map-head").text_content()
    if kind == "query":
        assert lines[0] == 3
        assert sum(lines[1:]) >= 30
    notebook.shot("lines", selector=".wb-view")

    # A lasso is ids in Python: exactly the points inside.
    left, right, bottom, top = notebook.py(
        "[float(one) for one in np.quantile(view.points.layout.xy[:, 0], [.05, .5]).tolist()"
        " + np.quantile(view.points.layout.xy[:, 1], [.1, .9]).tolist()]"
    )
    lasso(notebook, [[left, bottom], [right, bottom], [right, top], [left, top], [left, bottom]])
    notebook.until("() => / queries and .* selected/.test("
                   "document.querySelector('.wb-map-said').textContent)")  # fmt: skip
    wrong, chosen = notebook.py(
        "(lambda xy, margin: [[i for p, i in zip(xy, view.points.ids) if "
        f"{left} + margin < p[0] < {right} - margin and {bottom} + margin < p[1] < {top} - margin"
        " and i not in set(view.ids)], len(view.ids)])(view.points.layout.xy, 0.02)"
    )
    assert wrong == []
    assert 0 < chosen < 3000
    assert notebook.py("len(view.query_ids) + len(view.doc_ids) == len(view.ids)")

    # The same without a mouse: search, select, go to an id; stray keys stay in the view.
    page.locator(".wb-map-side").focus()
    page.keyboard.press("x")
    notebook.until("() => /nothing selected/.test("
                   "document.querySelector('.wb-map-said').textContent)")  # fmt: skip
    page.keyboard.press("/")
    page.keyboard.type("socket")
    page.keyboard.press("Enter")
    notebook.until("() => /queries and 500 documents selected/.test("
                   "document.querySelector('.wb-map-said').textContent)")  # fmt: skip
    notebook.until(
        "() => { const [docs] = document.querySelector('.js-plotly-plot')._fullData;"
        " return docs.selectedpoints && docs.selectedpoints.length === 500; }"
    )
    assert notebook.py("view.query_ids[:2]") == ["q1", "q5"]
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.type("d9")
    page.keyboard.press("Enter")
    notebook.until("() => /Document d9/.test(document.querySelector('.wb-map-head')?.textContent)")
    page.locator(".wb-map-picture").focus()
    for key in STRAY:
        page.keyboard.press(key)
    assert page.evaluate(CELLS) == ["code", "code"]
    assert notebook.axe(".wb-map-side") == []
    notebook.theme("dark")
    notebook.shot("dark", selector=".wb-view")
    assert notebook.axe(".wb-map-side") == []


def test_thirty_thousand_points_on_jupyter_scatter(notebook):
    notebook.tolerate("Failed to initialize model")
    notebook.open([WORLD, LARGE]).run()
    notebook.until("() => document.querySelector('.wb-map-picture canvas')"
                   " && document.querySelector('.wb-map-side')")  # fmt: skip
    page = notebook.page
    assert notebook.py("view.backend") == "scatter"
    page.wait_for_timeout(2000)
    canvas = page.locator(".wb-map-picture canvas").first.bounding_box()
    page.locator(".wb-map-picture button").nth(1).click()  # the lasso of its toolbar
    x, y = canvas["x"] + canvas["width"] / 2, canvas["y"] + canvas["height"] / 2
    page.mouse.move(x - 150, y - 150)
    page.mouse.down()
    for across, down in ((150, -150), (150, 150), (-150, 150), (-150, -150)):
        page.mouse.move(x + across, y + down, steps=6)
    page.mouse.up()
    notebook.until("() => / queries and .* selected/.test("
                   "document.querySelector('.wb-map-said').textContent)")  # fmt: skip
    assert notebook.py("[type(view.ids[0]).__name__, 0 < len(view.ids) <= 30000]") == ["str", True]
    assert notebook.py("set(view.ids) <= set(view.points.ids)")
    notebook.py("view.show('q5')")
    notebook.until("() => /Query q5/.test(document.querySelector('.wb-map-head')?.textContent)")
    notebook.theme("dark")
    page.wait_for_timeout(1000)
    notebook.shot("dark", selector=".wb-view")
    assert notebook.py("view.picture.widget.label_shadow_color") == "#161616"
