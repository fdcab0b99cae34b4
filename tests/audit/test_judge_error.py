"""A judge's errors: closed forms, gold numbers, an oracle, and simulations that must come out."""

import json
from itertools import pairwise

import numpy as np
import pytest

from workbench.audit.judge_error import (
    audited_precision,
    measured,
    prediction_powered,
    rogan_gladen,
)
from workbench.audit.judges import Answer, Opinion, best_k, resample_value, vote
from workbench.errors import BadArgument
from workbench.types import Verdicts

PAPER = {"success": [0.87, 0.13], "prior": [0.58, 0.42], "completeness": 1.0, "soundness": 0.75}


@pytest.fixture
def gold(shared):
    cases = json.loads((shared / "gold" / "llm.json").read_text(encoding="utf-8"))
    return {case["method"]: case for case in cases}


@pytest.mark.shared
def test_gold_audited_precision_and_prevalence(gold):
    case = gold["judge.audited_precision"]
    for name, wanted in case["expected"].items():
        prevalence, specificity = map(float, name.split("|"))
        found = audited_precision(prevalence, case["inputs"]["sensitivity"], specificity)
        assert found == pytest.approx(wanted, abs=case["tolerance"])
    case = gold["judge.rogan_gladen"]
    given = case["inputs"]
    found = rogan_gladen(given["flag_rate"], given["sensitivity"], given["specificity"])
    assert found == pytest.approx(case["expected"]["prevalence"], abs=case["tolerance"])
    precision = audited_precision(found, given["sensitivity"], given["specificity"])
    assert precision == pytest.approx(case["expected"]["precision_of_flags"], abs=1e-12)


def notebook_value(cost, tries):
    """The released notebook's formula: survival weighted by the posterior of the kind."""
    rates, prior = np.array(PAPER["success"]), np.array(PAPER["prior"])
    beta = PAPER["soundness"] * (1 - rates)
    gain = rates + (1 - rates) * (1 - PAPER["soundness"]) * cost
    total = 0.0
    for k in range(tries):
        survived = prior * beta**k
        posterior = survived / survived.sum()
        total += float(posterior @ beta**k) * float(posterior @ gain)
    return total


@pytest.mark.shared
def test_gold_inference_flaws(gold):
    case = gold["inference_flaws.model"]
    wanted, tries = case["expected"], case["inputs"]["K"]
    for rate, ceiling in zip(PAPER["success"], wanted["accuracy_ceiling_per_type"], strict=True):
        found = audited_precision(rate, PAPER["completeness"], PAPER["soundness"])
        assert found == pytest.approx(ceiling, abs=case["tolerance"])
    for name, curve in wanted["curves"].items():
        cost, formula = name.split("|")
        if formula == "exact":
            worth = resample_value(**PAPER, wrong_value=float(cost), tries=tries)
            assert best_k(**PAPER, wrong_value=float(cost)) == curve["k_opt"]
        else:
            worth = np.array([notebook_value(float(cost), k + 1) for k in range(tries)])
            assert int(worth.argmax()) + 1 == curve["k_opt"]
        found = [worth.max(), worth[0], worth[1], worth[14]]
        np.testing.assert_allclose(
            found, [curve[key] for key in ("best", "v1", "v2", "v15")], atol=case["tolerance"]
        )


def test_exact_value_is_what_a_simulation_earns():
    rng = np.random.default_rng(0)
    count, tries = 200_000, 15
    kind = rng.random(count) >= PAPER["prior"][0]
    rate = np.where(kind, *PAPER["success"][::-1])[:, None]
    right = rng.random((count, tries)) < rate
    accepted = np.where(right, True, rng.random((count, tries)) >= PAPER["soundness"])
    first = np.where(accepted.any(axis=1), accepted.argmax(axis=1), tries)
    earned = np.zeros(count)
    done = first < tries
    earned[done] = np.where(right[done, first[done]], 1.0, -1.0)
    worth = resample_value(**PAPER, wrong_value=-1.0)
    for k in (1, 2, 15):
        some = np.where(first < k, earned, 0)
        error = some.std() / count**0.5
        assert abs(some.mean() - worth[k - 1]) < 3 * error
        if k == 15:  # the notebook's figure is not what is earned
            assert abs(some.mean() - notebook_value(-1.0, 15)) > 10 * error
    for place in (0, 1):  # the plateau of many tries is the ceiling of one
        some = done & (kind == bool(place))
        share = right[some, first[some]].mean()
        ceiling = audited_precision(PAPER["success"][place], 1.0, 0.75)
        assert abs(share - ceiling) < 3 * (share * (1 - share) / some.sum()) ** 0.5


