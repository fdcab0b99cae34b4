"""The runner on tiny notebooks: what counts as done, what is kept, that nothing stays behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import psutil
import pytest

from workbench.__main__ import main
from workbench.errors import BadArgument
from workbench.sweep.job import _kept
from workbench.sweep.notebook import _new_folder

SETTINGS = "seed: int = 0  # of every random choice\nword: str | None = 'a=b'  # any"
REPORT = """\
from workbench.report import report
report(metric="nDCG@10", zero_shot=0.1, trained=0.25, headroom_recovered=0.5, seconds=1.0,
       difference={"mean": 0.15, "low": 0.1, "high": 0.2}, seed=seed,
       parameters={"seed": seed, "word": word}, fingerprints={})"""


@pytest.fixture
def book(tmp_path):
    """Write a notebook of these cells; its kernel's name is one that nobody has."""

    def write(*cells: str, minutes: float | None = None, name: str = "07_tiny.ipynb") -> Path:
        first = nbformat.v4.new_code_cell(SETTINGS)
        first.metadata["tags"] = ["parameters"]
        made = nbformat.v4.new_notebook()
        made.cells = [first, *(nbformat.v4.new_code_cell(cell) for cell in cells)]
        made.metadata["kernelspec"] = {
            "name": "of-another-machine",
            "display_name": "Other",
            "language": "python",
        }
        if minutes:
            made.metadata["workbench"] = {"minutes": minutes}
        path = tmp_path / "books" / name
        path.parent.mkdir(exist_ok=True)
        nbformat.write(made, path)
        return path

    return write


def sources(path: Path) -> list[str]:
    return [cell["source"] for cell in nbformat.read(path, as_version=4).cells]


def kernels() -> set[int]:
    return {
        one.pid
        for one in psutil.process_iter(["cmdline"])
        if "ipykernel_launcher" in " ".join(one.info["cmdline"] or [])
        and os.getpid() in [parent.pid for parent in one.parents()]
    }


@pytest.mark.slow
def test_a_run_leaves_notebook_page_result_and_link(book, tmp_path, capsys):
    look = (
        "import os, sys\nfrom pathlib import Path\n"
        "print(sys.executable, Path.cwd().name, sorted(Path().iterdir()))\n"
        "from IPython.display import HTML\n"
        "HTML('<b>bold</b><script src=\"https://example.org/a.js\"></script>')"
    )
    path = book(look, REPORT, minutes=4, name="07_tiny {x}.ipynb")
    runs = tmp_path / "runs"
    code = main(["run", str(path), "-p", "seed=3", "-p", "word=None", "--runs", str(runs),
                 "--name", "tiny"])  # fmt: skip
    said = capsys.readouterr().out
    assert code == 0
    assert "about 4 minutes on two cores" in said
    assert "with seed=3 word=None" in said
    assert "difference          +0.1500  [+0.1000, +0.2000]" in said
    assert "headroom recovered  50%" in said

    (folder,) = [one for one in runs.iterdir() if not one.is_symlink()]
    assert re.fullmatch(r"\d{8}-\d{6}-tiny", folder.name)
    assert (runs / "latest").resolve() == folder.resolve()
    found = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    assert found["parameters"] == {"seed": 3, "word": None}

    executed = nbformat.read(folder / path.name, as_version=4)
    printed = next(c for c in executed.cells if "sys.executable" in c.source).outputs[0]["text"]
    assert printed.startswith(f"{sys.executable} books ["), "kernel, or its folder, is another"
    page = (folder / path.name).with_suffix(".html")
    assert str(page) in said
    html = page.read_text(encoding="utf-8")
    assert "Content-Security-Policy" in html
    assert "<b>bold</b>" in html
    fetched = re.findall(
        r"<(?:script|link|img|iframe)[^>]*(?:src|href)=[\"']?(\w+:[^\"' >]*)", html
    )
    assert fetched == ["https://example.org/a.js"], "only what the data itself said"
    assert html.index("Content-Security-Policy") < html.index("example.org")
    assert not kernels()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-p", "sed=1"], "`parameter` is 'sed'.*Did you mean 'seed'?"),
        (["-p", "seed=one"], "`seed` is 'one', but the notebook declares it as int"),
        (["-p", "seed"], "`parameter` is 'seed', but it must be name=value"),
        (["-p", "seed=1", "-p", "seed=2"], "`parameter` is 'seed', but it is given twice"),
        (["--name", "../up"], "`name` is '../up'"),
    ],
)
def test_a_wrong_word_is_refused_before_anything_runs(book, tmp_path, capsys, words, message):
    runs = tmp_path / "runs"
    code = main(["run", str(book(REPORT)), "--runs", str(runs), *words])
    assert code == 2
    assert re.search(message, capsys.readouterr().err)
    assert not runs.exists()


