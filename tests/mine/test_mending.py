"""What was promised and did not hold: graphs, accounts, checkpoints, and mistakes said early."""

from dataclasses import dataclass, replace
from importlib import import_module

import numpy as np
import pytest

from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, BadData
from workbench.mine import (
    BM25,
    Dense,
    Hybrid,
    Random,
    WhatIf,
    WithinCluster,
    apply_rules,
    bisect,
    choose,
    compare_rounds,
    dense,
    dropped_against,
    fuse,
    hard_negatives,
    hardness,
    kmeans,
    nearest,
    report,
    rescore,
    to_dataset,
    to_parquet,
    top_k,
)
from workbench.mine import clusters as clusters_module
from workbench.mine import hybrid as hybrid_module
from workbench.mine import index as index_module
from workbench.mine import rounds as rounds_module
from workbench.mine.hybrid import HOW
from workbench.rules import Guide, KnownPositive, Margin, RankWindow
from workbench.types import Vectors

QUERIES, DOCS = 12, 30


@pytest.fixture
def made(collection_of):
    words = [f"word {n} of the {n % 4}" for n in range(DOCS)]
    return collection_of(
        {(n, n): 1 for n in range(QUERIES)}, queries=QUERIES, docs=DOCS,
        query_texts=[f"{word}?" for word in words[:QUERIES]], doc_texts=words,
    )  # fmt: skip


@pytest.fixture
def sides(made):
    stream = np.random.default_rng(0)
    return tuple(
        Vectors(
            values=stream.standard_normal((len(ids), 6), dtype=np.float32), ids=ids, encoder="e"
        )
        for ids in (made.query_ids, made.doc_ids)
    )


@pytest.fixture
def wide(made):
    """A graph in which every document of an even number answers everything."""
    pairs = KnownPositives.of(made)
    from scipy.sparse import csr_array

    cells = np.zeros(pairs.positives.shape, dtype=bool)
    cells[:, pairs.doc_groups[::2]] = True
    return replace(pairs, positives=csr_array(cells))


MINERS = [
    Dense(k=20), BM25(k=20), Random(k=20), WithinCluster(k=20, clusters=2),
    Hybrid(k=20, miners=(Dense(k=25), BM25(k=25))),
]  # fmt: skip


@pytest.mark.parametrize("miner", MINERS, ids=repr)
def test_a_graph_that_is_given_reaches_the_search(made, sides, wide, miner):
    for found in (
        miner(made, sides, known=wide),
        hard_negatives(made, miner, vectors=sides, known=wide, num_negatives=9),
        hard_negatives(made, miner(made, sides), known=wide, num_negatives=9),
    ):
        there = found.docs[found.docs >= 0]
        assert len(there)
        assert (there % 2 == 1).all()


def test_a_graph_over_a_list_is_one_rule_and_counted(made, sides, wide):
    found = Dense(k=20)(made, sides)
    result = hard_negatives(made, found, known=wide, num_negatives=3)
    assert report(result)["rule"].tolist()[0] == "KnownPositive()"
    twice = hard_negatives(made, found, rules=[KnownPositive()], known=wide, num_negatives=3)
    assert len(twice.recipe["rules"]) == 1


def test_hardness_before_the_choice_is_that_of_the_list_chosen_from(made, sides, tmp_path):
    found = Dense(k=20)(made, sides)
    ruled = apply_rules(found, [Margin()], collection=made)
    result = hard_negatives(made, found, rules=[Margin()], num_negatives=3, how="random")
    result = type(result).load(result.save(tmp_path / "mined"))
    for by in ("share", "score"):
        table = hardness(result, by=by, bins=20, before_choice=True)
        wanted = hardness(ruled, by=by, bins=20)
        np.testing.assert_array_equal(table[wanted.columns], wanted)
        assert table["chosen"].sum() == (result.docs >= 0).sum()
        assert (table["chosen"] <= table["kept"]).all()
        assert table["kept"].sum() < table["found"].sum()
    with pytest.raises(BadArgument, match=r"nothing has been chosen from it. Leave before_choice"):
        hardness(found, before_choice=True)
    with pytest.raises(BadArgument, match=r"`bins` is 601, but before a choice there are 600"):
        hardness(result, bins=601, before_choice=True)


def test_the_account_of_a_choice_ends_with_the_next_rule(made, sides):
    chosen = choose(Dense(k=20)(made, sides), 3)
    more = apply_rules(chosen, [RankWindow(first=3)])
    assert not {"choice", "hardness"} & set(more.recipe)
    assert len(report(more)) == 2
    assert "hardness" not in rescore(chosen, made, Length()).recipe


class Length:
    """Scores by the length of the document's text."""

    fingerprint = "length"

    def __init__(self):
        self.asked = 0

    def scores(self, queries, docs):
        self.asked += len(docs)
        return np.array([float(len(doc)) for doc in docs], dtype=np.float32)

    def __repr__(self):
        return "Length()"


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("miner", [Random(k=3), WithinCluster(k=3, clusters=2), Dense(k=3)])
def test_vectors_that_are_not_finite_are_refused(made, sides, miner, side):
    values = sides[side].values.copy()
    values[5, 2] = np.nan
    broken = list(sides)
    broken[side] = replace(sides[side], values=values)
    with pytest.raises(
        BadData, match=r"the (query|document) vectors has 1 problem:\n  row 5 holds"
    ):
        miner(made, tuple(broken))


