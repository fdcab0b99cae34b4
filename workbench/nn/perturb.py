"""Adversarial anchors: a small step in embedding space that hurts most, pulled back if wanted.

    a' = |a| unit(a / |a| + step u(grad loss)),   then n times
    a' = |a| unit(a' / |a| - pull_step u(grad pull)),   u(g) = g / (|g| + 1e-12) per row

It is the idea of CLAPS for encoders, and not CLAPS: a text encoder gives no likelihood of tokens.
There, decoder states of every token move up the token loss (negatives) or up the contrastive loss
and back down a KL divergence of token likelihoods (positives). Here, whole vectors move on their
sphere, up the contrastive loss itself, and back down whatever `pull` measures, such as how far a
frozen guide's judgment has moved. The gradient comes from `torch.autograd.grad` and stays off the
parameters; in one released CLAPS trainer it leaks into the update.

Source: Lee et al. 2021 (CLAPS), equations 5 to 9; steps 1 to 3 on unnormalised token states.
Breaks when: `pull_step` is too large: it steps across the valley, and the pull's measure rises
instead of falling (seen with CLAPS's own setting, pull_step = step); `step` is so long that the
changed anchor means something else.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import BadArgument, check_count, check_number

Measure = Callable[[Tensor], Tensor]
"""(query, dim) vectors -> one value per query."""

_tiny = 1e-12


def unit_step(
    states: Float[Tensor, "*batch dim"], gradient: Float[Tensor, "*batch dim"], *, size: float
) -> Float[Tensor, "*batch dim"]:
    """Move every state by `size` along its own gradient: states + size g / (|g| + 1e-12).

    Args:
        states: vectors, e.g. (query, dim) or (text, token, dim).
        gradient: of the same shape; a zero one (padding) moves nothing.
        size: length of the step, in the states' units; negative goes down.

    Returns:
        The moved states, in their precision.

    Raises:
        BadArgument: a size that is not finite.

    Example:
        >>> unit_step(torch.zeros(2, 2), torch.tensor([[3.0, 4.0], [0.0, 0.0]]), size=2.0)
        tensor([[1.2000, 1.6000],
                [0.0000, 0.0000]])
    """
    check_number("size", size, mend="Try 0.1.")
    half = gradient.dtype in (torch.bfloat16, torch.float16)  # 1e-12 is 0 in float16
    wide = gradient.float() if half else gradient
    direction = wide / (torch.linalg.vector_norm(wide, dim=-1, keepdim=True) + _tiny)
    moved: Tensor = states + size * direction
    return moved.to(states.dtype)


def adversarial_anchors(
    anchors: Float[Tensor, "query dim"],
    value: Measure,
    *,
    step: float = 0.1,
    pull: Measure | None = None,
    pull_step: float = 0.02,
    pull_steps: int = 5,
) -> Float[Tensor, "query dim"]:
    """Anchors moved to where the loss is larger: harder copies of themselves.

    Without `pull`, copies that the loss now takes for something else (negatives); with it, copies
    that are hard for the loss and still right for the guide (positives).

    Args:
        anchors: vectors, each keeps its length; constants here.
        value: vectors -> loss per anchor, e.g. an InfoNCE against the batch's documents.
        step: length of the step up, as a share of the anchor's length; usual 0.05 to 0.5.
        pull: vectors -> what shall fall again, per anchor, e.g. a divergence of a guide's scores
            from those of the unmoved anchor. None = no pull.
        pull_step: length of each step down; small beside `step`, a fifth or less.
        pull_steps: steps down; usual 1 to 5.

    Returns:
        The moved anchors, detached, as long as they were; a row with no gradient is unchanged.

    Raises:
        BadArgument: an option out of range; a measure of another shape, without a graph to the
            vectors, or with a gradient that is not finite.

    Example:
        >>> anchor, other = torch.tensor([[1.0, 0.0]]), torch.tensor([0.0, 1.0])
        >>> adversarial_anchors(anchor, lambda vectors: vectors @ other, step=0.75)
        tensor([[0.8000, 0.6000]])
    """
    check_number("step", step, at_least=0, mend="Try 0.1.")
    check_number("pull_step", pull_step, at_least=0, mend="Try 0.02.")
    check_count("pull_steps", pull_steps, at_least=0, mend="Try 5.")
    found = _moved(anchors.detach().clone(), value, "value", size=step)
    if pull is not None:
        for _ in range(pull_steps):
            found = _moved(found, pull, "pull", size=-pull_step)
    return found


def _moved(vectors: Tensor, measure: Measure, name: str, *, size: float) -> Tensor:
    """One step along the gradient of a measure, on the sphere of each vector's length."""
    leaf = vectors.clone().requires_grad_()
    with torch.enable_grad():
        values = measure(leaf)
        if values.shape != leaf.shape[:1]:
            wanted = f"it must give one value per anchor, {len(leaf)}"
            raise BadArgument(name, tuple(values.shape), wanted, "Leave out its mean or sum.")
        (gradient,) = _gradient(values, leaf)
    if gradient is None:
        wanted = "its values must depend on the vectors it is given"
        raise BadArgument(name, "constant", wanted, "Look for a detach or no_grad inside.")
    if not bool(gradient.isfinite().all()):
        row = int((~gradient.isfinite().all(dim=1)).nonzero()[0])
        wanted = f"its gradient must be finite, and is not for anchor {row}"
        raise BadArgument(name, values[row].item(), wanted, "Try a higher temperature.")
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    moved = unit_step(vectors / length.clamp_min(_tiny), gradient, size=size)
    moved = torch.nn.functional.normalize(moved, dim=-1) * length
    return torch.where((gradient != 0).any(dim=-1, keepdim=True), moved, vectors)


def _gradient(values: Tensor, leaf: Tensor) -> tuple[Tensor | None, ...]:
    if not values.requires_grad:
        return (None,)
    return torch.autograd.grad(values.sum(), leaf, allow_unused=True)
