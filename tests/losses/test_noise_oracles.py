"""The losses against noise beside pytorch-metric-learning and sentence-transformers, on vectors.

Values and gradients to 1e-6. Where a peer averages over the triplets of a whole batch and we over
each row's, rows are weighted by their number of triplets.
"""

import pytest
import torch
from torch.nn.functional import normalize

from workbench import losses

DOUBLE = torch.float64
LABELS = torch.arange(12) % 4  # three of each


def vectors_of(rows=12, dim=6, seed=0):
    drawn = torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    return drawn.requires_grad_()


def in_batch(vectors, labels=LABELS):
    """Scores of all vectors with all, a first mate, all mates, weights that leave out itself."""
    own = torch.eye(len(vectors), dtype=torch.bool)
    mates = (labels[:, None] == labels[None, :]) & ~own
    unit = normalize(vectors, dim=1)
    return unit @ unit.T, mates.int().argmax(1), mates, (~own).to(DOUBLE)


def same(ours, theirs, vectors):
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    (mine,) = torch.autograd.grad(ours, vectors)
    (peers,) = torch.autograd.grad(theirs, vectors)
    torch.testing.assert_close(mine, peers, rtol=1e-6, atol=1e-6)


def metric_learning():
    pytest.importorskip("pytorch_metric_learning")
    from pytorch_metric_learning import distances
    from pytorch_metric_learning import losses as peers

    return peers, distances


def transformers_loss(name, **attributes):
    """A loss of sentence-transformers without a model: it gets vectors."""
    module = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    kind = getattr(module, name)
    peer = kind.__new__(kind)
    torch.nn.Module.__init__(peer)
    peer.__dict__.update(attributes)
    return peer


@pytest.mark.parametrize("temperature", [0.05, 0.1, 0.5])
def test_supervised_contrastive_equals_metric_learning(temperature):
    peers, _ = metric_learning()
    vectors = vectors_of()
    scores, positive, known, weight = in_batch(vectors)
    ours = losses.supervised_contrastive(
        scores, positive, known=known, weight=weight, temperature=temperature
    )
    same(
        ours.mean(),
        peers.SupConLoss(temperature=temperature)(normalize(vectors, dim=1), LABELS),
        vectors,
    )


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_all_neighbours_equal_neighbourhood_components(temperature):
    peers, distances = metric_learning()
    vectors = vectors_of()
    scores, positive, known, weight = in_batch(vectors)
    ours = losses.leave_one_out_knn(
        scores, positive, known=known, weight=weight, k=11, temperature=temperature
    )
    peer = peers.NCALoss(softmax_scale=1 / temperature, distance=distances.DotProductSimilarity())
    same(ours.mean(), peer(normalize(vectors, dim=1), LABELS), vectors)


@pytest.mark.parametrize("margin", [0.05, 0.3])
@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_all_triplets_equal_metric_learning(margin, soft, distance):
    peers, distances = metric_learning()
    vectors = vectors_of()
    scores, positive, known, weight = in_batch(vectors)
    ours = losses.triplet(
        scores,
        positive,
        known=known,
        weight=weight,
        margin=margin,
        mining="all",
        soft=soft,
        distance=distance,
    )
    space = {"cosine": distances.CosineSimilarity, "euclidean": distances.LpDistance}[distance]()
    peer = peers.TripletMarginLoss(margin=margin, smooth_loss=soft, distance=space)
    count = triplets(scores, known, weight, margin, soft=soft, distance=distance)
    same((ours * count).sum() / count.sum(), peer(normalize(vectors, dim=1), LABELS), vectors)


