"""Retrieval-side losses: gold numbers and nested loops. Laws stand in test_laws.py."""

import json
import math

import pytest
import torch

from workbench import losses
from workbench.errors import BadArgument
from workbench.types import Ramp, at_step

DOUBLE = torch.float64


@pytest.fixture
def gold(shared):
    """(inputs as tensors, expected as tensors, tolerance) of one case by method and name."""
    cases = json.loads((shared / "gold/retrieval.json").read_text())

    def read(values):
        return {
            name: torch.tensor(value, dtype=DOUBLE) if isinstance(value, list) else value
            for name, value in values.items()
        }

    def find(method, piece):
        (case,) = [c for c in cases if c["method"] == method and piece in c["case"]]
        return read(case["inputs"]), read(case["expected"]), case["tolerance"]

    return find


def unit(rows):
    return torch.nn.functional.normalize(rows, dim=-1)


def same(found, expected, tolerance=1e-12):
    expected = torch.as_tensor(expected, dtype=DOUBLE)
    torch.testing.assert_close(found.detach(), expected, rtol=0, atol=tolerance)


def drawn(seed, rows=4, columns=7):
    """Scores, positive, a weight of every kind, teacher with holes (never at the positive)."""
    generator = torch.Generator().manual_seed(seed)

    def uniform():
        return torch.rand(rows, columns, generator=generator, dtype=DOUBLE)

    scores, positive = uniform() * 2 - 1, torch.randint(columns, (rows,), generator=generator)
    weight = uniform()
    weight[uniform() < 0.3] = 0.0
    teacher = uniform() * 4 - 2
    holes = uniform() < 0.25
    holes[torch.arange(rows), positive] = False
    return scores, positive, weight, teacher.masked_fill(holes, torch.nan)


def softplus(value):
    return math.log1p(math.exp(value))


# --- hardness-weighted -------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize("on", ["in_batch", "hard", "all"])
@pytest.mark.parametrize("strength", [0, 5, 9])
def test_additive_hardness_is_gold(gold, on, strength):
    inputs, expected, tolerance = gold("PEG", "additive hardness penalty")
    to_positives = inputs["similarity_query_to_positives"]
    scores = torch.cat([to_positives, inputs["similarity_query_to_all_hard_negatives"]], dim=1)
    own = torch.eye(3, dtype=torch.bool)
    mined = torch.cat([torch.zeros(3, 3, dtype=torch.bool), own, own], dim=1)  # one's own
    temperature = inputs["temperature"]
    value = losses.hardness_weighted(
        scores, torch.arange(3), temperature=temperature, strength=strength, on=on, mined=mined
    )
    same(value.mean(), expected[f"{on}_negatives_strength_{strength}"], tolerance)


@pytest.mark.shared
@pytest.mark.parametrize("beta", [0, 2, 5])
def test_normalised_hardness_is_gold(gold, beta):
    inputs, expected, tolerance = gold("PEG", "row-normalised")
    scores = torch.cat([inputs["similarity"], inputs["hard_similarity"]], dim=1)
    value = losses.hardness_weighted(
        scores,
        torch.arange(3),
        temperature=inputs["temperature"],
        strength=beta,
        normalise=True,
    )
    same(value.mean(), expected[f"loss_beta_{beta}"], tolerance)


@pytest.mark.parametrize("on", ["all", "in_batch", "hard"])
@pytest.mark.parametrize("normalise", [False, True])
def test_hardness_by_brute_force(on, normalise):
    scores, positive, weight, teacher = drawn(1)
    mined = teacher.isnan()
    found = losses.hardness_weighted(
        scores, positive, temperature=0.3, strength=2.0, weight=weight, on=on,
        normalise=normalise, mined=mined,
    )  # fmt: skip
    for i, p in enumerate(positive.tolist()):
        others = [j for j in range(scores.shape[1]) if j != p]
        covered = [j for j in others if on == "all" or bool(mined[i, j]) == (on == "hard")]
        mean = 1.0
        if normalise and any(float(weight[i, j]) > 0 for j in covered):
            total = sum(float(weight[i, j]) for j in covered)
            mean = sum(float(weight[i, j]) * math.exp(2 * float(scores[i, j])) for j in covered)
            mean /= total
        rest = 0.0
        for j in others:
            factor = math.exp(2 * float(scores[i, j])) / mean if j in covered else 1.0
            rest += float(weight[i, j]) * factor * math.exp(float(scores[i, j]) / 0.3)
        top = math.exp(float(scores[i, p]) / 0.3)
        assert math.isclose(float(found[i]), math.log((top + rest) / top), rel_tol=1e-12)


