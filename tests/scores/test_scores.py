"""The log-sum-exp, dense and streamed: equal to each other, to torch, and to a loop."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from workbench.errors import BadArgument
from workbench.scores import Cells, cosine, normalize, streamed_logsumexp, weighted_logsumexp

DOUBLE = torch.float64


def world(seed, rows, columns, dim=5, dtype=DOUBLE):
    generator = torch.Generator().manual_seed(seed)
    left = torch.randn(rows, dim, generator=generator, dtype=dtype)
    right = torch.randn(columns, dim, generator=generator, dtype=dtype)
    weight = torch.rand(rows, columns, generator=generator, dtype=dtype)
    weight = torch.where(weight < 0.3, torch.zeros_like(weight), weight)
    return left, right, weight


def brute_force(left, right, weight, scale):
    values = []
    for i in range(len(left)):
        total = 0.0
        for j in range(len(right)):
            total += float(weight[i, j]) * math.exp(scale * float(left[i] @ right[j]))
        values.append(math.log(total) if total > 0 else -math.inf)
    return torch.tensor(values, dtype=DOUBLE)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 7),
    columns=st.integers(1, 9),
    chunk=st.integers(1, 11),
    scale=st.sampled_from([0.5, 1.0, 3.0]),
)
def test_dense_and_streamed_equal_a_loop(seed, rows, columns, chunk, scale):
    left, right, weight = world(seed, rows, columns)
    expected = brute_force(left, right, weight, scale)
    dense = weighted_logsumexp(scale * left @ right.T, weight)
    streamed = streamed_logsumexp(
        left, right, scale=scale, weight=lambda rows: weight[rows], chunk=chunk
    )
    torch.testing.assert_close(dense, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(streamed, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_streamed_gradients_equal_dense_ones(chunk):
    left, right, weight = world(0, 6, 9)
    weight[2] = 0.0
    left.requires_grad_()
    right.requires_grad_()
    rows = [0, 1, 3, 4, 5]
    dense = weighted_logsumexp(2 * left @ right.T, weight)[rows].square().sum()
    streamed = streamed_logsumexp(left, right, scale=2, weight=lambda r: weight[r], chunk=chunk)
    expected = torch.autograd.grad(dense, (left, right))
    found = torch.autograd.grad(streamed[rows].square().sum(), (left, right))
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)
    assert float(found[0][2].abs().sum()) == 0.0


def test_streamed_gradcheck():
    left, right, weight = world(1, 3, 5)
    left.requires_grad_()
    right.requires_grad_()
    mask = weight > 0
    assert torch.autograd.gradcheck(
        lambda a, b: streamed_logsumexp(a, b, scale=1.5, weight=lambda r: mask[r], chunk=2),
        (left, right),
    )


def test_hardness_weighs_without_a_gradient_of_its_own():
    left, right, weight = world(6, 4, 7)
    left.requires_grad_()
    right.requires_grad_()
    scores = left @ right.T
    expected = weighted_logsumexp(2.0 * scores + 1.5 * scores.detach(), weight)
    found = streamed_logsumexp(
        left, right, scale=2.0, hardness=1.5, weight=lambda rows: weight[rows], chunk=3
    )
    torch.testing.assert_close(found, expected)
    for mine, theirs in zip(
        torch.autograd.grad(found.sum(), (left, right)),
        torch.autograd.grad(expected.sum(), (left, right)),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


def test_a_row_without_candidates_is_minus_infinity_with_zero_gradient():
    logits = torch.zeros(2, 3, requires_grad=True)
    weight = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
    value = weighted_logsumexp(logits, weight)
    assert value[0] == -math.inf
    value[1].backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.tensor([[0.0, 0, 0], [0.5, 0, 0.5]]))


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e4])
def test_extreme_scores_stay_finite(scale):
    left = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    right = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    dense = weighted_logsumexp(scale * left @ right.T)
    streamed = streamed_logsumexp(left, right, scale=scale, chunk=2)
    torch.testing.assert_close(dense, streamed)
    streamed.sum().backward()
    assert left.grad is not None
    assert bool(left.grad.isfinite().all())


def test_bf16_accumulates_in_fp32():
    left, right, _ = world(3, 8, 64, dim=16, dtype=torch.float32)
    left, right = normalize(left), normalize(right)
    exact = streamed_logsumexp(left, right, scale=20.0, chunk=16)
    half = streamed_logsumexp(left.bfloat16(), right.bfloat16(), scale=20.0, chunk=16)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, exact, rtol=0.02, atol=0.1)


def test_streamed_memory_grows_with_rows_not_with_cells():
    """Count the largest tensor made: a chunk of rows or the vectors, never (query, doc)."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        cells = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            for tensor in out if isinstance(out, tuple | list) else [out]:
                if isinstance(tensor, torch.Tensor):
                    self.cells = max(self.cells, tensor.numel())
            return out

    left, right, _ = world(4, 64, 4096, dim=8, dtype=torch.float32)
    left.requires_grad_()
    right.requires_grad_()
    with Largest() as seen:
        streamed_logsumexp(left, right, scale=1.0, chunk=2).sum().backward()
    assert seen.cells <= max(2 * 4096, right.numel())


def test_cosine_is_scale_free_and_zero_rows_stay_finite():
    left, right, _ = world(5, 3, 4)
    torch.testing.assert_close(cosine(left * 7, right), cosine(left, right * 0.1))
    zero = torch.zeros(1, 3, requires_grad=True)
    normalize(zero).sum().backward()
    assert zero.grad is not None
    assert bool(zero.grad.isfinite().all())


def test_cells_are_lazy_checked_and_fetched_once():
    calls = []

    def guide():
        calls.append(1)
        return torch.zeros(2, 3)

    cells = Cells((2, 3), {"guide": guide, "score": torch.zeros(3, 2)})
    assert cells.has("guide")
    assert cells["guide"] is cells["guide"]
    assert calls == [1]
    with pytest.raises(BadArgument, match=r"`score` is \(3, 2\), but its shape must be \(2, 3\)"):
        cells["score"]
    with pytest.raises(BadArgument, match=r"only guide, score is known here\. Pass known="):
        cells["known"]


def test_chunk_is_checked():
    with pytest.raises(BadArgument, match="`chunk` is 0"):
        streamed_logsumexp(torch.eye(2), torch.eye(2), scale=1.0, chunk=0)
