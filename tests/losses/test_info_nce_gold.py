"""InfoNCE against the gold numbers of methods that only choose its candidates and options."""

import json

import pytest
import torch

from workbench import losses

DOUBLE = torch.float64
pytestmark = pytest.mark.shared


@pytest.fixture
def gold(shared):
    """(inputs as tensors, expected, tolerance) of one case by method and a piece of its name."""
    cases = json.loads((shared / "gold/retrieval.json").read_text())

    def find(method, piece):
        (case,) = [c for c in cases if c["method"] == method and piece in c["case"]]
        inputs = {
            name: torch.tensor(value, dtype=DOUBLE) if isinstance(value, list) else value
            for name, value in case["inputs"].items()
        }
        return inputs, case["expected"], case["tolerance"]

    return find


def unit(rows):
    return torch.nn.functional.normalize(rows, dim=-1)


def same(found, expected, tolerance):
    expected = torch.as_tensor(expected, dtype=DOUBLE)
    torch.testing.assert_close(found.detach(), expected, rtol=0, atol=tolerance)


def test_sea_kgc_is_a_margin_shared_columns_and_masks(gold):
    inputs, expected, tolerance = gold("SEA-KGC", "shared by the whole batch")
    heads, tails = unit(inputs["hr_raw"]), unit(inputs["tail_raw"])
    scores = torch.cat([heads @ tails.T, heads @ unit(inputs["shared_random_entities_raw"]).T], 1)
    inside = inputs["in_batch_keep_mask"]
    weight = torch.cat([inside, inputs["shared_keep_mask"]], 1)
    positive = torch.arange(3)
    loss = losses.InfoNCE(temperature=inputs["temperature"], margin=inputs["additive_margin"])
    forward = loss(scores, positive, weight=weight).mean()
    same(forward, expected["forward_loss"], tolerance)
    backward = loss((heads @ tails.T).T, positive, weight=inside.T).mean()
    same(forward + backward, expected["forward_plus_backward"], tolerance)
    same(loss(scores, positive).mean(), expected["forward_loss_without_masks"], tolerance)
    alone = loss(scores[:, :3], positive, weight=inside).mean()
    same(alone, expected["forward_loss_without_shared_negatives"], tolerance)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_sample4geo_smooths_labels_in_both_directions(gold, smoothing):
    inputs, expected, tolerance = gold("Sample4Geo", "label smoothing")
    scores = unit(inputs["query_raw"]) @ unit(inputs["reference_raw"]).T
    loss = losses.InfoNCE(temperature=1 / inputs["logit_scale"], label_smoothing=smoothing)
    both = [loss(one, torch.arange(3)).mean() for one in (scores, scores.T)]
    same(sum(both) / 2, expected[f"loss_label_smoothing_{smoothing}"], tolerance)


def test_smoothing_over_dropped_candidates_is_smoothing_over_those_left(gold):
    """Label smoothing on columns masked with -inf gives inf in the released form."""
    inputs, _, _ = gold("Sample4Geo", "label smoothing")
    scores = unit(inputs["query_raw"]) @ unit(inputs["reference_raw"]).T
    weight = torch.ones(3, 3, dtype=DOUBLE)
    weight[:, 2] = 0
    found = losses.info_nce(scores, torch.tensor([0, 1, 1]), weight=weight, label_smoothing=0.1)
    expected = torch.nn.functional.cross_entropy(
        scores[:, :2] / 0.05, torch.tensor([0, 1, 1]), label_smoothing=0.1, reduction="none"
    )
    torch.testing.assert_close(found, expected)


def test_spn4cir_is_a_frozen_bank_of_columns(gold):
    inputs, expected, tolerance = gold("SPN4CIR", "frozen bank")
    trained = inputs["trainable_query_part"].requires_grad_()
    queries, bank = unit(inputs["frozen_query_part"] + trained), unit(inputs["bank_raw"])
    scores, positive = queries @ bank.T, inputs["target_index"].long()
    value = losses.info_nce(scores, positive, temperature=inputs["temperature"]).mean()
    same(value, expected["loss_full_bank"], tolerance)
    (gradient,) = torch.autograd.grad(value, trained, retain_graph=True)
    same(gradient, expected["grad_trainable_part"], tolerance)
    alone = losses.info_nce(scores[:, :2], positive, temperature=inputs["temperature"]).mean()
    same(alone, expected["loss_in_batch_targets_only"], tolerance)
    weight = torch.ones_like(scores)
    weight[0, 4] = 0  # a near-duplicate of the target of row 0
    kept = losses.info_nce(scores, positive, temperature=inputs["temperature"], weight=weight)
    same(kept.mean(), expected["loss_full_bank_duplicate_masked"], tolerance)