@pytest.mark.parametrize("normalise", [False, True])
def test_strength_zero_is_info_nce(normalise):
    scores, positive, weight, _ = drawn(2)
    options = {"temperature": 0.07, "weight": weight}
    found = losses.hardness_weighted(scores, positive, strength=0, normalise=normalise, **options)
    same(found, losses.info_nce(scores, positive, **options).detach())


@pytest.mark.parametrize("normalise", [False, True])
def test_hardness_is_detached(normalise):
    """Its gradient is that of InfoNCE whose weights are given as constants."""
    scores, positive, _, _ = drawn(3)
    scores.requires_grad_()
    value = losses.hardness_weighted(
        scores, positive, temperature=0.3, strength=2.0, normalise=normalise
    )
    (found,) = torch.autograd.grad(value.sum(), scores)
    factor = (2.0 * scores.detach()).exp()
    if normalise:
        own = torch.nn.functional.one_hot(positive, scores.shape[1]).bool()
        factor = factor / (factor.masked_fill(own, 0).sum(1, keepdim=True) / (len(scores[0]) - 1))
    plain = losses.info_nce(scores, positive, temperature=0.3, weight=factor)
    (expected,) = torch.autograd.grad(plain.sum(), scores)
    torch.testing.assert_close(found, expected)


def test_hardness_of_blocks_and_ramps():
    blocks = ("ap", "aa", "pp", "pa", "an", "queue", "bank", "shared")
    covered = {
        on: [block for block in blocks if losses.HardnessWeighted(on=on).hardness(block) == 5.0]
        for on in ("all", "in_batch", "hard")
    }
    assert covered["all"] == list(blocks)
    assert covered["hard"] == ["an"]
    assert covered["in_batch"] == [block for block in blocks if block != "an"]
    ramped = losses.HardnessWeighted(strength=Ramp(end=9.0, last=10))
    assert at_step(ramped, 5).hardness("ap") == 4.5
    assert losses.HardnessWeighted().streams
    assert not losses.HardnessWeighted(normalise=True).streams
    for call in (lambda: ramped.hardness("ap"), lambda: ramped(torch.eye(2), torch.arange(2))):
        with pytest.raises(BadArgument, match=r"must be a number when the loss is called.*at_step"):
            call()


# --- STAR ----------------------------------------------------------------------------------------


@pytest.mark.shared
def test_star_is_gold(gold):
    inputs, expected, tolerance = gold("STAR", "static hard negative")
    scores = inputs["query"] @ torch.cat([inputs["positive"], inputs["hard_negative"]]).T
    positive = torch.arange(3)
    weight = torch.cat([inputs["random_negative_mask"], inputs["hard_negative_mask"]], dim=1)
    same(losses.star(scores, positive, weight=weight).mean(), expected["loss"], tolerance)
    whole = losses.star(scores, positive).mean()
    same(whole, expected["loss_without_label_masks"], tolerance)
    random = losses.star(scores[:, :3], positive, weight=weight[:, :3]).mean()
    same(random, expected["loss_random_negatives_only"], tolerance)


def test_star_by_brute_force():
    scores, positive, weight, _ = drawn(4)
    found = losses.star(scores, positive, temperature=0.4, weight=weight)
    total, cells = 0.0, 0.0
    for i, p in enumerate(positive.tolist()):
        for j in range(scores.shape[1]):
            if j != p:
                gap = float(scores[i, j] - scores[i, p]) / 0.4
                total += float(weight[i, j]) * softplus(gap)
                cells += float(weight[i, j])
    assert math.isclose(float(found.mean()), total / cells, rel_tol=1e-12)


