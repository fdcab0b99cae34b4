"""The map without a browser: what it knows, what its messages do, and what it leaves behind."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from workbench.audit.evidence import Evidence
from workbench.audit.suspicion import Suspicion
from workbench.errors import BadArgument, BadData
from workbench.types import Candidates, LossStore, Vectors
from workbench.widgets.layout import Layout, layout
from workbench.widgets.map import map, side_by_side
from workbench.widgets.map_points import points_of

ASKED, DOCS = 6, 12
NASTY = "<script>alert(1)</script> **bold** שלום 🧪"


@pytest.fixture
def world(collection_of, rng):
    """Six queries in three groups, two documents each; q0's text is nasty."""
    grades = {(one, 2 * one): 1.0 for one in range(ASKED)}
    made = collection_of(
        grades, queries=ASKED, docs=DOCS,
        query_texts=[NASTY, *(f"Ask about topic {one % 3}" for one in range(1, ASKED))],
        doc_texts=[f"answer {one} of topic {one % 3}" for one in range(DOCS)],
    )  # fmt: skip

    def side(count, prefix):
        values = np.eye(3, 8)[np.arange(count) % 3] + rng.normal(size=(count, 8)) * 0.1
        values = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
        ids = np.array([f"{prefix}{one}" for one in range(count)], dtype=object)
        return Vectors(values=values, ids=ids, encoder="drawn")

    return made, (side(ASKED, "q"), side(DOCS, "d"))


def mined_of(collection, vectors, k=5):
    scores = vectors[0].values @ vectors[1].values.T
    scores[np.arange(ASKED), 2 * np.arange(ASKED)] = -np.inf
    docs = np.argsort(-scores, axis=1)[:, :k].astype(np.int64)
    found = np.take_along_axis(scores, docs, axis=1)
    own = (vectors[0].values * vectors[1].values[2 * np.arange(ASKED)]).sum(axis=1)
    return Candidates(
        query_ids=collection.query_ids, doc_ids=collection.doc_ids, docs=docs, scores=found,
        ranks=np.broadcast_to(np.arange(1, k + 1, dtype=np.int32), docs.shape),
        weight=np.ones(docs.shape, dtype=np.float32), positive_scores=own.astype(np.float32),
        miner="made",
    )  # fmt: skip


def suspicion_of(mined, rng):
    shape = mined.docs.shape
    chance = rng.uniform(size=shape).astype(np.float32)
    signals = Evidence.__new__(Evidence)  # no map reads what the probability was made of
    return Suspicion(
        candidates=mined, signals=signals, prior=chance, probability=chance,
        verdict=np.zeros(shape, dtype=np.int8), labelled=np.zeros(shape, dtype=np.bool_),
        groups=np.arange(shape[0]),
    )  # fmt: skip


@pytest.fixture
def view(world):
    collection, vectors = world
    return map(vectors, collection=collection, layout=layout(vectors, how="pca"), labels=3)


def test_links_without_a_list_are_the_nearest_in_the_vectors(world):
    collection, vectors = world
    flat = layout(vectors, how="pca")
    far = replace(flat, xy=flat.xy[::-1].copy())  # the picture must not matter
    points = points_of(vectors, far, collection=collection)
    links = points.links(1, most=3).groups
    scores = vectors[1].values @ vectors[0].values[1]
    assert [one for one, _ in links["positive"]] == [ASKED + 2]
    assert links["positive"][0][1] == pytest.approx(scores[2])
    order = [doc for doc in np.argsort(-scores) if doc != 2]
    above = [doc for doc in order if scores[doc] >= scores[2]][:3]
    below = [doc for doc in order[:6] if scores[doc] < scores[2]][:3]
    assert [one - ASKED for one, _ in links["suspected"]] == above
    assert [one - ASKED for one, _ in links["negative"]] == below


