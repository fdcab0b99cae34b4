"""Blocks beyond the batch, mixes, explanations, ramps, trust: brute force, laws, planted facts."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import sparse

from workbench import losses, rules
from workbench.data.known import KnownPositives
from workbench.errors import BadArgument
from workbench.registry import get, names
from workbench.train import (
    Account,
    Bank,
    Columns,
    Contrast,
    Embedded,
    Hard,
    InBatch,
    Knowledge,
    Mixed,
    Queue,
    Shared,
    explain,
)
from workbench.train.candidates import check_candidates
from workbench.types import LossStore, Ramp

DOUBLE = torch.float64


def unit(rows, dim=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(rows, dim, generator=generator, dtype=DOUBLE)
    return torch.nn.functional.normalize(drawn, dim=1)


def graph(doc_groups, positives):
    """Queries stand alone; `positives` are (query, document group)."""
    count = max(query for query, _ in positives) + 1
    matrix = sparse.coo_array(
        (np.ones(len(positives), dtype=bool), np.array(positives).T),
        shape=(count, int(max(doc_groups)) + 1),
    )
    groups = np.array(doc_groups)
    return KnownPositives(
        query_groups=np.arange(count), doc_groups=groups, positives=matrix.tocsr()
    )


def knowledge_of(count=5, docs=40, seed=4, **options):
    """Row i's positive is document i; document 20 + i is its near duplicate."""
    doc_groups = np.arange(docs)
    doc_groups[20 : 20 + count] = np.arange(count)
    numbers = np.arange(count)
    grades = sparse.coo_array((np.ones(count), (numbers, numbers)), shape=(count, docs)).tocsr()
    return Knowledge(
        known=graph(doc_groups, [(i, i) for i in range(count)]),
        pairs=np.stack([numbers, numbers], axis=1),
        guide_queries=unit(count, seed=seed),
        guide_docs=unit(docs, seed=seed + 1),
        grades=grades,
        **options,
    )


def batch_of(count=5, hard=2, extra=None, grad=False):
    parts = [unit(count, seed=1), unit(count, seed=2), unit(count * hard, seed=3)]
    if grad:
        parts = [part.requires_grad_() for part in parts]
    negatives = np.arange(count * hard) + count
    return Embedded(
        anchors=parts[0],
        positives=parts[1],
        negatives=parts[2],
        queries=np.arange(count),
        docs=np.arange(count),
        negative_docs=negatives,
        owners=np.arange(count * hard) // hard,
        rows=np.arange(count),
        extra=extra or {},
    )


def queue_of(count, positions, seed=7):
    return Columns(
        vectors=unit(count, seed=seed), positions=np.array(positions), ages=np.arange(count)
    )


# -- blocks ---------------------------------------------------------------------------------------


def test_a_queue_loses_the_anchors_own_past_and_its_duplicates_by_position():
    """Document 1 is row 1's positive; 22 a near duplicate of row 2's; 30 belongs to nobody."""
    batch = batch_of(extra={"queue": queue_of(3, [1, 22, 30])})
    contrast = Contrast(candidates=[Queue(8)])
    weight = contrast.weights(batch, knowledge_of())["queue"]
    dropped = (weight == 0).nonzero().tolist()
    assert dropped == [[1, 0], [2, 1]]
    own = Contrast(candidates=[Queue(8)], protect="own").weights(batch, knowledge_of())["queue"]
    assert (own == 0).nonzero().tolist() == [[1, 0]]


def test_an_empty_queue_is_no_block():
    contrast = Contrast(candidates=[InBatch("ap"), Queue(8)])
    batch = batch_of()
    torch.testing.assert_close(contrast(batch), Contrast()(batch))


