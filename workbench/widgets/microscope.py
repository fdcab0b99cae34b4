"""Look at one batch cell by cell: what is contrasted, what was dropped and why, what it weighs.

    row = an anchor, column = a candidate, blocks of columns side by side

Drawn: the similarity matrix, with every dropped cell in the colour and letter of its reason; or
scores, weights, or each negative's share of its row's gradient. The numbers are those of
`train.explain`; everything shown can be had from `matrix.cell_of`, `matrix.heaviest` and
`Explanation`'s own tables without a widget.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from workbench.errors import BadArgument, BadData, check_choice
from workbench.types import Batch, Collection, Vectors
from workbench.widgets.assets import Core, css, esm
from workbench.widgets.matrix import (
    MODES,
    Tiles,
    cell_of,
    check_place,
    drawing,
    heaviest,
    layer,
    named,
    plain,
    segments,
    summary,
)
from workbench.widgets.pages import Page, Pages, pages_of
from workbench.widgets.twin import Twin, cut, page, picture, table, words
from workbench.widgets.view import View

if TYPE_CHECKING:
    import pandas as pd

    from workbench.sample import Sampler
    from workbench.train import Contrast, Explanation, Knowledge, Run


# -- the view -----------------------------------------------------------------------------------


class MicroscopeCore(Core):
    """The part in the browser; `Microscope` carries the same traits."""

    _esm = esm("drawing.js", "microscope_draw.js", "microscope.js")
    _css = css("drawing.css", "microscope.css")
    place = traitlets.Int(0).tag(sync=True)
    mode = traitlets.Unicode("reason").tag(sync=True)
    row = traitlets.Int(-1).tag(sync=True)
    column = traitlets.Int(-1).tag(sync=True)


class Microscope(View):
    """One batch at a time, cell by cell; made by `microscope`.

    Args:
        pages: the batches.
        collection: where texts stand, or None.
        place: the first batch to show.
        mode: what is drawn first.

    Traits: `place` (which batch), `row` and `column` (the chosen cell), `cell` (all that is known
    of it, as `matrix.cell_of` gives it) and `mode` can be observed; all but `cell` can be set.
    """

    place = traitlets.Int(0)
    mode = traitlets.Unicode("reason")
    row = traitlets.Int(-1)
    column = traitlets.Int(-1)
    cell = traitlets.Dict()

    def __init__(
        self, pages: Pages, *, collection: Collection | None, place: int, mode: str
    ) -> None:
        self._pages, self._collection = pages, collection
        self._shown: tuple[int, Page, Tiles] | None = None
        self.core = MicroscopeCore(place=place, mode=mode)
        super().__init__([self.core], says=self._line, twin=self._static)
        self.core.observe(self._chosen, ["row", "column"])
        self._now()
        self._links = [
            traitlets.link((self.core, name), (self, name))
            for name in ("place", "mode", "row", "column")
        ]
        self.observe(self._turned, "place")
        self.core.answer("batch", self._batch)
        self.core.answer("layer", self._layer)
        self.core.answer("cell", self._cell_at)
        self.core.answer("row", self._row)

    @property
    def page(self) -> Page:
        """The batch that is shown, taken apart."""
        return self._now()[0]

    @property
    def explanation(self) -> Explanation:
        """The cells of the batch that is shown."""
        return self.page.found

    def select(self, row: int, column: int) -> dict[str, Any]:
        """Choose a cell, as a click does, and return what is known of it.

        Raises:
            BadArgument: no such row or column.
        """
        found = self.explanation
        check_place("row", row, len(found.queries))
        check_place("column", column, len(found.blocks))
        with self.core.hold_trait_notifications():
            self.core.row, self.core.column = row, column
        return dict(self.cell)

    def turn(self, by: int = 1) -> Page:
        """Go to another batch, as the keys [ and ] do; stays within those there are.

        Args:
            by: how many batches on; negative = back.
        """
        last = len(self._pages.names()) - 1
        self.place = min(max(self.place + by, 0), last)
        return self.page

    # -- state -----------------------------------------------------------------------------------

    @traitlets.validate("place")  # type: ignore[untyped-decorator]
    def _known_place(self, proposal: Any) -> int:
        return check_place("place", proposal["value"], len(self._pages.names()))

    @traitlets.validate("mode")  # type: ignore[untyped-decorator]
    def _known_mode(self, proposal: Any) -> str:
        check_choice("mode", proposal["value"], MODES)
        return str(proposal["value"])

    @traitlets.validate("row", "column")  # type: ignore[untyped-decorator]
    def _known_cell(self, proposal: Any) -> int:
        found = self._now()[0].found
        name = proposal["trait"].name
        count = len(found.queries) if name == "row" else len(found.blocks)
        return check_place(name, proposal["value"], count)

    def _now(self) -> tuple[Page, Tiles]:
        """The page at `place`; a new one is chosen the cell that cost most."""
        if self._shown is None or self._shown[0] != self.core.place:
            made = self._pages.make(self.core.place)
            self._shown = (self.core.place, made, Tiles.of(made.found))
            found = made.found
            row = int(np.argmax(np.nan_to_num(found.values)))
            column = int(np.argmax(found.share[row]))
            with self.core.hold_trait_notifications():
                self.core.row, self.core.column = row, column
            self._chosen(None)
        return self._shown[1], self._shown[2]

    def _turned(self, _: object) -> None:
        with suppress(BadArgument, BadData):  # said when the page is asked for, here or there
            self._now()

    def _chosen(self, _: object) -> None:
        found = self._now()[0].found
        row, column = self.core.row, self.core.column
        if 0 <= row < len(found.queries) and 0 <= column < len(found.blocks):
            self.cell = cell_of(found, row, column, self._collection)

    # -- what the browser asks -------------------------------------------------------------------

    def _batch(self, message: dict[str, Any]) -> dict[str, Any]:
        self.place = check_place("place", message.get("place"), len(self._pages.names()))
        shown, tiles = self._now()
        found, told = shown.found, summary(shown.found)
        count = len(self._pages.names())
        note = "" if tiles.whole else "a point is the largest cell of its tile"
        blocks = []
        for name, first, size in segments(found.blocks):
            begin, end = tiles.tile(0, first)[1], tiles.tile(0, first + size - 1)[1]
            facts = next(one for one in told["blocks"] if one["block"] == name)
            title = f"{name}: {size:,} candidates"
            blocks.append({**facts, "name": name, "title": title, "first": begin} | {
                "count": end - begin + 1
            })  # fmt: skip
        return {
            "place": self.place,
            "count": count,
            "name": shown.name,
            "note": note,
            "whole": tiles.whole,
            "shape": list(tiles.shape),
            "tiles": [len(tiles.rows), len(tiles.columns)],
            "starts": [tiles.rows.tolist(), tiles.columns.tolist()],
            "blocks": blocks,
            "reasons": [
                {"name": name, "count": told["reasons"].get(name, 0)} for name in found.reasons
            ],
            "report": [[name, plain(value)] for name, value in shown.report.items()],
        }

    def _layer(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        shown, tiles = self._now()
        drawn = tiles.largest(layer(shown.found, str(message.get("mode"))))
        known = drawn[np.isfinite(drawn)]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        kind = np.int8 if drawn.dtype == np.int8 else np.float32
        sent = np.ascontiguousarray(drawn, dtype=kind).tobytes()
        return {"place": self.place, "low": low, "high": high}, [sent]

    def _cell_at(self, message: dict[str, Any]) -> dict[str, Any]:
        shown, tiles = self._now()
        at = (
            check_place("row", message.get("row"), len(tiles.rows)),
            check_place("column", message.get("column"), len(tiles.columns)),
        )
        if not tiles.whole:
            at = tiles.cell(layer(shown.found, str(message.get("mode"))), at)
        return cell_of(shown.found, *at, self._collection)

    def _row(self, message: dict[str, Any]) -> dict[str, Any]:
        found = self.explanation
        row = check_place("row", message.get("row"), len(found.queries))
        columns = heaviest(found, row)["column"].tolist()
        cells = [cell_of(found, row, column, self._collection) for column in columns]
        names = ("column", "candidate", "block", "score", "weight", "share")
        rows = [
            {name: one[name] for name in names} | {"text": cut(one["candidate_text"], 160)}
            for one in cells
        ]
        return {"row": row, "query": plain(named(found, row)), "heaviest": rows}

    # -- words, and what stays in the file -------------------------------------------------------

    def _line(self) -> str:
        found = self.explanation
        kept = int((found.reason == 0).sum())
        shape = f"{len(found.queries):,} anchors x {len(found.blocks):,} candidates"
        return f"Microscope({self.page.name}: {shape}, {kept:,} kept)"

    def _static(self) -> Twin:
        shown = self.page
        found, told, row = shown.found, summary(shown.found), self.row
        top = heaviest(found, row)
        top["text"] = [
            cell_of(found, row, column, self._collection)["candidate_text"]
            for column in top["column"]
        ]
        chosen = self.cell["query_text"]
        parts = [
            words(f"{told['kept']:,} of {found.reason.size:,} cells are kept."),
            picture(drawing(found), f"similarity matrix of {shown.name} by reason, and gradient"),
            table(found.by_block().reset_index(), "Blocks"),
            table(found.by_reason().reset_index(), "Cells by reason"),
            words(f"Row {row}, {named(found, row)}: {cut(chosen)}"),
            table(top.drop(columns=["row", "query", "positive"]), f"Heaviest of row {row}"),
        ]
        if shown.report:
            parts.append(table(_report(shown), "Composition"))
        digest = {
            "view": "microscope",
            "batch": shown.name,
            **told,
            "reasons": {cut(name, 100): count for name, count in told["reasons"].items()},
            "row": row,
            "heaviest": [
                {"candidate": cut(str(name), 100), "share": round(float(share), 6)}
                for name, share in zip(top["candidate"], top["share"], strict=True)
            ],
            "report": {name: plain(value) for name, value in shown.report.items()},
        }
        return Twin(html=page(self._line(), *parts), digest=digest)


def _report(shown: Page) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({"": list(shown.report), "value": list(shown.report.values())})


def microscope(
    found: Explanation | Run | Sampler | Iterable[Batch],
    *,
    collection: Collection | None = None,
    contrast: Contrast | None = None,
    vectors: tuple[Vectors, Vectors] | None = None,
    knowledge: Knowledge | None = None,
    step: int | None = None,
    mode: str = "reason",
) -> Microscope:
    """See one batch cell by cell: scores, weights, reasons, each negative's share of the gradient.

    In the browser: hover or walk with the arrows to read a cell; Enter or a click chooses it, and
    `view.cell` holds it in Python; [ and ] step through batches; 1 to 4 change what is drawn.

    Args:
        found: a batch taken apart (`train.explain`, `run.explain(step)`); a run, whose logged steps
            are replayed with the encoder as it is now; or any sampler or list of batches, for which
            no training is needed but `contrast` and `vectors` are.
        collection: where texts stand; a run brings its own. Without one, positions are shown.
        contrast: what would be contrasted, for a sampler or batches.
        vectors: (query, document) vectors, for a sampler or batches.
        knowledge: what the rules of the contrast ask about.
        step: the logged step of a run (from 1), or the place of a batch (from 0), to begin with;
            None = the last step, or the first batch.
        mode: drawn first: "reason", "score", "weight" or "share".

    Returns:
        The view; traits `place`, `row`, `column`, `cell`, `mode`.

    Raises:
        BadArgument: nothing to look at, something missing, or more than 100 million cells.
        BadData: vectors of other texts.

    Example:
        >>> import torch
        >>> from workbench.train import Contrast, Embedded, explain
        >>> view = microscope(explain(Contrast(), Embedded.of(torch.eye(3), torch.eye(3))))
        >>> view, view.select(0, 0)["reason"]
        (Microscope(batch: 3 anchors x 3 candidates, 6 kept), 'labelled positive')

    Breaks when: a run is training in another thread meanwhile: both use one encoder. Pause it.
    """
    from workbench.train import Run

    check_choice("mode", mode, MODES)
    pages = pages_of(
        found, collection=collection, contrast=contrast, vectors=vectors, knowledge=knowledge
    )
    names = pages.names()
    if isinstance(found, Run):
        collection = found.collection
        place = len(names) - 1 if step is None else _place_of(found, step)
    else:
        place = 0 if step is None else step
        check_place("step", place, len(names))
    return Microscope(pages, collection=collection, place=place, mode=mode)


def _place_of(run: Run, step: int) -> int:
    steps = [row["step"] for row in run.history.rows]
    if step not in steps:
        wanted = f"steps {steps[0]}..{steps[-1]} are logged"
        raise BadArgument("step", step, wanted, "Choose one of them.")
    return steps.index(step)
