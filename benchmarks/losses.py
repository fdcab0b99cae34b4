"""The guide-rule loss against sentence-transformers' GISTEmbedLoss, and streamed against dense.

    python benchmarks/losses.py [--quick]

Times are medians over repetitions, ours and theirs in turn on equal vectors; memory is the peak of
tensor bytes above the inputs, counted by torch's profiler. A ratio is peer over ours (dense
over streamed): larger is better.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time

import torch

WIDTH = 384


def inputs(rows: int, width: int = WIDTH):
    generator = torch.Generator().manual_seed(0)
    shape = (5, rows, width)
    vectors = torch.nn.functional.normalize(torch.randn(shape, generator=generator), dim=-1)
    return [part.clone() for part in vectors]


def ours(rows: int):
    """Forward and backward of info_nce x guide over AP, AA and PP, from precomputed vectors."""
    import numpy as np

    from workbench.data import KnownPositives
    from workbench.losses import InfoNCE
    from workbench.rules import Guide
    from workbench.train import Contrast, Embedded, InBatch, Knowledge

    anchors, positives, guide_queries, guide_docs, _ = inputs(rows)
    leaves = [part.requires_grad_() for part in (anchors, positives)]
    numbers = np.arange(rows)
    from scipy import sparse

    known = KnownPositives(
        query_groups=numbers, doc_groups=numbers, positives=sparse.eye_array(rows).tocsr() > 0
    )
    knowledge = Knowledge(
        known=known,
        pairs=np.stack([numbers, numbers], axis=1),
        guide_queries=guide_queries,
        guide_docs=guide_docs,
    )
    contrast = Contrast(
        loss=InfoNCE(temperature=0.05),
        candidates=[InBatch("ap", "aa", "pp")],
        rules=[Guide(margin=0.1)],
    )

    def step() -> float:
        for leaf in leaves:
            leaf.grad = None
        value = contrast(Embedded.of(*leaves), knowledge).mean()
        value.backward()
        return float(value.detach())

    return step


def theirs(rows: int):
    """The peer's own loss object on the same vectors: no model, no tokenisation."""
    from sentence_transformers.sentence_transformer.losses import GISTEmbedLoss

    anchors, positives, guide_queries, guide_docs, _ = inputs(rows)
    leaves = [part.requires_grad_() for part in (anchors, positives)]
    loss = GISTEmbedLoss.__new__(GISTEmbedLoss)
    torch.nn.Module.__init__(loss)

    class Fixed:
        def __init__(self, vectors):
            self.vectors, self.place = vectors, 0

        def __call__(self, features):
            self.place += 1
            return {"sentence_embedding": self.vectors[(self.place - 1) % len(self.vectors)]}

    loss.__dict__.update(
        model=Fixed(leaves),
        guide=Fixed([guide_queries, guide_docs]),
        temperature=0.05,
        similarity_fct=torch.nn.CosineSimilarity(dim=-1),
        must_retokenize=False,
        margin=0.1,
        margin_strategy="absolute",
        contrast_anchors=True,
        contrast_positives=True,
        gather_across_devices=False,
        cross_entropy_loss=torch.nn.CrossEntropyLoss(),
    )

    def step() -> float:
        for leaf in leaves:
            leaf.grad = None
        value = loss([{}, {}], torch.zeros(0))
        value.backward()
        return float(value.detach())

    return step


def log_sum_exp(rows: int, *, streamed: bool):
    """Plain InfoNCE of B anchors against B positives through either form of the primitive."""
    from workbench.losses import InfoNCE
    from workbench.train import Contrast, Embedded

    anchors, positives, *_ = inputs(rows, width=64)
    leaves = [part.requires_grad_() for part in (anchors, positives)]
    chunk = 1024 if streamed else None
    contrast = Contrast(loss=InfoNCE(temperature=0.05), chunk=chunk)

    def step() -> float:
        for leaf in leaves:
            leaf.grad = None
        batch = Embedded.of(*leaves)
        value = contrast(batch) if streamed else dense(contrast, batch)
        value.mean().backward()
        return float(value.detach().mean())

    return step


def dense(contrast, batch):
    """The dense form whatever the size (Contrast itself would switch to streaming)."""
    from workbench.train import contrast as room

    before, room.DENSE_CELLS = room.DENSE_CELLS, 10**12
    try:
        return contrast(batch)
    finally:
        room.DENSE_CELLS = before


def seconds(steps, repetitions: int) -> list[float]:
    """Median seconds of each of several steps, in turn."""
    found: list[list[float]] = [[] for _ in steps]
    for step in steps:
        step()
    for _ in range(repetitions):
        for place, step in enumerate(steps):
            started = time.perf_counter()
            step()
            found[place].append(time.perf_counter() - started)
    return [statistics.median(part) for part in found]


class Peak:
    """Peak of live tensor storage above what lives at the start, on a CPU."""

    def __enter__(self):
        from torch.profiler import ProfilerActivity, profile

        self.profile = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
        self.profile.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self.profile.__exit__(*error)
        live = peak = 0
        for event in self.profile.profiler.kineto_results.events():
            if event.name() == "[memory]":
                live += event.nbytes()
                peak = max(peak, live)
        self.bytes = peak


def peak_bytes(step) -> int:
    """Peak of one step; it has run before, so nothing lazy is counted."""
    with Peak() as seen:
        step()
    return seen.bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, under 45 s")
    options = parser.parse_args()
    torch.set_num_threads(2)
    sizes = [64, 128] if options.quick else [64, 128, 256, 512]
    large = [4096] if options.quick else [4096, 8192, 16384]
    print(f"{platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'guide-rule loss':<18}{'theirs s':>10}{'ours s':>10}{'ratio':>8}", end="")
    print(f"{'theirs MB':>11}{'ours MB':>9}{'ratio':>8}{'same loss':>11}")
    figures: dict[str, float] = {}
    for rows in sizes:
        steps = [theirs(rows), ours(rows)]
        same = abs(steps[0]() - steps[1]()) < 1e-4
        if not same:
            raise SystemExit(f"B = {rows}: the two losses differ; the times would compare nothing")
        slow, fast = seconds(steps, 2 if rows > 128 else 3)
        peer, mine = (peak_bytes(step) for step in steps)
        figures["gist_time_ratio"], figures["gist_memory_ratio"] = slow / fast, peer / mine
        print(f"B = {rows:<14}{slow:>10.3f}{fast:>10.4f}{slow / fast:>8.1f}", end="")
        print(f"{peer / 1e6:>11.1f}{mine / 1e6:>9.1f}{peer / mine:>8.1f}{same!s:>11}")
    print(f"{'log-sum-exp':<18}{'dense s':>10}{'stream s':>10}{'ratio':>8}", end="")
    print(f"{'dense MB':>11}{'str. MB':>9}{'ratio':>8}")
    for rows in large:
        steps = [log_sum_exp(rows, streamed=False), log_sum_exp(rows, streamed=True)]
        slow, fast = seconds(steps, 3)
        peer, mine = (peak_bytes(step) for step in steps)
        figures["streamed_over_dense_time"] = slow / fast
        figures["streamed_over_dense_memory"] = peer / mine
        print(f"B = {rows:<14}{slow:>10.3f}{fast:>10.3f}{slow / fast:>8.2f}", end="")
        print(f"{peer / 1e6:>11.1f}{mine / 1e6:>9.1f}{peer / mine:>8.1f}")
    figures["largest_batch"] = sizes[-1]
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
