"""On a cluster as in one process: the same vectors and candidates, whoever is killed meanwhile."""

import importlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workbench import cluster, mine
from workbench.data import KnownPositives, from_rows
from workbench.encode import encode_collection, scratch
from workbench.errors import BadArgument, BadData
from workbench.types import Vectors

distributed = pytest.importorskip("distributed")
blocks = importlib.import_module("workbench.cluster.dense")  # the function has the module's name
shards = importlib.import_module("workbench.cluster.encode")
importlib.import_module("workbench.scores")  # two threads that import at once upset Python 3.11
WORDS = "add sub mul div sum max min sort map zip join split".split()


@pytest.fixture(scope="module")
def client():
    """Two workers that are threads of this process: they start at once."""
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with distributed.Client(processes=False, silence_logs=logging.ERROR, **options) as client:
        yield client


@pytest.fixture(scope="module")
def collection():
    rng = np.random.default_rng(0)
    rows = []
    for number in range(60):
        one, two = rng.choice(WORDS, size=2, replace=False).tolist()
        rows.append(
            {"query": f"{one} and {two} {number % 50}", "positive": f"def {one}_{two}_{number}()"}
        )
    return from_rows(rows, name="toy")


def encoder_of(collection, kind="bag"):
    texts = collection.query_texts + collection.doc_texts
    return scratch(texts, kind=kind, dim=16, vocab_size=200, layers=1, heads=2, seed=0)


def assert_same(one, two, *, atol=0.0):
    np.testing.assert_array_equal(one.ids, two.ids)
    assert one.fingerprint == two.fingerprint
    assert one.values.dtype == two.values.dtype == np.float32
    np.testing.assert_allclose(one.values, two.values, rtol=0, atol=atol)


# --- encoding --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bag", "transformer"])
@pytest.mark.parametrize("shard", [20, 100])
def test_encoding_is_that_of_one_process(client, collection, tmp_path, kind, shard):
    encoder = encoder_of(collection, kind)
    encoder.age = 12
    encoder.prompts["query"] = "query: "
    for side, texts in (("query", collection.query_texts), ("doc", collection.doc_texts)):
        ids = [f"{side}{number}" for number in range(len(texts))]
        here = encoder.encode(texts, side=side, ids=ids, progress=False)
        there = cluster.encode(
            encoder, texts, side=side, ids=ids, client=client, folder=tmp_path, shard=shard
        )
        assert_same(here, there, atol=1e-6)
        assert there.age == 12
    assert len(list((tmp_path / "encoders").iterdir())) == 1
    assert not list((tmp_path / "parts").iterdir())


def test_equal_texts_are_encoded_once(client, collection, tmp_path):
    encoder = encoder_of(collection)
    texts = ["sub", "add", "sub", "add", "add"]
    found = cluster.encode(encoder, texts, client=client, folder=tmp_path, shard=1)
    assert_same(found, encoder.encode(texts, progress=False))
    (path,) = (tmp_path / "texts").iterdir()
    assert pq.read_table(path)["text"].to_pylist() == ["sub", "add"]


def test_a_collection_in_one_call(client, collection, tmp_path):
    encoder = encoder_of(collection)
    there = cluster.encode_collection(encoder, collection, client=client, folder=tmp_path)
    here = encode_collection(encoder, collection, progress=False)
    for one, two in zip(here, there, strict=True):
        assert_same(one, two)
    assert isinstance(there[1].values, np.memmap)


def write_parquet(path, texts, first=0, *, groups=3):
    ids = [f"d{number}" for number in range(first, first + len(texts))]
    pq.write_table(pa.table({"text": texts, "id": ids}), path, row_group_size=groups)


@pytest.mark.slow
@pytest.mark.parametrize("shard", [2, 5, 100])
def test_parquet_files_are_read_by_the_workers(client, collection, tmp_path, shard):
    texts, encoder = collection.doc_texts, encoder_of(collection)
    source = tmp_path / "corpus"
    source.mkdir()
    for number, (start, stop) in enumerate([(0, 13), (13, 14), (14, 60)]):
        write_parquet(source / f"{number}.parquet", texts[start:stop], start)
    there = cluster.encode(encoder, source, client=client, folder=tmp_path / "work", shard=shard)
    ids = [f"d{number}" for number in range(60)]
    assert_same(there, encoder.encode(texts, ids=ids, progress=False))
    one = cluster.encode(
        encoder, source / "1.parquet", client=client, folder=tmp_path / "work", shard=shard
    )
    assert one.ids.tolist() == ["d13"]


