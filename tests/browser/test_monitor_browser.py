"""The run monitor in a real JupyterLab: its buttons reach a run that trains."""

import pytest

pytestmark = pytest.mark.browser

MAKE = """
import time
from workbench import train
from workbench.data import from_rows
from workbench.encode import scratch
from workbench.sample import Shuffled
from workbench.train import Contrast, InBatch, Recipe, fit
from workbench.widgets.monitor import monitor

words = ("sum", "mean", "sort", "join")
pairs = [{"query": f"{a} of {b}", "positive": f"def {a}_{b}()"} for a in words for b in words]
toy = from_rows(pairs, name="toy")
encoder = scratch(toy.query_texts + toy.doc_texts, dim=8, vocab_size=80, seed=0)

def slow(encoder):
    time.sleep(0.03)
    return 0.5 + 0.4 * run.step / run.total

run = fit(
    encoder, toy, Shuffled(toy.pairs, batch_size=4, seed=0),
    Contrast(candidates=[InBatch("ap", "aa")]), recipe=Recipe(steps=3000, learning_rate=1e-2),
    evaluate=slow, evaluate_every=1,
)
view = monitor(run)
view
"""
STATE = "() => document.querySelector('.wb-mon-state')?.textContent"
POINTS = (
    "() => document.querySelector('.wb-mon-loss .wb-mon-line')?.getAttribute('d').split('L').length"
)


def says(notebook, word):
    notebook.until(f"() => ({STATE})()?.includes({word!r})")


def test_a_run_in_a_thread_is_paused_reloaded_resumed_and_stopped(notebook):
    notebook.open([MAKE, "handle = train.background(run)"]).run()
    says(notebook, "▶ running")
    notebook.until(f"() => ({POINTS})() > 5")
    notebook.page.click(".wb-mon-pause")
    says(notebook, "❚❚ paused")
    at = notebook.py("run.step")
    assert notebook.page.inner_text(".wb-mon-pause") == "Resume"
    notebook.page.wait_for_timeout(300)
    assert notebook.py("run.step") == at

    notebook.save().reopen()  # the page is loaded anew, the kernel goes on
    says(notebook, "❚❚ paused")
    notebook.until(f"() => ({POINTS})() === {at}")
    assert notebook.page.locator(".wb-mon-kept .wb-mon-key").count() == 3, "all, and two blocks"
    notebook.shot("paused", selector=".wb-mon")

    cells = notebook.page.locator(".jp-Notebook .jp-Cell").count()
    notebook.page.focus(".wb-mon")
    for key in "zdd":  # unmapped: they would undo and delete cells
        notebook.page.keyboard.press(key)
    notebook.page.keyboard.press("p")
    says(notebook, "▶ running")
    notebook.until(f"() => ({POINTS})() > {at + 3}")
    notebook.page.keyboard.press("ArrowLeft")
    assert "step" in notebook.page.locator(".wb-mon-said").last.inner_text()
    notebook.page.keyboard.press("s")
    says(notebook, "■ stopped")
    assert notebook.page.locator(".jp-Notebook .jp-Cell").count() == cells
    assert notebook.py("[handle.join(20) is run, view.status, run.control.paused]") == [
        True, "stopped", False,
    ]  # fmt: skip
    assert notebook.axe() == []
    notebook.theme("dark")
    notebook.shot("dark", selector=".wb-mon")
    assert notebook.axe() == []


def test_an_awaited_run_obeys_at_once(notebook):
    notebook.open([MAKE, "await run.finish_async(progress=False)"]).run(wait=False)
    says(notebook, "▶ running")
    notebook.until(f"() => ({POINTS})() > 3")
    notebook.page.click(".wb-mon-pause")
    says(notebook, "❚❚ paused")
    before = notebook.page.inner_text(".wb-mon-figures")
    notebook.page.wait_for_timeout(300)
    assert notebook.page.inner_text(".wb-mon-figures") == before
    notebook.page.click(".wb-mon-pause")
    says(notebook, "▶ running")
    notebook.page.click(".wb-mon-stop")
    says(notebook, "■ stopped")
    notebook.wait()
    assert 3 < notebook.py("run.step") < 3000
    words = f"Monitor(step {notebook.py('run.step')} of 3,000, stopped)"
    notebook.until(f"() => document.querySelector('.wb-twin h4').textContent === '{words}'")
    assert not notebook.page.locator(".wb-twin").first.is_visible(), "beside the live view"
    kept = notebook.save().path.read_text(encoding="utf-8")
    assert words in kept, "the twin in the file is the run as it ended"


def test_a_plain_loop_draws_while_it_runs_and_says_that_clicks_come_late(notebook):
    notebook.open([MAKE, "for row in run:\n    pass"]).run(wait=False)
    says(notebook, "▶ running")
    notebook.until(f"() => ({POINTS})() > 5")
    notebook.page.click(".wb-mon-pause")
    said = "document.querySelector('.wb-mon-said').textContent"
    notebook.until(f"() => {said}.includes('busy with a cell that does not await')")
    stop = "() => { void jupyterapp.commands.execute('notebook:interrupt-kernel'); }"
    notebook.page.evaluate(stop)
    says(notebook, "■ interrupted")
    notebook.until(f"() => {said}.includes('Pauses after this step')")
    at = notebook.py("run.step")
    assert notebook.py("[next(iter(run))['step'], run.control.paused]") == [at + 1, False], (
        "the click that came late stops no later loop"
    )
