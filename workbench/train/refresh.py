"""Refreshing: negatives mined anew, and batches grouped anew, by the encoder as it has become.

    every n steps:   v = encode(texts; weights now),   negatives = mine(v),   go on
    per epoch:       v = encode(texts; weights now),   the sampler groups its rows by v

The first is ANCE, or ADORE's schedule when the documents are a fixed index; the second is NGAME's.
"""

from __future__ import annotations

import inspect
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.encode import VectorCache
from workbench.errors import BadArgument, check_count
from workbench.mine import compare_rounds
from workbench.sample import Sampler as Batches
from workbench.train.contrast import Contrast
from workbench.train.devices import agreed
from workbench.train.history import Row
from workbench.train.interrupt import deferred_interrupt
from workbench.train.parts import Refreshable, Sampler
from workbench.types import Candidates, Collection, Ids, Vectors

if TYPE_CHECKING:
    from workbench.train.loop import Run

Mine = Callable[[tuple[Vectors, Vectors]], Candidates]
FOLDER = "rounds"
BUILT = -1
"""The round that the sampler was built with: it began before step 0."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Refresh:
    """When a run encodes its texts again, and what it does with the vectors.

    Before each due step the texts are encoded by the encoder as it is (in eval mode, with a
    progress bar); `mine` makes new negatives of the vectors and the sampler brings those from then
    on. Before an epoch that the sampler wants fresh vectors for (`sampler.wants_refresh(epoch)`)
    it also gets them to group its rows by, whether or not anything is mined.

    Args:
        mine: (query vectors, document vectors) -> negatives, rules applied, of the collection that
            is trained on; None = only regroup.
        every: optimiser steps between minings; ANCE takes 5,000 to 10,000, small runs 50 to 500.
        first: optimiser steps before the first mining; None = `every`, 0 = before any training.
        queries: vectors that stand for the queries throughout, if only documents learn.
        docs: a fixed index: documents are not encoded again (ADORE).
        cache: keeps what has been encoded, so that a run killed while encoding goes on there; it
            grows by all vectors with every round.

    Raises:
        BadArgument: `every` without `mine` or the reverse, a count, or nothing left to encode.

    Example:
        >>> refresh = Refresh(mine=lambda vectors: mine.dense(train, *vectors, k=5), every=200)
        >>> [step for step in range(601) if refresh.due(step)]
        [200, 400, 600]

    Source: Xiong et al. 2021 (ANCE), section 4; Zhan et al. 2021 (ADORE), section 4.2: every step,
    which is `Bank()` with `losses.Adore()`; Dahiya et al. 2022 (NGAME), section 3.2.
    Breaks when: unlabelled positives are many: the better the encoder, the more of what it finds
    at rank 1 is right, so mine with rules.
    """

    mine: Mine | None = None
    every: int | None = None
    first: int | None = None
    queries: Vectors | None = None
    docs: Vectors | None = None
    cache: VectorCache | None = None

    def __post_init__(self) -> None:
        if (self.mine is None) != (self.every is None):
            wanted = "`mine` and `every` go together"
            raise BadArgument("every", self.every, wanted, "Give both, e.g. every=200, or neither.")
        given: object = self.mine
        if given is not None and not callable(given):
            wanted = "it must be a function (query vectors, document vectors) -> Candidates"
            mend = "Try mine=lambda vectors: mine.dense(train, *vectors, k=5)."
            raise BadArgument("mine", self.mine, wanted, mend)
        if given is not None and not _takes_one(given):
            wanted = "it must take one argument, the pair (query vectors, document vectors)"
            mend = "Try mine=lambda vectors: mine.dense(train, *vectors, k=5)."
            raise BadArgument("mine", self.mine, wanted, mend)
        if self.every is not None:
            check_count("every", self.every, mend="Try 200.")
        if self.first is not None:
            check_count("first", self.first, at_least=0, mend="Try 0, or None for `every`.")
            if self.mine is None:
                wanted = "nothing is mined"
                raise BadArgument("first", self.first, wanted, "Give mine= and every= too.")
        if self.queries is not None and self.docs is not None:
            wanted = "both sides are fixed, so that nothing is encoded"
            raise BadArgument("docs", self.docs, wanted, "Leave out queries= or docs=.")

    def due(self, step: int) -> bool:
        """Are negatives mined before this optimiser step (from 0)?"""
        if self.every is None:
            return False
        first = self.every if self.first is None else self.first
        return step >= first and (step - first) % self.every == 0

    @property
    def recipe(self) -> dict[str, object]:
        """What of it can be told from the outside, for the run's fingerprint."""
        fixed = (self.queries, self.docs)
        return {
            "every": self.every,
            "first": self.first,
            "fixed": [None if side is None else side.fingerprint for side in fixed],
        }


