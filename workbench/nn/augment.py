"""Soft token augmentation: a text with a few tokens changed is still the same text.

    mask          each body token is chosen with probability p; of those 80 % become the mask
                  token, 10 % any body token, 10 % stay
    type          each body token is chosen with probability p; of those 80 % become another token
                  of the same type, 20 % stay
    special       of every text one type is drawn; all its tokens become others of that type
    special_mask  of every text one type is drawn; all its tokens become the mask token

Body tokens are those that are neither padding nor special nor among the first `protect`.

Source: CoCoSoDa (Shi et al. 2023), section 3.2, p = 0.1. Its released pre-training changes no token
in two of the four modes (it replaces a token by itself); here each must change some, by test.
Breaks when: one word carries the meaning (a short query, a changed operator) and the changed text
is no longer an answer; "special" draws the only type a text consists of.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.errors import BadArgument, check_choice, check_count, check_number
from workbench.nn.token_types import TokenType, token_types
from workbench.types import Ints

MODES = ("mask", "type", "special", "special_mask")
_to_mask, _to_random = 0.8, 0.1  # BERT's shares, kept by CoCoSoDa


@dataclass(frozen=True, kw_only=True, eq=False)
class SoftTokenAugment:
    """Changes token ids of a padded batch in one of four modes.

    Args:
        mode: "mask", "type", "special" or "special_mask".
        types: (vocabulary,) type of every token id; 0 = special, never touched and never drawn.
            `token_types` makes one, a parser may make a finer one.
        mask_id: the mask token, for the modes that mask.
        p: probability that a body token is chosen ("mask", "type"); usual 0.1 to 0.15.
        protect: first real tokens of each text left alone; CoCoSoDa 3 (cls, mode word, sep).
        among: types the "special" modes may draw; None = every type but 0.

    Raises:
        BadArgument: an option out of range, no mask token where one is needed, a type nobody has.

    Example:
        >>> augment = SoftTokenAugment(mode="special", types=np.array([0, 1, 1, 2]), protect=0)
        >>> ids, real = torch.tensor([[1, 1, 2, 0]]), torch.tensor([[1, 1, 1, 0]])
        >>> augment(ids, real, generator=torch.Generator().manual_seed(0))
        tensor([[2, 2, 1, 0]])
    """

    mode: str
    types: Ints
    mask_id: int | None = None
    p: float = 0.15
    protect: int = 1
    among: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, MODES)
        check_number("p", self.p, at_least=0, at_most=1, mend="Try 0.15.")
        check_count("protect", self.protect, at_least=0, mend="Try 1.")
        if self.types.ndim != 1 or not (self.types > 0).any() or (self.types < 0).any():
            wanted = "it must be one type >= 0 per token id, some of them > 0"
            raise BadArgument("types", self.types, wanted, "Make it by token_types(tokenizer).")
        if self.mask_id is None and self.mode in ("mask", "special_mask"):
            wanted = f"mode {self.mode!r} needs one"
            raise BadArgument("mask_id", None, wanted, "Give tokenizer.mask_token_id.")
        if self.mask_id is not None and not 0 <= self.mask_id < len(self.types):
            wanted = f"ids are 0..{len(self.types) - 1}"
            raise BadArgument("mask_id", self.mask_id, wanted, "Give tokenizer.mask_token_id.")
        present = set(np.unique(self.types[self.types > 0]).tolist())
        for one in self.among or ():
            if one not in present:
                wanted = f"this vocabulary has the types {sorted(present)}"
                raise BadArgument("among", one, wanted, "Leave it out for all of them.")

    @classmethod
    def of(
        cls,
        tokenizer: Any,
        *,
        mode: str,
        p: float = 0.15,
        protect: int = 1,
        among: tuple[int, ...] | None = None,
    ) -> SoftTokenAugment:
        """The same for a tokenizer: its types, its mask token, else its token for the unknown.

        Args:
            tokenizer: a fast tokenizer of `transformers`, or a bare `tokenizers.Tokenizer`.
            mode: see the class.
            p: see the class.
            protect: see the class.
            among: see the class.
        """
        fast = getattr(tokenizer, "backend_tokenizer", tokenizer)
        names = [getattr(tokenizer, "mask_token", None), "[MASK]", "<mask>"]
        names += [getattr(fast.model, "unk_token", None)]
        found = (fast.token_to_id(name) for name in names if name)
        mask = next((place for place in found if place is not None), None)
        types = token_types(tokenizer)
        return cls(mode=mode, types=types, mask_id=mask, p=p, protect=protect, among=among)

    @cached_property
    def _tables(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Type of an id; ids sorted by type; an id's place in that; first place, size of a type."""
        types = torch.from_numpy(np.asarray(self.types, dtype=np.int64))
        order = torch.argsort(types, stable=True)
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order))
        sizes = torch.bincount(types)
        return types, order, place, sizes.cumsum(0) - sizes, sizes

    def __call__(
        self,
        input_ids: Int[Tensor, "row token"],
        attention_mask: Int[Tensor, "row token"],
        *,
        generator: torch.Generator,
    ) -> Int[Tensor, "row token"]:
        """New token ids; the same generator state and batch give the same ids.

        Args:
            input_ids: padded on either side.
            attention_mask: 1 for a real token, 0 for padding.
            generator: source of all draws, which happen on its device.

        Returns:
            Ids of the same shape, on the device of `input_ids`.

        Raises:
            BadArgument: an id outside the table of types.
        """
        ids, real = input_ids.to(generator.device), attention_mask.to(generator.device)
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < len(self.types):
            worst = int(ids.max()) if int(ids.min()) >= 0 else int(ids.min())
            wanted = f"the table of types has ids 0..{len(self.types) - 1}"
            raise BadArgument("input_ids", worst, wanted, "Use the tokenizer of this encoder.")
        types = self._tables[0].to(ids.device)[ids]
        body = (real != 0) & (types != TokenType.SPECIAL) & (real.cumsum(dim=1) > self.protect)
        draw = torch.rand(3, *ids.shape, generator=generator, device=ids.device, dtype=torch.double)
        mask = cast(int, self.mask_id)  # there, by construction, in the modes that use it
        if self.mode == "mask":
            chosen = body & (draw[0] < self.p)
            new = torch.where(draw[1] < _to_mask + _to_random, self._any_body(draw[2]), ids)
            new = torch.where(draw[1] < _to_mask, mask, new)
        elif self.mode == "type":
            chosen = body & (draw[0] < self.p) & (draw[1] < _to_mask)
            new = self._same_type(ids, draw[2])
        else:
            chosen = body & (types == self._drawn_type(types, body, generator)[:, None])
            masked = self.mode == "special_mask"
            new = torch.full_like(ids, mask) if masked else self._same_type(ids, draw[2])
        return torch.where(chosen, new, ids).to(input_ids.device)

    def _any_body(self, draw: Float[Tensor, "row token"]) -> Int[Tensor, "row token"]:
        _, order, _, starts, _ = self._tables
        first = int(starts[1])  # special ids are sorted first
        places = first + (draw * (len(order) - first)).long()
        return order.to(draw.device)[places]

    def _same_type(
        self, ids: Int[Tensor, "row token"], draw: Float[Tensor, "row token"]
    ) -> Int[Tensor, "row token"]:
        """Another id of the same type, each equally likely; the same id where there is no other."""
        types, order, place, starts, sizes = (table.to(ids.device) for table in self._tables)
        start, size = starts[types[ids]], sizes[types[ids]]
        further = 1 + (draw * (size - 1)).long()
        return order[start + (place[ids] - start + further) % size]

    def _drawn_type(
        self,
        types: Int[Tensor, "row token"],
        body: Bool[Tensor, "row token"],
        generator: torch.Generator,
    ) -> Int[Tensor, " row"]:
        """Per text one of the types its body has (and can change), each equally likely; else 0."""
        sizes = self._tables[-1].to(types.device)
        allowed = sizes >= (2 if self.mode == "special" else 1)
        allowed[TokenType.SPECIAL] = False
        if self.among is not None:
            wanted = torch.zeros_like(allowed)
            wanted[list(self.among)] = True
            allowed &= wanted
        counts = types.new_zeros(len(types), len(sizes)).scatter_add_(1, types, body.long())
        weights = ((counts > 0) & allowed).double()
        weights[:, TokenType.SPECIAL] = (weights.sum(dim=1) == 0).double()
        return torch.multinomial(weights, 1, generator=generator)[:, 0]