def test_best_k_knows_when_not_to_try_and_when_to_go_on():
    assert best_k([0.5], [1.0], completeness=1, soundness=0.5, wrong_value=-3) == 0
    assert best_k([0.5], [1.0], completeness=0.9, soundness=1, wrong_value=-3, most=7) == 7
    worth = resample_value([0.5], [1.0], completeness=0.9, soundness=1, wrong_value=-3, tries=60)
    assert worth[-1] == pytest.approx(1.0)  # a sound checker ends with the right answer


def simulated(count, persistent, tries, seed):
    """(item, try) verdicts of a judge at 5 % prevalence; a share of errors is the item's own."""
    rng = np.random.default_rng(seed)
    truth = rng.random(count) < 0.05
    right = np.where(truth, 0.9, 0.95)[:, None]
    once = rng.random((count, 1)) < right
    correct = np.where(
        rng.random((count, 1)) < persistent, once, rng.random((count, tries)) < right
    )
    return truth, correct == truth[:, None]


def test_asking_until_yes_loses_precision_with_every_try():
    truth, said = simulated(40_000, 0.0, 25, seed=1)
    tries = (1, 3, 9, 25)
    found = [truth[said[:, :k].any(axis=1)].mean() for k in tries]
    wanted = [audited_precision(0.05, 1 - 0.1**k, 0.95**k) for k in tries]
    np.testing.assert_allclose(found, wanted, atol=0.03)
    np.testing.assert_allclose(wanted, [0.49, 0.27, 0.125, 0.07], atol=0.005)
    assert all(left > right for left, right in pairwise(found))


@pytest.mark.slow
@pytest.mark.parametrize(("persistent", "low", "high"), [(0.0, 0.95, 1), (0.3, 0.7, 0.84)])
def test_a_vote_mends_only_what_is_not_persistent(persistent, low, high):
    truth, said = simulated(6_000, persistent, 25, seed=2)
    assert precision_of_votes(truth, said) > precision_of_votes(truth, said[:, :1]) + 0.2
    assert low <= precision_of_votes(truth, said) <= high


@pytest.mark.slow
def test_persistent_errors_stay_whatever_the_number_of_votes():
    truth, said = simulated(6_000, 1.0, 25, seed=3)
    once, often = precision_of_votes(truth, said[:, :1]), precision_of_votes(truth, said)
    assert abs(often - once) < 0.03
    assert once == pytest.approx(audited_precision(0.05, 0.9, 0.95), abs=0.06)


YES, NO = Answer(label=True), Answer(label=False)


def precision_of_votes(truth, said):
    rounds = [
        {str(item): YES if yes else NO for item, yes in enumerate(column)} for column in said.T
    ]
    yes = np.array([tally.label for tally in vote(rounds).values()], dtype=bool)
    return truth[yes].mean()


def test_corrections_are_unbiased_where_counting_flags_is_not():
    rng = np.random.default_rng(0)
    prevalence, sensitivity, specificity = 0.1, 0.85, 0.93
    found, covered = [], []
    for _ in range(500):
        truth = rng.random(4000) < prevalence
        flags = np.where(truth, rng.random(4000) < sensitivity, rng.random(4000) >= specificity)
        part = rng.choice(4000, 300, replace=False)
        human, judge = truth[part], flags[part]
        powered = prediction_powered(flags, judge, human)
        corrected = rogan_gladen(flags.mean(), judge[human].mean(), 1 - judge[~human].mean())
        found.append([flags.mean(), corrected, powered.value, human.mean()])
        covered.append(powered.low <= prevalence <= powered.high)
    naive, corrected, powered, human = (np.array(found) - prevalence).T
    bias = (1 - specificity) * (1 - prevalence) - (1 - sensitivity) * prevalence
    assert abs(naive.mean() - bias) <= 0.005
    assert abs(corrected.mean()) <= 0.005
    assert abs(powered.mean()) <= 0.005
    rmse = [np.sqrt((errors**2).mean()) for errors in (naive, corrected, powered, human)]
    assert rmse[2] <= rmse[3] < rmse[0]  # worth more than the labels alone
    assert 0.93 <= np.mean(covered) <= 0.985


def test_an_interval_has_width_where_nobody_disagreed():
    judge = np.zeros(500)
    found = prediction_powered(judge, judge[:20], judge[:20])
    assert found.value == 0
    assert found.high > 0.05  # 20 agreements do not exclude 5 %


