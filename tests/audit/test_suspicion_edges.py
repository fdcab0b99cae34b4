"""Suspicion, draws and counts where input is unusual: losses, labels in the list, several draws."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import binomtest

from workbench.audit import (
    JudgedSample,
    choose_margin,
    compare_rules,
    draw,
    evidence,
    false_negatives,
    hide,
    margin_curve,
    relabelled,
    suspicion,
)
from workbench.audit.evidence import Evidence
from workbench.audit.suspicion import Suspicion
from workbench.audit.toys import toy_audit, toy_verdicts
from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, BadData
from workbench.mine import apply_rules, bm25, dense
from workbench.rules import Judged, RankWindow, Threshold
from workbench.types import Candidates, LossStore, Vectors, Verdicts


@cache
def world(labels=3):
    return toy_audit(labels=labels, facts=20)


@cache
def suspected():
    candidates, collection, guides, _ = world()
    return suspicion(candidates, collection, guides=guides)


def losses_of(collection, values):
    store = LossStore.empty(len(collection.pairs), 1)
    store.record(np.arange(len(collection.pairs)), values, epoch=0)
    return store


def only(candidates, keep):
    """The list with only these cells."""
    return replace(candidates, docs=np.where(keep, candidates.docs, -1))


# -- what is hidden -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("labels", [3, 1])
def test_losses_of_hidden_pairs_are_hidden_too(labels):
    """Each query's cost is the mean over the labels it has left."""
    candidates, collection, guides, _ = world(labels)
    costs = np.arange(len(collection.pairs), dtype=np.float32)
    found = suspicion(candidates, collection, guides=guides, losses=losses_of(collection, costs))
    assert np.isfinite(found.probability[candidates.docs >= 0]).all()
    hidden = hide(candidates, collection, guides=guides, losses=losses_of(collection, costs))
    column = hidden.values[:, hidden.names.tolist().index("loss.mean")]
    if labels == 1:
        assert np.isnan(column).all()
        return
    owners = collection.pairs[:, 0]
    for query, value in zip(hidden.queries[:50], column[:50], strict=True):
        mine = costs[owners == query]
        left = (mine.sum() - mine) / (len(mine) - 1)  # one of them is hidden
        assert np.abs(left - value).min() < 1e-3


@pytest.mark.slow
def test_known_positives_in_the_list_are_no_candidates_nobody_labelled():
    """A miner that excludes nothing lists the hidden document twice, once as a negative."""
    _, collection, guides, _ = world()
    mined = dense(collection, *guides["toy"], k=15, exclude="nothing")
    known = KnownPositives.of(collection).paired(np.arange(len(mined.docs)), mined.docs)
    assert known.any()
    with_them = hide(mined, collection, guides=guides)
    without = hide(only(mined, ~known), collection, guides=guides)
    np.testing.assert_array_equal(with_them.values, without.values)
    np.testing.assert_array_equal(with_them.hidden, without.hidden)


@pytest.mark.slow
def test_a_table_without_labelled_pairs_is_not_learned_from():
    """Being unknown would tell hidden labels from candidates."""
    candidates, collection, guides, truth = world()
    rows, columns = np.nonzero(candidates.docs >= 0)
    values = np.where(truth[rows, columns], 3.0, 1.0).astype(np.float32)
    cells = (rows, candidates.docs[rows, columns])
    table = sparse.coo_array((values, cells), shape=collection.qrels.shape).tocsr()
    hidden = hide(candidates, collection, guides=guides, scores={"cross": table})
    view = dict(zip(hidden.names.tolist(), hidden.view.tolist(), strict=True))
    assert not view["cross"]
    assert not view["cross.outlier"]
    assert view["toy"]
    assert view["toy.margin"]
    whole = hide(
        candidates, collection, guides=guides,
        scores={"cross": lambda queries, docs: np.ones((len(queries), len(docs)))},
    )  # fmt: skip
    assert whole.view.all()


