"""Hardness: bands, stacks, densities and checkpoints by brute force; the view by its traits."""

import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from workbench import rules
from workbench.audit.toys import toy_audit
from workbench.errors import BadArgument, BadData
from workbench.mine import WhatIf, compare_rounds, share_of_positive_score
from workbench.types import Candidates, Vectors, Verdicts
from workbench.widgets.bands import (
    EDGES,
    above_margins,
    band_names,
    band_of,
    bands,
    density,
    hardest_first,
    movement,
    reasons,
    stacks,
)
from workbench.widgets.hardness_explorer import hardness_explorer
from workbench.widgets.hardness_picture import drawing
from workbench.widgets.inspector import inspect
from workbench.widgets.levels import said_from

HOSTILE = "<script>window.broken = 1</script> <img src=x onerror=alert(1)>"
RULES = (rules.Margin(margin=0.1), rules.RankWindow(first=2))


def mined(seed=0, queries=9, k=6, docs=20):
    """Scores, some of them missing: a query without a positive, a short list, a nameless score."""
    rng = np.random.default_rng(seed)
    chosen = np.stack([rng.permutation(docs)[:k] for _ in range(queries)])
    scores = np.sort(rng.uniform(0.1, 1.0, size=(queries, k)), axis=1)[:, ::-1].astype(np.float32)
    weight = (rng.random((queries, k)) > 0.2).astype(np.float32)
    positive = rng.uniform(0.5, 0.9, size=queries).astype(np.float32)
    positive[0] = np.nan
    chosen[1, 4:], scores[1, 4:], weight[1, 4:] = -1, -np.inf, 0
    scores[2, 5] = -np.inf
    ranks = np.where(chosen >= 0, np.arange(1, k + 1), 0).astype(np.int32)
    return Candidates(
        query_ids=np.array([f"q{n}" for n in range(queries)], dtype=object),
        doc_ids=np.array([f"d{n}" for n in range(docs)], dtype=object),
        docs=chosen,
        scores=scores,
        ranks=ranks,
        weight=weight,
        positive_scores=positive,
        miner="made",
    )


@pytest.fixture
def found():
    return mined()


@pytest.fixture
def collection(collection_of):
    texts = [f"query {n} {HOSTILE}" for n in range(9)]
    grades = {(n, n): 1.0 for n in range(1, 9)}
    return collection_of(grades, queries=9, docs=20, query_texts=texts)


def cells(candidates):
    rows, ranks = np.nonzero(candidates.docs >= 0)
    return list(zip(rows.tolist(), ranks.tolist(), strict=True))


# -- bands ----------------------------------------------------------------------------------------


def test_bands_by_brute_force(found):
    names, share = band_names(), share_of_positive_score(found)
    band = band_of(found)
    frame = bands(found)
    wanted = dict.fromkeys(names, 0)
    kept, queries = dict.fromkeys(names, 0), {name: set() for name in names}
    for row, rank in cells(found):
        value = float(share[row, rank])
        place = len(names) - 1 if np.isnan(value) else sum(value >= edge for edge in EDGES)
        assert band[row, rank] == place
        wanted[names[place]] += 1
        kept[names[place]] += found.weight[row, rank] > 0
        queries[names[place]].add(row)
    assert frame["found"].to_dict() == wanted
    assert frame["kept"].to_dict() == kept
    assert frame["queries"].to_dict() == {name: len(some) for name, some in queries.items()}
    assert frame["share"].sum() == pytest.approx(1.0)
    assert wanted["no share"] == 7
    assert (band[found.docs < 0] == -1).all()


def test_a_share_on_an_edge_is_in_the_band_above(found):
    found.positive_scores[3], found.scores[3, 0] = 0.5, 0.5
    assert band_names()[band_of(found)[3, 0]] == "1 and above"


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ((), r"`edges` is \(\), but it must be 1 to 100 rising numbers"),
        ((0.5, 0.5), "but it must be 1 to 100 rising numbers"),
        ((0.5, float("nan")), "`edges` is nan, but it must be a finite number"),
    ],
)
def test_edges_that_are_none(edges, message):
    with pytest.raises(BadArgument, match=message):
        band_names(edges)


