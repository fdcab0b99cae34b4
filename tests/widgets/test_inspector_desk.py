"""Judging without a widget: what is written, taken back, counted and shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inspector_toys import toy_draw, toy_guide, toy_losses

from workbench.audit import JudgedSample, JudgmentStore, false_negatives
from workbench.errors import BadArgument, BadData
from workbench.rules import Margin, RankWindow
from workbench.types import LABELS, Verdicts
from workbench.widgets.desk import Desk
from workbench.widgets.desk_report import account, dynamics, opened, slider_of, static, told
from workbench.widgets.filters import DROPPED, KEPT, Filters
from workbench.widgets.queue import Queue
from workbench.widgets.reading import SHOWN, looks_like_code, pieces, shown
from workbench.widgets.slider import ALL


@pytest.fixture(scope="module")
def queue(candidates, collection):
    return Queue.of(candidates, collection)


@pytest.fixture
def desk(queue, store, candidates):
    slider = slider_of(candidates, queue, rules=[RankWindow(first=2)])
    return Desk(queue, store, slider=slider)


def test_what_is_judged_is_in_the_store_and_goes_on_at_the_next_desk(desk, queue, store):
    for label in ("positive", "negative", "unsure", "skip", "negative"):
        desk.judge(int(desk.shown[desk.next(-1)]), label)
    assert desk.next(-1) == 5
    assert desk.judged == 5
    again = Desk(queue, store)
    assert again.labels.tolist() == desk.labels.tolist()
    assert again.next(-1) == 5
    newest = store.verdicts().newest()
    assert list(newest) == queue.pairs(desk.shown[:5])
    assert again.verdicts().newest() == newest
    seen = store.frame()["shown"].iloc[0]
    item = int(desk.shown[0])
    assert seen["score"] == pytest.approx(float(queue.numbers["score"][item]))


def test_the_next_one_is_behind_and_then_from_the_start(desk):
    places = [3, 7]
    for place in range(len(desk.shown)):
        if place not in places:
            desk.labels[desk.shown[place]] = 1
    assert [desk.next(after) for after in (-1, 3, 6, 7)] == [3, 7, 7, 3]
    desk.labels[:] = 1
    assert desk.next(4) == 4


def test_undo_takes_back_one_by_one_and_a_group_at_once(desk, queue, store):
    (group,) = queue.items([("q0", "d2")]).tolist()
    single = next(item for item in desk.shown.tolist() if item not in queue.mates(group))
    desk.judge(single, "unsure")
    assert desk.bulk(group, "positive").tolist() == queue.mates(group).tolist()
    assert desk.labels[queue.mates(group)].tolist() == [1, 1]
    later = Desk(queue, store)  # as after a restart: what was judged at once is still one step
    assert later.undo().tolist() == queue.mates(group).tolist()
    assert later.judged == 1
    later.judge(group, "skip")
    later.judge(group, "negative")
    assert later.undo().tolist() == [group]
    assert later.labels[group] == LABELS.index("skip") + 1  # what was said before counts again
    assert [later.undo().tolist() for _ in range(3)] == [[group], [single], []]
    assert store.verdicts().newest() == {}


def test_undo_stops_at_what_another_notebook_said(desk, queue, collection, tmp_path):
    (group,) = queue.items([("q0", "d2")]).tolist()
    desk.bulk(group, "positive")
    desk.undo()
    desk.bulk(group, "positive")
    other = JudgmentStore(tmp_path / "judgments.sqlite", collection, judge="me")
    other.judge("q1", collection.doc_ids[0], "skip")
    desk.undo()
    assert desk.labels[queue.mates(group)].tolist() == [1, 1]
    assert desk.undo().tolist() == queue.mates(group).tolist()


def test_a_group_already_judged_in_part_is_left_as_it_is(desk, queue):
    first, second = queue.mates(int(queue.items([("q0", "d2")])[0])).tolist()
    desk.judge(first, "negative")
    assert desk.bulk(first, "positive").tolist() == [second]
    with pytest.raises(BadArgument, match="all of its group are judged already"):
        desk.bulk(first, "positive")


def test_what_the_store_refuses_is_not_judged(desk, monkeypatch):
    def refuse(*_, **__):
        raise BadData("judgments.sqlite", ["the disk is full"], "Make room.")

    monkeypatch.setattr(desk.store, "judge", refuse)
    monkeypatch.setattr(desk.store, "add", refuse)
    for act in (desk.judge, desk.bulk):
        with pytest.raises(BadData, match="the disk is full"):
            act(int(desk.shown[0]), "positive")
    assert desk.judged == 0
    assert desk.verdicts().newest() == {}


def test_filters_by_rule_verdict_and_judge(desk, queue, store, collection):
    def passes(**given):
        desk.filter(Filters(**given))
        return sorted(desk.shown.tolist())

    first, second = int(desk.shown[0]), int(desk.shown[1])
    desk.judge(first, "positive")
    desk.judge(second, "skip")
    other = Verdicts.of([(*queue.pairs(np.array([5]))[0], "negative")], judge="ann")
    store.add(other)
    everyone = set(range(len(queue)))
    assert passes(verdict="positive") == [first]
    assert passes(verdict="judged") == sorted([first, second])
    assert set(passes(verdict="unjudged")) == everyone - {first, second}
    assert passes(judge="ann") == [5]
    assert passes(judge="me") == sorted([first, second])
    window = repr(RankWindow(first=2))
    tops = np.flatnonzero(queue.columns == 0).tolist()
    assert passes(rule=window) == tops
    margin = np.flatnonzero(queue.numbers["margin"] > 0).tolist()
    assert passes(rule="Margin (margin moves)") == margin
    assert passes(rule=DROPPED) == sorted({*tops, *margin})
    assert set(passes(rule=KEPT)) == everyone - {*tops, *margin}
    desk.slide(-0.5)
    assert passes(rule="Margin (margin moves)") == np.flatnonzero(
        queue.numbers["margin"] > 0.5).tolist()  # fmt: skip
    for wrong, match in (
        ({"rule": ALL}, "`rule` is 'all together', but it must be one of"),
        ({"judge": "nobody"}, "`judge` is 'nobody', but it must be one of ann, me"),
        ({"order": "x"}, "`order` is 'x'"),
    ):
        before = desk.filters
        with pytest.raises(BadArgument, match=match):
            desk.filter(Filters(**wrong))
        assert desk.filters == before


@pytest.mark.slow
def test_estimate_and_precision_follow_the_judged_draw(queue, store, candidates):
    pairs = queue.pairs(np.arange(0, len(queue), 3))
    draw = toy_draw(pairs, population=len(queue))
    slider = slider_of(candidates, queue)
    desk = Desk(queue, store, draws=[draw], slider=slider)
    assert desk.queue.pairs(desk.shown[: len(pairs)]) == pairs
    assert desk.estimate() is None
    assert told(desk)["text"] == "No estimate: nothing of the draw is judged yet."
    assert desk.sample() is None
    assert account(desk)["precision"].isna().all()
    for place in range(8):
        desk.judge(int(desk.shown[place]), "positive" if place % 3 == 0 else "negative")
    assert desk.estimate() == false_negatives([draw], store.verdicts())
    found = told(desk)
    assert found["low"] <= found["rate"] <= found["high"]
    wide = found["high"] - found["low"]
    expected = slider.at(0.0, JudgedSample.of(candidates, store.verdicts(), draw))
    np.testing.assert_array_equal(account(desk)["precision"], expected["precision"])
    for place in range(8, len(pairs)):
        desk.judge(int(desk.shown[place]), "positive" if place % 3 == 0 else "negative")
    narrow = told(desk)
    assert narrow["high"] - narrow["low"] < wide  # it narrows as one judges
    top = replace(draw, sizes=draw.sizes[:0], expected=draw.expected[:0])
    best = told(Desk(queue, store, draws=[top]))
    assert best["text"] == "No estimate: a draw of the most suspicious says nothing of the others."
    plain = Desk(queue, store)
    assert told(plain)["text"] == "No estimate: what is judged was not drawn (audit.draw)."


def test_a_card_says_what_is_known(desk, queue, collection, candidates):
    (item,) = queue.items([("q0", "d2")]).tolist()
    card = desk.card(item)
    assert card["query"]["id"] == "q0"
    assert card["query"]["pieces"] == [["", "how to add 0"]]
    assert card["doc"]["source"] == "even"
    assert "".join(text for _, text in card["doc"]["pieces"]) == "def add2(a, b): return a + 2"
    assert [side["id"] for side in card["positives"]] == ["d0"]
    assert (card["mates"], card["mate_count"], card["open_mates"]) == (["d12"], 2, 2)
    numbers = dict(card["numbers"])
    assert numbers["rank"] == 1
    assert numbers["score"] == pytest.approx(float(candidates.scores[0, 0]))
    rules = [repr(RankWindow(first=2))]
    if candidates.scores[0, 0] > candidates.positive_scores[0]:
        rules.insert(0, "Margin (margin moves)")
    assert card["rules"] == rules
    many = next(i for i in range(len(queue)) if queue.pairs(np.array([i]))[0][0] == "q11")
    assert desk.card(many)["positive_count"] == 3
    unknown = next(i for i in range(len(queue)) if np.isnan(queue.numbers["margin"][i]))
    assert dict(desk.card(unknown)["numbers"])["margin"] is None  # JSON has no NaN


def test_a_guides_cosine_stands_on_the_card(queue, store, collection):
    guide = toy_guide(collection)
    desk = Desk(queue, store, guides={"mini": guide})
    left, right = guide[0].values[queue.rows[3]], guide[1].values[queue.docs[3]]
    cosine = left @ right / np.linalg.norm(left) / np.linalg.norm(right)
    assert dict(desk.card(3)["numbers"])["mini"] == pytest.approx(float(cosine), rel=1e-5)


def test_long_texts_are_cut_until_asked_for(desk, collection):
    long = "x" * (SHOWN + 7)
    told_short, told_whole = shown(long, code=False), shown(long, code=False, whole=True)
    assert (told_short["shown"], told_short["length"]) == (SHOWN, SHOWN + 7)
    assert told_whole["pieces"] == [["", long]]
    assert desk.side("doc", 3, whole=True)["id"] == collection.doc_ids[3]
    for side, place, match in (
        ("title", 0, "`side` is 'title', but it must be one of query, doc"),
        ("doc", 99, r"`place` is 99, but positions are 0\.\.13"),
        ("doc", -1, "`place` is -1, but it must be a whole number >= 0"),
    ):
        with pytest.raises(BadArgument, match=match):
            desk.side(side, place)


@given(st.text())
def test_pieces_joined_are_the_text(text):
    for code in (True, False):
        assert "".join(part for _, part in pieces(text, code=code)) == text


def test_code_is_told_from_prose():
    code = ["def f(x):\n    # a comment\n    return 'a' + 1", "import os\n\nos.remove(path)\n"]
    prose = ["A text of two lines.\nIt says nothing (or little).", "Return the book to Ann."]
    assert looks_like_code(code)
    assert not looks_like_code(prose)
    assert not looks_like_code([])
    assert not looks_like_code(["", " "])
    assert ["k", "return"] in pieces(code[0], code=True)
    assert ["c", "# a comment"] in pieces(code[0], code=True)


def test_brushing_losses_finds_queries(queue, store, collection):
    losses = toy_losses(collection)
    desk = Desk(queue, store, losses=losses)
    mean, spread = losses.values.mean(axis=1), losses.values.std(axis=1)
    middle = float(np.median(mean))
    wanted = {
        collection.query_ids[query]
        for (query, _), m, s in zip(collection.pairs, mean, spread, strict=True)
        if m <= middle and s <= 0.3
    }
    assert set(desk.brushed((middle, 0.0), (0.0, 0.3))) == wanted  # ends in either order
    assert 0 < len(wanted) < len(collection.query_ids)
    points = dynamics(losses)
    np.testing.assert_allclose(points, np.stack([mean, spread], axis=1), rtol=1e-5)
    with pytest.raises(BadArgument, match="`mean` is nan, but it must be a finite number"):
        desk.brushed((0.0, float("nan")), (0.0, 1.0))
    with pytest.raises(BadArgument, match="`losses` is None, but there are none to brush"):
        Desk(queue, store).brushed((0.0, 1.0), (0.0, 1.0))
    assert dynamics(None).shape == (0, 2)


def test_many_points_are_thinned(collection, monkeypatch):
    monkeypatch.setattr("workbench.widgets.desk_report.MOST_POINTS", 5)
    assert len(dynamics(toy_losses(collection))) == 5


def test_stores_are_opened_or_checked(tmp_path, collection, store):
    assert opened(store, collection) is store
    assert opened(tmp_path / "b.sqlite", collection, judge="ann").judged_by == "ann"
    with pytest.raises(BadArgument, match="`judge` is 'ann', but the store's judge is 'me'"):
        opened(store, collection, judge="ann")
    groups = np.arange(len(collection.doc_ids))
    other = replace(collection, doc_groups=groups)
    with pytest.raises(BadArgument, match="it must be of the collection that is inspected"):
        opened(store, other)


def test_the_default_store_stands_where_the_docs_say(tmp_path, collection, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opened(None, collection, judge="me").judge("q1", "d3", "skip")
    assert (tmp_path / "data" / "judgments.sqlite").is_file()


def test_what_is_refused(desk, queue, store):
    with pytest.raises(BadArgument, match=r"`item` is 999, but items are 0\.\."):
        desk.judge(999, "positive")
    with pytest.raises(BadArgument, match="`label` is 'maybe', but it must be one of positive"):
        desk.judge(0, "maybe")
    with pytest.raises(BadArgument, match="`label` is 'maybe', but it must be one of positive"):
        desk.bulk(0, "maybe")
    bare = Desk(queue, store)
    with pytest.raises(BadArgument, match="`slider` is None, but there is no rule to move"):
        bare.slide(0.1)
    with pytest.raises(BadArgument, match="`rules` is None, but there is none"):
        account(bare)
    assert bare.masks() == {}


def test_without_anything_to_compare_there_is_no_slider(queue, candidates, collection):
    nothing = np.full(len(candidates.positive_scores), np.nan, dtype=np.float32)
    bare = replace(candidates, positive_scores=nothing)
    assert slider_of(bare, Queue.of(bare, collection)) is None
    guide = {"mini": toy_guide(collection)}
    assert slider_of(bare, Queue.of(bare, collection), guides=guide).option == "margin"
    ours = slider_of(candidates, queue, vary=(Margin(margin=0.2), "margin"))
    assert ours.start == 0.2


def test_the_twin_holds_counts_and_escapes_texts(desk):
    desk.judge(int(desk.shown[0]), "positive")
    twin = static(desk)
    assert twin.digest["judged"] == 1
    assert twin.digest["said"]["positive"] == 1
    assert len(twin.digest["most_suspicious"]) == 20
    assert "1 judged by me: 1 positive" in twin.html
    assert "<b>" not in twin.html
    assert static(desk).html == twin.html
