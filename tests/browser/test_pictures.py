"""The pictures in docs: made here, and written to docs/pictures/ when asked.

WORKBENCH_WRITE_PICTURES=1 python -m pytest tests/browser/test_pictures.py
"""

import os
import shutil

import pytest
from jupyter_page import ROOT
from PIL import Image

pytestmark = pytest.mark.browser

FOLDER = ROOT / "docs" / "pictures"
WRITE = bool(os.environ.get("WORKBENCH_WRITE_PICTURES"))
MOST_BYTES = 250_000
COLOURS = 128
DATA = str(ROOT / "data")
# 400 functions of transformers, half of which stand there more than once.
COLLECTION = f"""
import tempfile
from workbench import audit, data, mine
from workbench.encode import Encoder, VectorCache, encode_collection
given, truth = data.copied_functions(copied=200, others=200, folder={DATA!r})
kept = VectorCache({DATA + "/vectors"!r})
guide = encode_collection(Encoder.load(max_length=64), given, cache=kept, progress=False)
found = mine.dense(given, *guide, k=20)
"""
INSPECTOR = """
import numpy as np
import workbench as wb
from workbench.data import KnownPositives
from workbench.rules import Margin, ShareOfPositive
suspects = audit.suspicion(found, given, guides={"minilm": guide})
view = wb.inspect(suspects, given, draw=audit.draw(suspects, 60, seed=0), rules=[ShareOfPositive()],
                  slider=(Margin(margin=0.0), "margin"), judge="ada", store="judgments.sqlite")
rows = np.arange(len(found.docs))
hidden = set(view.desk.queue.items([
    (found.query_ids[row], found.doc_ids[found.docs[row, column]])
    for row, column in np.argwhere(KnownPositives.of(truth).paired(rows, found.docs))]).tolist())
for _ in range(40):
    item = int(view.desk.shown[view.position])
    view.judge("positive" if item in hidden else "negative")
while int(view.desk.shown[view.position]) not in hidden:
    view.move(1)
view
"""
SIDES = f"""
import workbench as wb
from workbench import data, sample, train
from workbench.encode import encode_collection, scratch
from workbench.losses import InfoNCE
from workbench.widgets.layout import layout
pairs, _ = data.small_collections(pairs=700, folder={DATA!r})
encoder = scratch([*pairs.doc_texts, *pairs.query_texts], dim=128)
before = encode_collection(encoder, pairs, progress=False)
train.fit(encoder, pairs, sample.Shuffled(pairs.pairs, batch_size=64),
          train.Contrast(loss=InfoNCE(temperature=0.05)), knowledge=train.Knowledge.of(pairs),
          recipe=train.Recipe(epochs=8, learning_rate=0.01)).finish(progress=False)
after = encode_collection(encoder, pairs, progress=False)
"""
UMAP = """
first = layout(before, progress=False)
second = layout(after, start=first, progress=False)
"""
PCA = "first, second = (layout(one, how='pca') for one in (before, after))"  # compiles nothing
MAPS = """
maps = wb.side_by_side(before, after, collection=pairs, layouts=(first, second), labels=6)
maps
"""


def keep(notebook, name, selector):
    """Save the picture; write it to docs when asked."""
    path = notebook.shot(name, selector=selector)
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    assert path.stat().st_size < MOST_BYTES
    assert small.width >= 1_000
    assert len(set(small.getcolors())) > 20  # a blank page has a handful
    if WRITE:
        FOLDER.mkdir(exist_ok=True)
        shutil.copyfile(path, FOLDER / f"{name}.png")


def wide(notebook):
    """Room for the view: no side bar, 1,200 pixels."""
    notebook.page.set_viewport_size({"width": 1360, "height": 1100})
    notebook.page.evaluate("() => jupyterapp.shell.collapseLeft()")


def test_the_inspector(notebook):
    notebook.open([COLLECTION, INSPECTOR])
    wide(notebook)
    notebook.run(seconds=280)
    notebook.until("() => document.querySelector('.wb-inspect')?.dataset.wbShown")
    listed = "document.querySelector('.wb-item[aria-selected=true] .wb-head')?.textContent"
    estimated = "document.querySelector('[data-wb-estimate]').textContent"
    notebook.until(f"() => {listed}?.length > 3 && {estimated}.includes('judged')")
    keep(notebook, "inspector", ".wb-inspect")


def test_two_maps_side_by_side(notebook):
    notebook.open([SIDES, UMAP if WRITE else PCA, MAPS])
    wide(notebook)
    notebook.run(seconds=280)
    drawn = "[...document.querySelectorAll('.wb-map-picture .js-plotly-plot')]"
    full = "one._fullData && one._fullData[0]._length === 700"
    notebook.until(f"() => {drawn}.length === 2 && {drawn}.every(one => {full})", again=2)
    notebook.page.wait_for_timeout(2_000)  # labels and resizing
    keep(notebook, "maps", ".wb-view")
