"""The cells of a batch as a picture: what is drawn, what is said of one cell, no widget needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, check_choice, check_count
from workbench.types import Collection, Ids, Ints
from workbench.widgets.theme import COLOURS
from workbench.widgets.twin import cut

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from workbench.train import Explanation

MODES = ("reason", "score", "weight", "share")
MOST = (1_024, 4_096)
"""Rows and columns that are drawn one by one; more are drawn as tiles."""
PRINTED = (300, 480)
"""The same in a static picture, which is that many pixels large."""
QUERIES = ("aa", "pa")
"""Blocks whose columns are queries, not documents."""
LOOKS = ("pp", "pa")
"""Blocks in which the positive looks, not the anchor."""
LONGEST = 4_000
"""Characters of a text that a cell carries."""


def layer(found: Explanation, mode: str) -> NDArray[Any]:
    """The (query, column) numbers that a mode draws.

    Args:
        found: a batch taken apart.
        mode: "reason" (0 = kept), "score", "weight" or "share" (of the row's gradient).

    Raises:
        BadArgument: an unknown mode.
    """
    check_choice("mode", mode, MODES)
    layers: dict[str, NDArray[Any]] = {
        "reason": found.reason,
        "score": found.scores,
        "weight": found.weight,
        "share": found.share,
    }
    return layers[mode]


def segments(blocks: Ids) -> list[tuple[str, int, int]]:
    """(name, first column, columns) of every run of columns of one block.

    Example:
        >>> segments(np.array(["ap", "ap", "an"], dtype=object))
        [('ap', 0, 2), ('an', 2, 1)]
    """
    if not len(blocks):
        return []
    starts = np.flatnonzero(np.concatenate([[True], blocks[1:] != blocks[:-1]]))
    sizes = np.diff([*starts, len(blocks)])
    return [
        (str(blocks[start]), int(start), int(size))
        for start, size in zip(starts, sizes, strict=True)
    ]


def tile_starts(sizes: Sequence[int], most: int) -> Ints:
    """Where tiles of one width begin, at most `most` of them, none across a border.

    Args:
        sizes: cells between borders.
        most: tiles; fewer than there are borders is not possible.

    Returns:
        (tile,) first cell of each, rising; every cell its own tile where they are few.

    Example:
        >>> tile_starts([3, 4], 4).tolist()
        [0, 2, 3, 5]
    """
    check_count("most", most, mend="Try 4096.")
    counts = np.asarray(sizes, dtype=np.int64)
    wide = max(1, -(-int(counts.sum()) // most))
    while int((-(-counts // wide)).sum()) > max(most, len(counts)):
        wide += 1
    ends = np.cumsum(counts)
    parts = [np.arange(end - size, end, wide) for size, end in zip(counts, ends, strict=True)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False, kw_only=True)
class Tiles:
    """A matrix too large for a screen, drawn as the largest cell of each tile.

    Args:
        rows: (tile row,) first row of each.
        columns: (tile column,) first column of each; no tile reaches across two blocks.
        shape: rows and columns of the matrix itself.
    """

    rows: Ints
    columns: Ints
    shape: tuple[int, int]

    @classmethod
    def of(cls, found: Explanation, *, most: tuple[int, int] = MOST) -> Tiles:
        """The tiles of a batch; each cell is its own where the batch is small enough.

        Args:
            found: a batch taken apart.
            most: rows and columns drawn.
        """
        count = len(found.queries)
        sizes = [size for _, _, size in segments(found.blocks)]
        return cls(
            rows=tile_starts([count], most[0]) if count else np.zeros(0, np.int64),
            columns=tile_starts(sizes, most[1]),
            shape=(count, len(found.blocks)),
        )

    @property
    def whole(self) -> bool:
        """Is every cell drawn by itself?"""
        return (len(self.rows), len(self.columns)) == self.shape

    def largest(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """(tile row, tile column) largest cell of each tile; NaN never wins."""
        if self.whole:
            return matrix
        wide = np.fmax.reduceat(matrix, self.columns, axis=1)
        found: NDArray[Any] = np.fmax.reduceat(wide, self.rows, axis=0)
        return found

    def cell(self, matrix: NDArray[Any], tile: tuple[int, int]) -> tuple[int, int]:
        """The (row, column) whose number a tile shows, the first among equals."""
        rows, columns = (
            slice(starts[place], starts[place + 1] if place + 1 < len(starts) else end)
            for starts, place, end in zip((self.rows, self.columns), tile, self.shape, strict=True)
        )
        part = matrix[rows, columns]
        if part.dtype.kind == "f":
            part = np.where(np.isnan(part), -np.inf, part)
        row, column = np.unravel_index(int(np.argmax(part)), part.shape)
        return int(rows.start + row), int(columns.start + column)

    def tile(self, row: int, column: int) -> tuple[int, int]:
        """The tile in which a cell stands."""
        places = zip((self.rows, self.columns), (row, column), strict=True)
        first, second = (int(np.searchsorted(starts, one, "right")) - 1 for starts, one in places)
        return first, second


def heaviest(found: Explanation, row: int, *, top: int = 10) -> pd.DataFrame:
    """The negatives that carried most of one anchor's gradient: `found.heaviest` of one row.

    Args:
        found: a batch taken apart.
        row: of the batch.
        top: how many, usually 10.

    Returns:
        As `Explanation.heaviest`, with the `column` of each beside it.

    Raises:
        BadArgument: no such row, or top < 1.
    """
    check_place("row", row, len(found.queries))
    check_count("top", top, mend="Try 10.")
    one = slice(row, row + 1)
    alone = replace(
        found,
        queries=found.queries[one],
        docs=found.docs[one],
        sources=found.sources[one],
        scores=found.scores[one],
        weight=found.weight[one],
        share=found.share[one],
        reason=found.reason[one],
        values=found.values[one],
    )
    frame = alone.heaviest(top).assign(row=row)
    order = np.argsort(-found.share[row], kind="stable")[: len(frame)]
    frame.insert(1, "column", order)
    return frame


def cell_of(
    found: Explanation, row: int, column: int, collection: Collection | None = None
) -> dict[str, Any]:
    """All that is known of one cell: who looks at what, both texts, and what came of it.

    Args:
        found: a batch taken apart.
        row: of the batch, whose anchor looks.
        column: its candidate.
        collection: where texts stand; None = there are none.

    Returns:
        Plain JSON: `row`, `column`, `block`, ids (or positions) of `query`, `positive` and
        `candidate` (None for a mix), the texts `query_text`, `positive_text`, `candidate_text` of
        at most 4,000 characters, `looks` ("query" or "positive": whose score it is), `score`,
        `weight`, `share` of the row's gradient, `reason`, and the row's `loss`. What is not a
        number is None.

    Raises:
        BadArgument: no such row or column.
    """
    check_place("row", row, len(found.queries))
    check_place("column", column, len(found.blocks))
    block, place = str(found.blocks[column]), int(found.positions[column])
    query, positive = int(found.queries[row]), int(found.docs[row])
    made = place < 0
    side = "query" if block in QUERIES else "doc"
    return {
        "row": row,
        "column": column,
        "block": block,
        "looks": "positive" if block in LOOKS else "query",
        "query": _id(found, "query", query),
        "positive": _id(found, "doc", positive),
        "candidate": None if made else _id(found, side, place),
        "query_text": text_of(collection, "query", query),
        "positive_text": text_of(collection, "doc", positive),
        "candidate_text": _mixed(found, row, column, collection)
        if made
        else text_of(collection, side, place),
        "score": _number(found.scores[row, column]),
        "weight": _number(found.weight[row, column]),
        "share": _number(found.share[row, column]),
        "reason": found.reasons[int(found.reason[row, column])],
        "loss": _number(found.values[row]),
    }


def text_of(collection: Collection | None, side: str, place: int) -> str:
    """The beginning of one text; empty without a collection."""
    if collection is None:
        return ""
    table = collection.queries if side == "query" else collection.corpus
    text = str(table[place]["text"])
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}... ({len(text):,} characters)"


def named(found: Explanation, row: int) -> str | int:
    """Id of a row's anchor, or its position where there are no ids."""
    return _id(found, "query", int(found.queries[row]))


def _id(found: Explanation, side: str, place: int) -> str | int:
    if found.ids is None:
        return place
    return str(found.ids[0 if side == "query" else 1][place])


def _mixed(found: Explanation, row: int, column: int, collection: Collection | None) -> str:
    """What a synthetic column is made of."""
    first = len(found.blocks) - found.sources.shape[1]
    parts = []
    for place in found.sources[row, column - first].tolist():
        side, where = ("query", int(found.queries[row])) if place < 0 else ("doc", place)
        text = text_of(collection, side, where)
        parts.append(f"{_id(found, side, where)}: {text}" if text else str(_id(found, side, where)))
    return "a mix of\n" + "\nand of\n".join(parts)


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def check_place(argument: str, value: object, count: int) -> int:
    """Refuse what is no place among `count`; return what is one.

    Raises:
        BadArgument: it is too large, negative or no whole number.
    """
    check_count(argument, value, at_least=0, mend="Places count from 0.")
    place = index(value)  # type: ignore[arg-type]
    if place >= count:
        wanted = f"there are {count:,}, counted from 0"
        raise BadArgument(argument, value, wanted, "Take a smaller one.")
    return place


# -- the whole batch ----------------------------------------------------------------------------


def letter(code: int) -> str:
    """The letter of a reason; none for what is kept.

    Example:
        >>> letter(0), letter(1), letter(30)
        ('', 'A', '30')
    """
    if code == 0:
        return ""
    return chr(ord("A") + code - 1) if code <= 26 else str(code)


def colour(code: int) -> str:
    """The colour of a reason, for codes from 1; grey is for what is kept."""
    return COLOURS[(code - 1) % (len(COLOURS) - 1)]


def summary(found: Explanation) -> dict[str, Any]:
    """Plain counts of a batch.

    Returns:
        `anchors`, `candidates`, `kept` cells, `loss` (mean), `reasons` (name -> cells, none left
        away but those that never apply) and `blocks`, one dict per block as `by_block` has it;
        what is not a number is None.
    """
    counts = np.bincount(found.reason.reshape(-1), minlength=len(found.reasons))
    frame = found.by_block().reset_index()
    blocks = [
        {name: plain(value) for name, value in row.items()} for row in frame.to_dict("records")
    ]
    return {
        "anchors": len(found.queries),
        "candidates": len(found.blocks),
        "kept": int(counts[0]),
        "loss": plain(float(np.mean(found.values))) if len(found.values) else None,
        "reasons": {
            name: int(count) for name, count in zip(found.reasons, counts, strict=True) if count
        },
        "blocks": blocks,
    }


def plain(value: Any) -> Any:
    """A number as JSON holds it; None for what is not finite."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def drawing(found: Explanation) -> Figure:
    """The matrix as matplotlib draws it: reasons above scores on the left, gradient on the right.

    Args:
        found: a batch taken apart.

    Returns:
        A figure of two panels; large batches are drawn as tiles, each as its largest cell.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    tiles = Tiles.of(found, most=PRINTED)
    codes, scores = tiles.largest(found.reason), np.nan_to_num(tiles.largest(found.scores))
    span = max(float(np.ptp(scores)), 1e-9) if scores.size else 1.0
    grey = 0.24 + 0.7 * (scores - scores.min(initial=0.0)) / span
    painted = np.repeat(grey.clip(0, 1)[:, :, None], 3, axis=2)
    patches = []
    for code in np.unique(codes[codes > 0]).tolist():
        shade = np.array([int(colour(code)[at : at + 2], 16) for at in (1, 3, 5)]) / 255
        painted[codes == code] = shade
        name = cut(found.reasons[code], 60)
        patches.append(Patch(facecolor=colour(code), label=f"{letter(code)} {name}"))
    figure = Figure(figsize=(11, 4.5))
    left, right = figure.subplots(1, 2)
    left.imshow(painted, aspect="auto", interpolation="nearest")
    left.set_title("why each cell counts or not (kept: grey by score)", fontsize=9)
    root = np.sqrt(tiles.largest(found.share))
    right.imshow(root, aspect="auto", interpolation="nearest", cmap="cividis")
    right.set_title("square root of the share of the row's gradient", fontsize=9)
    for axes in (left, right):
        axes.set_ylabel("anchor")
        for name, first, size in segments(found.blocks):
            begin, _ = tiles.tile(0, first)[1], size
            axes.axvline(begin - 0.5, color="white", linewidth=1.5)
            axes.axvline(begin - 0.5, color="black", linewidth=0.5)
            axes.text(begin, -0.02, name, va="top", fontsize=8, transform=_below(axes))
        axes.set_xticks([])
    if patches:
        figure.legend(handles=patches, loc="lower left", ncols=2, fontsize=7, frameon=False)
        figure.subplots_adjust(bottom=0.12 + 0.05 * ((len(patches) + 1) // 2))
    return figure


def _below(axes: Any) -> Any:
    """Data along the columns, the axes' own height across."""
    return axes.get_xaxis_transform()
