"""Two rounds of mining compared, against sets."""

from dataclasses import replace

import numpy as np
import pytest

from workbench.errors import BadData
from workbench.mine import choose, compare_rounds
from workbench.types import Candidates

QUERIES, DOCS, K = 25, 30, 8


def mined(seed):
    random = np.random.default_rng(seed)
    docs = np.stack([random.permutation(DOCS)[:K] for _ in range(QUERIES)])
    there = np.arange(K) < random.integers(0, K + 1, QUERIES)[:, None]
    scores = random.random((QUERIES, K), dtype=np.float32)
    return Candidates(
        query_ids=np.array([f"q{n}" for n in range(QUERIES)], dtype=object),
        doc_ids=np.array([f"d{n}" for n in range(DOCS)], dtype=object),
        docs=np.where(there, docs, -1),
        scores=np.where(there, scores, -np.inf).astype(np.float32),
        ranks=np.where(there, np.arange(1, K + 1), 0).astype(np.int32),
        weight=(there & (random.random((QUERIES, K)) > 0.3)).astype(np.float32),
        positive_scores=np.ones(QUERIES, dtype=np.float32),
        miner=str(seed),
    )


def test_it_equals_sets():
    first, second = mined(0), choose(mined(1), 5)
    found = compare_rounds(first, second)
    for query in range(QUERIES):
        old = {d: s for d, s, w in zip(first.docs[query], first.scores[query],
               first.weight[query], strict=True) if w > 0}  # fmt: skip
        new = {d: s for d, s, w in zip(second.docs[query], second.scores[query],
               second.weight[query], strict=True) if w > 0}  # fmt: skip
        assert found.kept[query] == len(old.keys() & new.keys())
        assert found.new[query] == len(new.keys() - old.keys())
        assert found.ruled_out[query] + found.gone[query] == len(old.keys() - new.keys())
        both = old.keys() & new.keys()
        shift = np.mean([new[d] - old[d] for d in both]) if both else np.nan
        np.testing.assert_allclose(found.score_shift[query], shift, rtol=1e-5, atol=1e-7)
    total = found.total()
    assert total["first"] == (first.weight > 0).sum()
    assert total["second"] == (second.weight > 0).sum()
    either = total["kept"] + total["new"] + total["ruled_out"] + total["gone"]
    assert total["overlap"] == total["kept"] / either
    np.testing.assert_allclose(total["staleness"], 1 - total["kept"] / total["first"])
    assert found.frame()["new"].sum() == total["new"]
    assert found.frame().index.tolist() == first.query_ids.tolist()


def test_what_rules_drop_is_told_from_what_is_found_no_more():
    first = mined(0)
    half = replace(first, weight=first.weight * (np.arange(K) % 2).astype(np.float32))
    lost = int((first.weight > 0)[:, ::2].sum())
    total = compare_rounds(first, half).total()
    assert (total["ruled_out"], total["gone"], total["new"]) == (lost, 0, 0)
    narrow = choose(first, 2)
    total = compare_rounds(first, narrow).total()
    assert (total["ruled_out"], total["new"]) == (0, 0)
    assert total["gone"] == (first.weight > 0).sum() - (narrow.weight > 0).sum()


def test_the_same_round_twice_is_fresh():
    first = mined(3)
    total = compare_rounds(first, first).total()
    assert (total["overlap"], total["staleness"], total["score_shift"]) == (1.0, 0.0, 0.0)
    empty = replace(first, weight=np.zeros_like(first.weight))
    nothing = compare_rounds(empty, empty)
    assert np.isnan(nothing.overlap)
    assert np.isnan(nothing.staleness)
    assert np.isnan(nothing.total()["score_shift"])


def test_other_ids_are_refused():
    first = mined(0)
    turned = replace(first, query_ids=first.query_ids[::-1])
    with pytest.raises(
        BadData, match=r"the second round's queries has 1 problem:\n  row 0 is 'q24'"
    ):
        compare_rounds(first, turned)
    fewer = replace(first, doc_ids=first.doc_ids[:-1])
    with pytest.raises(BadData, match=r"documents has 1 problem:\n  29 ids where 30 are wanted"):
        compare_rounds(first, fewer)
