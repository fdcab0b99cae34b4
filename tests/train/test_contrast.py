"""Candidates x rules x loss: gold numbers, sentence-transformers as oracle, brute force, laws."""

import json
import math

import numpy as np
import pytest
import torch

from workbench import losses, rules
from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, BadData
from workbench.train import Account, Contrast, Embedded, Hard, InBatch, Knowledge
from workbench.train.facts import aligned
from workbench.types import Vectors

DOUBLE = torch.float64
FULL = [InBatch("ap", "aa", "pp"), Hard(1)]


def unit(rows, dim=6, seed=0, dtype=DOUBLE):
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(
        torch.randn(rows, dim, generator=generator, dtype=dtype), dim=1
    )


def one_to_one(count):
    """A known-positive graph in which row i's only positive is document i."""
    from scipy import sparse

    numbers = np.arange(count)
    return KnownPositives(
        query_groups=numbers, doc_groups=numbers, positives=sparse.eye_array(count).tocsr() > 0
    )


def knowledge_of(guide_queries, guide_docs, known=None):
    count = len(guide_queries)
    return Knowledge(
        known=known or one_to_one(len(guide_docs)),
        pairs=np.stack([np.arange(count)] * 2, axis=1),
        guide_queries=torch.nn.functional.normalize(guide_queries, dim=1),
        guide_docs=torch.nn.functional.normalize(guide_docs, dim=1),
    )


def gold_gist(shared):
    cases = json.loads((shared / "gold/retrieval.json").read_text())
    return [c for c in cases if c["method"] == "GISTEmbed" and "query" in c["inputs"]]


@pytest.mark.shared
@pytest.mark.parametrize("place", range(7))
@pytest.mark.parametrize("chunk", [None, 2])
def test_gist_is_gold(shared, place, chunk):
    case = gold_gist(shared)[place]
    inputs = case["inputs"]

    def read(name):
        return torch.tensor(inputs[name], dtype=DOUBLE)

    negative = read("negative") if "negative" in inputs else None
    docs = [read("guide_positive")] + ([read("guide_negative")] if negative is not None else [])
    blocks = ["ap"]
    blocks += ["aa"] if inputs["contrast_anchors"] else []
    blocks += ["pp"] if inputs["contrast_positives"] else []
    contrast = Contrast(
        loss=losses.InfoNCE(temperature=inputs["temperature"]),
        candidates=[InBatch(*blocks), Hard(1)],
        rules=[
            rules.Guide(margin=inputs["margin"], relative=inputs["margin_strategy"] == "relative")
        ],
        chunk=chunk,
    )
    batch = Embedded.of(read("query"), read("positive"), negative)
    known = knowledge_of(read("guide_query"), torch.cat(docs))
    value = contrast(batch, known).mean()
    assert math.isclose(float(value), case["expected"]["loss"], abs_tol=1e-9)
    names = {"qp": "ap", "qq": "aa", "pp": "pp", "qn": "an"}
    weights = contrast.weights(batch, known)
    for name, mask in case["expected"]["mask"].items():
        dropped = (weights[names[name]] == 0).int()
        expected = torch.tensor(mask, dtype=torch.int32)
        if name == "qp":  # the dossier's mask does not count the positive itself
            dropped = dropped * (1 - torch.eye(3, dtype=torch.int32))
        own = torch.eye(3, dtype=torch.int32) if name in ("qq", "pp") else 0
        torch.testing.assert_close(dropped, (expected + own).clamp(max=1), rtol=0, atol=0)


