"""What a check is, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from workbench.errors import BadArgument, check_choice

if TYPE_CHECKING:
    from workbench.audit.checks._given import Given

KIND = "check"
SEVERITIES = ("error", "warning", "note")
STATES = ("found", "failed", "clean", "not asked")
SHOWN = 10
"""Examples of one finding."""
LETTERS = 160
"""Characters of a text that an example shows."""


class NotAsked(Exception):
    """A check lacks what it needs; the message says what, as in "needs vectors"."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One case of a finding, to be looked at.

    Args:
        ids: of a query, a document, or both in this order.
        texts: one per id, shortened.
        note: the number that made it a case.
    """

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check says.

    Args:
        code: WB101 and so on.
        title: what is looked for.
        severity: error, warning or note: how bad it is where it is found.
        state: found, clean, failed (the check itself raised) or not asked (its input is missing).
        count: cases, estimated where `says` says so; 0 where nothing could be counted.
        share: count / everything looked at, NaN where nothing could be counted.
        says: the numbers in a sentence, or the reason.
        mend: what to do, one sentence.
        docs: page and anchor of the explanation.
        examples: up to ten cases, the clearest first.

    Raises:
        BadArgument: an unknown severity or state.

    Example:
        >>> Finding(code="WB114", title="empty texts", severity="error", state="clean", count=0,
        ...         share=0.0, says="none of 9 texts", mend="", docs="").found
        False
    """

    code: str
    title: str
    severity: str
    state: str
    count: int
    share: float
    says: str
    mend: str
    docs: str
    examples: tuple[Example, ...] = ()

    def __post_init__(self) -> None:
        check_choice("severity", self.severity, SEVERITIES)
        check_choice("state", self.state, STATES)

    @property
    def found(self) -> bool:
        """Is there something to mend?"""
        return self.state == "found"

    @property
    def ids(self) -> tuple[tuple[str, ...], ...]:
        """Ids of the examples."""
        return tuple(example.ids for example in self.examples)


@runtime_checkable
class Check(Protocol):
    """Looks for one thing; its options are its fields."""

    @property
    def code(self) -> str:
        """WB101 and so on; it never changes its meaning."""
        ...

    @property
    def title(self) -> str:
        """What is looked for, a few words."""
        ...

    @property
    def severity(self) -> str:
        """How bad it is where it is found: error, warning or note."""
        ...

    @property
    def mend(self) -> str:
        """What to do about it, one sentence."""
        ...

    def __call__(self, given: Given) -> Finding:
        """Look.

        Raises:
            NotAsked: what it needs was not given.
        """
        ...


def anchor(code: str) -> str:
    """Where a code is explained.

    Example:
        >>> anchor("WB101")
        'docs/checks.md#wb101'
    """
    return f"docs/checks.md#{code.lower()}"


def finding(
    check: Check,
    *,
    count: int,
    whole: int,
    says: str,
    most: float = 0.0,
    examples: Sequence[Example] = (),
) -> Finding:
    """What a check found: something where the share of cases exceeds what is tolerated.

    Args:
        check: who says it.
        count: cases.
        whole: of how many.
        says: the numbers in a sentence.
        most: share that is tolerated.
        examples: the clearest first; kept only where something is found.
    """
    share = count / whole if whole else 0.0
    found = share > most
    return Finding(
        code=check.code,
        title=check.title,
        severity=check.severity,
        state="found" if found else "clean",
        count=count,
        share=share,
        says=says,
        mend=check.mend,
        docs=anchor(check.code),
        examples=tuple(examples[:SHOWN]) if found else (),
    )


def without_answer(check: Check, state: str, says: str) -> Finding:
    """A finding of a check that could not look: "not asked" or "failed", and why."""
    return Finding(
        code=check.code,
        title=check.title,
        severity=check.severity,
        state=state,
        count=0,
        share=float("nan"),
        says=says,
        mend=check.mend,
        docs=anchor(check.code),
    )


def of(count: int, whole: int, what: str) -> str:
    """A count beside the whole, in words.

    Example:
        >>> of(25, 1000, "kept candidates")
        '25 of 1,000 kept candidates (2.5 %)'
    """
    share = 100 * count / whole if whole else 0.0
    return f"{count:,} of {whole:,} {what} ({share:.2g} %)" if share < 99.5 else (
        f"{count:,} of {whole:,} {what} ({share:.4g} %)"
    )  # fmt: skip


def short(text: str) -> str:
    """A text on one line, cut to what an example shows.

    Example:
        >>> short("a  b"), len(short("x" * 999))
        ('a b', 160)
    """
    line = " ".join(text[: 4 * LETTERS].split())
    whole = len(line) <= LETTERS and len(text) <= 4 * LETTERS
    return line if whole else line[: LETTERS - 3] + "..."


def check_share(argument: str, value: object) -> None:
    """Refuse what is no share in [0, 1)."""
    from workbench.errors import check_number

    check_number(argument, value, at_least=0, at_most=1, mend="Try 0.01, which tolerates 1 %.")


def check_codes(argument: str, codes: object, known: Sequence[str]) -> tuple[str, ...]:
    """The codes named, each once.

    Raises:
        BadArgument: one string, or an unknown code, with the nearest.

    Example:
        >>> check_codes("mute", ["WB10"], ["WB101", "WB115"])
        Traceback (most recent call last):
        workbench.errors.BadArgument: `mute` is 'WB10', but it must be one of WB101, WB115. \
Did you mean 'WB101'?
    """
    if isinstance(codes, str) or not isinstance(codes, Sequence | set | frozenset):
        raise BadArgument(argument, codes, "it must be a list of codes", 'Write ("WB101",).')
    for code in codes:
        check_choice(argument, code, known)
    return tuple(dict.fromkeys(str(code) for code in codes))
