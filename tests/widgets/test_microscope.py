"""The microscope: tiles by brute force, cells as `explain` has them, steps, traits, its twin."""

import json

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from workbench import rules
from workbench.data import from_rows
from workbench.encode import scratch
from workbench.errors import BadArgument, BadData
from workbench.sample import Shuffled
from workbench.train import (
    Contrast,
    Embedded,
    Hard,
    InBatch,
    Knowledge,
    Mixed,
    Queue,
    Recipe,
    explain,
    fit,
)
from workbench.types import Batch, Candidates, Vectors
from workbench.widgets.matrix import (
    LONGEST,
    MODES,
    PRINTED,
    Tiles,
    cell_of,
    drawing,
    heaviest,
    layer,
    segments,
    summary,
    tile_starts,
)
from workbench.widgets.microscope import microscope
from workbench.widgets.pages import embedded, pages_of

HOSTILE = "<script>window.broken = 1</script> <img src=x onerror=alert(1)> **bold** שלום 🐍"


@pytest.fixture(scope="module")
def collection():
    rows = [
        {"query": f"how to {n} {HOSTILE}", "positive": f"def f{n}(): return {n}"} for n in range(12)
    ]
    return from_rows(rows, name="toy")


@pytest.fixture(scope="module")
def vectors(collection):
    rng = np.random.default_rng(0)

    def side(ids):
        values = rng.normal(size=(len(ids), 8)).astype(np.float32)
        return Vectors(values=values, ids=ids, encoder="demo")

    return side(collection.query_ids), side(collection.doc_ids)


CONTRAST = Contrast(candidates=[InBatch("ap", "aa", "pp")], rules=[rules.Margin(margin=0.0)])


@pytest.fixture(scope="module")
def sampler(collection):
    return Shuffled(collection.pairs, batch_size=4)


@pytest.fixture(scope="module")
def found(collection, vectors, sampler):
    ids = (collection.query_ids, collection.doc_ids)
    knowledge = Knowledge.of(collection)
    return explain(CONTRAST, embedded(sampler.batch(0), *vectors), knowledge, ids=ids)


@pytest.fixture
def view(found, collection):
    return microscope(found, collection=collection)


@pytest.fixture(scope="module")
def run(collection):
    encoder = scratch(
        collection.query_texts + collection.doc_texts, kind="bag", dim=8, vocab_size=100
    )
    made = fit(
        encoder,
        collection,
        Shuffled(collection.pairs, batch_size=4, seed=3),
        Contrast(),
        recipe=Recipe(steps=4, learning_rate=1e-2),
    )
    for _ in made:
        pass
    return made


# -- tiles ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[3, 4], [1], [10, 1, 25], [7, 7, 7]])
@pytest.mark.parametrize("most", [3, 4, 9, 100])
def test_tiles_cover_every_cell_once_and_cross_no_border(sizes, most):
    starts = tile_starts(sizes, most)
    total, borders = sum(sizes), np.cumsum([0, *sizes])[:-1]
    assert starts[0] == 0
    assert (np.diff(starts) > 0).all()
    assert starts[-1] < total
    assert set(borders.tolist()) <= set(starts.tolist())
    assert len(starts) <= max(most, len(sizes))
    if total <= most:
        assert starts.tolist() == list(range(total))
    with pytest.raises(BadArgument, match=r"`most` is 0, but it must be a whole number >= 1"):
        tile_starts(sizes, 0)


def test_the_largest_cell_of_each_tile_by_brute_force(found, rng):
    tiles = Tiles.of(found, most=(3, 7))
    assert not tiles.whole
    matrix = rng.normal(size=tiles.shape).astype(np.float32)
    matrix[1, 2] = np.nan
    drawn = tiles.largest(matrix)
    ends = [[*tiles.rows.tolist(), tiles.shape[0]], [*tiles.columns.tolist(), tiles.shape[1]]]
    for i in range(len(tiles.rows)):
        for j in range(len(tiles.columns)):
            cells = [
                (r, c)
                for r in range(ends[0][i], ends[0][i + 1])
                for c in range(ends[1][j], ends[1][j + 1])
            ]
            best = max(
                (matrix[cell] for cell in cells if not np.isnan(matrix[cell])), default=np.nan
            )
            np.testing.assert_equal(drawn[i, j], best)
            assert tiles.cell(matrix, (i, j)) in cells
            assert all(tiles.tile(*cell) == (i, j) for cell in cells)
            if np.isfinite(best):
                assert matrix[tiles.cell(matrix, (i, j))] == best


