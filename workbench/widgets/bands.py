"""How hard mined candidates are, in tables: bands, who drops what, densities, checkpoints.

    share_ij = 1 - (s_ip - s_ij) / |s_ip|       1 = scores as high as the labelled positive

Nothing here needs a widget; `hardness_explorer` only draws it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, check_count, check_number
from workbench.mine import WhatIf, compare_rounds, share_of_positive_score
from workbench.types import Candidates, Collection, Ints

if TYPE_CHECKING:
    import pandas as pd

    from workbench.rules import Rule

Codes = NDArray[np.int8]
Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]
EDGES = (0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
KEPT, EARLIER, UNKNOWN = "kept", "dropped earlier", "no share"
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


def band_names(edges: Sequence[float] = EDGES) -> list[str]:
    """What bands are called, easiest first; last those without a share.

    Args:
        edges: rising shares of the positive's score, at least one.

    Raises:
        BadArgument: edges that do not rise or are not finite, or more than 100.

    Example:
        >>> band_names((0.5, 1.0))
        ['below 0.5', '0.5 to 1', '1 and above', 'no share']
    """
    mend = "Try (0.5, 0.7, 0.8, 0.9, 0.95, 1.0)."
    for edge in edges:
        check_number("edges", edge, mend=mend)
    if not 1 <= len(edges) <= 100 or any(np.diff(edges) <= 0):
        raise BadArgument("edges", tuple(edges), "it must be 1 to 100 rising numbers", mend)
    between = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    return [f"below {edges[0]:g}", *between, f"{edges[-1]:g} and above", UNKNOWN]


def band_of(candidates: Candidates, *, edges: Sequence[float] = EDGES) -> Codes:
    """(query, rank) which band a candidate is in; -1 where there is none.

    Args:
        candidates: mined.
        edges: see `band_names`; a share on an edge is in the band above it.
    """
    names = band_names(edges)
    share = share_of_positive_score(candidates)
    found = np.searchsorted(np.asarray(edges), share, side="right").astype(np.int8)
    found[np.isnan(share)] = len(names) - 1
    found[candidates.docs < 0] = -1
    return found


def reasons(
    candidates: Candidates,
    rules: Sequence[Rule] = (),
    *,
    what_if: WhatIf | None = None,
    collection: Collection | None = None,
) -> tuple[tuple[str, ...], Codes]:
    """Who drops each candidate: the first rule, in their order, whose weight is 0.

    Args:
        candidates: mined; weights of 0 that they have already are "dropped earlier".
        rules: tried on them.
        what_if: facts of these very candidates, made before; None = made here.
        collection: for rules that ask about labelled positives; only without `what_if`.

    Returns:
        Names ("kept", "dropped earlier", each rule's repr), and (query, rank) which; -1 where
        there is no candidate. What a rule vouches for is kept.

    Raises:
        BadArgument: a rule lacks a fact, `what_if` is of other candidates, a rule stands twice, or
            there are over 100.
    """
    if what_if is not None and what_if.candidates is not candidates:
        mend = "Write WhatIf(candidates, ...) of the same ones."
        raise BadArgument("what_if", what_if, "it must be of these candidates", mend)
    if len(rules) > 100:
        raise BadArgument("rules", len(rules), "at most 100 are told apart", "Take fewer.")
    names = (KEPT, EARLIER, *(repr(rule) for rule in rules))
    if len(set(names)) < len(names):
        wanted = "each must be another, or their parts cannot be told apart"
        raise BadArgument("rules", list(rules), wanted, "Name each once.")
    there, earlier = candidates.docs >= 0, candidates.weight <= 0
    code = np.where(there, 0, -1).astype(np.int8)
    if not len(rules):
        code[there & earlier] = 1
        return names, code
    tried = what_if or WhatIf(candidates, collection=collection)
    lost = there & (tried(rules).weight <= 0)
    code[lost & earlier] = 1
    for number, rule in enumerate(rules):
        alone = tried([rule]).weight <= 0 if len(rules) > 1 else lost
        code[lost & (code == 0) & alone] = 2 + number
    return names, code


def stacks(
    candidates: Candidates,
    made: tuple[tuple[str, ...], Codes],
    *,
    edges: Sequence[float] = EDGES,
) -> pd.DataFrame:
    """Per band (rows, easiest first) how many are kept and how many each rule drops (columns).

    Args:
        candidates: mined.
        made: what `reasons` says of them.
        edges: see `band_names`.

    Example:
        >>> from workbench.mine import bm25
        >>> from workbench.data import from_rows
        >>> rows = [{"query": f"word {n}", "positive": f"word {n} said"} for n in range(3)]
        >>> found = bm25(from_rows(rows, name="demo"))
        >>> int(stacks(found, reasons(found))["kept"].sum())
        6
    """
    import pandas as pd

    names, code = made
    band, wide = band_of(candidates, edges=edges), len(names)
    there = band >= 0
    flat = band[there].astype(np.int64) * wide + code[there]
    counts = np.bincount(flat, minlength=len(band_names(edges)) * wide).reshape(-1, wide)
    index = pd.Index(band_names(edges), name="band")
    return pd.DataFrame(counts, index=index, columns=list(names))


def bands(
    candidates: Candidates,
    *,
    edges: Sequence[float] = EDGES,
    kept: Bools | None = None,
    said: Codes | None = None,
) -> pd.DataFrame:
    """One row per hardness band, easiest first.

    Args:
        candidates: mined.
        edges: see `band_names`.
        kept: (query, rank) what rules leave; None = weight > 0.
        said: (query, rank) +1 a false negative, -1 a true one, 0 nobody said; None = nobody.

    Returns:
        `low` and `high` share, `found`, `kept`, `queries` with a candidate there, `share` of all
        found; with `said` also how many were `judged`, how many of these are `false_negatives`,
        and `false_share` among the judged (NaN without any).
    """
    import pandas as pd

    names, band = band_names(edges), band_of(candidates, edges=edges)
    there = band >= 0
    left = there & (candidates.weight > 0 if kept is None else kept)

    def count(some: Bools) -> Ints:
        return np.bincount(band[some], minlength=len(names)).astype(np.int64)

    found = count(there)
    rows, ranks = np.nonzero(there)
    pairs = np.unique(rows * len(names) + band[rows, ranks])
    frame = pd.DataFrame(
        {
            "low": [-np.inf, *edges, np.nan],
            "high": [*edges, np.inf, np.nan],
            "found": found,
            "kept": count(left),
            "queries": np.bincount(pairs % len(names), minlength=len(names)),
            "share": found / max(1, int(found.sum())),
        },
        index=pd.Index(names, name="band"),
    )
    if said is not None:
        frame["judged"] = count(there & (said != 0))
        frame["false_negatives"] = count(there & (said > 0))
        frame["false_share"] = frame["false_negatives"] / frame["judged"].where(frame["judged"] > 0)
    return frame


@dataclass(frozen=True, eq=False, kw_only=True)
class Density:
    """How many candidates have which pair of scores.

    Args:
        x: edges of the labelled positive's score.
        y: edges of the candidate's score.
        counts: (x, y) candidates.
        without: candidates without one of both numbers.
    """

    x: Doubles
    y: Doubles
    counts: Ints
    without: int

    def inside(self, candidates: Candidates, at: tuple[int, int]) -> Bools:
        """(query, rank) the candidates of one cell of the grid.

        Raises:
            BadArgument: there is no such cell.
        """
        column, row = at
        for name, place, edges in (("x", column, self.x), ("y", row, self.y)):
            if not 0 <= place < len(edges) - 1:
                wanted = f"the grid has {len(edges) - 1}, counted from 0"
                raise BadArgument(name, place, wanted, "Take a smaller one.")
        known, first, second = _pairs(candidates)
        result = np.zeros(candidates.docs.shape, dtype=np.bool_)
        result[known] = (_bins(first, self.x) == column) & (_bins(second, self.y) == row)
        return result


def density(candidates: Candidates, *, bins: int = 40, some: Bools | None = None) -> Density:
    """The candidate's score against the labelled positive's, over all queries.

    Args:
        candidates: mined.
        bins: cells a side, usually 20 to 80.
        some: (query, rank) those counted; None = all there are.

    Raises:
        BadArgument: bins not in 1 to 400, or a mask of another shape.

    Example:
        >>> from workbench.mine import bm25
        >>> from workbench.data import from_rows
        >>> rows = [{"query": f"word {n}", "positive": f"word {n} said"} for n in range(3)]
        >>> int(density(bm25(from_rows(rows, name="demo")), bins=10).counts.sum())
        6

    Breaks when: scores have no common scale, as BM25's of long and short queries.
    """
    check_count("bins", bins, mend="Try 40.")
    if bins > 400:
        raise BadArgument("bins", bins, "at most 400 are drawn", "Try 40.")
    known, first, second = _pairs(candidates)
    x, y = (_edges(values, bins) for values in (first, second))
    chosen = candidates.docs >= 0
    if some is not None:
        if some.shape != known.shape:
            raise BadArgument("some", some.shape, f"it must be {known.shape}", "Align it.")
        first, second, chosen = first[some[known]], second[some[known]], chosen & some
    without = int((chosen & ~known).sum())
    flat = _bins(first, x) * bins + _bins(second, y)
    counts = np.bincount(flat, minlength=bins * bins).reshape(bins, bins)
    return Density(x=x, y=y, counts=counts.astype(np.int64), without=without)


def _pairs(candidates: Candidates) -> tuple[Bools, Doubles, Doubles]:
    """Which candidates have both scores, and those scores: the positive's, their own."""
    positive = np.broadcast_to(candidates.positive_scores[:, None], candidates.docs.shape)
    known = (candidates.docs >= 0) & np.isfinite(candidates.scores) & np.isfinite(positive)
    return known, positive[known].astype(np.float64), candidates.scores[known].astype(np.float64)


def _edges(values: Doubles, bins: int) -> Doubles:
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, bins + 1)


