"""The training loop: visible, resumable, interruptible. It yields a row per optimiser step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch

from workbench import files
from workbench.encode import Encoder
from workbench.errors import BadArgument
from workbench.train import average, checkpoint
from workbench.train.contrast import Contrast
from workbench.train.control import Control
from workbench.train.embed import seeded
from workbench.train.explain import Explanation, explain
from workbench.train.facts import Knowledge
from workbench.train.history import History, Row
from workbench.train.interrupt import deferred_interrupt
from workbench.train.memory import Memory
from workbench.train.parts import Refreshable, Sampler, accelerator, check_parts
from workbench.train.progress import bar
from workbench.train.recipe import Recipe
from workbench.train.refresh import Refresh, Refresher
from workbench.train.rows import Account, told_of
from workbench.train.step import NonFiniteLoss, Stepper
from workbench.types import Batch, Candidates, Collection


class Run:
    """A training run: iterate it (`for` or `async for`), break, look, iterate on.

    Made by `fit`. Attributes: `encoder` (being trained), `history`, `step` (steps done), `total`,
    `control` (pause, stop and checkpoint it from elsewhere).
    """

    def __init__(
        self,
        encoder: Encoder,
        collection: Collection,
        sampler: Sampler,
        contrast: Contrast,
        *,
        knowledge: Knowledge | None,
        recipe: Recipe,
        folder: Path | None,
        save_every: int | None,
        keep: int,
        evaluate: Callable[[Encoder], float] | None,
        evaluate_every: int | None,
        refresh: Refresh | None,
    ) -> None:
        self.encoder, self.collection, self.sampler = encoder, collection, sampler
        self.contrast, self.knowledge, self.recipe = contrast, knowledge, recipe
        self.folder, self.save_every, self.keep = folder, save_every, keep
        self.evaluate, self.evaluate_every = evaluate, evaluate_every
        self.accelerator, self.control = accelerator(), Control()
        self.history = History(folder / "history.jsonl" if folder and self._is_main else None)
        self.step, self.best, self.best_step = 0, float("-inf"), None  # type: int, float, int | None
        self._epoch_batches: tuple[int, list[Batch]] = (-1, [])
        per_step = recipe.accumulate * self.accelerator.num_processes
        self.per_step = per_step
        self.total = recipe.steps or max(1, recipe.epochs * len(self.batches(0)) // per_step)
        check_parts(collection, sampler, contrast, knowledge, self.batches(0)[0])
        self.refresher = None if refresh is None else Refresher(refresh, self)
        self._made_of = self._fingerprint()
        # AdamW on half-precision weights loses every update smaller than a rounding step
        encoder.to(self.accelerator.device, torch.float32)
        matrices = [p for p in encoder.parameters() if p.requires_grad and p.ndim > 1]
        vectors = [p for p in encoder.parameters() if p.requires_grad and p.ndim <= 1]
        decayed = [{"params": matrices, "weight_decay": recipe.weight_decay}]
        groups = decayed + ([{"params": vectors, "weight_decay": 0.0}] if vectors else [])
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
        self.ema = average.trained(encoder) if recipe.ema else None
        self.memory = Memory(contrast, encoder)
        self._stepper = Stepper(
            model=self.accelerator.prepare(encoder),
            accelerator=self.accelerator,
            tokens=(
                encoder.tokenize(collection.query_texts, side="query"),
                encoder.tokenize(collection.doc_texts, side="doc"),
            ),
            contrast=contrast,
            knowledge=knowledge,
            recipe=recipe,
            memory=self.memory,
        )

    # -- what a notebook calls ---------------------------------------------------------------

    def __iter__(self) -> Run:
        self.control.renew()
        return self

    def __next__(self) -> Row:
        """Train one step; an interrupt waits for its end, so the state is always whole."""
        if self.step >= self.total or not self.control.wait(self.save):
            raise StopIteration
        return self._next()

    def __aiter__(self) -> AsyncIterator[Row]:
        self.control.renew()
        return self

    async def __anext__(self) -> Row:
        await asyncio.sleep(0)
        if self.step >= self.total or not await self.control.wait_async(self.save):
            raise StopAsyncIteration
        return self._next()

    def finish(self, *, progress: bool = True) -> Encoder:
        """Train to the end with a progress bar and return the encoder (averaged, if asked for)."""
        with bar(self.step, self.total, progress=progress) as told:
            for row in self:
                told(row)
        return self.averaged() if self.ema is not None else self.encoder

    async def finish_async(self, *, progress: bool = True) -> Encoder:
        """`finish` that can be awaited: a notebook's buttons act between the steps."""
        with bar(self.step, self.total, progress=progress) as told:
            async for row in self:
                told(row)
        return self.averaged() if self.ema is not None else self.encoder

    def batches(self, epoch: int) -> list[Batch]:
        """All batches of an epoch, in order."""
        if self._epoch_batches[0] != epoch:
            self.sampler.set_epoch(epoch)
            found = list(self.sampler)
            if not found:
                wanted = "it must yield at least one batch"
                raise BadArgument("sampler", self.sampler, wanted, "Use a smaller batch_size.")
            self._epoch_batches = (epoch, found)
        return self._epoch_batches[1]

    def forget(self) -> None:
        """Ask the sampler for the batches of the epoch again: its negatives have changed."""
        self._epoch_batches = (-1, [])

    def negatives(self, step: int) -> Candidates | None:
        """The mined negatives that a step (from 1) took its own from; None without any."""
        if self.refresher is None:
            return self.sampler.negatives if isinstance(self.sampler, Refreshable) else None
        return self.refresher.at(step - 1)

    def replay(self, step: int) -> list[Batch]:
        """The batches of a logged step (from 1), rebuilt exactly.

        Raises:
            BadArgument: no such step, or the sampler no longer yields what was logged; a thread is
                training it and does not pause (so for `explain` and `save`).
        """
        self.control.check_still()
        rows = [row for row in self.history.rows if row["step"] == step]
        if not rows:
            wanted = f"steps 1..{self.step} are logged"
            raise BadArgument("step", step, wanted, "Choose one of them.")
        row = rows[-1]
        with self.refresher.as_of(step - 1) if self.refresher else nullcontext():
            batches, _ = self._take(int(row["epoch"]), int(row["batch"]))
        found = files.fingerprint([batch.fingerprint for batch in batches])
        if found != row["rows"]:
            wanted = f"its batches are {row['rows']}"
            raise BadArgument("step", step, wanted, "The sampler or its data changed since.")
        return batches

    def explain(self, step: int) -> Explanation:
        """Take a logged step (from 1) apart: what carried the gradient, what was dropped and why.

        Its batch is rebuilt exactly; the vectors are those of the encoder as it is now, without
        dropout, and a queue is as it stands now.

        Raises:
            BadArgument: no such step, or the sampler no longer yields what was logged.
        """
        batch = self.replay(step)[0]
        training = self.encoder.training
        self.encoder.eval()
        try:
            vectors = self._stepper.embedded(batch, step - 1)
        finally:
            self.encoder.train(training)
        ids = (self.collection.query_ids, self.collection.doc_ids)
        return explain(self.contrast, vectors, self.knowledge, step=step - 1, ids=ids)

    def averaged(self) -> Encoder:
        """A copy of the encoder with the moving average of its weights.

        Raises:
            BadArgument: the recipe asked for no average.
        """
        if self.ema is None:
            raise BadArgument("ema", None, "the recipe keeps no average", "Set Recipe(ema=0.999).")
        return average.averaged(self.ema, self.encoder)

    def save(self) -> Path | None:
        """Write a checkpoint of this very state; None without a folder."""
        self.control.check_still()
        if self.folder is None or not self._is_main:
            return None
        epoch, batch = self._position
        path = checkpoint.save(
            self.folder,
            step=self.step,
            encoder=self.encoder,
            optimizer=self.optimizer,
            ema=self.ema,
            memory=self.memory.state(),
            losses=self.knowledge.losses if self.knowledge else None,
            sampler=self.sampler.arrays() if isinstance(self.sampler, Refreshable) else {},
            state={
                "epoch": epoch,
                "batch": batch,
                "recipe": self._made_of,
                "age": self.encoder.age,
                "refresh": self.refresher.state() if self.refresher else None,
            },
        )
        checkpoint.prune(self.folder, keep=self.keep, best=self.best_step)
        return path

    def resume(self) -> bool:
        """Go on from the newest checkpoint of the folder, if there is one.

        Raises:
            BadArgument: it belongs to a run with other data or options.
        """
        path = checkpoint.newest(self.folder) if self.folder else None
        if path is None or self.folder is None:
            self.history.rewind(0)
            if self.refresher is not None:
                self.refresher.restore({"rounds": [], "reached": -1})
            return False
        saved = files.read_json(path / checkpoint.STATE)
        if saved["recipe"] != self._made_of:
            wanted = "it holds a run with other data or options"
            raise BadArgument("folder", str(self.folder), wanted, "Use another, or resume=False.")
        state, ema = checkpoint.restore(path, encoder=self.encoder, optimizer=self.optimizer)
        self.memory.restore(checkpoint.memory(path))
        store = self.knowledge.losses if self.knowledge else None
        if store is not None and (kept := checkpoint.losses(path)) is not None:
            store.become(kept)
        self.encoder.age = state["age"]
        if isinstance(self.sampler, Refreshable):
            self.sampler.load_arrays(checkpoint.sampler(path))
            self.forget()
        if self.refresher is not None:
            self.refresher.restore(state["refresh"])
        self.step, self._position = state["step"], (state["epoch"], state["batch"])
        if self.ema is not None and ema is not None:
            self.ema = {name: value.to(self.accelerator.device) for name, value in ema.items()}
        self.history.rewind(self.step)
        best = self.folder / "best.json"
        if best.exists():
            known = files.read_json(best)
            if known["step"] <= self.step:
                self.best, self.best_step = known["value"], known["step"]
        return True

    # -- the loop ----------------------------------------------------------------------------

    def _next(self) -> Row:
        epoch, place = self._position
        with self.control.stepping():
            told: Row = {}
            if self.refresher is not None:
                told = self.refresher.before(self.step, epoch=epoch, place=place)
            with deferred_interrupt() as interrupted:
                row = self._one_step(told)
                if interrupted():
                    self.save()
            if interrupted():
                raise KeyboardInterrupt(f"stopped whole after step {self.step}")
        if self.step >= self.total:
            self.control.state = "done"
        return row

    def _one_step(self, told: Row) -> Row:
        started = time.perf_counter()
        epoch, place = self._position
        batches, following = self._take(epoch, place)
        rate = self.recipe.rate(self.step, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.encoder.train()
        self.optimizer.zero_grad()
        with seeded(self.recipe.seed, self.step, self.accelerator.device):
            loss, accounts = self._stepper.gradients(batches, self.step)
            norm = self._checked_norm(loss, batches)
            self.optimizer.step()
            if self.ema is not None and self.recipe.ema is not None:
                average.update(self.ema, self.encoder, decay=self.recipe.ema, step=self.step)
            self._stepper.remember(self.step)
        self._record(epoch, batches, accounts)
        self.step, self._position = self.step + 1, following
        self.encoder.age += 1
        row: Row = {
            "step": self.step,
            "epoch": epoch,
            "batch": place,
            "loss": loss,
            "learning_rate": rate,
            "gradient_norm": norm,
            "pairs": sum(len(batch) for batch in batches),
            **told_of(accounts),
            "seconds": time.perf_counter() - started,
            "rows": files.fingerprint([batch.fingerprint for batch in batches]),
            **told,
        }
        better = False
        try:
            better = self._evaluate(row)
        finally:
            self.history.append(row)  # before any checkpoint: a kill leaves a row too many
        due = self.save_every is not None and self.step % self.save_every == 0
        due = self.control.take_checkpoint() or due
        if better or due or self.step == self.total:
            self.save()
        if better and self.folder is not None and self._is_main:
            best = {"step": self.step, "value": self.best}
            files.write_json(self.folder / "best.json", best)
        return row

    _position: tuple[int, int] = (0, 0)

    def _take(self, epoch: int, place: int) -> tuple[list[Batch], tuple[int, int]]:
        """The batches of one optimiser step from a place on, and the place after them."""
        found: list[Batch] = []
        while len(found) < self.per_step:
            batches = self.batches(epoch)
            found.append(batches[place])
            epoch, place = (epoch, place + 1) if place + 1 < len(batches) else (epoch + 1, 0)
        return found, (epoch, place)

    def _record(self, epoch: int, batches: list[Batch], accounts: list[Account]) -> None:
        """What each pair cost, into the store that rules about pairs read."""
        store = self.knowledge.losses if self.knowledge else None
        if store is None:
            return
        mine = batches[self.accelerator.process_index :: self.accelerator.num_processes]
        for batch, account in zip(mine, accounts, strict=True):
            if account.values is not None:
                store.record(batch.rows, account.values.float().cpu().numpy(), epoch=epoch)

    def _checked_norm(self, loss: float, batches: list[Batch]) -> float:
        parameters = [p for p in self.encoder.parameters() if p.requires_grad]
        limit = self.recipe.clip if self.recipe.clip is not None else float("inf")
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, limit))
        for what, value in (("loss", loss), ("gradient", norm)):
            if not np.isfinite(value):
                self.optimizer.zero_grad()
                rows = np.concatenate([batch.rows for batch in batches]).tolist()
                raise NonFiniteLoss(self.step + 1, what, rows)
        return norm

    def _evaluate(self, row: Row) -> bool:
        """Evaluate if it is time; is this the best so far?"""
        due = self.evaluate_every and self.step % self.evaluate_every == 0
        if self.evaluate is None or not (due or self.step == self.total):
            return False
        value = float(self.evaluate(self.averaged() if self.ema is not None else self.encoder))
        row["evaluation"] = value
        if value <= self.best:
            return False
        self.best, self.best_step = value, self.step
        return True

    @property
    def _is_main(self) -> bool:
        return bool(self.accelerator.is_main_process)

    def _fingerprint(self) -> str:
        first: list[object] = [batch.fingerprint for batch in self.batches(0)]
        if self.refresher is not None:  # the sampler may come from a run that has renewed it
            first = [self.refresher.sampler.fingerprint, self.refresher.refresh.recipe]
        knowledge = self.knowledge.recipe if self.knowledge else ""
        made = [self.encoder.components(side) for side in ("query", "doc")]
        encoder = [
            {name: part[name] for name in part if name not in ("weights", "precision")}
            for part in made
        ]
        parts = (self.collection.fingerprint, self.recipe, self.contrast, knowledge)
        return files.fingerprint(*parts, first, encoder, self.per_step)

    def __repr__(self) -> str:
        return f"Run(step {self.step} of {self.total}, {self.contrast})"
