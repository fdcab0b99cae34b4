"""The queue: ring order, filled part only, exact state, and how often an anchor meets itself."""

import json
from collections import deque

import pytest
import torch

from workbench.errors import BadArgument
from workbench.nn import NegativeQueue


def keys(*numbers):
    """Vectors and positions that are the numbers themselves."""
    places = torch.tensor(numbers, dtype=torch.int64)
    return places[:, None].float(), places


@pytest.mark.shared
def test_gold_ring_order(shared):
    records = json.loads((shared / "gold/retrieval.json").read_text())
    (gold,) = [one for one in records if one["case"].startswith("ring buffer")]
    given = gold["inputs"]
    queue = NegativeQueue(given["K"], 1)
    for start in range(0, len(given["keys"]), given["batch"]):
        queue.push(*keys(*given["keys"][start : start + given["batch"]]), step=start)
    vectors, positions, _ = queue.columns()
    assert positions.tolist() == gold["expected"]["queue_order"]
    assert vectors[:, 0].tolist() == gold["expected"]["queue_order"]
    assert int(queue.pushed) % queue.size == gold["expected"]["pointer"]


@pytest.mark.parametrize("size", [1, 5, 8])
@pytest.mark.parametrize("batches", [[3, 3, 3, 3], [8, 1, 0, 2], [20, 3], [5], [2], [13, 17, 1]])
def test_any_batch_size_equals_one_key_at_a_time(size, batches):
    queue, single, kept = NegativeQueue(size, 1), NegativeQueue(size, 1), deque(maxlen=size)
    start = 0
    for step, count in enumerate(batches):
        numbers = range(start, start + count)
        queue.push(*keys(*numbers), step=step)
        for number in numbers:
            single.push(*keys(number), step=step)
            kept.append((number, step))
        start += count
        for name, value in queue.state_dict().items():
            assert torch.equal(value, single.state_dict()[name]), name
        vectors, positions, steps = queue.columns()
        assert sorted(zip(positions.tolist(), steps.tolist(), strict=True)) == sorted(kept)
        assert torch.equal(vectors[:, 0], positions.float())
        assert len(queue) == len(positions) == min(start, size)


def test_only_the_filled_part_is_handed_out():
    queue = NegativeQueue(6, 3)
    vectors, positions, steps = queue.columns()
    assert vectors.shape == (0, 3)
    assert positions.shape == steps.shape == queue.age(0).shape == (0,)
    queue.push(torch.ones(2, 3), torch.tensor([4, 2]), step=7)
    assert queue.columns()[0].tolist() == [[1.0] * 3] * 2
    assert queue.age(9).tolist() == [2, 2]
    assert queue.positions.tolist() == [4, 2, -1, -1, -1, -1]


def test_keys_are_detached_and_a_push_spoils_no_gradient():
    queue = NegativeQueue(4, 2)
    queue.push(torch.ones(3, 2, requires_grad=True), torch.arange(3), step=0)
    held, _, _ = queue.columns()
    assert not held.requires_grad
    anchors = torch.ones(2, 2, requires_grad=True)
    loss = (anchors @ held.T).sum()
    queue.push(torch.full((3, 2), 9.0), torch.arange(3), step=1)
    loss.backward()
    assert torch.equal(anchors.grad, torch.full((2, 2), 3.0))


def test_state_round_trips_exactly():
    queue = NegativeQueue(5, 2)
    generator = torch.Generator().manual_seed(0)
    for step in range(4):
        queue.push(torch.randn(3, 2, generator=generator), torch.arange(3) + step, step=step)
    other = NegativeQueue(5, 2)
    other.load_state_dict(queue.state_dict())
    more = torch.randn(4, 2, generator=generator)
    for one in (queue, other):
        one.push(more, torch.arange(4), step=4)
    for name, value in queue.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    assert set(queue.state_dict()) == {"vectors", "positions", "steps", "pushed"}
    assert not list(queue.parameters())
    assert queue.extra_repr() == "5 of 5 keys, 2 dim"


def test_half_precision_keys_are_kept_in_float32():
    queue = NegativeQueue(2, 2)
    queue.push(torch.ones(1, 2, dtype=torch.bfloat16), torch.tensor([0], dtype=torch.int32), step=0)
    vectors, positions, _ = queue.columns()
    assert (vectors.dtype, positions.dtype) == (torch.float32, torch.int64)


@pytest.mark.gpu
def test_it_takes_keys_from_another_device():
    if not torch.cuda.is_available():
        pytest.skip("no accelerator")
    queue = NegativeQueue(3, 2).cuda()
    queue.push(torch.ones(2, 2), torch.arange(2), step=0)
    queue.push(torch.ones(2, 2, device="cuda"), torch.arange(2), step=1)
    assert queue.columns()[0].device.type == "cuda"
    assert queue.columns()[1].tolist() == [1, 1, 0]


def share_that_meets_itself(texts, size, batch, epochs, seed):
    """Per epoch: share of anchors whose own past key is in the queue when they are scored."""
    queue, generator = NegativeQueue(size, 1), torch.Generator().manual_seed(seed)
    shares = []
    for epoch in range(epochs):
        order = torch.randperm(texts, generator=generator)
        met = 0
        for rows in order.split(batch):
            met += int(torch.isin(rows, queue.columns()[1]).sum())
            queue.push(torch.zeros(len(rows), 1), rows, step=epoch)
        shares.append(met / texts)
    return shares


@pytest.mark.slow
def test_queue_collision():
    """Gate queue_collision: 0 in the first epoch, then K^2 / (2 n^2) within 30 %."""
    for seed in range(3):
        first, *later = share_that_meets_itself(2000, 1024, 64, 5, seed)
        assert first == 0
        assert sum(later) / len(later) == pytest.approx(1024**2 / (2 * 2000**2), rel=0.3)
    small = share_that_meets_itself(20_000, 1024, 128, 3, 0)
    assert max(small) < 0.004


@pytest.mark.parametrize(
    ("vectors", "positions", "step", "message"),
    [
        (torch.ones(2, 3), torch.arange(2), 0, "`vectors` is .2, 3., but this queue .* width 2"),
        (torch.ones(2, 2), torch.arange(3), 0, "`positions` is .3,., but .* one per key, 2"),
        (torch.ones(2, 2), torch.tensor([0, -1]), 0, "`positions` is -1, but it must be >= 0"),
        (torch.ones(2, 2), torch.arange(2), -1, "`step` is -1, but it must be a whole number >= 0"),
        (torch.tensor([[1.0, 1.0], [1.0, float("nan")]]), torch.arange(2), 0, "row 1 is not"),
    ],
)
def test_wording_of_a_push(vectors, positions, step, message):
    queue = NegativeQueue(4, 2)
    with pytest.raises(BadArgument, match=message):
        queue.push(vectors, positions, step=step)
    assert len(queue) == 0


@pytest.mark.parametrize(
    ("size", "dim", "message"), [(0, 2, "`size` is 0"), (2, 0, "`dim` is 0, but .* >= 1")]
)
def test_wording_of_the_shape(size, dim, message):
    with pytest.raises(BadArgument, match=message):
        NegativeQueue(size, dim)


def test_wording_of_an_age_from_the_future():
    queue = NegativeQueue(2, 1)
    queue.push(*keys(3), step=5)
    with pytest.raises(BadArgument, match="`step` is 4, but the newest key is of step 5"):
        queue.age(4)
