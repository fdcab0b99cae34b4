"""Which n-grams of some texts stand in others, read once: exact, however long the other side is.

Tokens of the first side are numbered; an n-gram is a path through n levels of (prefix, next token),
each level a sorted array, so that a text of the other side drops out at its first unknown token and
no hash can collide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument
from workbench.types import Ints

Tokenizer = Callable[[str], list[str]]
Bools = NDArray[np.bool_]
BATCH = 1 << 18
"""Tokens of the other side looked up at once."""
HELD = 1 << 21
"""Tokens of matched stretches kept before they are compared: some 200 MB while they are."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Laid:
    """Texts laid end to end as token numbers.

    Args:
        codes: (token,) number of each token; -1 = a token the first side lacks.
        owner: (token,) which text it stands in.
        room: (token,) tokens from here to the end of its text, itself included.
        lengths: (text,) tokens per text.
    """

    codes: Ints
    owner: Ints
    room: Ints
    lengths: Ints

    @classmethod
    def of(cls, texts: Sequence[Ints]) -> Laid:
        """From one array of token numbers per text."""
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        ends = np.repeat(np.cumsum(lengths), lengths)
        codes = np.concatenate([np.empty(0, np.int64), *texts])
        owner = np.repeat(np.arange(len(lengths)), lengths)
        return cls(codes=codes, owner=owner, room=ends - np.arange(len(codes)), lengths=lengths)


def numbered(
    name: str, text: object, tokenizer: Tokenizer, known: dict[str, int], *, grow: bool
) -> Ints:
    """Token numbers of one text; `grow` gives new tokens a number, else they are -1.

    Raises:
        BadArgument: the text is no string, or the tokenizer gives no list of strings.
    """
    if not isinstance(text, str):
        raise BadArgument(name, text, "it must be a string", "Convert it.")
    tokens = tokenizer(text)
    if not isinstance(tokens, list) or any(not isinstance(token, str) for token in tokens[:1]):
        raise BadArgument("tokenizer", tokens, "it must give a list of strings", "Try str.split.")
    if grow:
        found = [known.setdefault(token, len(known)) for token in tokens]
    else:
        found = [known.get(token, -1) for token in tokens]
    return np.array(found, dtype=np.int64)


def batches(texts: Iterable[str], tokenizer: Tokenizer, known: dict[str, int]) -> Iterator[Laid]:
    """The other side, some texts at a time."""
    from tqdm.auto import tqdm

    waiting: list[Ints] = []
    held = 0
    progress = tqdm(texts, desc="n-grams", unit="text", disable=None, delay=2, leave=False)
    for place, text in enumerate(progress):
        waiting.append(numbered(f"train[{place}]", text, tokenizer, known, grow=False))
        held += len(waiting[-1])
        if held >= BATCH:
            yield Laid.of(waiting)
            waiting, held = [], 0
    if waiting:
        yield Laid.of(waiting)


class Grams:
    """The n-grams of the first side, numbered.

    Args:
        laid: the first side.
        n: tokens per n-gram.
        width: how many different tokens there are.

    Attributes:
        places: positions at which an n-gram begins, rising.
        numbers: number of the n-gram that begins there.
        count: how many different ones there are.
    """

    def __init__(self, laid: Laid, n: int, width: int) -> None:
        self.n, self.width = n, max(1, width)
        self.levels: list[Ints] = []
        places, numbers, count = np.arange(len(laid.codes)), laid.codes, self.width
        for length in range(1, n):
            inside = laid.room[places] > length
            places, numbers = places[inside], numbers[inside]
            keys = numbers * self.width + laid.codes[places + length]
            unique, numbers = np.unique(keys, return_inverse=True)
            self.levels.append(unique)
            count = len(unique)
        self.places, self.numbers, self.count = places, numbers, count

    def find(self, laid: Laid) -> tuple[Ints, Ints]:
        """(positions of the other side at which one of these begins, rising; its number)."""
        places = np.flatnonzero(laid.codes >= 0)
        numbers = laid.codes[places]
        for length, keys in enumerate(self.levels, start=1):
            inside = laid.room[places] > length
            places, numbers = places[inside], numbers[inside]
            after = laid.codes[places + length]
            wanted = numbers * self.width + after
            at = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
            hit = (after >= 0) & (keys[at] == wanted) if len(keys) else np.zeros(len(at), np.bool_)
            places, numbers = places[hit], at[hit]
        return places, numbers


def stretches(laid: Laid, places: Ints, n: int) -> tuple[Ints, Ints]:
    """(first token, number of tokens) of every run of n-grams that begin one after the other."""
    if not len(places):
        return places, places
    cuts = (np.diff(places) != 1) | (np.diff(laid.owner[places]) != 0)
    first = np.flatnonzero(np.r_[True, cuts])
    sizes = np.diff(np.r_[first, len(places)])
    return places[first], sizes + n - 1


def longest_shared(ours: Sequence[Ints], theirs: Sequence[Ints]) -> Ints:
    """Length of the longest run of tokens that each of `ours` shares with any of `theirs`.

    A suffix array over both by prefix doubling; the best partner of a suffix is the nearest of the
    other side above or below it.

    Example:
        >>> longest_shared([np.array([1, 2, 3, 4])], [np.array([9, 2, 3]), np.array([3, 4])])
        array([2])
    """
    laid = Laid.of([*ours, *theirs])
    longest = np.zeros(len(ours), dtype=np.int64)
    if not len(laid.codes):
        return longest
    ranks = _ranks(laid)
    order = np.argsort(ranks[-1], kind="stable")
    common = _common(laid, ranks, order)
    foreign = laid.owner[order] >= len(ours)
    left = _nearest(common, foreign)
    right = _nearest(common[::-1], foreign[::-1])[::-1]
    best = np.maximum(left, right)[~foreign]
    np.maximum.at(longest, laid.owner[order[~foreign]], best)
    return longest


def _ranks(laid: Laid) -> list[Ints]:
    """Level k: rank of the 2^k tokens that begin at each position; an early end comes first."""
    count = len(laid.codes)
    ranks = [np.unique(laid.codes, return_inverse=True)[1].astype(np.int64)]
    length = 1
    while length < laid.room.max():
        after = np.full(count, -1, dtype=np.int64)
        inside = np.flatnonzero(laid.room > length)
        after[inside] = ranks[-1][inside + length]
        keys = ranks[-1] * (count + 1) + after + 1
        ranks.append(np.unique(keys, return_inverse=True)[1].astype(np.int64))
        length *= 2
    return ranks


def _common(laid: Laid, ranks: list[Ints], order: Ints) -> Ints:
    """Tokens that each suffix and the next one in order begin with alike."""
    one, two = order[:-1], order[1:]
    common = np.zeros(len(one), dtype=np.int64)
    for level in reversed(range(len(ranks))):
        room = np.minimum(laid.room[one], laid.room[two]) - common
        fits = np.flatnonzero(room >= 1 << level)
        at = common[fits]
        same = ranks[level][one[fits] + at] == ranks[level][two[fits] + at]
        common[fits[same]] += 1 << level
    return common


def _nearest(common: Ints, foreign: Bools) -> Ints:
    """Tokens that each suffix shares with the nearest foreign one before it; 0 = there is none."""
    before: Ints = np.cumsum(foreign) - foreign
    apart = np.r_[0, common]
    # A running minimum that starts anew behind every foreign suffix: each part lies far below.
    step = int(apart.max(initial=0)) + 1
    lowest = np.minimum.accumulate(apart - before * step) + before * step
    return np.where(before > 0, lowest, 0)
