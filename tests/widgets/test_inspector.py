"""The inspector's traits, answers and twin, without a browser."""

from __future__ import annotations

import json

import numpy as np
import pytest
from inspector_toys import (
    toy_draw,
    toy_guide,
    toy_list,
    toy_losses,
    toy_suspicion,
)
from traitlets import TraitError

from workbench.errors import BadArgument, BadData
from workbench.rules import RankWindow, Scored
from workbench.widgets.inspector import inspect
from workbench.widgets.queue import Queue


@pytest.fixture
def view(candidates, collection, store):
    return inspect(
        candidates, collection, store=store, rules=[RankWindow(first=2)],
        losses=toy_losses(collection),
    )  # fmt: skip


def in_buffers(view, kind):
    """An answer with its buffers as arrays."""
    answer, buffers = view.core._handlers[kind]({"kind": kind})
    return answer, buffers


def test_judging_moves_and_traits_follow(view, store):
    seen = []
    view.observe(lambda change: seen.append(change["new"]), names="current")
    first, second, third = view.ids[:3]
    assert (view.position, view.current, view.judged) == (0, first, 0)
    view.judge("positive", note="says the same")
    assert (view.position, view.current, view.judged) == (1, second, 1)
    view.judge("skip")
    assert seen == [second, third]
    assert view.verdicts().newest() == {first: "positive", second: "skip"}
    assert store.frame()["note"].tolist()[0] == "says the same"
    assert view.undo() == [second]
    assert (view.position, view.current, view.judged) == (1, second, 1)
    assert repr(view) == f"Inspector({len(view.ids)} candidates, 1 judged)"


def test_moving_stops_at_both_ends(view, untyped):
    view.move(3)
    assert view.position == 3
    view.move(-99 + 60)
    assert view.position == 0
    view.position = 10_000
    assert view.position == len(view.ids) - 1
    with pytest.raises(BadArgument, match=r"`by` is 0\.5, but it must be a whole number"):
        view.move(0.5)


def test_filters_show_less_and_only_survives_them(view, collection):
    versions = []
    view.observe(lambda change: versions.append(change["new"]), names="version")
    whole = len(view.ids)
    view.only(query_ids=["q0", "q1"])
    few = len(view.ids)
    assert {query for query, _ in view.ids} == {"q0", "q1"}
    view.filter(source="even")
    source = dict(zip(collection.doc_ids, collection.corpus["source"][:], strict=True))
    assert all(source[doc] == "even" and query in ("q0", "q1") for query, doc in view.ids)
    view.filter()
    assert len(view.ids) == few
    view.only()
    view.search("add 11")
    assert {query for query, _ in view.ids} == {"q11"}
    view.search("nowhere at all")
    assert (view.ids, view.current, view.position) == ([], ("", ""), 0)
    with pytest.raises(BadArgument, match="nothing passes"):
        view.judge("positive")
    view.search("")
    assert len(view.ids) == whole
    assert versions == list(range(1, len(versions) + 1))
    view.ids = [("q1", doc) for _, doc in view.ids if ("q1", doc) in view.ids][:2]
    assert len(view.ids) == 2
    with pytest.raises(BadArgument, match=r"`ids` is \('q1', 'nobody'\), but the queue has no"):
        view.ids = [("q1", "nobody")]


def test_it_goes_on_where_one_stopped(view, candidates, collection, tmp_path):
    for label in ("positive", "negative", "unsure"):
        view.judge(label)
    again = inspect(candidates, collection, store=tmp_path / "judgments.sqlite", judge="me")
    assert (again.position, again.judged) == (3, 3)
    assert again.current == view.current


def test_the_browser_is_answered(view, send):
    answer, (items, labels) = in_buffers(view, "shown")
    items = np.frombuffer(items, dtype="<i4")
    assert items.tolist() == view.desk.shown.tolist()
    assert len(labels) == len(items) == answer["count"]
    told = send(view.core, "judge", item=int(items[0]), label="negative", position=1)
    assert (told["judged"], told["said"]["negative"], view.position) == (1, 1, 1)
    assert send(view.core, "moved", position=5)["judged"] == 1
    assert view.position == 5
    cards = send(view.core, "cards", items=items[:3].tolist())["cards"]
    assert [card["item"] for card in cards] == items[:3].tolist()
    json.dumps(cards, allow_nan=False)
    rows = send(view.core, "rows", items=items[:4].tolist())["rows"]
    assert [row[0] for row in rows] == [
        card["query"]["pieces"][0][1]
        for card in send(view.core, "cards", items=items[:4].tolist())["cards"]
    ]
    told = send(view.core, "undo")
    assert (told["items"], told["labels"], told["judged"]) == ([int(items[0])], [0], 0)
    (group,) = view.desk.queue.items([("q0", "d2")]).tolist()
    assert send(view.core, "mates", item=group) == {"count": 2}
    told = send(view.core, "bulk", item=group, label="positive")
    assert (len(told["items"]), told["judged"]) == (2, 2)
    told = send(view.core, "slide", value=-0.3)
    assert view.margin == -0.3
    json.dumps(told, allow_nan=False)
    assert [row["dropped"] for row in told["rows"]] == view.rules()["dropped"].tolist()
    assert send(view.core, "estimate")["estimate"]["text"].startswith("No estimate")
    told = send(view.core, "filter", source="odd", text=None, everything=False)
    assert told["narrowed"] is False
    assert len(view.ids) < len(items)
    _, points = in_buffers(view, "dynamics")
    assert len(np.frombuffer(points[0], dtype="<f4")) == len(collection_pairs(view))
    assert send(view.core, "brush", mean=[0, 0.5], spread=[0, 1])["narrowed"] is True
    assert send(view.core, "filter", everything=True)["narrowed"] is False
    assert len(view.ids) == len(items)
    whole = send(view.core, "whole", side="query", place=2)["side"]
    assert whole["pieces"] == [["", "how to add 2"]]


