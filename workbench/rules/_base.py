"""What a rule is, and how several of them act together.

A *rule* weighs cells: one candidate of one anchor. A *pair rule* weighs whole training pairs, by
what they cost in earlier epochs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.errors import BadArgument
from workbench.scores import MENDS, Cells
from workbench.types import Ints, LossStore


@runtime_checkable
class Rule(Protocol):
    """Turns what is known about cells into trust: 1 keep as a negative, 0 drop, between = trust.

    A rule sees whole rows: every candidate of one kind that an anchor has. Anything that is not
    finite in a fact is unknown, and what is unknown drops nothing.
    """

    @property
    def needs(self) -> tuple[str, ...]:
        """Facts (see `workbench.scores.Cells`) it will ask for, missing ones said before work."""
        ...

    def __call__(self, cells: Cells) -> Float[Tensor, "query doc"]:
        """Weight of every cell."""
        ...


@runtime_checkable
class PairRule(Protocol):
    """Turns what training pairs cost, now and in earlier epochs, into trust in [0, 1].

    The weight multiplies the loss of the whole pair.
    """

    @property
    def warmup(self) -> int:
        """Epochs with losses before any pair is judged."""
        ...

    def __call__(
        self, loss: Float[Tensor, " query"], rows: Ints, losses: LossStore
    ) -> Float[Tensor, " query"]:
        """Weight of every pair of one batch.

        Args:
            loss: what each pair costs now.
            rows: (query,) which training row each is.
            losses: what all rows cost in epochs that are over: `store.before(epoch)`.
        """
        ...


@runtime_checkable
class Vouch(Protocol):
    """A rule that knows some candidates to be negatives, whatever the others guess."""

    def vouched(self, cells: Cells) -> Bool[Tensor, "query doc"]:
        """True where a cell keeps weight 1 against every other rule."""
        ...


def vouched(rules: Sequence[Rule], cells: Cells) -> Bool[Tensor, "query doc"] | None:
    """Cells that some rule vouches for; None where no rule does such a thing.

    Example:
        >>> from workbench.rules import Judged, Threshold
        >>> cells = Cells((1, 2), {"verdict": torch.tensor([[-1, 0]])})
        >>> vouched([Threshold(at_most=0.8), Judged()], cells)
        tensor([[ True, False]])
    """
    mask: Tensor | None = None
    for rule in rules:
        if isinstance(rule, Vouch):
            mine = rule.vouched(cells)
            mask = mine if mask is None else mask | mine
    return mask


def combine(rules: Sequence[Rule], cells: Cells) -> Float[Tensor, "query doc"] | None:
    """The product of all rules' weights, 1 where a rule vouches; None when there is no rule.

    Example:
        >>> from workbench.rules import Threshold
        >>> cells = Cells((1, 3), {"score": torch.tensor([[0.9, 0.5, 0.1]])})
        >>> combine([Threshold(at_most=0.8), Threshold(at_least=0.3)], cells)
        tensor([[0., 1., 0.]])
    """
    weight: Tensor | None = None
    for rule in rules:
        mine = rule(cells)
        weight = mine if weight is None else weight * mine
    sure = vouched(rules, cells)
    if weight is not None and sure is not None:
        weight = torch.where(sure, torch.ones_like(weight), weight)
    return weight


def check_rules(rules: Sequence[Rule], facts: Sequence[str]) -> None:
    """Refuse a rule whose facts will not be there, before any work starts.

    Raises:
        BadArgument: not a rule, or a rule needs something that was not given.

    Example:
        >>> from workbench.rules import Guide
        >>> check_rules([Guide(margin=0.1)], ["score"])
        Traceback (most recent call last):
        workbench.errors.BadArgument: `rules` is Guide(margin=0.1, relative=False), but it needs \
guide, which was not given. Pass guide=(query vectors, document vectors) of a frozen model.
    """
    for rule in rules:
        if isinstance(rule, type) or not isinstance(rule, Rule):
            raise BadArgument(
                "rules", rule, "each entry must be a rule object", "Write rules.Guide(margin=0.1)."
            )
        for fact in rule.needs:
            if fact not in facts:
                raise BadArgument(
                    "rules",
                    rule,
                    f"it needs {fact}, which was not given",
                    MENDS.get(fact, f"Pass scores={{{fact!r}: score of each (query, document)}}."),
                )


def keep(condition: Tensor, like: Tensor) -> Float[Tensor, "query doc"]:
    """Weight 1 where the condition holds, else 0, in the dtype of the scores."""
    return condition.to(like.dtype if like.dtype.is_floating_point else torch.float32)
