"""Both sides of a collection in one call: what miners, rules and scorecards want."""

from __future__ import annotations

from workbench.encode.cache import VectorCache
from workbench.encode.encoder import Encoder
from workbench.types import Collection, Vectors


def encode_collection(
    encoder: Encoder,
    collection: Collection,
    *,
    cache: VectorCache | None = None,
    progress: bool | None = None,
) -> tuple[Vectors, Vectors]:
    """Vectors of all queries and of all documents, in the collection's order and with its ids.

    Args:
        encoder: with its prompts for either side.
        collection: any.
        cache: texts it already holds under this very encoder are not encoded again.
        progress: None shows a bar where a person can see it; False never.

    Returns:
        (query vectors, document vectors).

    Example:
        >>> from workbench.data import from_rows
        >>> from workbench.encode import scratch
        >>> demo = from_rows([{"query": "add", "positive": "a + b"}], name="demo")
        >>> encoder = scratch(["add a + b"], vocab_size=50, dim=8)
        >>> [side.values.shape for side in encode_collection(encoder, demo, progress=False)]
        [(1, 8), (1, 8)]
    """
    queries = encoder.encode(
        collection.query_texts,
        side="query",
        ids=collection.query_ids,
        cache=cache,
        progress=progress,
    )
    docs = encoder.encode(
        collection.doc_texts, side="doc", ids=collection.doc_ids, cache=cache, progress=progress
    )
    return queries, docs
