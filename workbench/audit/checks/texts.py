"""WB114, WB115, WB116: empty texts, answers that stand in the query, prompts on some texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import numpy as np

from workbench.audit.checks._base import Example, Finding, check_share, finding, of
from workbench.audit.checks._given import Bools, Given
from workbench.errors import check_count
from workbench.registry import register

_word = re.compile(r"\w")
_prompt = re.compile(
    r"\s*(?:query|passage|document|search_query|search_document|clustering|classification"
    r"|instruct|title: \S[^|\n]{0,80}\| *text|task: [^|\n:]{1,80}\| *query"
    r"|represent (?:this|the) [^:\n]{1,80}) *:",
    re.IGNORECASE,
)


def too_short(texts: Sequence[str], letters: int) -> Bools:
    """Texts with at most so many letters and digits.

    Example:
        >>> too_short(["ab", "?", " "], 1).tolist()
        [False, True, True]
    """
    short = (sum(1 for _ in islice(_word.finditer(text), letters + 1)) for text in texts)
    return np.fromiter((count <= letters for count in short), dtype=np.bool_, count=len(texts))


@register("check", "WB114")
@dataclass(frozen=True, kw_only=True)
class EmptyTexts:
    """Queries and documents with no more than `letters` letters or digits.

    All of them get nearly the same vector, which then is near to many others.

    Args:
        letters: 1 finds what is empty, one sign or one letter.
        most: share of texts tolerated; 0, none.

    Raises:
        BadArgument: an option out of range.

    Example:
        >>> EmptyTexts(letters=2).code
        'WB114'

    Breaks when: one sign is a whole text rightly, as in Chinese or in mathematics.
    """

    code: ClassVar[str] = "WB114"
    title: ClassVar[str] = "empty texts"
    severity: ClassVar[str] = "warning"
    mend: ClassVar[str] = "Drop these rows, or find out why the reader lost their text."
    letters: int = 1
    most: float = 0.0

    def __post_init__(self) -> None:
        check_count("letters", self.letters, at_least=0, mend="Try 1.")
        check_share("most", self.most)

    def __call__(self, given: Given) -> Finding:
        """Look."""
        queries, docs = (too_short(t, self.letters) for t in (given.query_texts, given.doc_texts))
        count, whole = int(queries.sum() + docs.sum()), len(queries) + len(docs)
        says = f"{of(int(queries.sum()), len(queries), 'queries')} and "
        says += f"{of(int(docs.sum()), len(docs), 'documents')} have at most {self.letters} letter"
        says += "" if self.letters == 1 else "s"
        examples = given.queries_shown(np.flatnonzero(queries))[:5]
        examples += given.docs_shown(np.flatnonzero(docs))
        return finding(self, count=count, whole=whole, says=says, most=self.most, examples=examples)


def contained(inner: str, outer: str, words: int) -> bool:
    """Does the longer text hold the other word for word, case and white space aside?

    Args:
        inner: the shorter; one of fewer than `words` words only counts where both are equal.
        outer: the longer.
        words: fewest words.

    Example:
        >>> contained("Open the file", "to open  the file, call open", 3), contained("a", "a b", 3)
        (True, False)
    """
    small, large = (" ".join(text.casefold().split()) for text in (inner, outer))
    if small == large:
        return bool(small)
    return small.count(" ") + 1 >= words and f" {small} " in f" {_spaced(large)} "


def _spaced(text: str) -> str:
    return re.sub(r"[,.;:!?()\[\]\"']+(?= |$)", "", text)


@register("check", "WB115")
@dataclass(frozen=True, kw_only=True)
class AnswerInQuery:
    """Labelled pairs in which one text holds the other word for word, or both are equal.

    Such pairs are solved by looking for equal words: they teach nothing else, and an evaluation on
    them measures nothing else.

    Args:
        words: fewest words of the shorter text; 3: one or two words are rightly in many answers.
        most: share of labelled pairs tolerated; 0.05.

    Raises:
        BadArgument: an option out of range.

    Example:
        >>> AnswerInQuery(words=5).code
        'WB115'

    Breaks when: the task is to find quotations or titles.
    """

    code: ClassVar[str] = "WB115"
    title: ClassVar[str] = "answer stands in the query"
    severity: ClassVar[str] = "warning"
    mend: ClassVar[str] = (
        "Take the query's own words out of the document (as python_functions does with "
        "docstrings), or drop these pairs."
    )
    words: int = 3
    most: float = 0.05

    def __post_init__(self) -> None:
        check_count("words", self.words, mend="Try 3.")
        check_share("most", self.most)

    def __call__(self, given: Given) -> Finding:
        """Look."""
        pairs = given.collection.pairs
        inside = np.zeros((2, len(pairs)), dtype=np.bool_)
        for place, (query, doc) in enumerate(pairs.tolist()):
            texts = given.query_texts[query], given.doc_texts[doc]
            shorter = 0 if len(texts[0]) <= len(texts[1]) else 1
            inside[shorter, place] = contained(texts[shorter], texts[1 - shorter], self.words)
        count = int(inside.sum())
        says = (
            f"{of(count, len(pairs), 'labelled pairs')} hold one text in the other: the query in "
        )
        says += f"{int(inside[0].sum()):,}, the document in {int(inside[1].sum()):,}"
        shown = pairs[inside.any(axis=0)]
        return finding(
            self, count=count, whole=len(pairs), says=says, most=self.most,
            examples=given.pairs_shown(shown[:, 0], shown[:, 1]),
        )  # fmt: skip


def prompted(texts: Sequence[str]) -> Bools:
    """Texts that begin with a prompt that embedding models are trained with.

    Known are those of E5 and Nomic ("query:", "passage:", "search_document:"), BGE and INSTRUCTOR
    ("Represent this sentence ...:"), E5-instruct ("Instruct:") and Gemma ("task: ... | query:").

    Example:
        >>> prompted(["query: add two", "what is a query: a noun"]).tolist()
        [True, False]
    """
    return np.fromiter((_prompt.match(t) is not None for t in texts), np.bool_, count=len(texts))


@register("check", "WB116")
@dataclass(frozen=True, kw_only=True)
class MixedPrompts:
    """A side on which some texts begin with a prompt and others do not, or get it twice.

    Prompts belong in the encoder, which puts them before every text of its side; a text that
    brings its own stands apart from the rest, or carries the prompt twice.

    Args:
        most: share of texts tolerated; 0.001, since "Query:" may begin an honest text.

    Raises:
        BadArgument: an option out of range.

    Example:
        >>> MixedPrompts(most=0.01).code
        'WB116'

    Breaks when: the prompt is one of your own, which nobody else knows.
    """

    code: ClassVar[str] = "WB116"
    title: ClassVar[str] = "mixed prompts"
    severity: ClassVar[str] = "warning"
    mend: ClassVar[str] = (
        "Take prompts out of the texts and give them to the encoder: prompts={'query': ...}."
    )
    most: float = 0.001

    def __post_init__(self) -> None:
        check_share("most", self.most)

    def __call__(self, given: Given) -> Finding:
        """Look."""
        count, parts, examples = 0, [], list[Example]()
        for side, texts in (("query", given.query_texts), ("doc", given.doc_texts)):
            has = prompted(texts)
            with_one = int(has.sum())
            doubled = given.encoder is not None and bool(given.encoder.prompts[side])
            odd = has if doubled or 2 * with_one <= len(texts) else ~has
            count += int(odd.sum())
            parts.append(f"{of(with_one, len(texts), f'{side} texts')} begin with a prompt")
            parts[-1] += ", and the encoder adds its own" if doubled and with_one else ""
            shown = given.queries_shown if side == "query" else given.docs_shown
            examples += shown(np.flatnonzero(odd))[:5]
        whole = len(given.query_texts) + len(given.doc_texts)
        says = " and ".join(parts)
        return finding(self, count=count, whole=whole, says=says, most=self.most, examples=examples)
