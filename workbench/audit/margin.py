"""Which threshold of a rule is worth having, said with bounds, from a judged sample.

A rule drops a candidate when its number (a margin, a cosine, a probability) reaches a threshold t:

    precision(t) = share of positives among what it drops     (a false negative is a positive)
    recall(t)    = share of all positives that it drops
    lost(t)      = share of all true negatives that it drops

Each is a share of a drawn sample, so each has an interval; a choice is made on the bound, not on
the share, because the best-looking of many thresholds looks better than it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workbench.audit.draw import VALUE, Draw
from workbench.errors import BadArgument, check_number
from workbench.types import Candidates, Verdicts, check_verdicts

if TYPE_CHECKING:
    import pandas as pd

Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class JudgedSample:
    """Judged pairs of one list, each standing for as many as its stratum says.

    Args:
        rows: (pair,) query positions in the list.
        columns: (pair,) ranks in it.
        positive: (pair,) true where it was judged a false negative.
        weight: (pair,) candidates each stands for.

    Raises:
        BadArgument: no pair.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    positive: NDArray[np.bool_]
    weight: Doubles

    def __post_init__(self) -> None:
        if not len(self.rows):
            wanted = "at least one pair of the list must be judged positive or negative"
            raise BadArgument("verdicts", 0, wanted, "Judge some candidates first.")

    @classmethod
    def of(
        cls, candidates: Candidates, verdicts: Verdicts, draws: Sequence[Draw] | Draw | None = None
    ) -> JudgedSample:
        """The judged pairs of a list.

        Args:
            candidates: the list.
            verdicts: all there are.
            draws: how they were drawn; without them every judged pair counts 1, which is right
                only for pairs judged at random. What was judged before a draw stands for itself.
        """
        check_verdicts("verdicts", verdicts)
        newest = verdicts.newest()
        queries = {name: place for place, name in enumerate(candidates.query_ids.tolist())}
        weights: dict[tuple[str, str], float] = {}
        listed = [draws] if isinstance(draws, Draw) else list(draws or [])
        told = [[pair for pair in one.pairs() if newest.get(pair) in VALUE] for one in listed]
        whole = max(1, sum(map(len, told)))
        for one, said in zip(listed, told, strict=True):
            if not len(one.sizes):
                mend = 'Draw with how="balanced".'
                raise BadArgument("draws", "top", "it must have strata", mend)
            stratum = dict(zip(one.pairs(), one.strata.tolist(), strict=True))
            judged = np.bincount(
                np.array([stratum[pair] for pair in said], dtype=np.int64),
                minlength=len(one.sizes),
            )
            stands = _stands_for(one, judged)
            share = len(said) / whole  # several draws speak for one list together
            for pair in said:
                weights[pair] = weights.get(pair, 0.0) + share * float(stands[stratum[pair]])
            for pair in one.earlier():
                if newest.get(pair) in VALUE:
                    weights[pair] = weights.get(pair, 0.0) + share
        pairs = list(weights) if listed else [pair for pair in newest if newest[pair] in VALUE]
        rows, columns, positive, weight = [], [], [], []
        for query, doc in pairs:
            row = queries.get(query)
            if row is None:
                continue
            docs = candidates.docs[row]
            names = candidates.doc_ids[np.maximum(docs, 0)]
            hit = np.flatnonzero((names == doc) & (docs >= 0))
            if len(hit):
                rows.append(row)
                columns.append(int(hit[0]))
                positive.append(newest[query, doc] == "positive")
                weight.append(weights.get((query, doc), 1.0))
        return cls(
            rows=np.array(rows, dtype=np.int64),
            columns=np.array(columns, dtype=np.int64),
            positive=np.array(positive, dtype=np.bool_),
            weight=np.array(weight, dtype=np.float64),
        )

    @classmethod
    def hidden(cls, candidates: Candidates, truth: NDArray[np.bool_]) -> JudgedSample:
        """Every candidate, judged by a truth that is known: a planted world's, or hidden labels.

        Raises:
            BadArgument: truth has another shape.
        """
        if truth.shape != candidates.docs.shape:
            wanted = f"its shape must be {candidates.docs.shape}"
            raise BadArgument("truth", truth.shape, wanted, "Align it.")
        rows, columns = np.nonzero((candidates.docs >= 0) & (candidates.weight > 0))
        return cls(
            rows=rows.astype(np.int64),
            columns=columns.astype(np.int64),
            positive=truth[rows, columns],
            weight=np.ones(len(rows)),
        )

    def __len__(self) -> int:
        return len(self.rows)