def test_star_of_more_cells_than_half_precision_counts():
    """66,049 cells overflow a sum in float16; the divisor must not become infinite."""
    value = losses.star(torch.zeros(257, 258, dtype=torch.float16), torch.arange(257))
    assert abs(float(value.mean()) - math.log(2)) < 0.01


# --- ADORE ---------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize("piece", ["relevant document at", "document missed", "metric_cut=None"])
def test_adore_is_gold(gold, piece):
    inputs, expected, tolerance = gold("ADORE", piece)
    retrieved, (relevant,) = inputs["retrieved_ids"].long(), inputs["relevant_ids"].long().tolist()
    if relevant not in retrieved:
        retrieved = torch.cat([retrieved, torch.tensor([relevant])])
    query = inputs["query"].requires_grad_()
    scores = (inputs["documents"][retrieved] @ query)[None]
    known = (retrieved == relevant)[None]
    positive = known.long().argmax(dim=1)
    value = losses.adore(scores, positive, known=known, cut=inputs["metric_cut"])
    same(value[0], expected.get("loss", expected.get("sensible_loss_without_cut")), tolerance)
    if "grad_query" in expected:
        (gradient,) = torch.autograd.grad(value.sum(), query)
        same(gradient, expected["grad_query"], tolerance)


@pytest.mark.shared
def test_adore_rank_weights_are_gold(gold):
    inputs, expected, tolerance = gold("ADORE", "LambdaMRR pair weights")
    scores, every = torch.arange(5.0, 0, -1)[None].to(DOUBLE), torch.ones(1, 5, dtype=torch.bool)
    place = inputs["rank_positive"] - 1
    known = torch.arange(5)[None] == place
    ranks = losses.reciprocal_ranks(scores, known, every)[0]
    others = torch.arange(5) != place
    same((ranks[place] - ranks[others]).abs(), expected["weights_hit"], tolerance)
    longer, last = torch.arange(6.0, 0, -1)[None].to(DOUBLE), torch.arange(6)[None] == 5
    missed = losses.reciprocal_ranks(longer, last, torch.ones(1, 6, dtype=torch.bool), cut=5)[0]
    same((missed[5] - missed[:5]).abs(), expected["weights_miss"], tolerance)


@pytest.mark.parametrize("cut", [None, 3])
def test_adore_by_brute_force(cut):
    scores, positive, weight, teacher = drawn(5)
    known = teacher.isnan()  # any mask; several known positives in a row
    known[torch.arange(4), positive] = True
    found = losses.adore(scores, positive, known=known, cut=cut, temperature=0.4, weight=weight)
    for i in range(4):
        counting = [j for j in range(7) if known[i, j] or weight[i, j] > 0]
        ranked = sorted(counting, key=lambda j: -float(scores[i, j]))
        inverse = {
            j: 0.0 if cut is not None and rank > cut else 1 / rank
            for rank, j in enumerate(ranked, start=1)
        }
        total, pairs = 0.0, 0.0
        for p in counting:
            for j in counting:
                if known[i, p] and not known[i, j]:
                    gap = float(scores[i, j] - scores[i, p]) / 0.4
                    total += float(weight[i, j]) * abs(inverse[p] - inverse[j]) * softplus(gap)
                    pairs += float(weight[i, j])
        assert math.isclose(float(found[i]), total / pairs if pairs else 0.0, rel_tol=1e-12)


def test_adore_ranks_a_tied_positive_last():
    """A duplicate of the positive ties with it: it must not escape with a rank weight of 0."""
    scores = torch.tensor([[0.5, 0.5, 0.9]])
    ranks = losses.reciprocal_ranks(
        scores, torch.tensor([[True, False, False]]), torch.ones(1, 3, dtype=torch.bool)
    )
    torch.testing.assert_close(ranks, torch.tensor([[1 / 3, 1 / 2, 1.0]]))


# --- distillation -------------------------------------------------------------------------------


