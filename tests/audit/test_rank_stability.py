"""Do models keep their order on corrected labels? By hand, by brute force, in a planted world."""

from importlib import import_module

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from workbench.audit.closing import relabelled
from workbench.audit.rank_stability import changed, rank_stability
from workbench.data.worlds.mislabelled_region import mislabelled_region
from workbench.errors import BadArgument, BadData
from workbench.types import Verdicts


def flipped(seed, rows=600):
    """Per test point, right by given and by true labels, of a simple and a flexible model."""
    world = mislabelled_region(seed=seed, rows=rows)
    said, true = {}, {}
    for name, model in (
        ("simple", LogisticRegression()),
        ("flexible", KNeighborsClassifier(9)),
    ):
        answer = model.fit(world.points, world.labels).predict(world.test_points)
        said[name], true[name] = answer == world.test_labels, answer == world.test_truth
    return world, said, true


@pytest.mark.parametrize("seed", range(3))
def test_a_mislabelled_region_turns_the_ranking_round(seed):
    """Dossier: both differences at least .05, of opposite sign."""
    world, said, true = flipped(seed)
    found = rank_stability(said, true, wrong=world.wrong, resamples=1000)
    (pair,) = found.frame().itertuples()
    assert (pair.a, pair.b) == ("simple", "flexible")
    assert pair.given >= 0.05
    assert pair.corrected <= -0.05
    assert pair.flips
    assert pair.sure
    assert found.tau == -1
    assert 0 < pair.misled_from < world.wrong.mean()
    given = found.given[1] - found.given[0]
    assert given == pytest.approx(pair.given)
    assert repr(found).startswith("RankStability(simple, flexible: 1 of 1 pairs flip")


def test_the_curve_is_what_dropping_right_queries_at_random_gives():
    """The paper drops right queries until wrong ones are as common as asked."""
    world, said, true = flipped(0)
    share = 0.3
    found = rank_stability(said, true, wrong=world.wrong, prevalence=[share], resamples=200)
    (point,) = found.curve.itertuples()
    random, right = np.random.default_rng(0), np.flatnonzero(~world.wrong)
    wrong = np.flatnonzero(world.wrong)
    keep = round(len(wrong) * (1 - share) / share)
    for name, values, wanted in (
        ("given", said, point.given),
        ("corrected", true, point.corrected),
    ):
        gap = values["flexible"].astype(float) - values["simple"]
        drawn = [
            gap[np.concatenate([wrong, random.choice(right, keep, replace=False)])].mean()
            for _ in range(2000)
        ]
        assert np.mean(drawn) == pytest.approx(wanted, abs=0.002), name


def test_the_curve_passes_through_what_there_is():
    world, said, true = flipped(1)
    here = [0.0, world.wrong.mean(), 1.0]
    found = rank_stability(said, true, wrong=world.wrong, prevalence=here, resamples=200)
    pair, curve = found.pairs.iloc[0], found.curve
    assert curve.given[1] == pytest.approx(pair.given)
    assert curve.corrected[1] == pytest.approx(pair.corrected)
    assert curve.given[0] == curve.corrected[0]
    assert (curve.given_low <= curve.given).all()
    assert (curve.given <= curve.given_high).all()
    assert len(rank_stability(said, true, resamples=100).curve) == 31


def test_models_are_misled_from_where_the_two_lines_part():
    world, said, true = flipped(2)
    found = rank_stability(said, true, wrong=world.wrong, resamples=100)
    start = found.pairs.misled_from[0]
    around = [start - 0.005, start + 0.005]
    curve = rank_stability(
        said, true, wrong=world.wrong, prevalence=around, resamples=100
    ).curve  # fmt: skip
    assert (np.sign(curve.given) == np.sign(curve.corrected)).tolist() == [True, False]


