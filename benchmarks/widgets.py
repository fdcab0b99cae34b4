"""How fast the views answer in a real browser, beside plotly and ready-made grids; what UMAP costs.

    python benchmarks/widgets.py [--quick]

Times are taken inside the page: a key or slider event to the first frame that shows the answer, and
the command that runs a cell to the first frame with its content. `key` moves to the next candidate
of a queue (and judges, which Python writes to a database); `slider` moves a rule's margin over all
mined negatives, counted anew in Python; both are medians. The kernel, JupyterLab and the browser
share this machine, without a GPU. UMAP is CPU seconds; compiling is left out for both.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
BROWSER = ROOT / "tests" / "browser"
MINE = f"import sys; sys.path.insert(0, {str(ROOT / 'benchmarks')!r}); import widgets"
FULL = {"rows": 100_000, "negatives": 1_000_000, "points": 100_000, "keys": 60, "umap": 50_000}
QUICK = {"rows": 4_000, "negatives": 20_000, "points": 4_000, "keys": 8, "umap": 1_500}
REPEATS = 3
ENDS = ("", "_by_itself")


def texts(count, *, seed):
    """Texts of 8 to 20 made-up words."""
    rng = np.random.default_rng(seed)
    words = np.array([f"w{number:x}" for number in range(5_000)])
    lengths = rng.integers(8, 21, count)
    drawn = words[rng.integers(0, len(words), lengths.sum())]
    ends = np.cumsum(lengths)[:-1]
    return [" ".join(one) for one in np.split(drawn, ends)]


def mined(total, *, depth=100):
    """(candidates, collection) of that many mined negatives."""
    from datasets import Dataset
    from scipy import sparse

    from workbench.types import Candidates, Collection

    rng = np.random.default_rng(0)
    queries, docs = total // depth, max(2 * depth, total // 25)

    def side(name, count, seed):
        ids = [f"{name}{place}" for place in range(count)]
        told = {"id": ids, "text": texts(count, seed=seed), "source": ["made"] * count}
        return Dataset.from_dict(told)

    first = rng.integers(0, docs, queries)
    found = (first[:, None] + rng.permutation(docs - 1)[:depth] + 1) % docs
    ones = np.ones(queries, dtype=np.float32)
    collection = Collection(
        name="benchmark",
        queries=side("q", queries, 1),
        corpus=side("d", docs, 2),
        qrels=sparse.csr_array((ones, (np.arange(queries), first)), shape=(queries, docs)),
        query_groups=np.arange(queries),
        doc_groups=np.arange(docs),
    )
    scores = -np.sort(-rng.uniform(0.2, 0.9, found.shape)).astype(np.float32)
    candidates = Candidates(
        query_ids=collection.query_ids,
        doc_ids=collection.doc_ids,
        docs=found,
        scores=scores,
        ranks=np.tile(np.arange(1, depth + 1, dtype=np.int32), (queries, 1)),
        weight=np.ones_like(scores),
        positive_scores=rng.uniform(0.5, 0.9, queries).astype(np.float32),
        miner="drawn",
    )
    return candidates, collection


def grid(rows):
    """What a ready-made grid is given: five columns, three of them texts."""
    import pandas as pd

    rng = np.random.default_rng(0)
    columns = {name: texts(rows, seed=seed) for seed, name in enumerate(("asked", "good", "bad"))}
    score = rng.uniform(size=rows).astype(np.float32)
    return pd.DataFrame({"id": np.arange(rows), **columns, "score": score})


def points(count):
    """(count, 2) coordinates of 30 clusters."""
    rng = np.random.default_rng(0)
    centres = rng.normal(scale=4, size=(30, 2))
    return (centres[rng.integers(0, 30, count)] + rng.normal(size=(count, 2))).astype(np.float32)


def clustered(count, *, dim=384):
    """Unit vectors in 50 clusters of different width."""
    from workbench.types import Vectors

    rng = np.random.default_rng(0)
    own = rng.integers(0, 50, count)
    centres = rng.normal(size=(50, dim))
    values = centres[own] + rng.uniform(0.5, 1.5, 50)[own, None] * rng.normal(size=(count, dim))
    values = values / np.linalg.norm(values, axis=1, keepdims=True)
    ids = np.array([f"d{place}" for place in range(count)], dtype=object)
    return Vectors(values=values.astype(np.float32), ids=ids, encoder="drawn")


# In the page: bytes that the server sent, and a clock that stops when a condition holds in a frame.
COUNT_BYTES = """
window.wbBytes = 0;
const Plain = window.WebSocket;
window.WebSocket = class extends Plain {
  constructor(...given) {
    super(...given);
    this.addEventListener('message', ({ data }) => {
      window.wbBytes += data.byteLength ?? data.size ?? data.length;
    });
  }
};
// (canvas, pixels) of every canvas of some size, shrunk.
const pixels = (root) => [...root.querySelectorAll('canvas')].filter(
  (canvas) => canvas.width > 200 && canvas.height > 100).map((canvas) => {
  const small = new OffscreenCanvas(64, 64).getContext('2d');
  small.drawImage(canvas, 0, 0, 64, 64);
  return small.getImageData(0, 0, 64, 64).data;
});
// Something is written: many different pixels.
window.wbWritten = (root) => pixels(root).some(
  (data) => new Set(new Uint32Array(data.buffer)).size > 8);
