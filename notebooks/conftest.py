"""Patience for notebooks under nbval: a machine at its limit hands over the last output late."""

import pytest

SECONDS = 120


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Raise nbval's fixed five seconds between the end of a cell and its last message."""
    for item in items:
        if hasattr(item, "output_timeout"):
            item.output_timeout = SECONDS
