"""Which mined negatives a row takes: ranks, luck, margins."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from workbench import mine
from workbench.data import from_rows
from workbench.errors import BadArgument, BadData
from workbench.sample import ConflictFree, Shuffled, margin_bins
from workbench.sample.drawing import dice


@pytest.mark.shared
def test_the_gold_bins(shared):
    cases = json.loads((shared / "gold/retrieval.json").read_text())
    (case,) = [case for case in cases if case["case"].startswith("margin bins")]
    margins = np.array([case["inputs"]["margins"]])
    for bins in (10, 4):
        placed = margin_bins(margins, bins=bins)[0]
        found = [np.flatnonzero(placed == one).tolist() for one in range(bins)]
        assert found == case["expected"][f"bins_h{bins}"]


def test_equal_margins_are_one_bin_and_the_largest_stays_inside():
    # The released loader divides by a bin width of 0 here.
    margins = np.array([[2.0, 2.0, np.nan], [0.0, 1.0, 0.999], [np.nan] * 3])
    assert margin_bins(margins, bins=10).tolist() == [[0, 0, -1], [0, 9, 9], [-1, -1, -1]]
    with pytest.raises(BadArgument, match=r"`bins` is 0, but it must be a whole number >= 1"):
        margin_bins(margins, bins=0)


def test_dice_are_uniform_and_independent_of_each_other():
    drawn = dice(3, 1, np.arange(4000), width=50)
    counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
    chi = ((counts - 10_000) ** 2 / 10_000).sum()
    assert chi < 45  # the 99.9 % point of 19 degrees of freedom is 43.8
    assert drawn.min() >= 0
    assert drawn.max() < 1
    for other in (
        dice(3, 2, np.arange(4000), width=50),
        dice(4, 1, np.arange(4000), width=50),
        dice(3, 1, np.arange(4000), width=50, stream=1),
        dice(3, 1, np.arange(4000, 8000), width=50),
        np.roll(drawn, 1, axis=1),
        np.roll(drawn, 1, axis=0),
    ):
        assert abs(np.corrcoef(drawn.ravel(), other.ravel())[0, 1]) < 0.01


def drawn(candidates, *, docs, rows=1, num_negatives=1, epochs=1, weight=None, scores=None, **how):
    """(epoch, row, place) negatives of the rows of query 0."""
    found = candidates([docs], corpus=max(docs) + 1, weight=weight)
    if scores is not None:
        found = replace(found, scores=np.array([scores], dtype=np.float32))
    pairs = np.stack([np.zeros(rows, dtype=np.int64), np.arange(rows)], axis=1)
    sampler = Shuffled(pairs, batch_size=rows, negatives=found, num_negatives=num_negatives, **how)
    made = [sampler.batch(0, epoch=epoch) for epoch in range(epochs)]
    return np.stack([batch.negatives[np.argsort(batch.rows)] for batch in made])


def test_a_random_draw_is_uniform_over_the_window_and_never_repeats_itself(candidates):
    # STAR: one static negative of the top 200, here 2 of ranks 6..15 of 30.
    docs = np.arange(30).tolist()
    found = drawn(
        candidates, docs=docs, rows=2000, num_negatives=2, draw="random", window=(5, 15), epochs=2
    )
    counts = np.bincount(found.ravel(), minlength=30)
    assert (counts[:5] == 0).all()
    assert (counts[15:] == 0).all()
    expected = 2 * 2 * 2000 / 10
    assert ((counts[5:15] - expected) ** 2 / expected).sum() < 28  # 9 degrees of freedom, 99.9 %
    assert (found[..., 0] != found[..., 1]).all()
    assert (found[0] != found[1]).any(axis=1).mean() > 0.9


def test_the_window_counts_what_rules_kept(candidates):
    kept = [0, 1, 0, 1, 1, 1]
    top = drawn(candidates, docs=[9, 8, 7, 6, 5, 4], weight=[kept], num_negatives=2, window=(1, 3))
    assert top.tolist() == [[[6, 5]]]
    short = drawn(
        candidates, docs=[9, 8], rows=50, num_negatives=3, window=(1, None), draw="random"
    )
    assert {tuple(row) for row in short[0].tolist()} == {(8, -1, -1)}
    none = drawn(candidates, docs=[9, 8], num_negatives=1, window=(2, 9))
    assert none.tolist() == [[[-1]]]


def test_bins_are_drawn_uniformly_and_rows_uniformly_inside(candidates):
    # 12 easy candidates, 3 middling, 1 hard: margins 10.., 5.., 0.
    margins = [*np.linspace(9.05, 9.95, 12), 5.0, 5.1, 5.2, 0.0]
    docs = np.arange(16).tolist()
    found = drawn(
        candidates,
        docs=docs,
        scores=[1 - margin for margin in margins],
        rows=6000,
        draw="margin_bins",
    )
    counts = np.bincount(found.ravel(), minlength=16)
    bins = np.array([counts[:12].sum(), counts[12:15].sum(), counts[15]])
    assert (np.abs(bins - 2000) < 150).all()
    assert (np.abs(counts[:12] - 2000 / 12) < 60).all()
    assert (np.abs(counts[12:15] - 2000 / 3) < 110).all()


def test_several_draws_come_from_several_bins(candidates):
    scores = [0.0, 0.01, 0.02, 0.5, 1.0]
    found = drawn(
        candidates,
        docs=[0, 1, 2, 3, 4],
        scores=scores,
        rows=300,
        num_negatives=4,
        draw="margin_bins",
        bins=3,
    )[0]
    assert all({3, 4} < set(row) for row in found.tolist())
    assert all(len(set(row)) == 4 for row in found.tolist())
    assert {row[0] for row in found.tolist()} == {0, 1, 2, 3, 4}


def test_balanced_bins_are_nearer_to_uniform_than_random_draws(candidates):
    # Teacher margins as they are: most negatives easy, few hard. Gate: <= .2 and < half of random.
    rng = np.random.default_rng(0)
    margins = 10 * rng.beta(4, 1.5, size=(300, 60))
    found = replace(
        candidates(np.tile(np.arange(60), (300, 1)), corpus=60),
        scores=(1 - margins).astype(np.float32),
    )
    pairs = np.stack([np.arange(300), np.arange(300)], axis=1)
    placed = margin_bins(margins)

    def distance(draw):
        sampler = Shuffled(pairs, batch_size=300, negatives=found, num_negatives=1, draw=draw)
        counts = np.zeros(10)
        for epoch in range(20):
            batch = sampler.batch(0, epoch=epoch)
            counts += np.bincount(placed[batch.queries, batch.negatives[:, 0]], minlength=10)
        return np.abs(counts / counts.sum() - 0.1).sum() / 2

    balanced, random = distance("margin_bins"), distance("random")
    assert balanced <= 0.2
    assert balanced < random / 2


@pytest.mark.parametrize("draw", ["random", "margin_bins"])
def test_conflict_free_passes_over_the_unsafe_ones_of_any_draw(graph, candidates, draw):
    rng = np.random.default_rng(2)
    pairs = np.stack([np.arange(40), np.arange(40)], axis=1)
    docs = rng.permuted(np.tile(np.arange(60), (40, 1)), axis=1)[:, :30]
    sampler = ConflictFree(
        pairs,
        batch_size=20,
        known=graph(pairs, doc_groups=np.arange(60)),
        negatives=candidates(docs, corpus=60),
        num_negatives=1,
        draw=draw,
        window=(0, 25),
    )
    seen = set()
    for epoch in range(6):
        sampler.set_epoch(epoch)
        for batch in sampler:
            used = batch.negatives.ravel()
            assert not np.isin(used, batch.queries).any()  # document i answers query i
            assert len(set(used.tolist())) == 20
            for query, doc in zip(batch.queries.tolist(), used.tolist(), strict=True):
                assert doc in docs[query, :25]
                seen.add((query, doc))
    assert len(seen) > 150  # of 240: another one almost every time


def test_a_draw_does_not_depend_on_the_batch(candidates):
    docs = np.tile(np.arange(50), (64, 1))
    pairs = np.stack([np.arange(64), np.arange(64)], axis=1)
    found = []
    for batch_size in (8, 64):
        sampler = Shuffled(
            pairs,
            batch_size=batch_size,
            negatives=candidates(docs, corpus=64),
            num_negatives=3,
            draw="random",
        )
        rows = np.concatenate([batch.rows for batch in sampler])
        own = np.concatenate([batch.negatives for batch in sampler])
        found.append(own[np.argsort(rows)].tolist())
    assert found[0] == found[1]


def test_mistakes_are_refused_with_the_mend(candidates):
    pairs = np.array([[0, 0], [1, 1]])
    some = candidates([[1, 0], [0, 1]], corpus=2)

    def make(negatives=some, **options):
        return Shuffled(pairs, batch_size=2, negatives=negatives, num_negatives=1, **options)

    with pytest.raises(BadArgument, match=r"`draw` is 'bins', but it must be one of top, random"):
        make(draw="bins")
    with pytest.raises(BadArgument, match=r"`window` is \(3, 3\), but it must hold at least num"):
        make(window=(3, 3))
    with pytest.raises(BadArgument, match=r"`window\[0\]` is -1"):
        make(window=(-1, 3))
    with pytest.raises(BadArgument, match=r"`window\[1\]` is 0"):
        make(window=(0, 0))
    with pytest.raises(BadArgument, match=r"`bins` is 0"):
        make(bins=0)
    blind = replace(some, scores=np.full((2, 2), np.nan, dtype=np.float32))
    make(negatives=blind, draw="random")
    with pytest.raises(BadData, match="query q0 has a candidate without a margin"):
        make(negatives=blind, draw="margin_bins")


class Lengths:
    """Scores a pair by the length of the document, once up and once down."""

    def __init__(self, sign):
        self.sign = sign

    def scores(self, queries, docs):
        return np.array([self.sign * float(len(doc)) for doc in docs])


@pytest.mark.parametrize("window", [(0, None), (1, 3)])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_list_in_another_order_is_drawn_from_in_that_order(sign, window):
    rows = [{"query": f"a b z{n}", "positive": "a " + "b " * n + f"z{n}"} for n in range(5)]
    demo = from_rows(rows, name="demo")
    again = mine.rescore(mine.bm25(demo, k=4), demo, Lengths(sign))
    sampler = Shuffled(demo.pairs, batch_size=5, negatives=again, num_negatives=2, window=window)
    (batch,) = list(sampler)
    chosen = mine.choose(again, 2, window=window)
    np.testing.assert_array_equal(batch.negatives, chosen.docs[batch.queries])
    lengths = np.array([len(text) for text in demo.doc_texts])[chosen.docs]
    assert (sign * np.diff(lengths, axis=1) < 0).all()


def test_margin_bins_ask_scores_of_the_queries_of_rows_only(candidates):
    pairs = np.array([[0, 0], [2, 2]])
    some = candidates([[1, 2], [0, 2], [0, 1]], corpus=3)
    some = replace(some, positive_scores=np.array([1, np.nan, 1], dtype=np.float32))
    options = {"batch_size": 2, "num_negatives": 2, "draw": "margin_bins"}
    (batch,) = list(Shuffled(pairs, negatives=some, **options))
    found = dict(zip(batch.queries.tolist(), np.sort(batch.negatives).tolist(), strict=True))
    assert found == {0: [1, 2], 2: [0, 1]}
    with pytest.raises(BadData, match="query q1 has a candidate without a margin"):
        Shuffled(np.array([[0, 0], [1, 1]]), negatives=some, **options)
