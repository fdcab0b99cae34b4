"""Agreement of judges against its definitions, consensus against gold and a planted world."""

import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.audit.agreement import agreement, ballots, consensus
from workbench.errors import BadArgument, BadData
from workbench.types import Verdicts

LABEL = {1: "positive", 0: "negative", None: "unsure", -1: "skip"}


def verdicts_of(votes):
    """Votes (pair, judge): 1, 0, None unsure, -1 skip, "" no row at all."""
    rows = [
        (f"q{pair}", "d", LABEL[vote], f"judge {judge}")
        for pair, row in enumerate(votes)
        for judge, vote in enumerate(row)
        if vote != ""
    ]
    columns = [np.array([row[place] for row in rows], dtype=object) for place in range(4)]
    return Verdicts(query_ids=columns[0], doc_ids=columns[1], labels=columns[2], judges=columns[3])


def said_by(verdicts):
    return dict(zip(verdicts.query_ids.tolist(), verdicts.labels.tolist(), strict=True))


@pytest.fixture(scope="module")
def gold(shared):
    records = json.loads((shared / "gold" / "llm.json").read_text())
    return {record["method"]: record for record in records}


@pytest.mark.shared
def test_gold_label_of_a_frame(gold):
    record = gold["negframes.frame_label"]
    found = consensus(verdicts_of(record["inputs"]["observer_nonempty"]))
    assert [int(label == "positive") for label in found.labels] == record["expected"]["label"]


@pytest.mark.shared
def test_gold_consensus_of_observers(gold):
    record = gold["negframes.consensus"]
    votes = verdicts_of(np.array(record["inputs"]["observer_pixels"]).T.astype(int).tolist())
    labels = consensus(votes).labels
    assert [int(label == "positive") for label in labels] == record["expected"]["vote"]
    share = ballots(votes).mean(axis=1).to_numpy()
    np.testing.assert_allclose(share, record["expected"]["mean"], atol=record["tolerance"])


def test_the_newest_of_a_judge_votes_and_unsure_does_not():
    rows = [("q", "d", "positive"), ("q", "e", "positive"), ("q", "d", "negative")]
    changed = Verdicts.of([*rows, ("q", "e", "unsure"), ("p", "d", "skip")], judge="ann")
    table = ballots(changed)
    assert table.index.tolist() == [("q", "d")]
    assert table["ann"].tolist() == [0.0]
    assert consensus(changed).newest() == {("q", "d"): "negative"}
    assert consensus(Verdicts.of([("q", "d", "skip")], judge="ann")).newest() == {}
    assert consensus(Verdicts.of([], judge="ann"), "dawid_skene").newest() == {}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["majority", "dawid_skene"])
def test_a_tie_is_unsure_and_the_judge_is_the_consensus(how):
    found = consensus(verdicts_of([[1, 0], [0, 1]]), how)
    assert said_by(found) == {"q0": "unsure", "q1": "unsure"}
    assert set(found.judges) == {"consensus"}
    only = consensus(verdicts_of([[0, 0, ""], [0, "", None]]), how)
    assert said_by(only) == {"q0": "negative", "q1": "negative"}
    only = consensus(verdicts_of([[1, 1, ""], ["", "", 1]]), how)
    assert said_by(only) == {"q0": "positive", "q1": "positive"}


def test_another_way_is_refused():
    with pytest.raises(BadArgument, match="`how` is 'vote', but it must be one of majority, dawid"):
        consensus(verdicts_of([[1, 0]]), "vote")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_judges_together_beat_one_and_weighted_beats_counted(seed):
    rng = np.random.default_rng(seed)
    truth = rng.random(1000) < 0.3
    wrong = rng.random((1000, 3)) < [0.1, 0.2, 0.35]
    votes = truth[:, None] ^ wrong
    said = verdicts_of(votes.astype(int).tolist())
    names = [f"q{pair}" for pair in range(1000)]

    def right(labels):
        return np.mean([(labels[name] == "positive") == truth[i] for i, name in enumerate(names)])

    majority, weighted = (
        right(said_by(consensus(said, how))) for how in ("majority", "dawid_skene")
    )
    one = np.mean(votes == truth[:, None])  # of a judge drawn at random and kept
    assert majority - one >= 0.02
    assert weighted >= majority


