"""Queue, bank, shared negatives, other processes and pair losses inside the training loop."""

import numpy as np
import pytest
import torch
from test_loop import assert_equal, encoder_of, in_two_processes, sampler_of, weights
from test_loop import collection as collection
from test_loop import one_thread as one_thread

from workbench import losses, rules
from workbench.encode import encode_collection
from workbench.errors import BadArgument
from workbench.train import (
    Bank,
    Contrast,
    InBatch,
    Knowledge,
    Mixed,
    Queue,
    Recipe,
    Shared,
    fit,
)
from workbench.types import LossStore

RECIPE = Recipe(steps=9, learning_rate=1e-2)


def run_of(collection, contrast, *, recipe=RECIPE, **options):
    encoder = encoder_of(collection)
    return fit(encoder, collection, sampler_of(collection), contrast, recipe=recipe, **options)


QUEUES = [Queue(20), Queue(20, momentum=0.0), Queue(1000, momentum=0.9)]


@pytest.mark.slow
@pytest.mark.parametrize("queue", QUEUES, ids=repr)
def test_a_queue_fills_with_past_documents_and_not_with_this_step(collection, queue):
    run = run_of(collection, Contrast(candidates=[InBatch("ap"), queue]))
    first = next(run)
    assert first["candidates"] == 8 * 7
    pushed = run.replay(1)[0].docs
    held = run.memory.columns(1)
    assert held.positions.tolist() == pushed.tolist()
    assert held.ages.tolist() == [1] * 8
    second = next(run)
    known = np.isin(run.replay(2)[0].docs, pushed).sum()
    assert second["candidates"] == 8 * 7 + 8 * 8 - known
    for _ in run:
        pass
    assert len(run.memory.columns(9)) == min(queue.size, 72)


def test_a_slow_encoder_lags_behind(collection):
    run = run_of(collection, Contrast(candidates=[InBatch("ap"), Queue(20, momentum=0.9)]))
    start = weights(run.encoder)
    for _ in run:
        pass
    end, slow = weights(run.encoder), dict(run.memory.encoder.named_parameters())
    for name, value in end.items():
        moved = float((value - start[name]).norm())
        lag = [
            float((part - start[name]).norm()) for key, part in slow.items() if key.endswith(name)
        ]
        assert moved == 0 or lag[0] < moved


@pytest.mark.slow
@pytest.mark.parametrize("queue", QUEUES[:2], ids=repr)
@pytest.mark.parametrize("cached", [False, True])
def test_resume_with_everything_is_bitwise(collection, tmp_path, queue, cached):
    def made(folder=None):
        store = LossStore.empty(len(collection.queries))
        contrast = Contrast(
            candidates=[InBatch("ap"), queue, Shared(6), Mixed(8, pairs=3, with_anchor=2)],
            trust=[rules.BadPair()],
        )
        recipe = Recipe(steps=9, learning_rate=1e-2, cache_gradients=cached, token_budget=64)
        knowledge = Knowledge.of(collection, losses=store)
        return run_of(collection, contrast, recipe=recipe, knowledge=knowledge, folder=folder)

    straight = made()
    straight_losses = [row["loss"] for row in straight]
    first = made(tmp_path)
    for row in first:
        if row["step"] == 5:
            break
    first.save()
    second = made(tmp_path)
    assert second.step == 5
    for _ in second:
        pass
    assert [row["loss"] for row in second.history.rows] == straight_losses
    assert_equal(weights(second.encoder), weights(straight.encoder))
    stores = [run.knowledge.losses.history() for run in (straight, second)]
    np.testing.assert_array_equal(*stores)
    assert np.isfinite(stores[0][:, 0]).all()
    assert_equal(second.memory.state(), straight.memory.state())


def test_a_bank_leaves_documents_alone(collection, monkeypatch):
    """With frozen documents no document is encoded in a step, and the bank stays as it is."""
    encoder = encoder_of(collection)
    _, docs = encode_collection(encoder, collection, progress=False)
    before = np.array(docs.values)
    knowledge = Knowledge.of(collection, bank=docs)
    run = fit(
        encoder,
        collection,
        sampler_of(collection),
        Contrast(candidates=[Bank()]),
        knowledge=knowledge,
        recipe=RECIPE,
    )
    taken = []
    tokens = run._stepper.tokens[1]
    monkeypatch.setattr(type(tokens), "take", counting(tokens, taken))
    rows = list(run)
    assert not taken
    assert rows[0]["candidates"] == 8 * 47
    assert rows[-1]["loss"] < rows[0]["loss"]
    np.testing.assert_array_equal(before, docs.values)
    some = run_of(collection, Contrast(candidates=[Bank(10)]), knowledge=knowledge)
    assert 8 * 9 <= next(some)["candidates"] <= 8 * 10


def counting(tokens, taken):
    real = type(tokens).take

    def take(self, group):
        if self is tokens:
            taken.append(group)
        return real(self, group)

    return take


def test_a_bank_of_another_width_is_refused(collection):
    other = encoder_of(collection, kind="bag", seed=1)
    _, docs = encode_collection(other, collection, progress=False)
    narrow = type(docs)(values=docs.values[:, :4], ids=docs.ids, encoder="x")
    run = run_of(
        collection,
        Contrast(candidates=[Bank()]),
        knowledge=Knowledge.of(collection, bank=narrow),
    )
    with pytest.raises(BadArgument, match=r"`bank` is .* but Bank needs document vectors of width"):
        next(run)


