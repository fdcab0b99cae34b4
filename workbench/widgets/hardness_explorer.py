"""How hard mined negatives are, what rules make of them, and the rows behind every bar.

    x = score of the labelled positive, y = score of the candidate, line y = x - margin

Beside it: hardness bands by share of the positive's score, what each rule drops in each, and how
hardness moves over checkpoints. All numbers are those of `workbench.widgets.bands`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from workbench.errors import BadArgument, check_choice
from workbench.mine import WhatIf, share_of_positive_score
from workbench.mine.facts import check_ids
from workbench.types import Candidates, Collection, Verdicts
from workbench.widgets.assets import Core, css, esm
from workbench.widgets.bands import (
    EDGES,
    Bools,
    above_margins,
    band_names,
    hardest_first,
    movement,
)
from workbench.widgets.hardness_picture import drawing
from workbench.widgets.levels import ALL, Level, Options, plain_bands, plain_movement, shown
from workbench.widgets.twin import Twin, cut, page, picture, table, words
from workbench.widgets.view import View

if TYPE_CHECKING:
    import pandas as pd

    from workbench.rules import Rule
    from workbench.widgets.inspector import Inspector

ONE = "mined"
AT_ONCE = 50
SAID = {1: "positive", -1: "negative", 0: ""}


class HardnessCore(Core):
    """The part in the browser; `HardnessExplorer` carries the same traits."""

    _esm = esm("drawing.js", "hardness_explorer.js")
    _css = css("drawing.css", "hardness_explorer.css")
    checkpoint = traitlets.Unicode().tag(sync=True)
    chosen = traitlets.Dict().tag(sync=True)


class HardnessExplorer(View):
    """Hardness of mined negatives; made by `hardness_explorer`.

    Args:
        levels: name -> candidates, in order.
        options: everything else `hardness_explorer` takes.

    Traits: `checkpoint` (whose candidates are shown) and `chosen` (a bar, its part, or a cell of
    the density) can be set and observed; `rows`, (query position, rank column) of what is behind,
    hardest first, and `ids`, their (query id, document id), follow.
    """

    checkpoint = traitlets.Unicode()
    chosen = traitlets.Dict()
    rows = traitlets.List()
    ids = traitlets.List()

    def __init__(self, levels: Mapping[str, Candidates], *, options: Options) -> None:
        self._levels, self._options = dict(levels), options
        self._made: dict[str, Level] = {}
        self.moved = movement(self._levels) if len(levels) > 1 else None
        self.core = HardnessCore(checkpoint=list(levels)[-1])
        super().__init__([self.core], says=self._line, twin=self._static)
        self._links = [
            traitlets.link((self.core, name), (self, name)) for name in ("checkpoint", "chosen")
        ]
        self.observe(self._turned, "checkpoint")
        self.observe(self._follow, "chosen")
        self.core.answer("level", self._told)
        self.core.answer("choose", self._choose)
        self.core.answer("rows", self._page)
        _ = self.level

    @property
    def level(self) -> Level:
        """The checkpoint that is shown, with all that is said of its candidates."""
        name = self.checkpoint
        if name not in self._made:
            self._made[name] = self._options.level(name, self._levels[name])
        return self._made[name]

    def select(self, band: str, part: str = ALL) -> list[tuple[str, str]]:
        """Choose a bar, or one part of it, as a click does.

        Args:
            band: its name, as `bands.band_names` gives them.
            part: "all", "kept", "dropped earlier", or a rule as `repr` shows it.

        Returns:
            (query id, document id) of the candidates behind it, hardest first.

        Raises:
            BadArgument: there is no such bar or part.
        """
        self.chosen = {"band": band, "part": part}
        return list(self.ids)

    def select_cell(self, x: int, y: int) -> list[tuple[str, str]]:
        """Choose a cell of the density, counted from 0 at the lower left.

        Raises:
            BadArgument: there is no such cell.
        """
        self.chosen = {"x": x, "y": y}
        return list(self.ids)

    def frame(self) -> pd.DataFrame:
        """The rows behind what is chosen, hardest first, with texts where there is a collection."""
        return self._frame(np.array(self.rows, dtype=np.int64).reshape(-1, 2))

    def hand_over(self, inspector: Inspector) -> None:
        """Show the queries and candidates behind what is chosen in an inspector, to be judged.

        Raises:
            BadArgument: nothing is behind it, or the inspector shows a list without these pairs.
        """
        if not self.ids:
            wanted = "there are no rows behind it"
            raise BadArgument("chosen", dict(self.chosen), wanted, "Choose a bar with candidates.")
        inspector.ids = [(query, doc) for query, doc in self.ids]

    # -- state -----------------------------------------------------------------------------------

    @traitlets.validate("checkpoint")  # type: ignore[untyped-decorator]
    def _known_checkpoint(self, proposal: Any) -> str:
        check_choice("checkpoint", proposal["value"], self._levels)
        return str(proposal["value"])

    @traitlets.validate("chosen")  # type: ignore[untyped-decorator]
    def _known_bar(self, proposal: Any) -> dict[str, Any]:
        self.level.behind(proposal["value"])
        return dict(proposal["value"])

    def _turned(self, _: object) -> None:
        if "x" in self.chosen:  # each checkpoint has a grid of its own
            self.chosen = {}
        self._follow(None)

    def _follow(self, _: object) -> None:
        candidates = self.level.candidates
        rows = hardest_first(candidates, self.level.behind(self.chosen))
        docs = candidates.docs[rows[:, 0], rows[:, 1]]
        queries, found = candidates.query_ids[rows[:, 0]], candidates.doc_ids[docs]
        self.rows = [tuple(row) for row in rows.tolist()]
        self.ids = list(zip(queries.tolist(), found.tolist(), strict=True))

    def _frame(self, rows: np.ndarray) -> pd.DataFrame:
        import pandas as pd

        level, at = self.level, (rows[:, 0], rows[:, 1])
        candidates = level.candidates
        docs = candidates.docs[at]
        columns: dict[str, Any] = {
            "query": candidates.query_ids[at[0]],
            "candidate": candidates.doc_ids[docs],
            "rank": candidates.ranks[at],
            "score": candidates.scores[at],
            "positive_score": candidates.positive_scores[at[0]],
            "share": share_of_positive_score(candidates)[at],
            "reason": [level.names[code] for code in level.code[at].tolist()],
        }
        if level.said is not None:
            columns["said"] = [SAID[one] for one in level.said[at].tolist()]
        collection = self._options.collection
        if collection is not None and len(rows):
            columns["query_text"] = list(collection.queries[at[0].tolist()]["text"])
            columns["candidate_text"] = list(collection.corpus[docs.tolist()]["text"])
        return pd.DataFrame(columns)

    # -- what the browser asks -------------------------------------------------------------------

    def _told(self, message: dict[str, Any]) -> dict[str, Any]:
        self.checkpoint = str(message.get("checkpoint"))
        level, grid = self.level, self.level.grid
        cells = np.argwhere(grid.counts > 0)
        counts = grid.counts[cells[:, 0], cells[:, 1]]
        return {
            "title": self._title(),
            "checkpoint": self.checkpoint,
            "checkpoints": list(self._levels),
            "found": int(grid.counts.sum()),
            "reasons": list(level.names),
            "bands": plain_bands(level),
            "density": {
                "x": grid.x.tolist(),
                "y": grid.y.tolist(),
                "cells": np.column_stack([cells, counts]).tolist(),
                "most": int(counts.max(initial=1)),
                "without": grid.without,
            },
            "margins": above_margins(level.candidates, self._options.margins).to_dict("records"),
            "movement": None if self.moved is None else plain_movement(self.moved),
        }

    def _choose(self, message: dict[str, Any]) -> dict[str, Any]:
        self.chosen = dict(message.get("chosen") or {})
        return {"count": len(self.rows)}

    def _page(self, message: dict[str, Any]) -> dict[str, Any]:
        start = int(message.get("start") or 0)
        some = np.array(self.rows[start : start + AT_ONCE], dtype=np.int64).reshape(-1, 2)
        frame = self._frame(some)
        told = [[shown(value) for value in row] for row in frame.itertuples(index=False)]
        names = [name.replace("_", " ") for name in frame.columns]
        return {"count": len(self.rows), "heading": self._heading(), "names": names, "rows": told}

    # -- words, and what stays in the file -------------------------------------------------------

    def _heading(self) -> str:
        if not self.chosen:
            return "Press a bar, a number or a cell of the density for the rows behind it."
        if "x" in self.chosen:
            what = f"cell ({self.chosen['x']}, {self.chosen['y']}) of the density"
        else:
            what = f"share {self.chosen['band']}, {self.chosen['part']}"
        return f"{len(self.rows):,} rows behind {what}, hardest first"

    def _line(self) -> str:
        return f"HardnessExplorer({self._title()})"

    def _title(self) -> str:
        level = self.level
        found, kept = int((level.code >= 0).sum()), int((level.code == 0).sum())
        rounds = f", {len(self._levels)} checkpoints" if self.moved is not None else ""
        return f"{self.checkpoint}: {found:,} found, {kept:,} kept{rounds}"

    def _static(self) -> Twin:
        level = self.level
        margins = above_margins(level.candidates, self._options.margins)
        facts = level.bands()
        figure = drawing(level.grid, facts, level.names, self._options.margins, self.moved)
        parts = [
            picture(figure, "density of scores, candidates per hardness band, checkpoints"),
            table(facts.drop(columns=["low", "high"]).reset_index(), "Hardness bands"),
            table(margins, "Above the margin lines"),
        ]
        if self.moved is not None:
            parts.append(table(self.moved.reset_index(), "Over checkpoints"))
        if self.rows:
            some = np.array(self.rows[:20], dtype=np.int64)
            parts += [words(self._heading()), table(self._frame(some), "The hardest of them")]
        digest = {
            "view": "hardness_explorer",
            "checkpoint": self.checkpoint,
            "checkpoints": list(self._levels)[:50],
            "found": int((level.code >= 0).sum()),
            "kept": int((level.code == 0).sum()),
            "bands": [
                {"band": one["band"], "found": one["found"], "kept": one["counts"][0]}
                for one in plain_bands(level)
            ],
            "reasons": {
                cut(name, 80): int((level.code == code).sum())
                for code, name in enumerate(level.names[:30])
            },
            "margins": margins.to_dict("records"),
            "chosen": dict(self.chosen),
            "ids": [[cut(str(name), 80) for name in pair] for pair in self.ids[:20]],
        }
        return Twin(html=page(self._line(), *parts), digest=digest)


def hardness_explorer(
    candidates: Candidates | Mapping[str, Candidates],
    *,
    collection: Collection | None = None,
    rules: Sequence[Rule] = (),
    what_if: WhatIf | Mapping[str, WhatIf] | None = None,
    margins: Sequence[float] = (0.0, 0.05, 0.1),
    verdicts: Verdicts | None = None,
    truth: Bools | Mapping[str, Bools] | None = None,
    edges: Sequence[float] = EDGES,
    bins: int = 40,
) -> HardnessExplorer:
    """See how hard mined negatives are, what rules drop of them, and which rows those are.

    In the browser: press a bar, a number of the table, or a cell of the density (arrows walk in it,
    Enter chooses) for the rows behind it; `view.ids` holds them in Python, and
    `view.hand_over(inspector)` shows them to a judge. [ and ] step through checkpoints.

    Args:
        candidates: mined; or name -> candidates mined at each checkpoint of one collection, in
            order. The last is shown first.
        collection: where texts stand, and labelled positives for rules that ask for them.
        rules: tried on the candidates; the first that drops one counts.
        what_if: facts made before (`WhatIf(candidates, collection=..., guide=...)`), for rules that
            ask a guide; by name where candidates are.
        margins: lines below the positive's score, in units of the score, usually 0 to 0.2.
        verdicts: what people said, counted per band.
        truth: (query, rank) what is in fact a positive, instead of verdicts.
        edges: of the bands, rising shares of the positive's score.
        bins: cells of the density a side, usually 20 to 80.

    Returns:
        The view; traits `checkpoint`, `chosen`, `rows`, `ids`.

    Raises:
        BadArgument: nothing to show, an option out of range, or a rule that lacks a fact.
        BadData: checkpoints, or a collection, of other queries or documents.

    Example:
        >>> from workbench.data import from_rows
        >>> from workbench.mine import bm25
        >>> rows = [{"query": f"word {n}", "positive": f"word {n} said"} for n in range(3)]
        >>> view = hardness_explorer(bm25(from_rows(rows, name="demo")))
        >>> view, len(view.select("below 0.5"))
        (HardnessExplorer(mined: 6 found, 6 kept), 6)

    Breaks when: the positive's score is near 0, of which any share is huge; a bar of a million
    candidates takes seconds to list.
    """
    single = isinstance(candidates, Candidates)
    levels = {ONE: candidates} if isinstance(candidates, Candidates) else dict(candidates)
    _check_levels(levels, collection)
    band_names(edges)
    options = Options(
        collection=collection,
        rules=tuple(rules),
        what_if=_named("what_if", what_if, levels, single=single),
        margins=tuple(margins),
        verdicts=verdicts,
        truth=_named("truth", truth, levels, single=single),
        edges=tuple(edges),
        bins=bins,
    )
    above_margins(next(iter(levels.values())), options.margins)
    return HardnessExplorer(levels, options=options)


def _check_levels(levels: Mapping[str, object], collection: Collection | None) -> None:
    mend = "Pass what a miner found, or name -> that."
    if not levels:
        raise BadArgument("candidates", levels, "it must hold a checkpoint", mend)
    for name, one in levels.items():
        if not isinstance(one, Candidates):
            raise BadArgument(f"candidates[{name!r}]", one, "it must be Candidates", mend)
        if not one.docs.size:
            wanted = "there must be a query and a rank"
            raise BadArgument(f"candidates[{name!r}]", one, wanted, mend)
        if collection is not None:
            ours = "Pass the collection that was mined."
            check_ids("candidates' queries", collection.query_ids, one.query_ids, ours)
            check_ids("candidates' documents", collection.doc_ids, one.doc_ids, ours)


def _named(name: str, given: Any, levels: Mapping[str, Candidates], *, single: bool) -> Any:
    """An option by checkpoint."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        for one in given:
            check_choice(name, one, levels)
        return dict(given)
    if not single:
        wanted = "there are several checkpoints"
        raise BadArgument(name, type(given).__name__, wanted, "Pass name -> one of each.")
    return {ONE: given}
