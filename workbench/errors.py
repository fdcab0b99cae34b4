"""The one error a user can cause: which argument, its value, what was wanted, and the mend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from math import isfinite
from numbers import Real


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text):,} characters)"


class BadArgument(ValueError):
    """A user's mistake, said so that it can be mended without reading our code.

    Args:
        argument: the name as the user wrote it.
        value: what was given.
        wanted: the condition it breaks, e.g. "it must be > 0".
        mend: what to do instead, one sentence.

    Example:
        >>> str(BadArgument("temperature", 0, "it must be > 0", "Try 0.05."))
        '`temperature` is 0, but it must be > 0. Try 0.05.'
    """

    def __init__(self, argument: str, value: object, wanted: str, mend: str) -> None:
        self.argument, self.value, self.wanted, self.mend = argument, value, wanted, mend
        super().__init__(f"`{argument}` is {_shown(value)}, but {wanted}. {mend}")

    def __reduce__(self) -> tuple[type[BadArgument], tuple[str, object, str, str]]:
        return (type(self), (self.argument, self.value, self.wanted, self.mend))


class BadData(ValueError):
    """Everything found wrong with some data, said at once.

    Args:
        what: the file, folder or frame that was read.
        problems: one line each, with file and line where there are some.
        mend: what to do, one sentence.
        most: how many problems the message shows; all stay in `.problems`.

    Example:
        >>> print(BadData("corpus.jsonl", ["line 3: `_id` is missing"], "Give each row an id."))
        corpus.jsonl has 1 problem:
          line 3: `_id` is missing
        Give each row an id.
    """

    def __init__(self, what: str, problems: Sequence[str], mend: str, *, most: int = 20) -> None:
        self.what, self.problems, self.mend, self.most = what, list(problems), mend, most
        count = len(self.problems)
        lines = [f"{what} has {count:,} problem{'s' if count != 1 else ''}:"]
        lines += [f"  {problem}" for problem in self.problems[:most]]
        if count > most:
            lines.append(f"  ... and {count - most:,} more")
        super().__init__("\n".join([*lines, mend]))

    def __reduce__(self) -> tuple[type[BadData], tuple[str, list[str], str]]:
        return (type(self), (self.what, self.problems, self.mend))


def check_number(
    argument: str,
    value: object,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    mend: str,
) -> None:
    """Refuse anything but a finite real number inside the range.

    Example:
        >>> check_number("temperature", 0.05, above=0, mend="Try 0.05.")
        >>> check_number("temperature", -1, above=0, mend="Try 0.05.")
        Traceback (most recent call last):
        workbench.errors.BadArgument: `temperature` is -1, but it must be > 0. Try 0.05.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value):
        raise BadArgument(argument, value, "it must be a finite number", mend)
    number = float(value)
    if above is not None and not number > above:
        raise BadArgument(argument, value, f"it must be > {above:g}", mend)
    if at_least is not None and not number >= at_least:
        raise BadArgument(argument, value, f"it must be >= {at_least:g}", mend)
    if at_most is not None and not number <= at_most:
        raise BadArgument(argument, value, f"it must be <= {at_most:g}", mend)


def check_count(argument: str, value: object, *, at_least: int = 1, mend: str) -> None:
    """Refuse anything but a whole number of at least `at_least`.

    Example:
        >>> check_count("k", 0, mend="Try 10.")
        Traceback (most recent call last):
        workbench.errors.BadArgument: `k` is 0, but it must be a whole number >= 1. Try 10.
    """
    from operator import index

    try:
        whole = index(value)  # type: ignore[arg-type]
    except TypeError:
        whole = None
    if isinstance(value, bool) or whole is None or whole < at_least:
        raise BadArgument(argument, value, f"it must be a whole number >= {at_least}", mend)


def check_choice(argument: str, value: object, choices: Iterable[str]) -> None:
    """Refuse a word that is not among `choices`, naming the nearest.

    Example:
        >>> check_choice("pooling", "men", ["mean", "cls"])
        Traceback (most recent call last):
        workbench.errors.BadArgument: `pooling` is 'men', but it must be one of mean, cls. \
Did you mean 'mean'?
    """
    known = list(choices)
    if value in known:
        return
    near = get_close_matches(str(value), known, n=1, cutoff=0.4)
    mend = f"Did you mean {near[0]!r}?" if near else "Choose one of them."
    raise BadArgument(argument, value, f"it must be one of {', '.join(known)}", mend)