def _takes_one(function: Callable[..., object]) -> bool:
    """Can it be called with one argument, as far as can be told from outside?"""
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # a built-in function that does not say
        return True
    return True


def check_refresh(
    refresh: Refresh,
    collection: Collection,
    sampler: Sampler,
    contrast: Contrast,
    *,
    dim: int,
) -> None:
    """Refuse a refresh that these parts cannot carry out, before any work.

    Raises:
        BadArgument: a sampler that cannot change its negatives, or was built without any; fixed
            vectors of other texts or of another width; nothing that would ever be refreshed.
    """
    if not isinstance(sampler, Refreshable):
        wanted = "it cannot be refreshed"
        mend = "Give it refresh, renew, wants_refresh, arrays and load_arrays, or drop refresh=."
        raise BadArgument("sampler", sampler, wanted, mend)
    if refresh.mine is not None and (sampler.negatives is None or contrast.hard == 0):
        wanted = "refresh mines negatives, and it was built without any"
        mend = (
            "Build it with negatives=first, num_negatives=n, where first = mine("
            "encode_collection(encoder, collection)), and put Hard(n) into the contrast."
        )
        raise BadArgument("sampler", sampler, wanted, mend)
    sides = (("queries", refresh.queries, collection.query_ids),
             ("docs", refresh.docs, collection.doc_ids))  # fmt: skip
    for name, fixed, ids in sides:
        if fixed is None:
            continue
        if not np.array_equal(fixed.ids, ids):
            wanted = "its ids must be those of the collection, in its order"
            raise BadArgument(name, fixed, wanted, "Encode this very collection.")
        if fixed.values.shape[1] != dim:
            wanted = f"the encoder's vectors have {dim} numbers"
            raise BadArgument(name, fixed, wanted, "Encode it with an encoder of that width.")
    asks = not isinstance(sampler, Batches) or type(sampler).wants_refresh != Batches.wants_refresh
    if refresh.mine is None and not asks:
        wanted = "nothing is mined, and this sampler never wants fresh vectors"
        mend = "Give mine= and every=, take Clusters or Neighbours, or drop refresh=."
        raise BadArgument("refresh", refresh, wanted, mend)


