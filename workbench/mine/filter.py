"""Rules on mined lists: the weight of every candidate, and an account of who dropped what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.data.known import KnownPositives
from workbench.errors import BadArgument
from workbench.mine.facts import ListFacts, check_facts
from workbench.mine.named import Scores
from workbench.types import Candidates, Collection, Vectors, Verdicts

if TYPE_CHECKING:
    import pandas as pd

    from workbench.rules import Rule
    from workbench.scores import Cells


def apply_rules(
    candidates: Candidates,
    rules: Sequence[Rule],
    *,
    collection: Collection | None = None,
    guide: tuple[Vectors, Vectors] | None = None,
    known: KnownPositives | None = None,
    verdicts: Verdicts | None = None,
    scores: Scores | None = None,
) -> Candidates:
    """Multiply the weight of every candidate by what each rule says of it.

        weight_ij = weight_ij * product over rules r: r_ij      (1 where a rule vouches: Judged)

    Nothing is removed: a dropped candidate keeps its place with weight 0, so that it can be looked
    at. For a query with several labelled positives `positive_score`, `guide_positive` and
    `<name>_positive` are those of the *weakest* (as sentence-transformers' miner does), so that a
    margin rule drops most there; `neighbour` is the similarity to the *nearest*. All are NaN for a
    query without a positive, where the rules that ask for them keep everything.

    Args:
        candidates: what a miner found.
        rules: from `workbench.rules`.
        collection: where the labelled positives stand.
        guide: (query, document) vectors of a frozen model, any length.
        known: the known-positive graph; None = that of `collection`.
        verdicts: what people said.
        scores: name -> further scores of (query, document) positions, for rules that ask by that
            name: a sparse table, in which what is not stored is unknown, or a function
            (queries, docs) -> (len(queries), len(docs)), asked query by query. `<name>_positive`
            follows from it and the labelled positives of `collection`.

    Returns:
        The same candidates with new weights; `recipe["rules"]` says per rule how many found
        candidates it drops, and how many nobody else drops. An earlier choice's account goes.

    Raises:
        BadArgument: a rule lacks a fact, or scores do not fit; said before any work.
        BadData: ids of candidates, collection and guide differ.

    Example:
        >>> from workbench.mine import bm25
        >>> from workbench.data import from_rows
        >>> from workbench.rules import RankWindow
        >>> rows = [{"query": f"word {n}", "positive": f"word {n} said"} for n in range(3)]
        >>> apply_rules(bm25(from_rows(rows, name="demo")), [RankWindow(first=2)]).weight[0, :2]
        array([0., 1.], dtype=float32)
    """
    check_facts(
        rules, collection=collection, guide=guide, known=known, verdicts=verdicts, scores=scores
    )
    facts = ListFacts(
        candidates,
        collection=collection,
        guide=guide,
        known=known,
        verdicts=verdicts,
        scores=scores,
    )
    return weighed(candidates, rules, facts.chunks())


def weighed(
    candidates: Candidates, rules: Sequence[Rule], chunks: Iterable[tuple[slice, Cells]]
) -> Candidates:
    """`apply_rules` over facts that are there already.

    Args:
        candidates: what a miner found.
        rules: whose facts the cells hold.
        chunks: (rows of the list, their cells), over all rows.
    """
    from workbench.rules import vouched

    weight = np.array(candidates.weight, dtype=np.float32)
    there = candidates.docs >= 0
    alone = np.zeros((len(rules), 2), dtype=np.int64)
    for rows, cells in chunks:
        lost = np.zeros((len(rules), *cells.shape), dtype=np.bool_)
        for number, rule in enumerate(rules):
            factor = rule(cells).numpy().astype(np.float32)
            weight[rows] *= factor
            lost[number] = (factor <= 0) & there[rows]
        sure = vouched(rules, cells)
        if sure is not None:
            weight[rows] = np.where(sure.numpy() & there[rows], 1, weight[rows])
        alone[:, 0] += lost.sum(axis=(1, 2))
        single = lost.sum(axis=0) == 1
        if sure is not None:
            single &= ~sure.numpy()
        alone[:, 1] += (lost & single).sum(axis=(1, 2))
    weight[~there] = 0
    # What was chosen has other weights now, so the account of the choice holds no more.
    old = {
        key: value for key, value in candidates.recipe.items() if key not in ("choice", "hardness")
    }
    recipe = {**old, **_account(candidates, rules, alone, weight)}
    return replace(candidates, weight=weight, recipe=recipe)


def _account(
    candidates: Candidates, rules: Sequence[Rule], alone: NDArray[np.int64], weight: NDArray[Any]
) -> dict[str, Any]:
    found = int((candidates.docs >= 0).sum())
    kept = (weight > 0).sum(axis=1)
    rows = [
        {"rule": repr(rule), "dropped": int(dropped), "only_this": int(only), "found": found}
        for rule, (dropped, only) in zip(rules, alone, strict=True)
    ]
    depths = dict.fromkeys([1, 5, candidates.docs.shape[1]])
    return {
        "rules": [*candidates.recipe.get("rules", []), *rows],
        "found": found,
        "dropped": found - int(kept.sum()),
        "queries": len(kept),
        "queries_keeping_fewer_than": {str(k): int((kept < k).sum()) for k in depths},
    }


def report(candidates: Candidates) -> pd.DataFrame:
    """One row per rule that was applied, one for all together, and one for the choice.

    Columns: `dropped` by this rule taken alone, its `share` of what was found, and `only_this`,
    what no other rule of the same call drops. `short` counts queries: all together, those that keep
    nothing; by the choice, those that got fewer negatives than were asked for.

    Raises:
        BadArgument: neither rule nor choice has been made.
    """
    import pandas as pd

    recipe = candidates.recipe
    choice = recipe.get("choice")
    if "rules" not in recipe and choice is None:
        raise BadArgument(
            "candidates", candidates, "no rule has been applied", "Call apply_rules first."
        )
    rows = list(recipe.get("rules", []))
    if rows:
        empty = recipe["queries_keeping_fewer_than"]["1"]
        told = {"dropped": recipe["dropped"], "found": recipe["found"], "short": empty}
        rows.append({"rule": "all together", **told})
    if choice is not None:
        lost = choice["kept"] - choice["chosen"]
        name = f"choose({choice['asked']}, {choice['how']!r})"
        told = {"dropped": lost, "found": choice["kept"], "short": choice["short"]}
        rows.append({"rule": name, **told})
    frame = pd.DataFrame(rows, columns=["rule", "dropped", "found", "only_this", "short"])
    found = frame.pop("found")
    frame.insert(2, "share", frame["dropped"] / found.clip(lower=1))
    return frame.astype({"only_this": "Int64", "short": "Int64"})


def dropped_against(candidates: Candidates, truth: NDArray[np.bool_]) -> dict[str, float]:
    """How well what was dropped agrees with what is known to be a false negative.

    Args:
        candidates: with weights.
        truth: (query, rank), true where the candidate is in fact a positive.

    Returns:
        `dropped` (share of what was found), `precision` (share of the dropped that is in truth
        positive) and `recall` (share of the false negatives that was dropped); NaN where the
        divisor is 0.

    Raises:
        BadArgument: truth has another shape.
    """
    shape = np.shape(truth)
    if not isinstance(truth, np.ndarray) or shape != candidates.docs.shape:
        raise BadArgument("truth", shape, f"its shape must be {candidates.docs.shape}", "Align it.")
    there = candidates.docs >= 0
    dropped = there & (candidates.weight <= 0)
    hits = float((dropped & truth).sum())

    def share(part: float, whole: int) -> float:
        return part / whole if whole else float("nan")

    return {
        "dropped": share(float(dropped.sum()), int(there.sum())),
        "precision": share(hits, int(dropped.sum())),
        "recall": share(hits, int((truth & there).sum())),
    }
