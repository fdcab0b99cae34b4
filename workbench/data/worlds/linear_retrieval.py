"""A retriever small enough to train in a second: frozen documents, a linear query tower.

    document = normalise(topic + spread e);   query = normalise(document + noise e') A

A is one hidden square matrix, so that the tower W = A^-1 is nearly right and every other tower is a
retriever that can still learn. Documents of one topic are each other's hard negatives. Here it
shows what extra columns, a frozen bank, static and dynamic hard negatives do to the ranking.

Source: methods dossier on retrieval, sections 3, 11 and 13 (toy of 1,200 documents).
Breaks when: one reads accuracy claims of papers into it; it tests mechanisms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.errors import check_count, check_number
from workbench.types import Floats, Ints


@dataclass(frozen=True, eq=False, kw_only=True)
class LinearRetrieval:
    """Documents, queries of training and test, and the document each query was made from.

    Args:
        docs: (doc, dim) unit vectors, frozen.
        queries: (query, dim) what a linear tower is trained on; `queries @ W` lives with `docs`.
        positives: (query,) the document of each.
        test_queries: (test, dim) others, of the same documents.
        test_positives: (test,) the document of each.
        topics: (doc,) which topic a document belongs to.
    """

    docs: Floats
    queries: Floats
    positives: Ints
    test_queries: Floats
    test_positives: Ints
    topics: Ints

    def ranks(self, tower: Floats) -> Ints:
        """Rank of the right document for each test query, from 1.

        Args:
            tower: (dim, dim), queries @ tower.

        Example:
            >>> world = linear_retrieval(docs=20, queries=10, tests=2, topics=1, dim=4)
            >>> world.ranks(np.eye(4, dtype=np.float32)).shape
            (2,)
        """
        scores = self.test_queries @ tower @ self.docs.T
        right = np.take_along_axis(scores, self.test_positives[:, None], axis=1)
        return np.asarray((scores > right).sum(axis=1) + 1, dtype=np.int64)


def linear_retrieval(
    *,
    docs: int = 1200,
    queries: int = 1200,
    tests: int = 300,
    topics: int = 4,
    spread: float = 0.6,
    noise: float = 0.4,
    dim: int = 32,
    seed: int = 0,
) -> LinearRetrieval:
    """Make documents in topics and queries that see them through a hidden matrix.

    Args:
        docs: how many documents.
        queries: how many to train on, their documents drawn with replacement.
        tests: how many to test on.
        topics: few topics make many hard negatives for each query.
        spread: length of what tells a document from its topic, beside a topic of length 1.
        noise: length of the query's error beside a document of length 1.
        dim: width of everything.
        seed: of all of it.

    Returns:
        The world; its arrays are float32 and int64.

    Raises:
        BadArgument: a count below 1, spread <= 0, negative noise.

    Example:
        >>> world = linear_retrieval(docs=50, queries=30, tests=10, dim=8)
        >>> world.docs.shape, world.queries.shape, world.test_positives.shape
        ((50, 8), (30, 8), (10,))
    """
    counts = {"docs": docs, "queries": queries, "tests": tests, "topics": topics, "dim": dim}
    for name, count in counts.items():
        check_count(name, count, mend="Try the default.")
    check_number("spread", spread, above=0, mend="Try 0.6.")
    check_number("noise", noise, at_least=0, mend="Try 0.4.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rng = np.random.default_rng(seed)
    length = np.sqrt(dim)
    centres = _unit(rng.standard_normal((topics, dim)))
    topic = rng.integers(topics, size=docs)
    vectors = _unit(centres[topic] + spread * rng.standard_normal((docs, dim)) / length)
    hidden = rng.standard_normal((dim, dim)) / length

    def ask(count: int) -> tuple[Floats, Ints]:
        right = rng.integers(docs, size=count)
        error = noise * rng.standard_normal((count, dim)) / length
        return (_unit(vectors[right] + error) @ hidden).astype(np.float32), right

    train, test = ask(queries), ask(tests)
    return LinearRetrieval(
        docs=vectors.astype(np.float32),
        queries=train[0],
        positives=train[1],
        test_queries=test[0],
        test_positives=test[1],
        topics=topic,
    )


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))