@pytest.mark.slow
def test_a_judge_whose_flags_are_mostly_wrong_does_no_harm_when_weighed():
    rng = np.random.default_rng(6)
    found = {weight: [] for weight in (1.0, 0.0, None)}
    covered = []
    for _ in range(400):
        truth = rng.random(3000) < 0.02
        flags = np.where(truth, rng.random(3000) < 0.45, rng.random(3000) >= 0.97)
        part = rng.choice(3000, 600, replace=False)
        for weight, values in found.items():
            one = prediction_powered(flags, flags[part], truth[part], weight=weight)
            values.append(one.value)
            if weight is None:
                covered.append(one.low <= 0.02 <= one.high)
        assert found[0.0][-1] == pytest.approx(truth[part].mean())
    plain, people, weighed = (np.array(values) - 0.02 for values in found.values())
    assert plain.std() > 1.1 * people.std()  # the paper's estimate is worse than no judge
    assert weighed.std() < 1.01 * people.std()
    assert abs(weighed.mean()) < 0.001
    assert 0.93 <= np.mean(covered) <= 0.99


def test_the_weight_makes_the_interval_shortest():
    rng = np.random.default_rng(7)
    truth = rng.random(2000) < 0.3
    flags = np.where(truth, rng.random(2000) < 0.7, rng.random(2000) < 0.2)

    def width(weight):
        one = prediction_powered(flags, flags[:500], truth[:500], weight=weight)
        return one.high - one.low

    grid = [width(weight) for weight in np.linspace(0, 1, 101)]
    assert width(None) <= min(grid) + 1e-9
    slope = np.polyfit(flags[:500].astype(float), truth[:500].astype(float), 1)[0]
    assert np.linspace(0, 1, 101)[np.argmin(grid)] == pytest.approx(slope, abs=0.006)
    same = prediction_powered(np.ones(9), np.ones(4), np.array([0.0, 1, 1, 0]), weight=None)
    assert same.value == 0.5  # a judge that says one thing counts nothing


def test_the_whole_pool_labelled_is_its_mean():
    rng = np.random.default_rng(4)
    human, judge = rng.random(300) < 0.3, rng.random(300)
    found = prediction_powered(judge, judge, human)
    assert found.value == pytest.approx(human.mean())
    assert found.high - found.value == pytest.approx(
        1.96 * (human.mean() * (1 - human.mean()) / 300) ** 0.5, rel=0.05
    )


def test_prevalence_equals_judgy():
    judgy = pytest.importorskip("judgy")
    rng = np.random.default_rng(5)
    truth = rng.random(5000) < 0.3
    flags = np.where(truth, rng.random(5000) < 0.85, rng.random(5000) >= 0.93)
    human, judge, rest = truth[:400], flags[:400], flags[400:]
    sensitivity, specificity = judge[human].mean(), 1 - judge[~human].mean()
    theirs = judgy.estimate_success_rate(
        human.astype(int), judge.astype(int), rest.astype(int), bootstrap_iterations=20
    )
    ours = rogan_gladen(float(rest.mean()), float(sensitivity), float(specificity))
    assert ours == pytest.approx(theirs[0], abs=1e-12)


def said(labels, judge="guide"):
    return [
        Opinion(query_id="q", doc_id=str(doc), label=label, judge=judge)
        for doc, label in enumerate(labels)
    ]


def test_measured_counts_what_both_said():
    labels = ["positive"] * 10 + ["negative"] * 20 + ["unsure", "skip", "negative"]
    people = Verdicts.of([("q", str(doc), label) for doc, label in enumerate(labels)], judge="ann")
    opinions = said([True] * 8 + [False] * 2 + [False] * 15 + [True] * 5 + [True, True, None])
    found = measured(opinions, people)
    assert (found.sensitivity.value, found.sensitivity.count) == (0.8, 10)
    assert (found.specificity.value, found.specificity.count) == (0.75, 20)
    assert found.unresolved == 1
    z, n, share = 1.959963985, 10, 0.8  # Wilson by hand
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    assert found.sensitivity.low == pytest.approx(middle - half, abs=1e-9)
    assert found.sensitivity.high == pytest.approx(middle + half, abs=1e-9)
    wide = measured(opinions, people, level=0.99)
    assert wide.sensitivity.low < found.sensitivity.low


