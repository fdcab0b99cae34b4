"""Refreshing: harder negatives for the encoder as it is, and the same run however it is cut."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench import losses, mine, rules
from workbench.arms import Arm, compare
from workbench.data import KnownPositives, from_rows, sample
from workbench.encode import VectorCache, encode_collection, scratch
from workbench.errors import BadArgument
from workbench.sample import Clusters, ConflictFree, HardReplay, Shuffled
from workbench.train import Bank, Contrast, Hard, InBatch, Knowledge, Recipe, Refresh, fit
from workbench.types import LossStore, Vectors

TOPICS = {
    "numbers": "add sub mul div sum max min mean".split(),
    "files": "open close read write seek move copy path".split(),
    "lists": "sort map zip filter join split strip append".split(),
}
EXACT = ["loss", "rows", "step", "epoch", "batch", "gradient_norm"]


@pytest.fixture(autouse=True)
def one_thread():
    """Sums depend on the number of threads, and some tests compare bits with a child process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def toy():
    """48 pairs of three topics; every text names its own number."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(48):
        words = rng.permutation(list(TOPICS.values())[number % 3]).tolist()
        text = f"def {words[0]}_{words[1]}_{number}({words[2]})"
        rows.append({"query": f"how to {words[0]} and {words[1]} {number}", "positive": text})
    return from_rows(rows, name="toy")


@pytest.fixture(scope="module")
def collection():
    return toy()


def encoder_of(collection, *, kind="bag", seed=0, dropout=0.0):
    texts = collection.query_texts + collection.doc_texts
    encoder = scratch(texts, kind=kind, dim=16, vocab_size=200, layers=1, heads=2, seed=seed)
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    return encoder


def first_of(collection):
    """What the samplers are built with: mined before any training, by another encoder."""
    vectors = encode_collection(encoder_of(collection, seed=9), collection, progress=False)
    return mine.dense(collection, *vectors, k=6)


def sampler_of(collection, kind=Shuffled, **options):
    return kind(
        collection.pairs,
        batch_size=8,
        seed=1,
        negatives=first_of(collection),
        num_negatives=2,
        **options,
    )


def dense_of(collection):
    return lambda vectors: mine.dense(collection, *vectors, k=6)


HARD = Contrast(candidates=[InBatch("ap"), Hard(2)])
RECIPE = Recipe(steps=10, learning_rate=2e-2)


def run_of(collection, *, encoder=None, sampler=None, recipe=RECIPE, refresh=None, **options):
    return fit(
        encoder or encoder_of(collection),
        collection,
        sampler or sampler_of(collection),
        HARD,
        recipe=recipe,
        refresh=refresh or Refresh(mine=dense_of(collection), every=3),
        **options,
    )


def logged(run):
    return [{name: row[name] for name in EXACT} for row in run.history.rows]


def finished(run):
    for _ in run:
        pass
    return run


@pytest.fixture(scope="module")
def straight(collection):
    """The run that all cut ones must equal."""
    return finished(run_of(collection))


@pytest.fixture(scope="module")
def straight_groups(collection):
    """The same of a run that regroups its rows."""
    return finished(regrouping(collection))


def negatives_of(run, step):
    (batch,) = run.replay(step)
    return batch.negatives


# --- what a refresh is -----------------------------------------------------------------------


@pytest.mark.slow
def test_negatives_are_mined_by_the_encoder_as_it_is(collection):
    """At every due step what is mined equals what one would mine by hand at that very point."""
    seen = []

    def mined(vectors):
        queries, docs = vectors
        seen.append((queries.age, docs.age, queries.encoder))
        expected = encode_collection(run.encoder, collection, progress=False)
        for ours, theirs in zip(vectors, expected, strict=True):
            np.testing.assert_array_equal(ours.values, theirs.values)
            assert ours.fingerprint == theirs.fingerprint
        return mine.dense(collection, queries, docs, k=6)

    run = run_of(collection, refresh=Refresh(mine=mined, every=3))
    finished(run)
    assert [age for age, *_ in seen] == [3, 6, 9]
    assert [age for _, age, _ in seen] == [3, 6, 9]
    assert len({encoder for *_, encoder in seen}) == 3
    rows = {row["step"]: row for row in run.history.rows if "refreshed" in row}
    assert list(rows) == [4, 7, 10]
    assert [row["refreshed"] for row in rows.values()] == [1, 2, 3]
    assert all(0 <= row["staleness"] <= 1 and row["refresh_seconds"] > 0 for row in rows.values())
    stale = [
        mine.compare_rounds(run.negatives(step - 1), run.negatives(step)).staleness for step in rows
    ]
    assert [row["staleness"] for row in rows.values()] == stale
    assert max(stale) > 0.2


@pytest.mark.slow
def test_a_batch_brings_the_negatives_of_its_round(straight):
    run, brought = straight, []
    for step in range(1, 11):
        (batch,) = run.replay(step)
        found = run.negatives(step)
        assert batch.negatives.tolist() == found.docs[batch.queries, :2].tolist()
        brought.append(found)
    assert len({id(found) for found in brought}) == 4  # as built, and three rounds
    assert brought[2] is brought[0]
    assert brought[3] is not brought[2]


@pytest.mark.parametrize("first", [0, 1, 5, None])
def test_when_it_is_due(first):
    refresh = Refresh(mine=lambda vectors: None, every=4, first=first)
    start = 4 if first is None else first
    assert [step for step in range(14) if refresh.due(step)] == list(range(start, 14, 4))
    assert not any(Refresh().due(step) for step in range(14))


def test_mining_before_any_training_replaces_what_the_sampler_was_built_with(collection):
    run = run_of(collection, refresh=Refresh(mine=dense_of(collection), every=100, first=0))
    vectors = encode_collection(encoder_of(collection), collection, progress=False)
    row = next(run)
    assert row["refreshed"] == 1
    fresh = mine.dense(collection, *vectors, k=6)
    np.testing.assert_array_equal(run.negatives(1).docs, fresh.docs)
    assert not np.array_equal(fresh.docs, first_of(collection).docs)


@pytest.mark.slow
def test_rows_of_the_batches_do_not_change_with_the_negatives(collection):
    plain = fit(encoder_of(collection), collection, sampler_of(collection), HARD, recipe=RECIPE)
    run = run_of(collection)
    for _ in zip(plain, run, strict=True):
        pass
    for step in range(1, 11):
        (one,), (two,) = plain.replay(step), run.replay(step)
        np.testing.assert_array_equal(one.rows, two.rows)
    assert [row["loss"] for row in plain.history.rows[:3]] == [
        row["loss"] for row in run.history.rows[:3]
    ]
    assert plain.history.rows[3]["loss"] != run.history.rows[3]["loss"]


@pytest.mark.slow
def test_encoding_is_without_dropout_and_training_goes_on_with_it(collection):
    encoder = encoder_of(collection, kind="transformer", dropout=0.5)
    modes, vectors_of = [], []

    def mined(vectors):
        vectors_of.append(vectors[0].values.copy())
        expected = run.encoder.encode(collection.query_texts, side="query", progress=False)
        np.testing.assert_array_equal(vectors[0].values, expected.values)
        modes.append(run.encoder.training)
        return mine.dense(collection, *vectors, k=6)

    run = run_of(collection, encoder=encoder, refresh=Refresh(mine=mined, every=2))
    gradients = run._stepper.gradients

    def watched(batches, step):
        modes.append(encoder.training)
        return gradients(batches, step)

    object.__setattr__(run._stepper, "gradients", watched)
    for _ in range(5):
        next(run)
    assert modes == [True, True, True, True, True, True, True]  # two minings, five steps
    assert not np.array_equal(*vectors_of)


@pytest.mark.slow
def test_a_fixed_index_is_not_encoded_again(collection):
    """ADORE's schedule: queries follow the encoder, documents are whatever was given."""
    index = encoder_of(collection, seed=5).encode(
        collection.doc_texts, side="doc", ids=collection.doc_ids, progress=False
    )
    seen = []

    def mined(vectors):
        seen.append(vectors)
        return mine.dense(collection, *vectors, k=6)

    run = run_of(collection, refresh=Refresh(mine=mined, every=4, docs=index))
    encode, texts = run.encoder.encode, []

    def counting(given, **options):
        texts.append((options["side"], len(given)))
        return encode(given, **options)

    run.encoder.encode = counting
    finished(run)
    assert [docs is index for _, docs in seen] == [True, True]
    assert [queries.age for queries, _ in seen] == [4, 8]
    assert texts == [("query", 48), ("query", 48)]
    other = run_of(collection, refresh=Refresh(mine=mined, every=4, queries=seen[0][0]))
    finished(other)
    assert seen[-1][0] is seen[0][0]
    assert seen[-1][1].age == 8


