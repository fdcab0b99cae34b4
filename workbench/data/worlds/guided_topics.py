"""Pairs with topics, and a frozen guide that reads the topic off a vector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.errors import check_count, check_number
from workbench.types import Floats, Ints


@dataclass(frozen=True, eq=False, kw_only=True)
class GuidedTopics:
    """Anchors, their documents, and what a guide looks at.

    Args:
        anchors: (row, dim) unit vectors.
        docs: (row, dim) unit vectors; row i belongs to anchor i.
        topics: (row,) what both are about.
        head: (topic, dim) the guide: vectors @ head.T are its topic logits.
    """

    anchors: Floats
    docs: Floats
    topics: Ints
    head: Floats


def guided_topics(
    *,
    rows: int = 48,
    topics: int = 6,
    dim: int = 24,
    own: float = 0.8,
    noise: float = 0.3,
    seed: int = 0,
) -> GuidedTopics:
    """Make things said about topics, and two noisy views of each.

    Args:
        rows: pairs, spread evenly over topics.
        topics: how many.
        dim: width.
        own: length of what a thing adds to its topic's vector of length 1.
        noise: length of the error of each view.
        seed: of everything.

    Returns:
        The world; the guide's logits of a topic are 8 times the cosine with its vector.

    Raises:
        BadArgument: a count below 1, a negative length.

    Example:
        >>> world = guided_topics(rows=12)
        >>> bool(((world.anchors * world.docs).sum(axis=1) > 0.7).all()), world.head.shape
        (True, (6, 24))

    Source: methods dossier on CLAPS (Lee et al. 2021), carried over to vectors.
    """
    check_count("rows", rows, mend="Try 48.")
    check_count("topics", topics, mend="Try 6.")
    check_count("dim", dim, mend="Try 24.")
    check_number("own", own, at_least=0, mend="Try 0.8.")
    check_number("noise", noise, at_least=0, mend="Try 0.3.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rng = np.random.default_rng(seed)
    centres = _unit(rng.standard_normal((topics, dim)))
    topic = np.arange(rows) % topics
    said = _unit(centres[topic] + own * _unit(rng.standard_normal((rows, dim))))
    anchors, docs = (
        _unit(said + noise * rng.standard_normal((rows, dim)) / np.sqrt(dim)) for _ in range(2)
    )
    return GuidedTopics(
        anchors=anchors.astype(np.float32),
        docs=docs.astype(np.float32),
        topics=topic,
        head=(8 * centres).astype(np.float32),
    )


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / lengths
