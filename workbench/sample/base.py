"""What every batch sampler does: check, plan an epoch, yield `Batch`es, say where it stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, BadData, check_count
from workbench.files import fingerprint
from workbench.sample.composition import known_false_negatives, ranked_negatives
from workbench.types import Batch, Candidates, Ints

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """The batches of one epoch.

    Args:
        batches: row numbers of each batch.
        left_out: rows that no batch holds, ascending.
        inspected: how often a row was looked at to build it, the unit of cost.
    """

    batches: list[Ints]
    left_out: Ints
    inspected: int


class Sampler(ABC):
    """Yields `Batch`es; a torch `DataLoader` takes it as `batch_sampler` (see docs/sample.md).

    The order of epoch e depends on the data, the options, `seed` and e, and on nothing else.
    """

    def __init__(
        self,
        pairs: Ints,
        *,
        batch_size: int,
        seed: int,
        drop_last: bool,
        known: KnownPositives | None,
        negatives: Candidates | None,
        num_negatives: int,
    ) -> None:
        check_count("batch_size", batch_size, mend="Try 64.")
        check_count("seed", seed, at_least=0, mend="Try 0.")
        check_count("num_negatives", num_negatives, at_least=0, mend="Try 1.")
        self.pairs = _checked_pairs(pairs, known, negatives)
        if (negatives is None) != (num_negatives == 0):
            raise BadArgument(
                "num_negatives",
                num_negatives,
                "it must be 0 without `negatives` and >= 1 with them",
                "Give both or neither.",
            )
        self.batch_size, self.seed, self.drop_last = batch_size, seed, drop_last
        self.known, self.negatives, self.num_negatives = known, negatives, num_negatives
        self._ranked = None if negatives is None else ranked_negatives(negatives)
        self._epoch = self._position = self._resume = 0
        self._planned: tuple[int, Plan] | None = None
        self._fingerprint: str | None = None

    @abstractmethod
    def _plan(self, rng: np.random.Generator) -> Plan:
        """Decide which rows stand together."""

    def _negatives(self, queries: Ints, docs: Ints) -> tuple[Ints, dict[str, float]]:
        if self._ranked is None:
            return np.full((len(queries), 0), -1, dtype=np.int64), {}
        chosen = np.full((len(queries), self.num_negatives), -1, dtype=np.int64)
        best = self._ranked[queries, : self.num_negatives]
        chosen[:, : best.shape[1]] = best
        return chosen, {}

    def plan(self, epoch: int | None = None) -> Plan:
        """All batches of an epoch, the current one when none is named.

        Raises:
            BadData: not one batch can be made.
        """
        wanted = self._epoch if epoch is None else epoch
        check_count("epoch", wanted, at_least=0, mend="Epochs count from 0.")
        if self._planned is None or self._planned[0] != wanted:
            plan = self._plan(np.random.default_rng([self.seed, wanted]))
            if not plan.batches:
                problem = (
                    f"no batch of {self.batch_size} of the {len(self.pairs):,} rows can be made"
                )
                raise BadData("pairs", [problem], "Take a smaller batch_size or drop_last=False.")
            self._planned = (wanted, plan)
        return self._planned[1]

    @property
    def epoch(self) -> int:
        """The pass over the data that iterating gives, from 0."""
        return self._epoch

    @property
    def left_out(self) -> Ints:
        """Rows that the current epoch does not show, ascending."""
        return self.plan().left_out

    def __len__(self) -> int:
        """Number of batches that the current epoch really yields."""
        return len(self.plan().batches)

    def __iter__(self) -> Iterator[Batch]:
        plan, epoch, first, self._resume = self.plan(), self._epoch, self._resume, 0
        for place in range(first, len(plan.batches)):
            self._position = place + 1
            yield self._batch(plan, place, epoch)

    def batch(self, position: int, *, epoch: int | None = None) -> Batch:
        """One batch by its place in an epoch, the same that iterating gives.

        Raises:
            BadArgument: the epoch has no such batch.
        """
        plan = self.plan(epoch)
        check_count("position", position, at_least=0, mend="Batches count from 0.")
        if position >= len(plan.batches):
            wanted = f"the epoch has {len(plan.batches):,} batches, counted from 0"
            raise BadArgument("position", position, wanted, "Take a smaller one.")
        return self._batch(plan, position, self._epoch if epoch is None else epoch)

    def _batch(self, plan: Plan, place: int, epoch: int) -> Batch:
        rows = plan.batches[place]
        queries, docs = self.pairs[rows, 0], self.pairs[rows, 1]
        negatives, more = self._negatives(queries, docs)
        report = {"rows": float(len(rows)), "left_out": float(len(plan.left_out))}
        report |= self._composition(queries, docs, negatives) | more
        return Batch(
            rows=rows, queries=queries, docs=docs, negatives=negatives, epoch=epoch, report=report
        )

    def _composition(self, queries: Ints, docs: Ints, negatives: Ints) -> dict[str, float]:
        report: dict[str, float] = {}
        said, answers = queries, docs
        if self.known is not None:
            said, answers = self.known.query_groups[queries], self.known.doc_groups[docs]
            cells, anchors = known_false_negatives(self.known, queries, docs, negatives)
            report["known_false_negatives"] = float(cells)
            report["anchors_with_false_negatives"] = float(anchors)
        report["duplicate_queries"] = float(len(said) - len(np.unique(said)))
        report["duplicate_docs"] = float(len(answers) - len(np.unique(answers)))
        if self.num_negatives:
            report["negatives"] = float((negatives >= 0).sum())
            report["negatives_short"] = float((negatives < 0).sum())
        return report

    def preview(self, *, epoch: int = 0, most: int = 200) -> pd.DataFrame:
        """One row per batch of an epoch, before training: what stands inside.

        Args:
            epoch: which pass.
            most: how many batches, from the first; an epoch may have thousands.
        """
        import pandas as pd

        check_count("most", most, mend="Try 200.")
        plan = self.plan(epoch)
        places = range(min(most, len(plan.batches)))
        reports = [self._batch(plan, place, epoch).report for place in places]
        return pd.DataFrame(reports, index=pd.RangeIndex(len(reports), name="batch"))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that iterating gives; naming the current one keeps the resume point."""
        check_count("epoch", epoch, at_least=0, mend="Epochs count from 0.")
        if epoch != self._epoch:
            self._epoch, self._position, self._resume = epoch, 0, 0

    def state(self) -> dict[str, Any]:
        """Where it stands, as JSON can hold it: the batches already yielded count as done."""
        return {
            "sampler": type(self).__name__,
            "fingerprint": self.fingerprint,
            "epoch": self._epoch,
            "position": self._position,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where `state()` stood: the next iteration yields the batches not yet yielded.

        Raises:
            BadArgument: the state is of other rows, negatives or options.
        """
        missing = {"sampler", "fingerprint", "epoch", "position"} - set(state)
        if missing or state["fingerprint"] != self.fingerprint:
            raise BadArgument(
                "state",
                state,
                f"it must come from a {type(self).__name__} over the same rows and options",
                "Build the sampler as it was built when the state was saved.",
            )
        check_count("epoch", state["epoch"], at_least=0, mend="Epochs count from 0.")
        check_count("position", state["position"], at_least=0, mend="Batches count from 0.")
        self._epoch, self._position = state["epoch"], state["position"]
        self._resume = state["position"]

    def _options(self) -> dict[str, object]:
        return {
            "sampler": type(self).__name__,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "drop_last": self.drop_last,
            "num_negatives": self.num_negatives,
        }

    @property
    def fingerprint(self) -> str:
        """Of rows, known positives, mined negatives and options."""
        if self._fingerprint is None:
            parts: list[object] = [self._options(), self.pairs]
            if self.known is not None:
                graph = self.known.positives
                parts += [self.known.query_groups, self.known.doc_groups]
                parts += [graph.indptr.astype(np.int64), graph.indices.astype(np.int64)]
            if self.negatives is not None:
                parts += [self.negatives.docs, self.negatives.ranks, self.negatives.weight]
            self._fingerprint = fingerprint(*parts)
        return self._fingerprint

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.pairs):,} rows, batch_size={self.batch_size}, "
            f"seed={self.seed}, drop_last={self.drop_last}, num_negatives={self.num_negatives})"
        )


def _checked_pairs(pairs: Ints, known: KnownPositives | None, negatives: Candidates | None) -> Ints:
    rows = np.asarray(pairs)
    if rows.ndim != 2 or rows.shape[1:] != (2,) or rows.dtype.kind not in "iu":
        wanted = "it must be whole numbers of shape (row, 2)"
        raise BadArgument("pairs", (rows.shape, str(rows.dtype)), wanted, "Pass collection.pairs.")
    if not len(rows):
        raise BadArgument("pairs", rows.shape, "it must have at least one row", "Check the split.")
    limits = [("query", 0, None if known is None else len(known.query_groups), "known")]
    limits += [("document", 1, None if known is None else len(known.doc_groups), "known")]
    limits += [("query", 0, None if negatives is None else len(negatives.docs), "negatives")]
    for side, column, count, owner in limits:
        low, high = int(rows[:, column].min()), int(rows[:, column].max())
        if low < 0 or (count is not None and high >= count):
            wanted = f"a {side} position must be >= 0"
            wanted += "" if count is None else f" and < {count:,}, as `{owner}` has"
            bad = low if low < 0 else high
            raise BadArgument("pairs", bad, wanted, "Take all from one collection.")
    if known is not None and negatives is not None and negatives.docs.size:
        highest = int(negatives.docs.max())
        if highest >= len(known.doc_groups):
            wanted = f"a document position must be < {len(known.doc_groups):,}, as `known` has"
            raise BadArgument("negatives", highest, wanted, "Mine from the same collection.")
    return rows.astype(np.int64)
