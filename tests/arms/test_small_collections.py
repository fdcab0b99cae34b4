"""The small real collection: other packages on the two sides, duplicates kept where one trains."""

import re
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires

import numpy as np
import pytest

from workbench.data import KnownPositives, copied_functions, small, small_collections
from workbench.errors import BadArgument


@pytest.fixture
def smaller(monkeypatch):
    """Two packages that are read in a second, in place of four."""
    monkeypatch.setattr(small, "TRAIN", ("accelerate",))
    monkeypatch.setattr(small, "TEST", ("fsspec",))


@pytest.mark.slow
def test_sides_share_nothing_and_training_keeps_its_duplicates(tmp_path, smaller):
    train, test = small_collections(pairs=300, test_queries=100, folder=tmp_path)
    assert (len(train.queries), len(test.queries)) == (300, 100)
    assert set(train.queries["source"][:]) == {"accelerate"}
    assert set(test.queries["source"][:]) == {"fsspec"}
    for name in ("query_groups", "doc_groups"):
        assert not set(getattr(train, name).tolist()) & set(getattr(test, name).tolist())
    rows = np.arange(300)
    answers = KnownPositives.of(train).block(rows, rows).sum(axis=1)
    assert (answers > 1).mean() > 0.02
    again, _ = small_collections(pairs=300, test_queries=100, folder=tmp_path)
    assert again.fingerprint == train.fingerprint
    other, _ = small_collections(pairs=300, test_queries=100, seed=1, folder=tmp_path)
    assert other.fingerprint != train.fingerprint


@pytest.mark.slow
def test_copies_are_false_negatives_of_the_raw_rows_only(tmp_path):
    given, truth = copied_functions("accelerate", copied=30, others=40, folder=tmp_path)
    assert given.doc_texts == truth.doc_texts
    assert given.query_texts == truth.query_texts
    rows = np.arange(len(given.queries))
    assert 40 < len(rows) <= 70
    assert (KnownPositives.of(given).block(rows, rows) == np.eye(len(rows), dtype=bool)).all()
    answers = KnownPositives.of(truth).block(rows, rows).sum(axis=1)
    assert 2 <= (answers > 1).sum() <= 30 + 40
    sizes = np.unique(truth.doc_groups, return_counts=True)[1]
    assert sizes.max() <= small.MOST_COPIES
    other, _ = copied_functions("accelerate", copied=30, others=40, seed=1, folder=tmp_path)
    assert other.fingerprint != given.fingerprint
    for name in ("copied", "others"):
        with pytest.raises(BadArgument, match=rf"`{name}` is 0"):
            copied_functions("accelerate", **{name: 0}, folder=tmp_path)


def test_what_it_names_is_installed_wherever_the_workbench_is():
    wanted = {name.lower() for name in (*small.TRAIN, *small.TEST)}
    needs = {"negatives-workbench"}
    for _ in range(3):  # what the requirements require
        for name in sorted(needs):
            with suppress(PackageNotFoundError):
                asked = [one for one in requires(name) or [] if "extra ==" not in one]
                needs |= {re.split(r"[^\w.-]", one)[0].lower() for one in asked}
    assert wanted <= needs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": 0}, r"`pairs` is 0, but it must be a whole number >= 1"),
        ({"test_queries": 0}, r"`test_queries` is 0, but it must be a whole number >= 1"),
        ({"seed": -1}, r"`seed` is -1, but it must be a whole number >= 0"),
    ],
)
def test_wording(tmp_path, options, message):
    with pytest.raises(BadArgument, match=message):
        small_collections(**options, folder=tmp_path)
    assert not any(tmp_path.iterdir())