@pytest.mark.slow
def test_two_encoders_with_one_cache_never_share_negatives(collection, tmp_path):
    """PEERS 3b.1: a peer's cache gave model B all of model A's negatives."""
    found = {}
    for name, seed, folder in (("a", 0, "one"), ("b", 3, "one"), ("b alone", 3, "other")):
        cache = VectorCache(tmp_path / folder)
        refresh = Refresh(mine=dense_of(collection), every=3, cache=cache)
        run = run_of(collection, encoder=encoder_of(collection, seed=seed), refresh=refresh)
        found[name] = finished(run)
        assert cache.hits == 0
        assert cache.encoded == 3 * 96
    assert logged(found["b"]) == logged(found["b alone"])
    for step in (4, 7, 10):
        a, b = (found[name].negatives(step).docs for name in "ab")
        assert not np.array_equal(a, b)
    rounds = [found["a"].negatives(step).docs for step in (1, 4, 7, 10)]
    assert not any(np.array_equal(*pair) for pair in pairwise(rounds))


# --- the same run however it is cut ----------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("stop", [2, 3, 4, 9])
def test_resume_is_bitwise(collection, straight, tmp_path, stop):
    first = run_of(collection, folder=tmp_path)
    for row in first:
        if row["step"] == stop:
            break
    first.save()
    second = finished(run_of(collection, folder=tmp_path))
    assert second.history.rows[0]["step"] == 1
    assert logged(second) == logged(straight)
    for step in range(1, 11):
        np.testing.assert_array_equal(negatives_of(second, step), negatives_of(straight, step))
        np.testing.assert_array_equal(
            second.negatives(step).scores, straight.negatives(step).scores
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "saved", "stop", "rounds"),
    [
        (Shuffled, 5, 7, ["start", "step-00000003"]),  # round 2 has begun, the checkpoint has 1
        (ConflictFree, 2, 5, ["start"]),  # round 1 has begun, the checkpoint has none
    ],
)
def test_an_abandoned_run_goes_on_with_the_same_sampler_object(
    collection, tmp_path, kind, saved, stop, rounds
):
    """A notebook's cell run twice: the sampler still holds the negatives of the broken run."""
    options = {"known": KnownPositives.of(collection)} if kind is ConflictFree else {}
    straight = finished(run_of(collection, sampler=sampler_of(collection, kind, **options)))
    sampler = sampler_of(collection, kind, **options)
    first = run_of(collection, sampler=sampler, folder=tmp_path)
    for row in first:
        if row["step"] == saved:
            first.save()
        if row["step"] == stop:
            break
    second = run_of(collection, sampler=sampler, folder=tmp_path)
    assert second.step == saved
    assert sorted(path.name for path in (tmp_path / "rounds").iterdir()) == rounds
    assert logged(finished(second)) == logged(straight)


