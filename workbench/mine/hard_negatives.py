"""Mining in one call: find, rescore, apply rules, choose, and give an honest account of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.data.known import KnownPositives
from workbench.mine.choose import Window, check_choice_of, choose
from workbench.mine.facts import check_facts, check_ids, check_known, check_vectors
from workbench.mine.filter import apply_rules
from workbench.mine.miner import Miner, check_miner
from workbench.mine.named import Scores, check_scores
from workbench.mine.rescore import PairScorer, check_scorer, rescore
from workbench.types import Candidates, Collection, Vectors, Verdicts

if TYPE_CHECKING:
    from workbench.rules import Rule


def hard_negatives(
    collection: Collection,
    miner: Miner | Candidates,
    *,
    vectors: tuple[Vectors, Vectors] | None = None,
    rules: Sequence[Rule] = (),
    guide: tuple[Vectors, Vectors] | None = None,
    known: KnownPositives | None = None,
    verdicts: Verdicts | None = None,
    scores: Scores | None = None,
    cross_encoder: PairScorer | None = None,
    num_negatives: int = 5,
    window: Window = (0, None),
    window_on: str = "kept",
    how: str = "top",
    bands: int | Sequence[float] = 4,
    seed: int = 0,
) -> Candidates:
    """Mine every query's negatives: find, rescore, apply rules, choose.

    Rules are those of the losses; `report` shows what each dropped and how many queries came out
    short, `hardness(..., before_choice=True)` how hard what was found, kept and chosen is. To try
    other margins without searching again, keep the list (`found = miner(collection, vectors)`) and
    ask `WhatIf`, or pass `found` here.

    Args:
        collection: queries, corpus and judgments.
        miner: `Dense(k=100)`, `BM25()`, `Hybrid(...)`, ..., or what one has found already. Its k
            bounds what rules and window can choose from: several times num_negatives.
        vectors: (query, document) vectors, for miners that need them.
        rules: whatever `workbench.rules` holds. Those that ask for `score` see the miner's, or the
            cross-encoder's once it has rescored.
        guide: (query, document) vectors of a frozen model, for rules that ask for it.
        known: the known-positive graph that the miner leaves out and rules see; None = that of the
            collection. Where the miner is a list already, it acts as the rule `KnownPositive()`.
        verdicts: what people said.
        scores: name -> further scores of pairs, see `apply_rules`.
        cross_encoder: given one, *every* candidate and labelled positive is rescored, whatever the
            rules; the list is then in its order.
        num_negatives: per query, usually 1 to 10.
        window: see `choose`, as for the rest.
        window_on: "kept" or "found".
        how: "top", "random" or "banded".
        bands: of "banded".
        seed: of "random" and "banded".

    Returns:
        (query, num_negatives) candidates; the recipe holds the account of every step.

    Raises:
        BadArgument: a miner without its vectors, a rule without its facts, an impossible choice;
            all said before the search.
        BadData: vectors or candidates of other texts.

    Example:
        >>> from workbench.data import from_rows
        >>> from workbench.mine import BM25
        >>> from workbench.rules import ShareOfPositive
        >>> rows = [{"query": f"word {n}", "positive": f"word {n} said"} for n in range(4)]
        >>> demo = from_rows(rows, name="demo")
        >>> hard_negatives(demo, BM25(), rules=[ShareOfPositive()], num_negatives=2)
        Candidates(4 queries, 8 found, 8 kept, bm25)

    Breaks when: most relevant documents are unlabelled and no rule knows: what is hardest is then
    most often an answer.
    """
    from workbench.rules import KnownPositive

    check_choice_of(
        num_negatives, window=window, window_on=window_on, how=how, bands=bands, seed=seed
    )
    check_facts(
        rules, collection=collection, guide=guide, known=known, verdicts=verdicts, scores=scores
    )
    if guide is not None:
        check_vectors("guide", guide, collection.query_ids, collection.doc_ids)
    if cross_encoder is not None:
        check_scorer("cross_encoder", cross_encoder)
    wanted = (len(collection.query_ids), len(collection.doc_ids))
    check_known(known, wanted)
    check_scores(scores, wanted)
    if isinstance(miner, Candidates):
        found = miner
        if known is not None and not any(isinstance(rule, KnownPositive) for rule in rules):
            rules = [*rules, KnownPositive()]
    else:
        check_miner("miner", miner)
        found = miner(collection, vectors, known=known)
    mend = "Mine this very collection again."
    check_ids("candidates' queries", collection.query_ids, found.query_ids, mend)
    check_ids("candidates' documents", collection.doc_ids, found.doc_ids, mend)
    if cross_encoder is not None:
        found = rescore(found, collection, cross_encoder)
    ruled = apply_rules(
        found,
        rules,
        collection=collection,
        guide=guide,
        known=known,
        verdicts=verdicts,
        scores=scores,
    )
    return choose(
        ruled, num_negatives, window=window, window_on=window_on, how=how, bands=bands, seed=seed
    )