@pytest.mark.shared
def test_dual_margin_mse_is_gold(gold):
    inputs, expected, tolerance = gold("TAS-Balanced", "dual supervision")
    scores = inputs["query"] @ torch.cat([inputs["positive"], inputs["negative"]]).T
    positive, own = torch.arange(3), torch.eye(3, dtype=torch.bool)
    pairs = [inputs[f"pair_teacher_{name}"] for name in ("positive", "negative")]
    teacher = torch.cat([torch.where(own, pair[:, None], torch.nan) for pair in pairs], dim=1)
    batch = [inputs[f"in_batch_teacher_{name}_docs"] for name in ("positive", "negative")]
    batch = torch.cat(batch, dim=1)
    pair = losses.margin_mse(scores, positive, teacher=teacher).mean()
    same(pair, expected["pair_loss"], tolerance)
    both = losses.dual_margin_mse(
        scores,
        positive,
        teacher=teacher,
        in_batch_teacher=batch,
        in_batch_weight=inputs["in_batch_weight"],
    ).mean()
    same(both, expected["total"], tolerance)
    same((both - pair) / inputs["in_batch_weight"], expected["in_batch_loss"], tolerance)


def test_margin_mse_by_brute_force():
    scores, positive, weight, teacher = drawn(6)
    batch = drawn(7)[3]
    batch[torch.arange(4), positive] = 0.3
    pair = losses.margin_mse(scores, positive, teacher=teacher, weight=weight)
    dual = losses.dual_margin_mse(
        scores, positive, teacher=teacher, in_batch_teacher=batch, weight=weight
    )
    for i, p in enumerate(positive.tolist()):
        sums = {"own": [0.0, 0.0], "batch": [0.0, 0.0]}
        for j in range(scores.shape[1]):
            known = not math.isnan(float(teacher[i, j]))
            source = teacher if known else batch
            if j == p or math.isnan(float(source[i, j])):
                continue
            wanted = float(source[i, p] - source[i, j])
            gap = float(scores[i, p] - scores[i, j]) - wanted
            sums["own" if known else "batch"][0] += float(weight[i, j]) * gap**2
            sums["own" if known else "batch"][1] += float(weight[i, j])
        own, rest = (top / below if below else 0.0 for top, below in sums.values())
        assert math.isclose(float(pair[i]), own, rel_tol=1e-12)
        assert math.isclose(float(dual[i]), own + 0.75 * rest, rel_tol=1e-12)


def test_a_teacher_that_does_not_know_the_positive_teaches_no_margin():
    scores = torch.tensor([[0.9, 0.1, 0.2]], requires_grad=True)
    teacher = torch.tensor([[torch.nan, 0.1, 0.2]])
    value = losses.margin_mse(scores, torch.tensor([0]), teacher=teacher)
    value = value + losses.list_distill(scores, torch.tensor([0]), teacher=teacher)
    value = value + losses.adversarial(scores, torch.tensor([0]), teacher=teacher)
    value.sum().backward()
    assert float(value.detach()) == 0.0
    assert float(scores.grad.abs().max()) == 0.0


@pytest.fixture
def embedder(gold):
    """Scores of 2 queries against both groups of 3 keys, teacher of the own group, expected."""

    def find(temperature):
        inputs, expected, tolerance = gold("LLM-Embedder", f"tau={temperature},")
        scores = unit(inputs["query_raw"]) @ unit(inputs["keys_raw"]).T
        teacher = torch.full((2, 6), torch.nan, dtype=DOUBLE)
        for row in range(2):
            teacher[row, 3 * row : 3 * row + 3] = inputs["teacher_scores"][row]
        return scores, torch.tensor([0, 3]), teacher, expected, tolerance

    return find


