"""Arms side by side: trained from the same starts, scored on the same queries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from workbench import evaluate
from workbench.arms.arm import Arm
from workbench.arms.run import check, scored, start, trained
from workbench.encode import scratch
from workbench.errors import BadArgument, check_choice, check_count, check_number
from workbench.evaluate.metrics import check_judgments, parse
from workbench.train import Contrast, Recipe
from workbench.types import Collection, Scorecard

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """What the arms came to.

    Args:
        metric: the one compared.
        seeds: of the runs, the same for every arm.
        runs: arm -> one scorecard per seed, on the test queries.
        seconds: arm -> mean seconds of training per run.
        stopped: why there are fewer runs than asked for, else empty.
    """

    metric: str
    seeds: tuple[int, ...]
    runs: Mapping[str, tuple[Scorecard, ...]]
    seconds: Mapping[str, float]
    stopped: str = ""

    @cached_property
    def cards(self) -> dict[str, Scorecard]:
        """Arm -> one scorecard, each query's mean over the seeds."""
        return {name: evaluate.pooled(cards, name=name) for name, cards in self.runs.items()}

    @cached_property
    def _differences(self) -> dict[str, evaluate.Comparison]:
        first, *others = self.cards.values()
        return {card.name: evaluate.compare(first, card, metric=self.metric) for card in others}

    def frame(self) -> pd.DataFrame:
        """One row per arm: the metric, its difference to the first arm, seconds per run.

        `low`, `high`: paired 95 % bootstrap over queries; runs differ too, so take 4 seeds or more.
        """
        import pandas as pd

        rows = []
        for name, card in self.cards.items():
            found = self._differences.get(name)
            gap = (np.nan,) * 3 if found is None else (found.mean, found.low, found.high)
            rows.append((card.mean()[self.metric], *gap, self.seconds[name]))
        columns = [self.metric, "difference", "low", "high", "seconds"]
        return pd.DataFrame(rows, columns=columns, index=pd.Index(self.cards, name="arm"))

    def share(self, plain: str, oracle: str) -> pd.DataFrame:
        """Share of oracle headroom recovered, (arm - plain) / (oracle - plain), by the other arms.

        Args:
            plain: arm without a rule.
            oracle: arm that knows the truth.

        Returns:
            One row per other arm: `share`, `low` and `high` (paired 95 % bootstrap over queries),
            and `reason` where a number is missing.

        Raises:
            BadArgument: no such arm.
        """
        import pandas as pd

        for argument, name in (("plain", plain), ("oracle", oracle)):
            check_choice(argument, name, self.cards)
        ends = self.cards[plain], self.cards[oracle]
        found = {
            name: evaluate.share_of_headroom(ends[0], card, ends[1], metric=self.metric)
            for name, card in self.cards.items()
            if name not in (plain, oracle)
        }
        rows = [(one.share, one.low, one.high, one.reason) for one in found.values()]
        columns = ["share", "low", "high", "reason"]
        return pd.DataFrame(rows, columns=columns, index=pd.Index(found, name="arm"))

    def __repr__(self) -> str:
        width = max(map(len, self.cards))
        queries = len(next(iter(self.cards.values())).query_ids)
        seeds = f"{len(self.seeds)} seed{'s' if len(self.seeds) > 1 else ''}"
        head = f"{self.metric}, {queries:,} queries, {seeds}"
        lines = [head + (f"; {self.stopped}" if self.stopped else "")]
        for name, card in self.cards.items():
            line = f"{name:<{width}}  {card.mean()[self.metric]:.4f}"
            if (gap := self._differences.get(name)) is not None:
                line += f"  {gap.mean:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"
            lines.append(line)
        return "\n".join(lines)