def test_the_first_rule_that_drops_a_candidate_is_its_reason(found):
    names, code = reasons(found, RULES)
    assert names == ("kept", "dropped earlier", repr(RULES[0]), repr(RULES[1]))
    for row, rank in cells(found):
        score, positive = found.scores[row, rank], found.positive_scores[row]
        if found.weight[row, rank] <= 0:
            wanted = 1
        elif score > positive - np.float32(0.1):
            wanted = 2
        elif found.ranks[row, rank] < 2:
            wanted = 3
        else:
            wanted = 0
        assert code[row, rank] == wanted, (row, rank)
    assert (code[found.docs < 0] == -1).all()
    table = stacks(found, (names, code))
    assert table.to_numpy().sum() == len(cells(found))
    assert table.sum().tolist() == [(code == one).sum() for one in range(4)]
    assert table.sum(axis=1).tolist() == bands(found)["found"].tolist()


def test_without_rules_only_earlier_drops_count(found):
    names, code = reasons(found)
    assert names == ("kept", "dropped earlier")
    np.testing.assert_array_equal((code == 1), (found.docs >= 0) & (found.weight == 0))


def test_what_a_judge_vouches_for_is_kept(found):
    rows = [("q4", found.doc_ids[found.docs[4, 0]], "negative")]
    verdicts = Verdicts.of(rows, judge="me")
    found.scores[4, 0], found.weight[4, 0] = 2.0, 1.0
    what_if = WhatIf(found, verdicts=verdicts)
    both = (rules.Margin(), rules.Judged())
    assert reasons(found, both, what_if=what_if)[1][4, 0] == 0
    assert reasons(found, both[:1], what_if=what_if)[1][4, 0] == 2


def test_reasons_refuse_what_does_not_fit(found):
    with pytest.raises(BadArgument, match=r"`what_if` is .*, but it must be of these candidates"):
        reasons(found, RULES, what_if=WhatIf(mined(1)))
    with pytest.raises(BadArgument, match="`rules` is 101, but at most 100"):
        reasons(found, [rules.Margin(margin=n / 1000) for n in range(101)])
    with pytest.raises(BadArgument, match=r"`rules` is .*, but each must be another"):
        reasons(found, [rules.Margin(), rules.Margin()])


def test_verdicts_and_truth_are_counted_per_band(found):
    doc = found.doc_ids[found.docs]
    said = [("q3", doc[3, 0], "positive"), ("q3", doc[3, 1], "negative"), ("q3", doc[3, 2], "skip")]
    frame = bands(found, said=said_from(found, verdicts=Verdicts.of(said, judge="me")))
    assert (frame["judged"].sum(), frame["false_negatives"].sum()) == (2, 1)
    rng = np.random.default_rng(3)
    truth = rng.random(found.docs.shape) > 0.5
    frame = bands(found, said=said_from(found, truth=truth))
    assert frame["judged"].tolist() == frame["found"].tolist()
    assert frame["false_negatives"].sum() == (truth & (found.docs >= 0)).sum()
    full = frame[frame["judged"] > 0]
    assert (full["false_share"] == full["false_negatives"] / full["judged"]).all()
    assert said_from(found) is None
    with pytest.raises(BadArgument, match=r"`truth` is 'bool \(2, 2\)', but it must be bool"):
        said_from(found, truth=truth[:2, :2])
    with pytest.raises(BadArgument, match="only one of them can be"):
        said_from(found, truth=truth, verdicts=Verdicts.of(said, judge="me"))


# -- density and margins --------------------------------------------------------------------------


def test_the_density_is_numpys(found):
    grid = density(found, bins=7)
    there = [
        (row, rank)
        for row, rank in cells(found)
        if np.isfinite(found.scores[row, rank]) and np.isfinite(found.positive_scores[row])
    ]
    x = np.array([found.positive_scores[row] for row, _ in there], dtype=np.float64)
    y = np.array([found.scores[cell] for cell in there], dtype=np.float64)
    wanted, *edges = np.histogram2d(x, y, bins=7)
    np.testing.assert_array_equal(grid.counts, wanted)
    np.testing.assert_allclose(grid.x, edges[0])
    np.testing.assert_allclose(grid.y, edges[1])
    assert grid.without == len(cells(found)) - len(there) == 7
    for place in np.ndindex(7, 7):
        assert grid.inside(found, place).sum() == wanted[place]
    with pytest.raises(BadArgument, match="`y` is 7, but the grid has 7"):
        grid.inside(found, (0, 7))