def test_a_small_batch_is_drawn_as_it_is(found):
    tiles = Tiles.of(found)
    assert tiles.whole
    for mode in MODES:
        assert tiles.largest(layer(found, mode)) is layer(found, mode)
    with pytest.raises(BadArgument, match=r"`mode` is 'wait'.*one of reason, score, weight, share"):
        layer(found, "wait")


def test_segments_are_runs():
    names = np.array(["ap", "ap", "aa", "an", "an"], dtype=object)
    assert segments(names) == [("ap", 0, 2), ("aa", 2, 1), ("an", 3, 2)]
    assert segments(names[:0]) == []


# -- one cell -------------------------------------------------------------------------------------


def test_every_cell_says_what_explain_says(found, collection):
    texts = {"query": collection.query_texts, "doc": collection.doc_texts}
    for row in range(len(found.queries)):
        for column in range(len(found.blocks)):
            told = cell_of(found, row, column, collection)
            side = "query" if found.blocks[column] == "aa" else "doc"
            ids = collection.query_ids if side == "query" else collection.doc_ids
            place = found.positions[column]
            assert told["candidate"] == ids[place]
            assert told["candidate_text"] == texts[side][place]
            assert told["query_text"] == texts["query"][found.queries[row]]
            assert told["positive"] == collection.doc_ids[found.docs[row]]
            assert told["looks"] == ("positive" if found.blocks[column] == "pp" else "query")
            assert told["score"] == pytest.approx(float(found.scores[row, column]))
            assert told["share"] == pytest.approx(float(found.share[row, column]))
            assert told["weight"] == float(found.weight[row, column])
            assert told["reason"] == found.reasons[found.reason[row, column]]
            json.dumps(told, allow_nan=False)


def test_a_cell_without_texts_ids_or_numbers():
    both = torch.eye(3)
    apart = explain(Contrast(), Embedded.of(both, both))
    apart.scores[0, 1] = np.nan
    told = cell_of(apart, 0, 1)
    assert (told["query"], told["candidate"], told["query_text"]) == (0, 1, "")
    assert told["score"] is None
    for at, message in (
        ((3, 0), r"`row` is 3, but there are 3, counted from 0"),
        ((0, -1), r"`column` is -1, but it must be a whole number >= 0"),
    ):
        with pytest.raises(BadArgument, match=message):
            cell_of(apart, *at)


def test_a_mix_names_what_it_is_made_of(collection, vectors, sampler):
    contrast = Contrast(candidates=[InBatch("ap"), Mixed(3, pairs=2, with_anchor=1)])
    ids = (collection.query_ids, collection.doc_ids)
    apart = explain(contrast, embedded(sampler.batch(0), *vectors), ids=ids)
    columns = np.flatnonzero(apart.blocks == "mixed")
    for place, column in enumerate(columns.tolist()):
        told = cell_of(apart, 1, column, collection)
        assert told["candidate"] is None
        for source in apart.sources[1, place].tolist():
            text = (
                collection.query_texts[apart.queries[1]]
                if source < 0
                else collection.doc_texts[source]
            )
            assert text in told["candidate_text"]


def test_a_huge_text_is_cut(found):
    rows = [{"query": "x" * 5000, "positive": f"def f{n}(): return {n}"} for n in range(2)]
    huge = from_rows(rows, name="huge")
    both = torch.eye(2)
    told = cell_of(explain(Contrast(), Embedded.of(both, both)), 0, 1, huge)
    assert told["query_text"] == "x" * LONGEST + "... (5,000 characters)"


def test_the_heaviest_of_a_row_are_those_of_explain(found):
    everything = found.heaviest(4)
    for row in range(len(found.queries)):
        frame = heaviest(found, row, top=4)
        wanted = everything[everything["row"] == row].reset_index(drop=True)
        assert frame.drop(columns="column").to_dict() == wanted.to_dict()
        assert found.share[row, frame["column"]].tolist() == wanted["share"].tolist()
    with pytest.raises(BadArgument, match="`row` is 4, but there are 4"):
        heaviest(found, 4)
    with pytest.raises(BadArgument, match="`top` is 0"):
        heaviest(found, 0, top=0)


