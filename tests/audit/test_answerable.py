"""A gate for queries nothing answers, and metrics apart for either kind."""

import numpy as np
import pytest
from scipy.stats import norm

from workbench.audit.answerable import (
    AnswerableGate,
    answerable,
    answerable_gate,
    split_by_answerable,
)
from workbench.errors import BadArgument, BadData
from workbench.types import Scorecard


@pytest.mark.parametrize("target", [0.0, 0.05, 0.1, 0.33])
def test_the_threshold_is_the_largest_allowed(rng, target):
    scores, labels = rng.random(200).round(2), rng.random(200) < 0.6  # with ties
    gate = answerable_gate(scores, labels, target_fnr=target)
    allowed = [bar for bar in np.unique(scores) if (scores[labels] < bar).mean() <= target]
    assert (scores >= gate.threshold).tolist() == (scores >= max(allowed)).tolist()
    assert gate.fnr <= target
    assert gate.fnr == (scores[labels] < gate.threshold).mean()
    assert gate.fpr == (scores[~labels] >= gate.threshold).mean()
    assert gate(scores).tolist() == (scores >= gate.threshold).tolist()


def test_few_answerable_queries_are_all_let_through():
    gate = answerable_gate(np.array([0.5, 0.9, 0.8, 0.1]), np.array([True, True, True, False]))
    assert (gate.threshold, gate.fnr, gate.fpr) == (0.5, 0, 0)
    assert gate.intervals()["fnr"][1] == pytest.approx(1 - 0.025 ** (1 / 3))


@pytest.mark.parametrize("seed", range(3))
def test_false_positives_all_but_vanish(seed):
    """Dossier, section 21: .251 -> .013 at misses .031 -> .080; ratio at most .1.

    A ranker that answers 25 % of unanswerable queries and misses 3 % of others, behind a gate
    whose score tells both kinds apart at .95 / .95.
    """
    random = np.random.default_rng(seed)
    labels = random.random(20_000) < 0.5
    apart = norm.ppf(0.95) - norm.ppf(0.05)
    scores = random.normal(size=len(labels)) + apart * labels
    answers = random.random(len(labels)) < np.where(labels, 1 - 0.031, 0.251)
    half = np.arange(len(labels)) < 10_000
    gate = answerable_gate(scores[half], labels[half])
    passed = gate(scores[~half])
    labels, answers = labels[~half], answers[~half]
    before, after = answers[~labels].mean(), (answers & passed)[~labels].mean()
    assert after <= 0.1 * before
    assert after == pytest.approx(0.251 * 0.05, abs=0.006)
    assert (~(answers & passed))[labels].mean() == pytest.approx(0.080, abs=0.015)


@pytest.mark.slow
def test_the_interval_covers_what_the_gate_refuses_of_all_others():
    """The share is chosen, not measured; binomial ends still cover the truth behind it."""
    covered = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        labels = np.arange(300) < 200
        gate = answerable_gate(random.normal(size=300) + 3 * labels, labels, target_fnr=0.1)
        low, high = gate.intervals()["fnr"]
        covered += low <= norm.cdf(gate.threshold - 3) <= high
    assert covered >= 180


def test_what_a_gate_says_of_itself():
    gate = AnswerableGate(threshold=0.5, answerable=100, unanswerable=50, refused=5, let_through=10)
    assert str(gate) == (
        "score >= 0.5: refuses 5.0% of 100 answerable queries [1.6%, 11.3%], lets 20.0% of 50 "
        "others through [10.0%, 33.7%]"
    )
    assert gate(np.array([-np.inf, 0.5])).tolist() == [False, True]


def test_a_collection_says_which_queries_have_answers(collection_of):
    collection = collection_of({(0, 0): 2, (1, 0): 0}, queries=3, docs=1)
    assert answerable(collection).tolist() == [True, False, False]


@pytest.fixture
def card():
    ids = np.array([f"q{n}" for n in range(6)], dtype=object)
    values = {"RR@10": np.array([1.0, 0.5, 0.25, 0, 0, 0]), "R@100": np.array([1.0, 1, 1, 0, 0, 0])}
    return Scorecard(name="run", query_ids=ids, values=values)


def test_metrics_on_either_side(card):
    labels = np.arange(6) < 3
    plain = split_by_answerable(card, labels)
    assert plain.index.tolist() == ["all", "answerable", "unanswerable"]
    assert plain.queries.tolist() == plain.passed.tolist() == [6, 3, 3]
    assert plain["RR@10"].tolist() == pytest.approx([1.75 / 6, 1.75 / 3, 0])
    passed = np.array([True, False, True, True, False, False])
    gated = split_by_answerable(card, labels, passed=passed)
    assert gated.passed.tolist() == [3, 2, 1]
    assert gated["RR@10"].tolist() == pytest.approx([(1.25 + 2) / 6, 1.25 / 3, 2 / 3])
    assert gated["R@100"].tolist() == pytest.approx([4 / 6, 2 / 3, 2 / 3])
    assert card.values["RR@10"][1] == 0.5
    alone = split_by_answerable(card, np.ones(6, dtype=bool))
    assert np.isnan(alone["RR@10"]["unanswerable"])


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"scores": np.ones((2, 2))}, BadArgument, r"it must be \(query,\), one score each"),
        ({"scores": np.array([])}, BadArgument, r"it must be \(query,\), one score each"),
        ({"scores": np.array([0.1, np.nan])}, BadData, "query 1 scores nan"),
        ({"scores": np.array([np.inf, 0.1])}, BadData, "query 0 scores inf"),
        ({"labels": np.array([1, 0])}, BadArgument, "`labels` is .* 2 booleans, one per query"),
        ({"labels": np.array([True])}, BadArgument, "`labels` is .* 2 booleans, one per query"),
        ({"labels": np.array([True, True])}, BadData, "no unanswerable query"),
        ({"labels": np.array([False, False])}, BadData, "no answerable query"),
        ({"target_fnr": -0.1}, BadArgument, "`target_fnr` is -0.1"),
        ({"target_fnr": 1.0}, BadArgument, "it must be < 1, or nothing would ever pass"),
    ],
)
def test_bad_input_is_refused(changes, error, words):
    given = {"scores": np.array([0.1, 0.9]), "labels": np.array([False, True])}
    with pytest.raises(error, match=words):
        answerable_gate(**{**given, **changes})


def test_a_card_needs_one_boolean_per_query(card):
    with pytest.raises(BadArgument, match=r"`passed` is .* 6 booleans"):
        split_by_answerable(card, np.ones(6, dtype=bool), passed=np.ones(2, dtype=bool))
