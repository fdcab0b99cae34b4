"""Flags between steps: what is asked for from elsewhere never changes what is learnt."""

import asyncio
import os
import signal
import threading
import time

import numpy as np
import pytest
import torch

from workbench import losses
from workbench.data import from_rows
from workbench.encode import scratch
from workbench.errors import BadArgument
from workbench.sample import Shuffled
from workbench.train import Contrast, Control, InBatch, Recipe, background, fit


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def collection():
    rows = [
        {"query": f"find the {one} of {two}", "positive": f"def {one}_{two}(x): return x.{one}"}
        for one in ("sum", "mean", "sort", "join")
        for two in ("list", "map", "text", "file")
    ]
    return from_rows(rows, name="toy")


def run_of(collection, *, steps=8, contrast=None, **options):
    texts = collection.query_texts + collection.doc_texts
    encoder = scratch(texts, kind="transformer", dim=16, vocab_size=120, layers=1, heads=2, seed=0)
    sampler = Shuffled(collection.pairs, batch_size=4, seed=0)
    recipe = Recipe(steps=steps, learning_rate=1e-2)
    contrast = contrast or Contrast()
    return fit(encoder, collection, sampler, contrast, recipe=recipe, **options)


def losses_of(run):
    return [row["loss"] for row in run.history.rows]


@pytest.fixture(scope="module")
def straight(collection):
    run = run_of(collection)
    list(run)
    return losses_of(run)


def until(true, seconds=20.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.005)


@pytest.mark.slow
def test_a_pause_in_a_thread_changes_no_bit(collection, straight):
    run = run_of(collection)
    rows = iter(run)
    next(rows)
    run.control.pause()
    # iterating on by hand keeps the flags: only a new `for` begins unpaused
    thread = threading.Thread(target=drain, args=(run,))
    thread.start()
    until(lambda: run.control.state == "paused")
    assert run.step == 1
    time.sleep(0.1)
    assert run.step == 1
    run.control.resume()
    thread.join(20)
    assert losses_of(run) == straight
    assert run.control.state == "done"


def drain(run):
    while True:
        try:
            next(run)
        except StopIteration:
            return


def test_background_trains_pauses_and_goes_on(collection, straight):
    run = run_of(collection)
    step = run._stepper.gradients
    gate, begun = threading.Semaphore(3), []

    def gated(batches, number):
        begun.append(number)
        gate.acquire()
        return step(batches, number)

    object.__setattr__(run._stepper, "gradients", gated)
    handle = background(run)
    until(lambda: len(begun) == 4)
    run.control.pause()
    gate.release()  # the step in progress ends; the next one waits
    until(lambda: run.control.state == "paused")
    assert run.step == 4
    assert handle.alive
    assert repr(handle).startswith("Background(training, Run(step 4 of 8")
    with pytest.raises(BadArgument, match=r"a thread is training it\. Join that first"):
        next(run)
    with pytest.raises(BadArgument, match="a thread is training it"):
        iter(run)
    with pytest.raises(BadArgument, match="a thread is training it"):
        background(run)
    run.explain(2)  # while it pauses it may be looked into, and goes on as if nobody had
    run.control.resume()
    until(lambda: len(begun) == 5)
    for look in (lambda: run.explain(2), lambda: run.replay(2), run.save):
        with pytest.raises(BadArgument, match=r"is training it\. Pause it first"):
            look()
    gate.release(10)
    run.control.resume()
    assert handle.join(20) is run
    assert losses_of(run) == straight
    assert repr(handle).startswith("Background(done")


@pytest.mark.slow
def test_stop_ends_the_loop_saves_and_the_run_goes_on(collection, straight, tmp_path):
    run = run_of(collection, folder=tmp_path)
    for row in run:
        if row["step"] == 3:
            run.control.stop()
    assert run.step == 3
    assert run.control.state == "stopped"
    assert not run.control.stopping
    assert (tmp_path / "step-00000003").is_dir()
    again = run_of(collection, folder=tmp_path)
    assert again.step == 3
    list(run)
    assert losses_of(run) == straight
    assert run.control.state == "done"


def test_a_click_that_comes_after_the_loop_stops_no_later_one(collection):
    run = run_of(collection)
    for row in run:
        if row["step"] == 2:
            break
    run.control.stop()
    run.control.pause()
    for _ in run:
        pass
    assert run.step == run.total


