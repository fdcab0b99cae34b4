"""What is wrong with what you are about to train on: every check, one table."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench import files, registry
from workbench.audit.checks import KIND, SEVERITIES, Check, Finding, Given, NotAsked
from workbench.audit.checks._base import check_codes, without_answer
from workbench.errors import BadArgument
from workbench.types import Candidates, Collection, LossStore, Vectors, Verdicts

if TYPE_CHECKING:
    import pandas as pd

    from workbench.audit.suspicion import Suspicion
    from workbench.encode import Encoder

ORDER = {"found": 0, "failed": 1, "not asked": 3, "clean": 4}


def report(
    collection: Collection,
    *,
    candidates: Candidates | None = None,
    vectors: tuple[Vectors, Vectors] | None = None,
    guide: tuple[Vectors, Vectors] | None = None,
    evaluation: Collection | None = None,
    encoder: Encoder | None = None,
    suspicion: Suspicion | None = None,
    losses: LossStore | None = None,
    verdicts: Verdicts | None = None,
    checks: Sequence[Check] = (),
    mute: Sequence[str] = (),
    only: Sequence[str] | None = None,
    progress: bool = True,
) -> Report:
    """Run every check that what was given allows.

    A check whose input is missing stands in the table as "not asked" with what it needs; one that
    raises stands there as "failed" with its error, and the others run on.

    Args:
        collection: what is trained on.
        candidates: its mined negatives; None = those of `suspicion`.
        vectors: (query, document) vectors of the encoder at hand.
        guide: the same of a frozen, stronger model; None = `vectors`.
        evaluation: what is evaluated on.
        encoder: the encoder at hand: truncation, and whether vectors are stale.
        suspicion: probability of every candidate to be a false negative.
        losses: what every row of `collection.pairs` cost in training.
        verdicts: what people or judges said.
        checks: checks with options of their own, each in the place of the one of its code.
        mute: codes not to run; the report names them.
        only: codes to run; None = all.
        progress: a bar over the checks, where a person can see it.

    Returns:
        The findings, worst first.

    Raises:
        BadArgument: something of another kind, an unknown code (with the nearest), a probability
            outside [0, 1]. Said before any check runs.

    Example:
        >>> from workbench.data import from_rows
        >>> rows = [{"query": "add two", "positive": "a + b"}, {"query": "?", "positive": "a - b"}]
        >>> found = report(from_rows(rows), only=["WB114"])
        >>> [(one.code, one.count, one.ids) for one in found.findings]
        [('WB114', 1, (('q-463fdae168bbf8a1',),))]

    Breaks when: a check's thresholds do not suit the data: read the docs of its code, and pass it
    with other options in `checks`.
    """
    given = Given(
        collection=collection,
        candidates=candidates,
        vectors=vectors,
        guide=guide,
        evaluation=evaluation,
        encoder=encoder,
        suspicion=suspicion,
        losses=losses,
        verdicts=verdicts,
    )
    known = registry.names(KIND)
    muted = check_codes("mute", mute, known)
    wanted = check_codes("only", known if only is None else only, known)
    chosen = _chosen(checks, known)
    from tqdm.auto import tqdm

    run = [code for code in known if code in wanted and code not in muted]
    bar = tqdm(run, desc="audit", unit="check", disable=None if progress else True, delay=2)
    findings = []
    for code in bar:
        bar.set_postfix_str(code)
        findings.append(_asked(chosen[code], given))
    return Report(
        name=collection.name, findings=tuple(sorted(findings, key=_rank)), muted=muted,
        left_out=tuple(code for code in known if code not in wanted and code not in muted),
    )  # fmt: skip


def _chosen(checks: Sequence[Check], known: Sequence[str]) -> dict[str, Check]:
    """Code -> check: the user's, else the registered one as it is."""
    chosen: dict[str, Check] = {code: registry.get(KIND, code)() for code in known}
    if not isinstance(checks, Sequence):
        raise BadArgument("checks", checks, "it must be a list of checks", "Write checks=[...].")
    for check in checks:
        if isinstance(check, type) or not isinstance(check, Check):
            wanted = "each entry must be a check object"
            raise BadArgument("checks", check, wanted, "Write checks=[FalseNegatives()].")
        check_codes("checks", [check.code], known)
        chosen[check.code] = check
    return chosen


