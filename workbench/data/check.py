"""What every reader checks, and the list in which it says everything it found at once."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import BadArgument, BadData

LONGEST = 1_000_000  # characters: beyond it a text is a whole file that went astray


class Problems:
    """Collects problems with their places, and raises them as one `BadData`.

    Args:
        what: the file, folder or frame that is read.
        mend: what to do about it, one sentence.

    Example:
        >>> problems = Problems("pairs.csv", "Mend the lines.")
        >>> problems.add("line 2", "`query` is empty")
        >>> problems.done()
        Traceback (most recent call last):
        workbench.errors.BadData: pairs.csv has 1 problem:
          line 2: `query` is empty
        Mend the lines.
    """

    def __init__(self, what: str, mend: str) -> None:
        self.what, self.mend = what, mend
        self.found: list[str] = []

    def add(self, where: str, problem: str) -> None:
        """Note one problem and where it stands."""
        self.found.append(f"{where}: {problem}" if where else problem)

    def done(self) -> None:
        """Raise if anything was noted."""
        if self.found:
            raise BadData(self.what, self.found, self.mend)


def kind(value: object) -> str:
    """A value's type in words a person uses.

    Example:
        >>> kind(["a"]), kind(None), kind(float("nan"))
        ('a list of 1', 'missing', 'missing')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "missing"
    if isinstance(value, bool):
        return f"{value}"
    if isinstance(value, int | float | np.number):
        return f"the number {value}"
    if isinstance(value, list | tuple | np.ndarray):
        return f"a list of {len(value)}"
    return "an object" if isinstance(value, dict) else f"a {type(value).__name__}"


def text_problem(value: object, field: str, *, blank: bool = False) -> str | None:
    """What is wrong with a text, or None.

    Args:
        value: anything.
        field: the column's name.
        blank: a text of nothing but white space is allowed.
    """
    if not isinstance(value, str):
        found = kind(value)
        if found == "missing":
            return f"`{field}` is missing"
        letters = ", or it would be read element by element" if found.startswith("a list") else ""
        return f"`{field}` is {found}; it must be one string{letters}"
    if not blank and not value.strip():
        return f"`{field}` is empty"
    if len(value) > LONGEST:
        return f"`{field}` has {len(value):,} characters; at most {LONGEST:,} are taken"
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            return f"`{field}` holds half a character (a lone surrogate) at {error.start}"
    return None


def id_problem(value: object, field: str) -> str | None:
    """What is wrong with an id (a string or a whole number), or None."""
    if isinstance(value, bool) or not isinstance(value, str | int | np.integer):
        return f"`{field}` is {kind(value)}; it must be a string"
    label = str(value)
    if label != label.strip() or any(sign in label for sign in "\t\r\n"):
        return f"`{field}` {label!r} holds a tab, a line end or outer white space"
    return text_problem(label, field)


def grade_of(value: object) -> float | str:
    """The grade as float32 holds it, or what is wrong with it.

    Example:
        >>> grade_of("2"), grade_of("nan"), grade_of("high")
        (2.0, "grade 'nan' is not finite", "grade 'high' is not a number")
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | np.number):
        return f"grade is {kind(value)}; it must be a number"
    try:
        exact = float(value)
    except (ValueError, OverflowError):
        return f"grade {value!r} is not a number"
    with np.errstate(over="ignore", under="ignore"):
        kept = float(np.float32(exact))
    if not math.isfinite(kept):
        return f"grade {value!r} is not finite"
    if exact != 0 and kept == 0:
        return f"grade {value!r} is too small: it would be stored as 0, judged not relevant"
    return kept


def nearest(name: str, present: Sequence[str]) -> str:
    """The columns there are, and which of them was probably meant.

    Example:
        >>> nearest("query-id", ["query_id", "score"])
        "there are 'query_id', 'score'; did you mean 'query_id'?"
    """
    listed = ", ".join(repr(column) for column in list(present)[:20]) or "none"
    near = get_close_matches(name, present, n=1, cutoff=0.6)
    return f"there are {listed}" + (f"; did you mean {near[0]!r}?" if near else "")


def existing_file(argument: str, path: str | Path, mend: str) -> Path:
    """The path, if it is a file.

    Raises:
        BadArgument: it is not.
    """
    found = Path(path)
    if not found.is_file():
        raise BadArgument(argument, str(path), "there is no such file", mend)
    return found


def lines_of(path: Path, problems: Problems, *, ends: bytes = b"\r\n") -> Iterator[tuple[int, str]]:
    """(line number from 1, text without its end) of a UTF-8 file; undecodable lines are noted.

    `ends` are the bytes taken off each end: a carriage return inside a quoted CSV cell counts.
    """
    from tqdm.auto import tqdm

    with path.open("rb") as source:
        bar = tqdm(source, desc=path.name, unit="line", disable=None, delay=2, leave=False)
        for number, raw in enumerate(bar, start=1):
            line = raw.rstrip(ends)
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                bad = f"byte 0x{line[error.start]:02x} at column {error.start + 1} is not UTF-8"
                problems.add(f"{path.name} line {number}", bad)
                continue
            yield number, text


def objects_of(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of a JSON Lines file; whatever else stands there is noted."""
    for number, line in lines_of(path, problems):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            cut = "" if line.rstrip().endswith("}") else "; it breaks off, half-written?"
            problems.add(f"{path.name} line {number}", f"not JSON ({error}){cut}")
            continue
        if isinstance(value, dict):
            yield number, value
        else:
            problems.add(f"{path.name} line {number}", f"{kind(value)}, not an object {{...}}")
