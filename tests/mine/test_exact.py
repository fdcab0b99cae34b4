import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from workbench.errors import BadArgument, BadData
from workbench.mine.exact import top_k


def by_loops(queries, docs, k, excluded):
    """Sort every document of every query by (-score, position)."""
    scores, places = [], []
    for row, query in enumerate(queries):
        found = [
            (-float(query @ doc), place)
            for place, doc in enumerate(docs)
            if (row, place) not in excluded
        ]
        found = sorted(found)[:k]
        found += [(np.inf, -1)] * (k - len(found))
        scores.append([-score for score, _ in found])
        places.append([place for _, place in found])
    return np.array(scores, dtype=np.float32), np.array(places)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 9),
    m=st.integers(1, 23),
    k=st.integers(1, 26),
    rows=st.integers(1, 5),
    columns=st.integers(1, 12),
    share=st.sampled_from([0.0, 0.3, 0.95]),
)
def test_equals_sorting_everything_ties_and_masks_included(seed, n, m, k, rows, columns, share):
    random = np.random.default_rng(seed)
    queries = random.integers(-2, 3, (n, 3)).astype(np.float32)  # small integers: ties everywhere
    docs = random.integers(-2, 3, (m, 3)).astype(np.float32)
    mask = random.random((n, m)) < share
    scores, places = top_k(queries, docs, k=k, exclude=csr_array(mask), chunk=(rows, columns))
    wanted = by_loops(queries, docs, k, {tuple(cell) for cell in np.argwhere(mask).tolist()})
    np.testing.assert_array_equal(places, wanted[1])
    np.testing.assert_array_equal(scores, wanted[0])


def test_real_valued_vectors_over_several_blocks():
    random = np.random.default_rng(3)
    queries = random.standard_normal((70, 16), dtype=np.float32)
    docs = random.standard_normal((300, 16), dtype=np.float32)
    scores, places = top_k(queries, docs, k=10, chunk=(32, 64))
    exact = queries @ docs.T
    wanted = np.argsort(-exact, axis=1, kind="stable")[:, :10]
    np.testing.assert_array_equal(places, wanted)
    np.testing.assert_allclose(scores, np.take_along_axis(exact, wanted, axis=1), rtol=1e-5)


def test_agrees_with_faiss():
    import faiss

    random = np.random.default_rng(4)
    queries = random.standard_normal((50, 24), dtype=np.float32)
    docs = random.standard_normal((400, 24), dtype=np.float32)
    index = faiss.IndexFlatIP(24)
    index.add(docs)
    np.testing.assert_array_equal(top_k(queries, docs, k=12)[1], index.search(queries, 12)[1])


def test_types_and_read_only_input():
    rows = np.eye(4, dtype=np.float32)
    rows.flags.writeable = False
    scores, places = top_k(rows, rows, k=6)
    assert (scores.dtype, places.dtype, places.shape) == (np.float32, np.int64, (4, 6))
    assert (places[:, 4:] == -1).all()
    assert np.isneginf(scores[:, 4:]).all()


def test_stored_zeros_exclude_nothing():
    rows = np.eye(2, dtype=np.float32)
    stored = csr_array((np.array([0.0, 1.0]), ([0, 1], [0, 1])), shape=(2, 2))
    assert top_k(rows, rows, k=1, exclude=stored)[1].tolist() == [[0], [0]]


def test_memory_is_a_block_not_the_matrix(monkeypatch):
    from workbench.mine import exact

    sizes = []
    real = exact.best

    def watched(scores, k):
        sizes.append(scores.numel())
        return real(scores, k)

    monkeypatch.setattr(exact, "best", watched)
    rows = np.random.default_rng(0).standard_normal((200, 4), dtype=np.float32)
    exact.top_k(rows, rows, k=3, chunk=(16, 32))
    assert max(sizes) == 16 * 32
    assert sum(sizes) == 200 * 200


def test_mistakes_are_named():
    rows = np.ones((2, 3), dtype=np.float32)
    with pytest.raises(BadArgument, match=r"`k` is 0, but it must be a whole number >= 1"):
        top_k(rows, rows, k=0)
    with pytest.raises(BadArgument, match=r"`docs` is \(2, 2\), but its width must be 3"):
        top_k(rows, rows[:, :2], k=1)
    with pytest.raises(BadArgument, match=r"`queries` is \(0, 3\), but .* Encode some texts"):
        top_k(rows[:0], rows, k=1)
    with pytest.raises(BadArgument, match=r"`exclude` is \(2, 3\), but its shape must be \(2, 2\)"):
        top_k(rows, rows, k=1, exclude=csr_array((2, 3), dtype=bool))
    with pytest.raises(BadArgument, match=r"`chunk` is 0"):
        top_k(rows, rows, k=1, chunk=(0, 5))
    broken = np.array([[1, 1, 1], [np.nan, 1, 1]], dtype=np.float32)
    with pytest.raises(BadData, match=r"document vectors has 1 problem:\n  row 1 holds NaN"):
        top_k(rows, broken, k=1)
