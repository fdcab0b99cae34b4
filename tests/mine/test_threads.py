import threading

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from workbench.errors import BadData
from workbench.mine import exact, ivf, ranking
from workbench.mine.exact import top_k
from workbench.mine.index import nearest
from workbench.mine.threads import in_stripes


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    assert torch.get_num_threads() == 3  # what a search changes it puts back
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("count", "step", "wanted"),
    [
        (10, 1, [(0, 4), (4, 7), (7, 10)]),
        (10, 4, [(0, 4), (4, 8), (8, 10)]),
        (30, 4, [(0, 12), (12, 24), (24, 30)]),
        (2, 1, [(0, 1), (1, 2)]),
        (5, 8, [(0, 5)]),
    ],
)
def test_stripes_cover_all_rows_once_in_whole_blocks(three_threads, count, step, wanted):
    seen = []

    def search(rows):
        seen.append((rows.start, rows.stop))
        return np.zeros((rows.stop - rows.start, 1), np.float32), np.arange(count)[rows, None]

    places = in_stripes(search, count, step=step)[1]
    assert sorted(seen) == wanted
    assert places.ravel().tolist() == list(range(count))


def test_each_stripe_has_one_core_of_its_own(three_threads):
    together = threading.Barrier(3, timeout=20)  # passes only if all three run at once

    def search(rows):
        together.wait()
        number = torch.get_num_threads()
        return np.zeros((1, 1), np.float32), np.full((1, 1), number)

    assert in_stripes(search, 3)[1].tolist() == [[1], [1], [1]]


def test_an_error_of_one_stripe_is_raised_and_threads_are_put_back(three_threads):
    queries, docs = np.ones((40, 3), np.float32), np.ones((9, 3), np.float32)
    docs[7, 1] = np.nan
    with pytest.raises(BadData, match="row 7 holds NaN"):
        top_k(queries, docs, k=2, chunk=(4, 16), devices=["cpu"])


def test_searches_find_the_same_whatever_the_threads(three_threads, rng):
    queries, docs = (rng.integers(-2, 3, (n, 6)).astype(np.float32) for n in (90, 400))
    mask = csr_array(rng.random((90, 400)) < 0.2)
    many = top_k(queries, docs, k=9, exclude=mask, chunk=(8, 64), devices=["cpu"])
    lists = ivf.build(docs, lists=20)
    excluded = ranking.Excluded(mask, mask.shape)
    look = ivf.Search(lists, queries, docs, excluded, 9, 6)
    by_lists = look(slice(0, 90), lambda: None)
    whole = nearest(queries, docs, k=9, exclude=mask, index="ivf", recall=1.0)
    torch.set_num_threads(1)
    alone = ivf.Search(lists, queries, docs, excluded, 9, 6)
    pairs = [
        (many, top_k(queries, docs, k=9, exclude=mask, chunk=(8, 64), devices=["cpu"])),
        (by_lists, alone(slice(0, 90), lambda: None)),
        (whole[:2], nearest(queries, docs, k=9, exclude=mask, index="ivf", recall=1.0)[:2]),
    ]
    assert look.scored == alone.scored
    for found, wanted in pairs:
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, other)
    torch.set_num_threads(3)


def test_the_bar_moves_once_per_block_however_many_stripes(three_threads, monkeypatch, rng):
    ticks = []
    real = exact.in_blocks

    def watched(search, *rest, **options):
        total = options["parts"]
        found = real(lambda rows, tick: search(rows, lambda: ticks.append(1)), *rest, **options)
        assert len(ticks) == total
        return found

    monkeypatch.setattr(exact, "in_blocks", watched)
    rows = rng.standard_normal((60, 3), dtype=np.float32)
    top_k(rows, rows, k=2, chunk=(4, 16), devices=["cpu"])
    assert len(ticks) == 4
