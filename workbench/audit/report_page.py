"""The audit report as HTML: escaped, self-contained, readable without colour."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from workbench.audit.checks._base import Example, Finding

if TYPE_CHECKING:
    from workbench.audit.report import Report

# Texts from data are shown: the policy keeps a browser from fetching or running anything.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
SIGNS = {
    "error": "\u2716", "warning": "\u25b2", "note": "\u25cf", "failed": "\u2753",
    "clean": "\u2713", "not asked": "\u2013",
}  # fmt: skip
"""A shape for each word, so that colour is never alone."""
# After Okabe and Ito, told apart by colour-blind eyes; darkened, or lightened on dark ground.
LIGHT = {
    "ink": "#1a1a1a", "soft": "#595959", "line": "#d0d0d0", "error": "#a63e00",
    "warning": "#7a5c00", "note": "#005a8c", "clean": "#00664a",
}  # fmt: skip
DARK = {
    "ink": "#ececec", "soft": "#b0b0b0", "line": "#4a4a4a", "error": "#ff9b5e",
    "warning": "#f0e442", "note": "#7cc7ee", "clean": "#4fd0a5",
}  # fmt: skip
GROUND = ("#ffffff", "#161616")


def _set(colours: dict[str, str]) -> str:
    return ";".join(f"--{name}:{colour}" for name, colour in colours.items())


# A notebook's own theme wins over the machine's.
STYLE = f"""
.wb-audit{{{_set(LIGHT)};font:14px/1.45 system-ui,sans-serif;color:var(--ink)}}
@media (prefers-color-scheme:dark){{.wb-audit{{{_set(DARK)}}}}}
body[data-jp-theme-light="true"] .wb-audit,.vscode-light .wb-audit{{{_set(LIGHT)}}}
body[data-jp-theme-light="false"] .wb-audit,.vscode-dark .wb-audit{{{_set(DARK)}}}
"""
STYLE += """
.wb-audit h2{font-size:1.15em;margin:.5em 0}
.wb-audit table{border-collapse:collapse;width:100%}
.wb-audit th,.wb-audit td{padding:.35em .6em;text-align:left;vertical-align:top;
border-bottom:1px solid var(--line);overflow-wrap:anywhere}
.wb-audit td.number{text-align:right;white-space:nowrap}
.wb-audit td.word{white-space:nowrap;font-weight:600}
.wb-audit .error,.wb-audit .failed{color:var(--error)}
.wb-audit .warning{color:var(--warning)}.wb-audit .note{color:var(--note)}
.wb-audit .clean{color:var(--clean)}.wb-audit .not-asked,.wb-audit .soft{color:var(--soft)}
.wb-audit ul{margin:.3em 0;padding-left:1.2em}.wb-audit code{font-size:.92em}
"""
PAGE = f"""html{{background:{GROUND[0]};color-scheme:light dark}}
@media (prefers-color-scheme:dark){{html{{background:{GROUND[1]}}}}}
body{{margin:2em auto;max-width:70em;padding:0 1em}}
"""


def table(report: Report) -> str:
    """The findings as one HTML element with its style, for a notebook or a page.

    Args:
        report: any.

    Example:
        >>> from workbench.audit.report import Report
        >>> "<table>" in table(Report(name="<b>", findings=())), "<b>" in table(
        ...     Report(name="<b>", findings=()))
        (True, False)
    """
    head = "".join(
        f'<th scope="col">{word}</th>' for word in ("Code", "", "Check", "Count", "What it says")
    )
    rows = "".join(_row(one) for one in report.findings)
    silent = f'<p class="soft">{escape(report.silent)}</p>' if report.silent else ""
    return (
        f'<div class="wb-audit"><style>{STYLE}</style><h2>{escape(report.summary)}</h2>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{silent}</div>"
    )


def page(report: Report) -> str:
    """A whole HTML file that fetches nothing and runs nothing.

    Args:
        report: any.
    """
    title = escape(report.summary)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{PAGE}</style></head><body>"
        f"{table(report)}</body></html>\n"
    )


def _row(one: Finding) -> str:
    word = one.severity if one.found else one.state
    share = "" if math.isnan(one.share) else f"{one.count:,}<br>{100 * one.share:.2g} %"
    says = escape(one.says).replace("\n", "<br>")
    if one.found:
        says += f"<br><strong>To do:</strong> {escape(one.mend)}"
    says += f' <span class="soft">{escape(one.docs)}</span>'
    if one.examples:
        shown = "".join(_example(example) for example in one.examples)
        count = len(one.examples)
        says += f"<details><summary>{count} example{'s' if count != 1 else ''}</summary>"
        says += f"<ul>{shown}</ul></details>"
    kind = word.replace(" ", "-")
    return (
        f"<tr><td><code>{escape(one.code)}</code></td>"
        f'<td class="word {kind}"><span aria-hidden="true">{SIGNS[word]}</span> {word}</td>'
        f"<td>{escape(one.title)}</td>"
        f'<td class="number">{share}</td><td>{says}</td></tr>'
    )


def _example(example: Example) -> str:
    cells = " <br>".join(
        f"<bdi><code>{escape(name)}</code></bdi> <bdi>{escape(text)}</bdi>"
        for name, text in zip(example.ids, example.texts, strict=True)
    )
    note = f' <span class="soft">({escape(example.note)})</span>' if example.note else ""
    return f"<li>{cells}{note}</li>"