def margin_curve(
    sample: JudgedSample, number: NDArray[np.floating], *, level: float = 0.95
) -> pd.DataFrame:
    """Precision, recall and loss of true negatives at every threshold that tells pairs apart.

    Args:
        sample: judged pairs.
        number: (query, rank) what the rule compares; it drops from the threshold upwards.
        level: of the bounds, which are one-sided: with probability `level` the truth is better.

    Returns:
        One row per threshold, falling: `threshold`, `dropped` (share of all candidates),
        `precision`, `precision_bound`, `recall`, `recall_bound`, `lost`, `lost_bound`.

    Raises:
        BadArgument: a number of another shape, level out of range, a sample without a positive.

    Example:
        >>> from workbench.audit.toys import toy_audit
        >>> candidates, collection, guides, truth = toy_audit()
        >>> sample = JudgedSample.hidden(candidates, truth)
        >>> curve = margin_curve(sample, candidates.scores)
        >>> bool(curve["recall"].is_monotonic_increasing), float(curve["recall"].iloc[-1])
        (True, 1.0)

    Source: bounds by Clopper and Pearson 1934, "The use of confidence or fiducial limits", on the
    judged pairs' effective number (sum of weights squared over sum of squared weights; Kish 1965),
    with one more pair against the claim, as heavy as any judged, as in Fay and Feuer 1997,
    "Confidence intervals for directly standardized rates". With equal weights that is Clopper and
    Pearson's bound itself. Without it a stratum in which no positive was found counts as empty.

    Breaks when: fewer than some 20 pairs were judged positive; weights differ a thousandfold.
    """
    import pandas as pd

    check_number("level", level, above=0.5, at_most=0.9999, mend="Try 0.95.")
    value = _of(sample, number)
    if not sample.positive.any():
        raise BadArgument("sample", 0, "it must hold a positive", "Judge the most suspicious.")
    cuts = np.unique(value[~np.isnan(value)])[::-1]
    if len(cuts) > 200:
        cuts = np.unique(np.quantile(cuts, np.linspace(0, 1, 200), method="nearest"))[::-1]
    dropped = np.nan_to_num(value, nan=-np.inf)[None, :] >= cuts[:, None]
    columns: dict[str, Doubles] = {"threshold": cuts}
    truth = sample.positive.astype(np.float64)
    everyone = np.ones(len(sample))
    columns["dropped"] = _share(dropped, everyone, sample.weight)
    for name, kind, among, good in (
        ("precision", truth, dropped, True),
        ("recall", dropped, truth, True),
        ("lost", dropped, 1 - truth, False),
    ):
        columns[name] = _share(kind, among, sample.weight)
        columns[f"{name}_bound"] = _bound(
            kind, among, sample.weight, level, good=good, anywhere=name != "precision"
        )
    return pd.DataFrame(columns)


def choose_margin(
    sample: JudgedSample,
    number: NDArray[np.floating],
    *,
    precision: float | None = None,
    recall: float | None = None,
    level: float = 0.95,
) -> dict[str, float]:
    """The threshold that keeps a promise with confidence and costs least otherwise.

    With `precision` wanted: the lowest threshold whose bound on precision still reaches it (most
    false negatives found). With `recall` wanted: the highest whose bound reaches it (fewest true
    negatives lost).

    Args:
        sample: judged pairs.
        number: see `margin_curve`.
        precision: wanted, in (0, 1); one of the two.
        recall: wanted, in (0, 1).
        level: confidence that the wish holds.

    Returns:
        The row of `margin_curve`, by column.

    Raises:
        BadArgument: none or both wishes; no threshold keeps the promise (says the best there is).

    Example:
        >>> from workbench.audit.toys import toy_audit
        >>> candidates, collection, guides, truth = toy_audit()
        >>> sample = JudgedSample.hidden(candidates, truth)
        >>> chosen = choose_margin(sample, candidates.scores, precision=0.7)
        >>> chosen["precision_bound"] >= 0.7
        True

    Breaks when: the sample is small; the bound then asks for more than the truth needs.
    """
    if (precision is None) == (recall is None):
        wanted = "exactly one of precision and recall must be wished for"
        raise BadArgument("precision", precision, wanted, "Write precision=0.9.")
    name, wish = ("precision", precision) if recall is None else ("recall", recall)
    assert wish is not None
    check_number(name, wish, above=0, at_most=0.9999, mend="Try 0.8.")
    curve = margin_curve(sample, number, level=level)
    able = np.flatnonzero(curve[f"{name}_bound"].to_numpy() >= wish)
    if not len(able):
        best = float(curve[f"{name}_bound"].max())
        wanted = f"no threshold promises it on {len(sample):,} judged pairs; the best is {best:.2f}"
        raise BadArgument(name, wish, wanted, "Ask for less, or judge more.")
    row = curve.iloc[int(able[-1] if name == "precision" else able[0])]
    return {str(key): float(value) for key, value in row.items()}