def peer_gist(batch, guide, *, margin, strategy, anchors, positives, temperature):
    """sentence-transformers' loss on given vectors: no model, no hub."""
    module = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    kind = module.GISTEmbedLoss
    peer = kind.__new__(kind)
    torch.nn.Module.__init__(peer)
    columns = [
        vectors for vectors in (batch.anchors, batch.positives, batch.negatives) if len(vectors)
    ]

    class Fixed:
        def __init__(self, vectors):
            self.vectors = iter(vectors)

        def __call__(self, features):
            return {"sentence_embedding": next(self.vectors)}

    peer.__dict__.update(
        model=Fixed(columns),
        guide=Fixed(guide),
        temperature=temperature,
        similarity_fct=torch.nn.CosineSimilarity(dim=-1),
        must_retokenize=False,
        margin=margin,
        margin_strategy=strategy,
        contrast_anchors=anchors,
        contrast_positives=positives,
        gather_across_devices=False,
        cross_entropy_loss=torch.nn.CrossEntropyLoss(),
    )
    return peer([{} for _ in columns], torch.zeros(0))


@pytest.mark.slow
@pytest.mark.parametrize("margin", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("strategy", ["absolute", "relative"])
@pytest.mark.parametrize("negatives", [0, 1])
@pytest.mark.parametrize(("anchors", "positives"), [(True, True), (False, True), (False, False)])
def test_gist_equals_sentence_transformers(margin, strategy, negatives, anchors, positives):
    """Random vectors: guide scores of a text with itself are above every threshold, so theirs and
    ours remove the same cells. Where they differ on purpose: the gold edge case above."""
    rows = 9
    batch = Embedded.of(
        unit(rows, seed=1), unit(rows, seed=2), unit(rows, seed=3) if negatives else None
    )
    for vectors in (batch.anchors, batch.positives, batch.negatives):
        vectors.requires_grad_()
    guide = [unit(rows, seed=seed) for seed in (4, 5, 6)]
    known = knowledge_of(guide[0], torch.cat(guide[1:]))
    contrast = Contrast(
        loss=losses.InfoNCE(temperature=0.05),
        candidates=[
            InBatch("ap", *(["aa"] if anchors else []), *(["pp"] if positives else [])),
            Hard(1),
        ],
        rules=[rules.Guide(margin=margin, relative=strategy == "relative")],
    )
    theirs = peer_gist(
        batch,
        guide,
        margin=margin,
        strategy=strategy,
        anchors=anchors,
        positives=positives,
        temperature=0.05,
    )
    leaves = [
        vectors for vectors in (batch.anchors, batch.positives, batch.negatives) if len(vectors)
    ]
    expected = torch.autograd.grad(theirs, leaves)
    ours = contrast(batch, known).mean()
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    for mine, peers in zip(torch.autograd.grad(ours, leaves), expected, strict=True):
        torch.testing.assert_close(mine, peers, rtol=1e-6, atol=1e-6)


def brute_force(batch, weights, temperature):
    """Three nested loops over every block."""
    sides = {"a": batch.anchors, "p": batch.positives, "n": batch.negatives}
    values = []
    for i in range(len(batch.anchors)):
        top = math.exp(float(batch.anchors[i] @ batch.positives[i]) / temperature)
        rest = 0.0
        for name, weight in weights.items():
            for j in range(weight.shape[1]):
                score = float(sides[name[0]][i] @ sides[name[1]][j])
                rest += float(weight[i, j]) * math.exp(score / temperature)
        values.append(-math.log(top / (top + rest)))
    return torch.tensor(values, dtype=DOUBLE)


@pytest.mark.parametrize("chunk", [None, 1, 4])
def test_composition_by_brute_force(chunk):
    batch = Embedded.of(unit(7, seed=1), unit(7, seed=2), unit(14, seed=3))
    known = knowledge_of(unit(7, seed=4), unit(21, seed=5))
    contrast = Contrast(
        loss=losses.InfoNCE(temperature=0.2),
        candidates=[InBatch("ap", "aa", "pp", "pa"), Hard(2)],
        rules=[rules.Guide(margin=0.2), rules.Threshold(at_most=0.8)],
        chunk=chunk,
    )
    weights = contrast.weights(batch, known)
    assert set(weights) == {"ap", "aa", "pp", "pa", "an"}
    torch.testing.assert_close(contrast(batch, known), brute_force(batch, weights, 0.2))


def test_streamed_equals_dense_with_gradients():
    batch = Embedded.of(unit(8, seed=1), unit(8, seed=2), unit(8, seed=3))
    known = knowledge_of(unit(8, seed=4), unit(16, seed=5))
    leaves = [
        vectors.requires_grad_() for vectors in (batch.anchors, batch.positives, batch.negatives)
    ]
    options = {
        "candidates": FULL,
        "rules": [rules.Guide(margin=0.1), rules.PositiveNeighbour(threshold=0.3)],
        "directions": "both",
    }
    dense = Contrast(**options)(batch, known).sum()
    streamed = Contrast(**options, chunk=3)(batch, known).sum()
    torch.testing.assert_close(dense, streamed)
    for one, two in zip(
        torch.autograd.grad(dense, leaves), torch.autograd.grad(streamed, leaves), strict=True
    ):
        torch.testing.assert_close(one, two)


def test_both_directions_is_the_mean_of_the_two():
    batch = Embedded.of(unit(5, seed=1), unit(5, seed=2))
    mirrored = Embedded.of(batch.positives, batch.anchors)
    found = Contrast(directions="both")(batch)
    torch.testing.assert_close(found, (Contrast()(batch) + Contrast()(mirrored)) / 2)


@pytest.mark.shared
def test_symmetric_info_nce_is_gold(shared):
    cases = json.loads((shared / "gold/llm.json").read_text())
    (case,) = [c for c in cases if c["method"] == "reversal.symmetric_infonce"]
    scores, expected = torch.tensor(case["inputs"]["scores"], dtype=DOUBLE), case["expected"]
    rows, columns = (
        float(losses.info_nce(way, torch.arange(3), temperature=1.0).mean())
        for way in (scores, scores.T)
    )
    assert math.isclose(rows, expected["q2p_loss"], abs_tol=1e-9)
    assert math.isclose(columns, expected["p2q_loss"], abs_tol=1e-9)
    assert math.isclose((rows + columns) / 2, expected["symmetric"], abs_tol=1e-9)


def test_texts_that_stand_twice_are_never_negatives():
    """Rows 0 and 1 share the positive document 5; anchors 2 and 3 are the same query."""
    batch = Embedded.of(unit(4, seed=1), unit(4, seed=2), unit(4, seed=3))
    batch = Embedded(
        anchors=batch.anchors,
        positives=batch.positives,
        negatives=batch.negatives,
        queries=np.array([0, 1, 2, 2]),
        docs=np.array([5, 5, 6, 7]),
        negative_docs=np.array([5, 6, 8, 9]),
        owners=np.arange(4),
    )
    weights = Contrast(candidates=FULL)(batch), Contrast(candidates=FULL).weights(batch)
    dropped = {name: (weight == 0).nonzero().tolist() for name, weight in weights[1].items()}
    assert dropped["ap"] == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 2], [3, 3]]
    assert dropped["aa"] == [[0, 0], [1, 1], [2, 2], [2, 3], [3, 2], [3, 3]]
    assert dropped["an"] == [[0, 0], [1, 0], [2, 1]]
    assert bool(weights[0].isfinite().all())


