"""Which kept candidates serve: windows, top, random, bands, and honest counts."""

from dataclasses import replace

import numpy as np
import pytest

from workbench.errors import BadArgument
from workbench.mine import choose, hardness, report, share_of_positive_score
from workbench.types import Candidates

QUERIES, DOCS, K = 40, 100, 12


@pytest.fixture
def found():
    """Lists of different lengths, a third of the candidates dropped, some without a positive."""
    random = np.random.default_rng(5)
    docs = np.stack([random.permutation(DOCS)[:K] for _ in range(QUERIES)])
    scores = -np.sort(-random.random((QUERIES, K), dtype=np.float32), axis=1)
    short = random.integers(0, K + 1, QUERIES)
    there = np.arange(K) < short[:, None]
    positive = random.random(QUERIES, dtype=np.float32)
    positive[::7] = np.nan
    return Candidates(
        query_ids=np.array([f"q{n}" for n in range(QUERIES)], dtype=object),
        doc_ids=np.array([f"d{n}" for n in range(DOCS)], dtype=object),
        docs=np.where(there, docs, -1),
        scores=np.where(there, scores, -np.inf).astype(np.float32),
        ranks=np.where(there, np.arange(1, K + 1), 0).astype(np.int32),
        weight=(there & (random.random((QUERIES, K)) > 0.3)).astype(np.float32),
        positive_scores=positive,
        miner="made",
    )


def window_by_loops(found, query, window, window_on):
    """Columns of one query that lie in the window."""
    first, last = window[0], window[1] if window[1] is not None else 10**9
    kept = [c for c in range(K) if found.docs[query, c] >= 0 and found.weight[query, c] > 0]
    if window_on == "kept":
        return kept[first:last]
    return [c for c in kept if first < found.ranks[query, c] <= last]


WINDOWS = [
    ((0, None), "kept"), ((2, None), "kept"), ((0, 5), "kept"), ((2, 6), "kept"),
    ((0, None), "found"), ((2, None), "found"), ((0, 5), "found"), ((2, 6), "found"),
]  # fmt: skip


@pytest.mark.parametrize(("window", "window_on"), WINDOWS)
@pytest.mark.parametrize("how", ["top", "random", "banded"])
def test_choice_equals_loops_and_counts_are_honest(found, window, window_on, how):
    wanted = 3
    result = choose(found, wanted, window=window, window_on=window_on, how=how)
    assert result.docs.shape == (QUERIES, wanted)
    missing = []
    for query in range(QUERIES):
        inside = window_by_loops(found, query, window, window_on)
        columns = [found.docs[query].tolist().index(doc) for doc in result.docs[query] if doc >= 0]
        assert len(columns) == min(wanted, len(inside))
        assert columns == sorted(columns)
        assert set(columns) <= set(inside)
        if how == "top":
            assert columns == inside[:wanted]
        count = len(columns)
        missing.append(wanted - count)
        for name in ("scores", "ranks", "weight"):
            mine = getattr(result, name)[query]
            assert mine[:count].tolist() == getattr(found, name)[query, columns].tolist()
        assert (result.docs[query, count:] == -1).all()
        assert np.isneginf(result.scores[query, count:]).all()
        assert not result.weight[query, count:].any()
        assert not result.ranks[query, count:].any()
    choice = result.recipe["choice"]
    assert choice["chosen"] == QUERIES * wanted - sum(missing)
    assert choice["missing"] == sum(missing)
    assert choice["short"] == sum(n > 0 for n in missing)
    assert choice["short_by"] == {str(n): missing.count(n) for n in sorted(set(missing)) if n > 0}
    assert sum(int(n) * q for n, q in choice["short_by"].items()) == choice["missing"]
    assert 0 <= choice["chosen"] <= choice["kept"]


def test_the_two_windows_differ_where_a_rule_dropped_something():
    docs = np.arange(6)[None]
    one = Candidates(
        query_ids=np.array(["q"], dtype=object),
        doc_ids=np.array(list("abcdef"), dtype=object),
        docs=docs,
        scores=np.linspace(1, 0.5, 6, dtype=np.float32)[None],
        ranks=(docs + 1).astype(np.int32),
        weight=np.array([[0, 1, 0, 1, 1, 1]], dtype=np.float32),
        positive_scores=np.ones(1, dtype=np.float32),
        miner="made",
    )
    assert choose(one, 2, window=(1, None)).docs.tolist() == [[3, 4]]
    assert choose(one, 2, window=(1, None), window_on="found").docs.tolist() == [[1, 3]]
    assert choose(one, 2, window=(0, 3), window_on="found").docs.tolist() == [[1, -1]]


