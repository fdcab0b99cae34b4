"""How near-duplicates are found: shingles, MinHash signatures, bands, exact verification."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from workbench.types import Ints

_token = re.compile(r"\w+|[^\w\s]")
_recall = 0.995  # of a pair standing exactly at the threshold; pairs above it fare better
_cells = 4_000_000  # shingles compared at once: some 100 MB
_pairs = 1_000_000  # candidate pairs held at once


class ShingleSets(NamedTuple):
    """Sparse (text, shingle) incidence, and the 64-bit code of every column."""

    matrix: Any
    codes: NDArray[np.uint64]


def shingle_sets(texts: Sequence[str], shingle: int) -> ShingleSets:
    """The set of `shingle` consecutive tokens of each text, as 64-bit codes of their content."""
    import xxhash
    from scipy.sparse import csr_array

    codes: dict[str, int] = {}
    rows: list[NDArray[np.uint64]] = [np.empty(0, np.uint64)]
    factors = _odd(shingle, seed=0)
    for text in texts:
        tokens = _token.findall(text)
        if len(tokens) < shingle:
            rows.append(rows[0])
            continue
        for token in tokens:
            if token not in codes:
                codes[token] = xxhash.xxh64_intdigest(token.encode("utf-8", "surrogatepass"))
        hashed = np.array([codes[token] for token in tokens], dtype=np.uint64)
        windows = np.lib.stride_tricks.sliding_window_view(hashed, shingle)
        mixed = (windows * factors).sum(axis=1, dtype=np.uint64)
        rows.append(np.unique(mixed ^ (mixed >> np.uint64(29))))
    unique, columns = np.unique(np.concatenate(rows), return_inverse=True)
    starts = np.cumsum([len(row) for row in rows])
    ones = np.ones(len(columns), np.int32)
    return ShingleSets(
        csr_array((ones, columns, starts), shape=(len(texts), max(len(unique), 1))), unique
    )


def signatures(
    sets: ShingleSets, *, permutations: int, seed: int
) -> tuple[Ints, NDArray[np.uint32]]:
    """(rows that have shingles, (row, permutation) their MinHash values)."""
    from datasketch import MinHash
    from tqdm.auto import tqdm

    matrix, codes = sets
    small = (codes & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    filled = np.flatnonzero(np.diff(matrix.indptr) > 0).astype(np.int64)
    rows = (small[matrix.indices[matrix.indptr[i] : matrix.indptr[i + 1]]].tolist() for i in filled)
    hashes = MinHash.generator(rows, num_perm=permutations, seed=seed, hashfunc=int)
    progress = tqdm(
        hashes,
        total=len(filled),
        desc="near-duplicates",
        unit="text",
        disable=None,
        leave=False,
        delay=2,
    )
    values = np.empty((len(filled), permutations), np.uint32)
    for place, minhash in enumerate(progress):
        values[place] = minhash.hashvalues
    return filled, values


def join(sets: ShingleSets, hashed: tuple[Ints, NDArray[np.uint32]], *, threshold: float) -> Ints:
    """Component number per text over every verified pair of texts that share a band.

    First each text against the first of its band: that alone unites big families of copies, so
    the second pass looks only at pairs that are still apart.
    """
    runs = list(_bands(*hashed, threshold=threshold))
    count = sets.matrix.shape[0]
    stars = [np.stack([np.repeat(run[0], len(run) - 1), run[1:]], axis=1) for run in runs]
    edges = _verified(sets.matrix, stars, threshold)
    groups = components(count, edges)
    waiting: list[Ints] = []
    held = 0
    for run in runs:
        for place, row in enumerate(run[:-1]):
            others = run[place + 1 :]
            others = others[groups[others] != groups[row]]
            waiting.append(np.stack([np.full_like(others, row), others], axis=1))
            held += len(others)
            if held > _pairs:
                edges = np.concatenate([edges, _verified(sets.matrix, waiting, threshold)])
                groups, waiting, held = components(count, edges), [], 0
    return components(count, np.concatenate([edges, _verified(sets.matrix, waiting, threshold)]))


def pairs_across(
    sets: ShingleSets, hashed: tuple[Ints, NDArray[np.uint32]], border: int, *, threshold: float
) -> tuple[Ints, NDArray[np.float64]]:
    """Every verified pair of a text before `border` and one from it on, and its similarity."""
    kept: list[Ints] = [np.empty((0, 2), np.int64)]
    waiting: list[Ints] = []
    held = 0
    for run in _bands(*hashed, threshold=threshold):
        ours, theirs = run[run < border], run[run >= border]
        for row in ours if len(theirs) else ():
            waiting.append(np.stack([np.full_like(theirs, row), theirs], axis=1))
            held += len(theirs)
            if held > _pairs:
                kept.append(_verified(sets.matrix, waiting, threshold))
                waiting, held = [], 0
    kept.append(_verified(sets.matrix, waiting, threshold))
    pairs = np.unique(np.concatenate(kept), axis=0)
    shared, union = _overlaps(sets.matrix, pairs)
    return pairs, shared / union


def components(count: int, edges: Ints) -> Ints:
    """Connected-component number of each of `count` nodes."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def band_width(permutations: int, threshold: float) -> int:
    """The widest band that still proposes a pair right at the threshold with the wanted chance.

    Example:
        >>> band_width(128, 0.8), band_width(128, 0.5)
        (6, 3)
    """
    widths = range(1, permutations + 1)
    chances = (1 - (1 - threshold**width) ** (permutations // width) for width in widths)
    return max(
        (w for w, chance in zip(widths, chances, strict=True) if chance >= _recall), default=1
    )


def _bands(filled: Ints, values: NDArray[np.uint32], *, threshold: float) -> Iterator[Ints]:
    """Texts that agree on a whole band, two or more at a time, in ascending order."""
    width = band_width(values.shape[1], threshold)
    factors = _odd(width, seed=1)
    for start in range(0, values.shape[1] - width + 1, width):
        keys = (values[:, start : start + width] * factors).sum(axis=1, dtype=np.uint64)
        order = np.argsort(keys, kind="stable")
        cuts = np.flatnonzero(np.diff(keys[order])) + 1
        ends = np.r_[cuts, len(order)]
        starts = np.r_[0, cuts]
        for first, end in zip(starts[ends - starts > 1], ends[ends - starts > 1], strict=True):
            yield filled[order[first:end]]


def _odd(count: int, *, seed: int) -> NDArray[np.uint64]:
    """Fixed odd multipliers: part of the hash, not a choice of the user's."""
    drawn = np.random.default_rng(seed).integers(1 << 62, size=count, dtype=np.uint64)
    return drawn * np.uint64(2) + np.uint64(1)


def _verified(matrix: Any, pairs: list[Ints], threshold: float) -> Ints:
    """The pairs whose exact Jaccard similarity reaches the threshold."""
    every = np.unique(np.concatenate([np.empty((0, 2), np.int64), *pairs]), axis=0)
    shared, union = _overlaps(matrix, every)
    # As a product, not a quotient, so that 4 of 5 is not rounded below 0.8.
    return every[shared >= threshold * union - 1e-9]


def _overlaps(matrix: Any, pairs: Ints) -> tuple[Ints, Ints]:
    """Shingles both texts of each pair have, and shingles either has."""
    sizes = np.diff(matrix.indptr).astype(np.int64)
    cost = np.cumsum(sizes[pairs].sum(axis=1)) // _cells
    found = [np.empty(0, np.int64)]
    for chunk in np.split(pairs, np.flatnonzero(np.diff(cost)) + 1):
        common = matrix[chunk[:, 0]].multiply(matrix[chunk[:, 1]])
        found.append(np.asarray(common.sum(axis=1)).astype(np.int64))
    shared = np.concatenate(found)
    return shared, sizes[pairs].sum(axis=1) - shared
