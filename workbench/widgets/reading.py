"""Texts as a view shows them: cut, and cut into pieces of one kind, never markup."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

SHOWN = 4_000
"""Characters of a text that are shown before somebody asks for all."""
HEAD = 120
GUESSED_FROM = 40
_signs = re.compile(r"^\s*(?:def |class |import |from \S+ import |return\b|func |fn |#include|var |"
                    r"let |const |public |private |static |@\w+)|[{};]\s*$|\w\(.*\)\s*[:{;]?\s*$",
                    re.MULTILINE)  # fmt: skip

Piece = list[str]
"""[kind, text]; kinds are k(eyword), s(tring), c(omment), n(umber), f(unction) and none."""


def looks_like_code(texts: Sequence[str]) -> bool:
    r"""Are these texts programs? Guessed from lines that only programs have.

    Args:
        texts: some of a collection's documents.

    Example:
        >>> looks_like_code(["def add(a, b):\n    return a + b"]), looks_like_code(["Add two."])
        (True, False)

    Breaks when: documents are prose with long listings in it.
    """
    told = [_share(text[:SHOWN]) for text in texts[:GUESSED_FROM] if text.strip()]
    return bool(told) and float(np.median(told)) > 0.3


def _share(text: str) -> float:
    """Share of a text's lines that look like a program's."""
    lines = [line for line in text.splitlines() if line.strip()]
    return sum(_signs.search(line) is not None for line in lines) / max(1, len(lines))


def pieces(text: str, *, code: bool) -> list[Piece]:
    """A text in pieces of one kind each; joined they are the text again.

    Args:
        text: any.
        code: tell keywords, strings, comments, numbers and names of functions apart.

    Example:
        >>> pieces("return 1", code=True)
        [['k', 'return'], ['', ' '], ['n', '1']]

    Breaks when: the program is in another language than Python; kinds are then guesses.
    """
    if not code or not text:
        return [["", text]]
    found: list[Piece] = []
    for _, kind, value in _lexer().get_tokens_unprocessed(text):
        name = _kind(str(kind))
        if found and found[-1][0] == name:
            found[-1][1] += value
        else:
            found.append([name, value])
    return found


def _kind(token: str) -> str:
    starts = {
        "Token.Keyword": "k", "Token.Operator.Word": "k", "Token.Literal.String": "s",
        "Token.Comment": "c", "Token.Literal.Number": "n", "Token.Name.Function": "f",
        "Token.Name.Class": "f",
    }  # fmt: skip
    return next((kind for start, kind in starts.items() if token.startswith(start)), "")


@cache
def _lexer() -> Any:
    from pygments.lexers import PythonLexer

    return PythonLexer()


def shown(text: str, *, code: bool, whole: bool = False) -> dict[str, Any]:
    """What the browser needs of one text: its pieces, and how much was left out.

    Example:
        >>> told = shown("x" * 5_000, code=False)
        >>> told["length"], len(told["pieces"][0][1])
        (5000, 4000)
    """
    part = text if whole else text[:SHOWN]
    return {"pieces": pieces(part, code=code), "length": len(text), "shown": len(part)}


def head(text: str) -> str:
    """The beginning of a text on one line."""
    return " ".join(text[: 2 * HEAD].split())[:HEAD]