def test_nothing_is_encoded_twice_and_never_by_another_encoder(
    client, collection, tmp_path, monkeypatch
):
    encoder, texts = encoder_of(collection), collection.doc_texts
    first = cluster.encode(encoder, texts, client=client, folder=tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(shards, "run_shards", None)
        assert_same(first, cluster.encode(encoder, texts, client=client, folder=tmp_path))
    next(encoder.parameters()).data.mul_(-1.0)
    second = cluster.encode(encoder, texts, client=client, folder=tmp_path)
    assert_same(second, encoder.encode(texts, progress=False))
    assert second.encoder != first.encoder
    assert not np.allclose(second.values, first.values)


def test_shards_that_are_done_are_not_done_again(client, collection, tmp_path, monkeypatch):
    """What a killed client left: its finished shards are taken as they are."""
    encoder, texts = encoder_of(collection), collection.doc_texts
    seen = {}

    def killed(client, work, jobs, *, label):
        seen.update(jobs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shards, "run_shards", killed)
        with pytest.raises(KeyboardInterrupt):
            cluster.encode(encoder, texts, client=client, folder=tmp_path, shard=20)
    paths = list(seen)
    assert [path.name for path in paths] == [f"{number:08d}.npy" for number in range(3)]
    marked = np.full((20, 16), 0.25, dtype=np.float32)
    paths[1].parent.mkdir(parents=True)
    np.save(paths[1], marked)
    found = cluster.encode(encoder, texts, client=client, folder=tmp_path, shard=20).values
    expected = encoder.encode(texts, progress=False).values.copy()
    expected[20:40] = 0.25
    np.testing.assert_array_equal(found, expected)


def test_a_worker_that_loads_another_encoder_refuses(collection, tmp_path):
    home = encoder_of(collection).save(tmp_path / "encoder")
    write_parquet(tmp_path / "t.parquet", ["add"])
    loaded = (str(home), "cpu", False, "doc", "0123456789abcdef")
    with pytest.raises(BadData, match=r"a worker loads it as .*, not as 0123456789abcdef"):
        shards.encode_shard(loaded, (str(tmp_path / "t.parquet"), 0, 1), str(tmp_path / "x.npy"))
    assert not (tmp_path / "x.npy").exists()


def test_what_a_worker_finds_wrong_is_said_here(client, collection, tmp_path):
    encoder = encoder_of(collection)
    next(encoder.parameters()).data.fill_(float("nan"))
    texts = collection.doc_texts
    with pytest.raises(BadArgument, match="the model gives it a vector that is not finite"):
        cluster.encode(encoder, texts, client=client, folder=tmp_path, shard=9)


# --- mining ----------------------------------------------------------------------------------


def vectors_of(collection, *, seed=0, dim=8, levels=None):
    """Random vectors; with `levels` so coarse that scores tie."""
    rng = np.random.default_rng(seed)
    sides = []
    for ids in (collection.query_ids, collection.doc_ids):
        values = rng.standard_normal((len(ids), dim))
        if levels is not None:
            values = np.round(values * levels) / levels
        sides.append(Vectors(values=values.astype(np.float32), ids=ids, encoder=f"e{seed}"))
    return tuple(sides)


def assert_same_candidates(one, two):
    for name in ("query_ids", "doc_ids", "docs", "scores", "ranks", "weight", "positive_scores"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)
    assert one.miner == two.miner
    account = one.recipe["index"] | {"reason": "in blocks on a Dask cluster"}
    assert two.recipe == one.recipe | {"index": account}
    assert one.fingerprint == two.fingerprint


@pytest.mark.slow
@pytest.mark.parametrize("levels", [64, 1])
@pytest.mark.parametrize("block", [(60, 60), (25, 23), (60, 9)])
@pytest.mark.parametrize("exclude", ["known", "labelled", "nothing"])
def test_candidates_are_those_of_one_process(client, collection, tmp_path, levels, block, exclude):
    """Sums of few bits are exact, so that ties are ties in every block."""
    sides = vectors_of(collection, levels=levels)
    for k in (5, 80):
        here = mine.dense(collection, *sides, k=k, exclude=exclude)
        there = cluster.dense(
            collection, *sides, k=k, exclude=exclude, client=client, folder=tmp_path, block=block
        )
        assert_same_candidates(here, there)
    assert not list((tmp_path / "parts").iterdir())


@pytest.mark.slow
def test_large_blocks_are_bitwise_those_of_one_process(client, tmp_path, collection_of):
    pairs = {(query, query): 1.0 for query in range(700)}
    collection = collection_of(pairs, queries=700, docs=20_000)
    sides = vectors_of(collection, dim=24)
    here = mine.dense(collection, *sides, k=20)
    there = cluster.dense(
        collection, *sides, k=20, client=client, folder=tmp_path, block=(512, 8192)
    )
    assert_same_candidates(here, there)


def test_a_wider_graph_of_known_positives(client, collection, tmp_path):
    sides = vectors_of(collection)
    known = KnownPositives.of(collection)
    here = mine.dense(collection, *sides, k=9, known=known)
    assert_same_candidates(
        here, cluster.dense(collection, *sides, k=9, known=known, client=client, folder=tmp_path)
    )


@pytest.mark.slow
def test_vectors_of_the_folder_are_searched_where_they_lie(client, collection, tmp_path):
    encoder = encoder_of(collection)
    sides = cluster.encode_collection(encoder, collection, client=client, folder=tmp_path)
    before = sorted((tmp_path / "vectors").iterdir())
    there = cluster.dense(collection, *sides, k=5, client=client, folder=tmp_path)
    assert sorted((tmp_path / "vectors").iterdir()) == before
    assert_same_candidates(mine.dense(collection, *sides, k=5), there)
    turned = Vectors(values=sides[1].values[::-1], ids=sides[1].ids, encoder=sides[1].encoder)
    there = cluster.dense(collection, sides[0], turned, k=5, client=client, folder=tmp_path)
    assert_same_candidates(mine.dense(collection, sides[0], turned, k=5), there)


def test_other_vectors_under_the_same_name_are_searched_anew(
    client, collection, tmp_path, monkeypatch
):
    """Numbers decide, not fingerprints of encoders: PEERS 3b.1 again."""
    one, two = vectors_of(collection, seed=0), vectors_of(collection, seed=1)
    two = tuple(
        Vectors(values=b.values, ids=a.ids, encoder=a.encoder)
        for a, b in zip(one, two, strict=True)
    )
    monkeypatch.setattr(blocks.shutil, "rmtree", lambda *args, **options: None)
    for sides in (one, two, one):
        there = cluster.dense(collection, *sides, k=5, client=client, folder=tmp_path)
        assert_same_candidates(mine.dense(collection, *sides, k=5), there)


def test_blocks_that_are_done_are_not_searched_again(client, collection, tmp_path, monkeypatch):
    sides = vectors_of(collection)
    options = {"k": 5, "client": client, "folder": tmp_path, "block": (20, 60)}
    with monkeypatch.context() as patched:
        patched.setattr(blocks.shutil, "rmtree", lambda *args, **options: None)
        first = cluster.dense(collection, *sides, **options)
    (parts,) = (tmp_path / "parts").iterdir()
    assert sorted(path.name for path in parts.iterdir() if path.is_dir()) == [
        f"{number:06d}-000000" for number in range(3)
    ]
    done = parts / "000001-000000/scores.npy"
    np.save(done, np.load(done) + 1)
    again = cluster.dense(collection, *sides, **options)
    expected = first.scores.copy()
    expected[20:40] += 1
    np.testing.assert_array_equal(again.scores, expected)


# --- two processes, one killed ---------------------------------------------------------------


def kill_one(client, parts, killed, over):
    """Kill a worker once two results are there, as long as others are still to come."""
    pids = client.run(os.getpid)
    while threading.main_thread().is_alive() and not over.is_set():
        done = [path for path in parts.glob("*/*") if path.suffix in ("", ".npy")]
        if len(done) >= 2:
            os.kill(next(iter(pids.values())), signal.SIGKILL)
            killed.append((len(done), set(pids.values())))
            return
        time.sleep(0.005)


@pytest.mark.slow
def test_two_workers_one_killed_in_the_middle(tmp_path, collection_of):
    texts = [f"{WORDS[number % 12]} {WORDS[number // 12 % 12]} {number}" for number in range(2000)]
    pairs = {(query, query): 1.0 for query in range(512)}
    collection = collection_of(
        pairs, queries=512, docs=2000, query_texts=texts[:512], doc_texts=texts[::-1]
    )
    encoder = scratch(texts, dim=16, vocab_size=300, seed=0)
    queries = encoder.encode(
        collection.query_texts, side="query", ids=collection.query_ids, progress=False
    )
    with cluster.connect(workers=2) as client:
        for verb in ("encode", "dense"):
            killed, over, folder = [], threading.Event(), tmp_path / verb
            given = (client, folder / "parts", killed, over)
            watch = threading.Thread(target=kill_one, args=given)
            watch.start()
            if verb == "encode":
                found = cluster.encode(
                    encoder,
                    collection.doc_texts,
                    ids=collection.doc_ids,
                    client=client,
                    folder=folder,
                    shard=10,
                )
                docs = encoder.encode(collection.doc_texts, ids=collection.doc_ids, progress=False)
                assert_same(found, docs, atol=1e-6)
            else:
                sides = (queries, docs)
                options = {"k": 10, "client": client, "folder": folder, "block": (16, 512)}
                candidates = cluster.dense(collection, *sides, **options)
            over.set()
            watch.join()
            ((done, pids),) = killed
            assert 2 <= done < (200 if verb == "encode" else 128)
            assert set(client.run(os.getpid).values()) != pids
    here = mine.dense(collection, *sides, k=10)
    np.testing.assert_array_equal(here.docs, candidates.docs)
    np.testing.assert_array_equal(here.ranks, candidates.ranks)
    np.testing.assert_allclose(here.scores, candidates.scores, rtol=0, atol=1e-6)
    with pytest.raises(BadArgument, match=r"`client` is .* it must be a running dask client"):
        cluster.encode(encoder, texts, client=client, folder=tmp_path)


# --- what is refused -------------------------------------------------------------------------


def test_addresses(client):
    with pytest.raises(BadArgument, match=r"`address` is 'tcp://127.0.0.1:9', but no scheduler"):
        cluster.connect("tcp://127.0.0.1:9", timeout=0.2)
    with pytest.raises(BadArgument, match="but no scheduler answers there"):
        cluster.connect("nonsense", timeout=0.2)
    with pytest.raises(BadArgument, match="`workers` is 2, but the cluster at that address has"):
        cluster.connect("tcp://127.0.0.1:9", workers=2)
    with pytest.raises(BadArgument, match="`workers` is 0"):
        cluster.connect(workers=0)
    with pytest.raises(BadArgument, match="`timeout` is 0"):
        cluster.connect(timeout=0)
    again = cluster.connect(client.scheduler.address)
    assert len(again.scheduler_info()["workers"]) == 2
    again.close()
    assert client.status == "running"


@pytest.mark.slow
def test_a_scheduler_without_workers(tmp_path, collection):
    options = {"n_workers": 0, "dashboard_address": "127.0.0.1:0", "silence_logs": logging.ERROR}
    with distributed.LocalCluster(host="127.0.0.1", **options) as empty:
        with pytest.raises(BadArgument, match="its scheduler has no workers"):
            cluster.connect(empty.scheduler_address, timeout=0.2)
        with distributed.Client(empty) as client:
            with pytest.raises(BadArgument, match=r"`client` is .* its scheduler has no workers"):
                cluster.encode(encoder_of(collection), ["a"], client=client, folder=tmp_path)


def test_without_dask(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BadArgument, match=r"dask is not installed\. pip install"):
        cluster.connect()


def test_a_folder_that_a_worker_does_not_see(client, collection, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "run", lambda *given: {"tcp://b": False, "tcp://a": True})
    with pytest.raises(BadArgument, match=r"`folder` is .* tcp://b does not see what is put there"):
        cluster.encode(encoder_of(collection), ["a"], client=client, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_is_refused_before_any_work(client, collection, tmp_path):
    encoder, sides = encoder_of(collection), vectors_of(collection)
    there = {"client": client, "folder": tmp_path / "work"}
    empty = tmp_path / "none"
    empty.mkdir()
    write_parquet(tmp_path / "t.parquet", ["add"])
    pq.write_table(pa.table({"words": ["add"]}), tmp_path / "w.parquet")
    (tmp_path / "x.parquet").write_text("no parquet")
    for texts, options, kind, message in (
        ([], {}, BadArgument, "texts"),
        (["a"], {"ids": ["x", "y"]}, BadArgument, "`ids` is '2 ids', but there are 1 texts"),
        (["a"], {"side": "left"}, BadArgument, "`side` is 'left'"),
        (["a"], {"shard": 0}, BadArgument, "`shard` is 0"),
        (empty, {}, BadArgument, "there is no Parquet file"),
        (tmp_path / "t.parquet", {"ids": ["x"]}, BadArgument, 'files bring theirs in column "id"'),
        (tmp_path / "w.parquet", {}, BadData, "w.parquet: no column 'id'"),
        (tmp_path / "x.parquet", {}, BadData, r"x.parquet: "),
    ):
        with pytest.raises(kind, match=message):
            cluster.encode(encoder, texts, **there, **options)
    for vectors, options, kind, message in (
        (sides, {"k": 0}, BadArgument, "`k` is 0"),
        (sides, {"block": (0, 1)}, BadArgument, "`block` is 0"),
        (sides, {"exclude": "all"}, BadArgument, "`exclude` is 'all'"),
        (sides[::-1], {}, BadData, "mining query vectors"),
    ):
        with pytest.raises(kind, match=message):
            cluster.dense(collection, *vectors, **there, **options)
    assert not (tmp_path / "work").exists()
    sides[1].values[13] = np.nan
    for block in ((16, 5), blocks.BLOCK):
        with pytest.raises(BadData, match=r"the document vectors[^$]*row 13 holds NaN"):
            cluster.dense(collection, *sides, **there, block=block)
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], r"x\.parquet: no rows"),
        (["a", None, "c"], r"x\.parquet: row 1 has no id"),
        (["a", "b", "a"], r"x\.parquet: row 2 has id 'a' again"),
    ],
)
def test_ids_of_files_are_there_and_come_once(client, collection, tmp_path, ids, message):
    table = pa.table({"id": pa.array(ids, pa.string()), "text": pa.array(ids, pa.string())})
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(BadData, match=message):
        cluster.encode(
            encoder_of(collection), tmp_path / "x.parquet", client=client, folder=tmp_path / "work"
        )


