"""The losses against noise: gold numbers, brute force, wording. Laws: test_laws.py."""

import json
import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, normalize
from torch.utils._python_dispatch import TorchDispatchMode

from workbench import losses
from workbench.errors import BadArgument
from workbench.scores import posterior_false_negative

DOUBLE = torch.float64


def generator_of(seed):
    return torch.Generator().manual_seed(seed)


def row_case(seed=0, rows=4, columns=7):
    """Scores, positives, known positives and weights between 0 and 1, some of them 0."""
    generator = generator_of(seed)
    scores = torch.rand(rows, columns, generator=generator, dtype=DOUBLE) * 2 - 1
    positive = torch.arange(rows)
    known = torch.rand(rows, columns, generator=generator) > 0.7
    known[positive, positive] = True
    weight = torch.rand(rows, columns, generator=generator, dtype=DOUBLE)
    weight[torch.rand(rows, columns, generator=generator) > 0.8] = 0.0
    return scores, positive, known, weight


def sides(scores, known, weight):
    """(positives, [(negative, weight)]) of each row as plain numbers."""
    for i in range(len(scores)):
        mates = [float(scores[i, j]) for j in range(scores.shape[1]) if known[i, j]]
        others = [
            (float(scores[i, j]), float(weight[i, j]))
            for j in range(scores.shape[1])
            if not known[i, j] and float(weight[i, j]) > 0
        ]
        yield mates, others


def close(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected, dtype=DOUBLE), rtol=1e-9, atol=1e-9)


def gold(shared, method, case=None):
    cases = json.loads((shared / "gold/noise.json").read_text())
    (found,) = [c for c in cases if c["method"] == method and case in (None, c["case"])]
    return found


def tensor(values):
    return torch.tensor(values, dtype=DOUBLE)


# noisy negatives


@pytest.mark.shared
def test_noisy_negative_is_gold(shared):
    case = gold(shared, "NBPO", "one_positive_one_unvoted")
    inputs, expected = case["inputs"], case["expected"]
    factors = {name: tensor(inputs[name]).requires_grad_() for name in "UVPQ"}
    odds = factors["U"] @ factors["V"].T
    flip = torch.sigmoid(factors["P"] @ factors["Q"].T)
    value = losses.noisy_negative(odds, torch.tensor([0]), temperature=1.0, bias=0.0, flip=flip)
    close(-value, [expected["log_likelihood"]])
    value.sum().backward()
    for name, factor in factors.items():
        close(-factor.grad, expected[f"grad_{name}"])
    lost = posterior_false_negative(odds, flip)[0, 1]
    close(lost, expected["posterior_true_positive_given_unvoted"])


@pytest.mark.shared
def test_posterior_and_likelihood_are_gold(shared):
    case = gold(shared, "NBPO", "posterior_and_stable_likelihood")
    scores, flip = tensor(case["inputs"]["score"]), case["inputs"]["flip"]
    expected = case["expected"]
    close(posterior_false_negative(scores, flip), expected["posterior_false_negative"])
    # one row per score: a positive at odds 0 costs -log[(1 - flip) / 2]
    rows = torch.stack([torch.zeros_like(scores), scores], dim=1)
    value = losses.noisy_negative(
        rows, torch.zeros(3, dtype=torch.long), temperature=1.0, bias=0.0, flip=flip
    )
    close(value + math.log((1 - flip) / 2), [-one for one in expected["log_p_unvoted"]])


def test_posterior_broadcasts_and_ends():
    odds = torch.tensor([[-800.0, 0.0, 800.0]], dtype=DOUBLE)
    close(posterior_false_negative(odds, 0.0), [[0.0, 0.0, 0.0]])
    close(posterior_false_negative(odds, 1), [[0.0, 0.5, 1.0]])
    flips = torch.tensor([[0.5], [1.0]], dtype=DOUBLE)
    close(posterior_false_negative(odds.expand(2, 3), flips), [[0.0, 1 / 3, 1.0], [0.0, 0.5, 1.0]])