def _bins(values: Doubles, edges: Doubles) -> Ints:
    """Which bin; the last includes its upper edge, as numpy's histograms have it."""
    count = len(edges) - 1
    found: Ints = (np.searchsorted(edges, values, side="right") - 1).clip(0, count - 1)
    return found


def above_margins(candidates: Candidates, margins: Sequence[float]) -> pd.DataFrame:
    """How many candidates score above each margin line: s_ij > s_ip - margin.

    Args:
        candidates: mined.
        margins: in units of the score, usually 0 to 0.2.

    Returns:
        `margin`, `above` (candidates), `share` of those with both scores, `queries` with one.

    Raises:
        BadArgument: a margin that is not a finite number.
    """
    import pandas as pd

    for one in margins:
        check_number("margins", one, mend="Try (0.0, 0.05, 0.1).")
    known, _, _ = _pairs(candidates)
    total, rows = max(1, int(known.sum())), []
    for one in margins:
        # As rules.Margin compares: the limit is rounded to float32 once.
        limit = (candidates.positive_scores - np.float32(one))[:, None]
        above = known & (candidates.scores > limit)
        count = int(above.sum())
        queries = int(above.any(axis=1).sum())
        rows.append({"margin": one, "above": count, "share": count / total, "queries": queries})
    return pd.DataFrame(rows, columns=["margin", "above", "share", "queries"])