def test_some_of_it_on_the_same_grid(found):
    kept = found.weight > 0
    grid, whole = density(found, bins=5, some=kept), density(found, bins=5)
    np.testing.assert_array_equal(grid.x, whole.x)
    assert grid.counts.sum() + grid.without == (kept & (found.docs >= 0)).sum()
    for bad in (0, 401):
        with pytest.raises(BadArgument, match=f"`bins` is {bad}, but"):
            density(found, bins=bad)
    with pytest.raises(BadArgument, match=r"`some` is \(2, 6\)"):
        density(found, some=kept[:2])


def test_equal_scores_and_none_at_all_have_a_grid(found):
    found.positive_scores[:] = 0.5
    assert density(found, bins=3).counts.sum() == len(cells(found)) - 1
    found.positive_scores[:] = np.nan
    grid = density(found, bins=3)
    assert (grid.counts.sum(), grid.without) == (0, len(cells(found)))


def test_margin_lines_drop_what_the_rule_drops(found):
    frame = above_margins(found, (-0.1, 0.0, 0.05))
    for row in frame.itertuples():
        dropped = WhatIf(found)([rules.Margin(margin=row.margin)]).weight <= 0
        known = np.isfinite(found.scores) & np.isfinite(found.positive_scores)[:, None]
        alive = (found.weight > 0) & known & (found.docs >= 0)
        limit = found.positive_scores[:, None] - np.float32(row.margin)
        above = known & (found.docs >= 0) & (found.scores > limit)
        assert row.above == above.sum()
        np.testing.assert_array_equal(above & alive, dropped & alive)
        assert row.queries == above.any(axis=1).sum()
    assert above_margins(found, ()).empty
    with pytest.raises(BadArgument, match="`margins` is nan"):
        above_margins(found, (float("nan"),))


# -- checkpoints ----------------------------------------------------------------------------------


def test_movement_by_brute_force():
    rounds = {f"step {seed}": mined(seed) for seed in range(3)}
    frame = movement(rounds, quantiles=(0.25, 0.5))
    for name, candidates in rounds.items():
        share = share_of_positive_score(candidates)
        known = share[np.isfinite(share) & (candidates.weight > 0)].astype(np.float64)
        assert frame.loc[name, "mean"] == pytest.approx(known.mean())
        assert frame.loc[name, "q25"] == pytest.approx(np.quantile(known, 0.25))
        assert frame.loc[name, "above"] == pytest.approx((known >= 1).mean())
    assert np.isnan(frame["staleness"].iloc[0])
    changed = compare_rounds(rounds["step 1"], rounds["step 2"])
    assert frame.loc["step 2", "staleness"] == changed.staleness
    assert frame.loc["step 2", "overlap"] == changed.overlap


def test_movement_refuses_nothing_and_other_texts(found):
    with pytest.raises(BadArgument, match=r"`rounds` is \{\}, but it must hold a checkpoint"):
        movement({})
    with pytest.raises(BadArgument, match="`quantiles` is 50, but it must be <= 1"):
        movement({"a": found}, quantiles=(50,))
    with pytest.raises(BadData, match="second round's queries"):
        movement({"a": found, "b": mined(queries=5)})


def test_rows_come_hardest_first(found):
    share = share_of_positive_score(found)
    rows = hardest_first(found, np.ones(found.docs.shape, dtype=np.bool_))
    assert sorted(map(tuple, rows.tolist())) == cells(found)
    values = share[rows[:, 0], rows[:, 1]]
    known = values[~np.isnan(values)]
    assert np.isnan(values[len(known) :]).all()
    assert (np.diff(known) <= 0).all()
    with pytest.raises(BadArgument, match=r"`some` is \(1, 6\)"):
        hardest_first(found, np.ones((1, 6), dtype=np.bool_))


# -- the view -------------------------------------------------------------------------------------


