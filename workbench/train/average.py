"""The exponential moving average of the weights that a run may keep beside them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from workbench.encode import Encoder

Weights = dict[str, Tensor]


def trained(encoder: Encoder) -> Weights:
    """Copies of the weights that are trained, by name: where an average begins."""
    named = encoder.named_parameters()
    return {name: value.detach().clone() for name, value in named if value.requires_grad}


def update(average: Weights, encoder: Encoder, *, decay: float, step: int) -> None:
    """Move an average, in place, towards the weights as a step has left them.

        d = min(decay, (1 + step) / (10 + step)),   average = d average + (1 - d) weight

    Args:
        average: what `trained` gave, and earlier updates have moved.
        encoder: being trained.
        decay: share kept of the old average, e.g. 0.999.
        step: steps done before this one; the first ones count for more.
    """
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for name, value in encoder.named_parameters():
            if name in average:
                average[name].lerp_(value, 1 - decay)


def averaged(average: Weights, encoder: Encoder) -> Encoder:
    """A copy of the encoder with the averaged weights."""
    twin = copy.deepcopy(encoder)
    named = dict(twin.named_parameters())
    with torch.no_grad():
        for name, value in average.items():
            named[name].copy_(value)
    return twin
