"""What to judge next, so that few judgments teach most and still say how many there are.

Candidates are cut into strata of equal uncertainty and each stratum gives equally many:

    u_i = sqrt(p_i (1 - p_i)) + .03,   stratum h: the h-th of H equal parts of sum u, in order of p

That is Neyman's allocation for a count, and it is uncertainty sampling too: where the model is sure
strata are wide and thinly drawn. Within a stratum every step-th candidate is taken from a random
start, in order of query, so that each has the same chance and draws spread over queries.

    count = positives judged before + sum over h of N_h * share of positives among those drawn

Source: Neyman 1934, "On the two different aspects of the representative method"; cutting strata by
equal sums of a square root is Dalenius and Hodges 1959, "Minimum variance stratification".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workbench import files
from workbench.audit.suspicion import Suspicion
from workbench.errors import BadArgument, check_choice, check_count, check_number
from workbench.types import Ids, Ints, Verdicts, check_verdicts
from workbench.types._columns import same_length

if TYPE_CHECKING:
    import pandas as pd

FLOOR = 0.03
"""Added to every candidate's uncertainty: the model may be sure and wrong."""
STRATA, EACH = 5, 5
"""Strata at most, and judgments each should have."""
FAITH, DOUBT = 0.5, 0.3
"""Judgments that the model's own mean in a stratum is worth, and a mean of one half."""
SIMULATED = 20_000


