"""Groups of near vectors: spherical k-means by faiss, and halving until groups are small.

Both see directions only: rows are scaled to length 1 as they are read.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, check_count
from workbench.mine.exact import finite
from workbench.mine.facts import unit
from workbench.types import Floats, Ints

ROWS = 65_536
"""Rows held as unit vectors at once."""
HELD = 4 * 2**30
"""Bytes of unit vectors above which they are held in half precision."""
POINTS = 256
"""Rows per cluster that k-means is fitted on; the others are only assigned."""
FALLS = 32
"""Nearest open centres that a row which was turned away everywhere keeps in mind."""
CHOICES = 16
"""Nearest centres that a row asks in turn when clusters have one size."""


def _checked(vectors: Floats) -> tuple[int, int]:
    if vectors.ndim != 2 or not vectors.size:
        wanted = "it must be (n, dim) with n >= 1"
        raise BadArgument("vectors", vectors.shape, wanted, "Encode some texts first.")
    finite("clustered", vectors)
    return int(vectors.shape[0]), int(vectors.shape[1])


def kmeans(
    vectors: Floats,
    *,
    clusters: int,
    seed: int = 0,
    balanced: bool = False,
    iterations: int = 10,
) -> Ints:
    """The cluster of every row by spherical k-means.

        label_i = argmax_c cos(x_i, m_c),   m_c = the mean direction of cluster c

    With `balanced` no two sizes differ by more than one: rows ask their nearest centres in turn,
    a full centre keeps those nearest to it, and who is turned away asks the next.

    Args:
        vectors: (n, dim), any length; may be a memory map.
        clusters: how many, at most n; TAS-Balanced takes 2,000 for 400,000 queries.
        seed: of the rows the fit starts from.
        balanced: give all clusters one size.
        iterations: rounds of the fit, usually 10 to 25.

    Returns:
        (n,) numbers 0..clusters-1. Without `balanced` a cluster may be empty.

    Raises:
        BadArgument: a shape or a count.
        BadData: a vector is not finite.

    Example:
        >>> rows = np.array([[1, 0], [2, 0.1], [0, 1], [0.1, 3]], dtype=np.float32)
        >>> labels = kmeans(rows, clusters=2)
        >>> bool(labels[0] == labels[1]), bool(labels[2] == labels[3]), len(set(labels.tolist()))
        (True, True, 2)

    Source: Dhillon and Modha 2001, spherical k-means; started by Arthur and Vassilvitskii 2007,
    k-means++; fitted by faiss.

    Breaks when: the vectors have no groups; the cut is then arbitrary, and another seed's differs.
    """
    import faiss
    from tqdm.auto import tqdm

    count, dim = _checked(vectors)
    check_count("clusters", clusters, mend="Try the square root of the number of rows.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    check_count("iterations", iterations, mend="Try 10.")
    if clusters > count:
        wanted = f"it must be <= {count:,}, the number of rows"
        raise BadArgument("clusters", clusters, wanted, "Try their square root.")
    rng = np.random.default_rng([seed, clusters])
    some = np.arange(count)
    if count > POINTS * clusters:
        some = np.sort(rng.choice(count, size=POINTS * clusters, replace=False))
    fit = faiss.Kmeans(
        dim, clusters, niter=iterations, seed=seed + 1, spherical=True,
        min_points_per_centroid=1, max_points_per_centroid=POINTS,
        init_method=faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS,
    )  # fmt: skip
    fit.train(unit(vectors[some]))
    wide = min(CHOICES, clusters) if balanced else 1
    nearest = np.empty((count, wide), dtype=np.int64)
    cosines = np.empty((count, wide), dtype=np.float32)
    starts = range(0, count, ROWS)
    for start in tqdm(starts, desc="clusters", unit="block", disable=None, delay=2):
        rows = slice(start, start + ROWS)
        cosines[rows], nearest[rows] = fit.index.search(unit(vectors[rows]), wide)
    if not balanced:
        return nearest[:, 0]
    return _one_size(vectors, np.asarray(fit.centroids), nearest, cosines)


def _one_size(vectors: Floats, centres: Floats, nearest: Ints, cosines: Floats) -> Ints:
    """Stable marriage of rows and centres, each centre with floor(n / k) rows; then one each."""
    count, clusters = len(nearest), len(centres)
    labels = np.full(count, -1, dtype=np.int64)
    held = np.full(count, -np.inf, dtype=np.float32)
    turn = np.zeros(count, dtype=np.int64)
    room = np.full(clusters, count // clusters)
    waiting = np.arange(count)
    while len(waiting):
        labels[waiting] = nearest[waiting, turn[waiting]]
        held[waiting] = cosines[waiting, turn[waiting]]
        turn[waiting] += 1
        inside = np.flatnonzero(labels >= 0)
        order = inside[np.lexsort((inside, -held[inside], labels[inside]))]
        first = np.searchsorted(labels[order], np.arange(clusters))
        refused = order[np.arange(len(order)) - first[labels[order]] >= room[labels[order]]]
        labels[refused] = -1
        waiting = refused[turn[refused] < nearest.shape[1]]
    _place(vectors, centres, labels, room)
    _place(vectors, centres, labels, room + 1)
    return labels


def _place(vectors: Floats, centres: Floats, labels: Ints, room: Ints) -> None:
    """Give rows that no asked centre took to the nearest that still has room; in place.

    Every row knows its nearest open centres in order, and falls through those that fill up; it
    looks at the centres again only when none of them is left.
    """
    left = np.flatnonzero(labels < 0)
    free = room - np.bincount(labels[labels >= 0], minlength=len(centres))
    wide = min(FALLS, len(centres))
    nearest = np.empty((len(left), wide), dtype=np.int32)
    cosines = np.empty((len(left), wide), dtype=np.float32)
    turn = np.full(len(left), wide)
    while len(left) and (free > 0).any():
        _look(vectors, centres, free, left, nearest, cosines, turn)
        rows = np.arange(len(left))
        best, score = nearest[rows, turn], cosines[rows, turn]
        order = np.lexsort((left, -score, best))
        first = np.searchsorted(best[order], np.arange(len(centres)))
        within = np.arange(len(order)) - first[best[order]]
        taken = order[within < free[best[order]]]
        labels[left[taken]] = best[taken]
        free -= np.bincount(best[taken], minlength=len(centres))
        stay = np.ones(len(left), dtype=np.bool_)
        stay[taken] = False
        left, nearest, cosines, turn = left[stay], nearest[stay], cosines[stay], turn[stay]


def _look(
    vectors: Floats, centres: Floats, free: Ints, left: Ints,
    nearest: NDArray[np.int32], cosines: Floats, turn: Ints,
) -> None:  # fmt: skip
    """Each row's turn moves to its nearest open centre; who has none left asks all; in place."""
    wide = nearest.shape[1]
    falling = np.flatnonzero(turn < wide)
    while len(falling):
        falling = falling[free[nearest[falling, turn[falling]]] <= 0]
        turn[falling] += 1
        falling = falling[turn[falling] < wide]
    open_ = np.flatnonzero(free > 0).astype(np.int32)
    asking = np.flatnonzero(turn >= wide)
    some_open = min(wide, len(open_))
    for start in range(0, len(asking), ROWS // 16):
        some = asking[start : start + ROWS // 16]
        scores = unit(vectors[left[some]]) @ centres[open_].T
        places = np.argpartition(-scores, some_open - 1, axis=1)[:, :some_open]
        values = np.take_along_axis(scores, places, axis=1)
        order = np.lexsort((places, -values), axis=1)
        turn[some] = wide - some_open
        nearest[some, wide - some_open :] = open_[np.take_along_axis(places, order, axis=1)]
        cosines[some, wide - some_open :] = np.take_along_axis(values, order, axis=1)


def bisect(vectors: Floats, *, size: int, seed: int = 0, iterations: int = 10) -> Ints:
    """Balanced clusters of at most `size` rows, by halving again and again.

        a cluster's rows in order of x . (m_1 - m_2): the upper half is one child, the lower the
        other; m = the children's mean directions; until no row moves, then halve the children

    Every cluster is halved at every level, so there are 2^ceil(log2(n / size)) clusters, their
    sizes differ by at most one and none is larger than `size`: "size 2" on 294,805 rows comes to
    1.12 on average, as in NGAME's released code.

    Args:
        vectors: (n, dim), any length; may be a memory map.
        size: rows per cluster at most; NGAME's schedule goes from 2 to 512.
        seed: of the two rows each split starts from.
        iterations: rounds per level at most.

    Returns:
        (n,) numbers 0..clusters-1; neighbouring numbers are siblings. With size 1 some are empty.

    Raises:
        BadArgument: a shape or a count.
        BadData: a vector is not finite.

    Example:
        >>> rows = np.array([[1, 0], [0, 1], [1, 0.1], [0.1, 1]], dtype=np.float32)
        >>> labels = bisect(rows, size=2)
        >>> bool(labels[0] == labels[2]), bool(labels[1] == labels[3]), np.bincount(labels).tolist()
        (True, True, [2, 2])

    Source: Dahiya et al. 2022, NGAME, section 3.2: balanced clusters of the training points.

    Breaks when: all rows of a cluster are equal; it is then halved by row number.
    """
    from tqdm.auto import tqdm

    count, _ = _checked(vectors)
    check_count("size", size, mend="Try 16.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    check_count("iterations", iterations, mend="Try 10.")
    levels = 0
    while count > size << levels:
        levels += 1
    units = np.empty(vectors.shape, dtype=np.float32 if 4 * vectors.size <= HELD else np.float16)
    for start in range(0, count, ROWS):
        units[start : start + ROWS] = unit(vectors[start : start + ROWS])
    labels = np.zeros(count, dtype=np.int64)
    for level in tqdm(range(levels), desc="halving", unit="level", disable=None, delay=2):
        rng = np.random.default_rng([seed, level])
        labels = _halved(units, labels, 1 << level, rng, iterations)
    return labels


def _halved(
    units: NDArray[np.floating],
    labels: Ints,
    clusters: int,
    rng: np.random.Generator,
    iterations: int,
) -> Ints:
    """Labels 2c and 2c + 1 in the place of c."""
    count, dim = units.shape
    sizes = np.bincount(labels, minlength=clusters)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    mixed = rng.permutation(count)
    grouped = mixed[np.argsort(labels[mixed], kind="stable")]
    # Two rows of each cluster; where they are equal, the second is the row farthest from the first.
    seeds = np.stack([grouped[first], grouped[first + np.minimum(1, sizes - 1)]], axis=1)
    middle = unit(units[seeds.ravel()]).reshape(clusters, 2, dim)
    equal = np.einsum("cd,cd->c", middle[:, 0], middle[:, 1]) > 1 - 1e-6
    if equal[labels].any():
        rows = np.flatnonzero(equal[labels])
        apart = np.einsum("nd,nd->n", unit(units[rows]), middle[labels[rows], 0])
        rows = rows[np.lexsort((apart, labels[rows]))]
        owners, at = np.unique(labels[rows], return_index=True)
        middle[owners, 1] = unit(units[rows[at]])
    rank = np.empty(count, dtype=np.int64)
    children = np.full(count, -1, dtype=np.int64)
    for _ in range(iterations):
        lean = np.empty(count, dtype=np.float32)
        across = middle[:, 0] - middle[:, 1]
        for start in range(0, count, ROWS):
            some = slice(start, start + ROWS)
            lean[some] = np.einsum("nd,nd->n", units[some], across[labels[some]])
        order = np.lexsort((np.arange(count), -lean, labels))
        rank[order] = np.arange(count)
        upper = (rank - first[labels]) < (sizes[labels] + 1) // 2
        fresh = 2 * labels + ~upper
        moved = int((fresh != children).sum())
        children = fresh
        if moved <= count // 200:
            break
        middle = mean_directions(
            lambda some: units[some].astype(np.float32, copy=False),
            children,
            clusters=2 * clusters,
            dim=dim,
        ).reshape(clusters, 2, dim)
    return children


def mean_directions(
    units: Callable[[slice], Floats], labels: Ints, *, clusters: int, dim: int
) -> Floats:
    """(cluster, dim) mean direction of each cluster's rows, of length 1; zero for an empty one.

    Args:
        units: rows -> unit vectors of these rows, read block by block.
        labels: (n,) cluster of each row.
        clusters: how many.
        dim: numbers per vector.

    Example:
        >>> rows = np.array([[1, 0], [0, 1], [0, 1]], dtype=np.float32)
        >>> labels = np.array([0, 2, 2])
        >>> mean_directions(lambda some: rows[some], labels, clusters=3, dim=2).tolist()
        [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    """
    from scipy import sparse

    sums = np.zeros((clusters, dim), dtype=np.float32)
    for start in range(0, len(labels), ROWS):
        some = labels[start : start + ROWS]
        cells = (np.ones(len(some), dtype=np.float32), (some, np.arange(len(some))))
        sums += sparse.csr_array(cells, shape=(clusters, len(some))) @ units(
            slice(start, start + len(some))
        )
    return unit(sums)