def test_a_bar_gives_the_rows_behind_it(found, collection):
    view = hardness_explorer(found, collection=collection, rules=RULES)
    kept = int((view.level.code == 0).sum())
    assert repr(view) == f"HardnessExplorer(mined: {len(cells(found))} found, {kept} kept)"
    table = view.level.bands()
    for band in table.index:
        for part in ("all", *view.level.names):
            ids = view.select(band, part)
            assert len(ids) == table.loc[band, "found" if part == "all" else part]
            frame = view.frame()
            assert list(zip(frame["query"], frame["candidate"], strict=True)) == ids
            if part != "all":
                assert set(frame["reason"]) <= {part}
            for (row, rank), (query, doc) in zip(view.rows, ids, strict=True):
                assert found.query_ids[row] == query
                assert found.doc_ids[found.docs[row, rank]] == doc
    view.select("below 0.5")
    texts = dict(zip(collection.query_ids, collection.query_texts, strict=True))
    frame = view.frame()
    assert len(frame)
    assert frame["query_text"].tolist() == [texts[query] for query in frame["query"]]


def test_a_cell_of_the_density_gives_its_rows(found):
    view = hardness_explorer(found, bins=4)
    for place in np.ndindex(4, 4):
        assert len(view.select_cell(*place)) == view.level.grid.counts[place]
    view.chosen = {}
    seen = []
    view.observe(lambda change: seen.append(change["new"]), "ids")
    assert (view.rows, view.ids) == ([], [])
    view.select_cell(*np.argwhere(view.level.grid.counts)[0].tolist())
    assert seen == [view.ids]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"band": "0.5"}, "`chosen` is .*, but it must hold band and part, or x and y"),
        ({"band": "0.55", "part": "all"}, "`band` is '0.55', but it must be one of below 0.5"),
        ({"band": "below 0.5", "part": "x"}, "`part` is 'x', but it must be one of all, kept"),
        ({"x": 40, "y": 0}, "`x` is 40, but the grid has 40"),
    ],
)
def test_what_is_no_bar_is_refused_and_changes_nothing(found, send, chosen, message):
    view = hardness_explorer(found)
    view.select("below 0.5")
    with pytest.raises(BadArgument, match=message):
        view.chosen = chosen
    assert "but" in send(view.core, "choose", chosen=chosen)["error"]
    assert view.chosen == view.core.chosen == {"band": "below 0.5", "part": "all"}


def test_the_browser_gets_counts_and_pages_of_rows(found, send):
    view = hardness_explorer(found, rules=RULES, margins=(0.0,))
    told = send(view.core, "level", checkpoint="mined")
    json.dumps(told, allow_nan=False)
    assert sum(one["found"] for one in told["bands"]) == len(cells(found))
    assert [sum(one["counts"]) for one in told["bands"]] == [one["found"] for one in told["bands"]]
    for i, j, n in told["density"]["cells"]:
        assert view.level.grid.counts[i, j] == n > 0
    assert (
        told["found"] == view.level.grid.counts.sum() == sum(c[2] for c in told["density"]["cells"])
    )
    assert send(view.core, "choose", chosen={"band": "no share", "part": "all"}) == {"count": 7}
    assert view.chosen == {"band": "no share", "part": "all"}
    shown = send(view.core, "rows", start=5)
    assert (shown["count"], len(shown["rows"])) == (7, 2)
    assert shown["heading"] == "7 rows behind share no share, all, hardest first"
    assert send(view.core, "choose", chosen={}) == {"count": 0}


def test_checkpoints_are_stepped_through(send):
    rounds = {f"step {seed}": mined(seed) for seed in range(3)}
    view = hardness_explorer(rounds, bins=4)
    assert repr(view).endswith("kept, 3 checkpoints)")
    assert view.checkpoint == "step 2"
    view.select("below 0.5")
    before = list(view.ids)
    told = send(view.core, "level", checkpoint="step 0")
    assert view.checkpoint == told["checkpoint"] == "step 0"
    assert view.chosen == {"band": "below 0.5", "part": "all"}
    assert len(view.ids) == view.level.bands().loc["below 0.5", "found"]
    assert view.ids != before
    assert told["movement"]["lines"][0]["name"] == "mean"
    json.dumps(told, allow_nan=False)
    view.select_cell(0, 0)
    view.checkpoint = "step 1"
    assert (view.chosen, view.ids) == ({}, [])
    with pytest.raises(BadArgument, match="`checkpoint` is 'x', but it must be one of step 0"):
        view.checkpoint = "x"