@pytest.mark.slow
def test_checkpoints_that_were_pruned_leave_every_round(collection, straight, tmp_path):
    run = finished(run_of(collection, folder=tmp_path, save_every=1, keep=1))
    names = sorted(path.name for path in (tmp_path / "rounds").iterdir())
    assert names == ["start", "step-00000003", "step-00000006", "step-00000009"]
    again = run_of(collection, folder=tmp_path)
    assert again.step == 10
    for step in (1, 3, 4, 8, 10):
        np.testing.assert_array_equal(negatives_of(again, step), negatives_of(straight, step))
        ours, theirs = again.explain(step), straight.explain(step)
        np.testing.assert_array_equal(ours.positions, theirs.positions)
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-6)
    assert run.negatives(5).recipe == again.negatives(5).recipe


@pytest.mark.slow
def test_looking_back_changes_nothing_ahead(collection, straight):
    looked = run_of(collection)
    for row in looked:
        for step in range(1, row["step"] + 1):
            looked.replay(step)
        looked.explain(1)
    assert logged(looked) == logged(straight)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)  # the handler runs between two bytecodes


@pytest.mark.slow
@pytest.mark.parametrize("where", ["mine", "renew"])
def test_an_interrupt_while_mining_loses_nothing(collection, straight, tmp_path, where):
    calls = []

    def mined(vectors):
        calls.append("mine")
        if where == "mine" and len(calls) == 2:
            interrupt()
        return mine.dense(collection, *vectors, k=6)

    sampler = sampler_of(collection)
    renew = sampler.renew

    def renewed(negatives):
        if where == "renew" and len(calls) == 2:
            interrupt()
        renew(negatives)

    sampler.renew = renewed
    run = run_of(collection, sampler=sampler, folder=tmp_path, refresh=Refresh(mine=mined, every=3))
    with pytest.raises(KeyboardInterrupt):
        finished(run)
    assert run.step == 6
    assert (tmp_path / "step-00000006/encoder").is_dir()
    assert run.refresher.rounds == ([-1, 3] if where == "mine" else [-1, 3, 6])
    there = run_of(collection, folder=tmp_path)
    assert logged(finished(there)) == logged(straight)
    assert logged(finished(run)) == logged(straight)
    assert [row["step"] for row in run.history.rows if "refreshed" in row] == [4, 7, 10]