@pytest.mark.parametrize("chunk", [None, 2])
def test_every_block_by_brute_force(chunk):
    """Queue, shared and bank columns count like any other, each under rules and identity."""
    knowledge = knowledge_of(bank=unit(40, seed=9))
    extra = {"queue": queue_of(6, [0, 7, 22, 30, 31, 3]), "shared": queue_of(4, [2, 33, 34, 9], 8)}
    batch = batch_of(extra=extra)
    contrast = Contrast(
        loss=losses.InfoNCE(temperature=0.2),
        candidates=[InBatch("ap", "aa", "pp"), Hard(2), Queue(8), Shared(4), Bank()],
        rules=[rules.Guide(margin=0.3)],
        chunk=chunk,
    )
    weights = contrast.weights(batch, knowledge)
    assert set(weights) == {"ap", "aa", "pp", "an", "queue", "shared", "bank"}
    right = {
        "ap": batch.positives, "aa": batch.anchors, "pp": batch.positives, "an": batch.negatives,
        "queue": extra["queue"].vectors, "shared": extra["shared"].vectors, "bank": knowledge.bank,
    }  # fmt: skip
    expected = []
    for i in range(5):
        top = math.exp(float(batch.anchors[i] @ batch.positives[i]) / 0.2)
        rest = 0.0
        for name, weight in weights.items():
            left = batch.positives[i] if name == "pp" else batch.anchors[i]
            for j in range(weight.shape[1]):
                rest += float(weight[i, j]) * math.exp(float(left @ right[name][j]) / 0.2)
        expected.append(math.log(1 + rest / top))
    found = contrast(batch, knowledge)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=DOUBLE))


@pytest.mark.shared
def test_the_bank_by_gold_numbers(shared):
    """SPN4CIR's second stage: a near duplicate in the bank lifts the loss from .0496 to .3808."""
    import json

    cases = json.loads((shared / "gold/retrieval.json").read_text())
    (case,) = [c for c in cases if c["method"] == "SPN4CIR"]
    inputs = case["inputs"]
    frozen, trained = (
        torch.tensor(inputs[name], dtype=DOUBLE)
        for name in ("frozen_query_part", "trainable_query_part")
    )
    trained.requires_grad_()
    queries = torch.nn.functional.normalize(frozen + trained, dim=1)
    raw = torch.tensor(inputs["bank_raw"], dtype=DOUBLE)
    bank = torch.nn.functional.normalize(raw, dim=1)
    target = np.array(inputs["target_index"])

    def batch(groups):
        known = graph(groups, [(i, groups[t]) for i, t in enumerate(target)])
        knowledge = Knowledge(
            known=known, pairs=np.stack([np.arange(2), target], axis=1), bank=bank
        )
        embedded = Embedded(
            anchors=queries,
            positives=bank[target],
            negatives=bank[:0],
            queries=np.arange(2),
            docs=target,
            negative_docs=np.zeros(0, dtype=np.int64),
            owners=np.zeros(0, dtype=np.int64),
        )
        return embedded, knowledge

    contrast = Contrast(loss=losses.InfoNCE(temperature=inputs["temperature"]), candidates=[Bank()])
    plain = contrast(*batch(np.arange(5))).mean()
    duplicate = np.arange(5)
    duplicate[4] = duplicate[target[0]]
    masked = contrast(*batch(duplicate)).mean()
    expected = case["expected"]
    assert math.isclose(float(plain.detach()), expected["loss_full_bank"], abs_tol=1e-9)
    assert math.isclose(
        float(masked.detach()), expected["loss_full_bank_duplicate_masked"], abs_tol=1e-9
    )
    (gradient,) = torch.autograd.grad(plain, trained)
    wanted = torch.tensor(expected["grad_trainable_part"], dtype=DOUBLE)
    torch.testing.assert_close(gradient, wanted, rtol=1e-7, atol=1e-9)


