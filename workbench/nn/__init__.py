"""What has state beside the encoder: momentum copy and queue; and what changes its inputs.

Tokens are changed by `SoftTokenAugment`, vectors by `adversarial_anchors`.
"""

from workbench.nn.augment import SoftTokenAugment
from workbench.nn.momentum import MomentumEncoder
from workbench.nn.perturb import adversarial_anchors, unit_step
from workbench.nn.queue import NegativeQueue
from workbench.nn.token_types import TokenType, token_types

__all__ = [
    "MomentumEncoder",
    "NegativeQueue",
    "SoftTokenAugment",
    "TokenType",
    "adversarial_anchors",
    "token_types",
    "unit_step",
]