def test_names_that_another_signal_has_are_refused():
    candidates, collection, guides, _ = world()
    with pytest.raises(BadArgument, match=r"`guides` is 'bm25'"):
        suspicion(candidates, collection, guides={"bm25": guides["toy"]})
    for name in ("toy", "copy", "company", "a.margin"):
        scores = {name: sparse.csr_array(collection.qrels.shape, dtype=np.float32)}
        with pytest.raises(BadArgument, match="no other signal's"):
            evidence(candidates, collection, guides=guides, scores=scores)


# -- odd lists ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_empty_narrow_and_short_lists():
    candidates, collection, guides, truth = world()
    nothing = suspicion(only(candidates, candidates.docs < -1), collection, guides=guides)
    assert np.isnan(nothing.probability).all()
    assert nothing.recipe["prior"] == "nothing"
    with pytest.raises(BadArgument, match="nothing is left"):
        draw(nothing, 5)
    corner = np.zeros(candidates.docs.shape, dtype=np.bool_)
    corner[0, 0] = True
    one = suspicion(only(candidates, corner), collection, guides=guides)
    assert np.isfinite(one.probability).sum() == 1
    drawn = draw(one, 10)
    said = toy_verdicts(drawn.pairs(), candidates, truth)
    assert np.isfinite(one.judged(said).probability).sum() == 1
    count = false_negatives(drawn, said)
    assert count.low == count.count == count.high == truth[0, 0]
    narrow = dense(collection, *guides["toy"], k=1)
    assert np.isfinite(suspicion(narrow, collection, guides=guides).probability).all()
    short = bm25(collection, k=15)
    assert (short.docs < 0).any()
    found = suspicion(short, collection, guides=guides)
    np.testing.assert_array_equal(np.isfinite(found.probability), short.docs >= 0)


@pytest.mark.slow
def test_memory_maps_change_nothing(tmp_path):
    candidates, collection, guides, _ = world()
    mapped = []
    for place, side in enumerate(guides["toy"]):
        side.save(tmp_path / str(place))
        mapped.append(Vectors.load(tmp_path / str(place)))
    again = suspicion(candidates, collection, guides={"toy": tuple(mapped)})
    np.testing.assert_array_equal(again.probability, suspected().probability)


@pytest.mark.slow
def test_the_newest_judge_wins_and_pairs_elsewhere_teach_nothing():
    candidates, _, _, truth = world()
    drawn = draw(suspected(), 60)
    said = toy_verdicts(drawn.pairs(), candidates, truth)
    contrary = np.where(said.labels == "positive", "negative", "positive").astype(object)
    both = Verdicts(
        query_ids=np.r_[said.query_ids, ["nobody"], said.query_ids].astype(object),
        doc_ids=np.r_[said.doc_ids, ["nothing"], said.doc_ids].astype(object),
        labels=np.r_[contrary, ["positive"], said.labels].astype(object),
        judges=np.array(["first"] * 61 + ["second"] * 60, dtype=object),
    )
    np.testing.assert_array_equal(
        suspected().judged(both).probability, suspected().judged(said).probability
    )
    assert str(false_negatives(drawn, both)) == str(false_negatives(drawn, said))


# -- several draws --------------------------------------------------------------------------------


def test_draws_of_one_list_stand_together_for_all_of_it():
    """Pairs drawn twice keep the weight of both; what was judged before stands for itself."""
    candidates, _, _, truth = world()
    start = suspected()
    draws = [draw(start, 60, seed=seed) for seed in range(4)]
    pairs = [pair for one in draws for pair in one.pairs()]
    assert len(set(pairs)) < len(pairs)
    said = toy_verdicts(pairs, candidates, truth)
    sample = JudgedSample.of(candidates, said, draws)
    assert sample.weight.sum() == pytest.approx(draws[0].population)
    with pytest.raises(BadArgument, match="one stands there twice"):
        false_negatives([draws[0], draws[0]], said)


