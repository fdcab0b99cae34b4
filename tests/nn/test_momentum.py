"""The momentum copy: gold weights, no gradients, eval mode, precisions, and what it is for."""

import copy
import json

import pytest
import torch
from torch import nn

from workbench.encode import scratch
from workbench.errors import BadArgument
from workbench.nn import MomentumEncoder

TEXTS = ["def add(a, b): return a + b", "read a file line by line", "sort the list of numbers"]


def linear(values, dtype=torch.float64):
    layer = nn.Linear(len(values), 1, bias=False, dtype=dtype)
    layer.weight.data = torch.tensor([values], dtype=dtype)
    return layer


def with_state(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))


@pytest.mark.shared
def test_gold_after_one_and_a_thousand_updates(shared):
    records = json.loads((shared / "gold/retrieval.json").read_text())
    (gold,) = [one for one in records if one["case"] == "momentum update m=0.999"]
    encoder = linear(gold["inputs"]["key_weights"])
    slow = MomentumEncoder(encoder, momentum=gold["inputs"]["m"])
    encoder.weight.data = torch.tensor([gold["inputs"]["query_weights"]], dtype=torch.float64)
    for updates in range(1, 1001):
        slow.update()
        if f"after_{updates}" in gold["expected"]:
            wanted = torch.tensor([gold["expected"][f"after_{updates}"]], dtype=torch.float64)
            close = {"rtol": 0, "atol": gold["tolerance"]}
            torch.testing.assert_close(slow.encoder.weight.data, wanted, **close)
    assert updates == 1000


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.9, 1.0])
def test_update_is_the_equation_for_every_weight(momentum):
    encoder = with_state()
    slow = MomentumEncoder(encoder, momentum=momentum)
    before = copy.deepcopy(slow.encoder)
    for weight in encoder.parameters():
        weight.data.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    slow.update()
    for old, new, now in zip(
        before.parameters(), encoder.parameters(), slow.encoder.parameters(), strict=True
    ):
        torch.testing.assert_close(now, (momentum * old + (1 - momentum) * new).detach())
        if momentum in (0.0, 1.0):  # then to the bit
            assert torch.equal(now, new if momentum == 0 else old)


def test_equal_weights_stay_to_the_bit():
    slow = MomentumEncoder(with_state(), momentum=0.999)
    before = copy.deepcopy(slow.state_dict())
    for _ in range(50):
        slow.update()
    assert all(torch.equal(value, before[name]) for name, value in slow.state_dict().items())


def test_buffers_are_copied_and_not_shared():
    encoder = with_state()
    slow = MomentumEncoder(encoder, momentum=0.999)
    encoder.train()(torch.randn(8, 4, generator=torch.Generator().manual_seed(0)) + 5)
    assert not torch.equal(slow.encoder[1].running_mean, encoder[1].running_mean)
    slow.update()
    assert torch.equal(slow.encoder[1].running_mean, encoder[1].running_mean)
    assert slow.encoder[1].num_batches_tracked.item() == 1
    encoder[1].running_mean.add_(1)
    assert not torch.equal(slow.encoder[1].running_mean, encoder[1].running_mean)


def test_it_is_eval_without_gradients_and_leaves_the_encoder_alone():
    encoder = with_state().train()
    slow = MomentumEncoder(encoder).train()
    assert not slow.training
    assert not any(part.training for part in slow.modules())
    assert all(part.training for part in encoder.modules())
    assert not any(weight.requires_grad for weight in slow.parameters())
    assert all(weight.requires_grad for weight in encoder.parameters())
    keys = slow(torch.ones(2, 4, requires_grad=True))
    assert not keys.requires_grad
    assert torch.equal(keys, slow(torch.ones(2, 4)))  # no dropout
    encoder(torch.ones(2, 4)).sum().backward()
    slow.update()
    assert all(weight.grad is None for weight in slow.parameters())
    assert not any(weight.requires_grad for weight in slow.parameters())


def test_state_holds_the_copy_only_and_round_trips():
    encoder = with_state()
    slow = MomentumEncoder(encoder, momentum=0.5)
    encoder[0].weight.data.add_(1)
    slow.update()
    assert set(slow.state_dict()) == {f"encoder.{name}" for name in encoder.state_dict()}
    assert len(list(slow.parameters())) == len(list(encoder.parameters()))
    other = MomentumEncoder(with_state(seed=9), momentum=0.5)
    other.load_state_dict(copy.deepcopy(slow.state_dict()))
    inputs = torch.randn(5, 4, generator=torch.Generator().manual_seed(2))
    assert torch.equal(other(inputs), slow(inputs))


