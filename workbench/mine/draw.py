"""Random numbers that belong to a (query, document) and a seed, not to a place in a stream.

    number(query, item) = mix(mix(seed + hash(query id)) + item)     (splitmix64)

A draw made with them does not depend on which other queries are mined, in which order, or in how
many processes.

Source: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, check_count
from workbench.types import Ids, Ints

Keys = NDArray[np.uint64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def check_seed(seed: int) -> None:
    """Refuse what is no seed of these draws: they are of 64 bits.

    Raises:
        BadArgument: below 0, or 2**64 and more.
    """
    check_count("seed", seed, at_least=0, mend="Try 0.")
    if seed >= 2**64:
        raise BadArgument("seed", seed, "it must be < 2**64", "Try 0.")


def mix(numbers: Keys) -> Keys:
    """One well-stirred 64-bit number for each.

    Example:
        >>> mix(np.array([0, 1], dtype=np.uint64)).tolist()
        [16294208416658607535, 10451216379200822465]
    """
    with np.errstate(over="ignore"):
        stirred = numbers + _GOLDEN
        stirred = (stirred ^ (stirred >> np.uint64(30))) * _FIRST
        stirred = (stirred ^ (stirred >> np.uint64(27))) * _SECOND
    return stirred ^ (stirred >> np.uint64(31))


def keys(ids: Ids, seed: int) -> Keys:
    """(id,) one 64-bit number for each id and seed, whichever other ids stand beside it.

    Example:
        >>> both = keys(np.array(["q1", "q2"], dtype=object), 0)
        >>> bool(both[1] == keys(np.array(["q2"], dtype=object), 0)[0]), bool(both[0] == both[1])
        (True, False)
    """
    from pandas.util import hash_array

    if not len(ids):
        return np.empty(0, dtype=np.uint64)
    hashed = np.asarray(hash_array(ids, categorize=False), dtype=np.uint64)
    return mix(hashed + mix(np.array([seed], dtype=np.uint64)))


def numbers(of: Keys, items: Ints | Keys) -> Keys:
    """(query, item) a number for every item of every query; `items` broadcasts against rows.

    Args:
        of: (query,) from `keys`.
        items: (item,) or (query, item) whole numbers >= 0: positions, counters, keys.

    Example:
        >>> drawn = numbers(keys(np.array(["q1"], dtype=object), 0), np.arange(1000))
        >>> drawn.shape, bool(0.4 < (drawn / 2**64).mean() < 0.6)
        ((1, 1000), True)
    """
    with np.errstate(over="ignore"):
        return mix(of[:, None] + mix(np.asarray(items).astype(np.uint64)))
