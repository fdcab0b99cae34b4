"""One way of training, to be compared with others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from workbench.errors import BadArgument
from workbench.train import Contrast, Knowledge, Recipe, Refresh
from workbench.train.parts import Sampler
from workbench.types import Candidates


@dataclass(frozen=True, eq=False)
class Arm:
    """One way of training: what is contrasted, and what it may know.

    Args:
        contrast: candidates, rules and loss.
        knowledge: what rules may ask about; None = nothing is known, as in `train.fit`. A store of
            losses in it is replaced by an empty one for every run.
        mined: negatives for `Hard(count)`, rules already applied to them.
        sampler: seed -> sampler, e.g. `lambda seed: ConflictFree(train.pairs, known=known,
            batch_size=256, seed=seed)`; None = `Shuffled`. A `HardReplay` gets a store of
            its own, which the run then writes to.
        recipe: the numbers of training in place of `compare`'s epochs and learning rate; its seed
            is replaced by the run's.
        refresh: when negatives are mined anew, as in `train.fit`.

    Raises:
        BadArgument: parts that do not fit.

    Example:
        >>> from workbench.rules import KnownPositive
        >>> Arm(Contrast(rules=[KnownPositive()])).contrast.rules
        (KnownPositive(),)
    """

    contrast: Contrast
    knowledge: Knowledge | None = field(default=None, kw_only=True)
    mined: Candidates | None = field(default=None, kw_only=True)
    sampler: Callable[[int], Sampler] | None = field(default=None, kw_only=True)
    recipe: Recipe | None = field(default=None, kw_only=True)
    refresh: Refresh | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        given: object = self.contrast
        if not isinstance(given, Contrast):
            wanted = "it must be a Contrast"
            raise BadArgument("contrast", given, wanted, "Write train.Contrast(loss=...).")
        if self.sampler is None:
            if (self.mined is None) != (self.contrast.hard == 0):
                wanted = f"the contrast has {self.contrast.hard} mined negatives per row"
                raise BadArgument("mined", self.mined, wanted, "Give both Hard(1) and mined=.")
        elif not callable(self.sampler) or self.mined is not None:
            wanted = "it must be a function seed -> sampler, which brings its own mined negatives"
            mend = "Write sampler=lambda seed: Shuffled(..., seed=seed) and leave out mined."
            raise BadArgument("sampler", self.sampler, wanted, mend)
