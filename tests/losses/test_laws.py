"""Laws that every registered loss obeys. Its cases stand in cases_*.py beside this file."""

import cases_core
import cases_noise
import cases_retrieval
import pytest
import torch

from workbench.errors import BadArgument
from workbench.losses import RowLoss
from workbench.registry import get, names, table

DOUBLE = torch.float64
CASES = [*cases_core.CASES, *cases_noise.CASES, *cases_retrieval.CASES]
ROWS, COLUMNS = 5, 8


def scores_of(seed=0, rows=ROWS, columns=COLUMNS, dtype=DOUBLE):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(rows, columns, generator=generator, dtype=DOUBLE) * 2 - 1
    return scores.to(dtype), torch.arange(rows)


def facts_of(loss, scores, positive, seed=5):
    """The facts a loss needs: the labelled positive is known and has the best grade."""
    generator = torch.Generator().manual_seed(seed)
    shape, place = scores.shape, torch.arange(len(scores))
    known = torch.rand(shape, generator=generator) > 0.8
    known[place, positive] = True
    grade = torch.randint(0, 3, shape, generator=generator).to(scores.dtype)
    grade[place, positive] = 3.0
    teacher = (torch.rand(shape, generator=generator, dtype=DOUBLE) * 2 - 1).to(scores.dtype)
    mined = torch.rand(shape, generator=generator) > 0.5
    every = {"known": known, "grade": grade, "teacher": teacher, "mined": mined}
    if "in_batch_teacher" in loss.needs:  # own pairs: the positive and the columns from 3 on
        every["in_batch_teacher"] = teacher * 0.5
        own = torch.zeros(shape, dtype=torch.bool)
        own[place, positive], own[:, 3:] = True, True
        every["teacher"] = teacher.masked_fill(~own, torch.nan)
    return {name: every[name] for name in loss.needs}


def draw_weight(scores, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(scores.shape, generator=generator) > 0.5).to(scores.dtype)


def test_every_registered_loss_stands_here():
    assert {name for name, _, _ in CASES} == set(names("loss"))
    assert all(summary.endswith(".") and len(summary) > 10 for _, summary in table("loss"))


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{'-'.join(map(str, case[1].values()))}")
def case(request):
    return request.param


@pytest.fixture
def loss(case):
    return get("loss", case[0])(**case[1])


@pytest.fixture
def law(case, request):
    """Skip a law that a case says does not hold, with its reason."""
    name = request.function.__name__.removeprefix("test_")
    if name in case[2]:
        pytest.skip(case[2][name])
    return name


def test_one_value_per_anchor(loss, law):
    scores, positive = scores_of()
    assert isinstance(loss, RowLoss)
    value = loss(scores, positive, **facts_of(loss, scores, positive))
    assert value.shape == (ROWS,)
    assert value.dtype == scores.dtype


@pytest.mark.slow
def test_order_is_irrelevant(loss, law):
    scores, positive = scores_of()
    facts, weight = facts_of(loss, scores, positive), draw_weight(scores)
    order = torch.randperm(COLUMNS, generator=torch.Generator().manual_seed(1))
    moved = {name: fact[:, order] for name, fact in facts.items()}
    found = loss(scores[:, order], torch.argsort(order)[positive], weight=weight[:, order], **moved)
    torch.testing.assert_close(found, loss(scores, positive, weight=weight, **facts))


@pytest.mark.parametrize("sharper", [1, 60])
def test_weight_zero_equals_removal(case, law, sharper):
    """At a very low temperature too: a released DCL masks with log(1e-45), no removal there."""
    options = dict(case[1])
    if "temperature" in options:
        options["temperature"] = options["temperature"] / sharper
    loss = get("loss", case[0])(**options)
    scores, positive = scores_of()
    facts = facts_of(loss, scores, positive)
    if "known" in facts:
        facts["known"][:, 6:] = False
    weight = torch.ones_like(scores)
    weight[:, 6:] = 0
    fewer = {name: fact[:, :6] for name, fact in facts.items()}
    torch.testing.assert_close(
        loss(scores, positive, weight=weight, **facts), loss(scores[:, :6], positive, **fewer)
    )


