"""How much of an evaluation text stands in the training texts, by shared n-grams."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench.audit.ngrams import (
    HELD,
    Bools,
    Grams,
    Laid,
    Tokenizer,
    batches,
    longest_shared,
    numbered,
    stretches,
)
from workbench.data.sets import check_texts
from workbench.errors import BadArgument, check_count
from workbench.mine.bm25 import words
from workbench.types import Collection, Ints

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("token_match", "ngram_match", "longest_run", "longest_shared", "longest_span")
"""The scores, each from 0 (nothing) to 1 (the whole text)."""


def contamination_scores(
    test: Sequence[str],
    train: Iterable[str],
    *,
    n: int = 8,
    mincount: int = 1,
    skip_budget: int = 0,
    tokenizer: Tokenizer = words,
) -> pd.DataFrame:
    """Five scores of how much of each test text stands in the training texts.

    An n-gram is matched when it occurs at least `mincount` times in training; of a text of t tokens

        token_match    = tokens inside a matched n-gram / t
        ngram_match    = matched n-grams / (t - n + 1)
        longest_run    = tokens of the longest row of matched n-grams, each one token on, / t
        longest_shared = longest run of tokens (>= n) that stands so in ONE training text / t
        longest_span   = longest stretch that begins and ends on tokens inside matched n-grams and
                         holds at most `skip_budget` others / t

    `longest_run` can chain n-grams of different training texts into a run that none of them holds;
    `longest_shared` cannot, and asks for one occurrence whatever `mincount` is. Boilerplate raises
    `token_match` of texts nobody copied; the longest match does not mistake it (planted: AUROC 1.00
    against 0.70). The training side is read once and never held: memory is the test side and what
    it shares. Measured on one core: two million training tokens against 41,000 test tokens, 1.9 CPU
    seconds, a third of it the tokenizer; against two million, 5.7.

    Args:
        test: evaluation texts: queries, passages, or a query and its passage in one.
        train: training texts, any iterable; a generator may stream them.
        n: tokens per n-gram; the paper recommends 8, larger ones miss copies. Queries are short:
            3 to 5.
        mincount: occurrences that count as a match; the paper recommends 1.
        skip_budget: foreign tokens allowed inside `longest_span`, usually 0 to 5.
        tokenizer: text -> list of tokens; lower-cased words unless given.

    Returns:
        One row per test text: the five scores, `tokens`, and `too_short`. A text of fewer than n
        tokens cannot be judged: its scores are NaN, not 0.

    Raises:
        BadArgument: an option out of range, no test text, a text that is no string.

    Example:
        >>> frame = contamination_scores(["a b c d x"], ["z a b c", "b c d y"], n=3)
        >>> frame.iloc[0].to_dict()
        {'token_match': 0.8, 'ngram_match': 0.6666666666666666, 'longest_run': 0.8, \
'longest_shared': 0.6, 'longest_span': 0.8, 'tokens': 5, 'too_short': False}

    Source: Singh et al., 2024, "Evaluation data contamination in LLMs: how do we measure it and
    (when) does it matter?" (ConTAM).

    Breaks when: a copy is reworded (`find_rephrased` looks for those), or all texts of a kind share
    long boilerplate, which then is their longest match.
    """
    check_count("n", n, mend="Try 8, or 4 for queries.")
    check_count("mincount", mincount, mend="Try 1.")
    check_count("skip_budget", skip_budget, at_least=0, mend="Try 0.")
    check_texts("test", test)
    if not len(test):
        raise BadArgument("test", [], "it must hold at least one text", "Pass the test texts.")
    if isinstance(train, str):
        raise BadArgument("train", train, "it must be a list of strings", "Wrap it in [...].")
    known: dict[str, int] = {}
    ours = Laid.of(
        [
            numbered(f"test[{place}]", text, tokenizer, known, grow=True)
            for place, text in enumerate(test)
        ]
    )
    grams = Grams(ours, n, len(known))
    counts, shared = _seen(ours, grams, train, tokenizer, known)
    return _scored(ours, grams, counts[grams.numbers] >= mincount, shared, skip_budget)


def _seen(
    ours: Laid, grams: Grams, train: Iterable[str], tokenizer: Tokenizer, known: dict[str, int]
) -> tuple[Ints, Ints]:
    """Occurrences in training of every n-gram; tokens each text shares with one training text."""
    counts = np.zeros(grams.count, dtype=np.int64)
    shared = np.zeros(len(ours.lengths), dtype=np.int64)
    # Each matched stretch of training, once: boilerplate that stands everywhere is kept once.
    waiting: dict[bytes, None] = {}
    held = 0

    def settle() -> None:
        hit = grams.places[counts[grams.numbers] > 0]
        first, sizes = stretches(ours, hit, grams.n)
        mine = [ours.codes[a : a + size] for a, size in zip(first, sizes, strict=True)]
        longest = longest_shared(mine, [np.frombuffer(run, dtype=np.int64) for run in waiting])
        longest[longest < grams.n] = 0
        np.maximum.at(shared, ours.owner[first], longest)

    for theirs in batches(train, tokenizer, known):
        places, numbers = grams.find(theirs)
        counts += np.bincount(numbers, minlength=grams.count)
        for start, size in zip(*stretches(theirs, places, grams.n), strict=True):
            run = theirs.codes[start : start + size].tobytes()
            held += 0 if run in waiting else int(size)
            waiting[run] = None
        if held >= HELD:
            settle()
            waiting.clear()
            held = 0
    settle()
    return counts, shared


def _scored(
    ours: Laid, grams: Grams, matched: Bools, shared: Ints, skip_budget: int
) -> pd.DataFrame:
    import pandas as pd

    count, n, places = len(ours.lengths), grams.n, grams.places[matched]
    edges = np.zeros(len(ours.codes) + 1, dtype=np.int64)
    np.add.at(edges, places, 1)
    np.add.at(edges, places + n, -1)
    covered = np.cumsum(edges)[:-1] > 0
    first, sizes = stretches(ours, places, n)
    run = np.zeros(count, dtype=np.int64)
    np.maximum.at(run, ours.owner[first], sizes)
    too_short = ours.lengths < n
    tokens = np.where(too_short, np.nan, ours.lengths)
    shares = {
        "token_match": np.bincount(ours.owner[covered], minlength=count) / tokens,
        "ngram_match": np.bincount(ours.owner[places], minlength=count) / (tokens - n + 1),
        "longest_run": run / tokens,
        "longest_shared": shared / tokens,
        "longest_span": _spans(ours, covered, skip_budget) / tokens,
    }
    return pd.DataFrame({**shares, "tokens": ours.lengths, "too_short": too_short})


def _spans(ours: Laid, covered: Bools, budget: int) -> Ints:
    """Longest stretch per text from a covered token to one with at most `budget` others between."""
    places = np.flatnonzero(covered)
    # Others passed so far; from one text to the next as many more as no budget reaches.
    passed = np.cumsum(~covered)[places] + ours.owner[places] * (budget + 1)
    starts = places[np.searchsorted(passed, passed - budget, side="left")]
    spans = np.zeros(len(ours.lengths), dtype=np.int64)
    np.maximum.at(spans, ours.owner[places], places - starts + 1)
    return spans


def collection_contamination(
    test: Collection,
    train: Collection,
    *,
    query_n: int = 4,
    doc_n: int = 8,
    mincount: int = 1,
    skip_budget: int = 0,
    tokenizer: Tokenizer = words,
) -> pd.DataFrame:
    """`contamination_scores` of an evaluation collection: its queries, passages and pairs.

    Queries and passages are looked for in every training text, query or passage: a query that
    stands inside a training passage is as contaminated as one that was a training query. A pair is
    the query and its positive in one text, looked for in the training pairs made the same way.

    Args:
        test: what is evaluated on.
        train: what is trained on.
        query_n: tokens per n-gram of a query, which is short: 3 to 5.
        doc_n: tokens per n-gram of a passage and of a pair.
        mincount: see `contamination_scores`.
        skip_budget: see `contamination_scores`.
        tokenizer: see `contamination_scores`.

    Returns:
        One row per query, passage and positive pair of `test`: `unit` ("query", "doc", "pair"),
        `query_id`, `doc_id` (None where it has none), and the columns of `contamination_scores`.

    Raises:
        BadArgument: an option out of range, a test side without any text.

    Example:
        >>> from workbench.data import from_rows
        >>> train = from_rows([{"query": "how to add two numbers", "positive": "a + b"}])
        >>> test = from_rows([{"query": "add two numbers fast", "positive": "sum of a and b"}])
        >>> frame = collection_contamination(test, train, query_n=3, doc_n=3)
        >>> frame[["unit", "longest_shared"]].to_dict("list")
        {'unit': ['query', 'doc', 'pair'], 'longest_shared': [0.75, 0.0, 0.3333333333333333]}

    Source: Singh et al., 2024.

    Breaks when: texts are shorter than n tokens; they are counted as `too_short`.
    """
    import pandas as pd

    for name, length in (("query_n", query_n), ("doc_n", doc_n)):
        check_count(name, length, mend="Try 4 for queries, 8 for passages.")
    if not len(test.queries) and not len(test.corpus):
        raise BadArgument("test", test.name, "it must hold a text", "Pass the evaluation side.")

    def everything() -> Iterable[str]:
        yield from train.query_texts
        yield from train.doc_texts

    none = [None] * max(len(test.queries), len(test.corpus))
    rows, columns = test.pairs.T
    units: list[tuple[str, int, list[str], Callable[[], Iterable[str]], object, object]] = [
        ("query", query_n, test.query_texts, everything, test.query_ids, none[: len(test.queries)]),
        ("doc", doc_n, test.doc_texts, everything, none[: len(test.corpus)], test.doc_ids),
        (
            "pair",
            doc_n,
            _pairs(test),
            lambda: _pairs(train),
            test.query_ids[rows],
            test.doc_ids[columns],
        ),
    ]
    parts = []
    for unit, n, texts, against, queries, docs in units:
        if not texts:
            continue
        scores = contamination_scores(
            texts,
            against(),
            n=n,
            mincount=mincount,
            skip_budget=skip_budget,
            tokenizer=tokenizer,
        )
        names = pd.DataFrame({"unit": unit, "query_id": queries, "doc_id": docs}, dtype=object)
        parts.append(pd.concat([names, scores], axis=1))
    return pd.concat(parts, ignore_index=True)


def _pairs(collection: Collection) -> list[str]:
    queries, docs = collection.query_texts, collection.doc_texts
    return [f"{queries[query]}\n{docs[doc]}" for query, doc in collection.pairs.tolist()]
