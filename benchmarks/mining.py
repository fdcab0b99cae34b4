"""Seconds and memory of mining: ours beside `mine_hard_negatives`, and near beside exact search.

Encoding is left out: both sides get the same vectors, and what the peer spends on fetching them is
subtracted. Both make a `datasets.Dataset` of triplets: 5 negatives per query, relative margin 0.05.
Every measurement is a process of its own, so that its peak memory is its own too.

Vectors are made like sentence embeddings: topics of about a thousand texts lie in 64 areas; inside
an area texts vary along 24 directions of falling size and, a little, in all others. Sizes are set
so that neighbours are about as near, and as hard to find, as among 6,039 MiniLM vectors of
docstrings. Of those, lists must look at 24 % of all pairs for 98 % of the first 100; from 1,500 to
6,039 vectors that share falls by a quarter with each doubling, which comes to 3 % at a million;
here it is 2 to 3 %. A query is a document moved to a cosine of about .9.

Run: python benchmarks/mining.py [--quick]
"""

import argparse
import json
import logging
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np

DIM, AREAS, RANK = 384, 64, 24
OUTSIDE, INSIDE, NOISE, MEAN = 0.21, 0.65, 0.08, 0.06  # shares of the variance
NEGATIVES, MARGIN = 5, 0.05
FIGURES = {"seconds": "time", "cpu": "cpu", "peak": "memory", "added": "added_memory"}


def spectrum():
    """Size of each coordinate; squares sum to one."""
    shares = np.arange(1, DIM + 1) ** -0.5
    return np.sqrt(shares / shares.sum()).astype(np.float32)