# -- mixes ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_mixes_by_hand():
    """Each score is the anchor with the unit mix of its sources; the anchor never dominates."""
    batch = batch_of(count=4, hard=3)
    contrast = Contrast(candidates=[Hard(3), Mixed(2, pairs=5, with_anchor=4, seed=3)])
    table = contrast.table(batch.unit(), None)
    made = table.made
    assert made is not None
    vectors = {int(place): batch.negatives[k] for k, place in enumerate(batch.negative_docs)}
    for row in range(4):
        scores = batch.negatives @ batch.anchors[row]
        two = set(batch.negative_docs[scores.argsort(descending=True)[:2].numpy()].tolist())
        for column in range(9):
            one, other = made.sources[row, column].tolist()
            assert one in two
            if column < 5:
                assert {one, other} == two
                pieces = (vectors[one], vectors[other])
            else:
                assert other == -1
                pieces = (batch.anchors[row], vectors[one])
            # find the share that gives the score
            wanted = float(made.scores[row, column])
            gaps = [abs(float(mixed_score(batch.anchors[row], *pieces, a)) - wanted) for a in GRID]
            assert min(gaps) < 2e-3
            assert column < 5 or GRID[int(np.argmin(gaps))] <= 0.5 + 1e-3
    assert bool((made.weight == 1).all())


GRID = np.linspace(0, 1, 2001)


def mixed_score(anchor, one, other, share):
    mixed = share * one + (1 - share) * other
    return anchor @ (mixed / mixed.norm())


def test_mixes_push_the_anchor_and_nothing_else():
    batch = batch_of(grad=True)
    contrast = Contrast(candidates=[InBatch("ap"), Hard(2), Mixed(4, pairs=3, with_anchor=3)])
    table = contrast.table(batch.unit(), knowledge_of())
    table.made.scores.sum().backward()
    assert float(batch.anchors.grad.abs().sum()) > 0
    assert batch.positives.grad is None
    assert batch.negatives.grad is None
    # numerically: the mixes are constants even where the anchor itself is mixed in
    torch.manual_seed(0)
    base = batch.anchors.detach().clone()
    scores = table.made.scores.detach()
    direction = torch.zeros_like(base)
    direction[0, 1] = 1.0
    constants = torch.autograd.grad(
        contrast.table(batch.unit(), knowledge_of()).made.scores[0].sum(), batch.anchors
    )[0]
    assert scores.shape == (5, 6)
    assert float(constants[1:].abs().sum()) == 0.0


def test_dropped_negatives_are_never_mixed_and_few_are_not_invented():
    batch = batch_of()
    strict = Contrast(
        candidates=[Hard(2), Mixed(4, pairs=2, with_anchor=2)], rules=[rules.Guide(margin=2.0)]
    )
    knowledge = knowledge_of()
    assert float(strict.weights(batch, knowledge)["mixed"].sum()) == 0.0
    assert strict(batch, knowledge).tolist() == [0.0] * 5
    one_left = Contrast(candidates=[Hard(2, shared=False), Mixed(1, pairs=2, with_anchor=2)])
    weight = one_left.weights(batch)["mixed"]
    assert weight.tolist() == [[0.0, 0.0, 1.0, 1.0]] * 5


def test_mixing_starts_when_it_is_told_and_repeats_itself():
    batch = batch_of()
    late = Contrast(candidates=[InBatch("ap"), Mixed(2, pairs=2, with_anchor=1, start=3)])
    assert set(late.weights(batch, step=2)) == {"ap"}
    assert set(late.weights(batch, step=3)) == {"ap", "mixed"}
    torch.testing.assert_close(late(batch, step=3), late(batch, step=3), rtol=0, atol=0)
    assert not torch.equal(late(batch, step=3), late(batch, step=4))


