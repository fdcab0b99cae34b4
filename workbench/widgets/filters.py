"""Which items of a queue are shown: masks over items, no widget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, check_choice, check_number
from workbench.types import LABELS, Ints
from workbench.widgets.queue import Bools, Queue

STATES = ("unjudged", "judged", *LABELS)
KEPT, DROPPED = "kept by all", "dropped by any"


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which items of a queue are shown; every part left out lets all pass.

    Args:
        order: "informative", "suspicious" or "rank", see `workbench.widgets.queue`.
        source: of the candidate document.
        by: the number that `low` and `high` are about.
        low: least value.
        high: greatest value.
        text: letters in query or candidate.
        rule: "kept by all", "dropped by any", or a rule's name: what it drops.
        judge: judged by this person.
        verdict: "unjudged", "judged", or a label of the judge at this desk.
        query_ids: only these queries.
        doc_ids: only these candidates.
    """

    order: str = "informative"
    source: str | None = None
    by: str | None = None
    low: float | None = None
    high: float | None = None
    text: str = ""
    rule: str | None = None
    judge: str | None = None
    verdict: str | None = None
    query_ids: Sequence[str] | None = None
    doc_ids: Sequence[str] | None = None


def passing(queue: Queue, filters: Filters) -> Bools:
    """(item,) true for items that pass: by source, number, text and ids.

    Order, rule, judge and verdict are another's to look up (`workbench.widgets.desk`).

    Args:
        queue: any.
        filters: what must pass.

    Raises:
        BadArgument: an unknown source, number or id; a bound without `by`; low > high.

    Example:
        >>> from workbench.audit.toys import toy_audit
        >>> candidates, collection, guides, truth = toy_audit(facts=8, k=5)
        >>> queue = Queue.of(candidates, collection)
        >>> int(passing(queue, Filters(by="rank", high=1)).sum())
        48
    """
    source, text = filters.source, filters.text
    by, low, high = filters.by, filters.low, filters.high
    mask = np.ones(len(queue), dtype=np.bool_)
    if source is not None:
        check_choice("source", source, sorted(set(queue.sources.tolist())))
        mask &= (queue.sources == source)[queue.docs]
    if by is None and not (low is None and high is None):
        raise BadArgument("by", by, "a bound needs a number to compare", 'Write by="score".')
    if by is not None:
        mask &= _band(queue, by, low, high)
    if text:
        collection = queue.collection
        mask &= (
            _holding(collection.queries, text)[queue.rows]
            | _holding(collection.corpus, text)[queue.docs]
        )
    for name, wanted, known, places in zip(
        ("query_ids", "doc_ids"),
        (filters.query_ids, filters.doc_ids),
        queue.places,
        (queue.rows, queue.docs),
        strict=True,
    ):
        if wanted is not None:
            mask &= np.isin(places, _positions(name, wanted, known))
    return mask


def _positions(argument: str, wanted: Sequence[str], known: Mapping[str, int]) -> Ints:
    given: object = wanted
    if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray):
        raise BadArgument(argument, given, "it must be a list of ids", "Write ['q1', 'q2'].")
    names = [str(name) for name in wanted]
    for name in names:
        if name not in known:
            raise BadArgument(argument, name, "the list has no such id", "Look it up.")
    return np.array([known[name] for name in names], dtype=np.int64)


def _band(queue: Queue, by: str, low: float | None, high: float | None) -> Bools:
    check_choice("by", by, list(queue.numbers))
    for name, bound in (("low", low), ("high", high)):
        if bound is not None:
            check_number(name, bound, mend="Leave it out.")
    least = -np.inf if low is None else float(low)
    most = np.inf if high is None else float(high)
    if least > most:
        raise BadArgument("low", low, f"it must be <= high, which is {high}", "Swap them.")
    value = queue.numbers[by].astype(np.float64)
    found: Bools = (value >= np.float32(least)) & (value <= np.float32(most))
    return found


def _holding(table: object, text: str) -> Bools:
    """(text,) which texts of a table hold these letters."""
    import pyarrow.compute as pc

    column = table.with_format("arrow")["text"]  # type: ignore[attr-defined]
    return np.asarray(pc.match_substring(column[:], pattern=text, ignore_case=True), dtype=np.bool_)


def in_state(labels: NDArray[np.int8], state: str) -> Bools:
    """(item,) true for items in a state.

    Args:
        labels: (item,) 0 for not judged, else 1 + place in `LABELS`.
        state: one of `STATES`.

    Raises:
        BadArgument: an unknown state.

    Example:
        >>> in_state(np.array([0, 1], dtype=np.int8), "unjudged").tolist()
        [True, False]
    """
    check_choice("verdict", state, STATES)
    if state in LABELS:
        return np.asarray(labels == LABELS.index(state) + 1)
    return np.asarray((labels == 0) == (state == "unjudged"))
