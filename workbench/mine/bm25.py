"""BM25: documents that share rare words with the query, by the `bm25s` library."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, check_choice, check_count, check_number
from workbench.mine.ranking import (
    EXCLUDE,
    Excluded,
    as_candidates,
    best,
    excluded,
    first,
    padded,
    weakest,
)
from workbench.registry import register
from workbench.types import Candidates, Collection, Floats, Ints, Vectors

if TYPE_CHECKING:
    from scipy.sparse import csr_array

WORD = re.compile(r"\w+")
PART = re.compile(r"[^\W\d_]+|\d+")
HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
CELLS = 4_000_000
"""(query, document) scores held at once: 16 MB."""
PAIRS = 65_536
"""(query, document) pairs scored at once."""


def words(text: str, *, split_identifiers: bool = True) -> list[str]:
    """The lower-cased words of a text, identifiers taken apart.

    Args:
        text: prose or code.
        split_identifiers: snake_case, camelCase and word2 give their parts, not one rare word.

    Example:
        >>> words("readJSONFile(file_name2)")
        ['read', 'json', 'file', 'file', 'name', '2']
        >>> words("readJSONFile(file_name2)", split_identifiers=False)
        ['readjsonfile', 'file_name2']

    Breaks when: the script writes no spaces between words (Chinese, Japanese, Thai).
    """
    if split_identifiers:
        return PART.findall(HUMP.sub(" ", text).lower())
    return WORD.findall(text.lower())


class _Index:
    """The library's index over document texts; scores one query against all of them."""

    def __init__(self, texts: list[str], k1: float, b: float, *, split_identifiers: bool) -> None:
        import bm25s

        self._size, self._split = len(texts), split_identifiers
        tokens = [words(text, split_identifiers=split_identifiers) for text in texts]
        if not any(tokens):
            raise BadArgument(
                "doc_texts", texts, "there must be a word in them", "Give the documents' texts."
            )
        self._index = bm25s.BM25(k1=k1, b=b, method="lucene")
        self._index.index(tokens, show_progress=False)

    def scores(self, query: str) -> Floats:
        """(doc,) scores of one query; 0 where no word is shared."""
        tokens = words(query, split_identifiers=self._split)
        known = [token for token in tokens if token in self._index.vocab_dict]
        if not known:
            return np.zeros(self._size, dtype=np.float32)
        return np.asarray(self._index.get_scores(known), dtype=np.float32)

    def tables(self, queries: list[str]) -> tuple[csr_array, csr_array]:
        """(query, word) how often a query says a word; (doc, word) what the word is worth there."""
        from scipy import sparse

        vocabulary, parts = self._index.vocab_dict, self._index.scores
        shape = (self._size, len(parts["indptr"]) - 1)
        worth = sparse.csc_array((parts["data"], parts["indices"], parts["indptr"]), shape=shape)
        owners: list[int] = []
        said: list[int] = []
        for place, text in enumerate(queries):
            known = [vocabulary[word] for word in words(text, split_identifiers=self._split)
                     if word in vocabulary]  # fmt: skip
            owners += [place] * len(known)
            said += known
        ones = np.ones(len(said), dtype=np.float32)
        counts = sparse.coo_array((ones, (owners, said)), shape=(len(queries), shape[1]))
        return counts.tocsr(), worth.tocsr()


def _check_options(k: int, k1: float, b: float) -> None:
    check_count("k", k, mend="Try 30.")
    check_number("k1", k1, at_least=0, mend="Try 1.5.")
    check_number("b", b, at_least=0, at_most=1, mend="Try 0.75.")