CHILD = """
import sys, torch
torch.set_num_threads(1)
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_refresh import run_of, toy
run = run_of(toy(), folder=Path({folder!r}), save_every=2)
print("ready", run.step, flush=True)
for row in run:
    print(row["step"], flush=True)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_bitwise(collection, straight, tmp_path):
    for stop in (4, 8):
        code = CHILD.format(folder=str(tmp_path), tests=str(Path(__file__).parent))
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for line in process.stdout:
            if line.strip().isdigit() and int(line) >= stop:
                process.kill()
                break
        process.wait(timeout=60)
        process.stdout.close()
    rest = run_of(collection, folder=tmp_path)
    assert rest.step >= 6
    assert logged(finished(rest)) == logged(straight)
    for step in range(1, 11):
        np.testing.assert_array_equal(negatives_of(rest, step), negatives_of(straight, step))


# --- batches grouped anew --------------------------------------------------------------------


def clustered(collection, **options):
    return Clusters(
        collection.pairs, batch_size=8, cluster_size=4, refresh_every=1, seed=1, **options
    )


def regrouping(collection, *, recipe=None, folder=None, sampler=None, refresh=None, **options):
    return fit(
        encoder_of(collection),
        collection,
        sampler or clustered(collection, **options),
        Contrast(),
        recipe=recipe or Recipe(epochs=4, learning_rate=2e-2),
        refresh=refresh or Refresh(),
        folder=folder,
    )


@pytest.mark.slow
def test_a_sampler_gets_fresh_vectors_before_each_epoch_it_wants_them_for(collection):
    sampler, ages = clustered(collection, start=1), []
    refresh = sampler.refresh

    def watched(queries, docs=None, *, epoch=None):
        ages.append((queries.age, docs.age, epoch))
        return refresh(queries, docs, epoch=epoch)

    sampler.refresh = watched
    run = finished(regrouping(collection, sampler=sampler))
    assert ages == [(6, 6, 1), (12, 12, 2), (18, 18, 3)]
    assert [(row["step"], row["regrouped"]) for row in run.history.rows if "regrouped" in row] == [
        (7, 1),
        (13, 2),
        (19, 3),
    ]


def test_it_groups_before_epoch_0_too(collection):
    run = regrouping(collection)
    assert next(run)["regrouped"] == 0
    vectors = encode_collection(encoder_of(collection), collection, progress=False)
    by_hand = clustered(collection, vectors=vectors)
    for one, two in zip(run.batches(0), by_hand, strict=True):
        np.testing.assert_array_equal(one.rows, two.rows)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 6, 7, 20])
def test_regrouped_runs_resume_bitwise(collection, straight_groups, tmp_path, stop):
    straight = straight_groups
    first = regrouping(collection, folder=tmp_path)
    for row in first:
        if row["step"] == stop:
            break
    first.save()
    second = finished(regrouping(collection, folder=tmp_path))
    assert logged(second) == logged(straight)
    for step in (1, 6, 7, 13, 24):
        (one,), (two,) = second.replay(step), straight.replay(step)
        assert one.fingerprint == two.fingerprint


@pytest.mark.slow
def test_regrouping_in_the_middle_of_a_step(collection, tmp_path):
    """Six batches an epoch, four a step: step 2 takes two of epoch 0 and two of epoch 1."""
    recipe = Recipe(steps=5, learning_rate=2e-2, accumulate=4)
    straight = finished(regrouping(collection, recipe=recipe))
    told = [row["regrouped"] for row in straight.history.rows if "regrouped" in row]
    assert told == [0, 1, 2, 3]
    assert [len(straight.replay(step)) for step in range(1, 6)] == [4] * 5
    assert [batch.epoch for batch in straight.replay(2)] == [0, 0, 1, 1]
    first = regrouping(collection, recipe=recipe, folder=tmp_path)
    next(first)
    next(first)
    first.save()
    assert logged(finished(regrouping(collection, recipe=recipe, folder=tmp_path))) == logged(
        straight
    )


@pytest.mark.slow
def test_mining_and_grouping_encode_once(collection):
    sampler = Clusters(
        collection.pairs,
        batch_size=8,
        cluster_size=4,
        refresh_every=1,
        start=1,
        negatives=first_of(collection),
        num_negatives=2,
    )
    run = run_of(collection, sampler=sampler, refresh=Refresh(mine=dense_of(collection), every=6))
    encode, sides = run.encoder.encode, []

    def counting(given, **options):
        sides.append(options["side"])
        return encode(given, **options)

    run.encoder.encode = counting
    finished(run)
    assert run.history.rows[6]["refreshed"] == run.history.rows[6]["regrouped"] == 1
    assert sides == ["query", "doc"]


# --- what it is for --------------------------------------------------------------------------


@pytest.mark.slow
def test_fresh_negatives_are_harder_for_the_encoder_than_stale_ones(collection):
    """After 40 steps on the first round, the current encoder's own are nearer to its queries."""
    gaps, shares = [], []
    for seed in (0, 1):  # 2 as well while the gates were looked for
        encoder = encoder_of(collection, seed=seed)
        vectors = encode_collection(encoder, collection, progress=False)
        first = mine.dense(collection, *vectors, k=4)
        sampler = Shuffled(
            collection.pairs, batch_size=8, seed=seed, negatives=first, num_negatives=4
        )
        run = fit(
            encoder,
            collection,
            sampler,
            Contrast(candidates=[InBatch("ap"), Hard(4)]),
            recipe=Recipe(steps=41, learning_rate=2e-2, seed=seed),
            refresh=Refresh(mine=lambda vectors: mine.dense(collection, *vectors, k=4), every=40),
        )
        for _ in range(40):
            next(run)
        queries, docs = encode_collection(run.encoder, collection, progress=False)
        scores = queries.values @ docs.values.T
        next(run)
        stale, fresh = run.negatives(40).docs, run.negatives(41).docs
        assert stale is not fresh
        np.testing.assert_array_equal(stale, first.docs)
        rows = np.arange(len(stale))[:, None]
        gaps.append(float((scores[rows, fresh] - scores[rows, stale]).mean()))
        ranks = (-scores).argsort(axis=1).argsort(axis=1)
        shares.append(float((ranks[rows, stale] < 5).mean() / (ranks[rows, fresh] < 5).mean()))
    assert min(gaps) >= 0.1, gaps  # seen .16 to .23
    assert max(shares) <= 0.5, shares  # seen .32 to .34