@dataclass(frozen=True, eq=False, kw_only=True)
class Draw:
    """Candidates to judge, in this order, and how they were drawn.

    Args:
        query_ids: (draw,) pairs.
        doc_ids: (draw,).
        strata: (draw,) stratum of each.
        sizes: (stratum,) candidates there were to draw from.
        expected: (stratum,) the model's mean probability.
        population: candidates in all.
        earlier_query_ids: (earlier,) pairs of the population judged before, not drawn from.
        earlier_doc_ids: (earlier,).

    Raises:
        BadData: lengths differ.
    """

    query_ids: Ids
    doc_ids: Ids
    strata: Ints
    sizes: Ints
    expected: NDArray[np.float64]
    population: int
    earlier_query_ids: Ids
    earlier_doc_ids: Ids

    def __post_init__(self) -> None:
        earlier = {"query_ids": self.earlier_query_ids, "doc_ids": self.earlier_doc_ids}
        same_length("Draw's earlier pairs", **earlier)
        same_length("Draw", query_ids=self.query_ids, doc_ids=self.doc_ids, strata=self.strata)
        same_length("Draw's strata", sizes=self.sizes, expected=self.expected)

    def __len__(self) -> int:
        return len(self.query_ids)

    def pairs(self) -> list[tuple[str, str]]:
        """(query id, document id) in the order to judge."""
        return list(zip(self.query_ids.tolist(), self.doc_ids.tolist(), strict=True))

    def earlier(self) -> list[tuple[str, str]]:
        """(query id, document id) of what was judged before: it stands for itself alone."""
        ids = self.earlier_query_ids.tolist(), self.earlier_doc_ids.tolist()
        return list(zip(*ids, strict=True))

    def frame(self) -> pd.DataFrame:
        """One row per pair."""
        import pandas as pd

        return pd.DataFrame(
            {"query_id": self.query_ids, "doc_id": self.doc_ids, "stratum": self.strata}
        )

    def save(self, folder: str | Path) -> Path:
        """Write one folder."""
        return files.save_record(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> Draw:
        """Read what `save` wrote."""
        return files.load_record(cls, folder)

    def __repr__(self) -> str:
        return f"Draw({len(self)} of {self.population:,} candidates, {len(self.sizes)} strata)"


def draw(suspicion: Suspicion, n: int, *, how: str = "balanced", seed: int = 0) -> Draw:
    """Choose what to judge next among candidates that nobody judged.

    Only what one would train against counts: candidates of weight above 0 that are not known
    positives.

    Args:
        suspicion: with all judgments so far.
        n: how many; 50 is an hour's start.
        how: "balanced" as in the module's text, for learning and counting; "random" to count
            without trusting the model at all; "top" the most suspicious first, to find many
            (the count then cannot use them).
        seed: of the draw.

    Returns:
        Pairs in an order that may be broken off anywhere. "top" has no strata and cannot be
        counted with.

    Raises:
        BadArgument: n < 1, an unknown `how`, or nothing is left to judge.

    Example:
        >>> from workbench.audit.suspicion import suspicion
        >>> from workbench.audit.toys import toy_audit
        >>> candidates, collection, guides, truth = toy_audit()
        >>> draw(suspicion(candidates, collection, guides=guides), 50)
        Draw(50 of 3,600 candidates, 5 strata)

    Breaks when: "top" judgments alone are learned from: the model never sees where it is wrong.
    """
    check_count("n", n, mend="Try 50.")
    check_choice("how", how, ("balanced", "random", "top"))
    check_count("seed", seed, at_least=0, mend="Try 0.")
    population, left, probability = _open(suspicion)
    if not len(left):
        raise BadArgument("suspicion", suspicion, "nothing is left to judge", "Mine deeper.")
    n = min(n, len(left))
    rng = np.random.default_rng(seed)
    queries = left // suspicion.candidates.docs.shape[1]
    if how == "top":
        taken = np.argsort(-probability, kind="stable")[:n]
        strata, sizes = np.zeros(n, dtype=np.int64), np.zeros(0, dtype=np.int64)
        expected = np.zeros(0)
    else:
        count = 1 if how == "random" else max(1, min(STRATA, n // EACH))
        stratum = _strata(probability, count)
        sizes = np.bincount(stratum).astype(np.int64)
        expected = np.bincount(stratum, probability) / sizes  # none is empty
        taken = rng.permutation(_spread(stratum, sizes, queries, n, rng))
        strata = stratum[taken]
    places = left[taken]
    rows, columns = np.divmod(places, suspicion.candidates.docs.shape[1])
    found = suspicion.candidates
    known = np.nonzero(population & (suspicion.verdict != 0))
    return Draw(
        query_ids=found.query_ids[rows],
        doc_ids=found.doc_ids[found.docs[rows, columns]],
        strata=strata,
        sizes=sizes,
        expected=expected,
        population=int(population.sum()),
        earlier_query_ids=found.query_ids[known[0]],
        earlier_doc_ids=found.doc_ids[found.docs[known]],
    )


def _open(
    suspicion: Suspicion,
) -> tuple[NDArray[np.bool_], Ints, NDArray[np.float64]]:
    """(what one would train against), (flat places of it that nobody judged), their probability."""
    found = suspicion.candidates
    population = (found.docs >= 0) & (found.weight > 0) & ~suspicion.labelled
    left = np.flatnonzero(population & (suspicion.verdict == 0))
    return population, left, suspicion.probability.reshape(-1)[left].astype(np.float64)


def _strata(probability: NDArray[np.float64], count: int) -> Ints:
    """Stratum of each, none of them empty."""
    uncertainty = np.sqrt(probability * (1 - probability)) + FLOOR
    order = np.argsort(probability, kind="stable")
    rising = np.cumsum(uncertainty[order])
    stratum = np.empty(len(order), dtype=np.int64)
    stratum[order] = np.minimum((rising / rising[-1] * count).astype(np.int64), count - 1)
    return np.unique(stratum, return_inverse=True)[1].astype(np.int64)


def _spread(stratum: Ints, sizes: Ints, queries: Ints, n: int, rng: np.random.Generator) -> Ints:
    """Places of n: equally many of every stratum as far as it has them, spread over queries."""
    share = np.zeros(len(sizes), dtype=np.int64)
    while (missing := n - int(share.sum())) > 0:
        able = np.flatnonzero(share < sizes)
        more = np.full(len(able), missing // len(able))
        more[rng.permutation(len(able))[: missing % len(able)]] += 1
        share[able] = np.minimum(share[able] + more, sizes[able])
    taken = []
    for number, (size, wanted) in enumerate(zip(sizes.tolist(), share.tolist(), strict=True)):
        inside = np.flatnonzero(stratum == number)
        # Ties between candidates of one query fall at random.
        inside = inside[np.lexsort((rng.random(size), queries[inside]))]
        steps = (np.arange(wanted) + rng.random()) * size / max(1, wanted)
        taken.append(inside[np.minimum(steps.astype(np.int64), size - 1)])
    return np.concatenate(taken).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many of what one would train against are false negatives.

    Args:
        count: estimated.
        low: of the interval.
        high: of it.
        level: of it, 0.95.
        population: candidates in all.
        judged: pairs the estimate rests on.
    """

    count: float
    low: float
    high: float
    level: float
    population: int
    judged: int

    @property
    def rate(self) -> float:
        """Share of the population."""
        return self.count / max(1, self.population)

    def __str__(self) -> str:
        shares = [f"{value / max(1, self.population):.1%}" for value in (self.low, self.high)]
        return (
            f"{self.count:,.0f} [{self.low:,.0f}, {self.high:,.0f}] of {self.population:,} are "
            f"false negatives: {self.rate:.1%} [{shares[0]}, {shares[1]}], {self.judged:,} judged"
        )


def false_negatives(
    draws: Sequence[Draw] | Draw, verdicts: Verdicts, *, level: float = 0.95, seed: int = 0
) -> Count:
    """How many false negatives there are, from judged draws.

    In a stratum of N candidates of which n were judged and k are positive, the estimate is N k / n.
    For the interval the share of positives has the distribution

        Beta(k + m / 2 + .15, n - k + (1 - m) / 2 + .15),   m the model's mean in the stratum,

    and the N - n others are drawn from it; the interval holds the middle `level` of the sums, its
    low end without strata in which no positive was found: a clean list must be able to show. So the
    model counts for half a judgment per stratum and doubt for .3: were it trusted for more, its
    errors would all point one way and add up; were it trusted alone, a stratum in which nothing was
    found would count as empty. Draws made one after the other are averaged, each weighted by its
    judgments; what any of them holds judged is not guessed, which cuts the sums off. Pairs that
    were not judged, or "unsure" or "skip", are left out, as if they had not been drawn.

    Args:
        draws: "balanced" or "random" ones of one list, in the order they were made.
        verdicts: all there are.
        level: of the interval.
        seed: of the simulation.

    Returns:
        The count with its interval.

    Raises:
        BadArgument: no draw, one twice, a "top" draw, draws of different lists, or nothing of them
            is judged.

    Example:
        >>> from workbench.audit.suspicion import suspicion
        >>> from workbench.audit.toys import toy_audit, toy_verdicts
        >>> candidates, collection, guides, truth = toy_audit()
        >>> drawn = draw(suspicion(candidates, collection, guides=guides), 100)
        >>> found = false_negatives(drawn, toy_verdicts(drawn.pairs(), candidates, truth))
        >>> bool(found.low <= truth.sum() <= found.high)
        True

    Source: stratified sampling as in Cochran 1977, "Sampling Techniques", chapter 5, with a Beta
    distribution in the place of the normal one, which fails where a stratum holds few positives.

    Breaks when: "unsure" and "skip" are said of positives more often than of negatives; judges err
    (`rogan_gladen` and `prediction_powered` take out a known error).
    """
    listed = [draws] if isinstance(draws, Draw) else list(draws)
    check_number("level", level, above=0, at_most=0.9999, mend="Try 0.95.")
    if not listed:
        raise BadArgument("draws", draws, "there must be one", "Call draw first.")
    if any(not len(one.sizes) for one in listed):
        wanted = "a draw of the most suspicious says nothing of the others"
        raise BadArgument("draws", "top", wanted, 'Draw with how="balanced".')
    if len({one.population for one in listed}) > 1:
        shown = [one.population for one in listed]
        raise BadArgument("draws", shown, "they must be of one list", "Leave out the older.")
    if len({tuple(one.pairs()) for one in listed}) < len(listed):
        raise BadArgument("draws", len(listed), "one stands there twice", "Give each once.")
    check_verdicts("verdicts", verdicts)
    newest = verdicts.newest()
    rng = np.random.default_rng(seed)
    totals: list[NDArray[np.float64]] = []  # (2, simulation) each, see `_totals`
    points: list[float] = []
    weights: list[int] = []
    for one in listed:
        labels = [newest.get(pair) for pair in one.pairs()]
        said = np.array([VALUE.get(str(label), np.nan) for label in labels])
        told = ~np.isnan(said)
        if told.any():
            before = sum(newest.get(pair) == "positive" for pair in one.earlier())
            point, simulated = _totals(one, said, told, rng)
            totals.append(before + simulated)
            points.append(before + point)
            weights.append(int(told.sum()))
    if not totals:
        raise BadArgument("verdicts", verdicts, "none is about these draws", "Judge some first.")
    least, most = _certain(listed, newest)
    sums = np.clip(np.average(totals, axis=0, weights=weights), least, most)
    low, high = np.quantile(sums[0], (1 - level) / 2), np.quantile(sums[1], (1 + level) / 2)
    point = float(np.clip(np.average(points, weights=weights), least, most))
    return Count(
        count=min(max(point, float(low)), float(high)),
        low=float(low),
        high=float(high),
        level=level,
        population=listed[0].population,
        judged=sum(weights),
    )


VALUE = {"positive": 1.0, "negative": 0.0}


def _certain(draws: Sequence[Draw], newest: dict[tuple[str, str], str]) -> tuple[int, int]:
    """The fewest and the most positives there can be, by what was said of drawn pairs."""
    told = {pair: newest.get(pair) for one in draws for pair in [*one.pairs(), *one.earlier()]}
    said = list(told.values())
    return said.count("positive"), draws[0].population - said.count("negative")


def _totals(
    one: Draw, said: NDArray[np.float64], told: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[float, NDArray[np.float64]]:
    """(estimate, (2, simulation) positives drawn from: in strata with one found, and in all)."""
    count = len(one.sizes)
    judged = np.bincount(one.strata[told], minlength=count)
    positive = np.bincount(one.strata[told], said[told], minlength=count)
    mean = np.clip(one.expected, 0.0, 1.0)
    more = FAITH * mean + DOUBT / 2, FAITH * (1 - mean) + DOUBT / 2
    share = rng.beta(more[0] + positive, more[1] + judged - positive, (SIMULATED, count))
    rest = rng.binomial(np.maximum(one.sizes - judged, 0), share)
    ends = np.stack([(rest * (positive > 0)).sum(axis=1), rest.sum(axis=1)])
    total: NDArray[np.float64] = positive.sum() + ends.astype(np.float64)
    seen = np.where(judged > 0, positive / np.maximum(judged, 1), mean)
    return float((one.sizes * seen).sum()), total