def test_the_summary_adds_up(found):
    told = summary(found)
    assert sum(told["reasons"].values()) == found.reason.size
    assert told["kept"] == told["reasons"]["kept"] == sum(one["kept"] for one in told["blocks"])
    assert [one["block"] for one in told["blocks"]] == ["ap", "aa", "pp"]
    assert told["loss"] == pytest.approx(float(found.values.mean()))
    json.dumps(told, allow_nan=False)


def test_the_picture_paints_dropped_cells_in_the_colour_of_their_reason(found):
    figure = drawing(found)
    assert isinstance(figure, Figure)
    painted = figure.axes[0].images[0].get_array()
    coloured = ~np.isclose(painted, painted[:, :, :1]).all(axis=2)
    np.testing.assert_array_equal(coloured, found.reason > 0)
    shades = {tuple(painted[found.reason == code][0]) for code in np.unique(found.reason) if code}
    assert len(shades) == len(np.unique(found.reason)) - 1


def test_a_static_picture_is_no_larger_than_it_can_show():
    both = torch.nn.functional.normalize(
        torch.randn(700, 4, generator=torch.Generator().manual_seed(0)), dim=1
    )
    figure = drawing(explain(Contrast(), Embedded.of(both, both.flip(0).contiguous())))
    rows, columns = figure.axes[0].images[0].get_array().shape[:2]
    assert rows <= PRINTED[0]
    assert columns <= PRINTED[1]


# -- vectors instead of training ------------------------------------------------------------------


def test_vectors_make_the_batch_that_brute_force_makes(vectors):
    queries, docs = vectors
    batch = Batch(
        rows=np.arange(2),
        queries=np.array([3, 5]),
        docs=np.array([4, 2]),
        negatives=np.array([[7, 8, -1], [-1, 9, 1]]),
    )
    made = embedded(batch, queries, docs, hard=2)
    assert made.negative_docs.tolist() == [7, 8, 9]
    assert made.owners.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(made.anchors.numpy(), queries.values[[3, 5]])
    np.testing.assert_array_equal(made.positives.numpy(), docs.values[[4, 2]])
    np.testing.assert_array_equal(made.negatives.numpy(), docs.values[[7, 8, 9]])
    assert len(embedded(batch, queries, docs).negative_docs) == 4
    far = Batch(
        rows=batch.rows, queries=batch.queries, docs=np.array([12, 0]), negatives=batch.negatives
    )
    with pytest.raises(BadArgument, match=r"`batch docs` is 12, but there are vectors of .* 12"):
        embedded(far, queries, docs)
    narrow = Vectors(values=docs.values[:, :4], ids=docs.ids, encoder="other")
    with pytest.raises(BadArgument, match=r"`vectors` is \(8, 4\), but both sides must have one"):
        embedded(batch, queries, narrow)


def test_a_sampler_is_stepped_through_without_training(collection, vectors, sampler):
    knowledge = Knowledge.of(collection)
    view = microscope(
        sampler, collection=collection, contrast=CONTRAST, vectors=vectors, knowledge=knowledge
    )
    assert view.page.name == "epoch 0, batch 0"
    for place in range(3):
        assert view.page.found.queries.tolist() == sampler.batch(place).queries.tolist()
        assert view.page.report == sampler.batch(place).report
        view.turn()
    assert view.place == 2
    assert view.turn(-5).name == "epoch 0, batch 0"


def test_mined_negatives_come_with_the_batch(collection, vectors):
    docs = np.stack([np.roll(np.arange(12), -shift) for shift in (1, 2, 3)], axis=1)
    mined = Candidates(
        query_ids=collection.query_ids,
        doc_ids=collection.doc_ids,
        docs=docs,
        scores=np.zeros(docs.shape, np.float32),
        ranks=np.ones(docs.shape, np.int32),
        weight=np.ones(docs.shape, np.float32),
        positive_scores=np.ones(12, np.float32),
        miner="made",
    )
    sampler = Shuffled(collection.pairs, batch_size=4, negatives=mined, num_negatives=3)
    contrast = Contrast(candidates=[InBatch("ap"), Hard(2)])
    view = microscope(sampler, contrast=contrast, vectors=vectors)
    assert [(name, size) for name, _, size in segments(view.explanation.blocks)] == [
        ("ap", 4),
        ("an", 8),
    ]


