"""Arms: same starts whatever stands beside, checked before work, kept when interrupted."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from workbench import evaluate, losses, rules
from workbench.arms import Arm, Comparison, compare, comparison
from workbench.arms.run import start
from workbench.data import from_rows
from workbench.encode import encode_collection, scratch
from workbench.errors import BadArgument
from workbench.mine import bm25
from workbench.sample import HardReplay, Shuffled
from workbench.train import Bank, Contrast, Hard, InBatch, Knowledge, NonFiniteLoss, Recipe, fit
from workbench.types import LossStore, Scorecard, Vectors

VERBS = "add sub mul div sum max min sort map zip join split strip read write open".split()
SMALL = {"seeds": 1, "epochs": 1, "dim": 8, "batch_size": 8, "progress": False}


def demo_rows():
    rng = np.random.default_rng(0)
    rows = []
    for number in range(40):
        one, two = rng.choice(VERBS, size=2, replace=False).tolist()
        rows.append({"query": f"{one} and {two}", "positive": f"def {one}_{two}({number}): {two}"})
    return from_rows(rows, name="demo")


@pytest.fixture(scope="module")
def demo():
    return demo_rows()


UNTYPED = """
from workbench.arms import Arm, compare
from workbench.data import from_rows
from workbench.errors import BadArgument
from workbench.losses import InfoNCE
from workbench.train import Contrast

demo = from_rows([{"query": "a", "positive": "b"}], name="demo")
for make in (lambda: Arm(InfoNCE()), lambda: Arm(Contrast(), sampler=3),
             lambda: compare(demo, demo, [Contrast()]), lambda: compare(demo, demo, {"a": 3})):
    try:
        make()
    except BadArgument as error:
        print(error)
