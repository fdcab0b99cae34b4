"""What kind of token each entry of a vocabulary is, read off its spelling alone.

Source: the token types of CoCoSoDa (Shi et al. 2023) come from a parser per programming language;
these six need none, and serve prose too.
Breaks when: spelling says too little: keywords and names are both words; a vocabulary that marks
the end of words instead of their start knows no pieces; letters of scripts that byte-level
vocabularies spell as several bytes are `OTHER`.
"""

from __future__ import annotations

import re
import unicodedata
from enum import IntEnum
from typing import Any

import numpy as np

from workbench.types import Ints

_reserved = re.compile(
    r"\[(PAD|UNK|CLS|SEP|MASK|BOS|EOS|unused\d+)\]|</?(s|pad|unk|mask|bos|eos)>|<\|.*\|>"
)
_starts = "Ġ▁"  # how byte-level and sentence-piece vocabularies spell the blank before a word
_blanks = "Ċĉč"  # and how the first of them spells line ends and tabs


class TokenType(IntEnum):
    """The types that `token_types` knows.

    Example:
        >>> TokenType(3).name
        'PIECE'
    """

    SPECIAL = 0
    NUMBER = 1
    WORD = 2
    PIECE = 3
    PUNCTUATION = 4
    OTHER = 5


def token_types(tokenizer: Any) -> Ints:
    """Type of every token id.

    SPECIAL (cls, sep, pad, mask, unknown, reserved, ids without a token), NUMBER, WORD (starts a
    word and looks like an identifier), PIECE (continues a word), PUNCTUATION (operators too),
    OTHER.

    Args:
        tokenizer: a fast tokenizer of `transformers`, or a bare `tokenizers.Tokenizer`.

    Returns:
        (vocabulary,) values of `TokenType`.

    Example:
        >>> from tokenizers import Tokenizer, models
        >>> words = {"[UNK]": 0, "add": 1, "##ing": 2, "42": 3, "+=": 4}
        >>> table = token_types(Tokenizer(models.WordPiece(words, unk_token="[UNK]")))
        >>> [TokenType(kind).name for kind in table]
        ['SPECIAL', 'WORD', 'PIECE', 'NUMBER', 'PUNCTUATION']
    """
    fast = getattr(tokenizer, "backend_tokenizer", tokenizer)
    vocabulary: dict[str, int] = fast.get_vocab(with_added_tokens=True)
    added = fast.get_added_tokens_decoder()
    special = {int(place) for place in getattr(tokenizer, "all_special_ids", ())}
    special |= {int(place) for place, token in added.items() if token.special}
    prefix = getattr(fast.model, "continuing_subword_prefix", None) or ""
    marked = any(token[0] in _starts for token in vocabulary if token)
    table = np.full(max(vocabulary.values()) + 1, TokenType.SPECIAL, dtype=np.int64)
    for token, place in vocabulary.items():
        if place not in special:
            table[place] = _type_of(token, prefix=prefix, marked=marked)
    return table


def _type_of(token: str, *, prefix: str, marked: bool) -> TokenType:
    if _reserved.fullmatch(token):
        return TokenType.SPECIAL
    if prefix and token.startswith(prefix) and token != prefix:
        return TokenType.PIECE
    core = token.lstrip(_starts)
    continues = marked and core == token
    core = core.strip(_blanks)
    if not core:
        return TokenType.OTHER
    if core.replace(".", "").isdecimal():
        return TokenType.NUMBER
    if all(unicodedata.category(character)[0] in "PS" for character in core):
        return TokenType.PUNCTUATION
    if continues and core.replace("_", "a").isalnum():
        return TokenType.PIECE
    return TokenType.WORD if core.isidentifier() else TokenType.OTHER