def test_a_file_is_no_folder(client, collection, tmp_path):
    place = tmp_path / "file"
    place.write_text("")
    for folder in (place, place / "below"):
        with pytest.raises(BadArgument, match=r"`folder` is .* but a file stands in its place"):
            cluster.encode(encoder_of(collection), ["a"], client=client, folder=folder)


UNTYPED = """
from workbench import cluster
from workbench.data import from_rows
from workbench.encode import encode_collection, scratch
demo = from_rows([{"query": c, "positive": c + c} for c in "abc"], name="demo")
encoder = scratch(["a"], vocab_size=50, dim=8)
sides = encode_collection(encoder, demo, progress=False)
for ask in (
    lambda: cluster.dense(demo, *sides, client=None, folder="none", block=100),
    lambda: cluster.encode(encoder, ["a"], client=None, folder=None),
):
    try:
        ask()
    except ValueError as error:
        print(error)
"""


@pytest.mark.slow
def test_wording_where_the_type_checker_of_the_tests_would_speak_first():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", UNTYPED], capture_output=True, text=True, check=False
    )
    assert "`block` is 100, but it must be (queries, documents)" in done.stdout, done.stderr
    assert "`folder` is None, but it must be a path" in done.stdout


def test_a_shard_that_kills_its_workers_says_what_helps(client, collection, tmp_path, monkeypatch):
    worker = next(iter(client.scheduler_info()["workers"]))

    def killed(*futures, **options):
        raise distributed.KilledWorker("encode_shard-1", worker, 3)

    monkeypatch.setattr(distributed, "as_completed", killed)
    with pytest.raises(distributed.KilledWorker) as caught:
        cluster.encode(encoder_of(collection), ["a"], client=client, folder=tmp_path)
    assert "cut it smaller" in caught.value.__notes__[0]


@pytest.mark.slow
def test_dask_is_loaded_only_when_it_is_used():
    import subprocess

    code = "import sys, workbench.cluster; print({'dask', 'distributed'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    assert Path(cluster.__file__).parent.name == "cluster"
