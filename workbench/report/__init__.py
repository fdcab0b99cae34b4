"""What a run leaves in its folder, and reading many of them back."""

from workbench.report.per_query import RESULT, card_of, first_of, top_of
from workbench.report.record import (
    INTERVAL,
    KEYS,
    RUN_VARIABLE,
    lacking,
    project_folder,
    report,
    row,
    run_folder,
    versions,
)
from workbench.report.runs import LEDGER, runs
from workbench.report.sent import DIGEST, ROWS, read_rows

__all__ = [
    "DIGEST",
    "INTERVAL",
    "KEYS",
    "LEDGER",
    "RESULT",
    "ROWS",
    "RUN_VARIABLE",
    "card_of",
    "first_of",
    "lacking",
    "project_folder",
    "read_rows",
    "report",
    "row",
    "run_folder",
    "runs",
    "top_of",
    "versions",
]
