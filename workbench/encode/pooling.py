"""From one vector per token to one vector per text."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor


def mean_pool(
    hidden: Float[Tensor, "text token dim"], mask: Int[Tensor, "text token"]
) -> Float[Tensor, "text dim"]:
    """Average the vectors of the real tokens: sum_t m_t h_t / sum_t m_t."""
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1e-9)


def _pick(
    hidden: Float[Tensor, "text token dim"], position: Int[Tensor, " text"]
) -> Float[Tensor, "text dim"]:
    return hidden[torch.arange(len(hidden), device=hidden.device), position]


def cls_pool(
    hidden: Float[Tensor, "text token dim"], mask: Int[Tensor, "text token"]
) -> Float[Tensor, "text dim"]:
    """Take the vector of the first real token."""
    return _pick(hidden, mask.argmax(dim=1))


def last_pool(
    hidden: Float[Tensor, "text token dim"], mask: Int[Tensor, "text token"]
) -> Float[Tensor, "text dim"]:
    """Take the vector of the last real token, on whichever side the padding stands."""
    return _pick(hidden, mask.shape[1] - 1 - mask.flip(1).argmax(dim=1))


Pooling = Callable[[Tensor, Tensor], Tensor]
POOLINGS: dict[str, Pooling] = {"mean": mean_pool, "cls": cls_pool, "last": last_pool}


def pool(
    hidden: Float[Tensor, "text token dim"], mask: Int[Tensor, "text token"], *, how: str
) -> Float[Tensor, "text dim"]:
    """Pool in float32 at least, whatever precision the layers ran in.

    Args:
        hidden: one vector per token, as the last layer gives them.
        mask: 1 for a real token, 0 for padding; padding may stand on either side.
        how: "mean" (BERT-like encoders), "cls" (BGE, GTE) or "last" (decoders such as Qwen3).

    Returns:
        One vector per text.

    Example:
        >>> hidden = torch.tensor([[[1.0], [3.0], [9.0]]])
        >>> pool(hidden, torch.tensor([[1, 1, 0]]), how="mean").item()
        2.0
        >>> pool(hidden, torch.tensor([[0, 1, 1]]), how="cls").item()
        3.0

    Source: Reimers and Gurevych 2019 (Sentence-BERT), section 3.

    Breaks when: the weights were trained with another pooling; the vectors are then meaningless
    without any error.
    """
    if hidden.dtype in (torch.bfloat16, torch.float16):
        hidden = hidden.float()
    return POOLINGS[how](hidden, mask)
