"""What a sampler refuses: rows, mined negatives, labels and saved arrays that do not fit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, check_count
from workbench.types import Candidates, Ints


def checked_pairs(pairs: Ints, known: KnownPositives | None) -> Ints:
    """Training rows as (row, 2) positions inside the graph.

    Raises:
        BadArgument: a shape, no row, a position out of range; no graph.
    """
    given: object = known
    if given is not None and not isinstance(given, KnownPositives):
        wanted = "it must be the known-positive graph"
        raise BadArgument("known", given, wanted, "Pass KnownPositives.of(collection).")
    rows = np.asarray(pairs)
    if rows.ndim != 2 or rows.shape[1:] != (2,) or rows.dtype.kind not in "iu":
        wanted = "it must be whole numbers of shape (row, 2)"
        raise BadArgument("pairs", (rows.shape, str(rows.dtype)), wanted, "Pass collection.pairs.")
    if not len(rows):
        raise BadArgument("pairs", rows.shape, "it must have at least one row", "Check the split.")
    counts = (None, None) if known is None else (len(known.query_groups), len(known.doc_groups))
    for column, side in enumerate(("query", "document")):
        _check_side(rows[:, column], side, counts[column], "known")
    return rows.astype(np.int64)


def _check_side(positions: Ints, side: str, count: int | None, owner: str) -> None:
    low, high = int(positions.min()), int(positions.max())
    if low < 0 or (count is not None and high >= count):
        wanted = f"a {side} position must be >= 0"
        wanted += "" if count is None else f" and < {count:,}, as `{owner}` has"
        bad = low if low < 0 else high
        raise BadArgument("pairs", bad, wanted, "Take all from one collection.")


def checked_negatives(
    negatives: Candidates | None, count: int, pairs: Ints, known: KnownPositives | None
) -> None:
    """Refuse mined negatives without a number of them, and those of another collection.

    Raises:
        BadArgument: as said.
    """
    given: object = negatives
    if given is not None and not isinstance(given, Candidates):
        wanted = "it must be Candidates"
        mend = "Pass what mine.hard_negatives returns."
        raise BadArgument("negatives", given, wanted, mend)
    if (negatives is None) != (count == 0):
        wanted = "it must be 0 without `negatives` and >= 1 with them"
        raise BadArgument("num_negatives", count, wanted, "Give both or neither.")
    if negatives is None:
        return
    _check_side(pairs[:, 0], "query", len(negatives.docs), "negatives")
    if known is None or not negatives.docs.size:
        return
    highest = int(negatives.docs.max())
    if highest >= len(known.doc_groups):
        wanted = f"a document position must be < {len(known.doc_groups):,}, as `known` has"
        raise BadArgument("negatives", highest, wanted, "Mine from the same collection.")


def numbered(
    argument: str, labels: Any, *, count: int, exact: bool, of: str
) -> tuple[list[Any], Ints]:
    """Labels as numbers from 0, with the sorted labels they stand for.

    Args:
        argument: the name as the user wrote it.
        labels: words or whole numbers.
        count: how many there must be.
        exact: no more than that either.
        of: what they are labels of, for the message.

    Raises:
        BadArgument: a shape, a missing label, numbers that are not whole.
    """
    values = np.asarray(labels)
    if values.ndim != 1 or (len(values) != count if exact else len(values) < count):
        wanted = f"it must be ({'' if exact else '>= '}{count:,},), one per {of}"
        raise BadArgument(argument, values.shape, wanted, "Give one label each.")
    if values.dtype.kind in "iu" and len(values) and values.min() < 0:
        wanted = "a label must be >= 0"
        raise BadArgument(argument, int(values.min()), wanted, "Leave unlabelled rows out.")
    if values.dtype.kind not in "iubUO" or any(
        one is None or one != one for one in (values.tolist() if values.dtype.kind == "O" else ())
    ):
        wanted = "labels must be words or whole numbers, none missing"
        raise BadArgument(argument, str(values.dtype), wanted, "Name every one.")
    if values.dtype.kind == "O":
        values = values.astype(str)
    unique, numbers = np.unique(values, return_inverse=True)
    return unique.tolist(), numbers.astype(np.int64)


def checked_epochs(epochs: object) -> list[int]:
    """The epochs that are named.

    Raises:
        BadArgument: none, or something else.
    """
    named = list(epochs) if isinstance(epochs, Iterable) else []
    if not named:
        raise BadArgument("epochs", epochs, "it must name the epochs", "Try range(3).")
    for epoch in named:
        check_count("epochs", epoch, at_least=0, mend="Epochs count from 0, as in range(3).")
    return named


def checked_arrays(
    arrays: dict[str, NDArray[Any]], *, rows: int, queries: int
) -> list[tuple[int, NDArray[Any]]]:
    """The groupings in saved arrays, by the epoch from which each holds.

    Raises:
        BadArgument: unknown names, or arrays of other data.
    """
    groupings = []
    for name, array in arrays.items():
        kind, _, epoch = name.partition(".")
        if kind == "grouping" and epoch.isdecimal():
            groupings.append((int(epoch), np.array(array)))
            fits = len(array) == rows and array.dtype.kind in "iu"
        else:
            fits = name in ("negatives", "bins") and len(array) >= queries
        if not fits:
            wanted = f"`{name}` must be what arrays() of a sampler over the same rows gave"
            raise BadArgument("arrays", array.shape, wanted, "Load the arrays of this run.")
    if len({"negatives", "bins"} & set(arrays)) == 1:
        wanted = "`negatives` and `bins` come together"
        raise BadArgument("arrays", sorted(arrays), wanted, "Load the arrays of this run.")
    return sorted(groupings, key=lambda entry: entry[0])