def compare_rules(
    sample: JudgedSample,
    ruled: Mapping[str, Candidates],
    *,
    level: float = 0.95,
) -> pd.DataFrame:
    """Precision, recall and cost of several rules on one judged sample.

    Args:
        sample: judged pairs of the list that all of them ruled.
        ruled: name -> the list with that rule's weights (`mine.apply_rules`); weight 0 is dropped.
        level: of two-sided intervals.

    Returns:
        One row per rule: `dropped`, `precision`, `recall`, `lost` (true negatives dropped, the
        cost), each with `_low` and `_high`.

    Raises:
        BadArgument: no rule, or lists of another shape.

    Example:
        >>> from workbench.audit.toys import toy_audit
        >>> from workbench.mine import apply_rules
        >>> from workbench.rules import RankWindow
        >>> candidates, collection, guides, truth = toy_audit()
        >>> ruled = {"first three": apply_rules(candidates, [RankWindow(first=4)])}
        >>> found = compare_rules(JudgedSample.hidden(candidates, truth), ruled)
        >>> bool(found.loc[0, "recall"] > 0.5)
        True

    Breaks when: a rule learned from the very verdicts of the sample; give it what it says without
    them (`Suspicion.table(decided=False)`).
    """
    import pandas as pd

    check_number("level", level, above=0.5, at_most=0.9999, mend="Try 0.95.")
    if not ruled:
        raise BadArgument("ruled", {}, "there must be a rule to compare", "Apply one first.")
    truth = sample.positive.astype(np.float64)
    rows = []
    for name, one in ruled.items():
        dropped = (_of(sample, one.weight) <= 0).astype(np.float64)[None, :]
        row: dict[str, object] = {"rule": name}
        for key, kind, among in (
            ("dropped", dropped, np.ones(len(sample))),
            ("precision", truth, dropped),
            ("recall", dropped, truth),
            ("lost", dropped, 1 - truth),
        ):
            row[key] = float(_share(kind, among, sample.weight)[0])
            half = (1 + level) / 2
            for end, good in (("low", True), ("high", False)):
                bound = _bound(
                    kind, among, sample.weight, half, good=good, anywhere=key != "precision"
                )
                row[f"{key}_{end}"] = float(bound[0])
        rows.append(row)
    return pd.DataFrame(rows)


def _stands_for(one: Draw, judged: NDArray[np.integer]) -> Doubles:
    """(stratum,) candidates for each judged pair; the nearest judged stratum speaks for one not."""
    some = np.flatnonzero(judged)
    if not len(some):
        return np.zeros(len(judged))
    apart = np.abs(np.arange(len(judged))[:, None] - some)
    sizes = np.bincount(some[apart.argmin(axis=1)], one.sizes, minlength=len(judged))
    stands: Doubles = sizes / np.maximum(judged, 1)
    return stands


def _of(sample: JudgedSample, number: NDArray[np.floating]) -> Doubles:
    """(pair,) the numbers of the judged pairs."""
    if number.ndim != 2 or sample.rows.max() >= len(number):
        wanted = "it must be (query, rank) as the judged list is"
        raise BadArgument("number", number.shape, wanted, "Give one per candidate.")
    if sample.columns.max() >= number.shape[1]:
        wanted = f"a judged pair stands at rank {int(sample.columns.max()) + 1}"
        raise BadArgument("number", number.shape, wanted, "Give one per candidate.")
    return number[sample.rows, sample.columns].astype(np.float64)


def _share(kind: NDArray[np.generic], among: NDArray[np.generic], weight: Doubles) -> Doubles:
    """(threshold,) weighted share of `kind` among `among`; NaN where there are none."""
    among = np.atleast_2d(among).astype(np.float64) * weight
    total = among.sum(axis=1)
    hit = (among * np.asarray(kind, dtype=np.float64)).sum(axis=1)
    return np.where(total > 0, hit / np.maximum(total, 1e-300), np.nan)


def _bound(
    kind: NDArray[np.generic],
    among: NDArray[np.generic],
    weight: Doubles,
    level: float,
    *,
    good: bool,
    anywhere: bool = False,
) -> Doubles:
    """(threshold,) the lower bound of a good share, the upper one of a bad; NaN of nothing.

    As if one more pair had been found, of the other kind where the share is good, and as heavy as
    any among them, or as any judged pair where what is sought may stand `anywhere`.
    """
    from scipy.stats import beta

    share = _share(kind, among, weight)
    inside = np.atleast_2d(among).astype(np.float64) * weight
    more = np.full(len(inside), weight.max()) if anywhere else inside.max(axis=1)
    total = np.maximum(inside.sum(axis=1) + more, 1e-300)
    size = total**2 / np.maximum((inside**2).sum(axis=1) + more**2, 1e-300)
    hits = size * np.nan_to_num(share) * inside.sum(axis=1) / total
    ends: Doubles
    if good:
        ends = np.where(share <= 0, 0.0, beta.ppf(1 - level, hits, size - hits))
    else:
        hits = hits + size * more / total
        rest = np.maximum(size - hits, 1e-9)
        ends = np.where(share >= 1, 1.0, beta.ppf(level, hits, rest))
    return np.where(np.isnan(share), np.nan, ends)