// Points are drawn: many pixels have a colour that is no grey.
window.wbDrawn = (root) => pixels(root).some((data) => {
  let count = 0;
  for (let at = 0; at < data.length; at += 4) {
    const [red, green, blue, alpha] = data.subarray(at, at + 4);
    if (alpha > 0 && Math.max(red, green, blue) - Math.min(red, green, blue) > 25) count += 1;
  }
  return count > 40;
});
"""
TIMED_CELL = """async ([place, seconds]) => {
  const book = jupyterapp.shell.currentWidget.content;
  const done = CONDITION;
  book.activeCellIndex = place;
  book.activeCell.node.scrollIntoView();
  const bytes = window.wbBytes;
  const begin = performance.now();
  void jupyterapp.commands.execute('notebook:run-cell');
  while (performance.now() - begin < 1000 * seconds) {
    await new Promise(requestAnimationFrame);
    const out = book.widgets[place].node.querySelector('.jp-OutputArea');
    if (out && done(out)) {
      const took = performance.now() - begin;
      return { seconds: took / 1000, megabytes: (window.wbBytes - bytes) / 1e6 };
    }
  }
  return null;
}"""
# From an event to the first frame after a value in the page changed.
WATCH = """() => {
  const value = VALUE;
  window.wbTimes = [];
  let begun = null;
  let before;
  const onEvent = (event) => { begun = event.timeStamp; before = value(); };
  window.addEventListener(EVENT, onEvent, true);
  const seen = new MutationObserver(() => {
    const now = value();
    if (begun === null || now === undefined || now === before) return;
    const from = begun;
    begun = null;
    requestAnimationFrame(() => setTimeout(() => window.wbTimes.push(performance.now() - from)));
  });
  seen.observe(document.body, { subtree: true, childList: true, attributes: true });
  window.wbStop = () => { seen.disconnect(); window.removeEventListener(EVENT, onEvent, true); };
}"""
ITEM = "() => document.querySelector('.wb-inspect').dataset.wbShown"
COUNTED = "() => document.querySelector('.wb-rules').dataset.wbCounted"
LISTED = """(out) => out.querySelector('[data-wb-shown]')
  && (out.querySelector('.wb-item .wb-head') || {}).textContent.length > 3"""
PAINTED = """() => { const row = document.querySelector('.wb-item[aria-selected="true"] .wb-head');
  return row && row.textContent.length > 3 ? row.parentNode.dataset.wbPlace : undefined; }"""
INSPECT = """import tempfile
from workbench.rules import Margin
from workbench.widgets.inspector import inspect
{name} = inspect(*widgets.mined({count}), store=f"{{tempfile.mkdtemp()}}/a.sqlite", judge="me",
               slider=(Margin(margin=0.0), "margin"))"""
MAP = """from workbench.widgets.map import map
made, vectors = widgets.laid_out({count})
_ = map(vectors, layout=made, backend="scatter")  # imports what it draws with"""
MAP_SHOWN = 'map(vectors, layout=made, backend="scatter")  # what it takes from 20,000 on'
PLOTLY = """from plotly.graph_objects import FigureWidget, Scattergl
xy = widgets.points({count})"""
PLOTLY_SHOWN = """FigureWidget([Scattergl(x=xy[:, 0], y=xy[:, 1], mode="markers",
    marker={"size": 3, "color": xy[:, 0]})], layout={"height": 520})"""