@pytest.mark.shared
@pytest.mark.parametrize("temperature", [0.1, 0.01])
def test_llm_embedder_is_gold(embedder, temperature):
    scores, positive, teacher, expected, tolerance = embedder(temperature)
    options = {"temperature": temperature, "teacher": teacher}
    stable = losses.list_distill(scores, positive, **options).mean()
    same(stable, expected["stable_distill_loss"], tolerance)
    mixed = losses.list_distill(scores, positive, contrastive=0.2, **options).mean()
    same(mixed, expected["contrastive_0_2_plus_stable"], tolerance)
    plain = losses.kl_distill(scores, positive, teacher_temperature=0.1, **options).mean()
    same(plain, expected["kl_distill_loss_teacher_temperature_0_1"], tolerance)
    contrast = losses.info_nce(scores, positive, temperature=temperature).mean()
    same(contrast, expected["contrastive_loss"], tolerance)


@pytest.mark.parametrize("temperature", [0.3, 0.005])
def test_list_distill_by_brute_force(temperature):
    scores, positive, weight, teacher = drawn(8)
    found = losses.list_distill(
        scores, positive, teacher=teacher, temperature=temperature, teacher_temperature=0.7,
        contrastive=0.2, weight=weight,
    )  # fmt: skip
    for i, p in enumerate(positive.tolist()):
        trust = [1.0 if j == p else float(weight[i, j]) for j in range(7)]
        kept = [j for j in range(7) if trust[j] > 0]
        grades = {j: float(teacher[i, j]) for j in kept if not math.isnan(float(teacher[i, j]))}
        mass = {j: trust[j] * math.exp(grade / 0.7) for j, grade in grades.items()}
        logit = {j: math.log(trust[j]) + float(scores[i, j]) / temperature for j in kept}
        peak = max(logit.values())
        expected = 0.0
        for k, grade in grades.items():
            below = [j for j in kept if j not in grades or grades[j] <= grade]
            total = sum(math.exp(logit[j] - peak) for j in below)
            price = peak + (math.log(total) if total else -math.inf) - logit[k]
            expected += mass[k] / sum(mass.values()) * price
        whole = peak + math.log(sum(math.exp(value - peak) for value in logit.values()))
        expected += 0.2 * (whole - logit[p])
        assert math.isclose(float(found[i]), expected, rel_tol=1e-10)


def test_kl_distill_by_brute_force():
    scores, positive, weight, teacher = drawn(9)
    options = {"teacher": teacher, "temperature": 0.3, "teacher_temperature": 0.7}
    found = losses.kl_distill(scores, positive, weight=weight, **options)
    scaled = losses.kl_distill(scores, positive, weight=weight, rescale=True, **options)
    same(scaled, found * 0.09)
    for i, p in enumerate(positive.tolist()):
        listed = [
            (j, 1.0 if j == p else float(weight[i, j]))
            for j in range(7)
            if not math.isnan(float(teacher[i, j])) and (j == p or float(weight[i, j]) > 0)
        ]
        wanted = [trust * math.exp(float(teacher[i, j]) / 0.7) for j, trust in listed]
        given = [trust * math.exp(float(scores[i, j]) / 0.3) for j, trust in listed]
        expected = sum(
            w / sum(wanted) * math.log(w / sum(wanted) / (g / sum(given)))
            for w, g in zip(wanted, given, strict=True)
        )
        assert math.isclose(float(found[i]), expected, rel_tol=1e-10, abs_tol=1e-14)


def test_two_equal_lists_are_at_distance_zero():
    """A released form feeds probabilities where logarithms belong: -1.72 for equal lists."""
    scores = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    positive = torch.zeros(4, dtype=torch.long)
    value = losses.kl_distill(scores, positive, teacher=scores, temperature=1.0)
    same(value, torch.zeros(4), 1e-12)
    shifted = losses.kl_distill(scores, positive, teacher=scores + 3, temperature=1.0)
    same(shifted, torch.zeros(4), 1e-12)


# --- AR2 -----------------------------------------------------------------------------------------


def coded_parts(scores, ranker, eps):
    """The released retriever block, restated: (imitation per row, adversarial part per row)."""
    p, target = scores.softmax(dim=1), ranker.softmax(dim=1)
    rewards = ((ranker[:, :1] - ranker).sigmoid() + eps).log()
    log_p = (p + eps).log()
    return -(target * log_p).sum(1), (rewards * log_p).sum(1), rewards


