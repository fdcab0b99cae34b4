"""The run monitor without a browser: what it draws, what its buttons leave, what stays behind."""

import json
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from workbench import losses
from workbench.data import from_rows
from workbench.encode import scratch
from workbench.errors import BadArgument
from workbench.sample import Shuffled
from workbench.train import Contrast, Control, Recipe, background, fit
from workbench.widgets.monitor import Monitor, monitor

WORDS = ("sum", "mean", "sort", "join")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run_of(tmp_path):
    def make(*, steps=6, folder=None, **options):
        pairs = [
            {"query": f"{a} of {b}", "positive": f"def {a}_{b}()"} for a in WORDS for b in WORDS
        ]
        collection = from_rows(pairs, name="toy")
        texts = collection.query_texts + collection.doc_texts
        encoder = scratch(texts, dim=8, vocab_size=80, seed=0)
        return fit(
            encoder, collection, Shuffled(collection.pairs, batch_size=4, seed=0),
            options.pop("contrast", Contrast()), recipe=Recipe(steps=steps, learning_rate=1e-2),
            folder=folder, **options,
        )  # fmt: skip

    return make


def until(true, seconds=20.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def drawn(view):
    """(panel, curve) -> y, as the browser would read it."""
    return {
        (panel["key"], one["name"]): np.frombuffer(one["y"], dtype="<f4")
        for panel in view.core.state["panels"]
        for one in panel["curves"]
    }


def test_it_draws_what_the_history_holds(run_of):
    run = run_of(evaluate=lambda encoder: 0.5, evaluate_every=3)
    view = monitor(run, every=None)
    assert repr(view) == "Monitor(step 0 of 6, waiting)"
    assert view.core.state["panels"] == []
    for row in run:
        if row["step"] == 4:
            break
    assert view.refresh()
    assert not view.refresh(), "nothing is new, so nothing is sent"
    assert (view.step, view.status) == (4, "running")
    found = drawn(view)
    np.testing.assert_allclose(found["loss", "each step"], [r["loss"] for r in run.history.rows])
    assert found["evaluation", "evaluation"].tolist() == [0.5]
    assert found["kept", "all"].tolist() == [1.0] * 4
    for _ in run:
        pass
    view.refresh()
    assert repr(view) == "Monitor(step 6 of 6, done)"
    assert view.core.state["numbers"]["step"] == 6


def test_buttons_only_leave_flags(run_of, send, tmp_path):
    run = run_of(folder=tmp_path)
    view = monitor(run, every=None)
    next(run)
    before = run.step
    for kind, flag in (("pause", "paused"), ("stop", "stopping"), ("checkpoint", "saving")):
        assert send(view.core, kind) == {"asked": kind}
        assert getattr(run.control, flag)
    assert run.step == before
    assert not list(tmp_path.glob("step-*")), "the loop saves, not the button"
    state = view.core.state
    assert [state[name] for name in ("pausing", "stopping", "saving")] == [True] * 3
    send(view.core, "resume")
    assert not run.control.paused
    assert not view.core.state["pausing"]


def test_what_cannot_be_asked_is_said(run_of, send, tmp_path):
    view = monitor(run_of(), every=None)
    answer = send(view.core, "checkpoint")
    assert "this run keeps nothing on disk. Give train.fit a folder." in answer["error"]
    assert "nobody answers" in send(view.core, "evaluate")["error"]
    (tmp_path / "history.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    old = monitor(tmp_path)
    assert "this run is over" in send(old.core, "pause")["error"]


def test_it_follows_a_thread_to_its_end(run_of):
    run = run_of(steps=8)
    view = monitor(run, every=0.05)
    handle = background(run)
    handle.join(20)
    until(lambda: view.status == "done")
    found = drawn(view)["loss", "each step"]
    np.testing.assert_allclose(found, [row["loss"] for row in run.history.rows], rtol=1e-6)
    names = lambda: [one.name for one in threading.enumerate()]  # noqa: E731
    until(lambda: "workbench-monitor" not in names())


@pytest.mark.slow
def test_pause_and_resume_from_the_view(run_of, send):
    run = run_of(steps=2_000)
    view = monitor(run, every=0.05)
    handle = background(run)
    until(lambda: view.step > 2)
    send(view.core, "pause")
    until(lambda: view.status == "paused")
    at = run.step
    time.sleep(0.15)
    assert run.step == at
    until(lambda: view.step == at)
    send(view.core, "resume")
    until(lambda: view.step > at)
    send(view.core, "stop")
    handle.join(20)
    until(lambda: view.status == "stopped")
    assert view.step == run.step < 2_000
    view.close()


def test_updates_are_bounded_whatever_the_loop_does(monkeypatch):
    """A view sends when it looks, not when the loop steps: 5,000 rows, one message."""
    rows = [{"step": n, "loss": 1.0} for n in range(1, 5_001)]
    run = SimpleNamespace(
        history=SimpleNamespace(rows=rows[:1]), step=1, total=9_999, folder=None,
        control=Control(),
    )  # fmt: skip
    run.control.state = "running"
    view = Monitor(run, run.history.rows, every=None, x="step")
    sent = []
    view.core.observe(lambda change: sent.append(change), names="state")
    run.history.rows, run.step = rows, 5_000
    view.refresh()
    view.refresh()
    assert len(sent) == 1
    sizes = [len(y) for y in drawn(view).values()]
    assert max(sizes) <= 2_000
    monkeypatch.setattr(view, "_moved", time.monotonic() - 60)
    view.refresh()
    assert view.core.state["quiet"]


def test_a_failed_step_is_told(run_of):
    class Poison(losses.InfoNCE):
        def combine(self, positive, negatives):
            return super().combine(positive, negatives) * float("nan")

    run = run_of(contrast=Contrast(loss=Poison()))
    view = monitor(run, every=None)
    with pytest.raises(Exception, match="step 1: the loss is not finite"):
        next(run)
    view.refresh()
    assert view.status == "failed"
    assert view.core.state["error"].startswith("NonFiniteLoss: step 1")


def test_a_new_view_of_the_same_run_draws_the_same(run_of):
    run = run_of()
    first = monitor(run, every=None)
    for _ in run:
        pass
    first.refresh()
    second = monitor(run, every=None)
    assert second.core.state == first.core.state


def test_a_finished_run_is_shown_from_its_folder(run_of, tmp_path):
    run = run_of(folder=tmp_path)
    list(run)
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"step": 7, "lo')
    for source in (tmp_path, str(tmp_path / "history.jsonl")):
        view = monitor(source, x="seconds")
        assert repr(view) == "Monitor(6 steps, from disk)"
        assert (view.status, view.step) == ("done", 6)
        assert not view.core.state["live"]
        assert ("loss", "smoothed") in drawn(view)


@pytest.mark.slow
def test_the_twin_holds_the_numbers_and_a_picture(run_of):
    run = run_of(evaluate=lambda encoder: 0.5)
    view = monitor(run, every=None)
    empty = view.twin()
    assert "No step has been taken yet" in empty.html
    list(run)
    twin = view.twin()
    assert twin.html == view.twin().html, "the same state leaves the same twin"
    assert twin.html.count("<img ") == 1
    assert "Monitor(step 6 of 6, done)" in twin.html
    numbers = json.loads(json.dumps(twin.digest))["numbers"]
    assert numbers["step"] == 6
    assert numbers["evaluation"] == 0.5


@pytest.mark.slow
def test_the_twin_in_the_notebook_is_brought_up_to_date_once(run_of):
    run = run_of()
    view = monitor(run, every=None)
    sent = []
    view._output = SimpleNamespace(update=lambda bundle, raw: sent.append(bundle))
    list(run)
    view.refresh()
    view._leave()
    view._leave()
    assert len(sent) == 1
    assert "done" in sent[0]["text/html"]


def test_wrong_calls_are_named(run_of):
    run = run_of()
    with pytest.raises(BadArgument, match=r"`every` is 0, but it must be >= 0\.05"):
        monitor(run, every=0)
    with pytest.raises(BadArgument, match="`x` is 'epoch', but it must be one of step, seconds"):
        monitor(run, x="epoch")
    with pytest.raises(BadArgument, match=r"it must be a run of train\.fit, or the folder of one"):
        monitor([1, 2])
    with pytest.raises(BadArgument, match="there is no such folder or file"):
        monitor("no-such-run")
