from itertools import product

import numpy as np
import pytest

from workbench.errors import BadArgument, BadData
from workbench.evaluate import compare, holm, pooled, share_of_headroom, summary
from workbench.types import Scorecard


def card(values, *, name="run", ids=None, metric="RR@10"):
    values = np.asarray(values, dtype=np.float64)
    named = [f"q{place}" for place in range(len(values))] if ids is None else ids
    return Scorecard(name=name, query_ids=np.array(named, dtype=object), values={metric: values})


def test_exact_randomisation_on_few_queries():
    difference = np.array([0.3, -0.1, 0.2, 0.25, 0.05, 0.4])
    means = [np.mean(difference * signs) for signs in product([1, -1], repeat=6)]
    wanted = np.mean([abs(mean) >= abs(difference.mean()) - 1e-12 for mean in means])
    found = compare(card(np.zeros(6)), card(difference))
    assert found.p_value == pytest.approx(wanted)
    assert (found.wins, found.losses, found.ties, found.queries) == (5, 1, 0, 6)


@pytest.mark.slow
def test_interval_equals_a_bootstrap_by_loops():
    random = np.random.default_rng(0)
    difference = random.normal(0.02, 0.3, 60)
    means = [difference[random.integers(0, 60, 60)].mean() for _ in range(20_000)]
    found = compare(card(np.zeros(60)), card(difference), resamples=20_000)
    np.testing.assert_allclose(
        [found.low, found.high], np.quantile(means, [0.025, 0.975]), atol=0.004
    )
    assert found.low < found.mean < found.high


@pytest.mark.slow
def test_the_test_agrees_with_the_normal_approximation():
    random = np.random.default_rng(3)
    difference = random.normal(0.05, 0.3, 200)
    z = difference.mean() / (difference.std(ddof=0) / np.sqrt(200))
    from scipy.stats import norm

    found = compare(card(np.zeros(200)), card(difference))
    assert found.p_value == pytest.approx(2 * norm.sf(abs(z)), abs=0.01)


def test_swapping_the_runs_swaps_the_sign():
    random = np.random.default_rng(1)
    a, b = card(random.random(40), name="a"), card(random.random(40), name="b")
    there, back = compare(a, b), compare(b, a)
    assert there.mean == pytest.approx(-back.mean)
    assert there.low == pytest.approx(-back.high, abs=0.02)
    assert (there.wins, there.losses) == (back.losses, back.wins)
    assert there.p_value == pytest.approx(back.p_value, abs=0.02)


def test_queries_are_aligned_by_id():
    values = np.array([0.1, 0.5, 0.9])
    shuffled = card(values[::-1], ids=["q2", "q1", "q0"])
    found = compare(card(values), shuffled)
    assert (found.mean, found.ties, found.p_value) == (0.0, 3, 1.0)


def test_p_is_never_zero_and_seeds_matter():
    difference = np.random.default_rng(0).normal(0.5, 0.1, 400)
    found = compare(card(np.zeros(400)), card(difference), resamples=999)
    assert found.p_value == pytest.approx(2 / 1000)
    again = compare(card(np.zeros(400)), card(difference), resamples=999)
    other = compare(card(np.zeros(400)), card(difference), resamples=999, seed=1)
    assert found == again
    assert found.low != other.low


