"""Sweeps on tiny notebooks: what is done once, what is done again, that nothing stays behind."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from workbench import sweep
from workbench.__main__ import _values, main
from workbench.errors import BadArgument, BadData
from workbench.sweep import folder as folders
from workbench.sweep import kernels
from workbench.sweep import sweeping as conducting
from workbench.sweep.job import LOG

ROOT = Path(__file__).resolve().parents[2]
GRID = {"loss": ["info_nce", "decoupled"], "margin": [0.0, 0.1]}
HERE = {"jobs": 2, "gpus": [], "progress": False}
SCRIPT = """
import sys
from workbench import sweep
from workbench.__main__ import _values, main
sweep.run(sys.argv[1], grid={"margin": [0.0, 0.1, 0.2, 0.3]}, jobs=2, gpus=[], runs=sys.argv[2],
          name="killed", progress=False)
"""


def until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def sweeping(path: Path, runs: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SCRIPT, str(path), str(runs)]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_twelve_runs_end_in_one_table_and_are_never_repeated(tiny, tmp_path, kernels_of):
    path, runs = tiny(), tmp_path / "runs"
    found = sweep.run(path, grid=GRID, seeds=3, runs=runs, **HERE)
    table = found.table()
    assert repr(found) == "Sweep(tiny: 12 runs, 12 done)"
    assert len(table) == 12
    expected = 0.25 + table["margin"] + table["seed"] / 100
    assert (table["trained"] - expected).abs().max() < 1e-12
    assert found.best().parameters == {"loss": "info_nce", "margin": 0.1, "seed": 2}
    repeat = found.command(found.best(), path)
    assert repeat == f"python -m workbench run {path} -p margin=0.1 -p seed=2"
    again = sweep.run(path, grid=GRID, seeds=3, runs=runs, **HERE)
    assert {one.attempts for one in again.entries} == {1}
    more = sweep.run(path, grid=GRID | {"margin": [0.0, 0.1, 0.2]}, seeds=[2], runs=runs, **HERE)
    assert sorted(one.attempts for one in more.entries) == [1] * 14
    one = sweep.run(path, grid={"margin": 0.1}, seeds=[1], runs=runs, again=True, **HERE)
    assert sorted(entry.attempts for entry in one.entries) == [1] * 13 + [2]
    assert len(list((runs / "tiny" / folders.ASIDE).iterdir())) == 1, "the first is kept"
    assert not kernels_of(runs)


@pytest.mark.slow
def test_a_failed_run_is_told_keeps_its_notebook_and_is_tried_again(tiny, tmp_path):
    flag = tmp_path / "mended"
    path = tiny(f"import pathlib\nif margin and not pathlib.Path({str(flag)!r}).exists(): 1 / 0")
    found = sweep.run(path, grid={"margin": [0.0, 0.1]}, runs=tmp_path / "runs", **HERE)
    table = found.table().set_index("margin")
    assert table["status"].to_dict() == {0.0: "done", 0.1: "failed"}
    assert "ZeroDivisionError: division by zero" in table["error"][0.1]
    kept = nbformat.read(found.folder / table["run"][0.1] / path.name, as_version=4)
    assert any(
        output.output_type == "error" for cell in kept.cells for output in cell.get("outputs", [])
    )
    flag.touch()
    found = sweep.run(path, grid={"margin": [0.0, 0.1]}, runs=tmp_path / "runs", **HERE)
    assert [(one.status, one.attempts) for one in found.entries] == [("done", 1), ("done", 2)]


@pytest.mark.slow
def test_a_killed_sweep_leaves_no_kernel_and_goes_on(tiny, tmp_path, kernels_of):
    path, runs = tiny("import time\nif margin > 0.05: time.sleep(6)"), tmp_path / "runs"
    process = sweeping(path, runs)

    def statuses() -> list[str]:
        try:
            return [one.status for one in sweep.Sweep.load(runs / "killed").entries]
        except (BadArgument, BadData):
            return []

    until(lambda: "done" in statuses() and statuses().count("running") == 2)
    until(lambda: len(kernels_of(runs)) == 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not kernels_of(runs), 20)
    assert "running" in statuses(), "nobody could note its end"
    grid = {"margin": [0.0, 0.1, 0.2, 0.3]}
    found = sweep.run(path, grid=grid, runs=runs, name="killed", **HERE)
    assert {one.status for one in found.entries} == {"done"}
    attempts = {one.parameters["margin"]: one.attempts for one in found.entries}
    assert attempts[0.0] == 1, "what was done is not done again"
    assert attempts[0.1] == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_stopped_sweep_ends_its_kernels_and_says_so(tiny, tmp_path, kernels_of, name):
    path, runs = tiny("import time; time.sleep(60)"), tmp_path / "runs"
    process = sweeping(path, runs)
    until(lambda: len(kernels_of(runs)) == 2)
    os.kill(process.pid, getattr(signal, name))
    process.wait(30)
    assert process.returncode != 0
    assert not kernels_of(runs)
    stopped = [one.status for one in sweep.Sweep.load(runs / "killed").entries]
    assert stopped == ["stopped", "stopped"]


@pytest.mark.slow
def test_a_kernel_that_dies_fails_its_run_alone(tiny, tmp_path):
    path = tiny("import os\nif margin: os.kill(os.getpid(), 9)")
    found = sweep.run(path, grid={"margin": [0.0, 0.1]}, runs=tmp_path / "runs", **HERE)
    by = {one.parameters["margin"]: one for one in found.entries}
    assert by[0.0].status == "done"
    assert by[0.1].status == "failed"
    assert "ended the kernel" in by[0.1].error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "limits", "message"),
    [
        ("import time; time.sleep(60)", {"seconds": 5}, "it took longer than 5 seconds"),
        (
            "import numpy, time; big = numpy.ones(2**27); time.sleep(60)",
            {"memory": 0.6},
            "more than 0.6",
        ),
    ],
    ids=["time", "memory"],
)
def test_a_run_over_its_limit_is_ended(tiny, tmp_path, kernels_of, cell, limits, message):
    found = sweep.run(tiny(cell), grid={}, runs=tmp_path / "runs", **HERE, **limits)
    (entry,) = found.entries
    assert entry.status == "failed"
    assert message in entry.error
    assert not kernels_of(tmp_path / "runs")


@pytest.mark.slow
def test_a_port_that_is_taken_is_named_after_a_second_try(tiny, tmp_path, monkeypatch, capfd):
    from jupyter_client.connect import LocalPortCache

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port, find = taken.getsockname()[1], LocalPortCache.find_available_port
        options = {"grid": {}, "runs": tmp_path / "runs", "jobs": 1, "gpus": [], "progress": False}
        monkeypatch.setattr(LocalPortCache, "find_available_port", lambda self, ip: port)
        found = sweep.run(tiny(), name="twice", **options)
        said = found.entries[0].error
        assert re.fullmatch(r"no kernel starts, twice: .*Address already in use.*", said), said
        ports = [port]
        monkeypatch.setattr(
            LocalPortCache,
            "find_available_port",
            lambda self, ip: ports.pop() if ports else find(self, ip),
        )
        found = sweep.run(tiny(), name="once", **options)
    assert [one.status for one in found.entries] == ["done"]
    assert "Address already in use" in (found.folder / found.entries[0].run / LOG).read_text()
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.slow
def test_a_run_leaves_a_page_and_its_kernel_s_own_words(tiny, tmp_path):
    cell = "import os\nos.write(int(os.environ.get('NONE', 2)), b'from below\\n')\nif margin: 1 / 0"
    found = sweep.run(tiny(cell), grid={"margin": [0, 1]}, runs=tmp_path / "runs", **HERE)
    assert {one.status for one in found.entries} == {"done", "failed"}
    for one in found.entries:
        folder = found.folder / one.run
        assert "Content-Security-Policy" in (folder / "07_tiny.html").read_text(encoding="utf-8")
        assert (folder / LOG).is_file()
        assert one.versions["python"]


@pytest.mark.slow
def test_what_was_done_by_other_code_is_said_and_what_was_taken_away_done_again(
    tiny, tmp_path, monkeypatch, capsys
):
    options = {"runs": tmp_path / "runs", "jobs": 2, "gpus": []}
    path = tiny()
    found = sweep.run(path, grid={"margin": [0, 1]}, **options)
    shutil.rmtree(found.folder / found.entries[0].run)
    now = {**conducting.versions(), "torch": "99"}
    monkeypatch.setattr(conducting, "versions", lambda: now)
    capsys.readouterr()
    found = sweep.run(path, grid={"margin": [0, 1]}, **options)
    assert [one.attempts for one in found.entries] == [2, 1]
    said = capsys.readouterr().err
    assert re.search(r"was done before: made with torch .*, now 99 \(--again repeats it\)", said)


def test_two_processes_cannot_run_one_sweep(tiny, tmp_path):
    from filelock import FileLock

    where = tmp_path / "runs" / "tiny"
    where.mkdir(parents=True)
    with (
        FileLock(where / folders.LOCK),
        pytest.raises(BadArgument, match="`name` is 'tiny', but another process runs this sweep"),
    ):
        sweep.run(tiny(), grid={}, runs=tmp_path / "runs", **HERE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": {"margn": 1}}, "Did you mean 'margin'"),
        ({"grid": {"margin": "x"}}, "`margin` is 'x'"),
        ({"grid": {"margin": []}}, "no values"),
        ({"grid": {}, "search": "gird"}, "`search` is 'gird'"),
        ({"grid": {}, "engine": "ray"}, "`engine` is 'ray'"),
        ({"grid": {}, "n": 3}, "`n` is 3, but a grid has its own length"),
        ({"grid": {"margin": [0, 1]}, "search": "random"}, "`n` is None"),
        ({"grid": [{}], "search": "optuna", "n": 2}, "`grid` is .*draws from names"),
        ({"grid": {"margin": sweep.Between(low=0, high=1)}}, "one by one"),
        ({"grid": {}, "seconds": 0}, "`seconds` is 0"),
        ({"grid": {}, "memory": -1}, "`memory` is -1"),
        ({"grid": {}, "kernel": "none-such"}, "`kernel` is 'none-such'"),
        ({"grid": {}, "engine": "dask"}, "`client` is None"),
        ({"grid": {}, "client": 3}, "`client` is 3"),
        ({"grid": {}, "name": "a/b"}, "`name` is 'a/b'"),
        ({"grid": {"seed": [1]}, "seeds": 2}, "`seed` is 1, but `seeds` sets it already"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_starts(tiny, tmp_path, options, message):
    settings = {**HERE, **options}
    with pytest.raises(BadArgument, match=message):
        sweep.run(tiny(), runs=tmp_path / "runs", **settings)
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_cannot_be_written_and_a_full_disk_are_refused(tiny, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(BadArgument, match=r"`folder` is .*it must be a folder that can be written"):
        sweep.run(tiny(), grid={}, runs=tmp_path / "file", **HERE)
    usage = folders.shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(folders.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BadArgument, match="its disk has 0 MB left"):
        sweep.run(tiny(), grid={}, runs=tmp_path / "runs", **HERE)


def test_a_disk_that_fills_up_meanwhile_fails_the_run_in_a_line(tiny, tmp_path, monkeypatch):
    import papermill

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(papermill, "execute_notebook", full)
    found = sweep.run(tiny(), grid={}, runs=tmp_path / "runs", **HERE)
    assert "could not be executed: OSError: [Errno 28] No space left" in found.entries[0].error


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "not an address", "http://127.0.0.1"])
def test_a_gateway_that_is_down_is_named(tiny, tmp_path, monkeypatch, address):
    monkeypatch.setenv(kernels.GATEWAY, address)
    with pytest.raises(BadArgument, match=f"`{kernels.GATEWAY}` is .*no kernel gateway answers"):
        sweep.run(tiny(), grid={}, runs=tmp_path / "runs", **HERE)


@pytest.mark.slow
def test_a_notebook_that_reports_nothing_is_no_success(tiny, tmp_path):
    found = sweep.run(tiny("pass", report=False), grid={}, runs=tmp_path / "runs", **HERE)
    assert found.entries[0].status == "failed"
    assert "none wrote result.json" in found.entries[0].error
    with pytest.raises(BadArgument, match="no run of it is done"):
        found.best()


def test_no_sweep_is_read_where_there_is_none(tmp_path):
    with pytest.raises(BadArgument, match="it must hold a sweep's ledger"):
        sweep.Sweep.load(tmp_path)


def test_processes_are_listed_right(kernels_of, tmp_path):
    """The other tests trust this listing to see a kernel that is there."""
    script = "import sys, time; sys.argv[0] = 'ipykernel_launcher'; time.sleep(60)"
    environment = {**os.environ, "WORKBENCH_RUN": f"{tmp_path}/runs/a"}
    command = [sys.executable, "-c", script, "ipykernel_launcher"]
    process = subprocess.Popen(command, env=environment)
    try:
        until(lambda: kernels_of(tmp_path / "runs") == {process.pid})
        assert psutil.pid_exists(process.pid)
    finally:
        process.kill()
        process.wait()
    assert not kernels_of(tmp_path / "runs")


@pytest.mark.slow
def test_the_command_line_takes_several_values_of_each(tiny, tmp_path, capsys):
    path, runs = str(tiny()), str(tmp_path / "runs")
    words = ["sweep", path, "--runs", runs, "--jobs", "2"]
    assert main([*words, "-p", "margin=0,0.1", "-p", "loss=info_nce"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"0\.1\d* +done +nDCG@10 +0\.1000 +0\.3500", said)
    assert f"Best again: python -m workbench run {path} -p margin=0.1" in said
    assert main([*words, "-p", "loss=info_nec"]) == 2
    assert main([*words, "--gpus", "0,0"]) == 2
    assert "`gpus` is ['0', '0'], but each is named once" in capsys.readouterr().err
    assert main([*words, "-p", "loss=info_nec", "--gpus", "none"]) == 2
    assert "Did you mean 'info_nce'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1", ["1"]),
        ("a,b", ["a", "b"]),
        ("[1,2],[3]", ["[1,2]", "[3]"]),
        ("{'a': (1,2)},x", ["{'a': (1,2)}", "x"]),
        ("", [""]),
    ],
)
def test_commas_inside_brackets_part_nothing(text, values):
    assert _values(text) == values
