"""The three ways to lay vectors out, and the neighbours that one of them can be handed."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Protocol

import numpy as np

from workbench.errors import BadArgument, BadData
from workbench.types import Candidates, Floats, Ints, Vectors

Neighbours = tuple[Ints, Floats]
"""(n, k) positions and (n, k) rising distances, of every point to others or to all points."""
MANY = 10_000
GENTLE = 0.1
"""UMAP's learning rate after a start: at its usual 1 points are thrown about their clusters."""


class How(Protocol):
    """(n, dim) unit vectors -> (n, 2) coordinates."""

    def __call__(
        self,
        values: Floats,
        *,
        first: Floats | None,
        graph: Neighbours | None,
        n_neighbors: int,
        epochs: int | None,
        seed: int | None,
        hide: bool | None,
    ) -> Floats:
        """Lay them out."""
        ...


def pca(
    values: Floats,
    *,
    first: Floats | None = None,
    graph: Neighbours | None = None,
    n_neighbors: int = 15,
    epochs: int | None = None,
    seed: int | None = 0,
    hide: bool | None = True,
) -> Floats:
    """(n, 2) the two axes along which vectors differ most; fewer axes are filled up with zeros.

    Args:
        values: (n, dim).
        first: as of all ways; not used, like the options below but for `seed`.
        graph: not used.
        n_neighbors: not used.
        epochs: not used.
        seed: of the randomised decomposition of wide vectors.
        hide: not used.

    Example:
        >>> flat = pca(np.array([[0, 1], [0, 2], [0, 4]], dtype=np.float32))
        >>> (30 * np.abs(flat[:, 0])).round().tolist(), flat.shape
        ([40.0, 10.0, 50.0], (3, 2))
    """
    from sklearn.decomposition import PCA

    wide = min(2, *values.shape)
    found = PCA(wide, random_state=seed).fit_transform(values)
    xy = np.zeros((len(values), 2), dtype=np.float32)
    xy[:, :wide] = found
    return xy


def umap(
    values: Floats,
    *,
    first: Floats | None = None,
    graph: Neighbours | None = None,
    n_neighbors: int = 15,
    epochs: int | None = None,
    seed: int | None = 0,
    hide: bool | None = True,
) -> Floats:
    """(n, 2) umap-learn's layout of unit vectors, begun from the principal axes.

    Args:
        values: (n, dim).
        first: (n, 2) coordinates to begin from instead.
        graph: neighbours found already.
        n_neighbors: of each point, itself included.
        epochs: of the descent; None = 100 from 10,000 points on, 200 below.
        seed: one core and the same every time; None = all cores.
        hide: no bar; None = none where nobody sees it.

    Raises:
        BadData: fewer than four points.
    """
    count = len(values)
    few("UMAP", count, 4)
    steps = epochs if epochs is not None else (100 if count >= MANY else 200)
    begin = _begun(values, seed) if first is None else first
    bar = {"disable": hide, "delay": 2, "desc": "UMAP"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "precomputed_knn")  # nothing is placed into it later
        warnings.filterwarnings("ignore", ".*not fully connected")
        model = library().UMAP(
            n_neighbors=min(n_neighbors, count - 1),
            n_epochs=steps,
            init=begin,
            learning_rate=1.0 if first is None else GENTLE,
            random_state=seed,
            n_jobs=-1 if seed is None else 1,
            precomputed_knn=(None, None, None) if graph is None else graph,
            tqdm_kwds=bar,
        )
        return np.asarray(model.fit_transform(values), dtype=np.float32)