def test_noisy_negative_by_brute_force():
    scores, positive, _, weight = row_case(1)
    found = losses.noisy_negative(
        scores, positive, temperature=0.3, bias=-0.5, flip=0.2, weight=weight
    )
    for i in range(4):
        value = 0.0
        for j in range(7):
            relevant = 1 / (1 + math.exp(-(float(scores[i, j]) / 0.3 - 0.5)))
            if j == i:
                value -= math.log((1 - 0.2) * relevant)
            else:
                value -= float(weight[i, j]) * math.log(1 - relevant + 0.2 * relevant)
        assert math.isclose(float(found[i]), value, rel_tol=1e-12)


def test_a_confident_false_negative_is_hardly_pushed():
    scores = torch.tensor([[0.0, 30.0, 0.0]], dtype=DOUBLE, requires_grad=True)
    losses.noisy_negative(
        scores, torch.tensor([0]), temperature=1.0, bias=0.0, flip=0.1
    ).sum().backward()
    assert 0 < float(scores.grad[0, 1]) < 1e-10 < float(scores.grad[0, 2])


@pytest.mark.parametrize("kind", ["sigmoid", "noisy_negative"])
def test_without_noise_it_is_binary_cross_entropy(kind):
    scores, positive, _, _ = row_case(2)
    options = {"flip": 0.0} if kind == "noisy_negative" else {}
    found = getattr(losses, kind)(scores, positive, temperature=0.2, bias=-1.0, **options)
    target = torch.nn.functional.one_hot(positive, 7).to(DOUBLE)
    expected = binary_cross_entropy_with_logits(scores / 0.2 - 1, target, reduction="none")
    torch.testing.assert_close(found, expected.sum(1))


# several positives


@pytest.mark.parametrize("inside", [False, True])
def test_supervised_contrastive_by_brute_force(inside):
    scores, positive, known, weight = row_case(3)
    found = losses.supervised_contrastive(
        scores, positive, known=known, temperature=0.3, inside=inside, weight=weight
    )
    expected = []
    for mates, others in sides(scores, known, weight):
        total = sum(math.exp(s / 0.3) for s in mates)
        total += sum(w * math.exp(s / 0.3) for s, w in others)
        shares = [math.exp(s / 0.3) / total for s in mates]
        mean = sum(map(math.log, shares)) / len(mates)
        expected.append(-(math.log(sum(shares) / len(mates)) if inside else mean))
    close(found, expected)


@pytest.mark.shared
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_leave_one_out_is_gold(shared, k):
    case = gold(shared, "LOOK")
    vectors = tensor(case["inputs"]["embeddings"])
    labels = torch.tensor(case["inputs"]["labels"])
    own = torch.eye(6, dtype=torch.bool)
    known = (labels[:, None] == labels[None, :]) & ~own
    expected = case["expected"][f"k{k}"]
    scores, weight = vectors @ vectors.T, (~own).to(DOUBLE)
    found = losses.leave_one_out_knn(
        scores, known.int().argmax(1), known=known, k=k, temperature=0.1, weight=weight
    )
    close(found, [one or 0.0 for one in expected["per_anchor"]])
    valid = (losses.nearest(scores, ~own, k=k) & known).any(1)
    assert int(valid.sum()) == expected["n_valid"]
    close(found[valid].mean(), expected["mean_over_valid"])


