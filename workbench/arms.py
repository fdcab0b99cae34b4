"""Arms: one small encoder from the same starts under different contrasts, and what each is worth.

    result = arms.compare(train, test, {"plain": Contrast(protect="own"), "guide": Arm(...)})
    result                                # means, and differences to the first arm with intervals
    result.share("plain", "oracle")       # share of oracle headroom recovered

One run is one arm and one seed: the seed decides the encoder's random vectors, the order of the
rows and dropout, so that runs of one seed differ by the arm alone, whatever arms stand beside it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch

from workbench import evaluate
from workbench.encode import Encoder, Tokens, scratch, token_batches
from workbench.encode.bodies import Bag
from workbench.errors import BadArgument, check_choice, check_count, check_number
from workbench.evaluate.metrics import check_judgments, parse
from workbench.losses import Matryoshka
from workbench.sample import Shuffled
from workbench.train import Bank, Contrast, Knowledge, Recipe, Refresh, fit
from workbench.train.parts import Sampler, check_parts
from workbench.train.refresh import check_refresh
from workbench.types import Candidates, Collection, Ids, LossStore, Scorecard, Vectors

if TYPE_CHECKING:
    import pandas as pd

_budget = 65_536  # padded tokens of one evaluation batch


@dataclass(frozen=True, eq=False)
class Arm:
    """One way of training: what is contrasted, and what it may know.

    Args:
        contrast: candidates, rules and loss.
        knowledge: what rules may ask about; None = nothing is known, as in `train.fit`. A store of
            losses in it is replaced by an empty one for every run.
        mined: negatives for `Hard(count)`, rules already applied to them.
        sampler: seed -> sampler, e.g. `lambda seed: ConflictFree(train.pairs, known=known,
            batch_size=256, seed=seed)`; None = `Shuffled`.
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
            steps[name] = _check(arm, train, arm.recipe or usual, batch_size=batch_size, dim=dim)
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
                encoder = _start(first, seed)
                with _noted(f"arm {name!r}, seed {seed}"):
                    took = _train(encoder, train, named[name], usual, seed, batch_size, bar.update)
                runs[name].append(_score(encoder, test, tokens, metric, name))
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


def _check(arm: Arm, train: Collection, recipe: Recipe, *, batch_size: int, dim: int) -> int:
    """Optimiser steps of one run; refuses parts that do not fit together, before any training."""
    sampler = _sampler(arm, train, batch_size=batch_size, seed=0)
    check_parts(train, sampler, arm.contrast, arm.knowledge, next(iter(sampler)))
    if arm.refresh is not None:
        check_refresh(arm.refresh, train, sampler, arm.contrast, dim=dim)
    loss, knowledge = arm.contrast.loss, arm.knowledge
    if isinstance(loss, Matryoshka) and max(loss.dims) > dim:
        raise BadArgument("dim", dim, f"the loss cuts vectors at {max(loss.dims)}", "Raise it.")
    bank = knowledge.bank if knowledge is not None else None
    if bank is not None and any(isinstance(part, Bank) for part in arm.contrast.candidates):
        if bank.shape[1] != dim:
            wanted = f"the bank's vectors have {bank.shape[1]} numbers"
            raise BadArgument("dim", dim, wanted, "Make them equal.")
    return recipe.steps or max(1, recipe.epochs * len(sampler) // recipe.accumulate)


def _sampler(arm: Arm, train: Collection, *, batch_size: int, seed: int) -> Sampler:
    if arm.sampler is not None:
        return arm.sampler(seed)
    hard = arm.contrast.hard
    return Shuffled(
        train.pairs, batch_size=batch_size, seed=seed, negatives=arm.mined, num_negatives=hard
    )


def _start(first: Encoder, seed: int) -> Encoder:
    """What `scratch(texts, seed=seed)` gives, without learning the vocabulary again."""
    encoder = copy.deepcopy(first)
    assert isinstance(encoder.body, Bag)
    weight = encoder.body.embedding.weight
    with torch.no_grad():
        drawn = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
        weight.copy_(drawn / weight.shape[1] ** 0.5)
    return encoder


def _train(
    encoder: Encoder,
    train: Collection,
    arm: Arm,
    usual: Recipe,
    seed: int,
    batch_size: int,
    advance: Callable[[], object],
) -> float:
    """Train in place; seconds it took."""
    started = time.perf_counter()
    knowledge = arm.knowledge
    if knowledge is not None and knowledge.losses is not None:
        knowledge = replace(knowledge, losses=LossStore.empty(len(knowledge.losses)))
    run = fit(
        encoder,
        train,
        _sampler(arm, train, batch_size=batch_size, seed=seed),
        arm.contrast,
        knowledge=knowledge,
        recipe=replace(arm.recipe or usual, seed=seed),
        refresh=arm.refresh,
    )
    for _ in run:
        advance()
    if run.ema is not None:
        encoder.load_state_dict(run.averaged().state_dict())
    return time.perf_counter() - started


def _score(
    encoder: Encoder, test: Collection, tokens: tuple[Tokens, Tokens], metric: str, name: str
) -> Scorecard:
    sides = [
        _encoded(encoder, store, ids)
        for store, ids in zip(tokens, (test.query_ids, test.doc_ids), strict=True)
    ]
    metrics = dict.fromkeys([*evaluate.METRICS, metric])
    return evaluate.retrieval(test, *sides, metrics=list(metrics), name=name)


def _encoded(encoder: Encoder, tokens: Tokens, ids: Ids) -> Vectors:
    """What `Encoder.encode` gives; the tokens are at hand, for all runs have one vocabulary."""
    values = np.empty((len(tokens), encoder.dim), dtype=np.float32)
    encoder.eval()
    with torch.inference_mode():
        for places in token_batches(tokens.lengths, token_budget=_budget):
            batch = {key: part.to(encoder.device) for key, part in tokens.take(places).items()}
            values[places] = encoder(**batch).float().cpu().numpy()
    return Vectors(values=values, ids=ids, encoder=encoder.fingerprint("doc"), age=encoder.age)


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
