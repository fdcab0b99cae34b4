"""One run: an arm and a seed, checked, started, trained and scored."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from workbench import evaluate
from workbench.arms.arm import Arm
from workbench.encode import Encoder, Tokens, token_batches
from workbench.encode.bodies import Bag
from workbench.errors import BadArgument
from workbench.losses import Matryoshka
from workbench.sample import HardReplay, Shuffled
from workbench.train import Bank, Knowledge, Recipe, fit
from workbench.train.parts import Sampler, check_parts
from workbench.train.refresh import check_refresh
from workbench.types import Collection, Ids, LossStore, Scorecard, Vectors

_budget = 65_536  # padded tokens of one evaluation batch


def check(arm: Arm, train: Collection, recipe: Recipe, *, batch_size: int, dim: int) -> int:
    """Optimiser steps of one run; refuses parts that do not fit together, before any training."""
    sampler = sampler_of(arm, train, batch_size=batch_size, seed=0)
    check_parts(train, sampler, arm.contrast, arm.knowledge, next(iter(sampler)))
    if isinstance(sampler, HardReplay):
        known_by(arm)
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


def known_by(arm: Arm) -> Knowledge:
    """The arm's knowledge, through which training keeps what rows cost.

    Raises:
        BadArgument: it has none.
    """
    if arm.knowledge is None:
        wanted = "HardReplay reads the losses that a run keeps there"
        raise BadArgument("knowledge", None, wanted, "Give Knowledge.of(train).")
    return arm.knowledge


def sampler_of(arm: Arm, train: Collection, *, batch_size: int, seed: int) -> Sampler:
    """The arm's own sampler, or `Shuffled`."""
    if arm.sampler is not None:
        return arm.sampler(seed)
    hard = arm.contrast.hard
    return Shuffled(
        train.pairs, batch_size=batch_size, seed=seed, negatives=arm.mined, num_negatives=hard
    )


def start(first: Encoder, seed: int) -> Encoder:
    """What `scratch(texts, seed=seed)` gives, without learning the vocabulary again."""
    encoder = copy.deepcopy(first)
    assert isinstance(encoder.body, Bag)
    weight = encoder.body.embedding.weight
    with torch.no_grad():
        drawn = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
        weight.copy_(drawn / weight.shape[1] ** 0.5)
    return encoder


def trained(
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
    sampler = sampler_of(arm, train, batch_size=batch_size, seed=seed)
    if isinstance(sampler, HardReplay):  # reads what training writes: one store, empty at first
        sampler.losses.become(LossStore.empty(len(sampler.losses)))
        knowledge = replace(known_by(arm), losses=sampler.losses)
    elif knowledge is not None and knowledge.losses is not None:
        knowledge = replace(knowledge, losses=LossStore.empty(len(knowledge.losses)))
    run = fit(
        encoder,
        train,
        sampler,
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


def scored(
    encoder: Encoder, test: Collection, tokens: tuple[Tokens, Tokens], metric: str, name: str
) -> Scorecard:
    """The scorecard of an encoder on the test queries."""
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