def test_mixes_are_harder_than_what_they_are_made_of():
    """Gate of the dossier (mochi_hard): half of the mixes with the anchor beat the hardest."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda n: torch.nn.functional.normalize(torch.randn(n, 32, generator=generator), dim=1)  # noqa: E731
    queue = Columns(vectors=draw(2048), positions=np.arange(2048) + 100)
    batch = Embedded.of(draw(64), draw(64))
    batch = Embedded(**{**batch.__dict__, "extra": {"queue": queue}})
    contrast = Contrast(candidates=[Queue(2048), Mixed(64, pairs=32, with_anchor=16)])
    made = contrast.table(batch.unit(), None).made
    real = (batch.anchors @ queue.vectors.T).topk(64, dim=1).values
    pairs, anchored = made.scores[:, :32], made.scores[:, 32:]
    assert float(pairs.mean()) > float(real.mean())
    assert float((anchored > real[:, :1]).float().mean()) >= 0.5


# -- any loss, any composition --------------------------------------------------------------------

ROW_LOSSES = [name for name in names("loss") if name not in ("info_nce", "decoupled")]
RULES = [
    rules.Guide(margin=0.1), rules.Guide(margin=-0.2, relative=True), rules.KnownPositive(),
    rules.PositiveNeighbour(threshold=0.4), rules.Threshold(at_most=0.7), rules.SameGroup(),
    rules.Adaptive(top=4), rules.Posterior(flip=0.2), rules.Debiased(prior=0.1, temperature=0.5),
    rules.ShareOfPositive(share=0.9),
]  # fmt: skip
PARTS = [
    InBatch("ap", "aa", "pp"), Hard(2), Queue(8), Shared(4), Mixed(3, pairs=2, with_anchor=2),
]  # fmt: skip


def composition(number):
    """The n-th random composition: a loss, one to five candidates, none to three rules."""
    rng = np.random.default_rng(number)
    name = names("loss")[number % len(names("loss"))]
    count = int(rng.integers(1, len(PARTS)))
    parts = [PARTS[0], *(PARTS[k] for k in sorted(rng.permutation(np.arange(1, 5))[: count - 1]))]
    chosen = [RULES[k] for k in rng.permutation(len(RULES))[: int(rng.integers(0, 4))]]
    return get("loss", name)(), parts, chosen


@pytest.mark.parametrize("number", range(50))
def test_laws_of_random_compositions(number):
    loss, parts, chosen = composition(number)
    extra = {"queue": queue_of(6, [0, 7, 22, 30, 31, 3]), "shared": queue_of(4, [2, 33, 34, 9], 8)}
    batch, knowledge = batch_of(extra=extra, grad=True), knowledge_of()
    contrast = Contrast(loss=loss, candidates=parts, rules=chosen)
    contrast.check(knowledge)
    account = Account()
    value = contrast(batch, knowledge, account=account)
    # one finite value a row; what counts is accounted for
    assert value.shape == (5,)
    assert bool(value.isfinite().all())
    assert account.candidates >= account.kept >= 0
    leaves = [batch.anchors, batch.positives, batch.negatives]
    gradients = torch.autograd.grad(value.sum(), leaves, allow_unused=True, materialize_grads=True)
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    # chunks of rows change nothing
    chunked = Contrast(loss=loss, candidates=parts, rules=chosen, chunk=2)
    again = chunked(batch, knowledge)
    torch.testing.assert_close(again, value)
    others = torch.autograd.grad(again.sum(), leaves, allow_unused=True, materialize_grads=True)
    for one, two in zip(gradients, others, strict=True):
        torch.testing.assert_close(one, two)
    # an anchor and its labelled positive are never among the negatives, wherever they come from
    for name, weight in contrast.weights(batch, knowledge).items():
        assert not weight.requires_grad
        assert bool(((weight >= 0) & (weight <= 1)).all())
        if name in ("ap", "aa", "pp"):
            assert float(weight.diagonal().abs().sum()) == 0.0
    # everything dropped: zero, and a gradient of zero
    nothing = Contrast(loss=loss, candidates=parts, rules=[*chosen, rules.Threshold(at_most=-2)])
    empty = nothing(batch, knowledge)
    assert empty.tolist() == [0.0] * 5
    for gradient in torch.autograd.grad(
        empty.sum(), leaves, allow_unused=True, materialize_grads=True
    ):
        assert float(gradient.abs().sum()) == 0.0


@pytest.mark.parametrize("name", ROW_LOSSES)
def test_a_row_loss_sees_what_the_expression_says(name):
    """The composed value is the loss itself, called on scores, weights and facts put together."""
    loss = get("loss", name)()
    batch, knowledge = batch_of(), knowledge_of()
    contrast = Contrast(
        loss=loss, candidates=[InBatch("ap"), Hard(2)], rules=[rules.Guide(margin=0.1)]
    )
    weights = contrast.weights(batch, knowledge)
    scores = torch.cat(
        [
            (batch.anchors * batch.positives).sum(dim=1, keepdim=True),
            batch.anchors @ batch.positives.T,
            batch.anchors @ batch.negatives.T,
        ],
        dim=1,
    )
    weight = torch.cat([torch.ones(5, 1), weights["ap"], weights["an"]], dim=1).to(DOUBLE)
    docs = np.concatenate([batch.docs, batch.negative_docs])
    guide = knowledge.guide_queries @ knowledge.guide_docs[docs].T
    own = (knowledge.guide_queries * knowledge.guide_docs[:5]).sum(dim=1, keepdim=True)
    known = torch.zeros(5, 16, dtype=torch.bool)
    known[:, 0] = True
    grade = torch.zeros(5, 16, dtype=DOUBLE)
    grade[:, :6] = torch.cat([torch.ones(5, 1), torch.eye(5)], dim=1)
    mined = torch.zeros(5, 16, dtype=torch.bool)
    mined[:, 6:] = True
    every = {
        "known": known,
        "grade": grade,
        "mined": mined,
        "teacher": torch.cat([own, guide], dim=1),
        "in_batch_teacher": torch.cat([own, guide], dim=1),
    }
    facts = {fact: every[fact] for fact in loss.needs}
    expected = loss(scores, torch.zeros(5, dtype=torch.long), weight=weight, **facts)
    torch.testing.assert_close(contrast(batch, knowledge), expected)


def test_matryoshka_sums_over_prefixes():
    batch = batch_of()
    inner = losses.InfoNCE(temperature=0.1)
    wrapped = losses.Matryoshka(loss=inner, dims=(6, 3), weights=(1.0, 0.5))
    parts = {"candidates": [InBatch("ap", "aa"), Hard(2)], "rules": [rules.Guide(margin=0.1)]}
    knowledge = knowledge_of()
    expected = Contrast(loss=inner, **parts)(batch, knowledge)
    expected = expected + 0.5 * Contrast(loss=inner, **parts)(batch.prefix(3), knowledge)
    torch.testing.assert_close(Contrast(loss=wrapped, **parts)(batch, knowledge), expected)
    too_wide = Contrast(loss=losses.Matryoshka(loss=inner, dims=(12,)))
    with pytest.raises(BadArgument, match="`dims` is 12, but the vectors have 6 numbers"):
        too_wide(batch)


def test_lengths_are_a_term_beside_the_contrast():
    batch = batch_of()
    longer = Embedded(
        **{**batch.__dict__, "positives": batch.positives * 3, "anchors": batch.anchors}
    )
    found = Contrast(lengths=losses.NormRatio(weight=5.0))(longer)
    expected = Contrast()(batch) + 5 * math.exp(1 - 3)
    torch.testing.assert_close(found, expected)
    with pytest.raises(BadArgument, match="not all vectors may be of length 1"):
        Contrast(lengths=losses.NormRatio())(batch)


def test_statistics_of_a_row_leave_out_what_is_no_candidate():
    """The anchor's own column has cosine 1 in the "aa" block; it would swamp a mean."""
    batch, knowledge = batch_of(count=5), knowledge_of()
    scores = batch.anchors @ batch.anchors.T
    rule = rules.Debiased(prior=0.2, temperature=0.3)
    weight = Contrast(candidates=[InBatch("aa")], rules=[rule]).weights(batch, knowledge)["aa"]
    positive = (batch.anchors * batch.positives).sum(dim=1)
    for i in range(5):
        others = [float((scores[i, j] / 0.3).exp()) for j in range(5) if j != i]
        mean = sum(others) / 4
        share = 1 - 0.2 * math.exp(float(positive[i]) / 0.3) / mean
        expected = min(1.0, max(share, 0.8 * math.exp(-1 / 0.3) / mean))
        assert float(weight[i, (i + 1) % 5]) == pytest.approx(expected, rel=1e-5)