def test_a_question_about_another_batch_turns_to_it(vectors, sampler, send):
    """The browser's question may overtake the trait it has just set."""
    view = microscope(sampler, contrast=CONTRAST, vectors=vectors)
    told = send(view.core, "batch", place=2)
    assert (told["place"], told["name"], view.place) == (2, "epoch 0, batch 2", 2)
    assert "`place` is 3, but there are 3" in send(view.core, "batch", place=3)["error"]


def test_a_list_of_batches_does_too(vectors, sampler):
    view = microscope(list(sampler), contrast=CONTRAST, vectors=vectors, step=2)
    assert view.page.name == "batch 2"
    assert view.select(0, 1)["query_text"] == ""


def test_what_is_missing_or_wrong_is_said_before_any_work(collection, vectors, sampler):
    with pytest.raises(BadArgument, match=r"`contrast` is None, but batches that no run"):
        microscope(sampler, vectors=vectors)
    with pytest.raises(BadArgument, match=r"`vectors` is None, but batches that no run"):
        microscope(sampler, contrast=CONTRAST)
    with pytest.raises(BadArgument, match=r"`found` is \[\], but it must be an Explanation, a Run"):
        microscope([], contrast=CONTRAST, vectors=vectors)
    with pytest.raises(BadArgument, match=r"`found` is 3, but it must be an Explanation, a Run"):
        pages_of([3], contrast=CONTRAST, vectors=vectors)
    with pytest.raises(BadArgument, match="its columns exist only while a run trains"):
        microscope(sampler, contrast=Contrast(candidates=[Queue(8)]), vectors=vectors)
    with pytest.raises(BadArgument, match="`step` is 3, but there are 3, counted from 0"):
        microscope(sampler, contrast=CONTRAST, vectors=vectors, step=3)
    with pytest.raises(BadArgument, match="`mode` is 'scores'"):
        microscope(sampler, contrast=CONTRAST, vectors=vectors, mode="scores")
    with pytest.raises(BadData, match="vectors doc vectors"):
        microscope(
            sampler, collection=collection, contrast=CONTRAST, vectors=(vectors[0], vectors[0])
        )
    contrast = Contrast(rules=[rules.Guide()])
    with pytest.raises(BadArgument, match=r"needs guide"):
        microscope(sampler, contrast=contrast, vectors=vectors)


# -- a run ----------------------------------------------------------------------------------------


def test_the_steps_of_a_run_are_replayed(run):
    view = microscope(run)
    assert view.page.name == "step 4"
    assert view.cell["query_text"] in run.collection.query_texts
    view.turn(-1)
    assert (view.place, view.page.name) == (2, "step 3")
    wanted = run.explain(3)
    np.testing.assert_array_equal(view.explanation.scores, wanted.scores)
    assert view.page.report == run.replay(3)[0].report
    assert microscope(run, step=1).page.name == "step 1"
    with pytest.raises(BadArgument, match=r"`step` is 9, but steps 1..4 are logged"):
        microscope(run, step=9)


def test_a_run_that_has_not_begun(collection):
    encoder = scratch(collection.query_texts, kind="bag", dim=8, vocab_size=100)
    fresh = fit(encoder, collection, Shuffled(collection.pairs, batch_size=4), Contrast())
    with pytest.raises(BadArgument, match="but no step of it is logged"):
        microscope(fresh)


def test_a_batch_that_cannot_be_replayed_is_said_in_the_view(run, send, monkeypatch):
    view = microscope(run)

    def changed(step):
        raise BadArgument("step", step, "the sampler changed", "Make it anew.")

    monkeypatch.setattr(run, "replay", changed)
    view.place = 0
    assert "the sampler changed" in send(view.core, "batch", place=0)["error"]
    with pytest.raises(BadArgument, match="the sampler changed"):
        _ = view.page


# -- traits ---------------------------------------------------------------------------------------


def test_it_begins_at_the_row_that_cost_most_and_its_heaviest_negative(view, found):
    row = int(found.values.argmax())
    assert (view.row, view.column) == (row, int(found.share[row].argmax()))
    assert view.cell == cell_of(found, view.row, view.column, view._collection)
    assert repr(view) == repr(view)
    kept = int((found.reason == 0).sum())
    assert repr(view) == f"Microscope(batch: 4 anchors x 12 candidates, {kept} kept)"