def _search(
    index: _Index, queries: list[str], k: int, left_out: Excluded, pairs: Ints, wide: int
) -> tuple[tuple[Floats, Ints], Floats]:
    """(scores, positions) of the best k, and the score of every (query, document) of `pairs`."""
    import torch
    from tqdm.auto import tqdm

    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    places = np.full((len(queries), k), -1, dtype=np.int64)
    of_pairs = np.zeros(len(pairs), dtype=np.float32)
    step = max(1, CELLS // wide)
    progress = tqdm(total=len(queries), desc="BM25", unit="query", disable=None, delay=2)
    for start in range(0, len(queries), step):
        rows = slice(start, min(start + step, len(queries)))
        block = np.stack([index.scores(text) for text in queries[rows]])
        here = slice(*np.searchsorted(pairs[:, 0], [rows.start, rows.stop]).tolist())
        of_pairs[here] = block[pairs[here, 0] - start, pairs[here, 1]]
        block[block <= 0] = -np.inf
        if (cells := left_out.block(rows, slice(0, wide))) is not None:
            block[cells] = -np.inf
        scores[rows], places[rows] = padded(*first(*best(torch.from_numpy(block), k), k), k)
        progress.update(len(block))
    progress.close()
    return (scores, places), of_pairs


def bm25_top_k(
    query_texts: list[str],
    doc_texts: list[str],
    *,
    k: int,
    exclude: csr_array | None = None,
    split_identifiers: bool = True,
    k1: float = 1.5,
    b: float = 0.75,
) -> tuple[Floats, Ints]:
    """The k documents of largest BM25 score for each query.

        score(q, d) = sum over words t of q: idf(t) f(t, d) / (f(t, d) + k1 (1 - b + b |d| / mean))
        idf(t) = ln(1 + (N - n_t + 0.5) / (n_t + 0.5))

    Args:
        query_texts: one per query.
        doc_texts: one per document.
        k: how many.
        exclude: sparse (query, doc); nonzero cells are never found.
        split_identifiers: take snake_case and camelCase apart; it matters on code.
        k1: saturation of repeated words, 0.9 to 2; Lucene takes 1.2.
        b: how much long documents are marked down, 0 to 1; usually 0.75.

    Returns:
        scores (query, k), falling; positions (query, k), equal scores in rising position. What
        shares no word with the query is not found: the row ends in -inf and -1.

    Raises:
        BadArgument: an option is out of range, or no document holds a word.

    Example:
        >>> bm25_top_k(["open file"], ["close it", "openFile(path)"], k=2)[1].tolist()
        [[1, -1]]

    Source: Robertson et al., Okapi at TREC-3, 1994; Lucene's form after Kamphuis et al. 2020.

    Breaks when: query and answer use different words for one thing.
    """
    _check_options(k, k1, b)
    left_out = Excluded(exclude, (len(query_texts), len(doc_texts)))
    index = _Index(doc_texts, k1, b, split_identifiers=split_identifiers)
    none = np.empty((0, 2), dtype=np.int64)
    return _search(index, query_texts, k, left_out, none, len(doc_texts))[0]


def bm25(
    collection: Collection,
    *,
    k: int = 30,
    split_identifiers: bool = True,
    k1: float = 1.5,
    b: float = 0.75,
    exclude: str = "known",
    known: KnownPositives | None = None,
) -> Candidates:
    """Mine the documents that share most rare words with each query, known positives left out.

    Args:
        collection: queries, corpus and judgments.
        k: candidates per query.
        split_identifiers: see `bm25_top_k`, as for the next two.
        k1: saturation of repeated words.
        b: how much long documents are marked down.
        exclude: "known", "labelled" or "nothing", see `dense`.
        known: the known-positive graph; None = that of the collection.

    Returns:
        Candidates; a query that shares words with fewer than k documents comes out short.
        `positive_scores` are those of each query's weakest labelled positive, NaN without one.

    Raises:
        BadArgument: an option is out of range.

    Example:
        >>> from workbench.data import from_rows
        >>> rows = [{"query": "open file", "positive": "open(path)"},
        ...         {"query": "close file", "positive": "fileClose(path)"}]
        >>> bm25(from_rows(rows, name="demo"), k=1).docs.tolist()
        [[1], [-1]]

    Breaks when: see `bm25_top_k`.
    """
    _check_options(k, k1, b)
    left_out = Excluded(excluded(collection, exclude, known), collection.qrels.shape)
    index = _Index(collection.doc_texts, k1, b, split_identifiers=split_identifiers)
    pairs, wide = collection.pairs, len(collection.doc_ids)
    found, of_pairs = _search(index, collection.query_texts, k, left_out, pairs, wide)
    return as_candidates(
        collection,
        found,
        weakest(pairs[:, 0], of_pairs, len(collection.query_ids)),
        miner="bm25",
        recipe={"split_identifiers": split_identifiers, "k1": k1, "b": b, "exclude": exclude},
    )


def bm25_pairs(
    query_texts: list[str],
    doc_texts: list[str],
    *,
    split_identifiers: bool = True,
    k1: float = 1.5,
    b: float = 0.75,
) -> Callable[[Ints, Ints], Floats]:
    """The BM25 score of any (query, document) pair, without a search.

    Args:
        query_texts: one per query.
        doc_texts: one per document.
        split_identifiers: see `bm25_top_k`, as for the next two.
        k1: saturation of repeated words.
        b: how much long documents are marked down.

    Returns:
        A function of positions (pair,) and (pair,) that gives (pair,) scores.

    Raises:
        BadArgument: an option is out of range, or no document holds a word.

    Example:
        >>> score = bm25_pairs(["open file"], ["close it", "openFile(path)"])
        >>> [round(float(one), 2) for one in score(np.array([0, 0]), np.array([0, 1]))]
        [0.0, 0.51]

    Breaks when: see `bm25_top_k`.
    """
    _check_options(1, k1, b)
    index = _Index(doc_texts, k1, b, split_identifiers=split_identifiers)
    counts, worth = index.tables(query_texts)

    def score(queries: Ints, docs: Ints) -> Floats:
        found = np.zeros(len(queries), dtype=np.float32)
        for start in range(0, len(queries), PAIRS):
            some = slice(start, start + PAIRS)
            found[some] = counts[queries[some]].multiply(worth[docs[some]]).sum(axis=1)
        return found

    return score


@register("miner", "bm25")
@dataclass(frozen=True, kw_only=True)
class BM25:
    """Documents that share rare words with the query.

    Args:
        k: see `bm25`, as for all.
        split_identifiers: take snake_case and camelCase apart.
        k1: saturation of repeated words.
        b: how much long documents are marked down.
        exclude: "known", "labelled" or "nothing".
    """

    k: int = 30
    split_identifiers: bool = True
    k1: float = 1.5
    b: float = 0.75
    exclude: str = "known"

    def __post_init__(self) -> None:
        _check_options(self.k, self.k1, self.b)
        check_choice("exclude", self.exclude, EXCLUDE)

    def __call__(
        self,
        collection: Collection,
        vectors: tuple[Vectors, Vectors] | None = None,
        *,
        known: KnownPositives | None = None,
    ) -> Candidates:
        """Mine a collection, by its texts; vectors are not looked at. Rules follow."""
        return bm25(
            collection,
            k=self.k,
            split_identifiers=self.split_identifiers,
            k1=self.k1,
            b=self.b,
            exclude=self.exclude,
            known=known,
        )