def test_links_of_a_mined_list_are_its_own(world, rng):
    collection, vectors = world
    mined = mined_of(collection, vectors)
    flat = layout(vectors, how="pca")
    points = points_of(vectors, flat, collection=collection, candidates=mined)
    links = points.links(0).groups
    above = mined.scores[0] >= mined.positive_scores[0]
    assert [one - ASKED for one, _ in links["suspected"]] == mined.docs[0][above].tolist()
    assert [one - ASKED for one, _ in links["negative"]] == mined.docs[0][~above].tolist()
    said = suspicion_of(mined, rng)
    points = points_of(vectors, flat, collection=collection, candidates=mined, suspicion=said)
    links = points.links(0).groups
    likely = said.probability[0] >= 0.5
    assert [one - ASKED for one, _ in links["suspected"]] == mined.docs[0][likely].tolist()
    doc = int(mined.docs[0, 0])
    asked = [int(row) for row in range(ASKED) if doc in mined.docs[row].tolist()]
    back = points.links(ASKED + doc).groups
    found = {one for name in ("suspected", "negative") for one, _ in back[name]}
    assert found == {row for row in asked if 2 * row != doc}
    assert [one for one, _ in points.links(ASKED + 2).groups["positive"]] == [1]


@pytest.mark.slow
def test_a_click_tells_everything_of_a_query(view, send, world):
    answer = send(view.core, "show", point=0)
    assert answer == {}
    detail = view.core.detail
    assert (detail["kind"], detail["id"], detail["text"]) == ("query", "q0", NASTY)
    assert [row["id"] for row in detail["links"]["positive"]] == ["d0"]
    lines = {trace.name: trace for trace in view.picture.widget.data[2:5]}
    for name, rows in detail["links"].items():
        assert len(lines[name].x) == 3 * len(rows)
    xy = view.points.layout.xy
    first = lines["positive"]
    np.testing.assert_allclose([first.x[0], first.y[0]], xy[0])
    np.testing.assert_allclose([first.x[1], first.y[1]], xy[ASKED])
    assert np.isnan(first.x[2])
    assert view.shown == "q0"
    assert send(view.core, "find", name="d3") == {}
    assert view.core.detail["kind"] == "doc"
    assert "no such id" in send(view.core, "find", name="nobody")["error"]


def test_search_marks_and_selects_by_keyboard_alone(view, send):
    send(view.core, "search", words="TOPIC 1")
    expected = [at for at in range(ASKED + DOCS) if "topic 1" in view.points.text(at)]
    assert view.core.status == f"{len(expected)} match, nothing selected"
    docs, queries = view.picture.widget.data[:2]
    assert [one + ASKED for one in docs.selectedpoints] == [one for one in expected if one >= ASKED]
    assert list(queries.selectedpoints) == [one for one in expected if one < ASKED]
    assert view.ids == []
    send(view.core, "matches")
    assert view.ids == view.points.ids[expected].tolist()
    send(view.core, "clear")
    assert view.ids == []
    assert view.picture.widget.data[0].selectedpoints is None
    assert "nothing was searched for" in send(view.core, "matches")["error"]
    send(view.core, "search", words=" ")
    assert view.core.status == "nothing selected"


def test_a_search_takes_characters_as_they_are(view):
    assert view.search("**bold**").tolist() == [0]
    assert view.search(".*").tolist() == []
    assert view.search("שלום 🧪").tolist() == [0]


def test_a_lasso_is_ids_by_kind(view, send):
    seen = []
    view.observe(lambda change: seen.append(change["new"]), "ids")
    send(view.core, "lasso", points=[7, 1, 6])
    assert (view.query_ids, view.doc_ids) == (["q1"], ["d0", "d1"])
    assert seen == [["q1", "d0", "d1"]]
    assert view.core.status == "1 queries and 2 documents selected"
    send(view.core, "lasso", points=None)
    assert view.ids == view.query_ids == view.doc_ids == []
    view.select(doc_ids=["d4"])
    assert view.ids == ["d4"]
    with pytest.raises(BadData, match="no query has the id 'd4'"):
        view.select(query_ids=["d4"])


def test_what_is_selected_goes_to_the_inspector(world, send):
    class Inspector:
        def __init__(self):
            self.told = []

        def only(self, *, query_ids=None, doc_ids=None):
            self.told.append((query_ids, doc_ids))
            if doc_ids == ["d3"]:
                raise BadArgument("doc_ids", "d3", "it must be in the list", "Choose another.")

    collection, vectors = world
    inspector = Inspector()
    view = map(vectors, collection=collection, layout=layout(vectors, how="pca"),
               labels=0, inspector=inspector)  # fmt: skip
    view.select(query_ids=["q1"], doc_ids=["d2"])
    view.select(doc_ids=["d3"])
    view.select()
    assert inspector.told == [(["q1"], ["d2"]), (None, ["d3"]), (None, None), (None, None)]
    assert not any("inspector" in line for line in (view.core.status,))