def movement(
    rounds: Mapping[str, Candidates], *, quantiles: Sequence[float] = QUANTILES
) -> pd.DataFrame:
    """How hardness moves over checkpoints, or rounds of mining, of one collection.

    Args:
        rounds: name -> candidates, in order; those of weight > 0 count.
        quantiles: of the share of the positive's score, in [0, 1].

    Returns:
        One row per checkpoint: `kept`, `mean` share, one column per quantile ("q50"), `above` (the
        share of candidates that score as high as the positive or higher); against the checkpoint
        before it `overlap` and `staleness` (see `mine.compare_rounds`), NaN for the first.

    Raises:
        BadArgument: no checkpoint, or a quantile outside [0, 1].
        BadData: checkpoints of different queries or documents.
    """
    import pandas as pd

    if not rounds:
        raise BadArgument("rounds", rounds, "it must hold a checkpoint", "Pass name -> Candidates.")
    for one in quantiles:
        check_number("quantiles", one, at_least=0, at_most=1, mend="Try (0.1, 0.5, 0.9).")
    rows: list[dict[str, Any]] = []
    before: Candidates | None = None
    for name, candidates in rounds.items():
        share = share_of_positive_score(candidates)
        known = share[np.isfinite(share) & (candidates.weight > 0)].astype(np.float64)
        nan = float("nan")
        at = np.quantile(known, quantiles) if len(known) else np.full(len(quantiles), nan)
        row = {
            "checkpoint": name,
            "kept": int(((candidates.docs >= 0) & (candidates.weight > 0)).sum()),
            "mean": float(known.mean()) if len(known) else nan,
            **{f"q{100 * q:g}": float(v) for q, v in zip(quantiles, at, strict=True)},
            "above": float((known >= 1).mean()) if len(known) else nan,
            "overlap": nan,
            "staleness": nan,
        }
        if before is not None:
            changed = compare_rounds(before, candidates)
            row |= {"overlap": changed.overlap, "staleness": changed.staleness}
        rows.append(row)
        before = candidates
    return pd.DataFrame(rows).set_index("checkpoint")


def hardest_first(candidates: Candidates, some: Bools) -> Ints:
    """(row, 2) query position and rank column of chosen candidates, highest share first.

    What has no share comes last; equal shares in the order of the list.

    Raises:
        BadArgument: a mask of another shape.
    """
    if some.shape != candidates.docs.shape:
        wanted = f"it must be {candidates.docs.shape}"
        raise BadArgument("some", some.shape, wanted, "Align it with candidates.docs.")
    rows = np.argwhere(some & (candidates.docs >= 0)).astype(np.int64)
    share = share_of_positive_score(candidates)[rows[:, 0], rows[:, 1]]
    order = np.argsort(np.where(np.isnan(share), np.inf, -share), kind="stable")
    return rows[order]