@pytest.mark.parametrize("scale", [1, 20])
def test_cocosoda_is_four_or_six_blocks_of_rows(gold, scale):
    """The released trainer multiplies logits already divided by 0.07 by 20: 0.0035, not 0.07."""
    inputs, expected, tolerance = gold("CoCoSoDa", "inter-modal blocks")
    side = {
        name: unit(value) for name, value in inputs.items() if name.endswith(("_q", "_k", "queue"))
    }
    temperature = inputs["moco_t"] / scale
    inter = [
        ("code_q", "nl_q", "nl_queue"),
        ("code_q", "nl_k", "masked_nl_queue"),
        ("nl_q", "code_q", "code_queue"),
        ("nl_q", "code_k", "masked_code_queue"),
    ]
    intra = [("code_q", "code_k", "masked_code_queue"), ("nl_q", "nl_k", "masked_nl_queue")]
    for blocks, name in ((inter, "inter_only"), (inter + intra, "inter_plus_intra")):
        values = [
            losses.info_nce(
                side[anchor] @ torch.cat([side[batch], side[queue]]).T,
                torch.arange(2),
                temperature=temperature,
            )
            for anchor, batch, queue in blocks
        ]
        same(torch.cat(values).mean(), expected[f"loss_{name}_scale{scale}"], tolerance)


def test_nv_embed_stages_are_choices_of_candidates(gold):
    inputs, expected, tolerance = gold("NV-Embed", "two-stage toggle")
    hard = inputs["hard_negatives_raw"]
    scores = (
        unit(inputs["query_raw"])
        @ torch.cat([unit(inputs["positive_raw"]), unit(hard.flatten(0, 1))]).T
    )
    own = torch.eye(3, dtype=DOUBLE)
    own_hard = own.repeat_interleave(hard.shape[1], dim=1)
    stages = {
        "stage1_all_batch_documents": (torch.ones(3, 3), torch.ones(3, 6)),
        "stage1_in_batch_positives_and_own_hard": (torch.ones(3, 3), own_hard),
        "stage2_own_hard_only": (own, own_hard),
    }
    for name, blocks in stages.items():
        weight = torch.cat([block.to(DOUBLE) for block in blocks], dim=1)
        value = losses.info_nce(
            scores, torch.arange(3), temperature=inputs["temperature"], weight=weight
        )
        same(value.mean(), expected[name], tolerance)


def test_mochi_adds_columns_of_constants(gold):
    inputs, expected, tolerance = gold("MoCHi", "queue of 5")
    queries = unit(inputs["query_raw"]).requires_grad_()
    keys, queue = unit(inputs["key_raw"]), unit(inputs["queue_raw"])
    mixed = torch.tensor(expected["h"], dtype=DOUBLE)  # s = 2 equal mixes: both of the two hardest
    with_query = torch.tensor(expected["g"], dtype=DOUBLE)

    def value(synthetic):
        real = torch.cat([(queries * keys).sum(1, keepdim=True), queries @ queue.T], dim=1)
        columns = [(queries * one).sum(1, keepdim=True) for one in synthetic]
        scores = torch.cat([real, *columns], dim=1)
        return losses.info_nce(
            scores, torch.zeros(2, dtype=torch.long), temperature=inputs["temperature"]
        ).mean()

    same(value([]), expected["moco_loss_without_mixing"], tolerance)
    found = value([mixed, mixed, with_query])
    same(found, expected["loss"], tolerance)
    (gradient,) = torch.autograd.grad(found, queries)
    same(gradient, expected["grad_wrt_normalized_query_detached"], tolerance)