def expected_fleiss(votes):
    """By the definition: mean share of agreeing couples per pair, against chance."""
    judges = votes.shape[1]
    counts = np.stack([(votes == label).sum(axis=1) for label in (0, 1)], axis=1)
    observed = np.mean((counts * (counts - 1)).sum(axis=1) / (judges * (judges - 1)))
    chance = ((counts.sum(axis=0) / counts.sum()) ** 2).sum()
    return (observed - chance) / (1 - chance)


def expected_cohen(one, two):
    chance = sum(np.mean(one == label) * np.mean(two == label) for label in (0, 1))
    return (np.mean(one == two) - chance) / (1 - chance)


def expected_krippendorff(votes):
    """By the definition: coincidences of values within pairs, every pair weighing its votes."""
    coincidence = np.zeros((2, 2))
    for row in votes:
        values = [int(vote) for vote in row if not np.isnan(vote)]
        for i, j in combinations(range(len(values)), 2):
            for a, b in ((values[i], values[j]), (values[j], values[i])):
                coincidence[a, b] += 1 / (len(values) - 1)
    total = coincidence.sum()
    margin = coincidence.sum(axis=1)
    observed = coincidence[0, 1] + coincidence[1, 0]
    return 1 - (total - 1) * observed / (2 * margin[0] * margin[1])


vote = st.sampled_from([1, 0, 1, 0, None, -1, ""])


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(votes=st.lists(st.lists(vote, min_size=3, max_size=3), min_size=1, max_size=12))
def test_measures_follow_their_definitions(votes):
    said = verdicts_of(votes)
    table = np.array(
        [[vote if vote in (0, 1) and vote != "" else np.nan for vote in row] for row in votes],
        dtype=float,
    )
    voted = table[:, (~np.isnan(table)).any(axis=0)]
    if voted.shape[1] < 2:
        with pytest.raises(BadData, match=r"judges voted .*\nAgreement needs at least two"):
            agreement(said)
        return
    found = agreement(said)
    assert len(found.judges) == voted.shape[1]
    shared = voted[(~np.isnan(voted)).sum(axis=1) >= 2]
    complete = voted[~np.isnan(voted).any(axis=1)]
    assert (found.pairs, found.complete) == (len(shared), len(complete))

    def check(value, votes, wanted):
        if len(set(votes[~np.isnan(votes)])) < 2:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(wanted(), abs=1e-9)

    check(found.fleiss, complete, lambda: expected_fleiss(complete))
    check(found.krippendorff, shared, lambda: expected_krippendorff(shared))
    couples = combinations(range(voted.shape[1]), 2)
    for row, (one, two) in zip(found.pairwise.itertuples(), couples, strict=True):
        both = voted[:, [one, two]]
        both = both[~np.isnan(both).any(axis=1)]
        assert row.pairs == len(both)
        check(row.kappa, both, lambda both=both: expected_cohen(*both.T))
        if len(both):
            assert row.agree == np.mean(both[:, 0] == both[:, 1])


def test_figures_known_from_hand():
    found = agreement(verdicts_of([[1, 1], [0, 0], [1, 0], [0, 0]]))
    assert found.pairwise[["judge", "other"]].to_numpy().tolist() == [["judge 0", "judge 1"]]
    assert found.pairwise["kappa"].item() == pytest.approx(0.5)  # (3/4 - 1/2) / (1 - 1/2)
    assert repr(found).startswith("Agreement(2 judges, 4 pairs: Fleiss 0.467, Krippendorff 0.533")