def test_no_difference_is_p_one_and_a_point():
    found = compare(card([0.5, 0.25]), card([0.5, 0.25]))
    assert (found.mean, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_promised():
    random = np.random.default_rng(7)
    p_values, covered = [], 0
    for trial in range(300):
        difference = random.normal(0, 1, 50)
        found = compare(card(np.zeros(50)), card(difference), resamples=400, seed=trial)
        p_values.append(found.p_value)
        covered += found.low <= 0 <= found.high
    assert 0.01 <= np.mean(np.array(p_values) <= 0.05) <= 0.09
    assert 0.90 <= covered / 300 <= 0.98


def test_text_and_table():
    found = compare(card([0.0, 0.0], name="plain"), card([0.5, 1.0], name="guided"))
    text = str(found)
    assert text.startswith("RR@10: guided - plain = +0.7500 [+0.5000, +1.0000] at 95%, p = 0.5")
    assert "2 queries: 2 better, 0 worse, 0 equal" in text
    assert found.frame().loc[0, "mean"] == 0.75


def test_mistakes_are_named():
    one = card([0.1, 0.2])
    with pytest.raises(BadData, match=r"query 'q9' only in one"):
        compare(one, card([0.1, 0.2], ids=["q0", "q9"]))
    with pytest.raises(BadData, match=r"run holds a query twice"):
        compare(one, card([0.1, 0.2, 0.3], ids=["q0", "q1", "q1"]))
    with pytest.raises(BadArgument, match=r"`metric` is 'RR@1', but it must be one of RR@10"):
        compare(one, one, metric="RR@1")
    with pytest.raises(BadArgument, match=r"it must be a whole number >= 100"):
        compare(one, one, resamples=5)
    with pytest.raises(BadArgument, match=r"`confidence` is 95"):
        compare(one, one, confidence=95)
    with pytest.raises(BadArgument, match=r"at least two queries"):
        compare(card([0.1]), card([0.1]))
    with pytest.raises(BadArgument, match=r"`cards` is \[\]"):
        summary([])
    with pytest.raises(BadArgument, match=r"each must hold \['RR@10'\]"):
        pooled([one, card([0.1, 0.2], metric="R@5")], name="x")


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.02, 0.5])), [0.03, 0.04, 0.5])
    np.testing.assert_allclose(holm(np.array([0.4, 0.6, 0.3])), [0.9, 0.9, 0.9])
    assert holm(np.array([])).shape == (0,)


def test_summary_compares_with_the_baseline():
    random = np.random.default_rng(2)
    base = card(random.random(50) * 0.5, name="plain")
    runs = [base, *(card(base.values["RR@10"] + more, name=f"+{more}") for more in (0.1, 0.0))]
    frame = summary(runs, baseline=base, resamples=999)
    assert frame.index.tolist() == ["plain", "+0.1", "+0.0"]
    assert frame.loc["plain", ["difference", "p", "p_holm"]].isna().all()
    np.testing.assert_allclose(frame["difference"].tolist()[1:], [0.1, 0.0], atol=1e-12)
    assert frame["p"].tolist()[1:] == pytest.approx([0.002, 1.0])
    assert frame["p_holm"].tolist()[1:] == pytest.approx([0.004, 1.0])
    assert summary(runs).columns.tolist() == ["RR@10"]


def test_run_names_are_escaped_in_html():
    frame = summary([card([0.5, 0.5], name="<script>")])
    assert "<script>" not in frame._repr_html_()


def test_pooled_is_the_mean_over_seeds_by_query():
    runs = [card([0.0, 1.0]), card([0.5, 0.0], ids=["q1", "q0"])]
    result = pooled(runs, name="two seeds")
    np.testing.assert_allclose(result.values["RR@10"], [0.0, 0.75])


def test_share_of_headroom_and_its_interval():
    random = np.random.default_rng(0)
    plain = random.random(300) * 0.5
    gain = random.random(300) * 0.2
    noise = random.normal(0, 0.02, 300)
    found = share_of_headroom(card(plain), card(plain + gain * 2 / 3 + noise), card(plain + gain))
    assert found.low < found.share < found.high
    assert found.share == pytest.approx(2 / 3, abs=0.05)
    assert found.high - found.low < 0.1
    assert "67%" in str(found) or "66%" in str(found) or "68%" in str(found)
    exact = share_of_headroom(card(plain), card(plain), card(plain + gain))
    assert (exact.share, exact.low, exact.high) == (0.0, 0.0, 0.0)


def test_no_headroom_is_said_not_divided():
    random = np.random.default_rng(0)
    plain = random.random(100)
    none = share_of_headroom(card(plain), card(plain + 0.1), card(plain - 0.1))
    assert np.isnan(none.share)
    assert "the oracle does not beat plain" in str(none)
    noisy = plain + random.normal(0, 0.5, 100)
    noisy += plain.mean() + 0.001 - noisy.mean()
    unsure = share_of_headroom(card(plain), card(plain + 0.1), card(noisy))
    assert np.isfinite(unsure.share)
    assert np.isnan(unsure.low)
    assert "within chance" in str(unsure)
    assert unsure.frame().shape == (1, 9)