def triplets(scores, known, weight, margin, *, soft, distance):
    """How many triplets of each row have a value, by three loops."""
    space = 1 - scores.detach()
    space = (2 * space).clamp_min(0).sqrt() if distance == "euclidean" else space
    count = torch.zeros(len(scores), dtype=DOUBLE)
    for i in range(len(scores)):
        for p in known[i].nonzero().flatten().tolist():
            for n in range(scores.shape[1]):
                if not known[i, n] and float(weight[i, n]) > 0:
                    count[i] += soft or float(space[i, p] - space[i, n]) + margin > 0
    return count


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize(
    ("name", "mining", "soft"),
    [
        ("BatchHardTripletLoss", "hardest", False),
        ("BatchHardSoftMarginTripletLoss", "hardest", True),
        ("BatchAllTripletLoss", "all", False),
        ("BatchSemiHardTripletLoss", "semi_hard", False),
    ],
)
@pytest.mark.parametrize("margin", [0.1, 0.4])
def test_triplets_equal_sentence_transformers(distance, name, mining, soft, margin):
    module = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    metric = getattr(module.BatchHardTripletLossDistanceFunction, f"{distance}_distance")
    peer = transformers_loss(name, triplet_margin=margin, margin=margin, distance_metric=metric)
    vectors = vectors_of(seed=3)
    theirs = peer.compute_loss_from_embeddings([normalize(vectors, dim=1)], LABELS)
    scores, positive, known, weight = in_batch(vectors)
    margin = 0.0 if soft else margin  # their soft form has none
    ours = losses.triplet(
        scores,
        positive,
        known=known,
        weight=weight,
        margin=margin,
        mining=mining,
        soft=soft,
        distance=distance,
    )
    count = torch.ones(len(scores), dtype=DOUBLE)
    if mining == "all":
        count = triplets(scores, known, weight, margin, soft=soft, distance=distance)
    same((ours * count).sum() / count.sum(), theirs, vectors)


@pytest.mark.parametrize("grades", ["ties", "continuous", "equal"])
def test_cosent_equals_sentence_transformers(grades):
    module = pytest.importorskip("sentence_transformers.util")
    peer = transformers_loss("CoSENTLoss", scale=20.0, similarity_fct=module.pairwise_cos_sim)
    left, right = vectors_of(seed=1), vectors_of(seed=2)
    grade = {
        "ties": torch.tensor([0, 1, 2, 2, 1, 0, 3, 3, 1, 2, 0, 5], dtype=DOUBLE),
        "continuous": torch.rand(12, generator=torch.Generator().manual_seed(4), dtype=DOUBLE),
        "equal": torch.ones(12, dtype=DOUBLE),
    }[grades]
    theirs = peer.compute_loss_from_embeddings([left, right], grade)
    scores = (normalize(left, dim=1) * normalize(right, dim=1)).sum(1)[
        None, :
    ]  # one row that holds every pair
    ours = losses.cosent(scores, grade.argmax()[None], grade=grade[None, :], temperature=0.05)
    same(ours.squeeze(0), theirs, left)


@pytest.mark.parametrize("weights", [None, (1.0, 0.5, 0.25)])
def test_matryoshka_equals_sentence_transformers(weights):
    module = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    anchors, positives = vectors_of(dim=8, seed=1), vectors_of(dim=8, seed=2)

    class Fixed(torch.nn.Module):
        """Gives out the two columns in turn."""

        def __init__(self):
            super().__init__()
            self.columns = iter((anchors, positives))

        def forward(self, features):
            return {"sentence_embedding": next(self.columns)}

        def get_embedding_dimension(self):
            return 8

    model = Fixed()
    inner = module.MultipleNegativesRankingLoss(model, scale=10.0)
    dims = (8, 4, 2)
    peer = module.MatryoshkaLoss(model, inner, list(dims), weights and list(weights))
    theirs = peer([{}, {}], torch.zeros(0))

    def value(left, right):
        scores = normalize(left, dim=1) @ normalize(right, dim=1).T
        return losses.info_nce(scores, torch.arange(len(scores)), temperature=0.1)

    ours = losses.matryoshka(value, [anchors, positives], dims=dims, weights=weights)
    same(ours.mean(), theirs, anchors)
