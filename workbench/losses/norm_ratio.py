"""Norm ratio: of two vectors of one pair, the one that holds more must be the longer.

    loss = exp(1 - |f+| / max(|f-|, floor))
    directional score of (query, doc) = cosine, or `reject` where |query| > |doc|

Cosine finds the pair, the length says which side is the excerpt: excerpt and document, quote and
source, summary and article. It is added, times a weight, to a loss of cosines, which does not see
lengths. The hard negatives here are the reversed pairs, which no symmetric score can tell apart.

Source: Wang et al. 2023, "A benchmark and asymmetrical-similarity learning for practical image
copy detection" (ASL).
Breaks when: vectors are normalised, or end in a LayerNorm, before they come here (the loss is then
constant; refused); the other loss is of dot products (it moves lengths too); two sides hold equally
much (leave such pairs out); training is short (at weight 1 a direction took 1,500 steps).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import BadArgument, check_number
from workbench.registry import register
from workbench.scores import cosine


def norm_ratio(
    larger: Float[Tensor, "pair dim"], smaller: Float[Tensor, "pair dim"], *, floor: float = 1e-6
) -> Float[Tensor, " pair"]:
    """One value per pair; the caller takes the mean.

    Args:
        larger: vectors of the sides that hold more, before any normalisation.
        smaller: vectors of the sides that hold less.
        floor: least length in the denominator.

    Returns:
        In (0, e]; 1 where the lengths are equal.

    Raises:
        BadArgument: shapes that differ, floor <= 0, vectors that are all of length 1.

    Example:
        >>> norm_ratio(torch.tensor([[3.0, 4.0]]), torch.tensor([[1.2, 0.5]]))
        tensor([0.0581])
    """
    check_number("floor", floor, above=0, mend="Try 1e-6.")
    if larger.shape != smaller.shape:
        wanted = f"it must be {tuple(larger.shape)}, like `larger`"
        raise BadArgument("smaller", tuple(smaller.shape), wanted, "Give the two sides of a pair.")
    long = torch.linalg.vector_norm(larger, dim=1)
    short = torch.linalg.vector_norm(smaller, dim=1)
    lengths = torch.cat([long, short]).detach()
    if len(lengths) and bool(((lengths - 1).abs() < 1e-4).all()):
        wanted = "not all vectors may be of length 1: there is nothing to learn"
        raise BadArgument("larger", tuple(larger.shape), wanted, "Give the raw vectors.")
    return torch.exp(1 - long / short.clamp_min(floor))


def directional_score(
    query: Float[Tensor, "query dim"], doc: Float[Tensor, "doc dim"], *, reject: float = -1.0
) -> Float[Tensor, "query doc"]:
    """Cosine of an excerpt and a whole; `reject` where the query is the longer of the two.

    Args:
        query: vectors that ask, not normalised: the excerpts.
        doc: vectors that answer, not normalised: the wholes.
        reject: score of a pair in the wrong direction, usually the least cosine.

    Returns:
        (query, doc).

    Raises:
        BadArgument: reject is not finite.

    Example:
        >>> vectors = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
        >>> directional_score(vectors, vectors)
        tensor([[ 1.,  1.],
                [-1.,  1.]])
    """
    check_number("reject", reject, mend="Try -1.")
    asks, answers = (torch.linalg.vector_norm(side, dim=1) for side in (query, doc))
    return cosine(query, doc).masked_fill(asks[:, None] > answers[None, :], reject)


@register("vector_loss", "norm_ratio")
@dataclass(frozen=True, kw_only=True)
class NormRatio:
    """Length as direction: the side that holds more gets the longer vector (ASL).

    Args:
        weight: times the loss, beside the loss of cosines; usual 1 to 5.
        floor: see `norm_ratio`.

    Raises:
        BadArgument: a negative weight, floor <= 0.
    """

    weight: float = 1.0
    floor: float = 1e-6

    def __post_init__(self) -> None:
        check_number("weight", self.weight, at_least=0, mend="Try 1.")
        check_number("floor", self.floor, above=0, mend="Try 1e-6.")

    def __call__(
        self, larger: Float[Tensor, "pair dim"], smaller: Float[Tensor, "pair dim"]
    ) -> Float[Tensor, " pair"]:
        """Weighted value per pair."""
        return self.weight * norm_ratio(larger, smaller, floor=self.floor)
