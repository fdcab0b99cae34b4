"""Losses against sentence-transformers, pytorch-metric-learning and one torch score matrix.

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


def cached_peer(rows: int):
    """The peer's cached form: rows in mini-batches of 32, gradients on the vectors."""
    from sentence_transformers.sentence_transformer.losses import CachedGISTEmbedLoss

    anchors, positives, guide_queries, guide_docs, _ = inputs(rows)
    leaves = [part.requires_grad_() for part in (anchors, positives)]
    loss = CachedGISTEmbedLoss.__new__(CachedGISTEmbedLoss)
    torch.nn.Module.__init__(loss)
    loss.__dict__.update(
        temperature=0.05,
        similarity_fct=torch.nn.CosineSimilarity(dim=-1),
        margin=0.1,
        margin_strategy="absolute",
        contrast_anchors=True,
        contrast_positives=True,
        gather_across_devices=False,
        mini_batch_size=32,
        show_progress_bar=False,
        cross_entropy_loss=torch.nn.CrossEntropyLoss(),
    )

    def step() -> float:
        for leaf in leaves:
            leaf.grad = None
        vectors = [[leaf] for leaf in leaves]
        value = loss.calculate_loss(vectors, [[guide_queries], [guide_docs]], with_backward=True)
        return float(value.detach())

    return step


def ranking_peer(rows: int):
    """MultipleNegativesRankingLoss on the same vectors: one direction, scale 20."""
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    anchors, positives, *_ = inputs(rows)
    leaves = [part.requires_grad_() for part in (anchors, positives)]
    loss = MultipleNegativesRankingLoss(model=torch.nn.Identity(), scale=20.0)

    def step() -> float:
        for leaf in leaves:
            leaf.grad = None
        value = loss.compute_loss_from_embeddings(leaves, torch.zeros(0))
        value.backward()
        return float(value.detach())

    return step


def metric_learning_peer(rows: int):
    """pytorch-metric-learning's NTXent over pairs: one term per pair, all other positives."""
    from pytorch_metric_learning.losses import NTXentLoss

    anchors, positives, *_ = inputs(rows)
    leaves = [part.requires_grad_() for part in (anchors, positives)]
    labels, loss = torch.arange(rows), NTXentLoss(temperature=0.05)

    def step() -> float:
        for leaf in leaves:
            leaf.grad = None
        value = loss(leaves[0], labels, ref_emb=leaves[1], ref_labels=labels.clone())
        value.backward()
        return float(value.detach())

    return step


def one_matrix(rows: int, device: str = "cpu", dtype: torch.dtype = torch.float32, width=WIDTH):
    """Plain InfoNCE as everybody writes it: one score matrix, torch's cross-entropy."""
    anchors, positives, *_ = inputs(rows, width)
    leaves = [part.to(device, dtype).requires_grad_() for part in (anchors, positives)]
    target = torch.arange(rows, device=device)

    def step() -> float:
        for leaf in leaves:
            leaf.grad = None
        unit = [torch.nn.functional.normalize(leaf, dim=1) for leaf in leaves]
        value = torch.nn.functional.cross_entropy((unit[0] @ unit[1].T).float() * 20.0, target)
        value.backward()
        return float(value.detach())

    return step


def plain(rows: int, chunk: int | None = None, *, device="cpu", dtype=torch.float32, width=WIDTH):
    """Our InfoNCE over the same candidates: dense while small, else streamed."""
    from workbench.losses import InfoNCE
    from workbench.train import Contrast, Embedded

    anchors, positives, *_ = inputs(rows, width)
    leaves = [part.to(device, dtype).requires_grad_() for part in (anchors, positives)]
    contrast = Contrast(loss=InfoNCE(temperature=0.05), chunk=chunk)

    def step() -> float:
        for leaf in leaves:
            leaf.grad = None
        value = contrast(Embedded.of(*leaves)).mean()
        value.backward()
        return float(value.detach())

    return step


def dense(step):
    """The dense form whatever the size (Contrast itself would switch to streaming)."""
    from workbench.train import rows as room

    def whole() -> float:
        before, room.CELLS = room.CELLS, 10**12
        try:
            return step()
        finally:
            room.CELLS = before

    return whole


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


def compare(title: str, peer, mine, *, repetitions: int = 3) -> tuple[float, float, float]:
    """Print a row; (time ratio, memory ratio, our bytes). The two must give the same value."""
    one, two = peer(), mine()
    if abs(one - two) > 1e-3 * max(1.0, abs(one)):
        raise SystemExit(f"{title}: {one} against {two}: the times would compare nothing")
    slow, fast = seconds([peer, mine], repetitions)
    theirs_bytes, ours_bytes = peak_bytes(peer), peak_bytes(mine)
    print(f"{title:<44}{slow:>9.3f}{fast:>9.4f}{slow / fast:>8.2f}", end="")
    print(f"{theirs_bytes / 1e6:>11.1f}{ours_bytes / 1e6:>9.1f}{theirs_bytes / ours_bytes:>8.1f}")
    return slow / fast, theirs_bytes / ours_bytes, ours_bytes


