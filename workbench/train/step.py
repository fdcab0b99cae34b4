"""The gradient of one optimiser step: embed, contrast, differentiate; plain or cached."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from workbench.encode import Tokens
from workbench.train.contrast import Contrast, Tally
from workbench.train.embed import CachedEmbedding, Model, Side, embed, plan
from workbench.train.facts import Embedded, Knowledge
from workbench.train.recipe import Recipe
from workbench.types import Batch, Ints

if TYPE_CHECKING:
    from accelerate import Accelerator


class NonFiniteLoss(RuntimeError):
    """The loss or its gradient stopped being a number; the encoder is as it was before the step.

    Args:
        step: the step that failed (from 1).
        what: "loss" or "gradient".
        rows: the batch's training rows.
    """

    def __init__(self, step: int, what: str, rows: list[int]) -> None:
        self.step, self.what, self.rows = step, what, rows
        shown = ", ".join(map(str, rows[:20])) + (", ..." if len(rows) > 20 else "")
        super().__init__(
            f"step {step}: the {what} is not finite. Nothing was changed or saved. Its rows are "
            f"{shown} (all in `.rows`); a lower learning_rate or a higher temperature is the "
            "usual mend."
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Stepper:
    """Adds the gradient of batches to the model's parameters.

    Args:
        model: the encoder, wrapped for several processes where there are some.
        accelerator: device, processes.
        tokens: the tokenised queries and documents of the collection.
        contrast: candidates, rules and loss.
        knowledge: what rules may ask about.
        recipe: token budget, gradient caching, precision.
    """

    model: Model
    accelerator: Accelerator
    tokens: tuple[Tokens, Tokens]
    contrast: Contrast
    knowledge: Knowledge | None
    recipe: Recipe

    def gradients(self, batches: list[Batch]) -> tuple[float, Tally]:
        """Differentiate this process's share of the batches; mean loss over all of them."""
        mine = batches[self.accelerator.process_index :: self.accelerator.num_processes]
        total, tally = 0.0, {}  # type: float, Tally
        for place, batch in enumerate(mine):
            value, counts = self._backward(batch, share=1 / len(mine), last=place == len(mine) - 1)
            total += value / len(mine)
            for key, (candidates, kept) in counts.items():
                before = tally.get(key, (0, 0.0))
                tally[key] = (before[0] + candidates, before[1] + kept)
        if self.accelerator.num_processes > 1:
            here = torch.tensor([total], device=self.accelerator.device)
            total = float(self.accelerator.reduce(here, reduction="mean"))
        return total, tally

    def _backward(self, batch: Batch, *, share: float, last: bool) -> tuple[float, Tally]:
        device, tally = self.accelerator.device, {}  # type: torch.device, Tally
        negatives, owners = self._negatives(batch)
        sides = self._sides(batch, negatives)
        half = self.recipe.half(device.type)
        if not self.recipe.cache_gradients:
            with self._joined(last=last):
                vectors = embed(self.model, sides, device, half=half)
                value = self._value(vectors, batch, negatives, owners, tally)
                self.accelerator.backward(value * share)
            return float(value.detach()), tally
        cached = CachedEmbedding(self.model, sides, device, half=half)
        value = self._value(cached.vectors(), batch, negatives, owners, tally)
        (value * share).backward()  # type: ignore[no-untyped-call]
        for part, final in cached.replayed():
            with self._joined(last=last and final):
                self.accelerator.backward(part())
        return float(value.detach()), tally

    def _joined(self, *, last: bool) -> AbstractContextManager[None]:
        """Processes exchange gradients at the last backward of a step only."""
        return nullcontext() if last else self.accelerator.no_sync(self.model)

    def _negatives(self, batch: Batch) -> tuple[Ints, Ints]:
        wanted = batch.negatives[:, : self.contrast.hard]
        owners, _ = np.nonzero(wanted >= 0)
        return wanted[wanted >= 0], owners

    def _sides(self, batch: Batch, negatives: Ints) -> list[Side]:
        budget = self.recipe.budget(self.accelerator.device.type)
        docs = np.concatenate([batch.docs, negatives])
        return [
            plan(self.tokens[0], batch.queries, token_budget=budget),
            plan(self.tokens[1], docs, token_budget=budget),
        ]

    def _value(
        self, vectors: list[Tensor], batch: Batch, negatives: Ints, owners: Ints, tally: Tally
    ) -> Tensor:
        embedded = Embedded(
            anchors=vectors[0],
            positives=vectors[1][: len(batch)],
            negatives=vectors[1][len(batch) :],
            queries=batch.queries,
            docs=batch.docs,
            negative_docs=negatives,
            owners=owners,
        )
        return self.contrast(embedded, self.knowledge, tally=tally).mean()