def compare(
    train: Collection,
    test: Collection,
    arms: Mapping[str, Arm | Contrast],
    *,
    seeds: int | Sequence[int] = 2,
    epochs: int = 6,
    dim: int = 256,
    batch_size: int = 256,
    learning_rate: float = 1e-2,
    metric: str = "RR@10",
    progress: bool | None = None,
) -> Comparison:
    """Train a bag of WordPieces under every arm from the same starts, and score it on `test`.

    All arms of one seed are run before the next seed, the first arm first. Ctrl-C waits for the end
    of a step and then keeps what is complete: every seed that all arms have finished, or, within
    the first seed, the arms that have; the result says so in `stopped`. Before the first arm is
    done there is nothing to keep, and the interrupt goes on.

    Args:
        train: its positives are the training rows, its texts the vocabulary.
        test: searched and scored; must share nothing with `train` that would give answers away.
        arms: name -> arm, or a bare contrast; the first is what the others are compared with.
        seeds: how many runs of each arm (seeds 0, 1, ...), or which seeds.
        epochs: passes over the training rows.
        dim: width of the vectors, usually 64 to 256.
        batch_size: rows per batch, for arms without a sampler.
        learning_rate: peak; 1e-2 suits bags of words.
        metric: that is compared; the usual ones are scored beside it.
        progress: None shows a bar where a person can see it; False never.

    Returns:
        A `Comparison`; look at it.

    Raises:
        BadArgument: an option, arm or metric that does not fit, before anything is trained.
        BadData: test queries without a positive.
        NonFiniteLoss: an arm diverged; a note says which.

    Example:
        >>> from workbench.data import from_rows
        >>> rows = [{"query": f"how {c}", "positive": f"do {c} {c}"} for c in "abcdefgh"]
        >>> demo = from_rows(rows, name="demo")
        >>> found = compare(demo, demo, {"plain": Contrast()}, seeds=1, dim=8, progress=False)
        >>> list(found.cards), found.seeds
        (['plain'], (0,))

    Breaks when: what a rule does to a bag of words is not what it does to a transformer.
    """
    from tqdm.auto import tqdm

    named = _checked_arms(arms)
    chosen = _checked_seeds(seeds)
    check_count("batch_size", batch_size, at_least=2, mend="Try 256.")
    check_count("dim", dim, mend="Try 256.")
    check_number("learning_rate", learning_rate, above=0, mend="Try 1e-2.")
    usual = Recipe(epochs=epochs, learning_rate=learning_rate)
    (metric,) = parse([metric])
    check_judgments(test)
    steps = {}
    for name, arm in named.items():
        with _noted(f"arm {name!r}"):
            steps[name] = check(arm, train, arm.recipe or usual, batch_size=batch_size, dim=dim)
    first = scratch(train.query_texts + train.doc_texts, dim=dim, seed=chosen[0])
    tokens = (
        first.tokenize(test.query_texts, side="query", progress=False),
        first.tokenize(test.doc_texts, side="doc", progress=False),
    )
    runs: dict[str, list[Scorecard]] = {name: [] for name in named}
    seconds: dict[str, list[float]] = {name: [] for name in named}
    stopped, hide = "", None if progress is None else not progress
    try:
        with tqdm(total=len(chosen) * sum(steps.values()), unit="step", disable=hide) as bar:
            for seed, name in ((seed, name) for seed in chosen for name in named):
                bar.set_description(f"{name}, seed {seed}")
                encoder = start(first, seed)
                with _noted(f"arm {name!r}, seed {seed}"):
                    took = trained(encoder, train, named[name], usual, seed, batch_size, bar.update)
                runs[name].append(scored(encoder, test, tokens, metric, name))
                seconds[name].append(took)
    except KeyboardInterrupt:
        done = sum(map(len, runs.values()))
        if not done:
            raise
        stopped = f"stopped after {done} of {len(chosen) * len(named)} runs"
    return _gathered(metric, chosen, runs, seconds, stopped)


def _checked_arms(arms: Mapping[str, Arm | Contrast]) -> dict[str, Arm]:
    mend = 'Write {"plain": Contrast(protect="own"), "guide": Arm(...)}.'
    if not isinstance(arms, Mapping) or not arms:
        raise BadArgument("arms", arms, "it must name at least one arm", mend)
    for name, arm in arms.items():
        if not isinstance(name, str) or not isinstance(arm, Arm | Contrast):
            raise BadArgument("arms", {name: arm}, "it must be name -> Arm or Contrast", mend)
    return {name: arm if isinstance(arm, Arm) else Arm(arm) for name, arm in arms.items()}


def _checked_seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    if not isinstance(seeds, Iterable):
        check_count("seeds", seeds, mend="Try 2.")
        return tuple(range(seeds))
    chosen = tuple(seeds)
    if not chosen or len(set(chosen)) < len(chosen):
        raise BadArgument("seeds", chosen, "it must hold different seeds", "Try 2, or [0, 1].")
    for seed in chosen:
        check_count("seeds", seed, at_least=0, mend="Try [0, 1].")
    return chosen


@contextmanager
def _noted(note: str) -> Iterator[None]:
    """Adds to any error which arm it came from."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"in {note}")
        raise


def _gathered(
    metric: str,
    seeds: tuple[int, ...],
    runs: Mapping[str, list[Scorecard]],
    seconds: Mapping[str, list[float]],
    stopped: str,
) -> Comparison:
    """Seeds that all arms have finished; within the first seed, the arms that have."""
    complete = max(1, min(map(len, runs.values())))
    kept = [name for name, cards in runs.items() if len(cards) >= complete]
    return Comparison(
        metric=metric,
        seeds=seeds[:complete],
        runs={name: tuple(runs[name][:complete]) for name in kept},
        seconds={name: float(np.mean(seconds[name])) for name in kept},
        stopped=stopped,
    )
