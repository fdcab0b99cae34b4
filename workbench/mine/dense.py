"""Dense mining: each query's nearest documents by an encoder, its known positives left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from workbench.data.known import KnownPositives
from workbench.errors import check_choice, check_count
from workbench.mine.facts import check_facts, check_vectors
from workbench.mine.filter import apply_rules
from workbench.mine.index import Account, check_search, nearest
from workbench.mine.miner import given
from workbench.mine.ranking import EXCLUDE, as_candidates, excluded, positive_scores
from workbench.registry import register
from workbench.types import Candidates, Collection, Vectors, Verdicts

if TYPE_CHECKING:
    from workbench.rules import Rule


def dense(
    collection: Collection,
    query_vectors: Vectors,
    doc_vectors: Vectors,
    *,
    k: int = 30,
    rules: Sequence[Rule] = (),
    guide: tuple[Vectors, Vectors] | None = None,
    known: KnownPositives | None = None,
    verdicts: Verdicts | None = None,
    exclude: str = "known",
    index: str = "auto",
    recall: float = 0.98,
    seed: int = 0,
    devices: Sequence[str] | None = None,
    checkpoint: str | Path | None = None,
) -> Candidates:
    """Mine the k documents nearest to each query that are not known to answer it.

    What is excluded is masked inside the search, so k stays k however many positives a query has.
    Up to about ten seconds of work the search is exact; beyond, `index="auto"` may take one that
    is nearly so, and prints one line that says why and with what recall.

    Args:
        collection: queries, corpus and judgments.
        query_vectors: one per query; the score is their inner product with those of documents.
        doc_vectors: one per document.
        k: candidates per query, usually 10 to 100.
        rules: applied at once, see `apply_rules`.
        guide: (query, document) vectors of a frozen model, for rules that ask for it.
        known: the known-positive graph; None = that of the collection.
        verdicts: what people said.
        exclude: "known" leaves out labelled positives, those of queries that say the same, a
            document that is the query's own text, and near duplicates of all these; "labelled"
            only what is labelled, so that near duplicates show as false negatives; "nothing".
        index: see `nearest`, as for the next two; "flat" is exact at any size.
        recall: wanted share of the true k, where an index is used.
        seed: of the index.
        devices: see `top_k`, as for the next.
        checkpoint: folder in which finished blocks of queries are kept.

    Returns:
        Candidates; `positive_scores` are those of each query's weakest labelled positive, NaN where
        it has none. `recipe["index"]` is the account of the search: kind, reason, recall.

    Raises:
        BadArgument: an option, a width, or a rule that lacks a fact.
        BadData: vectors of other texts, or not finite.

    Example:
        >>> import numpy as np
        >>> from workbench.data import from_rows
        >>> demo = from_rows([{"query": c, "positive": c + c} for c in "abc"], name="demo")
        >>> eye = np.eye(3, dtype=np.float32)
        >>> queries = Vectors(values=eye, ids=demo.query_ids, encoder="e")
        >>> docs = Vectors(values=eye, ids=demo.doc_ids, encoder="e")
        >>> dense(demo, queries, docs, k=1).docs.tolist()
        [[1], [0], [0]]

    Breaks when: labels are incomplete: on real sets 5 to 69 % of what stands at rank 1 is a
    positive that nobody labelled.
    """
    check_count("k", k, mend="Try 30.")
    check_choice("exclude", exclude, EXCLUDE)
    check_search(index, recall, seed)
    vectors = (query_vectors, doc_vectors)
    check_vectors("mining", vectors, collection.query_ids, collection.doc_ids)
    check_facts(rules, collection=collection, guide=guide, known=known, verdicts=verdicts)
    if guide is not None:
        check_vectors("guide", guide, collection.query_ids, collection.doc_ids)
    scores, docs, account = nearest(
        query_vectors.values,
        doc_vectors.values,
        k=k,
        exclude=excluded(collection, exclude, known),
        index=index,
        recall=recall,
        seed=seed,
        devices=devices,
        checkpoint=checkpoint,
    )
    _say(account, k)
    found = as_candidates(
        collection,
        (scores, docs),
        positive_scores(collection, query_vectors.values, doc_vectors.values),
        miner="dense",
        recipe={
            "queries": query_vectors.fingerprint,
            "docs": doc_vectors.fingerprint,
            "exclude": exclude,
            "index": account,
        },
    )
    if not rules:
        return found
    return apply_rules(
        found, rules, collection=collection, guide=guide, known=known, verdicts=verdicts
    )


def _say(account: Account, k: int) -> None:
    """One line about an index that was used; an exact search has nothing to explain."""
    from tqdm.auto import tqdm

    if account["kind"] == "flat":
        return
    short = "" if account["reached"] else f", short of the {account['wanted']:.1%} wanted"
    measured = f"recall@{k} {account['recall']:.1%} on {account['sample']} queries{short}"
    tqdm.write(f"dense: {account['kind']}, {account['reason']}; {measured}")


@register("miner", "dense")
@dataclass(frozen=True, kw_only=True)
class Dense:
    """Nearest documents by an encoder's vectors, exactly or, where that would be long, nearly.

    Args:
        k: see `dense`, as for all.
        exclude: "known", "labelled" or "nothing".
        index: "auto", "flat", "ivf", "ivf_pq" or "hnsw".
        recall: wanted share of the true k.
        seed: of the index.
        devices: where to multiply.
        checkpoint: folder of this one search, in which finished blocks of queries are kept.
    """

    k: int = 30
    exclude: str = "known"
    index: str = "auto"
    recall: float = 0.98
    seed: int = 0
    devices: tuple[str, ...] | None = None
    checkpoint: str | Path | None = None
    needs_vectors: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("k", self.k, mend="Try 30.")
        check_choice("exclude", self.exclude, EXCLUDE)
        check_search(self.index, self.recall, self.seed)

    def __call__(
        self,
        collection: Collection,
        vectors: tuple[Vectors, Vectors] | None = None,
        *,
        known: KnownPositives | None = None,
    ) -> Candidates:
        """Mine a collection; rules follow with `apply_rules`."""
        return dense(
            collection,
            *given(vectors, "dense"),
            k=self.k,
            exclude=self.exclude,
            index=self.index,
            recall=self.recall,
            seed=self.seed,
            known=known,
            devices=self.devices,
            checkpoint=self.checkpoint,
        )
