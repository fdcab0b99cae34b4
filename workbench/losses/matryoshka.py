"""Matryoshka: the same loss over shorter and shorter prefixes of the vectors, summed.

    value = sum_d weight_d loss(cosines of the first d numbers of each vector)

so that a prefix of a stored vector is a usable, smaller vector.

Source: Kusupati et al. 2022, "Matryoshka Representation Learning", equation 1.
Breaks when: the full width is left out of `dims` (it is then not trained as a whole); prefixes are
compared by dot product instead of cosine; a rule's thresholds were set for the full width's scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.errors import BadArgument, check_count, check_number
from workbench.losses._base import RowLoss
from workbench.registry import register


def prefixes(
    vectors: Float[Tensor, "row dim"], dims: Sequence[int]
) -> Iterator[Float[Tensor, "row prefix"]]:
    """The first d numbers of each row, for each d; views, not normalised.

    Args:
        vectors: full vectors.
        dims: lengths of the prefixes, each at most the width.

    Raises:
        BadArgument: a prefix is longer than the vectors.

    Example:
        >>> import torch
        >>> [part.tolist() for part in prefixes(torch.tensor([[3.0, 2.0, 1.0]]), (2, 1))]
        [[[3.0, 2.0]], [[3.0]]]
    """
    for dim in dims:
        if dim > vectors.shape[1]:
            wanted = f"none may exceed the vectors' width, {vectors.shape[1]}"
            raise BadArgument("dims", tuple(dims), wanted, "Leave the longer ones out.")
        yield vectors[:, :dim]


def matryoshka(
    value: Callable[..., Float[Tensor, " query"]],
    vectors: Sequence[Float[Tensor, "_ dim"]],
    *,
    dims: Sequence[int],
    weights: Sequence[float] | None = None,
) -> Float[Tensor, " query"]:
    """Weighted sum of `value` over prefixes of all vectors.

    Args:
        value: from truncated vectors, in the given order, to one value per anchor.
        vectors: anchors, candidates, ...: all of one width.
        dims: lengths of the prefixes, descending.
        weights: of each length; None = 1 each.

    Returns:
        One value per anchor.

    Raises:
        BadArgument: dims that are not descending counts within the width, weights that do not fit.

    Example:
        >>> import torch
        >>> matryoshka(lambda one, two: (one * two).sum(1), [torch.ones(1, 4)] * 2, dims=(4, 2))
        tensor([6.])
    """
    factors = check_dims(tuple(dims), weights)
    parts = zip(*(prefixes(one, dims) for one in vectors), strict=True)
    terms = [factor * value(*part) for factor, part in zip(factors, parts, strict=True)]
    return sum(terms[1:], start=terms[0])


def check_dims(dims: tuple[int, ...], weights: Sequence[float] | None) -> tuple[float, ...]:
    """Refuse dims that are not descending counts, or weights that do not fit; return the weights.

    Raises:
        BadArgument: as said.
    """
    if not dims:
        raise BadArgument("dims", dims, "it must not be empty", "Try (384, 256, 128, 64).")
    for dim in dims:
        check_count("dims", dim, mend="Try (384, 256, 128, 64).")
    if list(dims) != sorted(set(dims), reverse=True):
        raise BadArgument("dims", dims, "each must be smaller than the one before", "Sort them.")
    if weights is None:
        return (1.0,) * len(dims)
    if len(weights) != len(dims):
        wanted = f"there must be one per prefix, {len(dims)}"
        raise BadArgument("weights", tuple(weights), wanted, "Give as many, or None.")
    for weight in weights:
        check_number("weights", weight, at_least=0, mend="Try 1 each.")
    return tuple(float(weight) for weight in weights)


@register("wrapper", "matryoshka")
@dataclass(frozen=True, kw_only=True)
class Matryoshka:
    """The same loss over shorter and shorter prefixes of the vectors, summed.

    Args:
        loss: of one prefix.
        dims: lengths of the prefixes, descending, the full width first; each is one more pass
            over the scores.
        weights: of each length; None = 1 each.

    Raises:
        BadArgument: a loss that is none, dims that are not descending counts, weights that do not
            fit.

    Example:
        >>> from workbench.losses import InfoNCE
        >>> Matryoshka(loss=InfoNCE(temperature=0.05), dims=(384, 64)).weight_of_dims
        (1.0, 1.0)
    """

    loss: RowLoss
    dims: tuple[int, ...] = (384, 256, 128, 64)
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.loss, type) or not isinstance(self.loss, RowLoss):
            wanted = "it must be a loss of rows of scores"
            raise BadArgument("loss", self.loss, wanted, "Write losses.InfoNCE(temperature=0.05).")
        check_dims(self.dims, self.weights)

    @property
    def weight_of_dims(self) -> tuple[float, ...]:
        """One weight per prefix."""
        return check_dims(self.dims, self.weights)