def test_a_guide_comes_with_what_if(found, collection):
    rng = np.random.default_rng(0)

    def side(ids):
        values = rng.normal(size=(len(ids), 4)).astype(np.float32)
        return Vectors(values=values, ids=ids, encoder="guide")

    guide = (side(found.query_ids), side(found.doc_ids))
    what_if = WhatIf(found, collection=collection, guide=guide)
    view = hardness_explorer(found, rules=[rules.Guide(margin=0.0)], what_if=what_if)
    dropped = int((what_if([rules.Guide(margin=0.0)]).weight <= 0)[found.docs >= 0].sum())
    assert int((view.level.code > 0).sum()) == dropped > int((found.weight <= 0).sum())
    with pytest.raises(BadArgument, match="needs guide"):
        hardness_explorer(found, rules=[rules.Guide()])


def test_what_does_not_fit_is_refused_at_once(found, collection):
    short = {name: getattr(found, name)[:, :0] for name in ("docs", "scores", "ranks", "weight")}
    without_ranks = replace(found, **short)
    for candidates, message in (
        ({}, r"`candidates` is \{\}, but it must hold a checkpoint"),
        ({"a": without_ranks}, "there must be a query and a rank"),
    ):
        with pytest.raises(BadArgument, match=message):
            hardness_explorer(candidates)
    with pytest.raises(BadArgument, match="`bins` is 0"):
        hardness_explorer(found, bins=0)
    with pytest.raises(BadArgument, match="`margins` is inf"):
        hardness_explorer(found, margins=(float("inf"),))
    with pytest.raises(BadData, match="candidates' queries"):
        hardness_explorer(mined(queries=5), collection=collection)
    rounds = {"a": found, "b": mined(1)}
    with pytest.raises(BadArgument, match="`what_if` is 'WhatIf', but there are several"):
        hardness_explorer(rounds, what_if=WhatIf(found))
    with pytest.raises(BadArgument, match="`truth` is 'c', but it must be one of a, b"):
        hardness_explorer(rounds, truth={"c": np.zeros(found.docs.shape, dtype=np.bool_)})


@pytest.mark.slow
def test_hand_over_to_an_inspector(tmp_path):
    candidates, collection, guides, truth = toy_audit(facts=8, k=5)
    what_if = WhatIf(candidates, collection=collection, guide=next(iter(guides.values())))
    view = hardness_explorer(
        candidates, rules=[rules.Guide()], what_if=what_if, truth=truth, collection=collection
    )
    table = view.level.bands()
    assert table["false_negatives"].sum() == (truth & (candidates.docs >= 0)).sum() > 0
    inspector = inspect(candidates, collection, store=tmp_path / "judgments.sqlite")
    with pytest.raises(BadArgument, match=r"`chosen` is \{\}, but there are no rows behind it"):
        view.hand_over(inspector)
    ids = view.select(str(table["found"].idxmax()))
    view.hand_over(inspector)
    shown = [tuple(pair) for pair in inspector.ids]
    assert shown == [tuple(pair) for pair in ids]


@pytest.mark.slow
def test_the_twin_keeps_pictures_and_numbers(found, collection):
    rounds = {"before": mined(1), "after": found}
    view = hardness_explorer(rounds, collection=collection, rules=RULES, margins=(0.0,))
    view.select("below 0.5")
    twin = view.twin()
    assert "<img alt=" in twin.html
    assert "<script" not in twin.html
    assert "&lt;script&gt;" in twin.html
    assert twin.digest["found"] == len(cells(found))
    assert sum(one["found"] for one in twin.digest["bands"]) == len(cells(found))
    assert twin.digest["ids"] == [list(pair) for pair in view.ids[:20]]
    assert twin == view.twin()


def test_the_picture_stacks_every_candidate(found):
    view = hardness_explorer(found, rules=RULES)
    figure = drawing(view.level.grid, view.level.bands(), view.level.names, (0.0, 0.1))
    assert isinstance(figure, Figure)
    heights = sum(bar.get_height() for bar in figure.axes[1].patches)
    assert heights == len(cells(found))