def test_own_negatives_only():
    batch = Embedded.of(unit(3, seed=1), unit(3, seed=2), unit(6, seed=3))
    weights = Contrast(candidates=[Hard(2, shared=False)]).weights(batch)["an"]
    assert weights.sum(dim=1).tolist() == [2, 2, 2]
    assert bool((weights.nonzero()[:, 1] % 3 == weights.nonzero()[:, 0]).all())


def test_neighbour_fact_by_brute_force():
    guide_queries, guide_docs = unit(4, seed=4), unit(9, seed=5)
    pairs = np.array([[0, 0], [0, 4], [0, 8], [1, 1], [2, 2], [2, 7], [3, 3]])
    known = Knowledge(
        known=one_to_one(9), pairs=pairs, guide_queries=guide_queries, guide_docs=guide_docs
    )
    batch = Embedded.of(unit(4, seed=1), unit(4, seed=2), unit(5, seed=3))
    sides = {"a": guide_queries[:4], "p": guide_docs[:4], "n": guide_docs[4:]}
    for threshold in (-0.2, 0.1, 0.5):
        contrast = Contrast(
            candidates=[InBatch("ap", "aa", "pp", "pa"), Hard(1)],
            rules=[rules.PositiveNeighbour(threshold=threshold)],
        )
        for name, weight in contrast.weights(batch, known).items():
            for i in range(4):
                for j in range(weight.shape[1]):
                    row, other = (j, sides["p"][i]) if name == "pa" else (i, sides[name[1]][j])
                    near = max(float(guide_docs[d] @ other) for q, d in pairs if q == row)
                    own = i == j and name != "an"
                    assert float(weight[i, j]) == float(not own and near <= threshold), (name, i, j)