def test_dropped_get_no_gradient(loss, law):
    scores, positive = scores_of()
    facts, weight = facts_of(loss, scores, positive), draw_weight(scores)
    scores.requires_grad_()
    loss(scores, positive, weight=weight, **facts).sum().backward()
    dropped = weight == 0
    dropped[torch.arange(ROWS), positive] = False
    if "known" in facts:
        dropped &= ~facts["known"]
    assert float(scores.grad[dropped].abs().max()) == 0.0
    assert float(scores.grad.abs().max()) > 0.0


def test_pulls_and_pushes(loss, law):
    scores, positive = scores_of()
    facts = facts_of(loss, scores, positive)
    scores.requires_grad_()
    loss(scores, positive, **facts).sum().backward()
    own = torch.zeros(ROWS, COLUMNS, dtype=torch.bool)
    own[torch.arange(ROWS), positive] = True
    others = ~(own | facts["known"]) if "known" in facts else ~own
    assert float(scores.grad[own].max()) < 0
    assert float(scores.grad[others].min()) >= 0
    assert bool((scores.grad * others).sum(dim=1).gt(0).all())


def test_positive_is_never_dropped(loss, law):
    scores, positive = scores_of()
    facts = facts_of(loss, scores, positive)
    weight = torch.ones_like(scores)
    without = weight.clone()
    without[torch.arange(ROWS), positive] = 0
    torch.testing.assert_close(
        loss(scores, positive, weight=without, **facts),
        loss(scores, positive, weight=weight, **facts),
    )


def test_all_dropped_is_zero(loss, law):
    scores, positive = scores_of()
    facts = facts_of(loss, scores, positive)
    weight = torch.ones_like(scores)
    weight[2] = 0
    scores.requires_grad_()
    value = loss(scores, positive, weight=weight, **facts)
    assert float(value[2].detach()) == 0.0
    value.sum().backward()
    assert bool(scores.grad.isfinite().all())
    assert float(scores.grad[2].abs().sum()) == 0.0


def test_gradcheck(loss, law):
    scores, positive = scores_of(rows=3, columns=6)
    facts = facts_of(loss, scores, positive)
    scores.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, positive, **facts), (scores,))


def test_trust_lies_between(loss, law):
    """A weight of one half is finite, and differs from keeping and from dropping."""
    scores, positive = scores_of()
    facts = facts_of(loss, scores, positive)
    values = []
    for trust in (0.0, 0.5, 1.0):
        weight = torch.ones_like(scores)
        weight[:, 5:] = trust
        values.append(loss(scores, positive, weight=weight, **facts).sum())
    assert all(bool(value.isfinite()) for value in values)
    assert len({round(float(value), 9) for value in values}) == 3


def test_alone(loss, law):
    """A loss that calls its rows independent gives a row the same value without the others."""
    scores, positive = scores_of()
    facts, weight = facts_of(loss, scores, positive), draw_weight(scores)
    weight[:, 7] = 1.0  # so that no row is empty
    whole = loss(scores, positive, weight=weight, **facts)
    some = slice(1, 3)
    cut = {name: fact[some] for name, fact in facts.items()}
    alone = loss(scores[some], positive[some], weight=weight[some], **cut)
    assert loss.independent
    torch.testing.assert_close(alone, whole[some])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("scale", [1.0, 50.0])
def test_low_precision_and_extremes(loss, law, dtype, scale):
    scores, positive = scores_of(dtype=dtype)
    facts = facts_of(loss, scores, positive)
    scores = (scores * scale).requires_grad_()
    value = loss(scores, positive, **facts)
    value.sum().backward()
    assert bool(value.isfinite().all())
    assert bool(scores.grad.isfinite().all())


def test_options_are_data(case, law):
    kind = get("loss", case[0])
    one, two = kind(**case[1]), kind(**case[1])
    assert one == two
    assert hash(one) == hash(two)
    assert repr(one) == repr(two)
    kind()  # every option has a default: a sweep names a loss and nothing else


def test_bad_scores_are_refused(loss, law):
    scores, positive = scores_of()
    facts = facts_of(loss, scores, positive)
    broken = scores.clone()
    broken[1, 3] = torch.nan
    with pytest.raises(BadArgument, match=r"it must be finite everywhere, and is not at \[1, 3\]"):
        loss(broken, positive, **facts)
    with pytest.raises(BadArgument, match=r"columns are 0\.\.7"):
        loss(scores, positive + 6, **facts)
