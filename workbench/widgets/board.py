"""The comparison board: finished runs beside each other, down to the queries that got worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from workbench.errors import BadArgument, BadData, check_choice
from workbench.report import card_of, top_of
from workbench.report import runs as read_runs
from workbench.types import Candidates, Collection, Scorecard
from workbench.widgets.assets import Core, css, esm
from workbench.widgets.board_parts import table_of, told_of, twin
from workbench.widgets.twin import Twin, cut
from workbench.widgets.versus import Reader, Versus, side_by_side, versus
from workbench.widgets.view import View

if TYPE_CHECKING:
    import pandas as pd

LISTED = 200
"""Worse queries sent to the page; all are in `worse`."""
DRAWN = 2_000
"""Points of the win/loss curve."""


def board(
    runs: str | Path | Sequence[str | Path] | pd.DataFrame = "runs",
    *,
    metric: str | None = None,
    baseline: str | None = None,
    collection: Collection | None = None,
) -> Board:
    """Compare finished runs: a table, parallel coordinates, and two runs query by query.

    What is drawn below the table needs runs that kept their values per query:
    `report.report(..., card=..., top=...)`.

    Args:
        runs: the folder that holds runs, a list of run folders, or what `report.runs` gave
            (filtered, perhaps).
        metric: the one that is compared; None = that of the first run that kept values per query.
        baseline: the run that others are compared with; None = the first with values per query.
        collection: the test collection, for texts and labels; without it ids are shown.

    Returns:
        A view; its traits `chosen` (two runs), `worse` (ids of the queries that got worse, the
        worst first) and `query` can be set or observed.

    Raises:
        BadArgument: no such folder, run or metric; a frame of something else; another collection.

    Example:
        >>> board("no-such-folder")
        Traceback (most recent call last):
        workbench.errors.BadArgument: `folder` is 'no-such-folder', but there is no such folder. \