@pytest.mark.parametrize("always", [False, True])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_leave_one_out_by_brute_force(k, always):
    scores, positive, known, weight = row_case(4, columns=9)
    found = losses.leave_one_out_knn(
        scores, positive, known=known, k=k, temperature=0.3, always=always, weight=weight
    )
    expected = []
    for mates, others in sides(scores, known, weight):
        ranked = sorted([(s, 1.0, True) for s in mates] + [(s, w, False) for s, w in others])
        near = set(ranked[-k:]) | ({(max(mates), 1.0, True)} if always else set())
        pull = sum(math.exp(s / 0.3) for s, _, mate in near if mate)
        total = sum(w * math.exp(s / 0.3) for s, w, _ in near)
        expected.append(-math.log(pull / total) if pull > 0 else 0.0)
    close(found, expected)
    assert any(expected) == (k > 1 or always)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("mining", ["hardest", "all", "semi_hard"])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_triplet_by_brute_force(mining, soft, distance):
    scores, positive, known, weight = row_case(5)
    found = losses.triplet(
        scores,
        positive,
        known=known,
        margin=0.3,
        mining=mining,
        soft=soft,
        distance=distance,
        weight=weight,
    )

    def far(score):
        return math.sqrt(2 - 2 * score) if distance == "euclidean" else 1 - score

    def hinge(mate, other):
        gap = far(mate) - far(other) + 0.3
        return math.log1p(math.exp(gap)) if soft else max(0.0, gap)

    expected = []
    for mates, others in sides(scores, known, weight):
        if mining == "hardest":
            other, trust = max(others)
            expected.append(trust * hinge(min(mates), other))
        elif mining == "all":
            cells = [(hinge(mate, other), trust) for mate in mates for other, trust in others]
            count = sum(trust for value, trust in cells if value > 0)
            expected.append(sum(value * trust for value, trust in cells) / (count or 1))
        else:
            values = []
            for mate in mates:
                outside = [one for one in others if one[0] < mate]
                other, trust = max(outside) if outside else min(others)
                values.append(trust * hinge(mate, other))
            expected.append(sum(values) / len(values))
    close(found, expected)


def test_triplet_at_the_same_point_has_a_finite_gradient():
    scores = torch.ones(1, 3, requires_grad=True)
    known = torch.tensor([[True, False, False]])
    loss = losses.Triplet(distance="euclidean", mining="all")
    loss(scores, torch.tensor([0]), known=known).sum().backward()
    assert bool(scores.grad.isfinite().all())


def test_cosent_by_brute_force():
    scores, positive, _, weight = row_case(6)
    grade = torch.randint(0, 3, (4, 7), generator=generator_of(7)).to(DOUBLE)
    grade[:, 5] = math.nan
    found = losses.cosent(scores, positive, grade=grade, temperature=0.3, weight=weight)
    expected = []
    for i in range(4):
        trust = [1.0 if j == i else float(weight[i, j]) for j in range(7)]
        total = 1.0
        for a in range(7):
            for b in range(7):
                if float(grade[i, a]) > float(grade[i, b]):
                    gap = float(scores[i, b] - scores[i, a]) / 0.3
                    total += trust[a] * trust[b] * math.exp(gap)
        expected.append(math.log(total))
    close(found, expected)


def test_cosent_without_unequal_grades_is_zero():
    scores = torch.rand(2, 3, generator=generator_of(0), requires_grad=True)
    for grade in (torch.ones(2, 3), torch.full((2, 3), math.nan)):
        value = losses.cosent(scores, torch.tensor([0, 1]), grade=grade)
        value.sum().backward()
        assert value.tolist() == [0.0, 0.0]
        assert float(scores.grad.abs().max()) == 0.0


# a label matrix of which only positives are known


@pytest.mark.shared
@pytest.mark.parametrize("place", [0, 1])
def test_positive_unlabelled_is_gold(shared, place):
    cases = json.loads((shared / "gold/noise.json").read_text())
    case = [c for c in cases if c["method"] == "PU-MLC"][place]
    logits, known = tensor(case["inputs"]["logits"]).T, tensor(case["inputs"]["target"]).T == 1
    options = {name: case["inputs"][name] for name in ("gamma", "alpha")}
    value = losses.positive_unlabelled(logits, known.int().argmax(1), known=known, **options)
    assert math.isclose(float(value.sum()), case["expected"]["loss"], abs_tol=case["tolerance"])
    expected = case["expected"]
    parts = zip(
        expected["rebalance"], expected["unlabelled_term"], expected["positive_term"], strict=True
    )
    torch.testing.assert_close(
        value, tensor([w * u - p for w, u, p in parts]), rtol=0, atol=case["tolerance"]
    )


