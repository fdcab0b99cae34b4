"""Paraphrase pairs that share a style as well as a fact: what a false negative teaches is visible.

    text = unit([fact, style * s, noise]) R,  R a hidden rotation

Both texts of a pair say the same fact in the same style s; other pairs of the fact have styles of
their own. Pushing a paraphrase away can only be learned by reading the style, and a tower that
reads it retrieves fewer paraphrases of facts it never saw.

Source: methods dossier on GISTEmbed (Solatorio 2024), training effect of planted paraphrases.
Breaks when: one reads the size of the effect as a forecast; half of these pairs have a twin in
their batch, far more than most collections.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.errors import check_count, check_number
from workbench.types import Floats, Ints


@dataclass(frozen=True, eq=False, kw_only=True)
class StyledParaphrases:
    """Pairs to train on, what a guide sees of them, and pairs of other facts to test on.

    Args:
        queries: (row, dim) unit vectors, row i paired with row i of `docs`.
        docs: (row, dim).
        guide_queries: (row, width) unit vectors of the fact plus noise.
        guide_docs: (row, width).
        facts: (row,) which fact a row says; rows of one fact stand together.
        test_queries: (test, dim) of facts that were never trained on.
        test_docs: (test, dim).
        test_facts: (test,).
    """

    queries: Floats
    docs: Floats
    guide_queries: Floats
    guide_docs: Floats
    facts: Ints
    test_queries: Floats
    test_docs: Floats
    test_facts: Ints

    def precision(self, tower: Floats) -> float:
        """Share of same-fact documents among the nearest of each test query, as many as exist.

        Args:
            tower: (dim, out); both sides are multiplied by it and compared by cosine.

        Example:
            >>> world = styled_paraphrases(facts=8, tests=8, width=8, style=0.0, noise=0.0)
            >>> world.precision(np.eye(24, dtype=np.float32))
            1.0
        """
        left, right = _unit(self.test_queries @ tower), _unit(self.test_docs @ tower)
        same = self.test_facts[:, None] == self.test_facts[None]
        count = int(same[0].sum())
        nearest = np.argsort(-(left @ right.T), axis=1, kind="stable")[:, :count]
        return float(np.take_along_axis(same, nearest, axis=1).mean())

    def batch(self, rng: np.random.Generator, size: int = 64, twins: float = 0.25) -> Ints:
        """Rows of one batch; a share `twins` of them has a second row of its fact beside it.

        Args:
            rng: source of the draw.
            size: rows.
            twins: share of the batch that is drawn as partner of another row; at most 0.5.

        Example:
            >>> world = styled_paraphrases()
            >>> rows = world.batch(np.random.default_rng(0))
            >>> len(rows), len(np.unique(world.facts[rows]))
            (64, 48)
        """
        pairs = int(size * twins)
        chosen = rng.choice(int(self.facts.max()) + 1, size=size - pairs, replace=False)
        each = len(self.facts) // (int(self.facts.max()) + 1)
        first = rng.integers(each, size=len(chosen))
        second = (first[:pairs] + rng.integers(1, each, size=pairs)) % each
        return np.concatenate([chosen * each + first, chosen[:pairs] * each + second])


def styled_paraphrases(
    *,
    facts: int = 300,
    paraphrases: int = 4,
    tests: int = 100,
    width: int = 16,
    style: float = 1.0,
    noise: float = 0.5,
    guide_noise: float = 0.3,
    seed: int = 0,
) -> StyledParaphrases:
    """Make paraphrase pairs with styles, a noisy guide, and held-out facts.

    Args:
        facts: how many to train on.
        paraphrases: pairs per fact, at least 2.
        tests: facts to test on.
        width: of fact, style and noise each; texts are three times as wide.
        style: length of a style beside a fact of length 1.
        noise: length of what differs within a pair.
        guide_noise: length of the guide's error beside a fact of length 1.
        seed: of everything.

    Returns:
        The world; its arrays are float32 and int64.

    Raises:
        BadArgument: a count too small, a negative length.

    Example:
        >>> world = styled_paraphrases(facts=3, paraphrases=2, tests=2, width=4)
        >>> world.docs.shape, world.guide_docs.shape, world.test_facts.tolist()
        ((6, 12), (6, 4), [0, 0, 1, 1])
    """
    for name, count in (("facts", facts), ("tests", tests), ("width", width)):
        check_count(name, count, mend="Try the default.")
    check_count("paraphrases", paraphrases, at_least=2, mend="Try 4.")
    for name, length in (("style", style), ("noise", noise), ("guide_noise", guide_noise)):
        check_number(name, length, at_least=0, mend="Try the default.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.standard_normal((3 * width, 3 * width)))[0]

    def pairs(count: int) -> tuple[Ints, np.ndarray, np.ndarray, np.ndarray]:
        said = np.repeat(np.arange(count, dtype=np.int64), paraphrases)
        fact = _unit(rng.standard_normal((count, width)))[said]
        manner = style * rng.standard_normal(fact.shape) / np.sqrt(width)
        sides = []
        for _ in range(2):
            rest = noise * rng.standard_normal(fact.shape) / np.sqrt(width)
            sides.append(_unit(np.concatenate([fact, manner, rest], axis=1) @ rotation))
        return said, fact, sides[0], sides[1]

    def seen(fact: np.ndarray) -> np.ndarray:
        error = guide_noise * rng.standard_normal(fact.shape) / np.sqrt(width)
        return _unit(fact + error)

    said, fact, queries, docs = pairs(facts)
    test_said, _, test_queries, test_docs = pairs(tests)
    return StyledParaphrases(
        queries=queries.astype(np.float32),
        docs=docs.astype(np.float32),
        guide_queries=seen(fact).astype(np.float32),
        guide_docs=seen(fact).astype(np.float32),
        facts=said,
        test_queries=test_queries.astype(np.float32),
        test_docs=test_docs.astype(np.float32),
        test_facts=test_said,
    )


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))
