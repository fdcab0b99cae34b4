"""Near-duplicates against brute force, and what is made of groups."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.data import (
    collapse,
    exact_duplicates,
    from_rows,
    minhash,
    near_duplicates,
    sample,
    with_groups,
)
from workbench.data.duplicates import joined
from workbench.data.minhash import band_width
from workbench.data.sets import check_texts
from workbench.errors import BadArgument


def shingles(text, size=5):
    tokens = re.findall(r"\w+|[^\w\s]", text)
    return {tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)}


def brute_force(texts, threshold, size=5):
    """Single linkage over every pair, by the definition."""
    groups = list(range(len(texts)))
    sets = [shingles(text, size) for text in texts]
    for i, j in itertools.combinations(range(len(texts)), 2):
        union = len(sets[i] | sets[j])
        near = union and len(sets[i] & sets[j]) / union >= threshold
        if near or " ".join(texts[i].split()) == " ".join(texts[j].split()):
            groups = [groups[i] if group == groups[j] else group for group in groups]
    order = list(dict.fromkeys(groups))
    return [order.index(group) for group in groups]


def families(rng, count, words=60):
    """Texts of which many are mutations, light and heavy, of earlier ones."""
    texts = [" ".join(rng.choice(list("abcdefghij"), size=words)) for _ in range(count // 4)]
    while len(texts) < count:
        tokens = texts[rng.integers(len(texts))].split()
        for _ in range(rng.integers(0, 6)):
            tokens[rng.integers(len(tokens))] = rng.choice(list("klmnop"))
        texts.append(" ".join(tokens))
    return texts


@pytest.mark.parametrize("threshold", [0.5, 0.8, 1.0])
def test_equals_brute_force(rng, threshold):
    texts = families(rng, 160)
    expected = brute_force(texts, threshold)
    assert len(set(expected)) < 160
    # 256 permutations: at 128 one pair in 200 right at the threshold may be missed.
    assert near_duplicates(texts, threshold=threshold, permutations=256).tolist() == expected


def test_a_pair_exactly_at_the_threshold_counts():
    first = "a b c d e f g h i j k l m"  # 9 shingles
    second = first.replace("m", "n")  # 8 of 10 shared
    assert near_duplicates([first, second], threshold=0.8).tolist() == [0, 0]
    assert near_duplicates([first, second], threshold=0.81).tolist() == [0, 1]


def test_short_texts_are_grouped_only_when_equal_and_empty_ones_never():
    assert near_duplicates(["return x", "return  x\n", "return y", "", " "]).tolist() == [
        0,
        0,
        1,
        2,
        3,
    ]
    assert near_duplicates([]).tolist() == []


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.randoms(use_true_random=False))
def test_order_of_the_texts_does_not_matter(random):
    texts = families(np.random.default_rng(3), 60)
    order = list(range(60))
    random.shuffle(order)
    straight = near_duplicates(texts)
    shuffled = near_duplicates([texts[place] for place in order])
    same = straight[order][:, None] == straight[order][None, :]
    np.testing.assert_array_equal(same, shuffled[:, None] == shuffled[None, :])


@pytest.mark.slow
def test_one_family_of_copies_stays_cheap():
    base = " ".join(f"word{i}" for i in range(60))
    texts = [f"{base} tail{i}" for i in range(1500)]
    assert set(near_duplicates(texts).tolist()) == {0}


@pytest.mark.parametrize("held", [0, 1_000_000])
def test_pairs_that_share_no_band_leader_are_still_compared(monkeypatch, held):
    """All texts fall into every band; its first text is like none of the others."""
    monkeypatch.setattr(minhash, "_pairs", held)
    words = [f"w{i}" for i in range(40)]
    first, second = " ".join(words), " ".join([*words[:-1], "other"])
    texts = [
        "nothing of the kind stands here at all",
        first,
        "quite another text without a twin",
        second,
    ]
    sets = minhash.shingle_sets(texts, 5)
    alike = np.zeros((4, 16), dtype=np.uint32)
    found = minhash.join(sets, (np.arange(4), alike), threshold=0.8)
    assert found[1] == found[3]
    assert len(set(found.tolist())) == 3


def test_a_chain_becomes_one_group():
    words = [f"w{i}" for i in range(64)]
    chain = [
        " ".join(words[4 * i : 4 * i + 40]) for i in range(5)
    ]  # neighbours share 32 of 40 shingles
    assert near_duplicates(chain, threshold=0.75).tolist() == [0] * 5
    assert near_duplicates(chain[::4], threshold=0.75).tolist() == [0, 1]


@pytest.mark.parametrize("permutations", [64, 128, 256])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 0.95])
def test_bands_keep_the_promised_recall(permutations, threshold):
    width = band_width(permutations, threshold)
    chance = 1 - (1 - threshold**width) ** (permutations // width)
    assert chance >= 0.995
    wider = width + 1
    assert 1 - (1 - threshold**wider) ** (permutations // wider) < 0.995


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"threshold": 0}, "`threshold` is 0, but it must be > 0"),
        ({"threshold": 80}, "`threshold` is 80, but it must be <= 1"),
        ({"shingle": 0}, "`shingle` is 0"),
        ({"permutations": 4}, "`permutations` is 4"),
        ({"seed": -1}, "`seed` is -1"),
    ],
)
def test_wrong_options_are_named(options, said):
    with pytest.raises(BadArgument, match=said):
        near_duplicates(["a"], **options)


def test_wrong_texts_are_named():
    with pytest.raises(BadArgument, match=r"`texts\[1\]` is None, but it must be a string"):
        check_texts("texts", ["a", None])
    with pytest.raises(BadArgument, match="must be a list of strings"):
        near_duplicates("abc")


def test_exact_duplicates_and_joined():
    assert exact_duplicates(["b", "a", " b", ""]).tolist() == [0, 1, 0, 2]
    left, right = np.array([5, 5, 6, 7, 8]), np.array([1, 2, 2, 3, 4])
    assert joined(left, right).tolist() == [0, 0, 0, 1, 2]


def test_groups_of_both_sides():
    copy = "for every row in the table add price times count to the total"
    rows = [{"query": "sum up", "positive": copy}, {"query": "sum  up", "positive": copy + " ."}]
    plain = from_rows(rows)
    assert plain.doc_groups.tolist() == [0, 1]
    grouped = with_groups(plain)
    assert grouped.doc_groups.tolist() == [0, 0]
    assert grouped.query_groups.tolist() == [0, 0]
    assert grouped.recipe["groups"] == {"query_threshold": None, "doc_threshold": 0.8}
    assert with_groups(plain, doc_threshold=None).doc_groups.tolist() == [0, 1]


def test_collapse_keeps_one_document_per_group_and_the_best_grade():
    rows = [
        {"query": "a", "positive": "x y", "score": 1, "negative": "x  y z"},
        {"query": "b", "positive": "x  y", "score": 3, "negative": "w"},
        {"query": "a", "positive": "x   y", "score": 2},
        {"query": "c", "positive": "x  y z"},
    ]
    small = collapse(from_rows(rows))
    assert small.doc_texts == ["x y", "x  y z", "w"]
    assert small.qrels.toarray().tolist() == [[2, 0, 0], [3, 0, 0], [0, 1, 0]]
    assert small.qrels.nnz == 5  # the judged zeros of a and b stay judged
    assert small.recipe["collapsed"] == 2


def test_sample_keeps_judgments_and_order():
    rows = [{"query": f"q{i}", "positive": f"d{i}", "negative": f"d{i + 1}"} for i in range(20)]
    whole = from_rows(rows)
    part = sample(whole, 5, seed=1)
    assert part.fingerprint == sample(whole, 5, seed=1).fingerprint
    assert part.fingerprint != sample(whole, 5, seed=2).fingerprint
    judged = whole.frame()
    expected = judged[judged["query_id"].isin(part.query_ids)]
    np.testing.assert_array_equal(part.frame().to_numpy(), expected.to_numpy())
    assert len(part.queries) == 5
    assert len(sample(whole, 5, seed=1, restrict_corpus=False).corpus) == len(whole.corpus)
    assert len(sample(whole, 100, seed=1).queries) == 20
    with pytest.raises(BadArgument, match="`n` is 0"):
        sample(whole, 0, seed=1)