def test_a_ramp_moves_with_the_step():
    batch = batch_of()
    ramp = Ramp(start=0.0, end=8.0, first=10, last=20)
    ramped = Contrast(loss=losses.HardnessWeighted(temperature=0.1, strength=ramp))
    for step, strength in ((0, 0.0), (15, 4.0), (99, 8.0)):
        fixed = Contrast(loss=losses.HardnessWeighted(temperature=0.1, strength=strength))
        torch.testing.assert_close(ramped(batch, step=step), fixed(batch))
    plain = Contrast(loss=losses.InfoNCE(temperature=0.1))(batch)
    torch.testing.assert_close(ramped(batch, step=0), plain)


def test_hardness_falls_on_the_blocks_it_names():
    batch = batch_of(grad=True)
    found = {}
    for on in ("all", "in_batch", "hard"):
        loss = losses.HardnessWeighted(temperature=0.2, strength=3.0, on=on)
        for chunk in (None, 2):
            contrast = Contrast(loss=loss, candidates=[InBatch("ap"), Hard(2)], chunk=chunk)
            found[on, chunk] = contrast(batch)
        torch.testing.assert_close(found[on, None], found[on, 2])
    pairs = itertools.combinations(("all", "in_batch", "hard"), 2)
    assert all(not torch.allclose(found[a, None], found[b, None]) for a, b in pairs)


