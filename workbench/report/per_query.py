"""What a run found for each query, kept beside `result.json`, which names the folder it is in.

    per-query-0123456789abcdef/card  a `Scorecard` (if given)
    per-query-0123456789abcdef/top   the first ten documents of every query (if given)

A second report writes a second folder before `result.json` names it: whatever is killed when, the
figures and what stands beside them belong together.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np

from workbench.errors import BadArgument, BadData
from workbench.files import atomic_folder, fingerprint, read_json
from workbench.types import Candidates, Scorecard

RESULT = "result.json"
PER_QUERY = "per-query-"
TOP = 10
"""Documents kept of every query's ranking."""


def check_kept(card: object, top: object) -> None:
    """Refuse what is no scorecard, no list, or not of the same queries.

    Raises:
        BadArgument: which, and what was wanted.
    """
    for name, value, kind in (("card", card, Scorecard), ("top", top, Candidates)):
        if value is not None and not isinstance(value, kind):
            wanted = f"it must be {kind.__name__} or None"
            raise BadArgument(name, value, wanted, "Pass what evaluate or mine returned.")
    if not isinstance(card, Scorecard) or not isinstance(top, Candidates):
        return
    if sorted(map(str, card.query_ids)) != sorted(map(str, top.query_ids)):
        wanted = "its queries must be those of card"
        raise BadArgument("top", top, wanted, "Mine the collection that was scored.")


def keep(folder: Path, card: Scorecard | None, top: Candidates | None) -> str:
    """Put both into a folder of their own, which is there whole before `result.json` names it.

    Args:
        folder: of the run.
        card: values per query, or None.
        top: rankings, or None.

    Returns:
        The name of the folder inside it; equal content, equal name.
    """
    parts: list[object] = []
    if card is not None:
        parts += [card.query_ids, [[name, value] for name, value in sorted(card.values.items())]]
        parts += [card.name, str(card.recipe)]
    short = None if top is None else first_of(top, TOP)
    if short is not None:
        parts += [short.fingerprint, short.scores]
    name = f"{PER_QUERY}{fingerprint(*parts)}"
    with atomic_folder(folder / name) as temporary:
        if card is not None:
            card.save(temporary / "card")
        if short is not None:
            short.save(temporary / "top")
    return name


def first_of(found: Candidates, k: int) -> Candidates:
    """The first k of every list, with no more ids than they name.

    Args:
        found: of any width, over any corpus.
        k: how many to keep of each.

    Example:
        >>> from workbench.data import from_rows
        >>> from workbench.mine import bm25
        >>> demo = from_rows([{"query": c, "positive": c * 2 + " " + c} for c in "abc"], name="d")
        >>> first_of(bm25(demo, k=3, exclude="nothing"), 1).docs.shape
        (3, 1)
    """
    docs = np.asarray(found.docs[:, :k])
    used = np.unique(docs[docs >= 0])
    places = np.where(docs >= 0, np.searchsorted(used, docs), -1).astype(np.int64)
    return Candidates(
        query_ids=found.query_ids,
        doc_ids=found.doc_ids[used],
        docs=places,
        scores=np.ascontiguousarray(found.scores[:, :k]),
        ranks=np.ascontiguousarray(found.ranks[:, :k]),
        weight=np.ascontiguousarray(found.weight[:, :k]),
        positive_scores=np.asarray(found.positive_scores),
        miner=found.miner,
        recipe={**found.recipe, "k": int(docs.shape[1])},
    )


def prune(folder: Path, named: object) -> None:
    """Delete what an earlier report of this run kept."""
    for old in folder.glob(f"{PER_QUERY}*"):
        if old.name != named:
            shutil.rmtree(old, ignore_errors=True)


def place_of(folder: str | Path) -> Path | None:
    """The folder that a run's `result.json` names, None if it kept nothing per query.

    Raises:
        BadArgument: there is no `result.json`.
        BadData: it is damaged, or names a folder that is not there.
    """
    run = Path(folder)
    record = read_json(run / RESULT)
    named = record.get("per_query") if isinstance(record, dict) else None
    if named is None:
        return None
    if not re.fullmatch(rf"{PER_QUERY}[0-9a-f]{{16}}", str(named)) or not (run / named).is_dir():
        problem = f"per_query names {str(named)[:60]!r}, which is not in it"
        raise BadData(str(run), [problem], "Run the notebook again.")
    return run / str(named)


def card_of(folder: str | Path) -> Scorecard | None:
    """The values per query that a run reported, or None.

    Args:
        folder: of the run.

    Raises:
        BadArgument: there is no `result.json`.
        BadData: something is damaged.

    Example:
        >>> card_of("no-such-run")
        Traceback (most recent call last):
        workbench.errors.BadArgument: `path` is 'no-such-run/result.json', but there is no such \
file. Check the spelling.
    """
    place = place_of(folder)
    if place is None or not (place / "card").is_dir():
        return None
    try:
        return Scorecard.load(place / "card")
    except (OSError, ValueError, KeyError) as error:
        raise BadData(str(place / "card"), [f"damaged: {error}"], "Run it again.") from error


def top_of(folder: str | Path) -> Candidates | None:
    """The first ten documents of every query that a run reported, or None.

    Args:
        folder: of the run.

    Raises:
        BadArgument: there is no `result.json`.
        BadData: something is damaged.
    """
    place = place_of(folder)
    if place is None or not (place / "top").is_dir():
        return None
    return Candidates.load(place / "top")
