"""What people said of pairs, and how well a ranking did per query."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench import files
from workbench.errors import BadArgument
from workbench.types._columns import Ids, same_length

if TYPE_CHECKING:
    import pandas as pd


LABELS = ("positive", "negative", "unsure", "skip")


@dataclass(frozen=True, eq=False, kw_only=True)
class Verdicts:
    """What people (or judges) said of (query, candidate) pairs, oldest first.

    Args:
        query_ids: (row,).
        doc_ids: (row,).
        labels: (row,) each of positive, negative, unsure, skip. The newest of a pair wins.
        judges: (row,) who said it.

    Raises:
        BadArgument: an unknown label.

    Example:
        >>> import numpy as np
        >>> said = Verdicts.of([("q1", "d1", "negative"), ("q1", "d1", "positive")], judge="me")
        >>> said.newest()
        {('q1', 'd1'): 'positive'}
    """

    query_ids: Ids
    doc_ids: Ids
    labels: Ids
    judges: Ids

    def __post_init__(self) -> None:
        same_length(
            "Verdicts",
            query_ids=self.query_ids,
            doc_ids=self.doc_ids,
            labels=self.labels,
            judges=self.judges,
        )
        for label in dict.fromkeys(self.labels.tolist()):
            if label not in LABELS:
                raise BadArgument(
                    "labels", label, f"it must be one of {', '.join(LABELS)}", "Mend the row."
                )

    @classmethod
    def of(cls, rows: list[tuple[str, str, str]], *, judge: str) -> Verdicts:
        """From (query id, document id, label) triples of one judge."""
        columns = [np.array([row[place] for row in rows], dtype=object) for place in range(3)]
        return cls(
            query_ids=columns[0],
            doc_ids=columns[1],
            labels=columns[2],
            judges=np.array([judge] * len(rows), dtype=object),
        )

    def newest(self) -> dict[tuple[str, str], str]:
        """The last label of each (query id, document id)."""
        pairs = zip(self.query_ids.tolist(), self.doc_ids.tolist(), strict=True)
        return dict(zip(pairs, self.labels.tolist(), strict=True))

    def frame(self) -> pd.DataFrame:
        """One row per verdict."""
        import pandas as pd

        return pd.DataFrame(
            {
                "query_id": self.query_ids,
                "doc_id": self.doc_ids,
                "label": self.labels,
                "judge": self.judges,
            }
        )

    def save(self, folder: str | Path) -> Path:
        """Write one folder."""
        return files.save_record(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> Verdicts:
        """Read what `save` wrote."""
        return files.load_record(cls, folder)


def check_verdicts(argument: str, value: object) -> None:
    """Refuse a store, opinions or anything else where verdicts are wanted.

    Raises:
        BadArgument: what it is instead.
    """
    if not isinstance(value, Verdicts):
        mend = "Call store.verdicts(), or audit.to_verdicts(opinions)."
        raise BadArgument(argument, type(value).__name__, "it must be Verdicts", mend)


@dataclass(frozen=True, eq=False, kw_only=True)
class Scorecard:
    """Metrics per query, so that two runs can be compared with a paired test.

    Args:
        name: what was scored.
        query_ids: (query,).
        values: metric name -> (query,) values.
        recipe: fingerprints of collection and encoder, options.

    Raises:
        BadData: lengths differ.

    Example:
        >>> import numpy as np
        >>> card = Scorecard(name="a", query_ids=np.array(["q"], dtype=object),
        ...                  values={"RR@10": np.array([0.5])})
        >>> card.mean()
        {'RR@10': 0.5}
    """

    name: str
    query_ids: Ids
    values: dict[str, NDArray[np.float64]]
    recipe: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        same_length(f"Scorecard {self.name}", query_ids=self.query_ids, **self.values)

    def mean(self) -> dict[str, float]:
        """Mean over queries of every metric."""
        return {name: float(np.mean(value)) for name, value in self.values.items()}

    def frame(self) -> pd.DataFrame:
        """One row per query, one column per metric."""
        import pandas as pd

        return pd.DataFrame(self.values, index=pd.Index(self.query_ids, name="query_id"))

    def save(self, folder: str | Path) -> Path:
        """Write `scores.parquet` and `recipe.json`."""
        target = Path(folder)
        files.check_replaceable(target, {"scores.parquet", files.RECIPE}.__contains__)
        with files.atomic_folder(target) as temporary:
            self.frame().to_parquet(temporary / "scores.parquet")
            files.write_json(temporary / files.RECIPE, {"name": self.name, "recipe": self.recipe})
        return target

    @classmethod
    def load(cls, folder: str | Path) -> Scorecard:
        """Read what `save` wrote."""
        import pandas as pd

        recipe = files.read_json(Path(folder) / files.RECIPE)
        frame = pd.read_parquet(Path(folder) / "scores.parquet")
        values = {str(name): frame[name].to_numpy(dtype=np.float64) for name in frame.columns}
        ids = frame.index.to_numpy(dtype=object)
        return cls(name=recipe["name"], query_ids=ids, values=values, recipe=recipe["recipe"])

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {value:.4f}" for name, value in self.mean().items())
        return f"Scorecard({self.name!r}, {len(self.query_ids):,} queries: {shown})"