def test_random_is_seeded_by_query_and_nothing_else(found):
    once = choose(found, 3, how="random", seed=1)
    np.testing.assert_array_equal(once.docs, choose(found, 3, how="random", seed=1).docs)
    assert (once.docs != choose(found, 3, how="random", seed=2).docs).any()
    order = np.random.default_rng(0).permutation(QUERIES)[:20]
    names = ("query_ids", "docs", "scores", "ranks", "weight", "positive_scores")
    some = replace(found, **{name: getattr(found, name)[order] for name in names})
    np.testing.assert_array_equal(choose(some, 3, how="random", seed=1).docs, once.docs[order])


@pytest.mark.slow
def test_random_draws_every_candidate_equally_often(found):
    full = np.flatnonzero((found.weight > 0).sum(axis=1) >= 7)[0]
    size = int((found.weight[full] > 0).sum())
    names = ("query_ids", "docs", "scores", "ranks", "weight", "positive_scores")
    one = replace(found, **{name: getattr(found, name)[[full]] for name in names})
    drawn = np.concatenate([choose(one, 3, how="random", seed=seed).docs[0] for seed in range(300)])
    counts = np.unique(drawn, return_counts=True)[1]
    assert len(counts) == size
    expected = 900 / size
    # A count has a standard deviation of at most sqrt(expected); five of them.
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


def spread_list(shares):
    """One query whose candidates score these shares of the positive's 0.8."""
    shares = np.array(shares, dtype=np.float32)[None]
    count = shares.shape[1]
    return Candidates(
        query_ids=np.array(["q"], dtype=object),
        doc_ids=np.array([f"d{n}" for n in range(count)], dtype=object),
        docs=np.arange(count)[None],
        scores=0.8 * shares,
        ranks=np.arange(1, count + 1, dtype=np.int32)[None],
        weight=np.ones((1, count), dtype=np.float32),
        positive_scores=np.array([0.8], dtype=np.float32),
        miner="made",
    )


def test_bands_by_share_of_the_positive_give_equal_numbers():
    one = spread_list([0.97, 0.95, 0.93, 0.92, 0.8, 0.75, 0.72, 0.6, 0.55, 0.3, 0.2, 0.1])
    result = choose(one, 8, how="banded", bands=(0.5, 0.7, 0.9))
    share = share_of_positive_score(result)[0]
    counts = np.histogram(share, bins=[-1, 0.5, 0.7, 0.9, 2])[0].tolist()
    assert counts == [2, 2, 2, 2]
    assert result.recipe["choice"]["from_band"] == [2, 2, 2, 2, 0]
    assert result.recipe["choice"]["filled"] == 0
    odd = choose(one, 6, how="banded", bands=(0.5, 0.7, 0.9)).recipe["choice"]
    assert odd["from_band"] == [2, 2, 1, 1, 0]  # remainders from the hardest


def test_a_short_band_is_filled_from_the_nearest_easier_first():
    one = spread_list([0.95, 0.85, 0.8, 0.75, 0.65, 0.6, 0.2])
    choice = choose(one, 4, how="banded", bands=(0.5, 0.7, 0.9)).recipe["choice"]
    assert choice["from_band"] == [1, 1, 1, 1, 0]
    choice = choose(one, 6, how="banded", bands=(0.5, 0.7, 0.9)).recipe["choice"]
    # asked 2, 2, 1, 1: the hardest lacks one, its easier neighbour has one to spare
    assert choice["from_band"] == [1, 3, 1, 1, 0]
    assert choice["filled"] == 1
    either = spread_list([0.95, 0.94, 0.65, 0.6, 0.3])  # both neighbours have one to spare
    choice = choose(either, 4, how="banded", bands=(0.5, 0.7, 0.9)).recipe["choice"]
    assert choice["from_band"] == [1, 0, 2, 1, 0]
    hard = spread_list([0.95, 0.94, 0.93, 0.92])
    choice = choose(hard, 4, how="banded", bands=(0.5, 0.7, 0.9)).recipe["choice"]
    assert choice["from_band"] == [4, 0, 0, 0, 0]
    assert choice["filled"] == 3