@pytest.mark.shared
def test_ar2_is_gold(gold):
    """Gold numbers carry the released eps of 1e-7; ours has none and equals the rest exactly."""
    inputs, expected, tolerance = gold("AR2", "retriever step and ranker step")
    query, ranker = inputs["query"].requires_grad_(), inputs["ranker_logits"]
    scores = torch.einsum("qd,qgd->qg", query, inputs["group_documents"])
    positive, lam = torch.zeros(2, dtype=torch.long), inputs["adv_lambda"]
    imitation, fooling, rewards = coded_parts(scores, ranker, inputs["eps"])
    same(rewards, expected["reward_matrix"], tolerance)
    same(imitation.mean(), expected["retriever_distill_loss_mean_over_questions"], tolerance)
    same(fooling.sum(), expected["retriever_adversarial_loss_sum_over_questions"], tolerance)
    released = (1 - lam) * imitation.mean() + lam * fooling.sum()
    same(released, expected["retriever_total"], tolerance)

    imitation, fooling, rewards = coded_parts(scores, ranker, 0.0)
    same(losses.ar2_rewards(ranker, positive), rewards)
    options = {"teacher": ranker, "form": "code"}
    same(losses.adversarial(scores, positive, lam=0.0, **options), imitation.detach())
    same(losses.adversarial(scores, positive, lam=1.0, **options), fooling.detach())
    ours = [losses.adversarial(scores, positive, lam=one, **options) for one in (0.0, 1.0)]
    total = (1 - lam) * ours[0].mean() + lam * ours[1].sum()  # the released reductions
    (gradient,) = torch.autograd.grad(total, query)
    same(gradient, expected["retriever_grad_query"], 1e-6)  # eps again
    same(losses.ranker_loss(ranker, positive).mean(), expected["ranker_loss"], tolerance)


@pytest.mark.shared
def test_ar2_stationary_point_is_gold(gold):
    """The coded adversarial part has no gradient where p_j = |R_j| / sum |R|."""
    inputs, expected, tolerance = gold("AR2", "stationary point")
    ranker, positive = inputs["ranker_logits"], torch.tensor([0])
    same(losses.ar2_rewards(ranker, positive), expected["rewards"], tolerance)
    rewards = losses.ar2_rewards(ranker, positive).abs()
    rest = rewards / rewards.sum()
    same(rest, expected["stationary_p"], tolerance)
    scores = rest.log().requires_grad_()
    value = losses.adversarial(scores, positive, teacher=ranker, lam=1.0, form="code")
    (gradient,) = torch.autograd.grad(value.sum(), scores)
    same(gradient, torch.zeros(1, 4))


def test_ar2_paper_form_by_brute_force():
    scores, positive, weight, teacher = drawn(10)
    found = losses.adversarial(
        scores, positive, teacher=teacher, temperature=0.5, lam=0.3, weight=weight
    )
    for i, p in enumerate(positive.tolist()):
        trust = [1.0 if j == p else float(weight[i, j]) for j in range(7)]
        group = [j for j in range(7) if trust[j] > 0 and not math.isnan(float(teacher[i, j]))]
        mass = {j: trust[j] * math.exp(float(scores[i, j]) / 0.5) for j in group}
        aim = {j: trust[j] * math.exp(float(teacher[i, j])) for j in group}
        fools = sum(mass[j] for j in group if j != p)
        imitation, fooling = 0.0, 0.0
        for j in group:
            imitation -= aim[j] / sum(aim.values()) * math.log(mass[j] / sum(mass.values()))
            if j != p:
                reward = -softplus(float(teacher[i, j] - teacher[i, p]))
                fooling += mass[j] / fools * reward
        expected = 0.7 * imitation + 0.3 * fooling if len(group) > 1 else 0.0
        assert math.isclose(float(found[i]), expected, rel_tol=1e-12)