"""


@pytest.mark.slow
def test_wording_where_the_type_checker_of_the_tests_would_speak_first():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", UNTYPED], capture_output=True, text=True, check=True
    )
    contrast, sampler, listed, number = done.stdout.splitlines()
    assert "`contrast` is InfoNCE" in contrast
    assert "it must be a Contrast" in contrast
    assert "`sampler` is 3, but it must be a function seed -> sampler" in sampler
    assert "it must name at least one arm" in listed
    assert "`arms` is {'a': 3}, but it must be name -> Arm or Contrast" in number


def values(comparison, name):
    return comparison.cards[name].values["RR@10"]


@pytest.mark.slow
def test_a_run_is_fit_by_hand(demo):
    """No step of its own: encoder, order, training and score are those of the public parts."""
    contrast = Contrast(loss=losses.InfoNCE(temperature=0.1))
    found = compare(demo, demo, {"plain": contrast}, **SMALL | {"seeds": [3], "epochs": 2})
    encoder = scratch(demo.query_texts + demo.doc_texts, dim=8, seed=3)
    recipe = Recipe(epochs=2, learning_rate=1e-2, seed=3)
    batches = Shuffled(demo.pairs, batch_size=8, seed=3)
    fit(encoder, demo, batches, contrast, recipe=recipe).finish(progress=False)
    card = evaluate.retrieval(demo, *encode_collection(encoder, demo, progress=False))
    assert found.cards["plain"].mean() == card.mean()
    np.testing.assert_array_equal(values(found, "plain"), card.values["RR@10"])


@pytest.mark.slow
def test_hard_replay_reads_what_its_own_run_writes(demo):
    stores = []

    def replayed(seed):
        stores.append(LossStore.empty(len(demo.pairs)))
        return HardReplay(Shuffled(demo.pairs, batch_size=8, seed=seed), stores[-1], delta=0.4)

    with pytest.raises(BadArgument, match="HardReplay reads the losses that a run keeps there"):
        compare(demo, demo, {"delta": Arm(Contrast(), sampler=replayed)}, **SMALL)
    stores.clear()
    recipe = Recipe(steps=7, learning_rate=1e-2)  # 5 batches, then 2 of them
    arm = Arm(Contrast(), knowledge=Knowledge.of(demo), sampler=replayed, recipe=recipe)
    found = compare(demo, demo, {"delta": arm}, **{**SMALL, "seeds": 2})
    assert found.seeds == (0, 1)
    visits = [store.history() for store in stores if store.epochs]
    assert len(visits) == 2  # one per run; the check beforehand trains nothing
    assert all(np.isfinite(one[:, 0]).all() for one in visits)
    assert all(np.isfinite(one[:, 1]).sum() == 16 for one in visits)  # 2 of 5 batches of 8


def test_every_seed_starts_as_scratch_does(demo):
    texts = demo.query_texts + demo.doc_texts
    first = scratch(texts, dim=8, seed=5)
    for seed in (0, 5, 7):
        mine = start(first, seed).state_dict()
        for name, value in scratch(texts, dim=8, seed=seed).state_dict().items():
            torch.testing.assert_close(mine[name], value, rtol=0, atol=0)


@pytest.mark.slow
def test_arms_do_not_depend_on_each_other(demo):
    one = {"a": Contrast(), "b": Contrast(loss=losses.InfoNCE(temperature=0.5))}
    two = dict(reversed(one.items()))
    there, back = (compare(demo, demo, some, **SMALL | {"seeds": 2}) for some in (one, two))
    for name in one:
        np.testing.assert_array_equal(values(there, name), values(back, name))
    assert list(there.cards) == ["a", "b"]
    assert list(back.cards) == ["b", "a"]
    assert not np.array_equal(values(there, "a"), values(there, "b"))


@pytest.mark.slow
def test_seeds_are_averaged_query_by_query(demo):
    both = compare(demo, demo, {"a": Contrast()}, **SMALL | {"seeds": [4, 1]})
    each = [
        values(compare(demo, demo, {"a": Contrast()}, **SMALL | {"seeds": [seed]}), "a")
        for seed in (4, 1)
    ]
    assert not np.array_equal(*each)
    np.testing.assert_allclose(values(both, "a"), np.mean(each, axis=0))
    assert both.seeds == (4, 1)
    assert [len(cards) for cards in both.runs.values()] == [2]


@pytest.mark.slow
def test_mined_sampler_recipe_and_metric_reach_the_run(demo):
    mined = bm25(demo, k=5)
    hard = Contrast(candidates=[InBatch("ap"), Hard(2)])
    found = compare(
        demo,
        demo,
        {
            "mined": Arm(hard, mined=mined),
            "own sampler": Arm(
                hard,
                sampler=lambda seed: Shuffled(
                    demo.pairs, batch_size=8, seed=seed, negatives=mined, num_negatives=2
                ),
            ),
            "own recipe": Arm(hard, mined=mined, recipe=Recipe(steps=1, learning_rate=1e-9)),
            "averaged": Arm(hard, mined=mined, recipe=Recipe(steps=5, ema=0.9, learning_rate=1e-2)),
        },
        metric="nDCG@5",
        **SMALL,
    )
    assert found.metric == "nDCG@5"
    assert found.runs["mined"][0].mean() == found.runs["own sampler"][0].mean()
    start = scratch(demo.query_texts + demo.doc_texts, dim=8, seed=0)
    before = evaluate.retrieval(demo, *encode_collection(start, demo, progress=False))
    assert found.runs["own recipe"][0].mean()["RR@10"] == before.mean()["RR@10"]
    assert found.runs["mined"][0].mean() != found.runs["averaged"][0].mean()


@pytest.mark.slow
def test_every_run_has_a_store_of_losses_of_its_own(demo):
    store = LossStore.empty(len(demo.pairs))
    knowledge = Knowledge.of(demo, losses=store)
    judged = Arm(Contrast(trust=[rules.BadPair(cut_faulty=0.5)]), knowledge=knowledge)
    options = SMALL | {"epochs": 3}
    twice = compare(demo, demo, {"a": judged, "b": judged}, **options)
    np.testing.assert_array_equal(values(twice, "a"), values(twice, "b"))
    assert store.epochs == 0
    plain = compare(demo, demo, {"a": Contrast()}, **options)
    assert not np.array_equal(values(plain, "a"), values(twice, "a"))


def card_of(name, numbers):
    ids = np.array([f"q{place}" for place in range(len(numbers))], dtype=object)
    return Scorecard(name=name, query_ids=ids, values={"RR@10": np.array(numbers)})


@pytest.fixture
def known():
    """Three arms of two seeds whose means are known: 0.3, 0.4 and 0.5 over four queries."""
    base = np.array([0.1, 0.2, 0.4, 0.5])
    runs = {
        name: tuple(card_of(name, base + more + wobble) for wobble in (-0.05, 0.05))
        for name, more in (("plain", 0.0), ("rule", 0.1), ("oracle", 0.2))
    }
    seconds = {"plain": 1.0, "rule": 2.0, "oracle": 3.0}
    return Comparison(metric="RR@10", seeds=(0, 1), runs=runs, seconds=seconds)


def test_the_table(known):
    frame = known.frame()
    assert list(frame.index) == ["plain", "rule", "oracle"]
    np.testing.assert_allclose(frame["RR@10"], [0.3, 0.4, 0.5])
    np.testing.assert_allclose(frame["difference"], [np.nan, 0.1, 0.2])
    np.testing.assert_allclose(frame["low"], [np.nan, 0.1, 0.2])
    assert frame["seconds"].tolist() == [1, 2, 3]


def test_the_share(known):
    share = known.share("plain", "oracle")
    assert list(share.index) == ["rule"]
    np.testing.assert_allclose(share.loc["rule", ["share", "low", "high"]].astype(float), 0.5)
    assert known.share("oracle", "plain").loc["rule", "reason"] == "the oracle does not beat plain"
    with pytest.raises(BadArgument, match=r"`oracle` is 'oracl', .* Did you mean 'oracle'\?"):
        known.share("plain", "oracl")


def test_the_repr_says_it_all_and_always_the_same(known):
    assert repr(known).splitlines() == [
        "RR@10, 4 queries, 2 seeds",
        "plain   0.3000",
        "rule    0.4000  +0.1000 [+0.1000, +0.1000]",
        "oracle  0.5000  +0.2000 [+0.2000, +0.2000]",
    ]


def interrupted_at(monkeypatch, run):
    """Ctrl-C while that run (from 0) is scored."""
    real, calls = comparison.scored, []

    def scored(*given):
        calls.append(given)
        if len(calls) > run:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(comparison, "scored", scored)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "kept", "seeds"), [(1, ["a"], 1), (3, ["a", "b"], 1), (5, ["a", "b"], 2)]
)
def test_an_interrupt_keeps_what_is_complete(demo, monkeypatch, run, kept, seeds):
    interrupted_at(monkeypatch, run)
    two = {"a": Contrast(), "b": Contrast()}
    found = compare(demo, demo, two, **SMALL | {"seeds": 3})
    assert list(found.cards) == kept
    assert found.seeds == tuple(range(seeds))
    assert {len(cards) for cards in found.runs.values()} == {seeds}
    assert f"stopped after {run} of 6 runs" in repr(found)


def test_an_interrupt_before_anything_is_done_goes_on(demo, monkeypatch):
    interrupted_at(monkeypatch, 0)
    with pytest.raises(KeyboardInterrupt):
        compare(demo, demo, {"a": Contrast()}, **SMALL)


def test_an_error_names_its_arm(demo):
    broken = Arm(Contrast(), recipe=Recipe(steps=3, learning_rate=1e38, warmup=0.0, clip=None))
    with pytest.raises(NonFiniteLoss) as caught:
        compare(demo, demo, {"good": Contrast(), "broken": broken}, **SMALL)
    assert caught.value.__notes__ == ["in arm 'broken', seed 0"]


def bank_of(demo, width):
    vectors = np.ones((len(demo.doc_ids), width), dtype=np.float32)
    return Knowledge.of(demo, bank=Vectors(values=vectors, ids=demo.doc_ids, encoder="e"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": {}}, r"`arms` is \{\}, but it must name at least one arm"),
        ({"arms": {"a": Contrast(rules=[rules.Guide()])}}, r"it needs guide, which was not given"),
        (
            {"arms": {"a": Contrast(loss=losses.Matryoshka(loss=losses.InfoNCE(), dims=(16, 4)))}},
            r"`dim` is 8, but the loss cuts vectors at 16",
        ),
        ({"seeds": 0}, r"`seeds` is 0, but it must be a whole number >= 1"),
        ({"seeds": [1, 1]}, r"`seeds` is \(1, 1\), but it must hold different seeds"),
        ({"seeds": [-1]}, r"`seeds` is -1, but it must be a whole number >= 0"),
        ({"epochs": 0}, r"`epochs` is 0"),
        ({"dim": 0}, r"`dim` is 0"),
        ({"batch_size": 1}, r"`batch_size` is 1, but it must be a whole number >= 2"),
        ({"learning_rate": 0}, r"`learning_rate` is 0"),
        ({"metric": "RR"}, r"`metrics` is 'RR', but it must have a cutoff"),
    ],
)
def test_everything_is_checked_before_training(demo, monkeypatch, change, message):
    monkeypatch.setattr(comparison, "trained", lambda *given: pytest.fail("training began"))
    with pytest.raises(BadArgument, match=message):
        compare(demo, demo, **{"arms": {"good": Contrast()}} | SMALL | change)


def test_a_bank_must_be_as_wide_as_the_encoder(demo):
    arm = Arm(Contrast(candidates=[Bank()]), knowledge=bank_of(demo, 4))
    with pytest.raises(BadArgument, match=r"`dim` is 8, but the bank's vectors have 4 numbers"):
        compare(demo, demo, {"bank": arm}, **SMALL)
    fits = Arm(Contrast(candidates=[Bank()]), knowledge=bank_of(demo, 8))
    assert list(compare(demo, demo, {"bank": fits}, **SMALL).cards) == ["bank"]


def test_parts_of_another_collection_are_refused(demo):
    other = Knowledge.of(from_rows([{"query": "a", "positive": "b"}], name="other"))
    with pytest.raises(BadArgument, match=r"it was made of another collection") as caught:
        compare(demo, demo, {"a": Arm(Contrast(), knowledge=other)}, **SMALL)
    assert caught.value.__notes__ == ["in arm 'a'"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Arm(Contrast(candidates=[Hard(1)])), r"the contrast has 1 mined negatives per"),
        (
            lambda: Arm(Contrast(), sampler=Shuffled, mined=bm25(demo_rows(), k=2)),
            r"it must be a function seed -> sampler",
        ),
        (lambda: Arm(Contrast(), mined=bm25(demo_rows(), k=2)), r"has 0 mined negatives per row"),
    ],
)
def test_an_arm_checks_itself(make, message):
    with pytest.raises(BadArgument, match=message):
        make()
