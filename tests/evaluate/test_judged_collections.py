"""The numbers of the judged collections beside the checkout, read, searched and scored by us."""

import numpy as np
import pytest

from workbench.data import read_beir
from workbench.encode import Encoder
from workbench.evaluate import bm25, retrieval

MINILM = {
    "cranfield": (256, {"nDCG@10": 0.372, "R@100": 0.801, "RR@10": 0.561}),
    "clinc150": (256, {"nDCG@10": 0.741, "R@100": 0.918, "RR@10": 0.892}),
    "cosqa": (128, {"nDCG@10": 0.588, "R@100": 0.984, "RR@10": 0.524}),
}
"""Tokens, and the pilot's numbers: its functions were cut at 128 (at 256: .593, .984, .528)."""
BM25 = {"cranfield": 0.343, "clinc150": 0.524, "cosqa": 0.371, "scifact": 0.683}
"""Our own nDCG@10, pinned: a pilot with other word splitting had .368, .538, .332 on three."""


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", MINILM)
def test_minilm_before_training(shared, name):
    length, wanted = MINILM[name]
    collection = read_beir(shared / "data" / name, split="test")
    encoder = Encoder.load("all-MiniLM-L6-v2", max_length=length)
    sides = (
        encoder.encode(collection.query_texts, side="query", ids=collection.query_ids),
        encoder.encode(collection.doc_texts, side="doc", ids=collection.doc_ids),
    )
    means = retrieval(collection, *sides).mean()
    np.testing.assert_allclose(
        [means[metric] for metric in wanted], list(wanted.values()), atol=0.002
    )


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("name", BM25)
def test_bm25(shared, name):
    collection = read_beir(shared / "data" / name, split="test")
    means = bm25(collection, metrics=["nDCG@10"]).mean()
    np.testing.assert_allclose(means["nDCG@10"], BM25[name], atol=0.001)


@pytest.mark.slow
@pytest.mark.shared
def test_splitting_identifiers_is_what_code_search_needs(shared):
    collection = read_beir(shared / "data" / "cosqa", split="test")
    raw = bm25(collection, metrics=["nDCG@10"], split_identifiers=False).mean()["nDCG@10"]
    assert raw < BM25["cosqa"] - 0.05