@pytest.mark.slow
def test_refreshing_reaches_an_arm(collection):
    ages = []

    def mined(vectors):
        ages.append(vectors[0].age)
        return mine.dense(collection, *vectors, k=6)

    fresh = Arm(HARD, mined=first_of(collection), refresh=Refresh(mine=mined, every=2))
    stale = replace(fresh, refresh=None)
    options = {"seeds": 2, "epochs": 1, "dim": 16, "batch_size": 8, "progress": False}
    compare(collection, collection, {"stale": stale, "fresh": fresh}, **options)
    assert ages == [2, 4] * 2  # six steps for each of two seeds, the other arm without
    bad = replace(fresh, contrast=Contrast(), mined=None)
    with pytest.raises(BadArgument, match="refresh mines negatives, and it was built without any"):
        compare(collection, collection, {"stale": stale, "bad": bad}, **options)


@pytest.mark.slow
def test_adore_step_by_step_is_a_bank_and_its_loss(collection):
    """Every step searches the whole frozen index with the query as it is: no Refresh needed."""
    index = encoder_of(collection).encode(
        collection.doc_texts, side="doc", ids=collection.doc_ids, progress=False
    )
    run = fit(
        encoder_of(collection),
        collection,
        Shuffled(collection.pairs, batch_size=8, seed=0),
        Contrast(
            loss=losses.Adore(cut=20, temperature=0.1),
            candidates=[Bank()],
            rules=[rules.KnownPositive()],
        ),
        knowledge=Knowledge.of(collection, bank=index),
        recipe=Recipe(steps=30, learning_rate=2e-2),
    )
    rows = list(run)
    assert np.mean([row["loss"] for row in rows[-5:]]) < 0.7 * rows[0]["loss"]


