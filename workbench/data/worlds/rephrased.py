"""Test texts rewritten word by word into training, beside training texts that only look alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.errors import check_count, check_number
from workbench.types import Floats, Ints


@dataclass(frozen=True, eq=False, kw_only=True)
class RephrasedWorld:
    """Texts and vectors of both sides, and the truth.

    Args:
        test: texts of 12 words.
        train: the rewritten copies, the look-alikes and the others, shuffled.
        test_vectors: (test, dim) unit vectors of what the texts mean, as an encoder sees it.
        train_vectors: (train, dim) the same.
        copy: (test,) position in `train` of the rewritten copy; -1 = there is none.
    """

    test: list[str]
    train: list[str]
    test_vectors: Floats
    train_vectors: Floats
    copy: Ints

    @property
    def contaminated(self) -> NDArray[np.bool_]:
        """(test,) true where a copy stands in training."""
        return self.copy >= 0


def rephrased_world(
    *, test: int = 200, train: int = 3000, dim: int = 64, noise: float = 0.2, seed: int = 0
) -> RephrasedWorld:
    """Half the test texts rewritten with synonyms, the other half beside a look-alike.

    A text is 12 concepts. Each concept has two words, one used by test texts, one by training
    texts: a copy shares no word with its original. A look-alike has 7 of the 12 concepts.

    Args:
        test: test texts.
        train: training texts, at least as many.
        dim: width of the vectors.
        noise: length of the encoder's error beside a meaning of length 1.
        seed: of everything drawn.

    Raises:
        BadArgument: a count out of range, or negative noise.

    Example:
        >>> world = rephrased_world(test=10, train=20)
        >>> place = int(world.copy[world.contaminated][0])
        >>> world.test[int(np.flatnonzero(world.contaminated)[0])][:6], world.train[place][:6]
        ('a32 a9', 'b32 b9')

    Source: the methods dossier on the LLM decontaminator.
    """
    check_count("test", test, at_least=2, mend="Try 200.")
    check_count("train", train, at_least=test, mend="Try 3000.")
    check_count("dim", dim, at_least=2, mend="Try 64.")
    check_number("noise", noise, at_least=0, mend="Try 0.2.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rng = np.random.default_rng(seed)
    concepts = rng.normal(size=(1000, dim))

    def draw(count: int) -> Ints:
        return np.array([rng.choice(1000, size=12, replace=False) for _ in range(count)])

    ours, others = draw(test), draw(train - test)
    rewritten = rng.permutation(test) < test // 2
    related = np.where(rewritten[:, None] | (np.arange(12) < 7), ours, draw(test))
    order = rng.permutation(train)
    theirs = np.concatenate([related, others])[order]

    def vectors(texts: Ints) -> Floats:
        meaning = concepts[texts].sum(axis=1)
        meaning /= np.linalg.norm(meaning, axis=1, keepdims=True)
        seen = meaning + noise * rng.normal(size=meaning.shape) / np.sqrt(dim)
        units: Floats = (seen / np.linalg.norm(seen, axis=1, keepdims=True)).astype(np.float32)
        return units

    return RephrasedWorld(
        test=[" ".join(f"a{word}" for word in text) for text in ours.tolist()],
        train=[" ".join(f"b{word}" for word in text) for text in theirs.tolist()],
        test_vectors=vectors(ours),
        train_vectors=vectors(theirs),
        copy=np.where(rewritten, np.argsort(order)[:test], -1),
    )
