"""What the parts drawn in the browser may look like: text as text, no network, our own names."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "workbench" / "widgets" / "static"
FILES = sorted(path for path in FOLDER.rglob("*") if path.is_file())
MOST_LINES = 400
SVG = "http://www.w3.org/2000/svg"
FORBIDDEN = {
    "markup from text": r"\b(inner|outer)HTML\b|\binsertAdjacentHTML\b|\bdocument\.write(ln)?\b"
    r"|\bDOMParser\b|\bcreateContextualFragment\b|\bsetHTML(Unsafe)?\b|\bsrcdoc\b",
    "code from text": r"\beval\b|\bnew\s+Function\b|\bFunction\s*\("
    r"|\bset(Timeout|Interval)\s*\(\s*['\"`]|javascript:",
    "modules": r"^\s*import\b|\bimport\s*\(|\brequire\s*\(|@import\b",
    "network": r"\bfetch\s*\(|\bXMLHttpRequest\b|\bWebSocket\b|\bEventSource\b|\bsendBeacon\b"
    r"|\bimportScripts\b|\b(?:https?|wss?)://|['\"`(]//",
}
each = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


def offences(text: str) -> list[str]:
    """What may not stand in a module or a style file, as `why: line`."""
    text = text.replace(SVG, "")
    found = [(why, match) for why, pattern in FORBIDDEN.items()
             for match in re.finditer(pattern, text, re.MULTILINE)]  # fmt: skip
    return [
        f"{why}: line {text.count(chr(10), 0, one.start()) + 1}: {one[0]}" for why, one in found
    ]


def loose_selectors(text: str) -> list[str]:
    """Selectors of a style file that would reach beyond our own elements."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    groups = re.findall(r"([^{};]*)\{", text)
    selectors = [one.strip() for group in groups for one in re.split(r",(?![^()]*\))", group)]
    step = re.compile(r"^(@.*|from|to|\d+%)$", re.DOTALL)
    return [one for one in selectors if ".wb-" not in one and not step.match(one)]


def given_classes(text: str) -> set[str]:
    """Classes that a module's `h("p", {class: "..."})` gives, without what is computed."""
    said = re.findall(r"\bclass:\s*[\"'`]([^\"'`$]*)", text)
    said += re.findall(r"\bclassList\.\w+\(\s*[\"'`]([^\"'`$]*)", text)
    return {word for words in said for word in words.split()}


def test_there_are_only_modules_and_styles():
    assert FILES
    assert {path.suffix for path in FILES} <= {".js", ".css"}


@each
def test_static_file(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") < MOST_LINES
    assert not offences(text)
    if path.suffix == ".css":
        assert not loose_selectors(text)
    else:
        assert all(name.startswith("wb-") for name in given_classes(text)), given_classes(text)


@pytest.mark.parametrize(
    "line",
    [
        "el.innerHTML = text;",
        "el.insertAdjacentHTML('beforeend', text)",
        "document.write(text)",
        "eval(text)",
        "const f = new Function('x', text)",
        "setTimeout('harm()', 3)",
        "  import { h } from './kit.js';",
        "const kit = await import(name);",
        "@import url(x.css);",
        "fetch('data.json')",
        "const where = 'https://example.org';",
        "img.src = '//example.org/x.png'",
        "link.href = 'javascript:harm()'",
    ],
)
def test_the_law_sees_what_it_forbids(line):
    assert offences(f"const first = 1;\n{line}")[0].split(": ")[1] == "line 2"


@pytest.mark.parametrize(
    "line",
    [
        "el.textContent = html; // markup stays text",
        f'const SVG = "{SVG}";',
        "setTimeout(() => draw(), 3); // import nothing",
        "const evaluated = retrieval(important);",
    ],
)
def test_the_law_lets_the_rest_pass(line):
    assert not offences(line)


def test_what_reaches_others_is_seen():
    text = "/* .x */ .wb-a .bold:hover, .jp-Cell { width: 1.5em } @media print { p { margin: 0 } }"
    assert loose_selectors(text) == [".jp-Cell", "p"]
    ours = (
        ".jp-Cell:has(.wb-a, .b) { top: 0 } @keyframes wb-spin { from { top: 0 } 50% { top: 1px } }"
    )
    assert not loose_selectors(ours)
    assert given_classes('h("p", {class: "wb-a bold"}); el.classList.add("big")') == {
        "wb-a", "bold", "big",
    }  # fmt: skip