def test_positive_unlabelled_by_brute_force():
    scores, positive, known, weight = row_case(8)
    found = losses.positive_unlabelled(
        scores, positive, known=known, gamma=0.7, alpha=1.5, weight=weight
    )
    expected = []
    for mates, others in sides(scores, known, weight):
        cells = [(s, 1.0) for s in mates] + others
        size = sum(w for _, w in cells)
        mean = sum(w * s for s, w in cells) / size
        spread = math.sqrt(sum(w * (s - mean) ** 2 for s, w in cells) / size)
        heat = min(1.5 * spread, 1.0)
        chance = sum(w / (1 + math.exp(-s / heat)) for s, w in cells) / size
        pull = sum(math.log(1 / (1 + math.exp(-s / heat))) for s in mates) / len(mates)
        expected.append(chance**0.7 * math.log(chance) - pull)
    close(found, expected)


@pytest.mark.parametrize("constant", [0.0, 0.5, -3.0])
def test_positive_unlabelled_on_a_constant_row_is_finite(constant):
    """The released loss is NaN at 0, and has NaN gradients elsewhere."""
    scores = torch.full((2, 5), constant, requires_grad=True)
    known = torch.eye(2, 5, dtype=torch.bool)
    value = losses.positive_unlabelled(scores, torch.tensor([0, 1]), known=known)
    value.sum().backward()
    assert bool(value.isfinite().all())
    assert bool(scores.grad.isfinite().all())


# gate and correct


@pytest.mark.shared
@pytest.mark.parametrize("soft", [False, True])
def test_gate_and_correct_is_gold(shared, soft):
    case = gold(shared, "DLG-LC", "gate_and_correct")
    inputs, expected = case["inputs"], case["expected"]
    scores, labels = tensor(inputs["logits_augmented"]), torch.tensor(inputs["labels"])
    options = {
        "teacher": tensor(inputs["logits_clean"]),
        "temperature": 1.0,
        "sharpen": inputs["sharpen_temperature"],
        "confidence": inputs["confidence"],
        "soft": soft,
    }
    gated = losses.gate_and_correct(scores, labels, threshold=inputs["log_threshold"], **options)
    close(gated.mean(), expected["loss_soft" if soft else "loss_hard"])
    keep = torch.tensor(expected["keep"])
    torch.testing.assert_close(losses.gate_and_correct(scores, labels, keep=keep, **options), gated)
    close(losses.gate_and_correct(scores, labels, **options), expected["ce"])
    handled = (keep | torch.tensor(expected["corrected"])).tolist()
    assert (gated > 0).tolist() == handled


@pytest.mark.parametrize("soft", [False, True])
def test_gate_and_correct_by_brute_force(soft):
    scores, positive, _, weight = row_case(9)
    teacher = torch.rand(4, 7, generator=generator_of(3), dtype=DOUBLE)
    teacher[:, 4] = math.nan
    keep = torch.tensor([True, False, False, False])
    found = losses.gate_and_correct(
        scores,
        positive,
        teacher=teacher,
        keep=keep,
        confidence=0.5,
        sharpen=0.5,
        soft=soft,
        temperature=0.4,
        weight=weight,
    )
    expected = []
    for i in range(4):
        trust = [1.0 if j == i else float(weight[i, j]) for j in range(7)]
        total = sum(w * math.exp(float(s) / 0.4) for s, w in zip(scores[i], trust, strict=True))
        cost = [math.log(total) - float(s) / 0.4 for s in scores[i]]
        if keep[i]:
            expected.append(cost[i])
            continue
        clean = [
            0.0 if math.isnan(float(s)) else w * math.exp(float(s) / 0.2)
            for s, w in zip(teacher[i], trust, strict=True)
        ]
        guess = [one / sum(clean) for one in clean]
        best = max(range(7), key=lambda j: guess[j])
        if guess[best] <= 0.5:
            expected.append(0.0)
        else:
            mixed = sum(g * c for g, c in zip(guess, cost, strict=True))
            expected.append(mixed if soft else cost[best])
    close(found, expected)
    assert 0.0 in expected
    assert sum(one > 0 for one in expected) >= 2


