"""The small real collection: other packages on the two sides, duplicates kept where one trains."""

import numpy as np
import pytest

from workbench.data import KnownPositives, small_collections
from workbench.errors import BadArgument


@pytest.mark.slow
def test_sides_share_nothing_and_training_keeps_its_duplicates(tmp_path):
    train, test = small_collections(pairs=600, test_queries=100, folder=tmp_path)
    assert (len(train.queries), len(test.queries)) == (600, 100)
    assert set(train.queries["source"][:]) <= {"accelerate", "datasets", "huggingface-hub"}
    assert set(test.queries["source"][:]) == {"networkx"}
    for name in ("query_groups", "doc_groups"):
        assert not set(getattr(train, name).tolist()) & set(getattr(test, name).tolist())
    rows = np.arange(600)
    answers = KnownPositives.of(train).block(rows, rows).sum(axis=1)
    assert (answers > 1).mean() > 0.03
    again, _ = small_collections(pairs=600, test_queries=100, folder=tmp_path)
    assert again.fingerprint == train.fingerprint
    other, _ = small_collections(pairs=600, test_queries=100, seed=1, folder=tmp_path)
    assert other.fingerprint != train.fingerprint


def test_wording(tmp_path):
    with pytest.raises(BadArgument, match=r"`pairs` is 0, but it must be a whole number >= 1"):
        small_collections(pairs=0, folder=tmp_path)
