"""Seconds per epoch: our samplers beside sentence-transformers' NO_DUPLICATES, and how they grow.

The peer keeps equal texts apart, compared as they are (its default) or hashed; ours keeps known
positives apart, and its time includes building the known-positive graph and the reports of all
batches. The time to find clusters and neighbours is left out: it is that of a search, and falls
to a refresh. Seconds are of CPU, for the machine may be shared. Run:
python benchmarks/samplers.py [--quick]
"""

import argparse
import json
import logging
import os
import platform
import time

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
from datasets import Dataset, disable_progress_bars
from scipy import sparse

from workbench.data import KnownPositives
from workbench.sample import (
    Clusters,
    ConflictFree,
    Curriculum,
    HardReplay,
    Homogeneous,
    Neighbours,
    PerClass,
    Shuffled,
    Topics,
)
from workbench.types import Collection, LossStore

BATCH = 64


def repeated(rows):
    """One row in five takes the document of another row."""
    rng = np.random.default_rng(4)
    docs = np.arange(rows)
    again = rng.permutation(rows)[: rows // 5]
    docs[again] = rng.integers(0, rows, len(again))
    return np.stack([np.arange(rows), np.unique(docs, return_inverse=True)[1]], axis=1)


def unique(rows):
    return np.stack([np.arange(rows), np.arange(rows)], axis=1)


def popular(rows):
    """Thirty in a hundred rows share one document."""
    docs = np.arange(1, rows + 1)
    docs[np.random.default_rng(1).permutation(rows)[: rows * 3 // 10]] = 0
    return np.stack([np.arange(rows), docs], axis=1)


def topical(rows):
    """Four positives per query out of the 20 documents of its topic."""
    rng = np.random.default_rng(3)
    queries = rows // 4
    topics = rng.integers(0, queries // 10, queries)
    docs = np.stack([rng.choice(20, 4, replace=False) for _ in range(queries)])
    return np.stack([np.repeat(np.arange(queries), 4), (docs + 20 * topics[:, None]).ravel()], 1)


def collection_of(pairs):
    counts = pairs.max(axis=0) + 1

    def side(name, count):
        texts = [f"{name} number {place} and a few words more" for place in range(count)]
        ids = [f"{name}{place}" for place in range(count)]
        return Dataset.from_dict({"id": ids, "text": texts, "source": ["benchmark"] * count})

    grades = np.ones(len(pairs), dtype=np.float32)
    return Collection(
        name="benchmark",
        queries=side("query", counts[0]),
        corpus=side("document", counts[1]),
        qrels=sparse.csr_array((grades, (pairs[:, 0], pairs[:, 1])), shape=tuple(counts)),
        query_groups=np.arange(counts[0]),
        doc_groups=np.arange(counts[1]),
    )


def ours(collection, batch_size):
    known = KnownPositives.of(collection)
    return [
        batch.rows for batch in ConflictFree(collection.pairs, batch_size=batch_size, known=known)
    ]


def theirs(table, batch_size, *, hashed):
    import torch
    from sentence_transformers.base.sampler import NoDuplicatesBatchSampler

    sampler = NoDuplicatesBatchSampler(
        table,
        batch_size=batch_size,
        drop_last=False,
        generator=torch.Generator(),
        precompute_hashes=hashed,
        precompute_num_proc=1,
    )
    return list(sampler)


def quality(batches, pairs, known):
    """(rows in full batches, anchors that meet a known positive as a negative), both as shares."""
    sizes = np.array([len(batch) for batch in batches])
    hurt = 0
    for rows in batches:
        block = known.block(pairs[rows, 0], pairs[rows, 1])
        np.fill_diagonal(block, False)
        hurt += int(block.any(axis=1).sum())
    return sizes[sizes == sizes.max()].sum() / len(pairs), hurt / sizes.sum()


def timed(make):
    started = time.process_time()
    batches = make()
    return time.process_time() - started, batches


def peer_table(collection):
    pairs = collection.pairs
    queries = np.array(collection.query_texts, dtype=object)
    docs = np.array(collection.doc_texts, dtype=object)
    return Dataset.from_dict({"anchor": queries[pairs[:, 0]], "positive": docs[pairs[:, 1]]})


def compare(name, rows, kinds, *, batch_size=BATCH, repeats=3):
    """Lines of the table; (peer seconds over ours, anchors hurt by the peer and by us) by kind."""
    collection = collection_of(WORLDS[name](rows))
    pairs, known = collection.pairs, KnownPositives.of(collection)
    mine = [timed(lambda: ours(collection, batch_size)) for _ in range(repeats)]
    own = float(np.median([seconds for seconds, _ in mine]))
    our_full, our_hurt = quality(mine[0][1], pairs, known)
    table, found = peer_table(collection), {}
    for kind in kinds:
        spent, peer = timed(lambda kind=kind: theirs(table, batch_size, hashed=kind == "hashed"))
        their_full, their_hurt = quality(peer, pairs, known)
        print(
            f"{name:10}{rows:10,}{batch_size:5}  {kind:7}{spent:9.2f}{own:9.2f}{spent / own:8.1f}"
            f"{their_full:11.3f}{our_full:7.3f}{their_hurt:12.3f}{our_hurt:7.3f}",
            flush=True,
        )
        found[kind] = (spent / own, their_hurt, our_hurt)
    return found


def samplers(rows):
    """One of each: what it is made of, and a function that makes it."""
    pairs = repeated(rows)
    rng = np.random.default_rng(5)
    labels = rng.integers(0, rows // 500 + 2, rows)
    grouping = (np.arange(rows) // 16).astype(np.int32)
    near = (np.arange(rows)[:, None] + np.arange(1, 129)) % rows
    store = LossStore.empty(rows)
    for epoch in range(2):
        store.record(np.arange(rows), rng.random(rows), epoch=epoch)
    size = {"batch_size": BATCH}

    def clusters():
        sampler = Clusters(pairs, cluster_size=16, **size)
        sampler.load_arrays({"grouping.0": grouping})
        return sampler

    return {
        "Shuffled": lambda: Shuffled(pairs, **size),
        "Homogeneous": lambda: Homogeneous(pairs, labels % 8, **size),
        "Topics": lambda: Topics(pairs, labels, **size),
        "PerClass": lambda: PerClass(pairs, labels, per_class=8, **size),
        "Curriculum": lambda: Curriculum(pairs, rng.random(rows), **size),
        "Clusters": clusters,
        "Neighbours": lambda: Neighbours(pairs, near, **size),
        "HardReplay": lambda: HardReplay(Shuffled(pairs, **size), store),
    }


def growth(sizes):
    """Lines of seconds per epoch by rows, with the exponent fitted; that of ConflictFree."""
    spent = {}
    for rows in sizes:
        collection = collection_of(repeated(rows))
        spent.setdefault("ConflictFree", []).append(
            min(timed(lambda made=collection: ours(made, BATCH))[0] for _ in range(3))
        )
        sampler = ConflictFree(
            collection.pairs, batch_size=BATCH, known=KnownPositives.of(collection)
        )
        again = []
        for epoch in (1, 2, 3):
            sampler.set_epoch(epoch)
            again.append(timed(lambda sampler=sampler: [*sampler])[0])
        spent.setdefault("ConflictFree, later epochs", []).append(min(again))
        for name, make in samplers(rows).items():
            seconds = min(timed(lambda make=make: [*make()])[0] for _ in range(2))
            spent.setdefault(name, []).append(seconds)
    print(f"\n{'an epoch of ours, seconds':28}" + "".join(f"{rows:>11,}" for rows in sizes), end="")
    print("   grows as rows to the")
    for name, seconds in spent.items():
        exponent = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
        print(f"{name:28}" + "".join(f"{one:11.3f}" for one in seconds), f"{exponent:10.2f}")
    return np.polyfit(np.log(sizes), np.log(spent["ConflictFree"]), 1)[0]


WORLDS = {"unique": unique, "popular": popular, "topical": topical, "repeated": repeated}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 45 s on two cores")
    quick = parser.parse_args().quick
    disable_progress_bars()
    # The peer says at each epoch that it cannot fill its batches; the table says it too.
    logging.disable(logging.WARNING)
    ours(collection_of(unique(100)), BATCH)
    theirs(Dataset.from_dict({"anchor": ["a", "b"]}), BATCH, hashed=True)
    print(f"CPU {platform.machine()}, {os.cpu_count()} cores")
    print(f"{'':34}{'CPU seconds':>18}{'':8}{'in full':>18}{'anchors hurt':>19}")
    head = f"{'data':10}{'rows':>10}{'B':>5}  {'peer':7}{'peer':>9}{'ours':>9}{'ratio':>8}"
    print(head + f"{'peer':>11}{'ours':>7}{'peer':>12}{'ours':>7}")
    figures, both = {}, ("plain", "hashed")
    for rows in (100_000,) if quick else (100_000, 1_000_000):
        found = compare("repeated", rows, both, repeats=3 if rows < 1_000_000 else 1)
        figures["sampler_ratio"] = found["plain"][0]
        figures["sampler_ratio_hashed"] = found["hashed"][0]
    for rows in (1000,) if quick else (1000, 2000, 4000):
        figures["popular_plain_ratio"] = compare("popular", rows, ["plain"])["plain"][0]
    for rows in (2000, 4000) if quick else (4000, 8000, 16_000):
        figures["popular_hashed_ratio"] = compare("popular", rows, ["hashed"])["hashed"][0]
    for batch_size in (64, 256, 512):
        found = compare("topical", 8000, ["hashed"], batch_size=batch_size)["hashed"]
        figures[f"topical_{batch_size}_ratio"] = found[0]
        figures[f"topical_{batch_size}_anchors_hurt_peer"] = found[1]
        figures[f"topical_{batch_size}_anchors_hurt_ours"] = found[2]
    sizes = [25_000, 50_000, 100_000] if quick else [62_500, 125_000, 250_000, 500_000, 1_000_000]
    figures["growth_exponent"] = growth(sizes)
    print(json.dumps({name: round(float(value), 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