def test_what_was_judged_before_a_draw_is_part_of_the_sample():
    """Else the most suspicious, judged first, would be missing from precision and recall."""
    candidates, _, _, truth = world()
    start = suspected()
    top = draw(start, 300, how="top")
    first = toy_verdicts(top.pairs(), candidates, truth)
    later = draw(start.judged(first), 300)
    assert set(later.earlier()) == set(top.pairs())
    both = toy_verdicts([*top.pairs(), *later.pairs()], candidates, truth)
    sample = JudgedSample.of(candidates, both, later)
    assert len(sample) == 600
    assert sample.weight.sum() == pytest.approx(later.population)
    number = (truth & (start.probability > 0.9)).astype(np.float64)
    curve = margin_curve(sample, number).iloc[0]
    real = (number > 0).sum() / truth.sum()
    assert curve["recall"] == pytest.approx(real, abs=0.1)


def test_a_stratum_of_which_nothing_is_judged_is_spoken_for_by_its_neighbour():
    candidates, _, _, truth = world()
    drawn = draw(suspected(), 50)
    for gone in range(len(drawn.sizes)):
        pairs = [pair for pair, one in zip(drawn.pairs(), drawn.strata, strict=True) if one != gone]
        sample = JudgedSample.of(candidates, toy_verdicts(pairs, candidates, truth), drawn)
        assert sample.weight.sum() == pytest.approx(drawn.population)


def test_a_count_says_nothing_that_judgments_refute():
    candidates, _, _, truth = world()
    start = suspected()
    first = draw(start, 60)
    rest = draw(start.judged(toy_verdicts(first.pairs(), candidates, truth)), 10**6)
    both = toy_verdicts([*first.pairs(), *rest.pairs()], candidates, truth)
    whole = false_negatives([first, rest], both)
    assert whole.low == whole.count == whole.high == truth.sum()
    again = false_negatives([first, rest], both, seed=1)
    assert (again.low, again.high) == (whole.low, whole.high)
    assert str(false_negatives(first, both, seed=3)) == str(false_negatives(first, both, seed=3))


@pytest.mark.slow
def test_a_clean_list_can_show():
    """Where nothing was found, suspicion alone must not rule out that nothing is there."""
    candidates, _, _, truth = world()
    start = suspected()
    nothing = truth & False
    first = draw(start, 60)
    said = toy_verdicts(first.pairs(), candidates, nothing)
    second = draw(start.judged(said), 60, seed=1)
    both = toy_verdicts([*first.pairs(), *second.pairs()], candidates, nothing)
    for draws in (first, [first, second]):
        found = false_negatives(draws, both)
        assert found.low == found.count == 0
        assert 0 < found.high < 0.2 * found.population


# -- bounds ---------------------------------------------------------------------------------------


def test_bounds_are_those_of_clopper_and_pearson_where_all_weigh_the_same():
    candidates, _, _, truth = world()
    sample = JudgedSample.hidden(candidates, truth)
    after = replace(candidates, weight=(candidates.scores < 0.45).astype(np.float32))
    row = compare_rules(sample, {"near": after}).iloc[0]
    dropped = (candidates.docs >= 0) & (after.weight <= 0)
    there = candidates.docs >= 0
    for name, part, whole in (
        ("precision", dropped & truth, dropped),
        ("recall", dropped & truth, truth),
        ("lost", dropped & ~truth, there & ~truth),
    ):
        ends = binomtest(int(part.sum()), int(whole.sum())).proportion_ci(0.95, method="exact")
        assert 0 < part.sum() < whole.sum()
        assert row[f"{name}_low"] == pytest.approx(ends.low, abs=1e-6)
        assert row[f"{name}_high"] == pytest.approx(ends.high, abs=1e-6)