@pytest.mark.parametrize("kind", ["bag", "transformer"])
def test_an_encoder_of_ours(kind):
    encoder = scratch(TEXTS, kind=kind, dim=16, vocab_size=200, layers=1, heads=2, device="cpu")
    slow = MomentumEncoder(encoder, momentum=0.9)
    batch = encoder.tokenize(TEXTS, side="doc").take([0, 1, 2])
    assert torch.equal(slow(**batch), encoder(**batch))
    for weight in encoder.parameters():
        weight.data.add_(0.05 * torch.sin(torch.arange(weight.numel())).view_as(weight))
    away = float((slow(**batch) * encoder(**batch).detach()).sum(dim=1).mean())
    for _ in range(60):
        slow.update()
    near = float((slow(**batch) * encoder(**batch).detach()).sum(dim=1).mean())
    assert away < 0.999 < near
    assert slow.encoder.encode(TEXTS, progress=False).values.shape == (3, 16)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_does_not_swallow_the_updates(half):
    encoder = linear([0.0, 0.0], dtype=torch.float32).to(half)
    slow = MomentumEncoder(encoder, momentum=0.999)
    encoder.weight.data = torch.tensor([[1.0, 2.0]], dtype=half)
    for _ in range(1000):
        slow.update()
    expected = torch.tensor([[0.632304575, 1.264609150]])
    torch.testing.assert_close(slow.encoder.weight.data, expected, rtol=1e-4, atol=0)
    assert slow(torch.ones(1, 2, dtype=half)).dtype == torch.float32


def test_it_follows_the_encoder_to_another_precision():
    encoder = with_state()
    slow = MomentumEncoder(encoder, momentum=0.5)
    before = slow.encoder[0].weight.clone()
    encoder.to(torch.float64)
    encoder[0].weight.data.add_(1)
    slow.update()
    assert {weight.dtype for weight in slow.parameters()} == {torch.float64}
    torch.testing.assert_close(slow.encoder[0].weight.data, before.double() + 0.5)
    assert slow(torch.ones(2, 4, dtype=torch.float64)).dtype == torch.float64
    assert slow.encoder[1].running_mean.dtype == torch.float64
    encoder.to(torch.bfloat16)
    slow.update()
    assert {weight.dtype for weight in slow.parameters()} == {torch.float32}
    assert slow.encoder[1].running_mean.dtype == torch.float32
    assert slow(torch.ones(2, 4, dtype=torch.bfloat16)).isfinite().all()


@pytest.mark.gpu
def test_it_follows_the_encoder_to_another_device():
    if not torch.cuda.is_available():
        pytest.skip("no accelerator")
    encoder = with_state()
    slow = MomentumEncoder(encoder, momentum=0.5)
    encoder.cuda()
    slow.update()
    assert {one.device.type for one in [*slow.parameters(), *slow.buffers()]} == {"cuda"}
    assert slow(torch.ones(2, 4, device="cuda")).shape == (2, 3)


def test_stale_keys_agree_more_the_larger_the_momentum():
    """Cosine of a key made 20 steps ago with the same text's key now."""
    found = []
    for momentum in (0.0, 0.9, 0.99, 0.999):
        generator = torch.Generator().manual_seed(0)
        encoder = nn.Linear(16, 16, bias=False)
        encoder.weight.data = torch.randn(16, 16, generator=generator)
        slow = MomentumEncoder(encoder, momentum=momentum)
        texts = torch.randn(64, 16, generator=generator)
        kept = []
        for _ in range(40):  # the noise of training: a random walk
            encoder.weight.data.add_(0.03 * torch.randn(16, 16, generator=generator))
            slow.update()
            kept.append(slow(texts))
        found.append(float(torch.cosine_similarity(kept[-21], kept[-1]).mean()))
    assert found == sorted(found)
    assert found[0] < 0.999 < found[-1]


@pytest.mark.parametrize(
    ("momentum", "message"),
    [(1.1, "`momentum` is 1.1, but it must be <= 1"), (-0.1, "`momentum` .* >= 0. Try 0.999")],
)
def test_wording_of_the_momentum(momentum, message):
    with pytest.raises(BadArgument, match=message):
        MomentumEncoder(nn.Linear(1, 1), momentum=momentum)


def test_wording_of_a_changed_encoder():
    encoder = with_state()
    slow = MomentumEncoder(encoder)
    encoder[3] = nn.Linear(6, 5)
    with pytest.raises(BadArgument, match=r"`encoder` is .* Make a new MomentumEncoder"):
        slow.update()
