"""Texts as token ids, kept ragged so that padding exists only inside a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from workbench.errors import BadArgument, check_count
from workbench.types import Ints

_at_once = 1024


@dataclass(frozen=True, eq=False, kw_only=True)
class Tokens:
    """Token ids of many texts in one flat array, cut once and used in every epoch.

    Args:
        ids: all ids one text after the other, prompt and special tokens included.
        offsets: (text + 1,) where each text starts; the last entry is the end.
        pad_id: the id put where a shorter text of a batch has ended.
        truncated: how many texts were longer than `max_length` and lost their end.
        max_length: most tokens a text keeps.

    Example:
        >>> ids, offsets = np.array([5, 6, 7], dtype=np.int32), np.array([0, 1, 3])
        >>> tokens = Tokens(ids=ids, offsets=offsets, pad_id=0, truncated=0, max_length=8)
        >>> tokens.take([1, 0])["input_ids"].tolist()
        [[6, 7], [5, 0]]
    """

    ids: NDArray[np.int32]
    offsets: Ints
    pad_id: int
    truncated: int
    max_length: int | None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Ints:
        """Number of tokens of each text."""
        return np.diff(self.offsets)

    def take(self, positions: Sequence[int] | Ints) -> dict[str, Tensor]:
        """Pad the texts at `positions` on the right to the longest of them.

        The right side is right for every model: a mask hides padding from an encoder, a decoder
        never looks ahead, and positions counted from 0 stay where training had them.

        Args:
            positions: which texts, in the order wanted; repeats are allowed.

        Returns:
            `input_ids` and `attention_mask`, both (text, token) int64.

        Raises:
            BadArgument: a position lies outside the store.
        """
        chosen = np.asarray(positions, dtype=np.int64)
        outside = chosen[(chosen < 0) | (chosen >= len(self))]
        if outside.size:
            raise BadArgument(
                "positions",
                int(outside[0]),
                f"it must lie in [0, {len(self)})",
                "Use positions of the texts that were tokenised.",
            )
        starts, lengths = self.offsets[chosen], self.lengths[chosen]
        column = np.arange(max(int(lengths.max(initial=0)), 1))
        mask = column < lengths[:, None]
        padded = np.full(mask.shape, self.pad_id, dtype=np.int64)
        padded[mask] = self.ids[(starts[:, None] + column)[mask]]
        return {
            "input_ids": torch.from_numpy(padded),
            "attention_mask": torch.from_numpy(mask.astype(np.int64)),
        }

    def __repr__(self) -> str:
        return (
            f"Tokens({len(self):,} texts, {len(self.ids):,} tokens, {self.truncated:,} truncated)"
        )


def token_batches(lengths: Ints, *, token_budget: int) -> Iterator[Ints]:
    """Cut texts into batches of at most `token_budget` padded tokens, longest first.

    Longest first puts texts of like length together, so padding nearly vanishes, and meets an
    out-of-memory error in the first batch rather than in the last.

    Args:
        lengths: tokens of each text.
        token_budget: most padded tokens in a batch; a text longer than it stands alone.

    Yields:
        Positions into `lengths`.

    Example:
        >>> [batch.tolist() for batch in token_batches(np.array([2, 9, 3]), token_budget=6)]
        [[1], [2, 0]]
    """
    check_count("token_budget", token_budget, mend="Try 1024 on a CPU, 65536 on a GPU.")
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        width = max(int(lengths[order[start]]), 1)
        count = max(token_budget // width, 1)
        yield order[start : start + count]
        start += count


def check_texts(texts: Sequence[Any]) -> list[str]:
    """Refuse an empty list, a lone string, and anything in it that is not text."""
    if isinstance(texts, str):
        raise BadArgument("texts", texts, "it must be a list of texts", "Write [text].")
    listed = list(texts)
    if not listed:
        raise BadArgument("texts", listed, "it must hold at least one text", "Give some texts.")
    for position, text in enumerate(listed):
        if not isinstance(text, str):
            raise BadArgument(
                f"texts[{position}]", text, "it must be a str", "Drop the row or fill the text."
            )
    return listed


def tokenize(
    tokenizer: Any,
    texts: Sequence[str],
    *,
    prompt: str,
    max_length: int | None,
    pad_id: int,
    special: bool,
    cut_side: str,
    progress: bool | None,
) -> Tokens:
    """Cut texts with a `tokenizers.Tokenizer`, in batches and without padding.

    Args:
        tokenizer: the fast tokenizer.
        texts: what to cut.
        prompt: put before each text.
        max_length: most tokens of a text, prompt and special tokens included; None for no limit.
        pad_id: kept for later padding.
        special: whether the tokenizer adds its special tokens.
        cut_side: "right" drops the end of a long text, "left" its beginning.
        progress: None shows a bar where a person can see it.

    Returns:
        The ragged store.
    """
    tokenizer.no_padding()
    if max_length is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(max_length, direction=cut_side)
    flat: list[NDArray[np.int32]] = []
    lengths: list[int] = []
    truncated = 0
    hide = None if progress is None else not progress
    starts = range(0, len(texts), _at_once)
    for start in tqdm(starts, desc="tokenise", disable=hide, delay=2, leave=False):
        batch = [prompt + text for text in texts[start : start + _at_once]]
        for cut in tokenizer.encode_batch_fast(batch, add_special_tokens=special):
            row = cut.ids
            flat.append(np.array(row, dtype=np.int32))
            lengths.append(len(row))
            # only a text that fills the limit can have lost something; asking copies, so ask few
            truncated += len(row) == max_length and bool(cut.overflowing)
    return Tokens(
        ids=np.concatenate(flat),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        pad_id=pad_id,
        truncated=truncated,
        max_length=max_length,
    )