def _asked(check: Check, given: Given) -> Finding:
    try:
        return check(given)
    except NotAsked as missing:
        return without_answer(check, "not asked", str(missing))
    except Exception as error:  # whatever it is, the other checks run on
        return without_answer(check, "failed", f"{type(error).__name__}: {error}")


def _rank(finding: Finding) -> tuple[int, int, float, str]:
    share = 0.0 if math.isnan(finding.share) else finding.share
    severity = SEVERITIES.index(finding.severity)
    place = ORDER[finding.state] + (2 if finding.found and severity else 0)
    return place, severity, -share if finding.found else 0.0, finding.code


def _folded(text: str) -> list[str]:
    margin = " " * 7
    return textwrap.wrap(
        " ".join(text.split()),
        100,
        initial_indent=margin,
        subsequent_indent=margin,
        break_on_hyphens=False,
    )


@dataclass(frozen=True, kw_only=True)
class Report:
    """Findings of all checks, worst first: errors, what failed, warnings, notes, the rest.

    Args:
        name: of the collection.
        findings: one per check that was run or could not be.
        muted: codes that were switched off.
        left_out: codes that `only` left out.

    Example:
        >>> from workbench.data import from_rows
        >>> found = report(from_rows([{"query": "add two", "positive": "a + b"}]), only=["WB114"])
        >>> found.ok, len(found.found)
        (True, 0)
    """

    name: str
    findings: tuple[Finding, ...]
    muted: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """No error was found and no check has failed; what was not asked says nothing."""
        return not any(
            one.state == "failed" or (one.found and one.severity == "error")
            for one in self.findings
        )

    @property
    def found(self) -> tuple[Finding, ...]:
        """Only what there is to mend."""
        return tuple(one for one in self.findings if one.found)

    def __getitem__(self, code: str) -> Finding:
        """The finding of one code.

        Raises:
            BadArgument: it was not run.
        """
        check_codes("code", [code], [one.code for one in self.findings])
        return next(one for one in self.findings if one.code == code)

    def frame(self) -> pd.DataFrame:
        """One row per check."""
        import pandas as pd

        names = ("code", "title", "severity", "state", "count", "share", "says", "mend", "docs")
        return pd.DataFrame(
            [[getattr(one, name) for name in names] for one in self.findings], columns=list(names)
        )

    @property
    def summary(self) -> str:
        """One sentence: how many of which severity, how many clean, not asked, failed."""
        counts = [
            (sum(one.found and one.severity == word for one in self.findings), word)
            for word in SEVERITIES
        ]
        parts = [f"{count} {word}{'s' if count != 1 else ''}" for count, word in counts]
        parts += [
            f"{sum(one.state == state for one in self.findings)} {state}"
            for state in ("failed", "clean", "not asked")
        ]
        return f"Audit of {self.name}: {', '.join(parts)}"

    @property
    def silent(self) -> str:
        """Which codes were muted or left out, "" for none."""
        parts = [("muted", self.muted), ("left out", self.left_out)]
        return "; ".join(f"{word}: {', '.join(codes)}" for word, codes in parts if codes)

    def __str__(self) -> str:
        lines = [self.summary]
        for one in self.findings:
            word = one.severity if one.found else one.state
            share = "" if math.isnan(one.share) else f"{one.count:,} ({100 * one.share:.2g} %)"
            lines.append(f"{one.code}  {word:<9}  {one.title:<33}  {share}".rstrip())
            lines += _folded(one.says)
            if one.found:
                lines += _folded(f"-> {one.mend} ({one.docs})")
        return "\n".join([*lines, *([self.silent] if self.silent else [])])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from workbench.audit.report_page import table

        return table(self)

    def save_html(self, path: str | Path) -> Path:
        """Write the report as one HTML file that fetches nothing and runs nothing.

        Args:
            path: the file; an older one is replaced at once.

        Returns:
            The path.

        Raises:
            BadArgument: it is a folder.
        """
        from workbench.audit.report_page import page

        target = Path(path)
        if target.is_dir():
            raise BadArgument("path", str(path), "it is a folder", "Name a file, audit.html.")
        with files.atomic_file(target) as temporary:
            temporary.write_text(page(self), encoding="utf-8", errors="replace")
        return target
