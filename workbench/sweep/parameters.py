"""What a notebook lets you set, and whether what you set fits.

The cell tagged `parameters` is Python and is read as Python (`ast`), never executed. papermill's
own reader works by pattern: it skips `str | None` and any line with two equals signs, and passing
an unknown name only makes it log a line while the run silently uses its defaults.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import BadArgument, BadData, check_choice

PARTS = {"loss": "losses", "rule": "rules", "sampler": "sample", "miner": "mine"}
"""Parameters of these names are parts, which these rooms register."""
_readers: dict[str, type] = {
    "bool": bool, "int": int, "float": float, "str": str,
    "list": list, "tuple": tuple, "dict": dict,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One line `name: type = value` of the parameters cell.

    Args:
        name: what the user says.
        kinds: the types it allows, e.g. ("str", "None").
        default: its value when nothing is said.
    """

    name: str
    kinds: tuple[str, ...]
    default: Any


def read_notebook(path: Path) -> dict[str, Any]:
    """A notebook's JSON, or an error that says why it is none."""
    if not path.is_file():
        mend = "Check the spelling; `ls notebooks` shows what there is."
        raise BadArgument("notebook", str(path), "there is no such file", mend)
    try:
        book = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadData(str(path), [f"not a notebook: {error}"], "Save it again.") from error
    if not isinstance(book, dict) or not isinstance(book.get("cells"), list):
        raise BadData(str(path), ["not a notebook: it has no cells"], "Save it again.")
    return book


def declared(path: str | Path) -> dict[str, Parameter]:
    """The parameters a notebook declares, by name.

    Args:
        path: the notebook.

    Raises:
        BadData: no cell is tagged `parameters`, or a line of it is not `name: type = value`.
    """
    book = read_notebook(Path(path))
    tagged = [
        cell
        for cell in book["cells"]
        if cell.get("cell_type") == "code"
        and "parameters" in cell.get("metadata", {}).get("tags", [])
    ]
    if len(tagged) != 1:
        problem = f"{len(tagged)} cells are tagged `parameters`, not one"
        mend = "Tag the cell with the settings; without it every run silently uses the defaults."
        raise BadData(str(path), [problem], mend)
    source = tagged[0]["source"]
    text = source if isinstance(source, str) else "".join(source)
    try:
        lines = ast.parse(text).body
    except SyntaxError as error:
        raise BadData(str(path), [f"parameters cell: {error}"], "Mend the cell.") from error
    found, problems = {}, []
    for line in lines:
        try:
            one = _read_line(line)
            found[one.name] = one
        except ValueError as error:
            problems.append(f"parameters cell, line {line.lineno}: {error}")
    if problems:
        raise BadData(str(path), problems, "Write each as `name: type = value  # help`.")
    return found


def _read_line(line: ast.stmt) -> Parameter:
    if not (isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value):
        raise ValueError(f"{ast.unparse(line)!r} is not `name: type = value`")
    annotation = line.annotation
    said = annotation.value if isinstance(annotation, ast.Constant) else ast.unparse(annotation)
    kinds = tuple(part.strip() for part in str(said).split("|"))
    for kind in kinds:
        if kind != "None" and kind.split("[")[0] not in _readers:
            raise ValueError(f"the type {kind!r} is none of {', '.join(_readers)}, None")
    try:
        default = ast.literal_eval(line.value)
    except ValueError:
        raise ValueError(f"{ast.unparse(line.value)!r} is not a plain value") from None
    return Parameter(name=line.target.id, kinds=kinds, default=default)


def check_parameters(path: str | Path, given: Mapping[str, object]) -> dict[str, Any]:
    """The given values as the types the notebook declares, before anything runs.

    Args:
        path: the notebook.
        given: name -> value; text (from a command line) is read as the declared type.

    Returns:
        The same names with typed values.

    Raises:
        BadArgument: a name the notebook does not declare, a value of another type, or of a part
            that is not registered.
        BadData: the notebook declares nothing, or wrongly.
    """
    return fitted(declared(path), given)


def fitted(known: Mapping[str, Parameter], given: Mapping[str, object]) -> dict[str, Any]:
    """The same, of parameters that were read before."""
    for name in given:
        check_choice("parameter", name, known)
    values = {name: _fit(known[name], value) for name, value in given.items()}
    for name, value in values.items():
        if name in PARTS and isinstance(value, str):
            _check_part(name, value, known[name].default)
    return values


def _check_part(name: str, value: str, default: object) -> None:
    """A parameter named after a kind of part, with a registered default, takes registered names.

    A `loss` whose default is a rule takes both: a rule then stands for InfoNCE under it.
    """
    from importlib import import_module

    from workbench import registry

    kinds = ("loss", "rule") if name == "loss" else (name,)
    for kind in kinds:
        import_module(f"workbench.{PARTS[kind]}")
    if default in registry.names(name):
        check_choice(name, value, registry.names(name))
    elif any(default in registry.names(kind) for kind in kinds):
        check_choice(name, value, [one for kind in kinds for one in registry.names(kind)])


def _plain(value: object) -> object:
    """Python's own numbers: numpy's would make another run of the same value."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return type(value)(_plain(one) for one in value)
    return value


def _fit(parameter: Parameter, value: object) -> Any:
    value = _plain(value)
    # None first: to `str | None` the word None means nothing, not four letters
    for kind in sorted(parameter.kinds, key=lambda one: one != "None"):
        try:
            return _as_kind(kind, value)
        except (ValueError, SyntaxError, TypeError):
            continue
    wanted = f"the notebook declares it as {' | '.join(parameter.kinds)}"
    mend = f"Its default is {parameter.default!r}."
    raise BadArgument(parameter.name, value, wanted, mend)


def _read_word(outer: str, word: str) -> object:
    """The value that a word of a command line stands for, where "true" and 1e-5 are usual."""
    if word.lower() in ("true", "false"):
        return word.lower() == "true"
    return float(word) if outer == "float" else ast.literal_eval(word)


def _as_kind(kind: str, value: object) -> Any:
    """The value as one declared type, or ValueError."""
    outer = kind.split("[")[0]
    if outer == "str":
        if isinstance(value, str):
            return value
        raise ValueError
    if isinstance(value, str):
        value = _read_word(outer, value.strip())
    if kind == "None":
        if value is None:
            return None
        raise ValueError
    if outer == "float" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(value, bool) != (outer == "bool") or not isinstance(value, _readers[outer]):
        raise ValueError
    if isinstance(value, float) and not isfinite(value):
        raise ValueError
    if "[" in kind and outer == "list" and isinstance(value, list):
        inner = kind[len("list[") : -1]
        return [_as_kind(inner, one) for one in value]
    return value