@pytest.mark.slow
def test_recall_is_promised_where_the_model_is_sure_and_wrong():
    """2 % of what the model is sure of are positives: most draws see none of them there."""
    rng = np.random.default_rng(0)
    shape = (500, 20)
    probability = (1 / (1 + np.exp(3 - 2 * rng.standard_normal(shape)))).astype(np.float32)
    truth = rng.random(shape) < 0.02 + 0.96 * probability
    candidates = Candidates(
        query_ids=np.array([f"q{n}" for n in range(500)], dtype=object),
        doc_ids=np.array([f"d{n}" for n in range(100)], dtype=object),
        docs=np.argsort(rng.random((500, 100)), axis=1)[:, :20].astype(np.int64),
        scores=np.zeros(shape, np.float32),
        ranks=np.tile(np.arange(1, 21, dtype=np.int32), (500, 1)),
        weight=np.ones(shape, np.float32),
        positive_scores=np.zeros(500, np.float32),
        miner="made",
    )
    none = np.array(["none"], dtype=object)
    start = Suspicion(
        candidates=candidates,
        signals=Evidence(names=none, values=np.zeros((truth.size, 1), np.float32)),
        prior=probability, probability=probability, verdict=np.zeros(shape, np.int8),
        labelled=np.zeros(shape, np.bool_), groups=np.arange(500),
    )  # fmt: skip
    broken = 0
    for seed in range(60):
        drawn = draw(start, 120, seed=seed)
        sample = JudgedSample.of(candidates, toy_verdicts(drawn.pairs(), candidates, truth), drawn)
        try:
            chosen = choose_margin(sample, probability, recall=0.7, level=0.9)
        except BadArgument:
            continue
        dropped = probability >= chosen["threshold"]
        broken += (dropped & truth).sum() / truth.sum() < 0.7
    assert broken <= 6, (
        broken
    )  # a promise with confidence .9; Kish's number alone breaks 12 to 18 %


# -- the closed loop ------------------------------------------------------------------------------


def test_graded_labels_keep_their_grade():
    _, collection, _, _ = world()
    graded = replace(collection, qrels=(collection.qrels * 3).tocsr())
    query, doc = (int(place) for place in collection.pairs[0])
    pair = (collection.query_ids[query], collection.doc_ids[doc])
    after = relabelled(graded, Verdicts.of([(*pair, "positive")], judge="me"), grade=0.5)
    assert after.qrels[query, doc] == 3
    assert (after.qrels != graded.qrels).nnz == 0


def test_what_is_vouched_for_is_dropped_by_no_rule_alone():
    candidates, collection, _, _ = world()
    rules = [Threshold(at_most=-1.0), RankWindow(first=1)]
    docs = candidates.doc_ids[candidates.docs[:, 0]]
    rows = [(*pair, "negative") for pair in zip(candidates.query_ids, docs, strict=True)]
    said = Verdicts.of(rows, judge="me")
    found = apply_rules(candidates, [*rules, Judged()], collection=collection, verdicts=said)
    assert (found.weight[:, 0] == 1).all()
    assert (found.weight[:, 1:] == 0).all()
    account = found.recipe["rules"][0]
    assert account["dropped"] == (candidates.docs >= 0).sum()
    assert account["only_this"] == (candidates.docs[:, 1:] >= 0).sum()


@pytest.mark.slow
def test_queries_of_one_group_do_not_judge_each_other():
    """A judged pair's own probability stays the same whatever was said of an equal query's pair."""
    start = suspected()
    groups = start.groups.copy()
    groups[1] = groups[0]
    twins = replace(start, groups=groups)
    candidates = start.candidates

    def pair(query, rank):
        return candidates.query_ids[query], candidates.doc_ids[candidates.docs[query, rank]]

    rest = [(*pair(query, 0), ("positive", "negative")[query % 2]) for query in range(2, 40)]
    mine, other = (*pair(0, 0), "positive"), pair(1, 0)

    def own(one, label):
        said = Verdicts.of([mine, (*other, label), *rest], judge="me")
        return one.judged(said).probability[0, 0]

    assert own(twins, "positive") == own(twins, "negative")
    assert own(start, "positive") != own(start, "negative")
    with pytest.raises(BadData, match="lengths differ"):
        replace(start, groups=groups[:3])
