"""ConTAM scores against brute force and gold, the gain curve, and the planted world."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.audit import ngrams
from workbench.audit.contamination import (
    SCORES,
    collection_contamination,
    contamination_scores,
)
from workbench.audit.epg import epg_at_share, epg_curve, length_bins
from workbench.data import from_rows
from workbench.data.sets import take
from workbench.data.worlds.copied_spans import copied_spans
from workbench.errors import BadArgument, BadData


def gold(shared, method):
    records = json.loads((shared / "gold" / "llm.json").read_text())
    return next(record for record in records if record["method"] == method)


def brute_force(text, train, n, mincount, budget):
    """By the definitions, with nested loops."""
    tokens, others = text.split(), [other.split() for other in train]
    total = len(tokens)
    if total < n:
        return [np.nan] * 5
    grams = [tuple(tokens[i : i + n]) for i in range(total - n + 1)]
    seen = [tuple(other[i : i + n]) for other in others for i in range(len(other) - n + 1)]
    matched = [seen.count(gram) >= mincount for gram in grams]
    covered = [any(matched[max(0, i - n + 1) : i + 1]) for i in range(total)]
    run = longest = 0
    for hit in matched:
        run = run + 1 if hit else 0
        longest = max(longest, run + n - 1 if run else 0)
    shared = max(
        (
            size
            for other in others
            for size in range(n, total + 1)
            for i in range(total - size + 1)
            for j in range(len(other) - size + 1)
            if tokens[i : i + size] == other[j : j + size]
        ),
        default=0,
    )
    span = max(
        (
            j - i + 1
            for i in range(total)
            for j in range(i, total)
            if covered[i] and covered[j] and covered[i : j + 1].count(False) <= budget
        ),
        default=0,
    )
    return [
        sum(covered) / total,
        sum(matched) / len(grams),
        longest / total,
        shared / total,
        span / total,
    ]


texts = st.lists(st.lists(st.sampled_from("abc"), max_size=12).map(" ".join), max_size=6)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(texts.filter(len), texts, st.integers(1, 4), st.integers(1, 3), st.integers(0, 2))
def test_equals_brute_force(test, train, n, mincount, budget):
    frame = contamination_scores(
        test, train, n=n, mincount=mincount, skip_budget=budget, tokenizer=str.split
    )
    expected = [brute_force(text, train, n, mincount, budget) for text in test]
    np.testing.assert_allclose(frame[list(SCORES)].to_numpy(), expected, atol=1e-12)
    assert frame["tokens"].tolist() == [len(text.split()) for text in test]
    assert frame["too_short"].tolist() == [len(text.split()) < n for text in test]


def test_the_stream_may_be_cut_anywhere(monkeypatch, rng):
    test = [" ".join(rng.choice(list("abcd"), size=30)) for _ in range(8)]
    train = [" ".join(rng.choice(list("abcde"), size=40)) for _ in range(40)]
    whole = contamination_scores(test, train, n=3)
    monkeypatch.setattr(ngrams, "BATCH", 50)
    monkeypatch.setattr("workbench.audit.contamination.HELD", 10)
    cut = contamination_scores(test, iter(train), n=3)
    np.testing.assert_array_equal(whole.to_numpy(), cut.to_numpy())


@pytest.mark.shared
@pytest.mark.parametrize("method", ["contam.scores", "contam.scores.mincount2"])
def test_gold_scores(shared, method):
    case = gold(shared, method)
    given = case["inputs"]
    row = contamination_scores(
        [given["test"]],
        given["train"],
        n=given["n"],
        mincount=given["mincount"],
        skip_budget=given.get("skip_budget", 0),
        tokenizer=str.split,
    ).iloc[0]
    names = {
        "longest_run_of_matched_ngrams": "longest_run",
        "longest_true_common_substring": "longest_shared",
        "longest_span_skip1": "longest_span",
    }
    for name, wanted in case["expected"].items():
        if not isinstance(wanted, str):
            # The records are rounded to 12 decimals.
            assert abs(row[names.get(name, name)] - wanted) <= 1e-12


@pytest.mark.shared
def test_gold_gain(shared):
    case = gold(shared, "contam.epg")
    given = case["inputs"]
    curve = epg_curve(
        given["score"], given["correct"], thresholds=given["thresholds"], min_clean=1
    ).set_index("tau")
    for tau, wanted in case["expected"].items():
        row = curve.loc[float(tau)]
        assert abs(row["epg"] - wanted["epg"]) <= 1e-12
        assert row["share"] == wanted["fraction_contaminated"]
        assert row["ci_low"] <= row["epg"] <= row["ci_high"]


def auroc(score, truth):
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(truth, score)


@pytest.mark.slow
def test_the_longest_match_finds_what_boilerplate_hides():
    for seed in range(3):
        world = copied_spans(seed=seed)
        test, train, copied, right = world.test, world.train, world.copied, world.right
        frame = contamination_scores(test, train, tokenizer=str.split)
        assert auroc(frame["longest_run"], copied) >= 0.98
        assert auroc(frame["longest_shared"], copied) >= 0.98
        assert auroc(frame["token_match"], copied) <= 0.80
        names = {name: frame[name] for name in ("token_match", "longest_run")}
        gain = epg_at_share(names, right, share=0.3, resamples=200)
        assert gain["difference"][1] >= 0.05
        assert gain["difference_low"][1] > 0
        wide = contamination_scores(test, train, n=30, tokenizer=str.split)
        assert auroc(wide["longest_run"], copied) <= 0.95  # spans under 30 tokens are missed


def test_a_gain_is_bounded_below_and_left_out_items_are_left_out(rng):
    scores, right = rng.random(200), rng.random(200)
    curve = epg_curve(scores, right, resamples=100)
    assert len(curve) == 100
    few = curve["clean"] < 50
    assert few.any()
    assert curve.loc[few, ["epg", "ci_low", "ci_high"]].isna().all(axis=None)
    assert curve.loc[~few, "epg"].notna().all()
    longer = epg_curve([*scores, np.nan], [*right, 5.0], resamples=100)
    np.testing.assert_array_equal(curve.to_numpy(), longer.to_numpy())


def test_the_interval_is_the_bootstrap_of_scipy(rng):
    from scipy import stats

    scores, right = rng.random(120), rng.random(120)
    row = epg_curve(scores, right, thresholds=[0.7], resamples=4000).iloc[0]

    def gain(score, metric, axis=-1):
        clean = score < 0.7
        return metric.mean(axis=axis) - (metric * clean).sum(axis=axis) / clean.sum(axis=axis)

    peer = stats.bootstrap(
        (scores, right), gain, paired=True, n_resamples=4000, method="percentile", rng=1
    ).confidence_interval
    assert row["epg"] == pytest.approx(gain(scores, right))
    assert row["ci_low"] == pytest.approx(peer.low, abs=0.004)
    assert row["ci_high"] == pytest.approx(peer.high, abs=0.004)


def test_ties_at_the_boundary_are_marked_in_part(rng):
    score = np.array([0.0, 0.5, 0.5, 0.5, 0.5, 1.0])
    right = np.array([0.0, 1.0, 0.0, 0.0, 1.0, 1.0])
    frame = epg_at_share({"s": score}, right, share=0.5, min_clean=1)
    # Unmarked: the 0.0 and half of each of the four that tie.
    assert frame["epg"][0] == pytest.approx(right.mean() - (0 + 0.5 * 2) / 3)
    weighed = rng.permutation(6)
    again = epg_at_share({"s": score[weighed]}, right[weighed], share=0.5, min_clean=1)
    assert again["epg"][0] == pytest.approx(frame["epg"][0])


def test_strata_take_away_a_gain_that_is_only_ease(rng):
    """Short items are easy and marked more often; within a length the mark says nothing."""
    short = rng.random(4000) < 0.5
    lengths = np.where(short, 5, 50)
    right = rng.random(4000) < np.where(short, 0.9, 0.3)
    score = rng.random(4000) * np.where(short, 1.0, 0.5)
    bins = length_bins(lengths, bins=4)
    assert sorted(set(bins.tolist())) == [0, 1]
    options = {"thresholds": [0.45], "resamples": 100}
    confounded = epg_curve(score, right, **options)["epg"][0]
    fair = epg_curve(score, right, strata=bins, **options).iloc[0]
    assert confounded > 0.05
    assert abs(fair["epg"]) < 0.03
    assert fair["ci_low"] < 0 < fair["ci_high"]
    at_share = epg_at_share({"s": score}, right, strata=bins, resamples=100)["epg"][0]
    assert abs(at_share) < 0.03


def test_a_collection_is_audited_by_query_passage_and_pair():
    train = from_rows(
        [
            {"query": "walk through all files of a folder", "positive": "a b c d e f g h i j k"},
            {"query": "the other", "positive": "open a socket and wait for a client to come"},
        ]
    )
    test = from_rows(
        [
            {"query": "open a socket and wait", "positive": "x y z a b c d e f g h"},
            {"query": "short", "positive": "nothing that was seen in any of the training texts"},
        ]
    )
    frame = collection_contamination(test, train)
    assert frame["unit"].tolist() == ["query", "query", "doc", "doc", "pair", "pair"]
    assert frame["query_id"].tolist() == [*test.query_ids, None, None, *test.query_ids]
    assert frame["doc_id"].tolist() == [None, None, *test.doc_ids, *test.doc_ids]
    # The query stands inside a training passage.
    assert frame["longest_shared"][0] == 1.0
    assert frame["too_short"].tolist() == [False, True, False, False, False, False]
    assert frame["longest_shared"][2] == pytest.approx(8 / 11)
    assert frame["longest_shared"][3] == 0.0
    assert frame["longest_shared"][4] == pytest.approx(8 / 16)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n": 0}, "`n` is 0, but it must be a whole number >= 1"),
        ({"mincount": 0}, "`mincount` is 0"),
        ({"skip_budget": -1}, "`skip_budget` is -1"),
        ({"test": []}, r"`test` is \[\], but it must hold at least one text"),
        ({"test": "abc"}, "`test` is 'abc', but it must be a list of strings"),
        ({"train": "abc"}, "`train` is 'abc', but it must be a list of strings"),
        ({"train": iter(["a", None])}, r"`train\[1\]` is None, but it must be a string"),
        ({"tokenizer": str.lower}, "`tokenizer` is 'a', but it must give a list of strings"),
        ({"tokenizer": lambda text: [1]}, "it must give a list of strings"),
    ],
)
def test_wrong_scores_options_are_named(options, said):
    with pytest.raises(BadArgument, match=said):
        contamination_scores(**{"test": ["a"], "train": ["a"], **options})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scores": [0.1]}, r"`scores` is \(1,\), but it must have one value for each of 2 items"),
        ({"strata": [0]}, r"`strata` is \(1,\), but it must have one value for each of 2 items"),
        ({"per_item_metric": [1.0, np.nan]}, "`per_item_metric` .* finite numbers, one per item"),
        ({"min_clean": 0}, "`min_clean` is 0"),
        ({"thresholds": [np.nan]}, "`thresholds` .* it must be a list of numbers"),
        ({"resamples": 10}, "`resamples` is 10"),
        ({"confidence": 1.0}, "`confidence` is 1.0"),
        ({"seed": -1}, "`seed` is -1"),
    ],
)
def test_wrong_curve_options_are_named(options, said):
    with pytest.raises(BadArgument, match=said):
        epg_curve(**{"scores": [0.1, 0.2], "per_item_metric": [0.0, 1.0], **options})


@pytest.mark.parametrize(
    ("scores", "options", "said"),
    [
        ({}, {}, r"`scores` is \{\}, but it must be a dictionary"),
        ({"a": [0.1, 0.2]}, {"share": 1.0}, "`share` is 1.0"),
        ({"a": [0.1, 0.2]}, {"min_clean": 0}, "`min_clean` is 0"),
        ({"a": [0.1, 0.2]}, {}, "`share` is 0.3, .* at least 50 unmarked items, and leaves 1"),
    ],
)
def test_wrong_share_options_are_named(scores, options, said):
    with pytest.raises(BadArgument, match=said):
        epg_at_share(scores, [0.0, 1.0], **options)


def test_nothing_scored_and_wrong_lengths_are_refused():
    with pytest.raises(BadData, match="no item has a score: all are NaN"):
        epg_curve([np.nan], [1.0])
    with pytest.raises(BadArgument, match=r"`lengths` .* it must be a list of numbers"):
        length_bins([np.nan])
    with pytest.raises(BadArgument, match="`bins` is 0"):
        length_bins([1], bins=0)
    assert length_bins([]).tolist() == []


def test_wrong_spans_options_are_named():
    with pytest.raises(BadArgument, match="`items` is 9, but it must be a whole number >= 10"):
        copied_spans(items=9)
    with pytest.raises(BadArgument, match="`seed` is -1"):
        copied_spans(seed=-1)


def test_lengths_of_both_units_are_refused_before_any_text_is_read():
    def never(text):
        raise AssertionError("a text was read first")

    some = from_rows([{"query": "one two", "positive": "three four"}], name="some")
    for option in ("query_n", "doc_n"):
        with pytest.raises(BadArgument, match=f"`{option}` is 0, but it must be a whole number"):
            collection_contamination(some, some, tokenizer=never, **{option: 0})
    none = take(
        some, queries=np.empty(0, np.int64), docs=np.empty(0, np.int64), name="none", recipe={}
    )
    with pytest.raises(BadArgument, match="`test` is 'none', but it must hold a text"):
        collection_contamination(none, some)


def test_a_score_is_finite_or_unknown():
    with pytest.raises(BadArgument, match="`scores` is inf, but it must be finite, or NaN"):
        epg_curve([np.inf, 0.1, 0.2], [1, 0, 1], min_clean=1)
