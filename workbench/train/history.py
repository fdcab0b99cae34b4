"""One row per optimiser step, appended as it happens, so that nothing is lost to `kill -9`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from workbench import files

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, float | int | str]


class History:
    """The rows of a run, in memory and, given a path, as JSON lines on disk.

    Args:
        path: file to append to; None keeps rows in memory only.

    Example:
        >>> history = History()
        >>> history.append({"step": 1, "loss": 0.5})
        >>> history.frame()["loss"].tolist()
        [0.5]
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.rows: list[Row] = []

    def append(self, row: Row) -> None:
        """Keep a row, on disk too."""
        self.rows.append(row)
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def rewind(self, step: int) -> None:
        """Forget everything after `step`, on disk too, and any half-written last line."""
        rows: list[Row] = []
        if self.path is not None and self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    row = json.loads(line)
                except json.JSONDecodeError:
                    break
                if row["step"] > step:
                    break
                rows.append(row)
            with files.atomic_file(self.path) as temporary:
                text = "".join(json.dumps(row) + "\n" for row in rows)
                temporary.write_text(text, encoding="utf-8")
        self.rows = rows

    def frame(self) -> pd.DataFrame:
        """One row per step."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    def __len__(self) -> int:
        return len(self.rows)
