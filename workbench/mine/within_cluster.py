"""Documents of the query's own cluster: hard by topic, without being the very nearest.

    cluster(q) = argmax_c cos(q, m_c),   m_c = the mean direction of the documents of cluster c

The nearest documents of a corpus are where unlabelled positives crowd; a random one of the same
topic is hard too, and seldom an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, check_choice, check_count
from workbench.mine.clusters import ROWS, kmeans, mean_directions
from workbench.mine.draw import check_seed, keys
from workbench.mine.exact import finite_sides, top_k
from workbench.mine.facts import Unit, check_vectors
from workbench.mine.miner import given
from workbench.mine.random import draw, listed
from workbench.mine.ranking import EXCLUDE, excluded
from workbench.registry import register
from workbench.types import Candidates, Collection, Ints, Vectors

HOW = ("random", "nearest")


def _check(k: int, clusters: int, how: str, seed: int, exclude: str) -> None:
    check_count("k", k, mend="Try 30.")
    check_count("clusters", clusters, mend="Try the square root of the number of documents.")
    check_choice("how", how, HOW)
    check_seed(seed)
    check_choice("exclude", exclude, EXCLUDE)


def within_cluster(
    collection: Collection,
    query_vectors: Vectors,
    doc_vectors: Vectors,
    *,
    k: int = 30,
    clusters: int = 100,
    how: str = "random",
    seed: int = 0,
    exclude: str = "known",
    known: KnownPositives | None = None,
) -> Candidates:
    """Mine among the documents of each query's cluster only.

    Args:
        collection: queries, corpus and judgments.
        query_vectors: one per query.
        doc_vectors: one per document; they are clustered by spherical k-means.
        k: candidates per query; a small cluster gives fewer.
        clusters: how many; more are narrower and harder.
        how: "random" draws from the cluster, "nearest" takes its best by inner product.
        seed: of clustering and draw.
        exclude: "known", "labelled" or "nothing", see `ranking.excluded`.
        known: the known-positive graph; None = that of the collection.

    Returns:
        Candidates by falling inner product.

    Raises:
        BadArgument: an option out of range, more clusters than documents.
        BadData: vectors of other texts, or not finite.

    Example:
        >>> from workbench.data import from_rows
        >>> demo = from_rows([{"query": c, "positive": c + c} for c in "abcd"], name="demo")
        >>> values = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], dtype=np.float32)
        >>> both = (demo.query_ids, demo.doc_ids)
        >>> sides = [Vectors(values=values, ids=ids, encoder="e") for ids in both]
        >>> within_cluster(demo, *sides, clusters=2, k=1).docs.ravel().tolist()
        [1, 0, 3, 2]

    Breaks when: clusters are narrower than answers are many: what is left of a query's own is then
    mostly unlabelled positives.
    """
    _check(k, clusters, how, seed, exclude)
    check_vectors("mining", (query_vectors, doc_vectors), collection.query_ids, collection.doc_ids)
    if clusters > len(collection.doc_ids):
        wanted = f"there are {len(collection.doc_ids):,} documents"
        raise BadArgument("clusters", clusters, wanted, "Try their square root.")
    finite_sides(query_vectors.values, doc_vectors.values)
    labels = kmeans(doc_vectors.values, clusters=clusters, seed=seed)
    own = _own_cluster(query_vectors, doc_vectors, labels, clusters)
    cells = excluded(collection, exclude, known)
    of = keys(collection.query_ids, seed)
    places = np.full((len(own), k), -1, dtype=np.int64)
    by_label = np.argsort(labels, kind="stable")
    ends = np.searchsorted(labels[by_label], np.arange(clusters + 1))
    for cluster in np.unique(own).tolist():
        queries = np.flatnonzero(own == cluster)
        docs = by_label[ends[cluster] : ends[cluster + 1]]
        inside = None if cells is None else cells[queries][:, docs]
        if how == "random":
            found = draw(of[queries], len(docs), k=k, exclude=inside)
        else:
            sides = (query_vectors.values[queries], doc_vectors.values[docs])
            found = top_k(*sides, k=k, exclude=inside)[1]
        places[queries] = np.where(found >= 0, docs[np.maximum(found, 0)], -1)
    recipe = {"clusters": clusters, "how": how, "seed": seed, "exclude": exclude}
    vectors = (query_vectors, doc_vectors)
    return listed(collection, places, vectors, miner="within_cluster", recipe=recipe)


def _own_cluster(queries: Vectors, docs: Vectors, labels: Ints, clusters: int) -> Ints:
    """(query,) the cluster whose mean direction is nearest; never an empty one."""
    dim = int(docs.values.shape[1])
    means = mean_directions(Unit(docs), labels, clusters=clusters, dim=dim)
    unit_queries = Unit(queries)
    empty = np.bincount(labels, minlength=clusters) == 0
    own = np.empty(len(queries.ids), dtype=np.int64)
    for start in range(0, len(own), ROWS // 16):
        some = slice(start, start + ROWS // 16)
        cosines = unit_queries(some) @ means.T
        cosines[:, empty] = -np.inf
        own[some] = cosines.argmax(axis=1)
    return own


@register("miner", "within_cluster")
@dataclass(frozen=True, kw_only=True)
class WithinCluster:
    """Documents of the query's own cluster, drawn at random or the nearest of them.

    Args:
        k: see `within_cluster`, as for all.
        clusters: how many.
        how: "random" or "nearest".
        seed: of clustering and draw.
        exclude: what may never be found.
    """

    k: int = 30
    clusters: int = 100
    how: str = "random"
    seed: int = 0
    exclude: str = "known"
    needs_vectors: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check(self.k, self.clusters, self.how, self.seed, self.exclude)

    def __call__(
        self,
        collection: Collection,
        vectors: tuple[Vectors, Vectors] | None = None,
        *,
        known: KnownPositives | None = None,
    ) -> Candidates:
        """Mine a collection with these vectors."""
        queries, docs = given(vectors, "within_cluster")
        return within_cluster(
            collection, queries, docs, k=self.k, clusters=self.clusters, how=self.how,
            seed=self.seed, exclude=self.exclude, known=known,
        )  # fmt: skip