def tsne(
    values: Floats,
    *,
    first: Floats | None = None,
    graph: Neighbours | None = None,
    n_neighbors: int = 15,
    epochs: int | None = None,
    seed: int | None = 0,
    hide: bool | None = True,
) -> Floats:
    """(n, 2) openTSNE's layout of unit vectors, begun from the principal axes.

    Args:
        values: (n, dim).
        first: (n, 2) coordinates to begin from instead; the early exaggeration is then left out.
        graph: not used.
        n_neighbors: the perplexity, kept between 5 and a third of the points.
        epochs: after the early exaggeration; None = 500.
        seed: one core and the same every time; None = all cores.
        hide: no bar; None = none where nobody sees it.

    Raises:
        BadData: fewer than 16 points.
    """
    few("t-SNE", len(values), 16)
    from openTSNE import TSNE
    from tqdm.auto import tqdm

    early, steps = (0 if first is not None else 250), (500 if epochs is None else epochs)
    with tqdm(total=early + steps, disable=hide, delay=2, desc="t-SNE") as bar:

        def tick(*_: object) -> None:
            bar.update(10)

        model = TSNE(
            perplexity=min(max(5, n_neighbors), (len(values) - 1) // 3),
            initialization="pca" if first is None else np.asarray(first, dtype=np.float64),
            early_exaggeration_iter=early,
            n_iter=steps,
            random_state=seed,
            n_jobs=-1 if seed is None else 1,
            callbacks=tick,
            callbacks_every_iters=10,
        )
        return np.asarray(model.fit(values), dtype=np.float32)


def library() -> ModuleType:
    """The module `umap`, without its word about TensorFlow."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)
        import umap as found

    return found  # type: ignore[no-any-return]


METHODS: Mapping[str, How] = {"umap": umap, "tsne": tsne, "pca": pca}


def few(who: str, count: int, least: int) -> None:
    """Refuse fewer points than a method can lay out.

    Raises:
        BadData: how many there are.
    """
    if count < least:
        problem = f"{count} rows, and {who} needs {least}"
        raise BadData("the vectors", [problem], "Try how='pca'.")


def _begun(values: Floats, seed: int | None) -> Floats:
    """The principal axes, scaled to [-10, 10], with a little noise so that no two points meet."""
    flat = pca(values, seed=seed)
    flat *= 10 / max(float(np.abs(flat).max()), 1e-12)
    noise = np.random.default_rng(seed).normal(scale=1e-4, size=flat.shape)
    return (flat + noise).astype(np.float32)


def checked_pair(pair: object, *, count: int | None = None, k: int | None = None) -> Neighbours:
    """Neighbours as UMAP wants them: each point itself first, k in all, distances rising.

    Args:
        pair: (n, k) positions and distances, with or without the point itself.
        count: how many points there are; None = do not look.
        k: how many neighbours are wanted, itself included; None = all.

    Raises:
        BadArgument: not a pair of equal shape, too few, positions out of range, distances that
            are negative, fall or are not finite.

    Example:
        >>> pair = np.array([[1], [0], [1]]), np.array([[0.5], [0.5], [0.8]])
        >>> checked_pair(pair, count=3, k=2)[0].tolist()
        [[0, 1], [1, 0], [2, 1]]
    """
    good = isinstance(pair, tuple | list) and len(pair) == 2
    places, far = (np.asarray(one) for one in pair) if good else (np.zeros(0), np.zeros(0))  # type: ignore[attr-defined]
    mend = "Give (positions, distances) of a search of all points among all points."
    if places.ndim != 2 or places.shape != far.shape or places.dtype.kind not in "iu":
        wanted = "it must be Candidates or two (n, k) arrays, positions and distances"
        raise BadArgument("neighbours", type(pair).__name__, wanted, mend)
    if count is None or k is None:
        return places.astype(np.int64), far.astype(np.float32)
    if len(places) != count:
        raise BadArgument("neighbours", places.shape, f"it must have {count:,} rows", mend)
    own = np.arange(count)
    if not np.array_equal(places[:, 0], own):
        places = np.concatenate([own[:, None], places], axis=1)
        far = np.concatenate([np.zeros((count, 1)), far], axis=1)
    wide = min(k, count - 1)
    if places.shape[1] < wide:
        wanted = f"it must hold {wide - 1} neighbours beside the point itself"
        raise BadArgument("neighbours", places.shape, wanted, "Search more, or lower n_neighbors.")
    places, far = places[:, :wide], far[:, :wide]
    if places.min() < 0 or places.max() >= count:
        raise BadArgument("neighbours", int(places.min()), f"positions are 0..{count - 1}", mend)
    if not np.isfinite(far).all() or far.min() < 0 or (np.diff(far, axis=1) < -1e-6).any():
        wanted = "distances must be finite, not negative, and rise along a row"
        raise BadArgument("neighbours", "distances", wanted, "Use sqrt(2 - 2 cosine).")
    return places.astype(np.int64), far.astype(np.float32)


def from_candidates(
    candidates: Candidates, sides: Sequence[Vectors], values: Floats, *, k: int, seed: int | None
) -> Neighbours:
    """Neighbours of all points: queries take those of a mined list, documents are searched.

    Distances are those of the vectors, whatever the list's scores are.

    Args:
        candidates: mined with any encoder, of these queries and documents, in this order.
        sides: (query vectors, document vectors).
        values: (n, dim) their unit vectors.
        k: neighbours of each point, itself included.
        seed: of the search among documents.

    Raises:
        BadArgument: other queries or documents, or a query with fewer than k - 1 candidates.
    """
    from sklearn.utils import check_random_state

    mend = "Pass the vectors of the collection that was mined."
    if len(sides) != 2:
        raise BadArgument("neighbours", candidates, "queries must be on the map", mend)
    for side, ids in zip(sides, (candidates.query_ids, candidates.doc_ids), strict=True):
        if not np.array_equal(side.ids, ids):
            raise BadArgument("neighbours", candidates, "its ids must be those of vectors", mend)
    asked, wide = len(sides[0].ids), min(k, len(values) - 1)
    short = int((candidates.docs[:, : wide - 1] < 0).any(axis=1).sum())
    if candidates.docs.shape[1] < wide - 1 or short:
        wanted = f"each query must have {wide - 1} candidates"
        raise BadArgument("neighbours", candidates, wanted, "Mine more, or lower n_neighbors.")
    places = candidates.docs[:, : wide - 1] + asked
    cosine = np.stack([(values[:asked] * values[one]).sum(axis=1) for one in places.T], axis=1)
    far = np.sqrt(np.maximum(2 - 2 * cosine, 0)).astype(np.float32)
    order = np.argsort(far, axis=1, kind="stable")
    places, far = (np.take_along_axis(one, order, axis=1) for one in (places, far))
    own = np.arange(asked)[:, None]
    places = np.concatenate([own, places], axis=1)
    far = np.concatenate([np.zeros((asked, 1), dtype=np.float32), far], axis=1)
    state = check_random_state(seed)
    docs, apart, _ = library().umap_.nearest_neighbors(
        values[asked:], wide, "euclidean", metric_kwds={}, angular=False, random_state=state
    )
    return (
        np.concatenate([places, docs + asked]).astype(np.int64),
        np.concatenate([far, apart]).astype(np.float32),
    )