def test_choosing_a_cell_tells_whoever_watches_once(view, found, collection):
    seen = []
    view.observe(lambda change: seen.append(change["new"]), "cell")
    told = view.select(1, 5)
    assert (view.row, view.column) == (view.core.row, view.core.column) == (1, 5)
    assert told == dict(view.cell) == cell_of(found, 1, 5, collection)
    assert seen == [told]
    view.core.set_state({"row": 2, "column": 3})  # as the browser does
    assert (view.row, view.column) == (2, 3)
    assert seen[1:] == [cell_of(found, 2, 3, collection)]
    view.row = 0
    assert view.cell["row"] == view.core.row == 0


def test_what_is_no_cell_mode_or_batch_is_refused(view):
    for name, value, message in (
        ("row", 4, "`row` is 4, but there are 4"),
        ("column", 12, "`column` is 12, but there are 12"),
        ("place", 1, "`place` is 1, but there are 1"),
        ("mode", "x", "`mode` is 'x', but it must be one of"),
    ):
        with pytest.raises(BadArgument, match=message):
            setattr(view, name, value)
    with pytest.raises(BadArgument, match="`row` is 9"):
        view.select(9, 0)


def test_the_browser_gets_the_matrix_as_bytes(view, found, send):
    told = send(view.core, "batch", place=0)
    assert told["tiles"] == told["shape"] == [4, 12]
    assert [(one["name"], one["first"], one["count"]) for one in told["blocks"]] == [
        ("ap", 0, 4),
        ("aa", 4, 4),
        ("pp", 8, 4),
    ]
    assert sum(one["count"] for one in told["reasons"]) == 48
    for mode in MODES:
        head, (sent,) = view._layer({"mode": mode})
        kind = np.int8 if mode == "reason" else np.float32
        numbers = np.frombuffer(sent, dtype=kind).reshape(4, 12)
        np.testing.assert_array_equal(numbers, layer(found, mode))
        assert (head["low"], head["high"]) == (numbers.min(), numbers.max())
    assert "one of reason" in send(view.core, "layer", mode="x")["error"]


def test_the_browser_asks_for_cells_and_rows(view, found, collection, send):
    assert send(view.core, "cell", row=1, column=2, mode="score") == cell_of(
        found, 1, 2, collection
    )
    assert "`row` is 4" in send(view.core, "cell", row=4, column=0, mode="score")["error"]
    assert "`column` is None" in send(view.core, "cell", row=0, mode="score")["error"]
    told = send(view.core, "row", row=1)
    frame = heaviest(found, 1)
    assert [one["column"] for one in told["heaviest"]] == frame["column"].tolist()
    assert [one["candidate"] for one in told["heaviest"]] == frame["candidate"].tolist()


def test_a_large_batch_is_sent_as_tiles_and_a_tile_is_read_as_its_largest_cell(send, monkeypatch):
    monkeypatch.setattr(Tiles, "of", _few(Tiles.of))
    both = torch.nn.functional.normalize(
        torch.randn(9, 6, generator=torch.Generator().manual_seed(0)), dim=1
    )
    apart = explain(
        Contrast(candidates=[InBatch("ap", "aa")]), Embedded.of(both, both.flip(0).contiguous())
    )
    view = microscope(apart)
    told = send(view.core, "batch", place=0)
    assert told["shape"] == [9, 18]
    assert told["tiles"] == [3, 6]
    assert told["note"] == "a point is the largest cell of its tile"
    assert sum(one["count"] for one in told["blocks"]) == 6
    _, (sent,) = view._layer({"mode": "share"})
    drawn = np.frombuffer(sent, dtype=np.float32).reshape(3, 6)
    cell = send(view.core, "cell", row=1, column=4, mode="share")
    assert cell["share"] == pytest.approx(float(drawn[1, 4]))
    assert drawn[1, 4] == apart.share[3:6, 12:15].max()


def _few(of):
    return lambda found: of(found, most=(3, 6))


# -- the twin -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_twin_keeps_the_picture_and_the_numbers(view, found):
    view.select(1, 0)
    twin = view.twin()
    assert "<img alt=" in twin.html
    assert "<script" not in twin.html
    assert "&lt;script&gt;" in twin.html
    assert twin.digest["kept"] == int((found.reason == 0).sum())
    assert twin.digest["row"] == 1
    assert [one["candidate"] for one in twin.digest["heaviest"]] == heaviest(found, 1)[
        "candidate"
    ].tolist()
    again = microscope(found, collection=view._collection)
    again.select(1, 0)
    assert again.twin() == twin
