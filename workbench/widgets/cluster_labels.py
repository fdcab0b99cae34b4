"""What the groups on a picture are about: clusters of its points, and the words that mark them.

Clusters are cut from the picture, not from the vectors: a label explains what the eye sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, BadData, check_count
from workbench.types import Floats, Ints

if TYPE_CHECKING:
    import pandas as pd

CELLS, ENOUGH, TEXTS, LONGEST = 256, 20_000, 20_000, 2_000
"""Small cells that are merged into clusters; points they are found with; texts read in all;
characters read of each."""
WORD = r"(?u)\b[^\W\d_]\w+\b"


@dataclass(frozen=True, eq=False, kw_only=True)
class ClusterLabels:
    """Clusters of a picture and what they are about.

    Args:
        numbers: (n,) cluster of each point, 0 is the largest.
        words: per cluster its marking words, best first; none where no text says anything.
        centres: (cluster, 2) a point in the thick of each.
        sizes: (cluster,) points.

    Example:
        >>> made = ClusterLabels(numbers=np.array([0, 0, 1]), words=(("sort", "list"), ("http",)),
        ...                      centres=np.zeros((2, 2)), sizes=np.array([2, 1]))
        >>> made.names
        ['sort, list', 'http']
    """

    numbers: Ints
    words: tuple[tuple[str, ...], ...]
    centres: NDArray[np.floating]
    sizes: Ints

    @property
    def names(self) -> list[str]:
        """One line per cluster; a cluster without words goes by its number."""
        return [", ".join(some) or f"cluster {at}" for at, some in enumerate(self.words)]

    def frame(self) -> pd.DataFrame:
        """One row per cluster: size, words, centre."""
        import pandas as pd

        x, y = self.centres.T
        return pd.DataFrame({"size": self.sizes, "words": self.names, "x": x, "y": y})


def cluster_labels(
    xy: Floats,
    texts: Sequence[str],
    *,
    clusters: int = 12,
    words: int = 3,
    stop_words: str | Sequence[str] | None = "english",
    seed: int = 0,
) -> ClusterLabels:
    """Cut a picture into clusters and name each by the words that mark it.

    Args:
        xy: (n, 2) coordinates.
        texts: one per point; at most 20,000 of them are read, an equal share of each cluster.
        clusters: how many; asking for more cuts some in two and leaves the others as they are.
        words: per cluster, usually 2 to 5.
        stop_words: words that name nothing: "english", a list, or None.
        seed: of the cut and of the texts drawn.

    Returns:
        Clusters by size.

    Raises:
        BadArgument: shapes, counts, or lengths that differ.
        BadData: a coordinate that is not finite.

    Example:
        >>> xy = np.array([[0, 0], [0, 1], [9, 9], [9, 8]], dtype=np.float32)
        >>> cluster_labels(xy, ["sort a list", "sort items", "open socket", "socket port"],
        ...                clusters=2, words=1).names
        ['sort', 'socket']

    Source: Grootendorst 2022, "BERTopic" (arXiv 2203.05794), section 3.3, for the words.

    Breaks when: the picture is one cloud; clusters are then slices of it. A language without
    spaces between words gives no words.
    """
    if len(texts) != len(xy):
        wanted = f"there must be one per point, {len(xy):,}"
        raise BadArgument("texts", len(texts), wanted, "Give the texts of the layout's ids.")
    check_count("words", words, mend="Try 3.")
    numbers = clusters_of(xy, clusters=clusters, seed=seed)
    count = int(numbers.max()) + 1
    read = _drawn(numbers, max(1, TEXTS // count), seed)
    some = [str(texts[at])[:LONGEST] for at in read.tolist()]
    marking = class_words(some, numbers[read], count=count, words=words, stop_words=stop_words)
    centres = np.stack([_thick(xy[numbers == one]) for one in range(count)])
    return ClusterLabels(
        numbers=numbers, words=marking, centres=centres, sizes=np.bincount(numbers)
    )


def clusters_of(xy: Floats, *, clusters: int = 12, seed: int = 0) -> Ints:
    """Cut a picture into clusters: small cells by k-means, merged bottom-up by Ward's rule.

    Merging makes the cut nested: more clusters are made by cutting some of these in two.

    Args:
        xy: (n, 2) coordinates.
        clusters: how many, at most 256 and at most the number of different points.
        seed: of the cells.

    Returns:
        (n,) numbers from 0, the largest cluster first.

    Raises:
        BadArgument: a shape or a count.
        BadData: a coordinate that is not finite.

    Example:
        >>> xy = np.array([[0, 0], [0, 1], [9, 9], [9, 8], [8, 9]], dtype=np.float32)
        >>> clusters_of(xy, clusters=2).tolist()
        [1, 1, 0, 0, 0]

    Source: Ward 1963, "Hierarchical grouping to optimize an objective function".

    Breaks when: groups are long and thin, or lie inside each other.
    """
    if np.ndim(xy) != 2 or np.shape(xy)[1] != 2 or not len(xy):
        raise BadArgument("xy", np.shape(xy), "it must be (n, 2), n >= 1", "Give layout.xy.")
    check_count("clusters", clusters, mend="Try 12.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    if clusters > CELLS:
        raise BadArgument("clusters", clusters, f"it must be <= {CELLS}", "Nobody reads more.")
    if not np.isfinite(xy).all():
        raise BadData("the layout", ["a coordinate is not finite"], "Make it again.")
    from scipy.cluster.hierarchy import fcluster, linkage
    from sklearn.cluster import MiniBatchKMeans

    points = np.asarray(xy, dtype=np.float64)
    centres, cell = np.unique(points, axis=0, return_inverse=True)
    if len(centres) > CELLS:
        model = MiniBatchKMeans(CELLS, random_state=seed, n_init=1, batch_size=4096, max_iter=30)
        some = np.random.default_rng(seed).permutation(len(points))[:ENOUGH]
        centres = model.fit(points[some]).cluster_centers_
        cell = model.predict(points)
    if len(centres) == 1:
        return np.zeros(len(points), dtype=np.int64)
    merged = fcluster(linkage(centres, "ward"), min(clusters, len(centres)), "maxclust")
    own = merged[np.asarray(cell).reshape(-1)]
    _, own = np.unique(own, return_inverse=True)
    order = np.argsort(-np.bincount(own), kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[own]


def class_words(
    texts: Sequence[str],
    classes: Ints,
    *,
    count: int | None = None,
    words: int = 3,
    stop_words: str | Sequence[str] | None = "english",
) -> tuple[tuple[str, ...], ...]:
    """The words that mark each class of texts, by class-based TF-IDF.

        W(t, c) = tf(t, c) log(1 + A / f(t))

    tf(t, c) is the share of word t among the words of class c, f(t) its count in all, A the mean
    number of words per class.

    Args:
        texts: any.
        classes: (text,) class of each, from 0.
        count: classes there are; None = as many as are named.
        words: per class, usually 2 to 5.
        stop_words: words left out: "english", a list, or None.

    Returns:
        Per class its words, best first, equal ones by the alphabet; empty where there are none.

    Raises:
        BadArgument: lengths differ.

    Example:
        >>> class_words(["sort the list", "sort it", "the port"], np.array([0, 0, 1]), words=1)
        (('sort',), ('port',))

    Source: Grootendorst 2022, "BERTopic: Neural topic modeling with a class-based TF-IDF
    procedure" (arXiv 2203.05794), equation 3.

    Breaks when: a class has a handful of texts; its words are then theirs, not a topic's.
    """
    from scipy import sparse
    from sklearn.feature_extraction.text import CountVectorizer

    if len(texts) != len(classes):
        raise BadArgument("texts", len(texts), f"it must be {len(classes):,}", "Align them.")
    classes = np.asarray(classes, dtype=np.int64)
    total = count if count is not None else int(classes.max(initial=-1)) + 1
    left_out = stop_words if isinstance(stop_words, str) or stop_words is None else list(stop_words)
    reader = CountVectorizer(
        token_pattern=WORD, stop_words=left_out, min_df=2 if len(texts) > 500 else 1
    )
    try:
        counts = reader.fit_transform(texts)
    except ValueError as error:
        if "empty vocabulary" in str(error) or "no terms remain" in str(error):
            return ((),) * total
        raise
    vocabulary = reader.get_feature_names_out()
    member = sparse.coo_array(
        (np.ones(len(texts)), (classes, np.arange(len(texts)))), shape=(total, len(texts))
    ).tocsr()
    table = (member @ counts).tocsr().astype(np.float64)
    sums = np.asarray(table.sum(axis=1)).reshape(-1)
    frequency = np.asarray(table.sum(axis=0)).reshape(-1)
    rare = np.log1p(sums.mean() / np.maximum(frequency, 1))
    weight = (
        sparse.diags_array(1 / np.maximum(sums, 1)) @ table @ sparse.diags_array(rare)
    ).tocsr()
    return tuple(_best(weight[[one]], vocabulary, words) for one in range(total))


def placed(
    centres: NDArray[np.floating],
    names: Sequence[str],
    *,
    extent: tuple[float, float, float, float],
    size: tuple[int, int] = (760, 520),
    letter: tuple[float, float] = (6.5, 16.0),
) -> list[tuple[int, float, float]]:
    """Where labels fit on a picture without touching: the first named go first.

    Args:
        centres: (label, 2) where each belongs.
        names: their words.
        extent: (left, right, bottom, top) of the picture, in its coordinates.
        size: of the picture in pixels.
        letter: width of a letter and height of a line, in pixels.

    Returns:
        (label, x, y) of those that fit, moved up or down by at most two lines.

    Example:
        >>> centres = np.array([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
        >>> [at for at, x, y in placed(centres, ["a", "b", "c"], extent=(0, 1, 0, 1))]
        [0, 1, 2]
    """
    left, right, bottom, top = extent
    per_x, per_y = size[0] / max(right - left, 1e-12), size[1] / max(top - bottom, 1e-12)
    taken: list[tuple[float, float, float]] = []
    found = []
    for at, name in enumerate(names):
        wide = len(name) * letter[0]
        x = min(max((centres[at, 0] - left) * per_x, wide / 2), max(size[0] - wide / 2, wide / 2))
        for lines in (0, 1, -1, 2, -2):
            y = min(max((centres[at, 1] - bottom) * per_y + lines * letter[1], letter[1] / 2),
                    size[1] - letter[1] / 2)  # fmt: skip
            free = all(
                abs(x - other_x) >= (wide + other) / 2 + 4 or abs(y - other_y) >= letter[1]
                for other_x, other_y, other in taken
            )
            if free:
                taken.append((x, y, wide))
                found.append((at, float(left + x / per_x), float(bottom + y / per_y)))
                break
    return found


def _drawn(numbers: Ints, most: int, seed: int) -> Ints:
    """Positions of at most `most` points of each cluster, drawn at random, in order."""
    mixed = np.random.default_rng(seed).permutation(len(numbers))
    grouped = mixed[np.argsort(numbers[mixed], kind="stable")]
    sizes = np.bincount(numbers)
    turn = np.arange(len(numbers)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(grouped[turn < most])


def _thick(points: Floats) -> NDArray[np.floating]:
    """The point nearest to the middle (by medians) of some points."""
    middle = np.median(points, axis=0)
    found: NDArray[np.floating] = points[int(((points - middle) ** 2).sum(axis=1).argmin())]
    return found


def _best(row: object, vocabulary: NDArray[np.object_], words: int) -> tuple[str, ...]:
    columns, values = row.indices, row.data  # type: ignore[attr-defined]
    order = np.lexsort((vocabulary[columns].astype(str), -values))[:words]
    return tuple(str(vocabulary[columns[at]]) for at in order.tolist() if values[at] > 0)
