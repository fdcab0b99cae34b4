"""Closing the loop: what was judged goes back into labels, mined lists and losses.

A judged positive becomes a label (`relabelled`) or is dropped; a judged negative becomes a trusted
hard negative, at the head of its query's list (`trusted`). In miner and loss alike `rules.Judged`
does both halves from the same verdicts: it drops the one and vouches for the other against every
guessing rule.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from workbench.audit.margin import JudgedSample, compare_rules
from workbench.errors import BadArgument, check_choice, check_count, check_number
from workbench.mine.facts import said_of
from workbench.types import Candidates, Collection, Verdicts, check_verdicts

if TYPE_CHECKING:
    import pandas as pd


def relabelled(
    collection: Collection,
    verdicts: Verdicts,
    *,
    positives: str = "add",
    negatives: str = "add",
    grade: float = 1.0,
) -> Collection:
    """The collection with judgments among its labels.

    A query with judged positives has several positives from then on: its pairs are rows of
    training, and whatever reads labels (miner, sampler, `Knowledge`) knows them. A judged negative
    is stored with grade 0, as annotators' negatives are.

    Args:
        collection: any.
        verdicts: the newest of a pair counts; "unsure" and "skip" change nothing. Pairs of other
            collections are left out and counted in the recipe.
        positives: "add", or "leave" (the candidate is then only dropped, by `rules.Judged`).
        negatives: "add" or "leave". A judged negative takes a label of the collection away.
        grade: of added positives, > 0; 1 is usual.

    Returns:
        The same texts and groups with other labels; `recipe["judged"]` counts.

    Raises:
        BadArgument: an unknown choice, grade <= 0.

    Example:
        >>> from workbench.data import from_rows
        >>> rows = [{"query": "a", "positive": "x"}, {"query": "b", "positive": "y"}]
        >>> demo = from_rows(rows, name="demo")
        >>> said = Verdicts.of([(demo.query_ids[0], demo.doc_ids[1], "positive")], judge="me")
        >>> relabelled(demo, said).qrels.toarray().tolist()
        [[1.0, 1.0], [0.0, 1.0]]

    Breaks when: judgments err: a wrong positive trains as one.
    """
    from scipy.sparse import csr_array

    check_verdicts("verdicts", verdicts)
    check_choice("positives", positives, ("add", "leave"))
    check_choice("negatives", negatives, ("add", "leave"))
    check_number("grade", grade, above=0, mend="Try 1.")
    queries, docs = (
        {name: place for place, name in enumerate(ids.tolist())}
        for ids in (collection.query_ids, collection.doc_ids)
    )
    matrix = collection.qrels.tocoo()
    cells: dict[tuple[int, int], float] = {
        (int(row), int(column)): float(value)
        for row, column, value in zip(*matrix.coords, matrix.data, strict=True)
    }
    counts = {"added": 0, "taken_away": 0, "negative": 0, "elsewhere": 0}
    for (query, doc), label in verdicts.newest().items():
        if query not in queries or doc not in docs:
            counts["elsewhere"] += 1
            continue
        cell = queries[query], docs[doc]
        had = cells.get(cell, 0.0) > 0
        if label == "positive" and positives == "add" and not had:
            cells[cell] = float(grade)
            counts["added"] += 1
        elif label == "negative" and negatives == "add":
            counts["taken_away" if had else "negative"] += 1
            cells[cell] = 0.0
    places = np.array(list(cells), dtype=np.int64).reshape(-1, 2)
    values = np.fromiter(cells.values(), dtype=collection.qrels.dtype, count=len(cells))
    shape = collection.qrels.shape
    qrels = csr_array((values, (places[:, 0], places[:, 1])), shape=shape)
    qrels.sort_indices()
    return replace(collection, qrels=qrels, recipe={**collection.recipe, "judged": counts})


def trusted(candidates: Candidates, verdicts: Verdicts) -> Candidates:
    """The mined list with judged negatives at the head of each query's, judged positives dropped.

    What takes "the best k of a list" (`mine.choose`, `train.Hard`) then takes these first. Their
    weight is 1, whatever rules said before; that of judged positives is 0. The others keep their
    order.

    Args:
        candidates: mined, with rules applied or not, not yet chosen from.
        verdicts: the newest of a pair counts.

    Returns:
        The same candidates in another order; `recipe["judged"]` counts.

    Example:
        >>> from workbench.audit.toys import toy_audit, toy_verdicts
        >>> candidates, collection, guides, truth = toy_audit()
        >>> third = candidates.docs[0, 2]
        >>> pair = (candidates.query_ids[0], candidates.doc_ids[third])
        >>> said = Verdicts.of([(*pair, "negative")], judge="me")
        >>> bool(trusted(candidates, said).docs[0, 0] == third)
        True
    """
    said = said_of(verdicts, candidates)
    weight = np.where(said > 0, 0, np.where(said < 0, 1, candidates.weight)).astype(np.float32)
    order = np.argsort(said >= 0, axis=1, kind="stable")
    counts = {"negative": int((said < 0).sum()), "positive": int((said > 0).sum())}
    recipe = {
        key: value for key, value in candidates.recipe.items() if key not in ("choice", "hardness")
    }
    return replace(
        candidates,
        docs=np.take_along_axis(np.asarray(candidates.docs), order, axis=1),
        scores=np.take_along_axis(np.asarray(candidates.scores), order, axis=1),
        ranks=np.take_along_axis(np.asarray(candidates.ranks), order, axis=1),
        weight=np.take_along_axis(weight, order, axis=1),
        recipe={**recipe, "judged": counts},
    )


def before_after(
    before: Candidates,
    after: Candidates,
    sample: JudgedSample,
    *,
    num_negatives: int = 5,
) -> pd.DataFrame:
    """The scorecard of an audit: what one would have trained on, and what one trains on now.

    Args:
        before: a list with its weights before the audit.
        after: the same list, weighed by judgments and suspicion.
        sample: judged pairs of it.
        num_negatives: the kept candidates per query that training takes, best first.

    Returns:
        Rows "before" and "after"; columns `kept` candidates, `short` queries (fewer than
        num_negatives), `false` (estimated share of false negatives among what training takes) with
        `false_low` and `false_high`, `hardness` (mean of score less the labelled positive's, of
        what training takes), `found` (share of all false negatives that is dropped), `lost` (share
        of true negatives that is dropped).

    Raises:
        BadArgument: the lists are not of the same candidates in the same order.

    Example:
        >>> from workbench.audit.toys import toy_audit
        >>> from dataclasses import replace
        >>> candidates, collection, guides, truth = toy_audit()
        >>> after = replace(candidates, weight=candidates.weight * ~truth)
        >>> sample = JudgedSample.hidden(candidates, truth)
        >>> before_after(candidates, after, sample)["false"].round(2).tolist()
        [0.53, 0.0]

    Breaks when: `after` was weighed by the very verdicts of the sample, which it then cannot but
    agree with: weigh it by `Suspicion.table(decided=False)`, and without `rules.Judged`.
    """
    import pandas as pd

    check_count("num_negatives", num_negatives, mend="Try 5.")
    if not np.array_equal(before.docs, after.docs):
        wanted = "it must hold the candidates of before, in their order"
        raise BadArgument("after", after, wanted, "Apply rules to the very list.")
    ruled = compare_rules(sample, {"before": before, "after": after})
    rows = []
    for name, one in (("before", before), ("after", after)):
        kept = (one.docs >= 0) & (one.weight > 0)
        taken = kept & (np.cumsum(kept, axis=1) <= num_negatives)
        # Precision of "dropping" what training takes is the share of false negatives in it.
        used = replace(one, weight=np.where(taken, 0, 1).astype(np.float32))
        share = compare_rules(sample, {name: used}).iloc[0]
        hardness = (one.scores - one.positive_scores[:, None])[taken]
        own = ruled[ruled["rule"] == name].iloc[0]
        rows.append(
            {
                "list": name,
                "kept": int(kept.sum()),
                "short": int((kept.sum(axis=1) < num_negatives).sum()),
                "false": share["precision"],
                "false_low": share["precision_low"],
                "false_high": share["precision_high"],
                "hardness": float(np.nanmean(hardness)) if np.isfinite(hardness).any() else np.nan,
                "found": own["recall"],
                "lost": own["lost"],
            }
        )
    return pd.DataFrame(rows)
