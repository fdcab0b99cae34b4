"""WB103 and WB104: evaluation texts that training has seen, whole or in long pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from workbench.audit.checks._base import SHOWN, Example, Finding, check_share, finding, of, short
from workbench.audit.checks._given import Bools, Given
from workbench.errors import check_count, check_number
from workbench.registry import register
from workbench.types import Collection, Ints

SHARED = 0.5


def shares_corpus(train: Collection, test: Collection) -> bool:
    """Do both search the same documents: does training hold most of the evaluation's ids?

    Then documents stand on both sides by design, and only queries can leak.

    Example:
        >>> from workbench.data import from_rows
        >>> one = from_rows([{"query": "add", "positive": "a + b"}])
        >>> shares_corpus(one, one)
        True
    """
    there = np.isin(test.doc_ids.astype(str), train.doc_ids.astype(str))
    return bool(there.sum() > SHARED * len(there))


def seen_before(test: Sequence[str], train: Sequence[str], threshold: float) -> Ints:
    """(test text,) position of the training text that is its nearest duplicate, -1 without one.

    Args:
        test: any texts.
        train: any texts.
        threshold: Jaccard similarity of shingles, see `audit.near_copies`; short texts must be
            equal.

    Example:
        >>> seen_before(["shut it", "lock it"], ["open  it", "shut it"], 0.8).tolist()
        [1, -1]
    """
    from workbench.audit.overlap import near_copies

    first = np.full(len(test), -1, dtype=np.int64)
    if len(test) and len(train):
        frame = near_copies(test, train, threshold=threshold).drop_duplicates("test")
        first[frame["test"].to_numpy()] = frame["train"].to_numpy()
    return first


def _positives(collection: Collection) -> Ints:
    return np.unique(collection.pairs[:, 1])


def _marked(test: Collection, docs: Ints) -> Bools:
    """Queries with a positive among these documents."""
    marked = np.zeros(len(test.queries), dtype=np.bool_)
    pairs = test.pairs
    marked[pairs[np.isin(pairs[:, 1], docs), 0]] = True
    return marked


@register("check", "WB103")
@dataclass(frozen=True, kw_only=True)
class AcrossSplits:
    """Evaluation queries that are near duplicates of training queries, or whose answer is.

    Answers are compared only where the two sides have documents of their own.

    Args:
        threshold: Jaccard similarity of 5-token shingles; 0.8 is usual.
        most: share of evaluation queries tolerated; 0.01, the size of differences between models
            that papers report.

    Raises:
        BadArgument: an option out of range.

    Example:
        >>> AcrossSplits(threshold=0.7).code
        'WB103'

    Breaks when: queries are so short that equal ones are honest coincidence ("what is my
    balance").
    """

    code: ClassVar[str] = "WB103"
    title: ClassVar[str] = "near duplicates across splits"
    severity: ClassVar[str] = "error"
    mend: ClassVar[str] = (
        "Fill in groups (data.with_groups) and cut again with data.split, or drop these from the "
        "training side."
    )
    threshold: float = 0.8
    most: float = 0.01

    def __post_init__(self) -> None:
        check_number("threshold", self.threshold, above=0, at_most=1, mend="Try 0.8.")
        check_share("most", self.most)

    def __call__(self, given: Given) -> Finding:
        """Look."""
        test = given.need(given.evaluation, "evaluation")
        texts = test.query_texts
        twins = seen_before(texts, given.query_texts, self.threshold)
        leaked = twins >= 0
        examples = [
            Example(
                ids=(str(test.query_ids[place]), str(given.collection.query_ids[twins[place]])),
                texts=(short(texts[place]), short(given.query_texts[twins[place]])),
                note="evaluation query, training query",
            )
            for place in np.flatnonzero(leaked)[: SHOWN // 2].tolist()
        ]
        says = f"{of(int(leaked.sum()), len(texts), 'evaluation queries')} are near duplicates of "
        says += "training queries"
        if shares_corpus(given.collection, test):
            says += "; both sides search the same documents, which were not compared"
        else:
            docs, ours = test.doc_texts, _positives(test)
            theirs = _positives(given.collection)
            found = seen_before(
                [docs[place] for place in ours],
                [given.doc_texts[place] for place in theirs],
                self.threshold,
            )
            marked = _marked(test, ours[found >= 0])
            says += f", and {int(marked.sum()):,} have a positive that is a near duplicate of a "
            says += "training positive"
            examples += [
                Example(
                    ids=(str(test.doc_ids[ours[place]]), str(given.collection.doc_ids[twin])),
                    texts=(short(docs[ours[place]]), short(given.doc_texts[twin])),
                    note="evaluation document, training document",
                )
                for place in np.flatnonzero(found >= 0)[: SHOWN // 2].tolist()
                for twin in (int(theirs[found[place]]),)
            ]
            leaked |= marked
        return finding(
            self, count=int(leaked.sum()), whole=len(texts), says=says, most=self.most,
            examples=examples,
        )  # fmt: skip


@register("check", "WB104")
@dataclass(frozen=True, kw_only=True)
class Contamination:
    """Evaluation queries and answers of which a long piece stands word for word in training.

    A text counts where its longest run of tokens that stands so in one training text (a query or
    a labelled positive) is at least `piece` of it. Where both sides search the same documents,
    these stand on both by design, and only queries are compared with queries.

    Args:
        piece: share of the text; 0.8, as a near duplicate is. Lower it where answers are long.
        n: tokens of an n-gram; 8 is ConTAM's advice. A text of fewer cannot be judged: that four
            words of a short query stand somewhere is chance. WB103 compares those whole.
        most: share of texts tolerated; 0.01.

    Raises:
        BadArgument: an option out of range.

    Example:
        >>> Contamination(piece=0.5).code
        'WB104'

    Source: Singh et al., 2024 (ConTAM), longest match.
    Breaks when: texts are reworded (`audit.find_rephrased` looks for those), or share boilerplate.
    """

    code: ClassVar[str] = "WB104"
    title: ClassVar[str] = "evaluation texts in training"
    severity: ClassVar[str] = "error"
    mend: ClassVar[str] = (
        "Drop the training texts that hold them, and read audit.epg_curve for what they have been "
        "worth."
    )
    piece: float = 0.8
    n: int = 8
    most: float = 0.01

    def __post_init__(self) -> None:
        check_number("piece", self.piece, above=0, at_most=1, mend="Try 0.8.")
        check_count("n", self.n, mend="Try 8.")
        check_share("most", self.most)

    def __call__(self, given: Given) -> Finding:
        """Look."""
        test = given.need(given.evaluation, "evaluation")
        train = list(given.query_texts)
        sides = [("queries", test.query_ids, test.query_texts)]
        if not shares_corpus(given.collection, test):
            answers, texts = _positives(test), test.doc_texts
            named = test.doc_ids[answers]
            train += [given.doc_texts[place] for place in _positives(given.collection)]
            sides.append(("answers", named, [texts[place] for place in answers]))
        count, whole, parts, examples = 0, 0, [], list[Example]()
        for what, ids, texts in sides:
            shares, few = _longest(texts, train, self.n)
            copied = np.flatnonzero(shares >= self.piece)
            count, whole = count + len(copied), whole + len(texts)
            parts.append(of(len(copied), len(texts), f"evaluation {what}"))
            parts[-1] += f" ({few:,} of fewer than {self.n} tokens were not judged)" if few else ""
            order = copied[np.argsort(-shares[copied], kind="stable")][: SHOWN // 2]
            examples += [
                Example(
                    ids=(str(ids[place]),),
                    texts=(short(texts[place]),),
                    note=f"{100 * shares[place]:.0f} % of it stands in one training text",
                )
                for place in order.tolist()
            ]
        says = f"{' and '.join(parts)} stand to at least {100 * self.piece:g} % in one training "
        says += "text"
        says += "" if len(sides) > 1 else "; documents, the same on both sides, were not compared"
        return finding(self, count=count, whole=whole, says=says, most=self.most, examples=examples)


def _longest(texts: Sequence[str], train: Sequence[str], n: int) -> tuple[np.ndarray, int]:
    """(text,) the longest copied share, 0 where it cannot be judged, and how many those are."""
    from workbench.audit.contamination import contamination_scores

    if not texts:
        return np.zeros(0), 0
    frame = contamination_scores(texts, train, n=n)
    return frame["longest_shared"].fillna(0).to_numpy(), int(frame["too_short"].sum())
