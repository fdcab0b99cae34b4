"""A slow copy of an encoder whose keys stay comparable while the encoder learns.

    theta_k <- m theta_k + (1 - m) theta_q,   without gradient, before the keys are encoded

Source: He et al. 2020 (MoCo), equation 2; for code search CoCoSoDa (Shi et al. 2023), m = 0.999.
Breaks when: m is so near 1, or training so short, that the copy never leaves its start; each
process of a distributed run keeps a copy of its own and one of them misses an update.
"""

from __future__ import annotations

import copy
from typing import Any, final

import torch
from torch import Tensor, nn

from workbench.errors import BadArgument, check_number

_half = (torch.bfloat16, torch.float16)


@final
class MomentumEncoder(nn.Module):
    """A moving average of an encoder's weights, used to make keys.

    The copy has no gradients and is always in eval mode, also after `.train()`. It follows the
    encoder to another device or precision at the next `update`, except that it keeps float32 where
    the encoder is in half precision: a step of 1 - m would be lost in rounding there.

    Args:
        encoder: any module; `update` reads its weights, `state_dict` holds the copy only. Give the
            bare module, not one wrapped for several processes.
        momentum: m, share of the old weights kept at each update; usual 0.99 to 0.9999, CoCoSoDa
            0.999. 0 copies, 1 freezes.

    Raises:
        BadArgument: momentum outside [0, 1].

    Example:
        >>> encoder = nn.Linear(1, 1, bias=False)
        >>> slow = MomentumEncoder(encoder, momentum=0.9)
        >>> before = slow.encoder.weight.item()
        >>> _ = encoder.weight.data.add_(1.0)
        >>> slow.update()
        >>> round(slow.encoder.weight.item() - before, 4)
        0.1
    """

    def __init__(self, encoder: nn.Module, *, momentum: float = 0.999) -> None:
        super().__init__()
        check_number("momentum", momentum, at_least=0, at_most=1, mend="Try 0.999.")
        self.momentum = momentum
        self._source = (encoder,)  # in a tuple, lest torch count its weights as ours
        self.encoder = copy.deepcopy(encoder).requires_grad_(requires_grad=False)
        self.train()
        self._follow()

    def train(self, mode: bool = True) -> MomentumEncoder:  # noqa: FBT001, FBT002 - torch's signature
        """Stay in eval mode, whatever is asked: keys know no dropout."""
        return super().train(mode=False)

    def _follow(self) -> list[tuple[Tensor, Tensor]]:
        """Pairs of (own weight, the encoder's), own ones moved to where the encoder's are."""
        own, new = list(self.encoder.parameters()), list(self._source[0].parameters())
        if [weight.shape for weight in own] != [weight.shape for weight in new]:
            raise BadArgument(
                "encoder",
                f"{len(new)} weights",
                f"this is the copy of one with {len(own)} weights of given shapes",
                "Make a new MomentumEncoder after changing layers or vocabulary.",
            )
        for slow, fast in zip(own, new, strict=True):
            dtype = torch.float32 if fast.dtype in _half else fast.dtype
            if slow.device != fast.device or slow.dtype != dtype:
                slow.data = slow.data.to(fast.device, dtype)
        return list(zip(own, new, strict=True))

    @torch.no_grad()
    def update(self) -> None:
        """Move the copy towards the encoder by a share 1 - m; buffers are copied.

        Call it once per optimiser step, before the keys of the next batch are encoded.

        Raises:
            BadArgument: the encoder has got other layers or weights of other shapes.
        """
        for slow, fast in self._follow():
            if slow.is_floating_point():
                slow.lerp_(fast.to(slow.dtype), 1 - self.momentum)
            else:
                slow.copy_(fast)
        for kept, seen in zip(self.encoder.buffers(), self._source[0].buffers(), strict=True):
            wide = seen.float() if seen.dtype in _half else seen
            kept.data = wide.detach().clone()

    @torch.no_grad()
    def forward(self, *args: Any, **inputs: Any) -> Any:
        """What the copy makes of the inputs, without a graph.

        Args:
            args: as the encoder takes them.
            inputs: as the encoder takes them by name, e.g. `input_ids` and `attention_mask`.

        Returns:
            Keys.
        """
        return self.encoder(
            *(_wide(one) for one in args), **{name: _wide(one) for name, one in inputs.items()}
        )

    def extra_repr(self) -> str:
        """The momentum."""
        return f"momentum={self.momentum:g}"


def _wide(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype in _half else value
