"""A small mined list whose false negatives are known, for examples and tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.data import from_rows
from workbench.data.planted import planted_world
from workbench.mine import dense
from workbench.types import Candidates, Collection, Vectors, Verdicts


def toy_audit(
    *,
    facts: int = 40,
    paraphrases: int = 6,
    labels: int = 3,
    noise: float = 0.9,
    k: int = 15,
    seed: int = 0,
) -> tuple[Candidates, Collection, dict[str, tuple[Vectors, Vectors]], NDArray[np.bool_]]:
    """Queries and documents that say one of some facts; some answers of each query are labelled.

    Args:
        facts: how many different things are said.
        paraphrases: queries, and documents, that say each of them.
        labels: labelled answers per query, of `paraphrases` that there are.
        noise: of the guide, see `planted_world`.
        k: mined per query, by the guide.
        seed: of vectors and labels.

    Returns:
        candidates, collection, guides, and (query, rank) what is a false negative in truth.

    Example:
        >>> candidates, collection, guides, truth = toy_audit()
        >>> len(collection.pairs), truth.shape, bool(truth[:, 0].mean() > 0.3)
        (720, (240, 15), True)
    """
    world = planted_world(facts=facts, paraphrases=paraphrases, noise=noise, seed=seed)
    rng = np.random.default_rng([seed, 1])
    rows = [
        {"query": f"query {place}", "positive": f"document {fact * paraphrases + one}"}
        for place, fact in enumerate(world.facts)
        for one in sorted(rng.permutation(paraphrases)[:labels])
    ]
    collection = from_rows(rows, name="toy")
    places = [int(text.split()[1]) for text in collection.doc_texts]
    order = [int(text.split()[1]) for text in collection.query_texts]
    pair = (
        Vectors(values=world.guide_queries[order], ids=collection.query_ids, encoder="toy"),
        Vectors(values=world.guide_docs[places], ids=collection.doc_ids, encoder="toy"),
    )
    found = dense(collection, *pair, k=k)
    same = world.facts[order][:, None] == world.facts[places][np.maximum(found.docs, 0)]
    return found, collection, {"toy": pair}, same & (found.docs >= 0)


def toy_verdicts(
    pairs: list[tuple[str, str]], candidates: Candidates, truth: NDArray[np.bool_]
) -> Verdicts:
    """What somebody who knows the truth says of candidates.

    Args:
        pairs: (query id, document id) of the list.
        candidates: the list.
        truth: (query, rank) what is a false negative.

    Example:
        >>> candidates, collection, guides, truth = toy_audit()
        >>> pair = (candidates.query_ids[0], candidates.doc_ids[candidates.docs[0, 0]])
        >>> said = toy_verdicts([pair], candidates, truth)
        >>> said.labels[0] == ("positive" if truth[0, 0] else "negative")
        True
    """
    rows, columns = np.nonzero(truth)
    docs = candidates.doc_ids[candidates.docs[rows, columns]]
    positives = set(zip(candidates.query_ids[rows].tolist(), docs.tolist(), strict=True))
    said = [(*pair, "positive" if pair in positives else "negative") for pair in pairs]
    return Verdicts.of(said, judge="truth")