def test_a_teacher_that_knows_nothing_corrects_nothing():
    scores = torch.zeros(2, 3, requires_grad=True)
    value = losses.gate_and_correct(
        scores,
        torch.tensor([0, 1]),
        teacher=torch.full((2, 3), math.nan),
        keep=torch.tensor([False, True]),
    )
    value.sum().backward()
    assert float(value[0].detach()) == 0.0
    assert bool(scores.grad.isfinite().all())


# vectors


@pytest.mark.shared
def test_norm_ratio_is_gold(shared):
    case = gold(shared, "ASL")
    larger, smaller = (
        tensor([case["inputs"][f"feature_{name}_scale"]]).requires_grad_()
        for name in ("larger", "smaller")
    )
    expected = case["expected"]
    value = losses.norm_ratio(larger, smaller)
    close(value, [expected["loss"]])
    value.sum().backward()
    close(larger.grad, [expected["grad_larger"]])
    close(smaller.grad, [expected["grad_smaller"]])
    close(losses.norm_ratio(smaller, larger), [expected["loss_if_order_swapped"]])
    close(losses.NormRatio(weight=5.0)(larger, smaller), [5 * expected["loss"]])


def test_norm_ratio_of_nothing_is_finite():
    larger, smaller = torch.ones(1, 3, requires_grad=True), torch.zeros(1, 3, requires_grad=True)
    losses.norm_ratio(larger, smaller).sum().backward()
    assert bool(larger.grad.isfinite().all())
    assert bool(smaller.grad.isfinite().all())


def test_directional_score_by_brute_force():
    query, doc = (torch.randn(4, 3, generator=generator_of(seed), dtype=DOUBLE) for seed in (0, 1))
    found = losses.directional_score(query, doc, reject=-2.0)
    for i in range(4):
        for j in range(4):
            lengths = float(query[i].norm()), float(doc[j].norm())
            cosine = float(query[i] @ doc[j]) / (lengths[0] * lengths[1])
            expected = -2.0 if lengths[0] > lengths[1] else cosine
            assert math.isclose(float(found[i, j]), expected, abs_tol=1e-12)


@pytest.mark.shared
def test_supremix_is_gold(shared):
    case = gold(shared, "SupReMix")
    inputs, expected = case["inputs"], case["expected"]
    options = {name: inputs[name] for name in ("temperature", "window", "base_temperature")}
    value = losses.supremix(
        tensor(inputs["features"]),
        tensor(inputs["labels"]),
        alpha=tensor(inputs["alpha_neg"]),
        **options,
    )
    assert (value == 0).nonzero().flatten().tolist() == expected["anchors_without_positive"]
    close(value[value != 0], expected["loss_per_anchor_with_positives"])


def mixed_by_hand(vectors, labels, alpha, window, temperature, factor):
    """Every mixture formed, one after the other."""
    values = []
    for i in range(len(labels)):
        entries = []  # (vector, distance of labels, is it a positive)
        for j in range(len(labels)):
            if j != i:
                gap = abs(float(labels[i] - labels[j]))
                entries.append((vectors[j], gap, gap == 0))
        for k in range(len(labels)):
            if labels[k] != labels[i]:
                a = alpha[i, k]
                gap = float((1 - a) * (labels[k] - labels[i]).abs())
                entries.append(((a * vectors[i] + (1 - a) * vectors[k]).detach(), gap, False))
        for j in range(len(labels)):
            for k in range(len(labels)):
                near = max(abs(labels[j] - labels[i]), abs(labels[k] - labels[i])) < window
                if labels[j] < labels[i] < labels[k] and near:
                    a = (labels[k] - labels[i]) / (labels[k] - labels[j])
                    entries.append(((a * vectors[j] + (1 - a) * vectors[k]).detach(), 0.0, True))
        logits = torch.stack([vectors[i] @ vector for vector, _, _ in entries]) / temperature
        weights = torch.tensor([factor(gap) for _, gap, _ in entries], dtype=DOUBLE)
        total = (weights * logits.exp()).sum().log()
        mates = torch.tensor([mate for _, _, mate in entries])
        value = total - logits[mates].mean() if bool(mates.any()) else logits.sum() * 0
        values.append(value * temperature / 0.07)
    return torch.stack(values)