def test_a_missing_notebook_is_refused(tmp_path, capsys):
    assert main(["run", str(tmp_path / "no.ipynb"), "--runs", str(tmp_path / "runs")]) == 2
    assert "there is no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cell", "message", "kept"),
    [
        ("1 / 0", r"In \[3\] of 07_tiny.ipynb failed: ZeroDivisionError: division by zero", True),
        pytest.param(
            "import os; os._exit(1)",
            r"In \[3\] of 07_tiny.ipynb ended the kernel",
            True,
            marks=pytest.mark.slow,
        ),
        ("pass", "Every cell ran, but none wrote result.json", False),
    ],
    ids=["error", "death", "no result"],
)
def test_a_failed_run_says_where_keeps_the_notebook_and_moves_nothing(
    book, tmp_path, capsys, cell, message, kept
):
    runs = tmp_path / "runs"
    before = runs / "earlier"
    before.mkdir(parents=True)
    (runs / "latest").symlink_to("earlier")
    last = REPORT if kept else "pass"
    code = main(["run", str(book("print('before')", cell, last)), "--runs", str(runs)])
    assert code == 1
    assert re.search(message, capsys.readouterr().err)
    assert (runs / "latest").resolve() == before.resolve()
    (folder,) = [one for one in runs.iterdir() if one.name not in ("earlier", "latest")]
    executed = nbformat.read(folder / "07_tiny.ipynb", as_version=4)
    assert any(cell.get("outputs") for cell in executed.cells)
    assert [one.stem for one in folder.glob("*.html")] == ["07_tiny"], "as far as it came"
    if kept:
        states = [
            cell.metadata.papermill.status for cell in executed.cells if cell.cell_type == "code"
        ]
        assert states == ["completed", "completed", "failed", "pending"]
        assert executed.metadata.papermill.exception is True
    assert not kernels()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "none wrote result.json"),
        ("{}", "lacks metric, zero_shot, trained, difference, headroom_recovered, seconds"),
        ("[]", "lacks metric"),
        ('{"a', "not JSON"),
    ],
)
def test_a_result_that_is_none_is_named(tmp_path, text, message):
    if text is not None:
        (tmp_path / "result.json").write_text(text, encoding="utf-8")
    assert message in (_kept(tmp_path / "book.ipynb", tmp_path / "result.json") or "")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_stopped_run_keeps_its_notebook_and_leaves_no_kernel(book, tmp_path, name):
    path = book("print('before', flush=True)", "import time\ntime.sleep(120)", REPORT)
    runs = tmp_path / "runs"
    command = [sys.executable, "-m", "workbench", "run", str(path), "--runs", str(runs)]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    children: list[psutil.Process] = []
    for _ in range(600):
        kept = list(runs.glob("*/07_tiny.ipynb"))
        children = psutil.Process(started.pid).children(recursive=True)
        if children and kept and '"running"' in kept[0].read_text(encoding="utf-8"):
            cells = nbformat.read(kept[0], as_version=4).cells
            if cells[2].metadata.papermill.status == "running":
                break
        time.sleep(0.1)
    assert children, "no kernel was started"
    started.send_signal(getattr(signal, name))
    said, _ = started.communicate(timeout=30)
    assert started.returncode == 130, said
    assert "Stopped. No kernel is left" in said
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    (executed,) = runs.glob("*/07_tiny.ipynb")
    cells = nbformat.read(executed, as_version=4).cells
    assert [cell.metadata.papermill.status for cell in cells] == [
        "completed", "completed", "failed", "pending",
    ]  # fmt: skip
    assert cells[1].outputs[0]["text"] == "before\n"
    assert not (runs / "latest").exists()


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: _new_folder(tmp_path / "runs", "a"), range(40)))
    assert len(set(folders)) == 40
    assert all(folder.is_dir() for folder in folders)


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", "a b", "x" * 100])
def test_an_odd_name_is_refused(tmp_path, name):
    with pytest.raises(BadArgument, match="`name` is"):
        _new_folder(tmp_path, name)
