"""A world of planted paraphrases: which negatives are false is known, because we made them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.errors import check_count, check_number
from workbench.types import Floats, Ints


@dataclass(frozen=True, eq=False, kw_only=True)
class PlantedWorld:
    """Vectors of paraphrase pairs, what a noisy guide sees of them, and the truth.

    Row i of `queries` and row i of `docs` are a labelled pair; every other document of the same
    fact is a false negative of it.

    Args:
        queries: (row, dim) unit vectors: the fact, seen exactly.
        docs: (row, dim) the same for the documents.
        guide_queries: (row, dim) unit vectors as a guide sees them: fact plus noise.
        guide_docs: (row, dim) the same for the documents.
        facts: (row,) which fact a row says.
    """

    queries: Floats
    docs: Floats
    guide_queries: Floats
    guide_docs: Floats
    facts: Ints


def planted_world(
    *, facts: int = 300, paraphrases: int = 4, dim: int = 32, noise: float = 0.3, seed: int = 0
) -> PlantedWorld:
    """Make `facts` x `paraphrases` pairs, in which pairs of one fact are each other's positives.

    guide(text) = normalise(fact + noise * e), with e of expected length 1 and drawn anew for
    each text.

    Args:
        facts: how many different things are said.
        paraphrases: pairs per fact.
        dim: width of the vectors.
        noise: length of the guide's error beside a fact of length 1; 0.1 is a near-perfect guide,
            2 a useless one.
        seed: of facts and noise.

    Returns:
        The world, rows of one fact together.

    Raises:
        BadArgument: a count below 1, or negative noise.

    Example:
        >>> world = planted_world(facts=2, paraphrases=2, dim=4)
        >>> world.facts.tolist(), world.guide_docs.shape
        ([0, 0, 1, 1], (4, 4))

    Source: methods dossier on GISTEmbed (Solatorio, 2024), "planted paraphrases".
    """
    check_count("facts", facts, mend="Try 300.")
    check_count("paraphrases", paraphrases, mend="Try 4.")
    check_count("dim", dim, mend="Try 32.")
    check_number("noise", noise, at_least=0, mend="Try 0.3.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rng = np.random.default_rng(seed)
    said = np.repeat(np.arange(facts, dtype=np.int64), paraphrases)
    truth = _unit(rng.standard_normal((facts, dim)))[said]

    def seen() -> Floats:
        error = rng.standard_normal(truth.shape) / np.sqrt(dim)
        return _unit(truth + noise * error).astype(np.float32)

    return PlantedWorld(
        queries=truth.astype(np.float32),
        docs=truth.astype(np.float32),
        guide_queries=seen(),
        guide_docs=seen(),
        facts=said,
    )


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))