@pytest.mark.parametrize(
    ("weight", "factor"),
    [("distance", lambda d: d + 1), ("square", lambda d: d * d + 1), ("none", lambda d: 1.0)],
)
@pytest.mark.parametrize("window", [1.5, 2.0, 10.0])
def test_supremix_by_brute_force(weight, factor, window):
    vectors = normalize(torch.randn(8, 3, generator=generator_of(0), dtype=DOUBLE), dim=1)
    vectors.requires_grad_()
    labels = tensor([1.0, 2.0, 2.0, 3.5, 0.0, 3.5, 7.0, 2.5])
    alpha = torch.rand(8, 8, generator=generator_of(1), dtype=DOUBLE)
    found = losses.supremix(
        vectors, labels, window=window, temperature=0.3, weight=weight, alpha=alpha
    )
    expected = mixed_by_hand(vectors, labels, alpha, window, 0.3, factor)
    torch.testing.assert_close(found, expected)
    for mine, hand in zip(
        torch.autograd.grad(found.sum(), vectors),
        torch.autograd.grad(expected.sum(), vectors),
        strict=True,
    ):
        torch.testing.assert_close(mine, hand)


def test_sampled_mixtures_stand_for_all():
    vectors = normalize(torch.randn(60, 5, generator=generator_of(0), dtype=DOUBLE), dim=1)
    labels = torch.randint(0, 12, (60,), generator=generator_of(1)).to(DOUBLE)
    alpha = torch.full((60, 60), 0.2, dtype=DOUBLE)
    options = {"window": 6.0, "temperature": 0.5, "alpha": alpha}
    full = losses.supremix(vectors, labels, **options)
    for seed in (0, 1, None):
        generator = None if seed is None else generator_of(seed)
        few = losses.supremix(
            vectors, labels, max_positive_mixtures=100, generator=generator, **options
        )
        assert float((few - full).abs().mean() / full.mean()) < 0.02
        assert not bool((few == full).all())