DRAWN = "(out) => window.wbDrawn(out)"
WRITTEN = "(out) => window.wbWritten(out)"
ROWS = "(out) => [...out.querySelectorAll('td')].some((one) => /^w/.test(one.textContent))"
# name -> (cell that prepares, cell that shows, when it is there)
GRIDS = {
    "itables, nothing left out": ("import itables", "itables.show(frame, maxBytes=0)", ROWS),
    "ipydatagrid": ("from ipydatagrid import DataGrid", "DataGrid(frame)", WRITTEN),
}


def row(name, *figures):
    """One line of a table."""
    print(f"{name:<44}" + "".join(f"{figure:>12}" for figure in figures), flush=True)


def shown(found):
    """Seconds and megabytes of `timed` as words."""
    if found is None:
        return "never", "-"
    return f"{found['seconds']:.2f}", f"{found['megabytes']:.2f}"


class Page:
    """The benchmark's notebook: cells are run by what they hold, one at a time.

    Args:
        book: the notebook, open.
        cells: its sources.
    """

    def __init__(self, book, cells):
        self.book, self.cells = book.open(cells), cells

    def run(self, cell):
        """Run a cell and wait for it."""
        self.book.cell(self.cells.index(cell), seconds=300)

    def timed(self, cell, condition, *, seconds=120):
        """Seconds and megabytes from the command to a condition on the output; None = never.

        Tried twice: a plotly figure sometimes stays blank.
        """
        script = TIMED_CELL.replace("CONDITION", condition)
        given = [self.cells.index(cell), seconds]
        return self.book.page.evaluate(script, given) or self.book.page.evaluate(script, given)

    def pressed(self, keys, *, event, value):
        """(median, 95th percentile) of milliseconds from each key's event to a value's change."""
        page = self.book.page
        page.evaluate(WATCH.replace("VALUE", value).replace("EVENT", json.dumps(event)))
        for place, key in enumerate(keys):
            page.keyboard.press(key)
            page.wait_for_function(f"() => window.wbTimes.length > {place}", polling=50)
            page.wait_for_timeout(150)  # nobody reads a text faster
        times = page.evaluate("() => { window.wbStop(); return window.wbTimes; }")
        return float(np.median(times)), float(np.quantile(times, 0.95))

    def clear(self):
        """Take away what is shown, in the page and in the kernel."""
        command = "notebook:clear-all-cell-outputs"
        self.book.page.evaluate(f"() => jupyterapp.commands.execute('{command}')")
        self.book.py("__import__('ipywidgets').Widget.close_all()\nprint(0)")