# --- what is refused -------------------------------------------------------------------------


class Plain:
    """A sampler of one's own, without anything that refreshing needs."""

    def __init__(self, sampler):
        self.sampler = sampler

    def set_epoch(self, epoch):
        self.sampler.set_epoch(epoch)

    def __iter__(self):
        return iter(self.sampler)

    def __len__(self):
        return len(self.sampler)


def test_a_sampler_of_ones_own_is_refused_only_by_refresh(collection):
    sampler = Plain(Shuffled(collection.pairs, batch_size=8, seed=0))
    run = fit(encoder_of(collection), collection, sampler, Contrast(), recipe=Recipe(steps=2))
    assert len(list(run)) == 2
    assert run.negatives(1) is None
    with pytest.raises(
        BadArgument, match=r"it cannot be refreshed\. Give it refresh, renew, wants"
    ):
        fit(encoder_of(collection), collection, sampler, Contrast(), refresh=Refresh())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 3}, "`every` is 3, but `mine` and `every` go together"),
        ({"mine": len}, "`every` is None, but `mine` and `every` go together"),
        ({"mine": len, "every": 0}, "`every` is 0, but it must be a whole number >= 1"),
        ({"mine": len, "every": 1, "first": -1}, "`first` is -1"),
        ({"first": 2}, "`first` is 2, but nothing is mined"),
        ({"mine": lambda q, d: None, "every": 2}, "but it must take one argument, the pair"),
        ({"mine": lambda: None, "every": 2}, "but it must take one argument, the pair"),
    ],
)
def test_wording(options, message):
    with pytest.raises(BadArgument, match=message):
        Refresh(**options)


UNTYPED = """
from workbench.train import Refresh
try:
    Refresh(mine=3, every=2)
except ValueError as error:
    print(error)
"""


@pytest.mark.slow
def test_wording_where_the_type_checker_of_the_tests_would_speak_first():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", UNTYPED], capture_output=True, text=True, check=True
    )
    assert "`mine` is 3, but it must be a function (query vectors" in done.stdout


