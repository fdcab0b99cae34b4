"""What an inspector is made of and what it says of a desk: plain values, tables and its twin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.audit import JudgmentStore, Suspicion
from workbench.audit.evidence import Guides
from workbench.errors import BadArgument, check_count
from workbench.mine.named import BUILT_IN
from workbench.types import LABELS, Collection, Floats, LossStore
from workbench.widgets.desk import Desk
from workbench.widgets.filters import DROPPED, KEPT, STATES
from workbench.widgets.queue import ORDERS, Found, Queue, ordered
from workbench.widgets.slider import Slider
from workbench.widgets.twin import Twin, cut, page, table, words

if TYPE_CHECKING:
    import pandas as pd

    from workbench.rules import Rule

WHERE = "data/judgments.sqlite"
MOST_POINTS, MOST_SOURCES, TWIN_ROWS = 50_000, 200, 20


def opened(
    store: JudgmentStore | str | Path | None, collection: Collection, *, judge: str | None = None
) -> JudgmentStore:
    """The store to write to: the one given, or one opened where its path says.

    Args:
        store: a store of this collection, a path or address; None = data/judgments.sqlite.
        collection: what is judged.
        judge: who judges; None = the store's judge, or the login name.

    Raises:
        BadArgument: a store of another collection or another judge, no path.
        BadData: the file is damaged or something else.
    """
    collection.fingerprint  # noqa: B018 (read now, so that the first judgment need not wait)
    if store is None:
        store = WHERE
    if not isinstance(store, JudgmentStore):
        return JudgmentStore(store, collection, judge=judge)
    if store.collection.fingerprint != collection.fingerprint:
        wanted = "it must be of the collection that is inspected"
        raise BadArgument("store", store, wanted, "Open it with this collection.")
    if judge not in (None, store.judged_by):
        wanted = f"the store's judge is {store.judged_by!r}"
        raise BadArgument("judge", judge, wanted, "Leave it out, or pass the store's path.")
    return store


def slider_of(
    found: Found,
    queue: Queue,
    *,
    guides: Guides | None = None,
    rules: Sequence[Rule] = (),
    vary: tuple[Rule, str] | tuple[Rule, str, Sequence[float]] | None = None,
) -> Slider | None:
    """The slider asked for, or a sensible one: by a guide, else by what positives score.

    Rules may ask for further scores of the queue by name, and of a `Suspicion` for "suspicion".

    Returns:
        None where no rule was given and nothing is known that one could compare.
    """
    import scipy.stats  # noqa: F401 (for intervals: a second now, not behind somebody's first key)

    from workbench.rules import Guide, Margin

    if vary is None and guides:
        vary = (Guide(margin=0.0), "margin")
    elif vary is None and np.isfinite(queue.candidates.positive_scores).any():
        vary = (Margin(margin=0.0), "margin")
    if vary is None and not rules:
        return None
    candidates = queue.candidates
    counted = np.zeros(candidates.docs.shape, dtype=np.bool_)
    counted[queue.rows, queue.columns] = True
    asked = {need for rule in [*rules, *(vary[:1] if vary else ())] for need in _needs(rule)}
    numbers = _numbers(found, queue, asked)
    guide = next(iter(guides.values())) if guides else None
    return Slider(
        candidates, queue.collection, vary=vary, rules=rules, guide=guide, numbers=numbers,
        counted=counted,
    )  # fmt: skip


def _needs(rule: Rule | str | Sequence[float]) -> tuple[str, ...]:
    from workbench.rules import Rule

    return rule.needs if isinstance(rule, Rule) and not isinstance(rule, type) else ()


def _numbers(found: Found, queue: Queue, asked: set[str]) -> dict[str, Floats]:
    """Name -> (query, rank) numbers that rules ask for by that name."""
    shape = queue.candidates.docs.shape
    tables: dict[str, Floats] = {}
    if isinstance(found, Suspicion) and "suspicion" in asked:
        tables["suspicion"] = np.asarray(found.probability, dtype=np.float32)
    for name in asked & set(queue.numbers) - set(BUILT_IN):
        tables[name] = np.full(shape, np.nan, dtype=np.float32)
        tables[name][queue.rows, queue.columns] = queue.numbers[name]
    return tables


def account(desk: Desk) -> pd.DataFrame:
    """What each rule drops at the present setting, and how right it is on judged pairs.

    Returns:
        See `Slider.at`.

    Raises:
        BadArgument: there is no rule.
    """
    if desk.slider is None:
        mend = "Pass rules=, slider= or guides= to inspect."
        raise BadArgument("rules", None, "there is none", mend)
    return desk.slider.at(desk.margin, desk.sample())


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as plain JSON; what is not finite is null.

    Example:
        >>> import pandas as pd
        >>> records(pd.DataFrame({"a": [1.5, float("nan")]}))
        [{'a': 1.5}, {'a': None}]
    """
    rows = frame.to_dict("records")
    return [{str(key): plain(value) for key, value in row.items()} for row in rows]