def test_blocks_of_queries_change_nothing(made, sides, monkeypatch):
    first, second = Dense(k=9)(made, sides), BM25(k=9)(made)
    chosen = choose(apply_rules(second, [RankWindow(first=2)]), 4)
    whole = [fuse([first, second], how=how) for how in HOW]
    change = compare_rounds(first, chosen)
    monkeypatch.setattr(hybrid_module, "ROWS", 5)
    monkeypatch.setattr(rounds_module, "ROWS", 5)
    for how, one in zip(HOW, whole, strict=True):
        again = fuse([first, second], how=how)
        assert again.fingerprint == one.fingerprint
        assert again.recipe == one.recipe
        np.testing.assert_array_equal(again.positive_scores, one.positive_scores)
    assert compare_rounds(first, chosen).frame().equals(change.frame())


def test_rows_fall_through_full_clusters_without_asking_again(monkeypatch):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2000, 8)).astype(np.float32)
    rows[:1000] = rows[0] + 0.01 * rng.normal(size=(1000, 8)).astype(np.float32)
    asked = []
    real = clusters_module._look

    def watched(vectors, centres, free, left, nearest, cosines, turn):
        before = cosines.copy()
        real(vectors, centres, free, left, nearest, cosines, turn)
        asked.append(int((before != cosines).any(axis=1).sum()))

    monkeypatch.setattr(clusters_module, "_look", watched)
    labels = kmeans(rows, clusters=100, balanced=True)
    assert np.ptp(np.bincount(labels, minlength=100)) == 0
    assert len(asked) > 10
    assert sum(asked) < 4 * asked[0]  # once per pass would be half of len(asked) times as many
    assert len(np.unique(bisect(rows, size=20))) == 128


def test_equal_scores_at_the_last_place_are_no_misses():
    truth = np.array([[0.9, 0.5, 0.5]], dtype=np.float32)
    assert index_module._recall(truth, truth) == (1.0, 0.0)
    assert index_module._recall(np.array([[0.9, 0.5, 0.1]], np.float32), truth)[0] == (
        pytest.approx(2 / 3)
    )
    rng = np.random.default_rng(0)
    docs = np.repeat(rng.normal(size=(40, 8)).astype(np.float32), 30, axis=0)
    account = nearest(docs[::30], docs, k=5, index="hnsw", recall=0.9)[2]
    assert account["recall"] > 0.9  # 5 of 30 equal ones: by number a sixth would be hits


def test_a_dense_miner_goes_on_where_it_was_stopped(made, sides, tmp_path, monkeypatch):
    miner = Dense(k=4, checkpoint=tmp_path / "search", devices=("cpu",))
    found = miner(made, sides)
    assert found.fingerprint == Dense(k=4)(made, sides).fingerprint
    monkeypatch.setattr("workbench.mine.exact._search", lambda *_: pytest.fail("searched again"))
    assert miner(made, sides).fingerprint == found.fingerprint


def test_rescoring_goes_on_where_it_was_stopped(made, sides, tmp_path, monkeypatch):
    monkeypatch.setattr(import_module("workbench.mine.rescore"), "_pairs", 50)
    found = Dense(k=9)(made, sides)
    whole = rescore(found, made, Length())
    pairs = QUERIES * 9 + QUERIES

    class Stopped(Length):
        def scores(self, queries, docs):
            if self.asked:
                raise KeyboardInterrupt
            return super().scores(queries, docs)

    with pytest.raises(KeyboardInterrupt):
        rescore(found, made, Stopped(), checkpoint=tmp_path / "scores")
    scorer = Length()
    again = rescore(found, made, scorer, checkpoint=tmp_path / "scores")
    assert scorer.asked == pairs - 50
    assert again.fingerprint == whole.fingerprint
    np.testing.assert_array_equal(again.scores, whole.scores)
    with pytest.raises(BadArgument, match=r"it holds another search \(other pairs\)"):
        rescore(found, made, Length(), depth=3, checkpoint=tmp_path / "scores")
    other = Length()  # of the same repr, say another checkpoint of one model
    other.fingerprint = "another"
    with pytest.raises(BadArgument, match=r"it holds another search \(other scorer\)"):
        rescore(found, made, other, checkpoint=tmp_path / "scores")
    monkeypatch.delattr(Length, "fingerprint")
    with pytest.raises(BadArgument, match="under the scorer's `fingerprint`, and it has none"):
        rescore(found, made, Length(), checkpoint=tmp_path / "scores")


def test_a_positive_among_the_candidates_is_scored_once(made, sides):
    found = Dense(k=DOCS, exclude="nothing")(made, sides)
    scorer = Length()
    rescore(found, made, scorer)
    assert scorer.asked == QUERIES * DOCS


