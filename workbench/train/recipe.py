"""The numbers of a training run, as plain data that can be saved, compared and swept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from workbench.errors import BadArgument, check_choice, check_count, check_number

SCHEDULES = ("cosine", "linear", "constant")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How long, how fast and how carefully to train.

    Args:
        epochs: passes over the sampler, if `steps` is None.
        steps: optimiser steps; overrides `epochs`.
        learning_rate: peak of the schedule; 2e-5 for transformers, 1e-2 for bags of words.
        schedule: after the warm-up: cosine or linear to 0, or constant.
        warmup: share of all steps with a linearly rising rate.
        weight_decay: of AdamW, on matrices only.
        clip: largest gradient norm; None = no clipping.
        accumulate: batches per optimiser step; their losses are averaged. In-batch negatives do
            not reach across them: use `cache_gradients` for that.
        token_budget: padded tokens per micro-batch; None = 2,048 on a CPU, 16,384 on a GPU.
        cache_gradients: hold one micro-batch's activations at a time (gradient caching).
        ema: decay of an exponential moving average of the weights, e.g. 0.999; None = none.
        precision: "no", "bf16"; None = bf16 on a GPU, fp32 on a CPU.
        seed: of dropout; the sampler and the encoder have their own.

    Raises:
        BadArgument: a number outside its range.

    Example:
        >>> Recipe(steps=10, warmup=0.2, learning_rate=1.0).rate(0, 10)
        0.5
    """

    epochs: int = 1
    steps: int | None = None
    learning_rate: float = 2e-5
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float | None = 1.0
    accumulate: int = 1
    token_budget: int | None = None
    cache_gradients: bool = False
    ema: float | None = None
    precision: Literal["no", "bf16"] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("epochs", self.epochs, mend="Try 1.")
        if self.steps is not None:
            check_count("steps", self.steps, mend="Try 100, or None to count epochs.")
        check_number("learning_rate", self.learning_rate, above=0, mend="Try 2e-5.")
        check_choice("schedule", self.schedule, SCHEDULES)
        check_number("warmup", self.warmup, at_least=0, at_most=1, mend="Try 0.1.")
        check_number("weight_decay", self.weight_decay, at_least=0, mend="Try 0.01.")
        if self.clip is not None:
            check_number("clip", self.clip, above=0, mend="Try 1.0, or None for no clipping.")
        check_count("accumulate", self.accumulate, mend="Try 1.")
        if self.token_budget is not None:
            check_count("token_budget", self.token_budget, mend="Try 2048 on a CPU.")
        if self.ema is not None and not 0 < self.ema < 1:
            raise BadArgument("ema", self.ema, "it must be between 0 and 1", "Try 0.999.")
        if self.precision is not None:
            check_choice("precision", self.precision, ["no", "bf16"])
        check_count("seed", self.seed, at_least=0, mend="Try 0.")

    def half(self, device: str) -> bool:
        """Does the model run in bf16 on this kind of device?"""
        return self.precision == "bf16" or (self.precision is None and device == "cuda")

    def budget(self, device: str) -> int:
        """Padded tokens per micro-batch on this kind of device."""
        return self.token_budget or (16_384 if device == "cuda" else 2_048)

    def rate(self, step: int, total: int) -> float:
        """Learning rate of optimiser step `step` (from 0) of `total`.

        Rises linearly over the warm-up, then falls as the schedule says; never 0 at the first step.
        """
        warm = math.ceil(self.warmup * total)
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        share = (step - warm) / max(1, total - warm)
        if self.schedule == "cosine":
            return self.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
        if self.schedule == "linear":
            return self.learning_rate * (1 - share)
        return self.learning_rate