def test_the_legend_selects_its_group(view, send):
    send(view.core, "colour", name="kind")
    assert [one["name"] for one in view.core.legend] == ["queries", "documents"]
    assert [one["count"] for one in view.core.legend] == [ASKED, DOCS]
    send(view.core, "group", code=0)
    assert view.ids == [f"q{one}" for one in range(ASKED)]


def test_colours_need_what_they_show(view, send):
    assert view.core.choices == ["kind", "source", "cluster"]
    assert "Pass losses= to the map" in send(view.core, "colour", name="loss")["error"]
    assert view.colour == "source"
    assert "one of kind, source" in send(view.core, "colour", name="hue")["error"]
    send(view.core, "colour", name="cluster")
    assert view.core.colour == view.colour == "cluster"
    assert sum(one["count"] for one in view.core.legend) == ASKED + DOCS


def test_labels_are_words_of_the_texts_and_more_when_asked(view, send):
    few = [one.text for one in view.picture.widget.layout.annotations]
    assert 0 < len(few) <= 3
    send(view.core, "clusters", count=6)
    assert len(view.clusters().names) == 6
    send(view.core, "clusters", count=0)
    assert len(view.picture.widget.layout.annotations) == 0
    assert "`count` is 61" in send(view.core, "clusters", count=61)["error"]
    assert "`count` is -1" in send(view.core, "clusters", count=-1)["error"]


@pytest.mark.slow
def test_a_page_without_webgl_gets_a_still_picture(view, send):
    send(view.core, "page", webgl=True, dark=True)
    assert view.backend == "plotly"
    send(view.core, "page", webgl=False, dark=False)
    assert view.backend == "static"
    assert "no WebGL" in view.core.marks
    before = view.picture.widget.value
    assert before.startswith("<img alt=")
    send(view.core, "search", words="topic 1")
    assert view.picture.widget.value != before
    send(view.core, "show", point=0)
    assert view.shown == "q0"


def test_the_pointer_is_told_in_words(view, send):
    send(view.core, "over", point=0)
    assert view.core.over.startswith("query q0: <script>")
    assert view.hovered == 0
    send(view.core, "over", point=None)
    assert view.core.over == ""
    assert view.hovered is None


@pytest.mark.slow
def test_its_words_and_twin_are_the_same_every_time(view):
    assert repr(view) == "EmbeddingMap(6 queries, 12 documents, by source, 0 selected)"
    view.select(query_ids=["q0"])
    first, second = view.twin(), view.twin()
    assert first == second
    assert first.digest["selected"] == 1
    assert first.digest["ids"] == ["q0"]
    assert "<script>" not in first.html
    json.dumps(first.digest, allow_nan=False)


@pytest.mark.slow
def test_jupyter_scatter_keeps_positions(world, send):
    collection, vectors = world
    view = map(vectors, collection=collection, layout=layout(vectors, how="pca"),
               backend="scatter", labels=3)  # fmt: skip
    view.picture.widget.selection = np.array([7, 1], dtype=np.uint32)
    assert (view.query_ids, view.doc_ids) == (["q1"], ["d1"])
    assert all(type(one) is str for one in view.ids)
    view.picture.widget.selection = np.array([0], dtype=np.uint32)  # one point: a click
    assert view.shown == "q0"
    assert view.ids == ["q1", "d1"]
    rows = view.core.detail["links"]
    assert len(view.picture.widget.annotations) == sum(len(some) for some in rows.values())
    view.select(doc_ids=["d4", "d5"])
    assert view.picture.widget.selection.tolist() == [ASKED + 4, ASKED + 5]
    view.recolour("kind")
    assert view.picture.widget.color_by is not None
    send(view.core, "page", webgl=True, dark=True)
    assert view.picture.widget.label_shadow_color == "#161616"
    view.clear()
    assert len(view.picture.widget.selection) == 0
    assert not view.picture.widget.annotations
    view.picture.widget.hovering = 3
    assert view.hovered == 3