class Refresher:
    """Carries out the refreshes of one run and keeps every round of negatives.

    Args:
        refresh: when and how.
        run: whose encoder, collection and sampler.
    """

    def __init__(self, refresh: Refresh, run: Run) -> None:
        check_refresh(refresh, run.collection, run.sampler, run.contrast, dim=run.encoder.dim)
        assert isinstance(run.sampler, Refreshable)
        self.refresh, self.run, self.sampler = refresh, run, run.sampler
        self.folder = None if run.folder is None else run.folder / FOLDER
        self.rounds: list[int] = []
        self.reached = -1  # the last epoch whose grouping is settled
        self._kept: dict[int, Candidates] = {}
        self._told = Row()

    # -- before a step -----------------------------------------------------------------------

    def before(self, step: int, *, epoch: int, place: int) -> Row:
        """Everything due before an optimiser step (from 0); what was done, for its row.

        An interrupt breaks in at once, after a checkpoint: nothing is half done, and what was not
        finished is made again, and the same.

        Args:
            step: about to be taken.
            epoch: of its first batch.
            place: of its first batch in that epoch.
        """
        try:
            return self._before(step, epoch, place)
        except KeyboardInterrupt:
            self.run.save()
            raise

    def _before(self, step: int, epoch: int, place: int) -> Row:
        started = time.perf_counter()
        vectors: list[tuple[Vectors, Vectors]] = []  # encoded once, however many ask
        if self.refresh.mine is not None and not self.rounds:
            self._begin(BUILT, self._built())
        if self.refresh.due(step) and step not in self.rounds:
            self._told |= self._mine(step, vectors)
        left = self.run.per_step + place
        while left > 0:
            self._told |= self._regroup(epoch, vectors)
            left -= len(self.run.batches(epoch))
            epoch += 1
        told, self._told = self._told, Row()
        return {**told, "refresh_seconds": time.perf_counter() - started} if told else told

    def _vectors(self, made: list[tuple[Vectors, Vectors]]) -> tuple[Vectors, Vectors]:
        """Both sides by the encoder as it is, the fixed ones as they were given."""
        if not made:
            made.append((self._side("query"), self._side("doc")))
        return made[0]

    def _side(self, side: str) -> Vectors:
        query, collection, refresh = side == "query", self.run.collection, self.refresh
        fixed = refresh.queries if query else refresh.docs
        if fixed is not None:
            return fixed
        found = self.run.encoder.encode(
            collection.query_texts if query else collection.doc_texts,
            side=side,
            ids=collection.query_ids if query else collection.doc_ids,
            cache=refresh.cache,
        )
        return replace(found, values=agreed(found.values, self.run.accelerator))

    def _mine(self, step: int, vectors: list[tuple[Vectors, Vectors]]) -> Row:
        assert self.refresh.mine is not None
        before = self.round(self.rounds[-1])
        found: object = self.refresh.mine(self._vectors(vectors))
        new = self._checked(found)
        main = partial(agreed, accelerator=self.run.accelerator)
        new = replace(
            new,
            docs=main(new.docs),
            scores=main(new.scores),
            ranks=main(new.ranks),
            weight=main(new.weight),
            positive_scores=main(new.positive_scores),
        )
        with deferred_interrupt() as interrupted:
            self.sampler.renew(new)
            self._begin(step, new)
            self.run.forget()
        stale = compare_rounds(before, new).staleness
        told: Row = {"refreshed": len(self.rounds) - 1, "staleness": stale if stale == stale else 0}
        if interrupted():
            self._told |= told
            raise KeyboardInterrupt(f"stopped whole after mining before step {step + 1}")
        return told

    def _checked(self, found: object) -> Candidates:
        if not isinstance(found, Candidates):
            wanted = "it must return Candidates"
            raise BadArgument("mine", found, wanted, "Return what mine.dense returns.")
        collection = self.run.collection
        pairs: list[tuple[Ids, Ids]] = [(found.query_ids, collection.query_ids)]
        pairs += [(found.doc_ids, collection.doc_ids)]
        if not all(np.array_equal(theirs, ours) for theirs, ours in pairs):
            wanted = "it mined another collection than the one that is trained on"
            raise BadArgument("mine", found, wanted, "Mine this one.")
        return found

    def _built(self) -> Candidates:
        negatives = self.sampler.negatives
        assert negatives is not None  # checked when the run was made
        return negatives

    def _regroup(self, epoch: int, vectors: list[tuple[Vectors, Vectors]]) -> Row:
        """Fresh vectors for an epoch that has not begun, if the sampler wants them."""
        if epoch <= self.reached:
            return {}
        if not self.sampler.wants_refresh(epoch):
            self.reached = epoch
            return {}
        fresh = self._vectors(vectors)
        with deferred_interrupt() as interrupted:
            self.sampler.refresh(*fresh, epoch=epoch)
            self.reached = epoch
            self.run.forget()
        if interrupted():
            raise KeyboardInterrupt(f"stopped whole before epoch {epoch}")
        return {"regrouped": epoch}

    # -- rounds ------------------------------------------------------------------------------

    def _begin(self, step: int, negatives: Candidates) -> None:
        """Keep the negatives of a round that begins before `step`."""
        if self.folder is None:
            self._kept[step] = negatives
        else:
            self._kept = {step: negatives}
            if self.run.accelerator.is_main_process:
                negatives.save(self._path(step))
        self.rounds.append(step)

    def _path(self, step: int) -> Path:
        assert self.folder is not None
        return self.folder / ("start" if step == BUILT else f"step-{step:08d}")

    def round(self, step: int) -> Candidates:
        """The negatives of the round that began before `step`."""
        if step in self._kept:
            return self._kept[step]
        return Candidates.load(self._path(step))

    def at(self, step: int) -> Candidates | None:
        """The negatives an optimiser step (from 0) was or will be trained with."""
        begun = [start for start in self.rounds if start <= step]
        return self.round(begun[-1]) if begun else self.sampler.negatives

    @contextmanager
    def as_of(self, step: int) -> Iterator[None]:
        """Inside, the sampler brings the negatives of an earlier step (from 0)."""
        if not self.rounds or self.rounds[-1] <= step:
            yield
            return
        then = self.at(step)
        assert then is not None
        try:
            self.sampler.renew(then)
            self.run.forget()
            yield
        finally:
            self.sampler.renew(self.round(self.rounds[-1]))
            self.run.forget()

    def state(self) -> dict[str, Any]:
        """Where it stands, for a checkpoint."""
        return {"rounds": self.rounds, "reached": self.reached}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` stood; rounds begun later are deleted."""
        self.rounds, self.reached = list(state["rounds"]), int(state["reached"])
        self._clear()
        if self.rounds:
            self.sampler.renew(self.round(self.rounds[-1]))
            self.run.forget()

    def _clear(self) -> None:
        if self.folder is None or not self.run.accelerator.is_main_process:
            return
        wanted = {self._path(step).name for step in self.rounds}
        for path in sorted(self.folder.glob("*")):
            if path.name not in wanted:
                shutil.rmtree(path, ignore_errors=True)
