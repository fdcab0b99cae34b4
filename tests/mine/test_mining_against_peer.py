"""The same negatives as sentence-transformers' `mine_hard_negatives`, option by option.

Their model is a stand-in that looks random vectors up, so that only mining is compared.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset

from workbench.mine import Dense, dense, hard_negatives, to_dataset
from workbench.rules import Margin, ShareOfPositive, Threshold
from workbench.types import Vectors

QUERIES, DOCS = 24, 90
LAYOUTS = ("triplet", "n-tuple", "labeled-pair", "labeled-list")


class StandIn:
    """As much of a SentenceTransformer as mining asks for."""

    def __init__(self, vectors):
        self.vectors = vectors
        self.device = torch.device("cpu")
        self.model_card_data = SimpleNamespace(base_model=None)

    def _encode(self, texts, **options):
        assert options["normalize_embeddings"]
        return np.stack([self.vectors[text] for text in texts])

    encode_query = encode_document = _encode

    def similarity(self, left, right):
        return torch.as_tensor(left) @ torch.as_tensor(right).T

    def similarity_pairwise(self, left, right):
        return (torch.as_tensor(left) * torch.as_tensor(right)).sum(dim=1)

    def get_embedding_dimension(self):
        return len(next(iter(self.vectors.values())))


class Reader:
    """A cross-encoder for both libraries: a smooth function of the two texts' vectors."""

    def __init__(self, vectors):
        self.vectors = vectors
        self.pairs = 0

    def scores(self, queries, docs):
        self.pairs += len(queries)
        left = np.stack([self.vectors[text] for text in queries])
        right = np.stack([self.vectors[text] for text in docs])
        return np.tanh(2 * left[:, 0] * right[:, 1] - left[:, 2] * right[:, 3]).astype(np.float32)

    def predict(self, pairs, **_):
        return torch.from_numpy(self.scores(*zip(*pairs, strict=True)))


@pytest.fixture(params=[0, 1, 2])
def world(request, collection_of):
    """Several positives per query (one to four), some documents nobody asked for."""
    stream = np.random.default_rng(request.param)
    grades = {
        (query, int(doc)): 1
        for query in range(QUERIES)
        for doc in stream.choice(DOCS, int(stream.integers(1, 5)), replace=False)
    }
    made = collection_of(grades, queries=QUERIES, docs=DOCS)
    rows = stream.standard_normal((QUERIES + DOCS, 6), dtype=np.float32)
    # Positives lie near their query, else every margin drops nearly everything.
    for query, doc in grades:
        rows[QUERIES + doc] += 0.7 * rows[query]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    sides = (
        Vectors(values=rows[:QUERIES], ids=made.query_ids, encoder="e"),
        Vectors(values=rows[QUERIES:], ids=made.doc_ids, encoder="e"),
    )
    texts = [*made.query_texts, *made.doc_texts]
    return made, sides, dict(zip(texts, rows, strict=True))


def theirs(world, **options):
    from sentence_transformers.util import mine_hard_negatives

    made, _, vectors = world
    pairs = made.pairs
    queries, docs = made.query_texts, made.doc_texts
    table = Dataset.from_dict(
        {
            "query": [queries[query] for query in pairs[:, 0]],
            "positive": [docs[doc] for doc in pairs[:, 1]],
        }
    )
    return mine_hard_negatives(
        table, StandIn(vectors), corpus=made.doc_texts, verbose=False, **options
    )


def pair_scores(made, sides):
    return np.einsum(
        "pd,pd->p", *(side.values[at] for side, at in zip(sides, made.pairs.T, strict=True))
    )


def same(ours, table, atol=1e-6):
    assert ours.column_names == table.column_names
    assert len(ours) == len(table)
    for name in ours.column_names:
        if name in ("score", "scores"):
            for left, right in zip(ours[name], table[name], strict=True):
                np.testing.assert_allclose(left, right, atol=atol)
        else:
            assert ours[name][:] == table[name][:]


OPTIONS = [
    ({}, [], {}),
    ({"range_min": 4}, [], {"window": (4, None)}),
    ({"max_score": 0.6}, [Threshold(at_most=0.6)], {}),
    ({"min_score": 0.5}, [Threshold(at_least=0.5)], {}),
    ({"max_score": 0.7, "min_score": 0.3}, [Threshold(at_least=0.3, at_most=0.7)], {}),
    ({"absolute_margin": 0.1}, [Margin(margin=0.1)], {}),
    ({"absolute_margin": 0.0}, [Margin(margin=0.0)], {}),
    ({"relative_margin": 0.05}, [ShareOfPositive(share=0.95)], {}),
    ({"relative_margin": 0.4}, [ShareOfPositive(share=0.6)], {}),
    (
        {"absolute_margin": 0.2, "relative_margin": 0.3},
        [Margin(margin=0.2), ShareOfPositive(share=0.7)],
        {},
    ),
    (
        {"absolute_margin": 0.1, "relative_margin": 0.2, "max_score": 0.5, "min_score": -0.2,
         "range_min": 3},
        [Margin(margin=0.1), ShareOfPositive(share=0.8), Threshold(at_least=-0.2, at_most=0.5)],
        {"window": (3, None)},
    ),
    ({"num_negatives": 9, "max_score": 0.4}, [Threshold(at_most=0.4)], {"num_negatives": 9}),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("options", "rules", "choice"), OPTIONS, ids=lambda part: str(part)[:50])