# -- trust in whole pairs -------------------------------------------------------------------------


def test_trust_multiplies_the_value_of_a_pair():
    store = LossStore.empty(40)
    usual = np.linspace(0.9, 1.1, 40).astype(np.float32)
    usual[3] = 9.0
    for epoch in range(3):
        store.record(np.arange(40), usual, epoch=epoch)
    knowledge = knowledge_of(losses=store)
    contrast = Contrast(trust=[rules.BadPair(cut_faulty=2.0)])
    plain = Contrast()(batch_of(), knowledge)
    account = Account()
    trusted = contrast(batch_of(), knowledge, epoch=3, account=account)
    torch.testing.assert_close(account.values, plain)
    weight = rules.BadPair(cut_faulty=2.0)(plain, np.arange(5), store.before(3))
    assert (weight < 1).tolist() == [False, False, False, True, False]
    torch.testing.assert_close(trusted, plain * weight)
    torch.testing.assert_close(contrast(batch_of(), knowledge, epoch=0), plain)


# -- explanations ---------------------------------------------------------------------------------


def test_shares_are_the_softmax_mass():
    batch, knowledge = batch_of(), knowledge_of()
    contrast = Contrast(loss=losses.InfoNCE(temperature=0.2), candidates=[InBatch("ap"), Hard(2)])
    found = explain(contrast, batch, knowledge)
    weights = contrast.weights(batch, knowledge)
    scores = torch.cat([batch.positives, batch.negatives]) @ batch.anchors.T
    mass = torch.cat([weights["ap"], weights["an"]], dim=1) * (scores.T / 0.2).exp()
    expected = (mass / mass.sum(dim=1, keepdim=True)).float().numpy()
    np.testing.assert_allclose(found.share, expected, rtol=1e-5)
    np.testing.assert_allclose(found.values, contrast(batch, knowledge).float().numpy(), rtol=1e-5)
    table = found.heaviest(top=3)
    assert table.groupby("row").size().tolist() == [3] * 5
    first = table[table["row"] == 0].iloc[0]
    assert first["share"] == pytest.approx(expected[0].max())


