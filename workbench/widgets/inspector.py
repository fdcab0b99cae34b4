"""The false-negative inspector: judge suspicious negatives one after the other, by keyboard.

Everything it shows and does is a `Desk`'s (`workbench.widgets.desk`), which needs no widget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets
from numpy.typing import NDArray

from workbench.audit import Count, Draw, Judgment, JudgmentStore, Suspicion
from workbench.audit.evidence import Guides, check_guides
from workbench.errors import BadArgument, check_count
from workbench.types import Candidates, Collection, Ints, LossStore, Verdicts
from workbench.widgets.assets import Answer, Core, css, esm
from workbench.widgets.desk import Desk
from workbench.widgets.desk_report import (
    about,
    account,
    dynamics,
    opened,
    records,
    slider_of,
    state,
    static,
    told,
    whole_number,
)
from workbench.widgets.filters import Filters
from workbench.widgets.queue import ORDERS, Queue
from workbench.widgets.view import View

if TYPE_CHECKING:
    import pandas as pd

    from workbench.rules import Rule

FILTERED = ("order", "source", "by", "low", "high", "text", "rule", "judge", "verdict")


class InspectorCore(Core):
    """The part of the inspector that is drawn in the browser.

    Args:
        about: what never changes: judge, choices for filters, the slider's settings.
        told: what Python did last: turn, position, margin, and whether to ask for all again.
    """

    _esm = esm("inspector_parts.js", "inspector_filters.js", "inspector.js")
    _css = css("inspector.css")
    about = traitlets.Dict().tag(sync=True)
    told = traitlets.Dict().tag(sync=True)


class Inspector(View):
    """A queue of suspicious negatives, live. Made by `inspect`.

    Args:
        desk: what is judged, by whom, in which order.

    Attributes:
        position: place in the queue as it is filtered, from 0.
        current: (query id, document id) there; empty strings where nothing passes.
        judged: items judged so far.
        margin: setting of the rule that moves; None where none does.
        version: rises with every change of `ids`; observe it to follow the filters.

    Breaks when: a cell runs: keys are kept and their judgments written when it ends or awaits.
    """

    position = traitlets.Int(0)
    current = traitlets.Tuple(traitlets.Unicode(), traitlets.Unicode(), default_value=("", ""))
    judged = traitlets.Int(0)
    margin = traitlets.Float(None, allow_none=True)
    version = traitlets.Int(0)

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.core = InspectorCore(about=about(desk))
        self._quiet = False
        super().__init__([self.core], says=self._words, twin=lambda: static(desk))
        handlers: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "shown": self._on_shown,
            "rows": lambda asked: {"rows": desk.heads([whole_number(n) for n in asked["items"]])},
            "cards": lambda asked: {"cards": [desk.card(whole_number(n)) for n in asked["items"]]},
            "mates": lambda asked: {"count": len(desk.open_mates(whole_number(asked["item"])))},
            "whole": lambda asked: {"side": desk.side(asked["side"], asked["place"], whole=True)},
            "judge": self._on_judge,
            "undo": self._on_undo,
            "moved": self._on_moved,
            "bulk": self._on_bulk,
            "filter": self._on_filter,
            "slide": self._on_slide,
            "estimate": lambda _: {"estimate": told(desk)},
            "dynamics": self._on_dynamics,
            "brush": self._on_brush,
        }
        for kind, handler in handlers.items():
            self.core.answer(kind, handler)
        self._heard(position=desk.next(-1), margin=desk.margin)

    @property
    def ids(self) -> list[tuple[str, str]]:
        """(query id, document id) of what passes the filters, in order; set it to show these."""
        return self.desk.queue.pairs(self.desk.shown)

    @ids.setter
    def ids(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Show these pairs, in this order."""
        items = self.desk.queue.items([(str(query), str(doc)) for query, doc in pairs])
        if (items < 0).any():
            wrong = list(pairs)[int(np.flatnonzero(items < 0)[0])]
            raise BadArgument("ids", wrong, "the queue has no such pair", "Take pairs of the list.")
        self._show(self.desk.filters, items=items)

    def judge(self, label: str, *, note: str = "") -> Judgment:
        """Judge the current item and move to the next that is not judged.

        Raises:
            BadArgument: an unknown label, a note too long, nothing to judge.
            BadData: the store refused it.
        """
        row = self.desk.judge(self._item(), label, note=note)
        self._go(self.desk.next(self.position))
        return row

    def bulk(self, label: str) -> list[tuple[str, str]]:
        """Judge all near-duplicates of the current item that nobody judged, itself among them.

        Returns:
            The pairs judged; one `undo` takes them back.

        Raises:
            BadArgument: an unknown label, nothing left of the group.
        """
        items = self.desk.bulk(self._item(), label)
        self._go(self.desk.next(self.position))
        return self.desk.queue.pairs(items)

    def undo(self) -> list[tuple[str, str]]:
        """Take back the last judgment, or the last group, and go there.

        Returns:
            The pairs taken back.
        """
        items = self.desk.undo()
        places = np.flatnonzero(np.isin(self.desk.shown, items[:1]))
        self._go(int(places[0]) if len(places) else self.position)
        return self.desk.queue.pairs(items)

    def move(self, by: int) -> None:
        """Go some places on (or back, below 0), no further than the ends."""
        check_count("by", by, at_least=-len(self.desk.queue), mend="Try 1.")
        self.position += by

    def search(self, text: str) -> None:
        """Show only what holds these letters in query or candidate; "" shows all again."""
        self._show(replace(self.desk.filters, text=text))

    def only(
        self, *, query_ids: Sequence[str] | None = None, doc_ids: Sequence[str] | None = None
    ) -> None:
        """Show only some queries or candidates (a map's lasso); without arguments all again.

        Raises:
            BadArgument: an id that is not in the list.
        """
        self._show(replace(self.desk.filters, query_ids=query_ids, doc_ids=doc_ids))

    def filter(
        self,
        *,
        order: str = "informative",
        source: str | None = None,
        by: str | None = None,
        low: float | None = None,
        high: float | None = None,
        text: str = "",
        rule: str | None = None,
        judge: str | None = None,
        verdict: str | None = None,
    ) -> None:
        """Set all filters at once but those of `only`; what is left out lets everything pass.

        See `workbench.widgets.filters.Filters` for what each means.

        Raises:
            BadArgument: an unknown choice.
        """
        now = self.desk.filters
        self._show(
            Filters(
                order=order, source=source, by=by, low=low, high=high, text=text, rule=rule,
                judge=judge, verdict=verdict, query_ids=now.query_ids, doc_ids=now.doc_ids,
            )
        )  # fmt: skip

    def brush(self, *, mean: tuple[float, float], spread: tuple[float, float]) -> None:
        """Show only queries with a labelled pair whose loss lies in this rectangle."""
        self.only(query_ids=self.desk.brushed(mean, spread))

    def verdicts(self) -> Verdicts:
        """What was judged at this desk, newest per pair."""
        return self.desk.verdicts()

    def estimate(self) -> Count | None:
        """How many false negatives there are; None without a judged draw."""
        return self.desk.estimate()

    def rules(self) -> pd.DataFrame:
        """What each rule drops at the present setting, and how right it is; see `Slider.at`.

        Raises:
            BadArgument: no rule was given.
        """
        return account(self.desk)

    def _words(self) -> str:
        return f"Inspector({len(self.desk.queue):,} candidates, {self.desk.judged:,} judged)"

    def _item(self) -> int:
        if not len(self.desk.shown):
            raise BadArgument("filter", self.desk.filters, "nothing passes", "Call filter().")
        return int(self.desk.shown[min(self.position, len(self.desk.shown) - 1)])

    def _show(self, filters: Filters, *, items: Ints | None = None) -> None:
        self.desk.filter(filters)
        if items is not None:
            self.desk.shown = items
        self.version += 1
        self._go(self.desk.next(-1))

    def _go(self, position: int) -> None:
        self._heard(position=position)
        self._tell()

    def _tell(self, *, again: bool = True) -> None:
        """Let the browser follow what Python did; `again` lets it ask for everything."""
        self._count()
        turn = self.core.told.get("turn", 0) + 1
        now = {"position": self.position, "margin": self.margin, "again": again}
        self.core.told = {"turn": turn, **now}

    def _heard(self, **traits: Any) -> None:
        """Take over what the browser did and shows already."""
        self._quiet = True
        try:
            for name, value in traits.items():
                self.set_trait(name, value)
        finally:
            self._quiet = False
        self._count()

    def _count(self) -> None:
        self.judged = self.desk.judged
        some = len(self.desk.shown) > 0
        self.current = self.desk.queue.pairs(np.array([self._item()]))[0] if some else ("", "")

    @traitlets.validate("position")  # type: ignore[untyped-decorator]
    def _within(self, proposal: Any) -> int:
        return min(max(int(proposal["value"]), 0), max(0, len(self.desk.shown) - 1))

    @traitlets.validate("margin")  # type: ignore[untyped-decorator]
    def _slide(self, proposal: Any) -> float | None:
        if proposal["value"] is not None:
            self.desk.slide(proposal["value"])
        value: float | None = proposal["value"]
        return value

    @traitlets.observe("position", "margin")  # type: ignore[untyped-decorator]
    def _moved(self, _: object) -> None:
        if not self._quiet:
            self._tell(again=False)

    def _on_shown(self, _: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        items = self.desk.shown.astype("<i4")
        now = {"count": len(items), "position": self.position, "margin": self.margin}
        return {**now, **state(self.desk)}, [
            items.tobytes(),
            self.desk.labels[self.desk.shown].tobytes(),
        ]

    def _on_judge(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.desk.judge(whole_number(asked["item"]), str(asked["label"]))
        return self._on_moved(asked)

    def _on_moved(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._heard(position=whole_number(asked["position"]))
        return state(self.desk)

    def _on_bulk(self, asked: dict[str, Any]) -> dict[str, Any]:
        items = self.desk.bulk(whole_number(asked["item"]), str(asked["label"]))
        self._count()
        return {"items": items.tolist(), **state(self.desk)}

    def _on_undo(self, _: dict[str, Any]) -> dict[str, Any]:
        items = self.desk.undo()
        self._count()
        return {
            "items": items.tolist(),
            "labels": self.desk.labels[items].tolist(),
            **state(self.desk),
        }

    def _on_filter(self, asked: dict[str, Any]) -> dict[str, Any]:
        now = self.desk.filters
        given: dict[str, Any] = {name: asked.get(name) for name in FILTERED}
        given |= {"text": given["text"] or "", "order": given["order"] or ORDERS[0]}
        if not asked.get("everything"):
            given |= {"query_ids": now.query_ids, "doc_ids": now.doc_ids}
        self._show(Filters(**given))
        return state(self.desk)

    def _on_slide(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked.get("value") is not None:
            self._heard(margin=float(asked["value"]))
        return {"rows": records(account(self.desk))}

    def _on_dynamics(self, _: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        points = dynamics(self.desk.losses)
        return {"count": len(points)}, [points[:, side].tobytes() for side in (0, 1)]

    def _on_brush(self, asked: dict[str, Any]) -> dict[str, Any]:
        bounds = [tuple(float(one) for one in asked[name]) for name in ("mean", "spread")]
        self.brush(mean=bounds[0], spread=bounds[1])  # type: ignore[arg-type]
        return state(self.desk)


def inspect(
    found: Candidates | Suspicion,
    collection: Collection,
    *,
    store: JudgmentStore | str | Path | None = None,
    draw: Draw | Sequence[Draw] | None = None,
    guides: Guides | None = None,
    scores: Mapping[str, Candidates | NDArray[np.floating]] | None = None,
    rules: Sequence[Rule] = (),
    slider: tuple[Rule, str] | tuple[Rule, str, Sequence[float]] | None = None,
    losses: LossStore | None = None,
    order: str = "informative",
    code: bool | None = None,
    judge: str | None = None,
) -> Inspector:
    """See and judge the suspicious negatives of a mined list.

    Keys: f false negative, n true negative, u unsure, s skip (each moves on), z undo, j and k next
    and previous, g judge all near-duplicates, / search, ? help.

    Args:
        found: what `audit.suspicion` made of a mined list, or the list.
        collection: the one mined. Near-duplicates are its `doc_groups` (`data.with_groups`).
        store: where judgments go: a store, or a path or address of one; None = the file
            data/judgments.sqlite under the working directory.
        draw: what was drawn to judge (`audit.draw`), or several draws: comes first, and gives the
            running estimate of the false-negative rate.
        guides: name -> (query, document) vectors; the first serves rules that ask a guide.
        scores: name -> another miner's list (BM25's), or an array (query, rank).
        rules: whose effect is shown beside the slider.
        slider: (rule, option) that moves, or (rule, option, values); None = `rules.Guide` with a
            guide, `rules.Margin` where the list knows what positives score.
        losses: what every labelled pair cost in training; adds the scatter.
        order: "informative" (nearest to even odds first), "suspicious" (the likeliest first) or
            "rank".
        code: highlight documents as programs; None = guess.
        judge: who judges; None = the store's, or the login name.

    Returns:
        The view; show it as a cell's last value.

    Raises:
        BadArgument: an argument does not fit; said before any work.
        BadData: ids differ, the store cannot be opened.

    Example:
        >>> import tempfile
        >>> from workbench.audit.toys import toy_audit
        >>> candidates, collection, guides, truth = toy_audit(facts=8, k=5)
        >>> view = inspect(candidates, collection, store=f"{tempfile.mkdtemp()}/a.sqlite")
        >>> view.judge("negative").label, view
        ('negative', Inspector(240 candidates, 1 judged))

    Breaks when: the judge knows what the model said and follows it: hide it by `order="rank"`.
    """
    queue = Queue.of(found, collection, scores=scores, losses=losses)
    if guides:
        check_guides(guides, collection)
    draws = [draw] if isinstance(draw, Draw) else list(draw or [])
    made = slider_of(found, queue, guides=guides, rules=rules, vary=slider)
    desk = Desk(
        queue, opened(store, collection, judge=judge), draws=draws, slider=made, guides=guides,
        losses=losses, order=order, code=code,
    )  # fmt: skip
    return Inspector(desk)
