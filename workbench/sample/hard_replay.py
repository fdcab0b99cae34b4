"""The batches that cost most last time, again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, check_number
from workbench.files import fingerprint
from workbench.registry import register
from workbench.sample.base import Sampler
from workbench.sample.composition import Columns
from workbench.sample.grouped import unused
from workbench.sample.plan import Plan
from workbench.types import Candidates, Ints, LossStore


def hardest_batches(losses: NDArray[np.float64], *, delta: float) -> Ints:
    """The int(delta B), at least one, of B batches with the largest losses, ascending.

    Args:
        losses: (batch,) last loss of each; of equal ones the earlier batch counts as harder.
        delta: share to keep, in (0, 1].

    Example:
        >>> hardest_batches(np.array([2.0, 0.5, 1.0, 3.0, 0.9]), delta=0.4).tolist()
        [0, 3]
    """
    most = max(1, int(delta * len(losses) + 1e-9))
    return np.sort(np.argsort(-losses, kind="stable")[:most])


@register("sampler", "hard_replay")
class HardReplay(Sampler):
    """Epoch 0 of another sampler, then only the share of its batches with the largest last loss.

    The batches are those of epoch 0 for good. A batch's loss is the mean of its rows' last losses;
    batches that are not visited keep theirs and come back when the others have fallen below. A
    later epoch has int(delta B) batches, so a budget in steps visits the hard ones more often.

    **Beware**: what stays costly may be wrong. With mislabelled rows or false negatives in the
    batch this spends the budget on them: in the planted world of the tests, with 15 % of the
    batches labelled at random, their share of the visits doubles and accuracy on the others falls.
    Look at the rows first, or give the loss a rule that drops what it must not learn.

    Args:
        sampler: whose epoch 0 is replayed; its mined negatives are drawn as it draws them.
        losses: the store that training writes to (`Knowledge.of(..., losses=store)`).
        delta: share of the batches to replay, usually 0.2 to 0.5, in (0, 1].

    Raises:
        BadArgument: delta out of range, a store of other rows, or no loss before an epoch.

    Example:
        >>> from workbench.sample import Shuffled
        >>> pairs = np.stack([np.arange(4), np.arange(4)], axis=1)
        >>> store = LossStore.empty(4)
        >>> sampler = HardReplay(Shuffled(pairs, batch_size=2), store, delta=0.5)
        >>> hard = sampler.batch(1).rows
        >>> store.record(np.arange(4), np.isin(np.arange(4), hard).astype(float), epoch=0)
        >>> [batch.tolist() for batch in sampler.plan(1).batches] == [hard.tolist()]
        True

    Source: Zhang et al. 2023, "Can we learn better with hard samples?", delta mini-batches.

    Breaks when: labels are noisy, see above; or batches of the inner sampler should change from
    epoch to epoch, as those grouped by vectors do.
    """

    def __init__(self, sampler: Sampler, losses: LossStore, *, delta: float = 0.5) -> None:
        check_number("delta", delta, above=0, at_most=1, mend="Try 0.5.")
        if not isinstance(sampler, Sampler) or isinstance(sampler, HardReplay):
            wanted = "it must be another sampler of this room"
            raise BadArgument("sampler", sampler, wanted, "Try Shuffled(...).")
        store: object = losses
        if not isinstance(store, LossStore) or len(store) != len(sampler.pairs):
            wanted = f"it must be about {len(sampler.pairs):,} rows, as the sampler is"
            raise BadArgument("losses", losses, wanted, "LossStore.empty(len(sampler.pairs)).")
        super().__init__(
            sampler.pairs,
            batch_size=sampler.batch_size,
            seed=sampler.seed,
            drop_last=sampler.drop_last,
            known=sampler.known,
            negatives=sampler.negatives,
            num_negatives=sampler.num_negatives,
            draw=sampler.draw,
            window=sampler.window,
            bins=sampler.bins,
        )
        self.sampler, self.losses, self.delta = sampler, losses, delta
        self._first = sampler.plan(0)
        self._made_of: str | None = None

    def plan(self, epoch: int | None = None) -> Plan:
        """All batches of an epoch, as the losses before it decide.

        Raises:
            BadArgument: an epoch after 0 without a loss of each batch before it.
        """
        wanted = self.epoch if epoch is None else epoch
        if not wanted:
            return self._first
        before = self.losses.before(wanted)
        made: Plan = before.once(self, lambda: self._plan(wanted, np.random.default_rng(0)))
        return made

    def _plan(self, epoch: int, rng: np.random.Generator) -> Plan:
        batches = self._first.batches
        last = self.losses.last(before=epoch)
        sizes = np.array([len(batch) for batch in batches])
        means = np.add.reduceat(last[np.concatenate(batches)], np.cumsum(sizes) - sizes) / sizes
        if np.isnan(means).any():
            wanted = f"batch {int(np.isnan(means).argmax())} has a row without a loss before it"
            mend = "Train epoch 0 with this store, or look at epoch 0."
            raise BadArgument("epoch", epoch, wanted, mend)
        chosen = [batches[place] for place in hardest_batches(means, delta=self.delta).tolist()]
        left = unused(len(self.pairs), chosen)
        return Plan(
            batches=chosen, left_out=left, inspected=len(batches), labels=self._first.labels
        )

    def renew(self, negatives: Candidates) -> None:
        """Draw from newly mined negatives from now on; the inner sampler does so as well."""
        super().renew(negatives)
        self.sampler.renew(negatives)

    def load_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take over what `arrays()` gave; the inner sampler does so as well."""
        super().load_arrays(arrays)
        drawn = {name: array for name, array in arrays.items() if name in ("negatives", "bins")}
        self.sampler.load_arrays(self.sampler.arrays() | drawn)

    @property
    def fingerprint(self) -> str:
        """Of the inner sampler, its batches of epoch 0 and delta."""
        if self._made_of is None:
            rows = np.concatenate(self._first.batches)
            self._made_of = fingerprint("HardReplay", self.sampler.fingerprint, self.delta, rows)
        return self._made_of

    def _negatives(self, batches: list[Ints], epoch: int) -> tuple[Ints, Columns]:
        return self.sampler._negatives(batches, epoch)