class Largest(TorchDispatchMode):
    """Watches how many numbers the largest tensor had."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.numbers = max(self.numbers, result.numel())
        return result


@pytest.mark.slow
def test_supremix_needs_no_cubic_memory():
    vectors = normalize(torch.randn(90, 5, generator=generator_of(0)), dim=1).requires_grad_()
    loss = losses.SupReMix(window=50.0, max_positive_mixtures=64)
    with Largest() as seen:
        loss(vectors, torch.arange(90.0), generator=generator_of(0)).sum().backward()
    assert seen.numbers <= 90 * (2 * 90 + 64)


def test_supremix_draws_from_its_generator():
    vectors, labels = torch.eye(6), torch.arange(6.0)
    loss = losses.SupReMix(window=3.0)
    one, two, other = (loss(vectors, labels, generator=generator_of(s)) for s in (0, 0, 1))
    assert bool((one == two).all())
    assert not bool((one == other).all())
    assert loss(torch.zeros(0, 2), torch.zeros(0), generator=generator_of(0)).shape == (0,)


# pairs


@pytest.mark.shared
@pytest.mark.parametrize("temperature", [10, 2])
def test_coupled_is_gold(shared, temperature):
    case = gold(shared, "CET", f"coupled_weights_T{temperature}")
    inputs, expected = case["inputs"], case["expected"]
    scores = [tensor(inputs[name]) for name in ("R_pos", "R_neg", "S_pos", "S_neg")]
    found = losses.coupled_pairwise(*scores, temperature=inputs["T"], normalise=False)
    close(found.weight_relevance, expected["weight_for_R"])
    close(found.weight_selection, expected["weight_for_S"])
    close(found.relevance / found.weight_relevance, expected["pair_loss_R"])
    close(found.selection / found.weight_selection, expected["pair_loss_S"])
    close(found.relevance.mean(), expected["loss_R"])
    close(found.selection.mean(), expected["loss_S"])


@pytest.mark.shared
def test_coupled_mean_weight_is_gold(shared):
    case = gold(shared, "CET", "mean_normalised_weight")
    scores = tensor(case["inputs"]["S_neg"])
    found = losses.coupled_pairwise(*[scores] * 4, temperature=case["inputs"]["T"])
    close(found.weight_relevance, case["expected"]["weight"])


def test_coupled_weights_are_bounded_and_each_loss_reaches_its_own_scorer():
    scores = [tensor([1.0, 500.0]).requires_grad_() for _ in range(4)]
    found = losses.coupled_pairwise(*scores, temperature=0.5, clip=20.0, normalise=False)
    close(found.weight_relevance, [1 + math.exp(2.0), 20.0])
    found.relevance.sum().backward()
    assert scores[0].grad is not None
    assert scores[2].grad is None
    assert scores[3].grad is None
    assert not found.weight_relevance.requires_grad
    mean = losses.coupled_pairwise(*scores, temperature=0.5).weight_selection.mean()
    assert math.isclose(float(mean), 1.0, rel_tol=1e-6)


def test_matryoshka_is_a_weighted_sum_over_prefixes():
    vectors = torch.arange(8.0).reshape(2, 4)
    found = losses.matryoshka(
        lambda one: one.sum(1), [vectors], dims=(4, 3, 1), weights=(1.0, 0.5, 2.0)
    )
    assert found.tolist() == [6 + 1.5 + 0, 22 + 7.5 + 8]
    wrapper = losses.Matryoshka(loss=losses.InfoNCE(), dims=(4, 2), weights=(1, 0.5))
    assert wrapper.weight_of_dims == (1.0, 0.5)


ONE = torch.tensor([0])
ROW, KNOWN = torch.zeros(1, 3), torch.tensor([[True, False, False]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.NoisyNegative(flip=1), r"`flip` is 1, but it must be <= 0\.999"),
        (lambda: losses.NoisyNegative(bias=math.inf), r"`bias` is inf"),
        (
            lambda: losses.noisy_negative(ROW, ONE, flip=1.0),
            r"`flip` is 1\.0, but it must lie in \[0, 1\)",
        ),
        (
            lambda: posterior_false_negative(ROW, -0.1),
            r"`flip` is -0\.1, but it must lie in \[0, 1\]",
        ),
        (lambda: losses.noisy_negative(ROW, ONE, temperature=0), r"`temperature` is 0"),
        (lambda: losses.Sigmoid(temperature=0), r"`temperature` is 0, but it must be > 0"),
        (lambda: losses.SupervisedContrastive(temperature=-1), r"`temperature` is -1"),
        (lambda: losses.LeaveOneOutKNN(k=0), r"`k` is 0, but it must be a whole number >= 1"),
        (lambda: losses.nearest(ROW, KNOWN, k=0), r"`k` is 0"),
        (lambda: losses.Triplet(mining="semi"), r"one of hardest, all, semi_hard.*'semi_hard'"),
        (lambda: losses.Triplet(distance="l2"), r"`distance` is 'l2'"),
        (lambda: losses.Triplet(margin=5), r"`margin` is 5, but it must be <= 2"),
        (lambda: losses.CoSENT(temperature=0), r"`temperature` is 0"),
        (lambda: losses.PositiveUnlabelled(gamma=-1), r"`gamma` is -1"),
        (lambda: losses.PositiveUnlabelled(alpha=0), r"`alpha` is 0"),
        (lambda: losses.PositiveUnlabelled(floor=0), r"`floor` is 0"),
        (lambda: losses.GateAndCorrect(sharpen=0), r"`sharpen` is 0"),
        (lambda: losses.GateAndCorrect(confidence=2), r"`confidence` is 2"),
        (lambda: losses.GateAndCorrect(threshold=math.nan), r"`threshold` is nan"),
        (lambda: losses.NormRatio(weight=-1), r"`weight` is -1"),
        (lambda: losses.norm_ratio(ROW, ROW, floor=0), r"`floor` is 0"),
        (
            lambda: losses.norm_ratio(torch.eye(3), torch.eye(3)),
            r"not all vectors may be of length 1.*Give the raw vectors",
        ),
        (lambda: losses.directional_score(ROW, ROW, reject=math.nan), r"`reject` is nan"),
        (lambda: losses.SupReMix(window=0), r"`window` is 0"),
        (lambda: losses.SupReMix(window=1, beta=(0, 8)), r"`beta` is 0"),
        (lambda: losses.SupReMix(window=1, weight="l1"), r"`weight` is 'l1'"),
        (lambda: losses.SupReMix(window=1, max_positive_mixtures=0), r"`max_positive_mixtures`"),
        (
            lambda: losses.supremix(torch.eye(2), torch.tensor([0.0, math.nan]), window=1),
            r"`labels` is \[0\.0, nan\], but all must be finite",
        ),
        (
            lambda: losses.supremix(torch.eye(2), torch.zeros(2), window=1),
            r"`generator` is None, but it is needed to draw mixtures",
        ),
        (lambda: losses.Coupled(temperature=0), r"`temperature` is 0"),
        (lambda: losses.Coupled(clip=1), r"`clip` is 1, but it must be > 1"),
        (
            lambda: losses.coupled_pairwise(*[torch.zeros(0)] * 4),
            r"`rel_pos` is \(0,\), but it must not be empty",
        ),
        (lambda: losses.Matryoshka(loss=losses.InfoNCE), r"it must be a loss of rows of scores"),
        (lambda: losses.Matryoshka(loss=losses.InfoNCE(), dims=()), r"`dims` is \(\)"),
        (
            lambda: losses.Matryoshka(loss=losses.InfoNCE(), dims=(2, 4)),
            r"`dims` is \(2, 4\), but each must be smaller than the one before",
        ),
        (lambda: losses.Matryoshka(loss=losses.InfoNCE(), dims=(2, 0)), r"`dims` is 0"),
        (
            lambda: losses.Matryoshka(loss=losses.InfoNCE(), dims=(2,), weights=(1.0, 2.0)),
            r"`weights` is \(1\.0, 2\.0\), but there must be one per prefix, 1",
        ),
        (
            lambda: losses.Matryoshka(loss=losses.InfoNCE(), dims=(2,), weights=(-1.0,)),
            r"`weights` is -1\.0",
        ),
        (
            lambda: list(losses.prefixes(ROW, (4,))),
            r"`dims` is \(4,\), but none may exceed the vectors' width, 3",
        ),
    ],
)
def test_wording(make, message):
    with pytest.raises(BadArgument, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: losses.supervised_contrastive(ROW, ONE, known=torch.ones(1, 2) > 0),
            r"`known` is \(1, 2\), but its shape must be \(1, 3\)",
        ),
        (
            lambda: losses.gate_and_correct(ROW, ONE, teacher=ROW, keep=torch.ones(2) > 0),
            r"`keep` is \(2,\), but there must be one per row, 1",
        ),
        (
            lambda: losses.norm_ratio(torch.ones(1, 3), torch.ones(2, 3)),
            r"`smaller` is \(2, 3\), but it must be \(1, 3\)",
        ),
        (
            lambda: losses.coupled_pairwise(*[torch.zeros(2)] * 3, torch.zeros(3)),
            r"`sel_neg` is \(3,\), but there must be one per pair, 2",
        ),
        (
            lambda: losses.supremix(torch.eye(2), torch.zeros(3), window=1),
            r"`labels` is \(3,\), but there must be one per row, 2",
        ),
        (
            lambda: losses.supremix(torch.eye(2), torch.zeros(2), window=1, alpha=torch.eye(3)),
            r"`alpha` is \(3, 3\), but it must be \(2, 2\)",
        ),
    ],
)
@pytest.mark.usefixtures("untyped")
def test_wording_of_shapes(make, message):
    with pytest.raises(BadArgument, match=message):
        make()
