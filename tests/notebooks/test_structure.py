"""What every committed notebook looks like: one question, its settings, its outputs, its answer."""

import ast
import copy
import json
import re
from pathlib import Path

import pytest

from workbench.errors import BadData
from workbench.sweep import declared

ROOT = Path(__file__).resolve().parents[2]
BOOKS = sorted(path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_" not in str(path))
MOST_LINES = 15
MOST_BYTES, MOST_BYTES_WITH_PICTURES = 200_000, 400_000


def text_of(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "".join(value)


def tags(cell: dict) -> list[str]:
    return cell.get("metadata", {}).get("tags", [])


def outputs_as_text(cell: dict) -> str:
    """Everything a reader sees in words; pictures are not words."""
    words = []
    for output in cell.get("outputs", []):
        words.append(text_of(output.get("text", "")))
        words += [
            text_of(value)
            for kind, value in output.get("data", {}).items()
            if kind.startswith("text/")
        ]
    return "\n".join(words)


def without_pictures(book: dict) -> dict:
    slim = copy.deepcopy(book)
    for cell in slim["cells"]:
        for output in cell.get("outputs", []):
            for kind in [one for one in output.get("data", {}) if one.startswith("image/")]:
                del output["data"][kind]
            html = text_of(output.get("data", {}).get("text/html", ""))
            if "wb-twin" in html:  # a view's still form holds its pictures
                output["data"]["text/html"] = re.sub(r"data:image/png;base64,[^\"]*", "", html)
    return slim


def frame_complaints(book: dict) -> list[str]:
    """Title, settings, answer, time and kernel."""
    found = []
    first, last = book["cells"][0], book["cells"][-1]
    title = text_of(first["source"]).strip().split("\n")[0]
    if first["cell_type"] != "markdown" or not (title.startswith("# ") and title.endswith("?")):
        found.append(f"the first cell is no title that asks: {title!r}")
    answer = text_of(last["source"]).startswith("## What we saw")
    if last["cell_type"] != "markdown" or not answer:
        found.append('the last cell does not start with "## What we saw"')
    metadata = book["metadata"]
    minutes = metadata.get("workbench", {}).get("minutes")
    if not isinstance(minutes, int | float) or minutes <= 0:
        found.append('metadata.workbench.minutes is missing: {"workbench": {"minutes": 5}}')
    if metadata.get("kernelspec", {}).get("name") != "python3":
        found.append("the kernel is not named python3")
    if metadata.get("widgets"):
        found.append("widget state is saved in it: run `make tidy`")
    return found


def settings_complaints(book: dict) -> list[str]:
    """Each setting is `name: type = value  # help`; `declared` checks all but the help."""
    cells = [cell for cell in book["cells"] if "parameters" in tags(cell)]
    lines = [line for cell in cells for line in text_of(cell["source"]).splitlines()]
    found = [
        f"a setting without help: {line!r}"
        for line in lines
        if line.strip() and not re.search(r"\S  # \S", line)
    ]
    if any("injected-parameters" in tags(cell) for cell in book["cells"]):
        found.append("it holds the parameters of one run: commit a run with the defaults")
    return found


def code_complaints(book: dict) -> list[str]:
    """Short cells, no class, executed once from top to bottom."""
    found = []
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    counts = [cell["execution_count"] for cell in cells]
    if counts != list(range(1, len(cells) + 1)):
        found.append(f"executed as {counts}, not 1 to {len(cells)} in order")
    for number, cell in enumerate(cells, 1):
        source = text_of(cell["source"])
        lines = [line for line in source.splitlines() if line.strip() and line.strip()[0] != "#"]
        if len(lines) > MOST_LINES:
            found.append(f"In [{number}] has {len(lines)} lines of code")
        plain = "\n".join(line for line in source.splitlines() if line[:1] not in "%!")
        tree = compile(plain, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if any(isinstance(node, ast.ClassDef) for node in ast.walk(tree)):
            found.append(f"In [{number}] defines a class: move it to workbench/")
        if re.search(r"^print\(", source, re.MULTILINE) and not cell["outputs"]:
            found.append(f"In [{number}] prints, but its output is not kept")
    return found


def output_complaints(book: dict, machine_path: re.Pattern[str]) -> list[str]:
    """No failure, no warning, nobody's folders."""
    found = []
    for number, cell in enumerate((c for c in book["cells"] if c["cell_type"] == "code"), 1):
        if any(output["output_type"] == "error" for output in cell["outputs"]):
            found.append(f"In [{number}] ended in an error")
        text = outputs_as_text(cell)
        if "Traceback (most recent call last)" in text:
            found.append(f"In [{number}] shows a traceback")
        if "Warning: " in text:
            found.append(f"In [{number}] shows a warning")
        if machine_path.search(text):
            found.append(f"In [{number}] shows a path of one machine")
    return found


@pytest.fixture(params=BOOKS, ids=lambda path: str(path.relative_to(ROOT)))
def path(request) -> Path:
    return request.param


def test_the_tour_is_there():
    assert ROOT / "notebooks/00_tour.ipynb" in BOOKS


def test_frame(path):
    assert not frame_complaints(json.loads(path.read_text(encoding="utf-8")))


def test_settings(path):
    assert declared(path)
    assert not settings_complaints(json.loads(path.read_text(encoding="utf-8")))


def test_code(path):
    assert not code_complaints(json.loads(path.read_text(encoding="utf-8")))


def test_outputs(path, machine_path):
    assert not output_complaints(json.loads(path.read_text(encoding="utf-8")), machine_path)


def test_size(path):
    book = json.loads(path.read_text(encoding="utf-8"))
    assert path.stat().st_size <= MOST_BYTES_WITH_PICTURES
    assert len(json.dumps(without_pictures(book))) <= MOST_BYTES


def small_book() -> dict:
    """A notebook that keeps every law."""

    def code(count: int, source: str, text: str = "", **metadata: object) -> dict:
        outputs = [{"output_type": "stream", "name": "stdout", "text": text}] if text else []
        return {
            "cell_type": "code",
            "execution_count": count,
            "metadata": metadata,
            "outputs": outputs,
            "source": source,
        }

    def words(source: str) -> dict:
        return {"cell_type": "markdown", "metadata": {}, "source": source}

    return {
        "metadata": {"workbench": {"minutes": 1}, "kernelspec": {"name": "python3"}},
        "cells": [
            words("# Does it work?\n\nLet us see."),
            code(1, "seed: int = 0  # of every random choice", tags=["parameters"]),
            code(2, "print(seed)", "0\n"),
            words("## What we saw\n\nIt does."),
        ],
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def all_complaints(book: dict, machine_path: re.Pattern[str]) -> str:
    return "\n".join(
        [
            *frame_complaints(book),
            *settings_complaints(book),
            *code_complaints(book),
            *output_complaints(book, machine_path),
        ]
    )


def test_a_good_notebook_keeps_every_law(machine_path):
    assert all_complaints(small_book(), machine_path) == ""


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda b: b["cells"][0].update(source="# It works"), "no title that asks"),
        (lambda b: b["cells"].pop(), "What we saw"),
        (lambda b: b["metadata"].pop("workbench"), "minutes is missing"),
        (lambda b: b["metadata"].update(kernelspec={"name": "mine"}), "not named python3"),
        (lambda b: b["metadata"].update(widgets={"a": 1}), "widget state"),
        (lambda b: b["cells"][1].update(source="seed: int = 0"), "without help"),
        (lambda b: b["cells"][2].update(metadata={"tags": ["injected-parameters"]}), "one run"),
        (lambda b: b["cells"][2].update(execution_count=7), "executed as"),
        (lambda b: b["cells"][2].update(source="x = 1\n" * 16), "16 lines"),
        (lambda b: b["cells"][2].update(source="class A:\n    x = 1"), "defines a class"),
        (lambda b: b["cells"][2].update(outputs=[]), "is not kept"),
        (lambda b: b["cells"][2]["outputs"][0].update(output_type="error"), "error"),
        (lambda b: b["cells"][2]["outputs"][0].update(text="UserWarning: old"), "a warning"),
        (
            lambda b: b["cells"][2]["outputs"][0].update(text="/".join(["", "home", "ada"])),
            "path of one machine",
        ),
    ],
)
def test_each_law_sees_its_breach(change, complaint, machine_path):
    book = small_book()
    change(book)
    assert complaint in all_complaints(book, machine_path)


def test_a_setting_without_a_type_is_refused(tmp_path):
    book = small_book()
    book["cells"][1]["source"] = "seed = 0  # of every random choice"
    path = tmp_path / "untyped.ipynb"
    path.write_text(json.dumps(book), encoding="utf-8")
    with pytest.raises(BadData, match="'seed = 0' is not `name: type = value`"):
        declared(path)