def test_measured_takes_the_last_word_of_both():
    people = Verdicts.of([("q", "0", "negative"), ("q", "0", "positive")], judge="ann")
    twice = said([False]) + said([True])
    assert measured(twice, people).sensitivity.value == 1.0
    nothing = measured(twice, people).specificity
    assert np.isnan(nothing.value)
    assert (nothing.low, nothing.high, nothing.count) == (0.0, 1.0, 0)
    assert repr(nothing) == "Estimate(nan in [0.000, 1.000], n 0)"


def test_what_no_figure_can_be_had_from_is_refused():
    people = Verdicts.of([("q", "0", "unsure")], judge="ann")
    with pytest.raises(BadArgument, match="no pair of theirs was judged positive or negative"):
        measured(said([True]), people)
    with pytest.raises(BadArgument, match=r"`opinions` is .*but they must be of one judge"):
        measured(said([True]) + said([True], "other"), people)
    with pytest.raises(BadArgument, match=r"must be > 1\.05 to be corrected for \(it is 1\.03\)"):
        rogan_gladen(0.2, 0.5, 0.53)
    with pytest.raises(BadArgument, match=r"corrected for \(it is 0\.5\).*take another judge"):
        rogan_gladen(0.2, 0.25, 0.25)
    for name in ("prevalence", "sensitivity", "specificity"):
        given = {"prevalence": 0.1, "sensitivity": 0.9, "specificity": 0.9, name: 1.5}
        with pytest.raises(BadArgument, match=f"`{name}` is 1.5, but it must be <= 1"):
            audited_precision(**given)
    with pytest.raises(BadArgument, match=r"`flag_rate` is nan, but it must be a finite number"):
        rogan_gladen(float("nan"), 0.9, 0.9)
    assert np.isnan(audited_precision(0.0, 0.9, 1.0))  # nothing is flagged


def test_prediction_powered_refuses_what_does_not_fit():
    some = np.array([0.0, 1.0, 1.0])
    with pytest.raises(BadArgument, match=r"`judge_labelled` is \(2,\).*\(3,\) as human_labelled"):
        prediction_powered(some, some[:2], some)
    with pytest.raises(BadArgument, match=r"`judge_all` is 2, .*at least the 3 labelled rows"):
        prediction_powered(some[:2], some, some)
    with pytest.raises(BadArgument, match="`human_labelled` is nan, but every value must be in"):
        prediction_powered(some, some, np.array([0.0, 1.0, np.nan]))
    with pytest.raises(BadArgument, match=r"`judge_all` is 2\.0, but every value"):
        prediction_powered(2 * some, some, some)
    with pytest.raises(BadArgument, match="`judge_labelled` is 0, but it must not be empty"):
        prediction_powered(some, some[:0], some[:0])
    with pytest.raises(BadArgument, match=r"`judge_all` is \(3, 1\), .*a list of numbers"):
        prediction_powered(some[:, None], some, some)
    with pytest.raises(BadArgument, match="`weight` is 2, but it must be <= 1"):
        prediction_powered(some, some, some, weight=2)
    for level, wanted in ((0.0, "> 0"), (1.0, "< 1")):
        with pytest.raises(BadArgument, match=f"`level` is {level}, but it must be {wanted}"):
            prediction_powered(some, some, some, level=level)


def test_resampling_refuses_kinds_that_do_not_fit():
    given = {"completeness": 1.0, "soundness": 0.75, "wrong_value": -1.0}
    with pytest.raises(BadArgument, match=r"`prior` is 0\.9.*it must sum to 1"):
        resample_value([0.8, 0.1], [0.5, 0.4], **given)
    with pytest.raises(BadArgument, match=r"`prior` is \[1\.0\], but it must be of 2 kinds"):
        resample_value([0.8, 0.1], [1.0], **given)
    with pytest.raises(BadArgument, match=r"`success` is \[\], but it must not be empty"):
        best_k([], [], **given)
    with pytest.raises(BadArgument, match=r"`success` is 1\.2, but it must be <= 1"):
        best_k([1.2], [1.0], **given)
    with pytest.raises(BadArgument, match="`tries` is 0, but it must be a whole number >= 1"):
        resample_value([0.8], [1.0], **given, tries=0)
    with pytest.raises(BadArgument, match="`soundness` is 2, but it must be <= 1"):
        resample_value([0.8], [1.0], completeness=1.0, soundness=2, wrong_value=-1)
    with pytest.raises(BadArgument, match="`wrong_value` is inf, but it must be a finite number"):
        resample_value([0.8], [1.0], completeness=1.0, soundness=0.5, wrong_value=float("inf"))
