"""Judgments survive `kill -9`, and two writers at once lose nothing, in each database."""

import signal
import subprocess
import sys

import pytest

from workbench.data import from_rows

ROWS = [
    {
        "query": f"question {place}",
        "positive": f"answer {place}",
        "query_id": f"q{place}",
        "positive_id": f"d{place}",
    }
    for place in range(100)
]
START = f"""
import sys
from workbench.audit.store import JudgmentStore
from workbench.data import from_rows
from workbench.types import Verdicts

where, judge = sys.argv[1:]
store = JudgmentStore(where, from_rows({ROWS!r}), judge=judge)
print("ready", flush=True)
sys.stdin.readline()
"""
ONE_BY_ONE = """
for number in range(1000):
    row = store.judge(f"q{number % 100}", f"d{number // 10}", "negative", note=str(number))
    print(row.id, number, flush=True)
sys.stdin.readline()
"""
MIXED = """
for number in range(1000):
    store.judge(f"q{number % 100}", f"d{number // 10}", "negative")
    if number % 10 == 0:
        row = (f"q{number % 100}", f"d{number // 10}", "positive")
        assert store.add(Verdicts.of([row] * 40, judge=judge)) == 40
    if number % 100 == 99:
        assert store.undo().kind == "undo"
"""


@pytest.fixture
def child():
    """Starts a Python that has opened a store and writes when it is sent a line."""
    running = []

    def start(script, where, judge):
        command = [sys.executable, "-c", START + script, where, judge]
        running.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def go(*processes):
    for process in processes:  # until all of them have opened the store
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 500])
def test_kill_9_loses_at_most_the_one_in_flight(place, after, child, opened):
    writer = child(ONE_BY_ONE, place, "ann")
    go(writer)
    printed = [writer.stdout.readline() for _ in range(after)]
    writer.send_signal(signal.SIGKILL)
    printed += writer.stdout.readlines()
    assert writer.wait() == -signal.SIGKILL
    if not printed[-1].endswith("\n"):  # killed while it printed; it was written before
        printed.pop()
    told = [tuple(map(int, line.split())) for line in printed]
    store = opened(place, from_rows(ROWS), judge="ann")
    frame = store.frame()
    kept = list(zip(frame["id"], frame["note"].astype(int), strict=True))
    assert kept[: len(told)] == told
    assert len(kept) - len(told) in (0, 1)
    assert after <= len(told)
    assert store.undo().target == kept[-1][0]
    store.judge("q0", "d0", "positive", note="goes on")
    assert len(store.frame()) == len(kept) + 2


@pytest.mark.slow
def test_two_processes_of_5000_writes_make_10000_rows(place, child, opened):
    writers = [child(MIXED, place, judge) for judge in ("ann", "bob")]
    go(*writers)
    assert [writer.wait() for writer in writers] == [0, 0]
    frame = opened(place, from_rows(ROWS)).frame()
    judged = frame[frame["kind"] == "judgment"]
    assert judged.groupby("judge").size().to_dict() == {"ann": 5000, "bob": 5000}
    assert judged["id"].is_unique
    assert (frame["kind"] == "undo").sum() == 20
    turns = (frame["judge"] != frame["judge"].shift()).sum()
    assert turns > 2  # they did write side by side


def test_two_notebooks_of_one_judge_share_one_undo_stack(place, opened):
    one, two = (opened(place, from_rows(ROWS), judge="ann") for _ in range(2))
    one.judge("q0", "d0", "positive")
    two.judge("q1", "d1", "negative")
    assert one.undo().query_id == "q1"
    assert two.undo().query_id == "q0"
    assert one.undo() is None
    assert two.redo().query_id == "q0"
    assert one.redo().query_id == "q1"