def collection_pairs(view):
    return view.desk.queue.collection.pairs


def test_the_browser_is_told_what_python_did_and_not_what_it_did_itself(view, send):
    def turn():
        return view.core.told.get("turn", 0)

    before = turn()
    items = view.desk.shown
    send(view.core, "judge", item=int(items[0]), label="negative", position=1)
    send(view.core, "moved", position=3)
    send(view.core, "slide", value=0.1)
    assert turn() == before  # an echo would throw somebody back who has typed on
    view.position = 2
    assert view.core.told == {"turn": before + 1, "position": 2, "margin": 0.1, "again": False}
    view.judge("positive")
    assert view.core.told["again"] is True
    view.margin = 0.2
    assert (view.core.told["margin"], view.core.told["again"]) == (0.2, False)
    view.position, view.position = 0, 0
    assert view.core.told["position"] == 0


def test_wrong_questions_are_answered_with_the_error(view, send, monkeypatch):
    for kind, message, match in (
        ("judge", {"item": 9999, "label": "positive", "position": 0}, "`item` is 9999"),
        ("judge", {"item": 0, "label": "good", "position": 0}, "`label` is 'good'"),
        ("judge", {"item": "0", "label": "positive", "position": 0}, "`item` is '0'"),
        ("cards", {"items": [-1]}, "`item` is -1"),
        ("filter", {"source": "x"}, "`source` is 'x'"),
        ("slide", {"value": float("nan")}, "`margin` is nan"),
        ("whole", {"side": "x", "place": 0}, "`side` is 'x'"),
        ("nonsense", {}, "nobody answers 'nonsense'"),
    ):
        assert match in send(view.core, kind, **message)["error"]
    assert view.judged == 0

    def refuse(*_, **__):
        raise BadData("a.sqlite", ["database is locked"], "Wait.")

    monkeypatch.setattr(view.desk.store, "judge", refuse)
    told = send(view.core, "judge", item=int(view.desk.shown[0]), label="skip", position=1)
    assert "database is locked" in told["error"]
    assert (view.judged, view.position) == (0, 0)


def test_the_margin_is_refused_before_it_is_set(view):
    with pytest.raises(BadArgument, match="`margin` is nan, but it must be a finite number"):
        view.margin = float("nan")
    assert view.margin == 0.0
    with pytest.raises(TraitError):
        view.margin = "wide"


def test_everything_an_inspector_can_be_given(candidates, collection, store):
    queue = Queue.of(candidates, collection)
    labelled = np.zeros(candidates.docs.shape, dtype=bool)
    labelled[4, 0] = labelled[0, 1] = True
    found = toy_suspicion(candidates, labelled)
    draw = toy_draw(queue.pairs(np.array([9, 2])), population=len(queue))
    view = inspect(
        found, collection, store=store, draw=draw, guides={"mini": toy_guide(collection)},
        scores={"bm25": toy_list(collection, seed=8)},
        rules=[Scored(fact="suspicion", at_most=0.7), Scored(fact="bm25", at_most=0.5)],
        losses=toy_losses(collection), order="suspicious", code=False,
    )  # fmt: skip
    assert view.ids[:2] == queue.pairs(np.array([9, 2]))
    about = view.core.about
    json.dumps(about, allow_nan=False)
    assert about["slider"]["rule"] == "Guide (margin moves)"
    assert about["code"] is False
    assert {"probability", "score", "bm25", "bm25.rank", "guide", "loss.mean"} <= set(
        about["numbers"]
    )
    rows = view.rules().set_index("rule")
    likely = np.sum(view.desk.queue.numbers["probability"] > 0.7)
    assert rows.loc[repr(Scored(fact="suspicion", at_most=0.7)), "dropped"] == likely
    assert np.isfinite(dict(view.desk.card(0)["numbers"])["mini"])
    view.judge("positive")
    assert view.estimate().judged == 1
    digest = view.twin().bundle()["application/x-workbench+json"]
    assert digest["estimate"]["text"] == str(view.estimate())


def test_it_leaves_a_twin_beside_the_view(view):
    view.judge("unsure")
    assert set(view.twin().bundle()) == {"text/html", "application/x-workbench+json"}
    assert view.twin().digest["said"] == {"positive": 0, "negative": 0, "unsure": 1, "skip": 0}
    assert view.children[-1] is view.core


def test_what_is_refused(candidates, collection, store, tmp_path):
    for given, match in (
        ({"order": "best"}, "`order` is 'best'"),
        ({"guides": {"a.b": toy_guide(collection)}}, "`guides` is 'a.b'"),
        ({"rules": [Scored(fact="nothing", at_most=0.5)]}, "it needs nothing, which was not"),
        ({"judge": "ann"}, "the store's judge is 'me'"),
    ):
        with pytest.raises(BadArgument, match=match):
            inspect(candidates, collection, store=store, **given)
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"half a file")
    with pytest.raises(BadData, match="it is no SQLite database"):
        inspect(candidates, collection, store=broken)
