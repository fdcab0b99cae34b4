import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from workbench.errors import BadArgument, BadData
from workbench.mine import exact, ranking
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


@pytest.mark.slow
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
    sizes = []
    real = ranking.Running.add

    def watched(self, rows, scores, positions):
        sizes.append(scores.numel())
        return real(self, rows, scores, positions)

    monkeypatch.setattr(ranking.Running, "add", watched)
    rows = np.random.default_rng(0).standard_normal((200, 4), dtype=np.float32)
    top_k(rows, rows, k=3, chunk=(16, 32))
    assert max(sizes) == 16 * 32
    assert sum(sizes) == 200 * 200


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 7),
    m=st.integers(1, 40),
    k=st.integers(1, 12),
    step=st.integers(1, 9),
)
def test_the_gpus_running_best_equals_the_heap(seed, n, m, k, step):
    random = np.random.default_rng(seed)
    scores = random.integers(-2, 3, (n, m)).astype(np.float32)
    scores[random.random((n, m)) < 0.3] = -np.inf
    both = ranking.Running(n, k), ranking.OnDevice(n, k, "cpu")
    for start in range(0, m, step):
        block = torch.from_numpy(scores[:, start : start + step].copy())
        positions = np.arange(start, start + block.shape[1])
        for running in both:
            some = np.sort(random.permutation(n))
            running.add(some, block[torch.from_numpy(some)], positions)
    for ours, theirs in zip(both[0].found(), both[1].found(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("devices", [["cpu", "cpu"], ["cpu"] * 5])
def test_documents_shared_by_several_devices_give_the_same(devices):
    random = np.random.default_rng(0)
    queries = random.integers(-2, 3, (30, 5)).astype(np.float32)
    docs = random.integers(-2, 3, (203, 5)).astype(np.float32)
    mask = csr_array(random.random((30, 203)) < 0.2)
    alone = top_k(queries, docs, k=17, exclude=mask, chunk=(8, 16), devices=["cpu"])
    shared_out = top_k(queries, docs, k=17, exclude=mask, chunk=(8, 16), devices=devices)
    for one, many in zip(alone, shared_out, strict=True):
        np.testing.assert_array_equal(one, many)
    few = top_k(queries, docs[:3], k=2, devices=devices)  # more devices than blocks
    np.testing.assert_array_equal(few[1], top_k(queries, docs[:3], k=2)[1])


def test_merging_pads_and_keeps_the_order_of_equals():
    left = np.array([[0.5, 0.1]], dtype=np.float32), np.array([[4, 2]])
    right = np.array([[0.5, -np.inf]], dtype=np.float32), np.array([[9, -1]])
    scores, places = ranking.merged([left, right], 5)
    assert places.tolist() == [[4, 9, 2, -1, -1]]
    assert scores[0, 3:].tolist() == [-np.inf] * 2


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 7 queries, and how many documents are read."""
    monkeypatch.setattr(exact, "QUERIES", 7)
    reads = []
    real = exact._search

    def watched(queries, docs, rows, *rest):
        reads.append(rows.start)
        if len(reads) == watched.breaks_at:
            raise KeyboardInterrupt
        return real(queries, docs, rows, *rest)

    watched.breaks_at = 0
    monkeypatch.setattr(exact, "_search", watched)
    return reads, watched


def test_an_interrupted_search_goes_on_where_it_stopped(tmp_path, small_blocks, rng):
    reads, watched = small_blocks
    queries, docs = (rng.standard_normal((n, 4), dtype=np.float32) for n in (30, 50))
    mask = csr_array(rng.random((30, 50)) < 0.2)
    folder = tmp_path / "search"
    watched.breaks_at = 3
    with pytest.raises(KeyboardInterrupt):
        top_k(queries, docs, k=5, exclude=mask, checkpoint=folder)
    assert sorted(path.name for path in folder.glob("*.npy")) == [
        "000000.docs.npy", "000000.scores.npy", "000001.docs.npy", "000001.scores.npy",
    ]  # fmt: skip
    (folder / "000001.docs.npy").unlink()  # as after a kill between the two files of a block
    (folder / ".000002.docs.npy.abc.tmp").write_bytes(b"half")
    reads.clear()
    watched.breaks_at = 0
    again = top_k(queries, docs, k=5, exclude=mask, checkpoint=str(folder))
    assert reads == [7, 14, 21, 28]
    plain = top_k(queries, docs, k=5, exclude=mask)
    for one, other in zip(again, plain, strict=True):
        np.testing.assert_array_equal(one, other)
    reads.clear()
    top_k(queries, docs, k=5, exclude=mask, checkpoint=folder)
    assert reads == []


def test_a_checkpoint_of_another_search_is_refused(tmp_path, rng):
    queries, docs = (rng.standard_normal((n, 4), dtype=np.float32) for n in (3, 50))
    folder = tmp_path / "search"
    top_k(queries, docs, k=5, checkpoint=folder)
    changed = docs.copy()
    changed[49, 3] += 1
    mask = csr_array(np.eye(3, 50))
    for other, options, said in (
        (changed, {"k": 5}, r"it holds another search \(other docs\). Name a new folder"),
        (docs, {"k": 6}, r"\(other k\)"),
        (docs, {"k": 5, "exclude": mask}, r"\(other exclude\)"),
    ):
        with pytest.raises(BadArgument, match=said):
            top_k(queries, other, checkpoint=folder, **options)
    np.save(folder / "000000.docs.npy", np.zeros((2, 2)))
    with pytest.raises(BadData, match=r"\(2, 2\) where \(3, 5\) is wanted\nDelete it, and"):
        top_k(queries, docs, k=5, checkpoint=folder)
    (folder / "000000.docs.npy").write_bytes(b"half")
    with pytest.raises(BadData, match="Delete it, and the search makes it again"):
        top_k(queries, docs, k=5, checkpoint=folder)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("text")
    with pytest.raises(BadArgument, match=r"it holds something else \(mine.txt\)"):
        top_k(queries, docs, k=5, checkpoint=tmp_path / "notes")


@pytest.mark.slow
def test_a_killed_process_leaves_what_a_second_one_takes_up(tmp_path):
    """kill -9 while it searches: finished blocks are there, whole, and are not made again."""
    script = """
import sys, os, signal
import numpy as np
from workbench.mine import exact
exact.QUERIES = 10
random = np.random.default_rng(0)
queries, docs = (random.standard_normal((n, 8), dtype=np.float32) for n in (60, 90))
real, count = exact._search, [0]
def counted(*args):
    count[0] += 1
    if len(sys.argv) > 2 and count[0] == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args)
exact._search = counted
scores, places = exact.top_k(queries, docs, k=5, checkpoint=sys.argv[1])
assert (places == exact.top_k(queries, docs, k=5)[1]).all()
print(count[0] - 6)
"""
    command = [sys.executable, "-W", "ignore", "-c", script, str(tmp_path / "search")]
    killed = subprocess.run([*command, "die"], check=False)
    assert killed.returncode == -signal.SIGKILL
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3"]  # of six blocks three were there


def test_a_memory_map_is_read_in_pieces(tmp_path, rng):
    np.save(tmp_path / "docs.npy", rng.standard_normal((500, 4), dtype=np.float32))
    largest = []

    class Watched(np.memmap):
        def __getitem__(self, key):
            found = super().__getitem__(key)
            largest.append(np.size(found))
            return found

    docs = np.load(tmp_path / "docs.npy", mmap_mode="r").view(Watched)
    plain = np.load(tmp_path / "docs.npy")
    found = top_k(plain[:20], docs, k=3, chunk=(8, 64))
    np.testing.assert_array_equal(found[1], top_k(plain[:20], plain, k=3)[1])
    assert max(largest) <= 64 * 4


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
    with pytest.raises(BadArgument, match=r"`devices` is 'cpu', but it must be a list"):
        top_k(rows, rows, k=1, devices="cpu")
    with pytest.raises(BadArgument, match=r"`devices` is \[\], but it must be a list"):
        top_k(rows, rows, k=1, devices=[])
    with pytest.raises(BadArgument, match=r"`devices` is 'tpot', but each must be a device of"):
        top_k(rows, rows, k=1, devices=["tpot"])
    broken = np.array([[1, 1, 1], [np.nan, 1, 1]], dtype=np.float32)
    with pytest.raises(BadData, match=r"document vectors has 1 problem:\n  row 1 holds NaN"):
        top_k(rows, broken, k=1)
    with pytest.raises(BadData, match=r"query vectors has 1 problem:\n  row 1 holds NaN"):
        top_k(broken, rows, k=1)