@pytest.mark.parametrize("faiss", [False, True])
def test_every_filter_keeps_the_same_negatives(world, options, rules, choice, faiss):
    made, sides, _ = world
    ours = hard_negatives(
        made, Dense(k=DOCS), vectors=sides, rules=rules, **({"num_negatives": 3} | choice)
    )
    whole = {"range_max": DOCS, "num_negatives": 3, "use_faiss": faiss} | options
    table = theirs(world, **whole, output_scores=True)
    found = to_dataset(made, ours, scores=True, positive_scores=pair_scores(made, sides))
    assert len(found) > 20
    same(found, table)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("scores", [False, True])
def test_every_layout_is_the_same_table(world, layout, scores):
    made, sides, _ = world
    ours = hard_negatives(
        made, Dense(k=DOCS), vectors=sides, rules=[Margin(margin=0.25)], num_negatives=40
    )
    assert 0 < ours.recipe["choice"]["short"] < QUERIES, "no query came out short"
    table = theirs(
        world, range_max=DOCS, num_negatives=40, absolute_margin=0.25, output_format=layout,
        output_scores=scores,
    )  # fmt: skip
    found = to_dataset(
        made, ours, layout=layout, scores=scores, positive_scores=pair_scores(made, sides)
    )
    same(found, table)


@pytest.mark.parametrize(
    ("options", "rules"),
    [
        ({"max_score": 0.3}, [Threshold(at_most=0.3)]),
        ({"absolute_margin": 0.1}, [Margin(margin=0.1)]),
        ({"relative_margin": 0.1, "range_min": 2}, [ShareOfPositive(share=0.9)]),
    ],
)
def test_a_cross_encoders_scores_filter_and_rank(world, options, rules):
    made, sides, vectors = world
    ours = hard_negatives(
        made, Dense(k=DOCS), vectors=sides, rules=rules, cross_encoder=Reader(vectors),
        num_negatives=4, window=(options.get("range_min", 0), None),
    )  # fmt: skip
    table = theirs(
        world, range_max=DOCS, num_negatives=4, cross_encoder=Reader(vectors), output_scores=True,
        **options,
    )  # fmt: skip
    texts = [(made.query_texts[q], made.doc_texts[d]) for q, d in made.pairs]
    positive = Reader(vectors).scores(*zip(*texts, strict=True))
    same(to_dataset(made, ours, scores=True, positive_scores=positive), table)


@pytest.mark.slow
def test_a_random_choice_comes_from_the_same_window(world):
    made, sides, _ = world
    rules, window = [Margin(margin=0.05)], (2, 9)
    every_one = Dense(k=DOCS)(made, sides)
    options = {"num_negatives": 3, "rules": rules, "window": window}
    every = hard_negatives(made, every_one, **(options | {"num_negatives": 7}))
    queries, docs = made.query_texts, made.doc_texts
    pool = {
        queries[query]: [docs[doc] for doc in row if doc >= 0]
        for query, row in enumerate(every.docs)
    }
    import random

    random.seed(0)  # their draw is of Python's global generator
    seen = {}
    for seed in range(30):
        found = hard_negatives(made, every_one, how="random", seed=seed, **options)
        for query, row in enumerate(found.docs):
            drawn = [docs[doc] for doc in row if doc >= 0]
            text = queries[query]
            assert len(drawn) == min(3, len(pool[text]))
            seen.setdefault(text, set()).update(drawn)
    assert all(seen[text] == set(pool[text]) for text in pool)
    table = theirs(
        world, range_min=2, range_max=9, num_negatives=3, absolute_margin=0.05,
        sampling_strategy="random", corpus_prompt="", output_format="labeled-list",
    )  # fmt: skip
    for text, listed in zip(table["query"], table["positive"], strict=True):
        assert set(listed[1:]) <= set(pool[text])


def test_a_bounded_search_finds_no_fewer_than_theirs(world):
    """Their pool is range_max + P* less the positives met there; ours is k for every query."""
    made, sides, _ = world
    most = int(np.bincount(made.pairs[:, 0]).max())
    ours = hard_negatives(
        made, Dense(k=8 + most), vectors=sides, rules=[Margin(margin=0.1)], num_negatives=5,
        window=(0, 8),
    )  # fmt: skip
    table = theirs(
        world, range_max=8, num_negatives=5, absolute_margin=0.1, output_format="labeled-list"
    )
    found = to_dataset(made, ours, layout="labeled-list")
    mine = {(q, docs[0]): docs for q, docs in zip(found["query"], found["positive"], strict=True)}
    shorter = 0
    for query, docs in zip(table["query"], table["positive"], strict=True):
        assert mine[query, docs[0]][: len(docs)] == docs
        shorter += len(docs) < len(mine[query, docs[0]])
    assert len(found) >= len(table)
    assert shorter + len(found) - len(table) > 0


def test_positives_can_be_included(world):
    """For reranking sets: the whole ranking, positives in their places."""
    made, sides, _ = world
    everything = dense(made, *sides, k=12, exclude="nothing")
    found = to_dataset(made, everything, layout="n-tuple")
    table = theirs(
        world, include_positives=True, num_negatives=12, range_max=12, output_format="n-tuple"
    )
    same(found, table)
    texts = set(zip(found["query"], found["negative_1"], strict=True))
    assert texts & set(zip(found["query"], found["positive"], strict=True))


def test_all_positives_of_a_query_are_excluded(world):
    made, sides, _ = world
    ours = hard_negatives(made, Dense(k=DOCS), vectors=sides, num_negatives=DOCS)
    counts = np.bincount(made.pairs[:, 0], minlength=QUERIES)
    assert (counts > 1).any()
    np.testing.assert_array_equal((ours.docs >= 0).sum(axis=1), DOCS - counts)
    table = theirs(world, range_max=DOCS, num_negatives=DOCS)
    same(to_dataset(made, ours), table)