def on_cpu(*, quick: bool) -> dict[str, float]:
    """Everything that needs no accelerator."""
    figures: dict[str, float] = {}
    print(
        f"{'':<44}{'peer s':>9}{'ours s':>9}{'ratio':>8}{'peer MB':>11}{'ours MB':>9}{'ratio':>8}"
    )
    for rows in [64, 128] if quick else [64, 128, 256, 512]:
        ratios = compare(f"guide rule, GISTEmbedLoss, B = {rows}", theirs(rows), ours(rows))
        figures["gist_time_ratio"], figures["gist_memory_ratio"], _ = ratios
        figures["largest_batch"] = rows
    rows = 128 if quick else 512
    ratios = compare(
        f"guide rule, CachedGIST, B = {rows}", cached_peer(rows), ours(rows), repetitions=1
    )
    figures["cached_gist_time_ratio"], figures["cached_gist_memory_ratio"], _ = ratios
    rows = 1024 if quick else 4096
    ratios = compare(f"MultipleNegativesRanking, B = {rows}", ranking_peer(rows), plain(rows))
    figures["ranking_time_ratio"], figures["ranking_memory_ratio"], _ = ratios
    rows = 64 if quick else 256
    ratios = compare(
        f"NTXent (metric learning), B = {rows}", metric_learning_peer(rows), plain(rows)
    )
    figures["ntxent_time_ratio"], figures["ntxent_memory_ratio"], _ = ratios
    rows = 1024 if quick else 2000
    ratios = compare(
        f"one torch score matrix, B = {rows}", one_matrix(rows), plain(rows), repetitions=5
    )
    figures["one_matrix_time_ratio"] = ratios[0]
    for rows in [4096] if quick else [4096, 8192, 16384]:
        streamed = plain(rows, 4_000_000 // rows, width=64)
        ratios = compare(
            f"dense against streamed, B = {rows}, d = 64", dense(plain(rows, width=64)), streamed
        )
        figures["streamed_over_dense_time"], figures["streamed_over_dense_memory"], _ = ratios
    if not quick:
        step = plain(16_384)
        step()
        figures["streamed_16k_megabytes"] = peak_bytes(step) / 1e6
        print(f"B = 16,384, d = 384: {figures['streamed_16k_megabytes']:.0f} MB above the inputs")
    return figures


def on_gpu(*, quick: bool) -> dict[str, float]:
    """Against one torch score matrix, and the largest batch of the literature."""
    figures: dict[str, float] = {}

    def timed(step) -> tuple[float, float]:
        step()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before, started = torch.cuda.memory_allocated(), time.perf_counter()
        for _ in range(3):
            step()
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() - before
        return (time.perf_counter() - started) / 3, peak / 1e9

    print(f"{torch.cuda.get_device_name()}, bf16, d = 1024")
    for rows in [1024, 8192] if quick else [1024, 8192, 32_768, 65_536]:
        options = {"device": "cuda", "dtype": torch.bfloat16, "width": 1024}
        (slow, theirs_gb), (fast, ours_gb) = (
            timed(one_matrix(rows, **options)),
            timed(plain(rows, **options)),
        )
        print(f"B = {rows:<8} torch {slow:.4f} s {theirs_gb:.2f} GB", end=", ")
        print(f"ours {fast:.4f} s {ours_gb:.2f} GB")
        figures["gpu_time_ratio"], figures["gpu_memory_ratio"] = slow / fast, theirs_gb / ours_gb
    rows, width = 80_000, 1024
    fast, gigabytes = timed(plain(rows, device="cuda", dtype=torch.bfloat16, width=width))
    left = torch.randn(rows, width, device="cuda", dtype=torch.bfloat16)
    product, _ = timed(lambda: left[:8192] @ left.T)
    rate = 2 * 8192 * rows * width / product
    used = 4 * 2 * rows * rows * width / fast  # forward, and again with two products in backward
    figures |= {"gpu_80k_gigabytes": gigabytes, "gpu_80k_share_of_matmul_rate": used / rate}
    print(
        f"80,000 negatives: {fast:.2f} s, {gigabytes:.2f} GB, {used / rate:.0%} of the matmul rate"
    )
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, under 45 s")
    options = parser.parse_args()
    torch.set_num_threads(2)
    print(f"{platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    figures = on_cpu(quick=options.quick)
    if torch.cuda.is_available():
        figures |= on_gpu(quick=options.quick)
    else:
        print("no GPU here: the rows for one were not measured")
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