def browsed(context, lab, sizes):
    """Print the tables of all that is measured in a browser; the figures."""
    from jupyter_page import Notebook

    rows, negatives, count = sizes["rows"], sizes["negatives"], sizes["points"]
    queue = INSPECT.format(count=rows, name="view")
    many = INSPECT.format(count=negatives, name="large")
    maps, plotly = MAP.format(count=count), PLOTLY.format(count=count)
    shows = ["view", "large", MAP_SHOWN, PLOTLY_SHOWN]
    frame = f"frame = widgets.grid({rows})"
    ready = [cell for imports, show, _ in GRIDS.values() for cell in (f"{imports}; {frame}", show)]
    book = Notebook(lab=lab, context=context, name="benchmark")
    page = Page(book, [MINE, queue, many, maps, plotly, *shows, *ready])
    page.run(MINE)

    row("display to first rows", "rows", "s", "MB")
    page.run(queue)
    first = page.timed("view", LISTED)
    row("  our queue", f"{rows:,}", *shown(first))
    figures = {"list_s": first["seconds"], "list_mb": first["megabytes"]}
    book.page.locator(".wb-inspect").focus()
    judging = ["f", "n"] * (sizes["keys"] // 2)
    figures["key_ms"], figures["key_p95_ms"] = page.pressed(judging, event="keydown", value=ITEM)
    figures["jump_ms"], _ = page.pressed(["End", "Home"] * 3, event="keydown", value=PAINTED)
    if book.py("view.judged") != len(judging):
        raise RuntimeError("a key did not reach Python")
    page.clear()
    for place, (name, (_, show, condition)) in enumerate(GRIDS.items()):
        page.run(ready[2 * place])
        found = page.timed(show, condition)
        row(f"  {name}", f"{rows:,}", *shown(found))
        if found:
            figures[f"{name.split(',')[0]}_s"] = found["seconds"]
            figures[f"{name.split(',')[0]}_mb"] = found["megabytes"]
        page.clear()

    page.run(many)
    page.run("large")
    book.page.locator("[data-wb-slider]").focus()
    book.page.wait_for_timeout(1_000)  # what a new view asks by itself is answered by then
    steps = ["ArrowRight", "ArrowLeft", "ArrowRight"] * max(2, sizes["keys"] // 6)
    figures["slider_ms"], figures["slider_p95_ms"] = page.pressed(
        steps, event="input", value=COUNTED
    )
    page.clear()
    row("\nevent to answer", "of", "median ms", "p95 ms")
    for name, key, total in (
        ("key to next candidate", "key", rows),
        ("slider to new counts", "slider", negatives),
    ):
        times = (f"{figures[f'{key}{end}_ms']:.0f}" for end in ("", "_p95"))
        row(f"  {name}", f"{total:,}", *times)
    row("  End key to the last row", f"{rows:,}", f"{figures['jump_ms']:.0f}")

    row("\ndisplay to drawn", "points", "s", "MB")
    page.run(maps)
    page.run(plotly)
    peers = {"map_100k": MAP_SHOWN, "plotly_100k": PLOTLY_SHOWN}
    times = {key: [] for key in peers}
    for _ in range(1 if sizes is QUICK else REPEATS):
        for key, show in peers.items():
            times[key].append(page.timed(show, DRAWN))
            page.clear()
    for name, (key, found) in zip(("our map", "plotly scattergl"), times.items(), strict=True):
        drawn = sorted((one for one in found if one), key=lambda one: one["seconds"])
        middle = drawn[len(drawn) // 2] if drawn else None
        row(f"  {name}", f"{count:,}", *shown(middle))
        if middle:
            figures |= {f"{key}_s": middle["seconds"], f"{key}_mb": middle["megabytes"]}
    book.close()
    return figures


def laid_out(count):
    """(Layout, Vectors) of drawn points: what a map is given once its coordinates exist."""
    from workbench.types import Vectors
    from workbench.widgets.layout import Layout

    xy = points(count)
    ids = np.array([f"d{place}" for place in range(count)], dtype=object)
    made = Layout(ids=ids, kinds=np.full(count, "doc", dtype=object), xy=xy)
    return made, Vectors(values=xy, ids=ids, encoder="drawn")


def layouts(sizes):
    """CPU seconds and trustworthiness of our layout and of umap-learn's default."""
    import warnings

    from sklearn.manifold import trustworthiness
    from umap import UMAP

    from workbench.mine import top_k
    from workbench.widgets.layout import layout

    def searched(some):  # what the miner has found before anybody wants a map
        scores, places = top_k(some.values, some.values, k=15)
        return places, np.sqrt(np.maximum(0, 2 - 2 * scores)).astype(np.float32)

    def reused(some):
        return layout(some, neighbours=known[len(some.ids)], progress=False).xy

    warnings.simplefilter("ignore")
    count = sizes["umap"]
    vectors, warm = clustered(count), clustered(5_000 if count > 5_000 else 200)
    known = {len(some.ids): searched(some) for some in (vectors, warm)}
    ways = {
        "umap-learn's default": lambda some: UMAP().fit_transform(some.values),
        "ours, neighbours of the miner's search": reused,
        "ours, searching by itself": lambda some: layout(some, progress=False).xy,
    }
    chosen = np.random.default_rng(0).permutation(count)[:5_000]
    row("\nUMAP, 384 numbers", "points", "CPU s", "wall s", "trust")
    costs, trusts = [], []
    for name, way in ways.items():
        way(warm)
        cpu, wall = time.process_time(), time.perf_counter()
        xy = way(vectors)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        trust = trustworthiness(vectors.values[chosen], xy[chosen], n_neighbors=15)
        costs.append(cpu)
        trusts.append(trust)
        row(f"  {name}", f"{count:,}", f"{cpu:.1f}", f"{wall:.1f}", f"{trust:.4f}")
    found = {f"umap_ratio{end}": costs[0] / one for end, one in zip(ENDS, costs[1:], strict=True)}
    return found | {"trustworthiness_difference": trusts[1] - trusts[0]}


def main():
    """Print the tables and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, a minute or two")
    sizes = QUICK if parser.parse_args().quick else FULL
    sys.path.insert(0, str(BROWSER))
    from lab_browser import browser, lab_server

    with browser() as context, lab_server() as lab:
        context.add_init_script(COUNT_BYTES)
        figures = browsed(context, lab, sizes)
    figures |= layouts(sizes)
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
