"""The gradient of one optimiser step: embed, contrast, differentiate; plain or cached."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from workbench.encode import Tokens
from workbench.errors import BadArgument
from workbench.train.candidates import Bank, Hard, InBatch, Shared
from workbench.train.contrast import Contrast
from workbench.train.devices import gathered
from workbench.train.embed import CachedEmbedding, Model, Side, embed, plan
from workbench.train.facts import Columns, Embedded, Knowledge
from workbench.train.memory import Memory
from workbench.train.recipe import Recipe
from workbench.train.rows import Account
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
        memory: queue and slow encoder.
    """

    model: Model
    accelerator: Accelerator
    tokens: tuple[Tokens, Tokens]
    contrast: Contrast
    knowledge: Knowledge | None
    recipe: Recipe
    memory: Memory

    def gradients(self, batches: list[Batch], step: int) -> tuple[float, list[Account]]:
        """Differentiate this process's share of the batches of a step (from 0).

        Returns:
            Mean loss over all batches, and an account per batch of this process, in order.
        """
        mine = batches[self.accelerator.process_index :: self.accelerator.num_processes]
        total, accounts = 0.0, []
        for place, batch in enumerate(mine):
            value, account = self._backward(
                batch, (step, place), share=1 / len(mine), last=place == len(mine) - 1
            )
            total += value / len(mine)
            accounts.append(account)
        if self.accelerator.num_processes > 1:
            here = torch.tensor([total], device=self.accelerator.device)
            total = float(self.accelerator.reduce(here, reduction="mean"))
        return total, accounts

    def remember(self, step: int) -> None:
        """After the optimiser's step: move the slow encoder, queue the step's documents."""
        memory = self.memory
        if memory.encoder is not None:
            memory.encoder.update()
        for vectors, docs in memory.seen():
            keys = vectors
            if memory.encoder is not None:
                side = plan(self.tokens[1], docs, token_budget=self._budget)
                with torch.no_grad():
                    (keys,) = embed(memory.encoder, [side], self._device, half=self._half)
            own = Columns(vectors=keys, positions=docs)
            everyone = gathered(own, self.accelerator)
            memory.push(everyone.vectors.detach(), everyone.positions, step=step)

    def embedded(self, batch: Batch, step: int) -> Embedded:
        """The vectors of a batch by the model as it is now, without gradient or dropout."""
        need = self._need(batch, (step, 0))
        with torch.no_grad():
            vectors = embed(self.model, need.sides, self._device, half=self._half)
        return self._embedded(vectors, batch, need, step)

    # -- one batch -----------------------------------------------------------------------------

    def _backward(
        self, batch: Batch, at: tuple[int, int], *, share: float, last: bool
    ) -> tuple[float, Account]:
        account, need = Account(), self._need(batch, at)
        cached = None
        if self.recipe.cache_gradients:
            cached = CachedEmbedding(self.model, need.sides, self._device, half=self._half)
            vectors = cached.vectors()
            joined: AbstractContextManager[None] = nullcontext()
        else:
            joined = self._joined(last=last)
            with joined:
                vectors = embed(self.model, need.sides, self._device, half=self._half)
        batch_vectors = self._embedded(vectors, batch, need, at[0])
        value = self.contrast(
            batch_vectors, self.knowledge, step=at[0], epoch=batch.epoch, account=account
        ).mean()
        if cached is None:
            with self._joined(last=last):
                self.accelerator.backward(value * share)
        else:
            (value * share).backward()  # type: ignore[no-untyped-call]
            for part, final in cached.replayed():
                with self._joined(last=last and final):
                    self.accelerator.backward(part())
        self.memory.note(batch_vectors.positives, batch.docs)
        return float(value.detach()), account

    def _joined(self, *, last: bool) -> AbstractContextManager[None]:
        """Processes exchange gradients at the last backward of a step only."""
        return nullcontext() if last else self.accelerator.no_sync(self.model)

    @property
    def _device(self) -> torch.device:
        found: torch.device = self.accelerator.device
        return found

    @property
    def _half(self) -> bool:
        return self.recipe.half(self._device.type)

    @property
    def _budget(self) -> int:
        return self.recipe.budget(self._device.type)

    def _need(self, batch: Batch, at: tuple[int, int]) -> Need:
        """Which texts a batch wants encoded: not its documents, where a bank holds them."""
        wanted = batch.negatives[:, : self.contrast.hard]
        owners, _ = np.nonzero(wanted >= 0)
        negatives = wanted[wanted >= 0]
        parts = self.contrast.candidates
        bank = next((part for part in parts if isinstance(part, Bank)), None)
        shared = next((part for part in parts if isinstance(part, Shared)), None)
        rng = np.random.default_rng([self.recipe.seed, *at, self.accelerator.process_index])
        corpus = len(self.tokens[1].lengths)
        drawn = _draw(rng, corpus, shared.count) if shared else np.zeros(0, dtype=np.int64)
        from_bank = None
        if bank is not None:
            from_bank = np.arange(corpus)
            if bank.count is not None:
                from_bank = _draw(rng, corpus, bank.count)
        docs = [negatives, drawn] if bank else [batch.docs, negatives, drawn]
        queries = plan(self.tokens[0], batch.queries, token_budget=self._budget)
        sides = [queries]
        if sum(map(len, docs)):
            sides.append(plan(self.tokens[1], np.concatenate(docs), token_budget=self._budget))
        return Need(sides, negatives, owners, drawn, from_bank)

    def _embedded(self, vectors: list[Tensor], batch: Batch, need: Need, step: int) -> Embedded:
        anchors = vectors[0]
        docs = vectors[1] if len(vectors) > 1 else anchors[:0]
        extra: dict[str, Columns] = {}
        if need.bank is not None:
            frozen = self._bank(anchors)
            positives = frozen[torch.from_numpy(batch.docs)].to(anchors)
            if len(need.bank) < len(frozen):
                some = frozen[torch.from_numpy(need.bank)].to(anchors)
                extra["bank"] = Columns(vectors=some, positions=need.bank)
        else:
            positives, docs = docs[: len(batch)], docs[len(batch) :]
        negatives, shared = docs[: len(need.negatives)], docs[len(need.negatives) :]
        if len(need.shared):
            extra["shared"] = Columns(vectors=shared, positions=need.shared)
        if (queue := self.memory.columns(step)) is not None:
            extra["queue"] = queue
        extra |= self._across(
            anchors=Columns(vectors=anchors, positions=batch.queries),
            positives=Columns(vectors=positives, positions=batch.docs),
            negatives=Columns(vectors=negatives, positions=need.negatives),
        )
        return Embedded(
            anchors=anchors,
            positives=positives,
            negatives=negatives,
            queries=batch.queries,
            docs=batch.docs,
            negative_docs=need.negatives,
            owners=need.owners,
            rows=batch.rows,
            extra=extra,
        )

    def _bank(self, anchors: Tensor) -> Tensor:
        bank = self.knowledge.bank if self.knowledge else None
        if bank is None or bank.shape[1] != anchors.shape[1]:
            wanted = f"Bank needs document vectors of width {anchors.shape[1]}"
            found = None if bank is None else tuple(bank.shape)
            mend = "Pass Knowledge.of(collection, bank=document_vectors) of this encoder."
            raise BadArgument("bank", found, wanted, mend)
        return bank

    def _across(self, **own: Columns) -> dict[str, Columns]:
        """The columns of all processes, for the blocks that reach across."""
        letters = {"a": "anchors", "p": "positives", "n": "negatives"}
        reach = {
            letters[block[1]]
            for part in self.contrast.candidates
            if isinstance(part, InBatch | Hard) and part.across_devices
            for block in part.blocks
        }
        if self.accelerator.num_processes == 1:
            return {}
        return {name: gathered(own[name], self.accelerator) for name in sorted(reach)}


@dataclass(frozen=True, eq=False)
class Need:
    """Texts that one batch wants encoded, and where they go.

    Args:
        sides: queries, and documents unless none is wanted.
        negatives: (negative,) positions of mined negatives.
        owners: (negative,) which row each was mined for.
        shared: (shared,) positions of random documents.
        bank: (bank,) positions of frozen documents, None without a bank.
    """

    sides: list[Side]
    negatives: Ints
    owners: Ints
    shared: Ints
    bank: Ints | None


def _draw(rng: np.random.Generator, corpus: int, count: int) -> Ints:
    return np.sort(rng.choice(corpus, size=min(count, corpus), replace=False)).astype(np.int64)
