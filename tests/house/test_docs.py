"""README, docs and CHANGELOG: there, linked, and with code that runs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "data",
    "encode",
    "mine",
    "audit",
    "checks",
    "cluster",
    "rules",
    "losses",
    "nn",
    "sample",
    "train",
    "evaluate",
    "widgets",
    "run",
)
TEXTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_every_verb_has_a_page_that_the_index_links(page):
    path = ROOT / "docs" / f"{page}.md"
    assert path.is_file()
    assert path.read_text(encoding="utf-8").startswith("# ")
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    assert f"({page}.md)" in index


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    dead = []
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target) or target.startswith("#"):
            continue
        if not (path.parent / target.split("#")[0]).exists():
            dead.append(target)
    assert not dead


def test_the_changelog_has_this_version():
    from workbench import __version__

    assert __version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_readme_holds_what_is_generated_for_it():
    command = [sys.executable, ".ci/readme.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, "run `python .ci/readme.py`" + done.stderr


def test_every_seed_beats_zero_shot_beyond_chance():
    records = [json.loads(path.read_text()) for path in (ROOT / "docs/results").glob("*.json")]
    assert len(records) >= 3
    assert all(record["difference"]["low"] > 0 for record in records)


@pytest.mark.slow
def test_the_readme_code_runs():
    blocks = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert blocks, "README.md shows no Python"
    command = [sys.executable, "-c", "\n".join(blocks)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