def test_a_query_without_a_positive_still_gets_its_number(found):
    full = replace(found, weight=(found.docs >= 0).astype(np.float32))
    result = choose(full, 4, how="banded", bands=(0.5, 1.0))
    unknown = np.isnan(full.positive_scores)
    have = (full.docs >= 0).sum(axis=1)
    assert unknown.any()
    np.testing.assert_array_equal((result.docs >= 0).sum(axis=1), np.minimum(have, 4))
    assert result.recipe["choice"]["from_band"][-1] == np.minimum(have, 4)[unknown].sum()


def test_a_number_of_bands_cuts_each_list_into_equal_runs(found):
    full = replace(found, weight=(found.docs >= 0).astype(np.float32))
    result = choose(full, 4, how="banded", bands=4)
    whole = (full.docs >= 0).all(axis=1)
    assert whole.any()
    run = (result.ranks[whole] - 1) // (K // 4)
    np.testing.assert_array_equal(run, np.tile(np.arange(4), (int(whole.sum()), 1)))


def test_report_tells_of_the_choice(found):
    table = report(choose(found, 3))
    choice = choose(found, 3).recipe["choice"]
    assert table["rule"].tolist() == ["choose(3, 'top')"]
    assert table["dropped"].tolist() == [choice["kept"] - choice["chosen"]]
    assert table["short"].tolist() == [choice["short"]]
    assert 0 <= table["share"].item() <= 1


def test_hardness_adds_up(found):
    share = share_of_positive_score(found)
    for query, column in np.ndindex(*found.docs.shape):
        positive, score = found.positive_scores[query], found.scores[query, column]
        if found.docs[query, column] < 0 or np.isnan(positive):
            assert np.isnan(share[query, column])
        else:
            np.testing.assert_allclose(share[query, column], score / positive, rtol=1e-4)
    for by in ("share", "score"):
        table = hardness(found, by=by, bins=7)
        assert len(table) == 8
        assert table["found"].sum() == (found.docs >= 0).sum()
        assert table["kept"].sum() == (found.weight > 0).sum()
    assert table["found"].iloc[-1] == 0  # every candidate has a score
    empty = replace(found, docs=np.full_like(found.docs, -1), weight=np.zeros_like(found.weight))
    assert hardness(empty)["found"].sum() == 0


def test_a_share_of_a_negative_score_still_falls_below_one():
    one = replace(spread_list([1, 1]), scores=np.array([[-0.1, -0.3]], dtype=np.float32),
                  positive_scores=np.array([-0.2], dtype=np.float32))  # fmt: skip
    assert share_of_positive_score(one)[0].round(3).tolist() == [1.5, 0.5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_negatives": 0}, r"`num_negatives` is 0, but it must be a whole number >= 1"),
        ({"window": (3, 5)}, r"is \(3, 5\), but it must hold at least num_negatives \(4\) ranks"),
        ({"window": (-1, None)}, r"`window\[0\]` is -1, but it must be a whole number >= 0"),
        ({"window": (0, 4.5)}, r"`window\[1\]` is 4.5, but it must be a whole number"),
        ({"window": (5,)}, r"it must be \(ranks to skip, last rank or None\)"),
        ({"window_on": "keep"}, r"`window_on` is 'keep', .* Did you mean 'kept'\?"),
        ({"how": "best"}, r"`how` is 'best', but it must be one of top, random, banded"),
        ({"bands": 0}, r"`bands` is 0, but it must be a whole number >= 1"),
        ({"bands": (0.9, 0.5)}, r"edges must be there and rise"),
        ({"bands": ()}, r"edges must be there and rise"),
        ({"bands": (float("nan"),)}, r"`bands` is nan, but it must be a finite number"),
        ({"seed": -1}, r"`seed` is -1, but it must be a whole number >= 0"),
    ],
)  # fmt: skip
def test_wording(found, options, message):
    from workbench.mine.choose import check_choice_of

    settings = {"num_negatives": 4, "window": (0, None), "window_on": "kept", "how": "top",
                "bands": 4, "seed": 0} | options  # fmt: skip
    with pytest.raises(BadArgument, match=message):
        check_choice_of(settings.pop("num_negatives"), **settings)
