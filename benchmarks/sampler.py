"""Seconds per epoch and batch quality: `ConflictFree` beside sentence-transformers' NO_DUPLICATES.

The peer keeps equal texts apart, plain or with hashed texts; ours keeps known positives apart, and
its time includes building the known-positive graph. Run: python benchmarks/sampler.py [--quick]
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
from workbench.sample import ConflictFree
from workbench.types import Collection

BATCH = 32


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
    started = time.perf_counter()
    batches = make()
    return time.perf_counter() - started, batches


def compare(name, rows, kind, *, batch_size=BATCH, repeats=3):
    """One line of the table, and peer seconds over ours."""
    collection = collection_of(WORLDS[name](rows))
    pairs, known = collection.pairs, KnownPositives.of(collection)
    queries = np.array(collection.query_texts, dtype=object)
    docs = np.array(collection.doc_texts, dtype=object)
    table = Dataset.from_dict({"anchor": queries[pairs[:, 0]], "positive": docs[pairs[:, 1]]})
    mine = [timed(lambda: ours(collection, batch_size)) for _ in range(repeats)]
    spent, peer = timed(lambda: theirs(table, batch_size, hashed=kind == "hashed"))
    own = float(np.median([seconds for seconds, _ in mine]))
    their_full, their_hurt = quality(peer, pairs, known)
    our_full, our_hurt = quality(mine[0][1], pairs, known)
    print(
        f"{name:10}{rows:8,}{batch_size:5}  {kind:7}{spent:9.3f}{own:9.3f}{spent / own:8.1f}"
        f"{their_full:11.3f}{our_full:7.3f}{their_hurt:12.3f}{our_hurt:7.3f}"
    )
    return spent / own, their_hurt, our_hurt, own


WORLDS = {"unique": unique, "popular": popular, "topical": topical}


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
    print(f"{'':32}{'seconds':>18}{'':8}{'in full':>18}{'anchors hurt':>19}")
    head = f"{'data':10}{'rows':>8}{'B':>5}  {'peer':7}{'peer':>9}{'ours':>9}{'ratio':>8}"
    print(head + f"{'peer':>11}{'ours':>7}{'peer':>12}{'ours':>7}")
    figures = {}
    large = 10_000 if quick else 50_000
    for kind in ("plain", "hashed"):
        figures[f"unique_{kind}_ratio"] = compare("unique", large, kind)[0]
    steps = {"plain": (1000, 2000), "hashed": (2000, 4000, 8000)}
    if not quick:
        steps = {"plain": (1000, 2000, 4000), "hashed": (4000, 8000, 16_000)}
    for kind, sizes in steps.items():
        for rows in sizes:
            figures[f"popular_{kind}_ratio"] = compare("popular", rows, kind)[0]
    for batch_size in (64, 256, 512):
        ratio, hurt, own_hurt, _ = compare("topical", 8000, "hashed", batch_size=batch_size)
        figures[f"topical_{batch_size}_ratio"] = ratio
        figures[f"topical_{batch_size}_anchors_hurt_peer"] = hurt
        figures[f"topical_{batch_size}_anchors_hurt_ours"] = own_hurt
    print()
    for name in WORLDS:
        few, many = (timed_ours(name, rows) for rows in (large, 2 * large))
        figures[f"{name}_doubling"] = many / few
        print(f"{name:10} ours, {large:,} to {2 * large:,} rows: {few:.3f} to {many:.3f} s")
    print(json.dumps({name: round(float(value), 3) for name, value in figures.items()}))


def timed_ours(name, rows):
    collection = collection_of(WORLDS[name](rows))
    return min(timed(lambda: ours(collection, BATCH))[0] for _ in range(3))


if __name__ == "__main__":
    main()
