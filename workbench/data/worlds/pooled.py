"""A pooled collection: a document gets a label only where it is relevant and a judge saw it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.errors import check_count, check_number
from workbench.types import Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class PooledWorld:
    """Queries with documents, what they are, and what the pool let anyone know.

    Args:
        features: (query, doc, 8): four that relevance is made of, then four the pool looked at.
        relevant: (query, doc) the truth.
        pooled: (query, doc) a judge saw it.
        retriever: (query, doc) score of a retriever that sees both kinds of features.
    """

    features: Floats
    relevant: NDArray[np.bool_]
    pooled: NDArray[np.bool_]
    retriever: Floats

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Relevant and seen: what a training set knows."""
        return self.relevant & self.pooled

    def hard_negatives(self, depth: int = 12) -> NDArray[np.bool_]:
        """Unlabelled documents among the retriever's first `depth`."""
        ranks = (-self.retriever).argsort(axis=1).argsort(axis=1)
        return (ranks < depth) & ~self.labelled


def pooled_world(
    *, queries: int = 400, docs: int = 40, noise: float = 0.3, seed: int = 0
) -> PooledWorld:
    """Make queries whose relevant documents are labelled only inside a pool.

    Relevance and pool are noisy sums of four features each, independent of each other; the upper
    fifth of each is relevant, or pooled.

    Args:
        queries: how many.
        docs: documents per query.
        noise: standard deviation of what neither kind of feature shows.
        seed: of everything.

    Returns:
        The world.

    Raises:
        BadArgument: a count below 1, negative noise.

    Example:
        >>> world = pooled_world(queries=50)
        >>> hard = world.hard_negatives()
        >>> 0.3 < float(world.relevant[hard].mean()) < 0.45
        True

    Source: methods dossier on CET (Cai et al. 2022), algorithmic unit test.
    """
    check_count("queries", queries, mend="Try 400.")
    check_count("docs", docs, mend="Try 40.")
    check_number("noise", noise, at_least=0, mend="Try 0.3.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((queries, docs, 8))
    errors = noise * rng.standard_normal((queries, docs, 2))
    topic = features[..., :4].sum(axis=2) / 2 + errors[..., 0]
    pool = features[..., 4:].sum(axis=2) / 2 + errors[..., 1]
    return PooledWorld(
        features=features.astype(np.float32),
        relevant=topic > np.quantile(topic, 0.8),
        pooled=pool > np.quantile(pool, 0.8),
        retriever=(features.sum(axis=2) / 2).astype(np.float32),
    )
