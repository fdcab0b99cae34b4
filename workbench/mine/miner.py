"""What a miner is: options in a frozen dataclass, and one call that turns them into candidates."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from workbench.data.known import KnownPositives
from workbench.errors import BadArgument
from workbench.mine.facts import check_pair
from workbench.types import Candidates, Collection, Vectors


@runtime_checkable
class Miner(Protocol):
    """Finds candidates for every query of a collection; rules and choice follow.

    Every registered miner can be called so: those that need vectors refuse None, the others leave
    them alone.
    """

    def __call__(
        self,
        collection: Collection,
        vectors: tuple[Vectors, Vectors] | None = None,
        *,
        known: KnownPositives | None = None,
    ) -> Candidates:
        """Mine a collection.

        Args:
            collection: queries, corpus and judgments.
            vectors: (query, document) vectors in the collection's order.
            known: the known-positive graph that `exclude` goes by; None = that of the collection.
        """
        ...


@runtime_checkable
class NeedsVectors(Protocol):
    """A miner that says whether it can do without vectors; one that does not say can."""

    @property
    def needs_vectors(self) -> bool:
        """Does it refuse None?"""
        ...


def needs_vectors(miner: Miner) -> bool:
    """Does this miner refuse to work without vectors?

    Example:
        >>> from workbench.mine import BM25, Dense
        >>> needs_vectors(BM25()), needs_vectors(Dense())
        (False, True)
    """
    return isinstance(miner, NeedsVectors) and miner.needs_vectors


def check_miner(argument: str, miner: object) -> None:
    """Refuse what is not a miner with its options.

    Example:
        >>> from workbench.mine import BM25
        >>> check_miner("miner", BM25)
        Traceback (most recent call last):
        workbench.errors.BadArgument: `miner` is <class 'workbench.mine.bm25.BM25'>, but it must \
be a miner with its options. Try Dense(k=30).
    """
    if isinstance(miner, type) or not isinstance(miner, Miner):
        wanted = "it must be a miner with its options"
        raise BadArgument(argument, miner, wanted, "Try Dense(k=30).")


def given(vectors: tuple[Vectors, Vectors] | None, miner: str) -> tuple[Vectors, Vectors]:
    """The vectors, or a refusal that says who needs them.

    Raises:
        BadArgument: there are none, or it is no pair.
    """
    if vectors is None:
        wanted = f"{miner} needs (query vectors, document vectors)"
        raise BadArgument("vectors", None, wanted, "Pass vectors=encode_collection(...).")
    check_pair("vectors", vectors)
    return vectors