def test_stop_also_ends_a_pause(collection, tmp_path):
    run = run_of(collection, folder=tmp_path)
    next(run)
    run.control.pause()
    threading.Timer(0.15, run.control.stop).start()
    with pytest.raises(StopIteration):
        next(run)
    assert run.step == 1
    assert run.control.state == "stopped"
    assert (tmp_path / "step-00000001").is_dir()


def test_a_checkpoint_is_written_at_the_end_of_the_step_once(collection, tmp_path):
    run = run_of(collection, folder=tmp_path, keep=9)
    for row in run:
        if row["step"] == 2:
            run.control.checkpoint()
            assert run.control.saving
    kept = sorted(path.name for path in tmp_path.glob("step-*"))
    assert kept == ["step-00000003", "step-00000008"]
    assert not run.control.saving


def test_a_checkpoint_in_a_pause_is_written_at_once(collection, tmp_path):
    run = run_of(collection, folder=tmp_path, steps=4)
    next(run)
    run.control.pause()
    run.control.checkpoint()
    thread = threading.Thread(target=drain, args=(run,))
    thread.start()
    until((tmp_path / "step-00000001").is_dir)
    assert run.step == 1
    run.control.stop()
    thread.join(20)
    assert not thread.is_alive()


def test_interrupting_a_pause_saves(collection, tmp_path):
    run = run_of(collection, folder=tmp_path)
    next(run)
    run.control.pause()
    threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        next(run)
    assert run.control.state == "interrupted"
    assert (tmp_path / "step-00000001").is_dir()


@pytest.mark.slow
def test_awaiting_lets_others_act_while_paused(collection, straight):
    run, seen = run_of(collection), []

    async def clicks():
        while run.step < 3:
            await asyncio.sleep(0)
        run.control.pause()
        while run.control.state != "paused":
            await asyncio.sleep(0.001)
        seen.append(run.step)
        await asyncio.sleep(0.1)
        seen.append(run.step)
        run.control.resume()

    async def both():
        task = asyncio.create_task(clicks())
        found = await run.finish_async(progress=False)
        await task
        return found

    assert asyncio.run(both()) is run.encoder
    assert seen[0] == seen[1] < run.total
    assert losses_of(run) == straight


@pytest.mark.slow
def test_async_stop_and_cancel_leave_a_run_that_goes_on(collection, straight, tmp_path):
    run = run_of(collection, folder=tmp_path)

    async def stopped():
        async for row in run:
            if row["step"] == 2:
                run.control.stop()

    asyncio.run(stopped())
    assert (run.step, run.control.state) == (2, "stopped")

    async def cancelled():
        async def train():
            async for row in run:
                if row["step"] == 4:
                    run.control.pause()

        task = asyncio.create_task(train())
        while run.control.state != "paused":
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert (run.step, run.control.state) == (4, "interrupted")
    assert (tmp_path / "step-00000004").is_dir()
    list(run)
    assert losses_of(run) == straight


class Poison(losses.InfoNCE):
    """A loss that is not a number."""

    def combine(self, positive, negatives):
        return super().combine(positive, negatives) * float("nan")


def test_what_went_wrong_in_the_thread_is_kept_and_raised(collection):
    run = run_of(collection, contrast=Contrast(loss=Poison()))
    handle = background(run)
    until(lambda: not handle.alive)
    assert run.control.state == "failed"
    assert run.control.error.startswith("NonFiniteLoss: step 1: the loss is not finite")
    assert "failed, NonFiniteLoss" in repr(handle)
    with pytest.raises(type(handle.error), match="step 1: the loss is not finite"):
        handle.join()


def test_rows_say_what_is_kept_of_each_block(collection):
    contrast = Contrast(candidates=[InBatch("ap", "aa")])
    run = run_of(collection, contrast=contrast)
    row = next(run)
    assert {name for name in row if name.startswith("kept_")} == {"kept_ap", "kept_aa"}
    weights = run.contrast.weights(run._stepper.embedded(run.replay(1)[0], 0))
    for name, weight in weights.items():
        assert row[f"kept_{name}"] == 1.0, "no rule, so all candidates are kept"
        assert weight.sum() > 0
    cells = row["candidates"]
    assert np.isclose(sum(float(w.sum()) for w in weights.values()), cells - row["dropped"])


def test_a_control_says_where_it_stands():
    control = Control()
    assert (control.state, control.paused, control.stopping, control.saving) == (
        "waiting", False, False, False,
    )  # fmt: skip
    control.checkpoint()
    assert control.take_checkpoint()
    assert not control.take_checkpoint()