@pytest.mark.slow
def test_two_maps_follow_each_other(world):
    collection, vectors = world
    first = layout(vectors, how="pca")
    fewer = (vectors[0], replace(vectors[1], values=vectors[1].values[1:], ids=vectors[1].ids[1:]))
    turned = layout(fewer, how="pca")
    turned = replace(turned, xy=-3 * turned.xy + 1)
    both = side_by_side(vectors, fewer, collection=collection, layouts=(first, turned), labels=0,
                        colour="moved")  # fmt: skip
    both.before.select(query_ids=["q1"], doc_ids=["d0", "d2"])
    assert (both.after.query_ids, both.after.doc_ids) == (["q1"], ["d2"])
    assert both.ids == ["q1", "d0", "d2"] or both.ids == ["q1", "d2"]
    both.after.select(doc_ids=["d5"])
    assert both.before.ids == ["d5"]
    both.before.hovered = 2
    ring = both.after.picture.widget.data[5]
    np.testing.assert_allclose([ring.x[0], ring.y[0]], both.after.points.layout.xy[2])
    both.before.hovered = ASKED  # d0 is not on the other
    assert len(both.after.picture.widget.data[5].x) == 0
    assert both.after.colour == "moved"
    both.after.recolour("kind")
    assert both.before.colour == "kind"
    assert repr(both).startswith("SideBySide(EmbeddingMap(6 queries, 12 documents")
    assert set(both.twin().digest) == {"before", "after"}


def test_a_layout_of_more_texts_or_in_another_order_is_cut(world):
    collection, vectors = world
    flat = layout(vectors, how="pca")
    mixed = np.random.default_rng(1).permutation(len(flat.ids))
    other = replace(flat, ids=flat.ids[mixed], kinds=flat.kinds[mixed], xy=flat.xy[mixed])
    points = points_of(vectors, other, collection=collection)
    np.testing.assert_array_equal(points.layout.xy, flat.xy)
    fewer = Layout(ids=flat.ids[1:], kinds=flat.kinds[1:], xy=flat.xy[1:])
    with pytest.raises(BadArgument, match="it has no coordinates of 'q0'"):
        points_of(vectors, fewer)


@pytest.mark.slow
def test_wrong_options_are_refused(world):
    collection, vectors = world
    flat = layout(vectors, how="pca")
    with pytest.raises(BadArgument, match="`backend` is 'webgpu'"):
        map(vectors, layout=flat, backend="webgpu")
    with pytest.raises(BadArgument, match="at most 60 can be read"):
        map(vectors, layout=flat, labels=61)
    with pytest.raises(BadArgument, match="`labels` is -1"):
        map(vectors, layout=flat, labels=-1)
    with pytest.raises(BadArgument, match="a row per pair of the collection, 6"):
        map(vectors, layout=flat, collection=collection, losses=LossStore.empty(3))
    stranger = replace(vectors[1], ids=np.array([f"x{one}" for one in range(DOCS)], dtype=object))
    with pytest.raises(BadData, match="'x0' is not in it"):
        map((vectors[0], stranger), collection=collection)  # before any layout is made
    with pytest.raises(BadArgument, match="the map was not given losses"):
        map(vectors, collection=collection, colour="loss")
    view = map(vectors, layout=flat, labels=0, backend="static")
    with pytest.raises(BadArgument, match="the map has no texts to search"):
        view.search("a")
    with pytest.raises(BadArgument, match="`kind` is 'docs'"):
        view.show("d0", kind="docs")
    with pytest.raises(BadArgument, match=r"points are 0\.\.17"):
        view.points.links(18)
    with pytest.raises(BadArgument, match="it must be some text"):
        view.points.matches("")


def test_many_points_are_drawn_by_jupyter_scatter(rng, monkeypatch, view):
    drawn = []
    front = sys.modules["workbench.widgets.map"]

    def made(points, *, backend, **_):
        drawn.append(backend)
        return view

    monkeypatch.setattr(front, "EmbeddingMap", made)
    for count in (20_000, 20_001):
        ids = np.array([f"d{one}" for one in range(count)], dtype=object)
        docs = Vectors(values=np.ones((count, 1), dtype=np.float32), ids=ids, encoder="e")
        flat = Layout(ids=ids, kinds=np.full(count, "doc", dtype=object),
                      xy=rng.normal(size=(count, 2)).astype(np.float32))  # fmt: skip
        map(docs, layout=flat, labels=0)
    assert drawn == ["plotly", "scatter"]


@pytest.mark.slow
def test_plotly_and_jscatter_are_loaded_when_needed():
    code = (
        "import sys, workbench.widgets.map; heavy = {'plotly', 'jscatter', 'umap', 'openTSNE',"
        "'matplotlib', 'torch', 'scipy', 'sklearn', 'pandas'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