def test_ar2_paper_gradient_is_equation_10():
    """sum_j p_j R_j d log p_j over the negatives, p and R constants."""
    scores, positive, _, _ = drawn(11)
    ranker = drawn(12)[3].nan_to_num(0.5)
    scores.requires_grad_()
    value = losses.adversarial(scores, positive, teacher=ranker, lam=1.0)
    (found,) = torch.autograd.grad(value.sum(), scores)
    own = torch.nn.functional.one_hot(positive, 7).bool()
    log_p = scores.masked_fill(own, -torch.inf).log_softmax(dim=1).masked_fill(own, 0.0)
    p = log_p.detach().exp().masked_fill(own, 0.0)
    surrogate = (p * losses.ar2_rewards(ranker, positive) * log_p).sum()
    (expected,) = torch.autograd.grad(surrogate, scores)
    torch.testing.assert_close(found, expected)


def test_ar2_keeps_the_models_apart():
    """No gradient into the ranker in the retriever's step."""
    ranker = torch.tensor([[2.0, 3.0, 0.0]], requires_grad=True)
    scores = torch.tensor([[1.0, 0.5, 0.0]], requires_grad=True)
    for form in ("paper", "code"):
        value = losses.adversarial(scores, torch.tensor([0]), teacher=ranker, form=form)
        value.sum().backward()
    assert scores.grad is not None
    assert ranker.grad is None
    for loss in (losses.margin_mse, losses.kl_distill, losses.list_distill):
        assert loss(scores.detach(), torch.tensor([0]), teacher=ranker).requires_grad is False


def test_ranker_loss_is_cross_entropy_of_the_group():
    _, positive, weight, ranker = drawn(13)
    ranker.requires_grad_()
    value = losses.ranker_loss(ranker, positive, weight=(weight > 0).to(DOUBLE))
    own = torch.nn.functional.one_hot(positive, 7).bool()
    gone = ranker.isnan() | ((weight == 0) & ~own)
    expected = torch.nn.functional.cross_entropy(
        ranker.detach().masked_fill(gone, -torch.inf), positive, reduction="none"
    )
    torch.testing.assert_close(value.detach(), expected)
    value.sum().backward()
    assert bool(ranker.grad.isfinite().all())
    assert float(ranker.grad[gone].abs().max()) == 0.0
    with pytest.raises(BadArgument, match=r"`scores` is .*it must be finite everywhere"):
        losses.ranker_loss(torch.tensor([[torch.nan, 1.0]]), torch.tensor([0]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.HardnessWeighted(temperature=0), r"`temperature` is 0, but it must be > 0"),
        (lambda: losses.HardnessWeighted(strength=-1), r"`strength` is -1, but it must be >= 0"),
        (lambda: losses.HardnessWeighted(strength=Ramp(end=-2.0, last=5)), r"`strength` is -2\.0"),
        (
            lambda: losses.HardnessWeighted(on="hard")(torch.eye(2), torch.arange(2)),
            r"`mined` is None, but with on='hard' it must be a mask of shape \(2, 2\)",
        ),
        (lambda: losses.Star(temperature=-1.0), r"`temperature` is -1\.0"),
        (lambda: losses.Adore(cut=0), r"`cut` is 0, .*or None for all ranks"),
        (lambda: losses.Adore(temperature=0), r"`temperature` is 0"),
        (lambda: losses.DualMarginMSE(in_batch_weight=-1), r"`in_batch_weight` is -1"),
        (lambda: losses.KLDistill(temperature=0), r"`temperature` is 0"),
        (lambda: losses.KLDistill(teacher_temperature=0), r"`teacher_temperature` is 0"),
        (lambda: losses.ListDistill(temperature=0), r"`temperature` is 0"),
        (lambda: losses.ListDistill(teacher_temperature=0), r"`teacher_temperature` is 0"),
        (lambda: losses.ListDistill(contrastive=-0.1), r"`contrastive` is -0\.1"),
        (lambda: losses.Adversarial(lam=1.5), r"`lam` is 1\.5, but it must be <= 1"),
        (lambda: losses.Adversarial(temperature=0), r"`temperature` is 0"),
        (lambda: losses.Adversarial(teacher_temperature=0), r"`teacher_temperature` is 0"),
    ],
)
def test_wording(make, message):
    with pytest.raises(BadArgument, match=message):
        make()