def plain(value: Any) -> Any:
    """A cell as JSON holds it."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def told(desk: Desk) -> dict[str, Any]:
    """The running estimate in words and numbers, or why there is none."""
    found = desk.estimate()
    if found is not None:
        low, high = (value / max(1, found.population) for value in (found.low, found.high))
        return {"text": str(found), "rate": found.rate, "low": low, "high": high}
    if any(len(one.sizes) for one in desk.draws):
        why = "nothing of the draw is judged yet"
    elif desk.draws:
        why = "a draw of the most suspicious says nothing of the others"
    else:
        why = "what is judged was not drawn (audit.draw)"
    return {"text": f"No estimate: {why}."}


def said(desk: Desk) -> dict[str, int]:
    """Label -> items that have it."""
    codes = dict(zip(LABELS, range(1, len(LABELS) + 1), strict=True))
    return {label: int(np.count_nonzero(desk.labels == code)) for label, code in codes.items()}


def state(desk: Desk) -> dict[str, Any]:
    """How far the judge is: counts by label, and whether `only` hides something."""
    only = (desk.filters.query_ids, desk.filters.doc_ids)
    return {
        "said": said(desk),
        "judged": desk.judged,
        "whole": len(desk.queue),
        "narrowed": any(ids is not None for ids in only),
    }


def dynamics(losses: LossStore | None) -> Floats:
    """(point, 2) mean and spread of the loss of training pairs; of very many every n-th.

    Args:
        losses: what every pair cost in every epoch.
    """
    if losses is None:
        return np.zeros((0, 2), dtype=np.float32)
    points = np.stack([losses.mean(), losses.spread()], axis=1)
    points = points[np.isfinite(points).all(axis=1)]
    step = -(-len(points) // MOST_POINTS) if len(points) else 1
    return np.ascontiguousarray(points[::step], dtype="<f4")


def about(desk: Desk) -> dict[str, Any]:
    """What the browser must know of a desk once: choices, names, the slider's settings."""
    queue, slider = desk.queue, desk.slider
    sources = sorted(set(queue.sources.tolist()))
    moving = None
    if slider is not None and slider.start is not None:
        moving = {
            "rule": slider.moving,
            "option": slider.option,
            "values": slider.values.tolist(),
            "start": slider.start,
        }
    return {
        "judge": desk.store.judged_by,
        "store": repr(desk.store),
        "code": desk.code,
        "labels": list(LABELS),
        "orders": list(ORDERS),
        "order": desk.filters.order,
        "sources": sources[:MOST_SOURCES],
        "numbers": list(queue.numbers),
        "rules": [KEPT, DROPPED, *slider.names] if slider is not None else [],
        "judges": sorted({str(name) for name in desk.store.verdicts().judges}),
        "states": list(STATES),
        "slider": moving,
        "losses": desk.losses is not None,
        "sorted_by": "probability" if "probability" in queue.numbers else "margin",
    }


def whole_number(value: Any) -> int:
    """An item's number that came from the browser.

    Raises:
        BadArgument: it is no whole number.
    """
    check_count("item", value, at_least=0, mend="Ask for an item's number.")
    return int(value)


def static(desk: Desk) -> Twin:
    """The inspector without its kernel: counts, the estimate, the most suspicious candidates."""
    import pandas as pd

    queue = desk.queue
    items = ordered(queue, "suspicious")[:TWIN_ROWS]
    name = "probability" if "probability" in queue.numbers else "margin"
    labels = ["", *LABELS]
    rows = [
        {"query": query, "candidate": doc, name: value, "judged": labels[desk.labels[item]]}
        for item, (query, doc, value) in zip(
            items.tolist(), desk.heads(items.tolist()), strict=True
        )
    ]
    counts = said(desk)
    count = f"{len(queue):,} candidates, {desk.judged:,} judged by {desk.store.judged_by}"
    shown = ", ".join(f"{number:,} {label}" for label, number in counts.items())
    parts = [words(f"{count}: {shown}."), words(told(desk)["text"])]
    digest: dict[str, Any] = {
        "view": "inspector", "candidates": len(queue), "judged": desk.judged, "said": counts,
        "order": desk.filters.order, "estimate": told(desk),
        "most_suspicious": [[cut(one, 80) for one in pair] for pair in queue.pairs(items)],
    }  # fmt: skip
    if desk.slider is not None:
        frame = account(desk)
        parts.append(table(frame, "What rules drop"))
        digest["rules"] = records(frame[["rule", "dropped", "only_this"]])[:TWIN_ROWS]
    parts.append(table(pd.DataFrame(rows), f"The {len(rows)} most suspicious"))
    return Twin(html=page("False negatives", *parts), digest=digest)
