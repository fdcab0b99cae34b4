"""What a sweep costs beside its kernels: 12 trivial notebooks on two slots.

`overhead` is our wall time over that of two threads which do nothing but start a kernel and execute
the same notebook by nbclient, back to back. `speedup` is the wall time of plain papermill, one
notebook after another, over ours. All three in turn, in one process; medians over rounds.
Run: python benchmarks/sweep.py [--quick]
"""

import argparse
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import nbformat

SETTINGS = "seed: int = 0  # of all"
REPORT = """\
from workbench.report import report
report(metric="nDCG@10", zero_shot=0.1, trained=0.2 + seed / 100, seconds=1.0, seed=seed,
       headroom_recovered=None, difference={"mean": 0.1, "low": 0.05, "high": 0.15},
       parameters={"seed": seed}, fingerprints={})"""
SLOTS = 2


def written(folder):
    """A notebook of two cells."""
    first = nbformat.v4.new_code_cell(SETTINGS)
    first.metadata["tags"] = ["parameters"]
    book = nbformat.v4.new_notebook(cells=[first, nbformat.v4.new_code_cell(REPORT)])
    book.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python",
        "language": "python",
    }
    path = Path(folder) / "trivial.ipynb"
    nbformat.write(book, path)
    return path


def kernel():
    """This Python as a kernel, as all three start it."""
    from workbench.sweep.kernels import kernel_class

    return kernel_class(None, {}, lambda manager: None)


def bare(path, count):
    """Two threads, each a kernel after the other: nothing written, checked or kept."""
    from jupyter_core.utils import ensure_event_loop
    from nbclient import NotebookClient

    def one(_):
        book = nbformat.read(path, as_version=4)
        NotebookClient(book, kernel_manager_class=kernel()).execute(cwd=str(path.parent))

    def several(numbers):
        for number in numbers:
            one(number)
        ensure_event_loop().close()

    shares = [range(place, count, SLOTS) for place in range(SLOTS)]
    with ThreadPoolExecutor(SLOTS) as pool:
        list(pool.map(several, shares))


def one_by_one(path, count):
    """Plain papermill."""
    import papermill

    for number in range(count):
        papermill.execute_notebook(
            str(path), str(path.with_name(f"out-{number}.ipynb")), parameters={"seed": number},
            kernel_manager_class=kernel(), cwd=str(path.parent), progress_bar=False,
        )  # fmt: skip


def swept(path, count, round_):
    from workbench import sweep

    found = sweep.run(
        path, grid={}, seeds=count, jobs=SLOTS, gpus=[], threads=1,
        runs=path.parent / f"runs-{round_}", progress=False,
    )  # fmt: skip
    assert [one.status for one in found.entries] == ["done"] * count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 45 s on two cores")
    quick = parser.parse_args().quick
    logging.getLogger("papermill").setLevel(logging.ERROR)
    count, rounds = (4, 1) if quick else (12, 5)
    times = {"ideal": [], "sweep": [], "papermill": []}
    with tempfile.TemporaryDirectory() as folder:
        path = written(folder)
        os.environ["WORKBENCH_RUN"] = str(Path(folder) / "plain")
        swept(path, 1, "warm")  # imports
        for round_ in range(rounds):
            for name, run in (
                ("ideal", lambda: bare(path, count)),
                ("sweep", lambda number=round_: swept(path, count, number)),
                ("papermill", lambda: one_by_one(path, count)),
            ):
                began = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - began)
    middle = {name: statistics.median(spent) for name, spent in times.items()}
    print(f"{count} trivial notebooks, {SLOTS} slots, {os.cpu_count()} cores, {rounds} rounds\n")
    for name, label in (
        ("ideal", "two kernels back to back (nbclient)"),
        ("sweep", "sweep.run"),
        ("papermill", "papermill, one after another"),
    ):
        spent = " ".join(f"{one:.1f}" for one in times[name])
        print(f"{label:38}{middle[name]:8.1f} s   ({spent})")
    figures = {
        "overhead": round(middle["sweep"] / middle["ideal"], 3),
        "speedup": round(middle["papermill"] / middle["sweep"], 3),
    }
    print(f"\nPython {sys.version.split()[0]}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