def test_what_does_not_fit_is_refused_before_any_work(collection):
    vectors = encode_collection(encoder_of(collection), collection, progress=False)
    with pytest.raises(BadArgument, match="both sides are fixed, so that nothing is encoded"):
        Refresh(mine=dense_of(collection), every=3, queries=vectors[0], docs=vectors[1])
    part = sample(collection, 20, seed=0)
    other = encode_collection(encoder_of(part), part, progress=False)
    with pytest.raises(BadArgument, match=r"`docs` is .* its ids must be those of the collection"):
        run_of(collection, refresh=Refresh(docs=other[1]))
    wide = Vectors(values=np.ones((48, 3), np.float32), ids=collection.query_ids, encoder="e")
    with pytest.raises(BadArgument, match=r"`queries` is .* the encoder's vectors have 16 numbers"):
        run_of(collection, refresh=Refresh(queries=wide))
    refresh = Refresh(mine=dense_of(collection), every=3)
    with pytest.raises(BadArgument, match="refresh mines negatives, and it was built without any"):
        fit(
            encoder_of(collection),
            collection,
            Shuffled(collection.pairs, batch_size=8),
            Contrast(),
            refresh=refresh,
        )


def test_a_refresh_of_nothing_is_refused(collection):
    for sampler in (
        Shuffled(collection.pairs, batch_size=8),
        HardReplay(
            Clusters(collection.pairs, batch_size=8), LossStore.empty(len(collection.pairs))
        ),
    ):
        with pytest.raises(BadArgument, match="nothing is mined, and this sampler never wants"):
            fit(encoder_of(collection), collection, sampler, Contrast(), refresh=Refresh())


@pytest.mark.slow
def test_a_wrong_answer_of_mine_is_refused_and_the_run_stays_whole(collection, straight):
    part = sample(collection, 20, seed=0)
    answers = [3, mine.bm25(part, k=3)]
    run = run_of(
        collection,
        refresh=Refresh(
            mine=lambda v: answers.pop(0) if answers else dense_of(collection)(v), every=3
        ),
    )
    with pytest.raises(BadArgument, match="`mine` is 3, but it must return Candidates"):
        finished(run)
    with pytest.raises(BadArgument, match="it mined another collection than the one"):
        finished(run)
    assert logged(finished(run)) == logged(straight)


def test_another_schedule_is_another_run(collection, tmp_path):
    next(run_of(collection, folder=tmp_path, save_every=1))
    with pytest.raises(BadArgument, match="it holds a run with other data or options"):
        run_of(collection, folder=tmp_path, refresh=Refresh(mine=dense_of(collection), every=4))


# --- several processes -----------------------------------------------------------------------

TWO = """
import sys, torch
import numpy as np
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from test_refresh import HARD, encoder_of, first_of, sampler_of, toy
from workbench import mine
from workbench.train import Recipe, Refresh, fit
train = toy()
def mined(vectors):
    return mine.dense(train, *vectors, k=6)
run = fit(encoder_of(train), train, sampler_of(train), HARD,
          recipe=Recipe(steps=5, learning_rate=2e-2), refresh=Refresh(mine=mined, every=2),
          folder={folder!r} + "/run")
for _ in run:
    pass
rank = run.accelerator.process_index
weights = {{name: value.detach() for name, value in run.encoder.named_parameters()}}
torch.save(weights, {folder!r} + f"/{{rank}}.pt")
np.save({folder!r} + f"/{{rank}}.npy", np.stack([run.negatives(step).docs for step in (1, 3, 5)]))
"""


@pytest.mark.slow
def test_two_processes_refresh_as_one(collection, tmp_path):
    from test_loop import in_two_processes

    in_two_processes(TWO, tmp_path)
    one = finished(
        run_of(
            collection,
            recipe=Recipe(steps=5, learning_rate=2e-2, accumulate=2),
            refresh=Refresh(mine=dense_of(collection), every=2),
        )
    )
    expected = np.stack([one.negatives(step).docs for step in (1, 3, 5)])
    for rank in (0, 1):
        np.testing.assert_array_equal(np.load(tmp_path / f"{rank}.npy"), expected)
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, value in one.encoder.named_parameters():
            torch.testing.assert_close(found[name], value.detach(), rtol=1e-4, atol=1e-5)