def embeddings(path, rows, *, per_topic, seed=0):
    """Write (rows, DIM) unit vectors as a memory map; the text above says how they are made."""
    rng = np.random.default_rng([seed, rows])

    def draw(*shape):
        return rng.standard_normal((*shape, DIM), dtype=np.float32) * spectrum()

    topics = max(8, rows // per_topic)
    areas = min(AREAS, topics)
    area = rng.integers(areas, size=topics)
    centres = np.sqrt(0.4 * OUTSIDE) * draw(areas)[area] + np.sqrt(0.6 * OUTSIDE) * draw(topics)
    centres = (centres + np.sqrt(MEAN) * draw(1)).astype(np.float32)
    sizes = np.arange(1, RANK + 1) ** -0.5
    sizes = np.sqrt(INSIDE * sizes / sizes.sum()).astype(np.float32)
    bases = draw(areas, RANK) * sizes[:, None]
    popularity = rng.pareto(1.5, topics) + 1
    topic = rng.choice(topics, size=rows, p=popularity / popularity.sum())
    out = np.lib.format.open_memmap(path, "w+", np.float32, (rows, DIM))
    for number in range(areas):
        own = np.flatnonzero(area[topic] == number)
        for some in np.array_split(own, max(1, len(own) // 65_536)):
            inside = rng.standard_normal((len(some), RANK), dtype=np.float32) @ bases[number]
            values = centres[topic[some]] + inside + np.float32(np.sqrt(NOISE)) * draw(len(some))
            out[some] = values / np.linalg.norm(values, axis=1, keepdims=True)
    out.flush()


def askers(path, docs, places, *, moved=0.25, seed=1):
    """Write a query beside each of these documents, at a cosine of about .9."""
    rng = np.random.default_rng(seed)
    step = rng.standard_normal((len(places), DIM), dtype=np.float32) * spectrum()
    values = docs[places] + np.float32(moved**0.5) * step
    np.save(path, values / np.linalg.norm(values, axis=1, keepdims=True))


def peak_gb():
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


class Model:
    """What the peer asks of a model, over vectors that are there already."""

    device = "cpu"

    class Card:
        base_model = None

    model_card_data = Card()

    def __init__(self, queries, docs):
        from sentence_transformers.util import dot_score, pairwise_dot_score

        self.sides = {"q": queries, "d": docs}
        self.similarity, self.similarity_pairwise = dot_score, pairwise_dot_score
        self.seconds = 0.0

    def encode_query(self, texts, **_):
        started = time.perf_counter()
        found = self.sides[texts[0][0]][[int(text[1:]) for text in texts]]
        self.seconds += time.perf_counter() - started
        return found

    encode_document = encode_query

    def get_embedding_dimension(self):
        return DIM


def mine_theirs(folder, *, use_faiss):
    import faiss  # noqa: F401  (not to be timed, as for ours)
    from datasets import Dataset
    from sentence_transformers.util import mine_hard_negatives

    queries, docs = (np.load(folder / f"{name}.npy") for name in ("queries", "docs"))
    model = Model(queries, docs)
    rows = {"query": [f"q{n}" for n in range(len(queries))]}
    rows["positive"] = [f"d{n}" for n in range(len(queries))]
    table = Dataset.from_dict(rows)
    before, started, busy = peak_gb(), time.perf_counter(), time.process_time()
    found = mine_hard_negatives(
        table, model, num_negatives=NEGATIVES, relative_margin=MARGIN, use_faiss=use_faiss,
        output_format="triplet", verbose=False,
    )  # fmt: skip
    spent = time.perf_counter() - started - model.seconds
    return spent, time.process_time() - busy - model.seconds, before, found.to_pandas()


def mine_ours(folder):
    import faiss  # noqa: F401
    import torch  # noqa: F401
    from datasets import Dataset
    from scipy import sparse

    from workbench import mine
    from workbench.rules import ShareOfPositive
    from workbench.types import Collection, Vectors

    queries, docs = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("queries", "docs"))
    count = len(queries)

    def side(letter):
        texts = [f"{letter}{place}" for place in range(count)]
        return Dataset.from_dict({"id": texts, "text": texts, "source": ["made"] * count})

    made = Collection(
        name="made", queries=side("q"), corpus=side("d"),
        qrels=sparse.eye_array(count, dtype=np.float32, format="csr"),
        query_groups=np.arange(count), doc_groups=np.arange(count),
    )  # fmt: skip
    vectors = (
        Vectors(values=queries, ids=made.query_ids, encoder="made"),
        Vectors(values=docs, ids=made.doc_ids, encoder="made"),
    )
    before, started, busy = peak_gb(), time.perf_counter(), time.process_time()
    found = mine.hard_negatives(
        made, mine.Dense(k=10 * NEGATIVES + 1), vectors=vectors,
        rules=[ShareOfPositive(share=1 - MARGIN)], num_negatives=NEGATIVES,
    )  # fmt: skip
    table = mine.to_dataset(made, found)
    spent = time.perf_counter() - started
    return spent, time.process_time() - busy, before, table.to_pandas()


def near(folder, wanted, exact_queries):
    """Near and exact search of the same million: seconds of each part, recall, peak memory."""
    from workbench.mine import index, ivf, nearest, top_k

    queries, docs = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("queries", "docs"))
    parts = {"build": 0.0, "look": 0.0}

    def timed(name, function):
        def run(*arguments, **options):
            started = time.perf_counter()
            found = function(*arguments, **options)
            parts[name] += time.perf_counter() - started
            if name == "build":
                parts["look"] = 0.0  # building looks too, to sort documents into lists
            return found

        return run

    index.ivf.build = timed("build", ivf.build)
    ivf.Search.__call__ = timed("look", ivf.Search.__call__)
    started = time.perf_counter()
    _, places, account = nearest(queries, docs, k=wanted, index="ivf")
    total = time.perf_counter() - started
    # Other queries than those that decided how far to look.
    some = np.random.default_rng(7).choice(len(queries), size=exact_queries, replace=False)
    started = time.perf_counter()
    truth = top_k(queries[some], docs, k=wanted)[1]
    exact = (time.perf_counter() - started) * len(queries) / exact_queries
    hits = [np.isin(row, place).mean() for row, place in zip(truth, places[some], strict=True)]
    told = {name: account[name] for name in ("lists", "probes", "scanned", "recall")}
    return {
        **told, **parts, "total": total, "exact": exact, "measured": float(np.mean(hits)),
        "peak": peak_gb(),
    }  # fmt: skip


def job(arguments):
    """One measurement; its figures are the last line."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    folder = Path(arguments.folder)
    if arguments.job == "near":
        print(json.dumps(near(folder, *map(int, arguments.options))))
        return
    if arguments.job == "ours":
        spent, busy, before, table = mine_ours(folder)
    else:
        spent, busy, before, table = mine_theirs(folder, use_faiss=arguments.job == "faiss")
    table.iloc[:, :3].to_parquet(folder / f"{arguments.job}.parquet")
    peak = peak_gb()
    print(json.dumps({"seconds": spent, "cpu": busy, "peak": peak, "added": peak - before}))


def measured(name, folder, *options):
    command = [sys.executable, "-W", "ignore", __file__, "--job", name, "--folder", str(folder)]
    done = subprocess.run(
        [*command, "--options", *map(str, options)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    return json.loads(done.stdout.strip().splitlines()[-1])


def agreement(folder):
    """Share of the peer's triplets that are ours too."""
    import pandas as pd

    ours, peer = (
        set(pd.read_parquet(folder / f"{name}.parquet").itertuples(index=False, name=None))
        for name in ("ours", "torch")
    )
    return len(ours & peer) / len(peer)


def compare(rows, figures):
    """Ours beside the peer with and without faiss, over `rows` queries and documents."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        embeddings(folder / "docs.npy", rows, per_topic=min(1000, rows // 20))
        docs = np.load(folder / "docs.npy", mmap_mode="r")
        askers(folder / "queries.npy", docs, np.arange(rows))
        ours = measured("ours", folder)
        for kind in ("torch", "faiss"):
            peer = measured(kind, folder)
            ratios = {what: peer[what] / ours[what] for what in ("seconds", "cpu", "peak", "added")}
            print(
                f"{rows:9,}  {kind:6}"
                + "".join(f"{one[what]:10.2f}" for what in ratios for one in (peer, ours))
                + "".join(f"{ratio:8.1f}" for ratio in ratios.values())
            )
            for what, said in FIGURES.items():
                figures[f"mining_{said}_ratio_{kind}_{rows}"] = ratios[what]
        shared = agreement(folder)
        print(f"{'':11}{shared:.1%} of the peer's triplets are ours")
        figures[f"same_triplets_{rows}"] = shared


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 45 s on two cores")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--options", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        job(arguments)
        return
    print(f"CPU {platform.machine()}, {os.cpu_count()} cores")
    heads = "".join(f"{head:>20}" for head in ("seconds", "CPU seconds", "peak GB", "GB added"))
    print(f"{'':17}{heads}{'peer / ours':>32}")
    print(
        f"{'rows':>9}  {'peer':6}"
        + f"{'peer':>10}{'ours':>10}" * 4
        + "    time     CPU    peak   added"
    )
    figures = {}
    sizes = [5_000] if arguments.quick else [10_000, 100_000]
    for rows in sizes:
        compare(rows, figures)
    for said in FIGURES.values():
        ratios = [figures[f"mining_{said}_ratio_{k}_{sizes[-1]}"] for k in ("torch", "faiss")]
        figures[f"mining_{said}_ratio"] = min(ratios)
    count, asked, exact = (60_000, 10_000, 512) if arguments.quick else (10**6, 100_000, 4096)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        embeddings(folder / "docs.npy", count, per_topic=1000)
        docs = np.load(folder / "docs.npy", mmap_mode="r")
        places = np.random.default_rng(3).choice(count, size=asked, replace=False)
        askers(folder / "queries.npy", docs, np.sort(places))
        del docs
        found = measured("near", folder, 100, exact)
    print(
        f"\n{count:,} documents, {asked:,} queries, k 100: exact {found['exact']:.0f} s (from "
        f"{exact:,} queries), near {found['total']:.1f} s, of which {found['build']:.1f} s for "
        f"{found['lists']} lists and {found['look']:.1f} s looking into {found['probes']} of them "
        f"({found['scanned']:.1%} of all pairs); recall@100 {found['measured']:.4f} on those "
        f"queries, {found['recall']:.4f} on the sample; peak {found['peak']:.2f} GB"
    )
    figures["ann_speedup"] = found["exact"] / found["total"]
    figures["ann_speedup_search_only"] = found["exact"] / found["look"]
    figures["ann_recall"] = found["measured"]
    figures["peak_memory_gb"] = found["peak"]
    print(json.dumps({name: round(float(value), 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
