"""One checkpoint's mined candidates with all that is said of them, and that as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import BadArgument, check_choice
from workbench.mine import WhatIf
from workbench.mine.facts import said_of
from workbench.types import Candidates, Collection, Verdicts
from workbench.widgets.bands import (
    Bools,
    Codes,
    Density,
    band_names,
    band_of,
    bands,
    density,
    reasons,
    stacks,
)
from workbench.widgets.matrix import plain
from workbench.widgets.twin import cut

if TYPE_CHECKING:
    import pandas as pd

    from workbench.rules import Rule

ALL = "all"


def said_from(
    candidates: Candidates, *, verdicts: Verdicts | None = None, truth: Bools | None = None
) -> Codes | None:
    """(query, rank) +1 a false negative, -1 a true one, 0 nobody said; None without either.

    Args:
        candidates: mined.
        verdicts: what people said; the newest of a pair counts.
        truth: (query, rank) true where a candidate is in fact a positive, in a planted world.

    Raises:
        BadArgument: both are given, or truth has another shape.
    """
    if truth is None:
        return None if verdicts is None else said_of(verdicts, candidates)
    if verdicts is not None:
        raise BadArgument("verdicts", "and truth", "only one of them can be", "Leave one away.")
    if truth.dtype != np.bool_ or truth.shape != candidates.docs.shape:
        given, wanted = f"{truth.dtype} {truth.shape}", f"it must be bool {candidates.docs.shape}"
        raise BadArgument("truth", given, wanted, "Align it with candidates.docs.")
    return np.where(candidates.docs >= 0, np.where(truth, 1, -1), 0).astype(np.int8)


@dataclass(frozen=True, eq=False, kw_only=True)
class Level:
    """One checkpoint's candidates and all that is said of them.

    Args:
        candidates: mined.
        names: "kept", "dropped earlier", then the rules.
        code: (query, rank) which of these; -1 where there is no candidate.
        said: (query, rank) +1 a false negative, -1 a true one, 0 unknown; None = nobody said.
        grid: the density.
        edges: of the bands.
    """

    candidates: Candidates
    names: tuple[str, ...]
    code: Codes
    said: Codes | None
    grid: Density
    edges: tuple[float, ...]

    def bands(self) -> pd.DataFrame:
        """`bands` with what the rules leave, and what each of them drops beside it."""
        facts = bands(self.candidates, edges=self.edges, kept=self.code == 0, said=self.said)
        counts = stacks(self.candidates, (self.names, self.code), edges=self.edges)
        return facts.drop(columns="kept").join(counts)

    def behind(self, chosen: Mapping[str, Any]) -> Bools:
        """(query, rank) the candidates behind a bar, its part, or a cell of the density.

        Args:
            chosen: {} = none, {"band", "part"} or {"x", "y"}.

        Raises:
            BadArgument: there is no such bar, part or cell.
        """
        if not chosen:
            return np.zeros(self.code.shape, dtype=np.bool_)
        if set(chosen) == {"x", "y"}:
            return self.grid.inside(self.candidates, (chosen["x"], chosen["y"]))
        if set(chosen) != {"band", "part"}:
            wanted = "it must hold band and part, or x and y"
            raise BadArgument("chosen", dict(chosen), wanted, "Call select or select_cell.")
        known = band_names(self.edges)
        check_choice("band", chosen["band"], known)
        check_choice("part", chosen["part"], (ALL, *self.names))
        mine = band_of(self.candidates, edges=self.edges) == known.index(chosen["band"])
        if chosen["part"] == ALL:
            return np.asarray(mine)
        return np.asarray(mine & (self.code == self.names.index(chosen["part"])))


@dataclass(frozen=True, eq=False, kw_only=True)
class Options:
    """What an explorer says of every checkpoint's candidates.

    Args:
        collection: where texts and labelled positives stand, or None.
        rules: tried on them.
        what_if: name -> facts made before.
        margins: of the lines.
        verdicts: what people said.
        truth: name -> (query, rank) what is in fact a positive.
        edges: of the bands.
        bins: of the density.
    """

    collection: Collection | None
    rules: tuple[Rule, ...]
    what_if: Mapping[str, WhatIf]
    margins: tuple[float, ...]
    verdicts: Verdicts | None
    truth: Mapping[str, Bools]
    edges: tuple[float, ...]
    bins: int

    def level(self, name: str, candidates: Candidates) -> Level:
        """All that is said of one checkpoint's candidates."""
        made = self.what_if.get(name)
        names, code = reasons(candidates, self.rules, what_if=made, collection=self.collection)
        truth = self.truth.get(name)
        return Level(
            candidates=candidates,
            names=names,
            code=code,
            said=said_from(candidates, verdicts=self.verdicts, truth=truth),
            grid=density(candidates, bins=self.bins),
            edges=self.edges,
        )


def plain_bands(level: Level) -> list[dict[str, Any]]:
    """Bands as JSON, with a name short enough to stand under a bar."""
    names = ("found", "queries", "judged", "false_negatives")
    rows = []
    for band, row in level.bands().iterrows():
        short = str(band).replace("below ", "< ").replace(" and above", "+").replace(" to ", "–")
        rows.append(
            {
                "band": str(band),
                "short": short,
                "counts": [int(row[name]) for name in level.names],
                **{name: int(row[name]) for name in names if name in row},
            }
        )
    return rows


def plain_movement(moved: pd.DataFrame) -> dict[str, Any]:
    """`movement` as JSON: lines to draw, and the table as words."""
    drawn = [name for name in moved.columns if name == "mean" or name.startswith("q")]
    return {
        "checkpoints": [str(name) for name in moved.index],
        "lines": [
            {"name": name, "values": [plain(float(v)) for v in moved[name]]} for name in drawn
        ],
        "names": ["checkpoint", *moved.columns],
        "rows": [[shown(value) for value in row] for row in moved.itertuples()],
    }


def shown(value: object) -> str:
    """A cell of a table as words."""
    if isinstance(value, float | np.floating):
        return f"{value:.3f}" if np.isfinite(value) else ""
    return cut(str(value), 300)