@pytest.mark.slow
def test_intervals_are_those_of_a_plain_bootstrap():
    random = np.random.default_rng(3)
    a, b = random.random(80), random.random(80) + 0.05
    mended = b.copy()
    mended[:10] = 0
    found = rank_stability({"a": a, "b": b}, {"a": a, "b": mended}, resamples=20_000).pairs.iloc[0]
    drawn = [(b - a)[random.integers(0, 80, 80)].mean() for _ in range(20_000)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (found.given_low, found.given_high) == pytest.approx((low, high), abs=0.004)
    narrow = rank_stability(
        {"a": a, "b": b}, {"a": a, "b": mended}, confidence=0.5, resamples=2000
    ).pairs.iloc[0]
    assert narrow.given_high - narrow.given_low < 0.5 * (high - low)


def test_samples_in_blocks_are_the_samples_at_once(monkeypatch):
    _, said, true = flipped(0, rows=100)
    whole = rank_stability(said, true, resamples=300)
    monkeypatch.setattr(import_module("workbench.audit.rank_stability"), "HELD", 5000)
    parts = rank_stability(said, true, resamples=300)
    np.testing.assert_allclose(parts.pairs.given_low, whole.pairs.given_low, atol=1e-12)


def test_three_models_are_compared_two_by_two():
    said = {"a": [1, 1, 1, 0, 0, 1], "b": [1, 1, 0, 0, 0, 1], "c": [0, 0, 0, 0, 0, 1]}
    true = {"c": [0, 0, 0, 1, 1, 1], "b": [1, 1, 0, 0, 0, 1], "a": [1, 1, 1, 0, 0, 1]}
    found = rank_stability(said, true, resamples=100)
    assert [tuple(pair) for pair in found.frame()[["a", "b"]].to_numpy()] == [
        ("a", "b"), ("a", "c"), ("b", "c")]  # fmt: skip
    assert found.frame().flips.tolist() == [False, False, False]
    assert found.frame().misled_from.round(2).tolist()[0] != found.frame().misled_from[0]  # NaN
    assert found.frame().misled_from[1] == pytest.approx(0.75 / 1.75)  # .75 against -1
    assert found.corrected.tolist() == pytest.approx([4 / 6, 3 / 6, 3 / 6])
    assert found.wrong == 2


EQUAL = {"a": [1.0, 0.0, 1.0, 0.0], "b": [0.0, 0.0, 1.0, 1.0]}
MENDED = {"a": [1.0, 0.0, 0.0, 1.0], "b": [0.0, 0.0, 1.0, 1.0]}


def test_ties_on_right_labels_mislead_from_the_first_wrong_one():
    said = {"a": [1, 1, 0, 0], "b": [1, 1, 1, 1]}
    true = {"a": [1, 1, 1, 1], "b": [1, 1, 0, 0]}
    assert rank_stability(said, true, resamples=100).pairs.misled_from[0] == 0


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"given": {"a": [1, 0]}}, BadArgument, "the names of two models or more"),
        ({"given": {"a": [1, 0], "b": [1]}}, BadArgument, r"must be \(query,\) of one length"),
        ({"given": {"a": [[1]], "b": [[1]]}}, BadArgument, r"must be \(query,\) of one length"),
        ({"given": {**EQUAL, "b": [0, np.nan, 1, 1]}}, BadData, "b: query 1 is not finite"),
        ({"corrected": {**MENDED, "c": MENDED["a"]}}, BadArgument, "must hold a, b on 4 queries"),
        ({"corrected": {"a": [1, 2], "b": [1, 1]}}, BadArgument, "must hold a, b on 4 queries"),
        ({"corrected": EQUAL}, BadData, "0 with wrong labels"),
        ({"wrong": np.array([True] * 3 + [False])}, BadData, "1 with right labels"),
        ({"wrong": np.array([1, 1, 0, 0])}, BadArgument, "4 booleans, one per query"),
        ({"wrong": np.array([True])}, BadArgument, "4 booleans, one per query"),
        ({"wrong": np.array([True, True, False, False])}, BadData, "query 2 scores otherwise"),
        ({"prevalence": [0.5, 1.5]}, BadArgument, r"a list of shares in \[0, 1\]"),
        ({"prevalence": []}, BadArgument, r"a list of shares in \[0, 1\]"),
        ({"resamples": 10}, BadArgument, "`resamples` is 10"),
        ({"confidence": 1.0}, BadArgument, "`confidence` is 1.0"),
        ({"seed": -1}, BadArgument, "`seed` is -1"),
    ],
)
def test_bad_input_is_refused(changes, error, words):
    with pytest.raises(error, match=words):
        rank_stability(**{"given": EQUAL, "corrected": MENDED, **changes})


# correcting


def said_of(*rows):
    return Verdicts.of([(f"q{query}", f"d{doc}", label) for query, doc, label in rows], judge="me")


def test_judgments_take_the_place_of_labels(collection_of):
    given = collection_of({(0, 0): 3, (0, 1): 1, (1, 2): 0, (2, 2): 2}, queries=3, docs=4)
    said = said_of(
        (0, 0, "positive"), (0, 1, "negative"), (1, 2, "negative"), (1, 2, "positive"),
        (1, 3, "negative"), (2, 2, "unsure"), (2, 3, "skip"), (9, 9, "positive"),
    )  # fmt: skip
    mended = relabelled(given, said)
    assert mended.qrels.toarray().tolist() == [[3, 0, 0, 0], [0, 0, 1, 0], [0, 0, 2, 0]]
    assert mended.qrels.nnz == 5  # judged zeros stay stored
    assert mended.recipe["judged"]["added"] == 1
    assert mended.recipe["judged"]["taken_away"] == 1
    assert given.qrels.toarray()[0].tolist() == [3, 1, 0, 0]
    assert changed(given, mended).tolist() == [True, True, False]
    assert mended.fingerprint != given.fingerprint


def test_no_judgments_and_no_labels(collection_of):
    given = collection_of({(0, 0): 1}, queries=2, docs=2)
    assert relabelled(given, said_of()).fingerprint == given.fingerprint
    bare = collection_of({}, queries=2, docs=2)
    assert relabelled(bare, said_of((1, 1, "positive"))).pairs.tolist() == [[1, 1]]
    with pytest.raises(BadArgument, match=r"it must be of \(2, 2\) queries and documents"):
        changed(given, collection_of({(0, 0): 1}, queries=2, docs=3))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rows": 10}, "`rows` is 10"),
        ({"share": 0.5}, "`share` is 0.5"),
        ({"blur": -1}, "`blur` is -1"),
        ({"seed": -1}, "`seed` is -1"),
    ],
)
def test_a_world_that_cannot_be_is_refused(options, words):
    with pytest.raises(BadArgument, match=words):
        mislabelled_region(**options)