@pytest.mark.slow
def test_shared_negatives_are_drawn_anew_and_repeat_themselves(collection):
    contrast = Contrast(candidates=[InBatch("ap"), Shared(6)])
    runs = [run_of(collection, contrast) for _ in range(2)]
    rows = [[row["loss"] for row in run] for run in runs]
    assert rows[0] == rows[1]
    seen = [runs[0]._stepper._need(runs[0].batches(0)[0], (step, 0)).shared for step in (0, 1)]
    assert len(seen[0]) == len(set(seen[0])) == 6
    assert seen[0].tolist() != seen[1].tolist()


@pytest.mark.slow
def test_every_candidate_and_a_wrapper_train_together(collection):
    contrast = Contrast(
        loss=losses.Matryoshka(loss=losses.InfoNCE(), dims=(16, 8)),
        candidates=[InBatch("ap", "aa"), Queue(32), Shared(4), Mixed(4, pairs=2, with_anchor=2)],
        directions="both",
    )
    rows = list(run_of(collection, contrast, recipe=Recipe(epochs=6, learning_rate=1e-2)))
    assert rows[-1]["loss"] < rows[0]["loss"]


@pytest.mark.slow
def test_a_logged_step_can_be_taken_apart(collection):
    contrast = Contrast(candidates=[InBatch("ap"), Queue(32)], rules=[rules.KnownPositive()])
    run = run_of(collection, contrast, knowledge=Knowledge.of(collection))
    for _ in run:
        pass
    found = run.explain(4)
    assert found.queries.tolist() == run.replay(4)[0].queries.tolist()
    heaviest = found.heaviest(top=10)
    assert heaviest.groupby("row").size().max() == 10
    assert set(heaviest["query"]) == set(collection.query_ids[found.queries])
    assert set(heaviest["candidate"]) <= set(collection.doc_ids)
    dropped = found.dropped("labelled positive")
    assert (dropped["positive"] == dropped["candidate"]).all()
    assert set(found.by_block().index) == {"ap", "queue"}
    assert found.by_reason().loc["labelled positive", "ap"] >= 8
    with pytest.raises(BadArgument, match=r"steps 1\.\.9 are logged"):
        run.explain(10)


@pytest.mark.slow
def test_pair_losses_are_kept_per_epoch(collection):
    store = LossStore.empty(len(collection.queries))
    knowledge = Knowledge.of(collection, losses=store)
    recipe = Recipe(epochs=3, learning_rate=1e-2)
    run = run_of(collection, Contrast(), recipe=recipe, knowledge=knowledge)
    rows = list(run)
    assert store.history().shape == (48, 3)
    assert np.isfinite(store.history()).all()
    first = np.mean([row["loss"] for row in rows[:6]])
    assert store.history()[:, 0].mean() == pytest.approx(first, rel=1e-5)


@pytest.mark.slow
def test_negatives_across_processes_are_those_of_one(collection, tmp_path):
    """Two processes of 4 rows that see each other's columns = one process of all 8 rows."""
    in_two_processes(TWO, tmp_path)
    encoder = encoder_of(collection, dropout=0.0)
    one = fit(encoder, collection, sampler_of(collection), ACROSS, recipe=Recipe(**FOUR))
    expected = [row["loss"] for row in one]
    for cached in (False, True):
        for rank in (0, 1):
            found = torch.load(tmp_path / f"{rank}-{cached}.pt", weights_only=True)
            np.testing.assert_allclose(found.pop("losses").numpy(), expected, rtol=1e-5)
            assert_equal(found, weights(one.encoder), exact=False)


FOUR = {"steps": 4, "learning_rate": 1e-2}
ACROSS = Contrast(candidates=[InBatch("ap", "aa", "pp", across_devices=True)])

TWO = """
import sys, torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from test_beyond_the_batch import ACROSS, FOUR
from test_loop import collection, encoder_of, sampler_of, weights
from workbench.train import Recipe, fit
from workbench.types import Batch
toy = collection.__wrapped__() if hasattr(collection, "__wrapped__") else collection()

class Halves:
    '''Every batch of the ordinary sampler, cut in two: one half for each process.'''
    def __init__(self):
        self.real = sampler_of(toy)
    def set_epoch(self, epoch):
        self.real.set_epoch(epoch)
    def __len__(self):
        return 2 * len(self.real)
    def __iter__(self):
        for batch in self.real:
            for part in (slice(0, 4), slice(4, 8)):
                yield Batch(rows=batch.rows[part], queries=batch.queries[part],
                            docs=batch.docs[part], negatives=batch.negatives[part],
                            epoch=batch.epoch)

for cached in (False, True):
    recipe = Recipe(cache_gradients=cached, **FOUR)
    run = fit(encoder_of(toy, dropout=0.0), toy, Halves(), ACROSS, recipe=recipe)
    losses = torch.tensor([row["loss"] for row in run], dtype=torch.float64)
    name = f"{{run.accelerator.process_index}}-{{cached}}.pt"
    torch.save({{**weights(run.encoder), "losses": losses}}, {folder!r} + "/" + name)
"""