def test_a_list_without_a_negative_left_is_an_empty_table(made, sides):
    found = apply_rules(Dense(k=4)(made, sides), [RankWindow(first=9)])
    assert len(to_dataset(made, found, layout="labeled-list")) == 0


@dataclass(frozen=True, kw_only=True)
class Never:
    """A miner that must not be reached."""

    def __call__(self, collection, vectors=None, *, known=None):
        pytest.fail("mined already")


@pytest.mark.usefixtures("untyped")
def test_what_is_of_another_shape_is_said_before_the_search(made, sides, collection_of):
    other = KnownPositives.of(collection_of({(0, 0): 1}, queries=2, docs=2))
    with pytest.raises(BadArgument, match=r"`known` is \(2, 2\), but it must be of \(12, 30\)"):
        hard_negatives(made, Never(), known=other)
    with pytest.raises(BadArgument, match=r"`scores\['reader'\]` is 'int', but it must be a sp"):
        hard_negatives(made, Never(), scores={"reader": 7})
    with pytest.raises(BadArgument, match=r"hybrid needs \(query vectors, document vectors\)"):
        hard_negatives(made, Hybrid(miners=(Never(), Hybrid(miners=(Never(), Dense())))))
    with pytest.raises(BadData, match=r"mining query vectors has 1 problem"):
        Hybrid(miners=(Never(), Dense()))(made, sides[::-1])


@pytest.mark.usefixtures("untyped")
def test_options_of_a_wrong_kind_are_said(made, sides):
    found = Dense(k=9)(made, sides)
    assert choose(found, 4, how="banded", bands=np.int64(4)).docs.tolist() == (
        choose(found, 4, how="banded", bands=4).docs.tolist()
    )
    for bands in (0.5, None):
        with pytest.raises(BadArgument, match=r"`bands` is (0.5|None), but it must be a whole num"):
            choose(found, 4, how="banded", bands=bands)
    for call in (lambda: choose(found, 4, how="random", seed=2**64), lambda: Random(seed=2**64),
                 lambda: WithinCluster(seed=2**64)):  # fmt: skip
        with pytest.raises(BadArgument, match=r"`seed` is 18446744073709551616, but .* < 2\*\*64"):
            call()
    rows = sides[1].values
    with pytest.raises(BadArgument, match=r"`devices` is 'cuda:9', but this machine has \d GPUs"):
        top_k(rows, rows, k=2, devices=["cuda:9"])
    with pytest.raises(
        BadArgument, match=r"`option` is 'needs', but it must be one of margin, rel"
    ):
        WhatIf(found, collection=made, guide=sides).sweep(Guide(), "needs", [1])


@pytest.mark.parametrize("damage", [b"", b"what", "short", "outside"])
def test_damaged_lists_are_named(tmp_path, damage):
    docs = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    folder = tmp_path / "search"
    nearest(docs, docs, k=3, index="ivf", checkpoint=folder)
    for block in folder.glob("0*.npy"):
        block.unlink()
    path = folder / "lists" / "labels.npy"
    if isinstance(damage, bytes):
        path.write_bytes(damage)
    else:
        labels = np.load(path)
        np.save(path, labels[:-1] if damage == "short" else labels + 10**6)
    with pytest.raises(BadData, match=r"lists.* has 1 problem:[\s\S]*Delete the folder of lists"):
        nearest(docs, docs, k=3, index="ivf", checkpoint=folder)


@pytest.mark.usefixtures("untyped")
def test_no_foreign_traceback(made, sides, tmp_path):
    found = Dense(k=5)(made, sides)
    cases = [
        (lambda: apply_rules(found, Margin()), r"`rules` is Margin.*must be a list of rules"),
        (lambda: Dense()(made, sides[0]), r"`vectors` is 'Vectors', but it must be a pair of Vec"),
        (lambda: apply_rules(found, [Guide()], collection=made, guide=sides[0]),
         r"`guide` is 'Vectors', but it must be a pair"),
        (lambda: dense(made, sides[0].values, sides[1].values),
         r"`mining` is 'tuple of ndarray, ndarray'"),
        (lambda: Hybrid(miners=BM25()), r"`miners` is BM25.*must be a tuple of miners"),
        (lambda: Hybrid(weights=1.0), r"`weights` is 1.0, but it must be a list of numbers"),
        (lambda: fuse([found, 1]), r"`lists` is 1, but each must be Candidates"),
        (lambda: fuse(found), r"`lists` is Candidates.*must be a list of Candidates"),
        (lambda: to_dataset(made, found, scores=True, positive_scores=[1.0]),
         r"`positive_scores` is \[1.0\], but it must be an array"),
        (lambda: to_parquet(tmp_path, made, found), r"`path` is .*, but it is a folder. Name a f"),
        (lambda: dropped_against(found, [[1]]), r"`truth` is \(1, 1\), but its shape must be"),
        (lambda: hard_negatives(made, found, known=made), r"`known` is .*must be a KnownPositives"),
    ]  # fmt: skip
    for call, message in cases:
        with pytest.raises(BadArgument, match=message):
            call()
