"""Beside the peer's sampler, which keeps equal texts apart but not known positives."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import Dataset

from workbench.sample import ConflictFree


@pytest.mark.slow
def test_known_positives_meet_in_the_peers_batches_and_not_in_ours(graph, worlds):
    import torch
    from sentence_transformers.base.sampler import NoDuplicatesBatchSampler

    pairs = worlds["topical"](8000)
    known = graph(pairs)
    table = Dataset.from_dict(
        {
            "anchor": [f"query {query}" for query in pairs[:, 0]],
            "positive": [f"document {doc}" for doc in pairs[:, 1]],
        }
    )

    def hurt(batches):
        count = 0
        for rows in batches:
            block = known.block(pairs[rows, 0], pairs[rows, 1])
            np.fill_diagonal(block, False)
            count += int(block.any(axis=1).sum())
        return count / len(pairs)

    shares = []
    for batch_size in (64, 256):
        peer = NoDuplicatesBatchSampler(
            table, batch_size=batch_size, drop_last=False, generator=torch.Generator()
        )
        shares.append(hurt([np.array(rows) for rows in peer]))
        ours = ConflictFree(pairs, batch_size=batch_size, known=known)
        assert hurt([batch.rows for batch in ours]) == 0
        assert len(ours.left_out) <= 4
    # A query's documents are kept apart, but another query's known answers are not.
    assert 0.02 < shares[0] < shares[1]
