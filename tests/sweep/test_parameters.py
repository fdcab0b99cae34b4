"""Settings are checked against the notebook before anything runs."""

import nbformat
import pytest

from workbench.errors import BadArgument, BadData
from workbench.sweep import check_parameters, declared

CELL = """\
seed: int = 0  # of every random choice
loss: str | None = "a=b"  # a value with an equals sign
rate: float = 1e-3  # learning rate
fast: bool = False  # fewer steps
# a remark
sizes: list[int] = [1,
                    2]  # over two lines
options: dict = {}  # anything
either: int | str = 1  # a number or a word
"""


@pytest.fixture
def book(tmp_path):
    def write(source=CELL, *, tagged=1):
        cells = [nbformat.v4.new_code_cell(source) for _ in range(max(tagged, 1))]
        for cell in cells[:tagged]:
            cell.metadata["tags"] = ["parameters"]
        path = tmp_path / "a {odd} name.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        return path

    return write


def test_every_form_of_line_is_read(book):
    found = declared(book())
    assert {name: one.default for name, one in found.items()} == {
        "seed": 0, "loss": "a=b", "rate": 1e-3, "fast": False, "sizes": [1, 2], "options": {},
        "either": 1,
    }  # fmt: skip
    assert found["loss"].kinds == ("str", "None")


@pytest.mark.parametrize(
    ("name", "said", "value"),
    [
        ("seed", "3", 3),
        ("seed", 3, 3),
        ("seed", "-3", -3),
        ("loss", "info_nce", "info_nce"),
        ("loss", "7", "7"),
        ("loss", "None", None),
        ("loss", None, None),
        ("loss", "", ""),
        ("rate", "1e-5", 1e-5),
        ("rate", "2", 2.0),
        ("rate", 2, 2.0),
        ("fast", "true", True),
        ("fast", "False", False),
        ("fast", True, True),
        ("sizes", "[3, 4]", [3, 4]),
        ("sizes", [3], [3]),
        ("options", "{'a': 1}", {"a": 1}),
        ("either", "5", 5),
        ("either", "five", "five"),
    ],
)
def test_values_become_the_declared_type(book, name, said, value):
    (got,) = check_parameters(book(), {name: said}).values()
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("seed", "x"), ("seed", "1.5"), ("seed", "True"), ("seed", True), ("seed", 1.5),
        ("seed", ""), ("seed", "None"), ("seed", "__import__('os')"), ("rate", "fast"),
        ("rate", "nan"), ("rate", "inf"), ("fast", "1"), ("fast", "yes"), ("fast", 1),
        ("sizes", "3"), ("sizes", "['a']"), ("sizes", "[1"), ("options", "[1]"), ("loss", 7),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(book, name, said):
    with pytest.raises(BadArgument, match=rf"`{name}` is .* declares it as .*default is"):
        check_parameters(book(), {name: said})


def test_an_unknown_name_is_refused_with_the_nearest(book):
    with pytest.raises(BadArgument, match=r"'sed', but it must be one of seed.*mean 'seed'"):
        check_parameters(book(), {"sed": 1})


@pytest.mark.parametrize("tagged", [0, 2])
def test_there_must_be_one_parameters_cell(book, tagged):
    with pytest.raises(BadData, match=f"{tagged} cells are tagged `parameters`, not one"):
        declared(book(tagged=tagged))


def test_all_bad_lines_are_named_at_once(book):
    source = "import os\nseed = 0\nrate: float = os.sep\nkind: Loss = 1\nx: int"
    with pytest.raises(BadData) as caught:
        declared(book(source))
    assert len(caught.value.problems) == 5
    assert "line 2: 'seed = 0' is not `name: type = value`" in str(caught.value)
    assert "'os.sep' is not a plain value" in str(caught.value)
    assert "the type 'Loss' is none of" in str(caught.value)


def test_a_broken_parameters_cell_is_named(book):
    with pytest.raises(BadData, match="parameters cell: invalid syntax"):
        declared(book("seed: int = = 1"))


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"cells": 1}'])
def test_what_is_no_notebook_is_refused(tmp_path, text):
    path = tmp_path / "a.ipynb"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadData, match="not a notebook"):
        declared(path)


def test_a_missing_notebook_is_refused(tmp_path):
    with pytest.raises(BadArgument, match="there is no such file"):
        declared(tmp_path / "none.ipynb")
