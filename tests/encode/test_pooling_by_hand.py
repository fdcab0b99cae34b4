import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.encode.pooling import POOLINGS, pool


def hidden_of(rows, width):
    """Hidden state of a token = its position in the padded row, so results are known by hand."""
    return torch.arange(float(width)).reshape(1, width, 1).expand(rows, width, 1).clone()


@pytest.mark.parametrize(
    ("how", "expected"),
    [("mean", [1.0, 1.5, 2.0]), ("cls", [0.0, 0.0, 1.0]), ("last", [2.0, 3.0, 3.0])],
)
def test_right_no_and_left_padding(how, expected):
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1], [0, 1, 1, 1]])
    pooled = pool(hidden_of(3, 4), mask, how=how)
    torch.testing.assert_close(pooled, torch.tensor(expected).unsqueeze(1))


@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    extra=st.integers(0, 3),
    how=st.sampled_from(sorted(POOLINGS)),
)
def test_padding_side_and_amount_change_nothing(lengths, extra, how):
    generator = torch.Generator().manual_seed(sum(lengths))
    texts = [torch.randn(length, 3, generator=generator) for length in lengths]
    width = max(lengths) + extra
    left, right = torch.full((2, len(texts), width, 3), 7.0)
    left_mask, right_mask = torch.zeros(2, len(texts), width, dtype=torch.int64)
    for row, text in enumerate(texts):
        right[row, : len(text)], right_mask[row, : len(text)] = text, 1
        left[row, width - len(text) :], left_mask[row, width - len(text) :] = text, 1
    by_hand = {"mean": lambda t: t.mean(0), "cls": lambda t: t[0], "last": lambda t: t[-1]}[how]
    expected = torch.stack([by_hand(text) for text in texts])
    torch.testing.assert_close(pool(right, right_mask, how=how), expected)
    torch.testing.assert_close(pool(left, left_mask, how=how), expected)


@pytest.mark.parametrize("how", sorted(POOLINGS))
def test_half_precision_is_pooled_in_float32(how):
    pooled = pool(hidden_of(1, 3).bfloat16(), torch.ones(1, 3, dtype=torch.int64), how=how)
    assert pooled.dtype == torch.float32


@pytest.mark.parametrize("how", sorted(POOLINGS))
def test_padding_gets_no_gradient(how):
    hidden = hidden_of(1, 4).requires_grad_()
    pool(hidden, torch.tensor([[1, 1, 0, 0]]), how=how).sum().backward()
    assert hidden.grad[0, 2:].abs().sum() == 0
    assert hidden.grad.abs().sum() > 0