def test_dropped_negatives_get_exactly_no_gradient():
    batch = Embedded.of(unit(6, seed=1), unit(6, seed=2), unit(6, seed=3).requires_grad_())
    known = knowledge_of(unit(6, seed=4), unit(12, seed=5))
    contrast = Contrast(candidates=[Hard(1)], rules=[rules.Guide(margin=2.0)])
    value = contrast(batch, known)
    assert value.tolist() == [0.0] * 6
    value.sum().backward()
    assert float(batch.negatives.grad.abs().max()) == 0.0


def test_the_account_says_what_rules_left():
    batch = Embedded.of(unit(6, seed=1), unit(6, seed=2))
    known = knowledge_of(unit(6, seed=4), unit(6, seed=5))
    contrast = Contrast(rules=[rules.Guide(margin=0.2)], chunk=4)
    account = Account()
    value = contrast(batch, known, account=account)
    weight = contrast.weights(batch, known)["ap"]
    assert account.candidates == 30
    assert account.kept == float(weight.sum())
    torch.testing.assert_close(account.values, value.detach())


def test_vectors_are_aligned_by_id():
    values = np.eye(3, dtype=np.float32)
    vectors = Vectors(values=values, ids=np.array(["a", "b", "c"], dtype=object), encoder="x")
    found = aligned(vectors, np.array(["c", "a"], dtype=object), "guide")
    torch.testing.assert_close(found, torch.eye(3)[[2, 0]])
    with pytest.raises(BadData, match="no vector for id 'z'"):
        aligned(vectors, np.array(["a", "z"], dtype=object), "guide")
    bad = Vectors(values=values * np.nan, ids=vectors.ids, encoder="x")
    with pytest.raises(BadArgument, match="every value must be finite"):
        aligned(bad, bad.ids, "guide")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InBatch("ab"), r"`blocks` is 'ab', but it must be one of ap, aa, pp, pa"),
        (lambda: Hard(0), r"`count` is 0"),
        (lambda: Contrast(loss=losses.InfoNCE), r"it must be a loss of scores"),
        (lambda: Contrast(candidates=[Hard(1), Hard(1)]), r"a block would be counted twice"),
        (lambda: Contrast(candidates=[InBatch("ap"), InBatch("ap")]), r"counted twice"),
        (lambda: Contrast(candidates=[]), r"`candidates` is \[\], but it must not be empty"),
        (
            lambda: Contrast(rules=[rules.Guide()]).check(None),
            r"it needs guide, which was not given",
        ),
        (lambda: Embedded.of(torch.zeros(0, 2), torch.zeros(0, 2)), r"not empty"),
        (
            lambda: Embedded.of(torch.eye(2), torch.eye(3)),
            r"`positives` is \(3, 3\), but it must be \(2, 2\)",
        ),
    ],
)
def test_wording(make, message):
    with pytest.raises(BadArgument, match=message):
        make()
