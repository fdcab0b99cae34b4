"""Random batches for the loss doctor, and the settings it compares an unknown loss with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from workbench import losses
from workbench.losses import RowLoss
from workbench.train.candidates import Candidate, Hard, InBatch
from workbench.train.contrast import Contrast
from workbench.train.facts import Embedded

TEMPERATURES = (0.01, 0.02, 0.05, 0.07, 0.1, 0.2, 0.5, 1.0)
"""The field's usual ones; 0.05 is the scale of 20 of multiple negatives ranking."""

DOUBLE = torch.float64
WIDTH = 12


def wants_negatives(loss: Callable[..., Tensor]) -> bool:
    """Does a loss of vectors take a third argument?"""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    given = [
        one
        for one in inspect.signature(loss).parameters.values()
        if one.kind in kinds and one.default is inspect.Parameter.empty
    ]
    return len(given) >= 3


def batch_of(
    loss: Callable[..., Tensor], rows: int, seed: int, order: Tensor | None = None
) -> list[Tensor]:
    """Anchors, positives and, if wanted, one negative per row; positives are near their anchors."""
    generator = torch.Generator().manual_seed(seed)

    def draw() -> Tensor:
        return torch.randn(rows, WIDTH, generator=generator, dtype=DOUBLE)

    anchors = draw()
    parts = [anchors, anchors + 0.7 * draw()]
    if wants_negatives(loss):
        parts.append(anchors + 1.2 * draw())
    parts = [torch.nn.functional.normalize(part, dim=1) for part in parts]
    return [part if order is None else part[order] for part in parts]


def facts_for(
    loss: object, scores: Tensor, positive: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    """Made-up facts for a loss that needs some: the labelled positive is known and graded best."""
    rows = torch.arange(len(scores))
    known = torch.rand(scores.shape, generator=generator) > 0.85
    known[rows, positive] = True
    grade = torch.randint(0, 3, scores.shape, generator=generator).to(scores.dtype)
    grade[rows, positive] = 3.0
    mined = torch.rand(scores.shape, generator=generator) > 0.5
    mined[rows, positive] = False
    teacher = torch.rand(scores.shape, generator=generator, dtype=scores.dtype) * 2 - 1
    every = {"known": known, "grade": grade, "mined": mined, "teacher": teacher}
    every["in_batch_teacher"] = teacher.flip(0)
    needs = loss.needs if isinstance(loss, RowLoss) else ()
    return {name: every[name] for name in needs if name in every}


def _known(temperatures: Sequence[float]) -> Iterator[RowLoss]:
    for temperature in temperatures:
        yield losses.InfoNCE(temperature=temperature)
        yield losses.InfoNCE(temperature=temperature, label_smoothing=0.1)
        yield losses.Decoupled(temperature=temperature)
        yield losses.Decoupled(temperature=temperature, sigma=0.5)
        yield losses.HardnessWeighted(temperature=temperature, strength=5.0)
        yield losses.HardnessWeighted(temperature=temperature, strength=9.0)
        yield losses.Star(temperature=temperature)
        yield losses.Sigmoid(temperature=temperature)
    for margin in (0.1, 0.2, 0.3, 0.5, 1.0):
        yield losses.Triplet(margin=margin, mining="all")
        yield losses.Triplet(margin=margin, mining="hardest")


def _shown(loss: RowLoss) -> str:
    """The loss with the options that are not its defaults."""
    default = type(loss)()
    names = [one for one in inspect.signature(type(loss)).parameters]
    told = [
        f"{name}={getattr(loss, name)!r}"
        for name in names
        if getattr(loss, name) != getattr(default, name) or name == "temperature"
    ]
    return f"{type(loss).__name__}({', '.join(told)})"


def settings(
    loss: Callable[..., Tensor],
    form: str,
    temperatures: Sequence[float],
    seed: int,
    gap: Callable[[Tensor, Tensor], float],
) -> Iterator[str]:
    """Names of the settings whose mean value and gradient equal those of `loss`, to 1e-6."""
    found = _on_scores if form == "scores" else _on_vectors
    yield from found(loss, temperatures, seed, gap)


def _on_scores(
    loss: Callable[..., Tensor],
    temperatures: Sequence[float],
    seed: int,
    gap: Callable[[Tensor, Tensor], float],
) -> Iterator[str]:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(6, 9, generator=generator, dtype=DOUBLE) * 1.6 - 0.8
    positive = torch.arange(6)

    def ask(one: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
        leaf = scores.clone().requires_grad_()
        facts = facts_for(one, scores, positive, torch.Generator().manual_seed(seed))
        value = one(leaf, positive, **facts)
        value = value if value.ndim == 0 else value.mean()
        return value.detach(), torch.autograd.grad(value, leaf)[0]

    mine = ask(loss)
    for known in _known(temperatures):
        theirs = ask(known)
        if max(gap(mine[0], theirs[0]), gap(mine[1], theirs[1])) < 1e-6:
            yield _shown(known)


def _on_vectors(
    loss: Callable[..., Tensor],
    temperatures: Sequence[float],
    seed: int,
    gap: Callable[[Tensor, Tensor], float],
) -> Iterator[str]:
    parts = [part.requires_grad_() for part in batch_of(loss, 8, seed)]
    value = loss(*parts)
    mine = _along_the_sphere(value, parts)
    choices: list[tuple[Candidate, ...]] = [
        (InBatch("ap"),),
        (InBatch("ap", "aa"),),
        (InBatch("ap", "aa", "pp"),),
    ]
    if len(parts) > 2:
        choices = [(*one, Hard(1)) for one in choices] + [(Hard(1),), (Hard(1, shared=False),)]
    for known in _known(temperatures):
        for candidates in choices:
            for directions in ("one", "both"):
                contrast = Contrast(loss=known, candidates=candidates, directions=directions)
                other = contrast(Embedded.of(*parts)).mean()
                if gap(value, other) > 1e-6:
                    continue
                if gap(mine, _along_the_sphere(other, parts)) < 1e-6:
                    parts_shown = f"{_shown(known)}, {list(candidates)}"
                    yield f"Contrast({parts_shown}, directions={directions!r})"


def _along_the_sphere(value: Tensor, parts: Sequence[Tensor]) -> Tensor:
    """Gradient without what would only change lengths: some losses normalise, some need not."""
    found = torch.autograd.grad(value, parts, allow_unused=True, materialize_grads=True)
    slope, at = torch.cat(found), torch.cat([part.detach() for part in parts])
    return slope - (slope * at).sum(dim=1, keepdim=True) * at
