"""The gallery of method essays is what the essays say."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks" / "methods"
ESSAYS = sorted(FOLDER.glob("*.ipynb"))
MOST_MINUTES, LONGEST_VERDICT = 1.0, 200


@pytest.fixture(scope="module")
def gallery():
    spec = importlib.util.spec_from_file_location("gallery", ROOT / ".ci/gallery.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_generated_from_the_essays():
    command = [sys.executable, ".ci/gallery.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, "run `python .ci/gallery.py`" + done.stderr


@pytest.mark.parametrize("path", ESSAYS, ids=lambda path: path.stem)
def test_an_essay_has_a_picture_a_verdict_and_a_thumbnail(path, gallery):
    question, verdict, picture = gallery.essay(path)
    assert question.endswith("?")
    assert 0 < len(verdict) <= LONGEST_VERDICT, verdict
    assert any(letter.isdigit() for letter in verdict), "a verdict has a number"
    assert picture is not None
    thumbnail = FOLDER / "thumbnails" / f"{path.stem}.png"
    assert thumbnail.stat().st_size < 30_000
    book = json.loads(path.read_text(encoding="utf-8"))
    assert book["metadata"]["workbench"]["minutes"] <= MOST_MINUTES
    last = "".join(book["cells"][-1]["source"])
    assert "**Limits.**" in last


@pytest.mark.parametrize("path", ESSAYS, ids=lambda path: path.stem)
def test_an_essay_compares_something(path):
    """nbval compares the cells that are not told to be ignored: at least one prints."""
    book = json.loads(path.read_text(encoding="utf-8"))
    compared = [
        cell
        for cell in book["cells"]
        if cell["cell_type"] == "code"
        and cell["outputs"]
        and not {"nbval-ignore-output", "nbval-skip"} & set(cell["metadata"].get("tags", []))
    ]
    assert compared