Run a notebook first, or name another.

    Breaks when: the best of many runs is chosen here and believed on the same queries: see
    `evaluate.holm`, or keep a second set of queries for it.
    """
    import pandas as pd

    frame = runs if isinstance(runs, pd.DataFrame) else read_runs(runs)
    missing = [name for name in ("status", "folder", "per_query") if name not in frame.columns]
    if missing:
        wanted = f"it must be a frame of report.runs, and lacks {', '.join(missing)}"
        raise BadArgument("runs", list(frame.columns), wanted, "Pass the folder instead.")
    if frame.index.has_duplicates:
        twice = str(frame.index[frame.index.duplicated()][0])
        raise BadArgument("runs", twice, "each run must be there once", "Leave one out.")
    return Board(frame, metric=metric, baseline=baseline, collection=collection)


class BoardCore(Core):
    """What the browser draws; `chosen` and `query` are set from both sides."""

    _esm = esm("board_plots.js", "board.js")
    _css = css("board.css")
    table = traitlets.Dict().tag(sync=True)
    pair = traitlets.Dict().tag(sync=True)
    lists = traitlets.Dict().tag(sync=True)
    chosen = traitlets.List(traitlets.Unicode()).tag(sync=True)
    query = traitlets.Unicode("").tag(sync=True)


class Board(View):
    """A view of runs; made by `board`.

    Traits: `chosen`, none or two names of runs; `worse`, ids of queries; `query`, one of them.
    """

    chosen = traitlets.List(traitlets.Unicode())
    worse = traitlets.List(traitlets.Unicode())
    query = traitlets.Unicode("")

    def __init__(
        self,
        frame: pd.DataFrame,
        *,
        metric: str | None,
        baseline: str | None,
        collection: Collection | None,
    ) -> None:
        self.frame, self.reader = frame, Reader(collection)
        self.cards, self._damage = _cards(frame)
        self.metric = _metric(self.cards, metric)
        if baseline is not None:
            check_choice("baseline", baseline, self.cards)
        self.baseline = baseline or next(iter(self.cards), None)
        if self.cards:
            self.reader.check(next(iter(self.cards.values())).query_ids)
        self._tops: dict[str, Candidates | None] = {}
        self._pairs: dict[tuple[str, str], Versus] = {}
        self.core = BoardCore(table=self._table())
        super().__init__([self.core], says=self._words, twin=self._static)
        traitlets.link((self, "chosen"), (self.core, "chosen"))
        traitlets.link((self, "query"), (self.core, "query"))
        self.core.answer("at", self._at)
        self.observe(self._compare, names="chosen")
        self.observe(self._read, names="query")
        self.chosen = self._first_two()

    # -- what the traits mean ------------------------------------------------------------------

    @traitlets.validate("chosen")  # type: ignore[untyped-decorator]
    def _two_runs(self, proposal: Any) -> list[str]:
        names = list(proposal["value"])
        for name in names:
            check_choice("chosen", name, self.cards)
        if len(names) not in (0, 2) or len(set(names)) != len(names):
            raise BadArgument("chosen", names, "it must be two different runs", "Name two, or [].")
        return names

    @property
    def pair(self) -> Versus | None:
        """The chosen runs, query by query; None while none are chosen.

        Raises:
            BadData: they were scored on different queries.
        """
        if not self.chosen or self.metric is None:
            return None
        a, b = self.chosen
        if (a, b) not in self._pairs:
            cards = [_named(self.cards[name], name) for name in (a, b)]
            self._pairs[a, b] = versus(*cards, metric=self.metric)
        return self._pairs[a, b]

    def top(self, name: str) -> Candidates | None:
        """What a run ranks first for every query, None if it kept no lists or they are damaged."""
        if name not in self._tops:
            try:
                self._tops[name] = top_of(str(self.frame.loc[name, "folder"]))
            except (BadArgument, BadData) as error:
                self._damage[name] = str(error)
                self._tops[name] = None
        return self._tops[name]

    def _first_two(self) -> list[str]:
        names, metric = list(self.cards), self.metric
        if len(names) < 2 or metric is None or self.baseline is None:
            return []
        others = [name for name in names if name != self.baseline]
        best = max(others, key=lambda name: self.cards[name].mean()[metric])
        return [self.baseline, best]

    def _compare(self, _: Any) -> None:
        try:
            pair = self.pair
        except (BadArgument, BadData) as error:
            self.core.pair = {"error": str(error), "a": self.chosen[0], "b": self.chosen[1]}
            self.worse, self.query = [], ""
            return
        self.core.pair = {} if pair is None else self._told(pair)
        self.worse = [] if pair is None else pair.worse
        before, self.query = self.query, self.worse[0] if self.worse else ""
        if self.query == before:
            self._read(None)

    def _told(self, pair: Versus) -> dict[str, Any]:
        found = pair.comparison
        count = len(pair.query_ids)
        places = np.unique(np.linspace(0, count - 1, min(count, DRAWN)).astype(np.int64))
        worse = [
            {
                "id": str(pair.query_ids[n]),
                "text": cut(self.reader.query(str(pair.query_ids[n])) or str(pair.query_ids[n])),
                "a": float(pair.a[n]),
                "b": float(pair.b[n]),
            }
            for n in range(min(LISTED, found.losses))
        ]
        return {
            **asdict(found),
            "words": str(found),
            "x": places.astype("<f4").tobytes(),
            "y": pair.difference[places].astype("<f4").tobytes(),
            "worse": worse,
        }

    def _read(self, _: Any) -> None:
        if not self.chosen or not self.query:
            self.core.lists = {}
            return
        a, b = self.chosen
        found = side_by_side(self.query, self.top(a), self.top(b), reader=self.reader)
        why = [self._damage.get(name, "") for name in (a, b)]
        self.core.lists = {**found, "query": self.query, "runs": [a, b], "problems": why}

    def _at(self, message: dict[str, Any]) -> dict[str, Any]:
        """The query at a place of the win/loss curve becomes the one that is read."""
        pair, place = self.pair, message.get("place")
        if pair is None or not isinstance(place, int) or not 0 <= place < len(pair.query_ids):
            raise BadArgument("place", place, "it must be a place on the curve", "Click on it.")
        self.query = str(pair.query_ids[place])
        return {"query": self.query}

    # -- what is sent --------------------------------------------------------------------------

    def _table(self) -> dict[str, Any]:
        shown = table_of(self.frame, metric=self.metric, baseline=self.baseline)
        told = told_of(shown, choosable=self.cards, damage=self._damage)
        return {**told, "metric": self.metric or "", "baseline": self.baseline or ""}

    def _words(self) -> str:
        ends = f", {self.chosen[1]} against {self.chosen[0]}" if self.chosen else ""
        compared = f", {self.metric}" if self.metric else ""
        return f"Board({len(self.frame):,} runs{compared}{ends})"

    def _static(self) -> Twin:
        try:
            pair = self.pair
        except (BadArgument, BadData):
            pair = None
        frame = table_of(self.frame, metric=self.metric, baseline=self.baseline)
        return twin(frame, pair, says=self._words(), reader=self.reader)


def _named(card: Scorecard, name: str) -> Scorecard:
    return Scorecard(name=name, query_ids=card.query_ids, values=card.values, recipe=card.recipe)


def _cards(frame: pd.DataFrame) -> tuple[dict[str, Scorecard], dict[str, str]]:
    """Run -> its values per query, and run -> why they cannot be read."""
    found, damage = {}, {}
    for name, row in frame[frame["per_query"].astype(bool)].iterrows():
        try:
            card = card_of(row["folder"])
        except (BadArgument, BadData) as error:
            damage[str(name)] = str(error)
            continue
        if card is not None:
            found[str(name)] = card
    return found, damage


def _metric(cards: dict[str, Scorecard], wanted: str | None) -> str | None:
    known = list(dict.fromkeys(name for card in cards.values() for name in card.values))
    if wanted is None:
        return known[0] if known else None
    check_choice("metric", wanted, known)
    for name in [name for name, card in cards.items() if wanted not in card.values]:
        del cards[name]
    return wanted