def test_every_dropped_cell_has_its_first_reason():
    """Document 22 repeats row 2's positive, 1 is row 1's own; the guide and a judge drop others."""
    verdicts = sparse.coo_array(([1, -1], ([4, 4], [30, 31])), shape=(5, 40)).tocsr()
    knowledge = knowledge_of(verdicts=verdicts)
    batch = batch_of(extra={"queue": queue_of(4, [1, 22, 30, 31])})
    parts = [InBatch("ap", "aa"), Hard(2, shared=False), Queue(8)]
    without = Contrast(candidates=parts, rules=[rules.Threshold(at_most=-2.0)])
    assert not without.weights(batch, knowledge)["queue"].any()
    vouched = Contrast(candidates=parts, rules=[rules.Threshold(at_most=-2.0), rules.Judged()])
    assert vouched.weights(batch, knowledge)["queue"].nonzero().tolist() == [[4, 3]]
    assert explain(vouched, batch, knowledge).reason.reshape(-1).tolist().count(0) == 1
    guessing = [rules.Judged(trust=False), rules.Threshold(at_most=-2.0)]
    assert not Contrast(candidates=parts, rules=guessing).weights(batch, knowledge)["queue"].any()
    contrast = Contrast(candidates=parts, rules=[rules.Judged(), rules.Guide(margin=0.2)])
    found = explain(contrast, batch, knowledge)
    weights = torch.cat(list(contrast.weights(batch, knowledge).values()), dim=1).numpy()
    assert ((found.reason == 0) == (weights > 0)).all()
    queue = found.dropped()
    queue = queue[queue["block"] == "queue"]
    told = {(row.row, row.candidate): row.reason for row in queue.itertuples()}
    assert told[1, 1] == "labelled positive"
    assert told[2, 22] == "duplicate"
    assert told[4, 30] == "Judged(trust=True)"
    reasons = found.by_reason()
    assert reasons.loc["self"].to_dict() == {"ap": 0, "aa": 5, "an": 0, "queue": 0}
    assert reasons.loc["labelled positive", "ap"] == 5
    assert reasons.loc["another row's", "an"] == 40
    assert int(reasons.to_numpy().sum()) == found.reason.size
    blocks = found.by_block()
    assert (blocks["no_candidate"] + blocks["dropped"] + blocks["kept"] == blocks["cells"]).all()
    some_left = (found.reason == 0).any(axis=1).mean()
    assert blocks["share"].sum() == pytest.approx(some_left)
    with pytest.raises(BadArgument, match=r"`reason` is 'rain', but it must be one of kept, self"):
        found.dropped("rain")


def test_mixes_are_explained_by_their_sources():
    batch = batch_of()
    contrast = Contrast(candidates=[Hard(2), Mixed(3, pairs=2, with_anchor=1)])
    found = explain(contrast, batch)
    assert found.sources.shape == (5, 3, 2)
    assert found.by_block().loc["mixed", "kept"] == 15
    assert set(found.heaviest()["block"]) == {"an", "mixed"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Contrast(candidates=[Mixed(2)]), r"there is nothing to mix"),
        (lambda: check_candidates(["ap"]), r"must be InBatch, Hard, Queue, Bank, Shared or Mix"),
        (lambda: Queue(0), r"`size` is 0"),
        (lambda: Queue(8, momentum=1.0), r"`momentum` is 1\.0, but it must be < 1"),
        (lambda: Shared(0), r"`count` is 0"),
        (lambda: Bank(0), r"`count` is 0"),
        (lambda: Mixed(2, pairs=0, with_anchor=0), r"nothing would be made"),
        (lambda: Hard(1, shared=False, across_devices=True), r"own negatives are on its own devi"),
        (lambda: Contrast(trust=[rules.BadPair()]).check(None), r"LossStore\.empty"),
        (lambda: Contrast(candidates=[Bank()]).check(None), r"Bank needs document vectors"),
        (lambda: Contrast(loss=losses.MarginMSE()).check(None), r"it needs teacher"),
        (lambda: Contrast(candidates=[Bank()])(batch_of()), r"Bank needs document vectors"),
    ],
)  # fmt: skip
def test_wording(make, message):
    with pytest.raises(BadArgument, match=message):
        make()
