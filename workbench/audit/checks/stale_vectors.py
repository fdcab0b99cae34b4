"""WB112: vectors or candidates made for other texts or by another encoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from workbench.audit.checks._base import Finding, NotAsked, finding
from workbench.audit.checks._given import STEP, Given
from workbench.registry import register
from workbench.types import Ids, Ints, Vectors


def different(wanted: Ids, given: Ids) -> int:
    """How many rows do not hold the wanted id, missing and surplus ones included.

    Example:
        >>> different(np.array(["a", "b"], object), np.array(["a", "c", "d"], object))
        2
    """
    shared = min(len(wanted), len(given))
    apart = int((wanted[:shared] != given[:shared]).sum())
    return apart + abs(len(wanted) - len(given))


def unusable(vectors: Vectors) -> Ints:
    """Rows that are not finite, or have no length.

    Example:
        >>> values = np.array([[1, 0], [0, 0], [np.nan, 1]], dtype=np.float32)
        >>> ids = np.array(["a", "b", "c"], dtype=object)
        >>> unusable(Vectors(values=values, ids=ids, encoder="e")).tolist()
        [1, 2]
    """
    bad = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(vectors.values), STEP):
        rows = np.asarray(vectors.values[start : start + STEP], dtype=np.float32)
        wrong = ~np.isfinite(rows).all(axis=1) | ~np.any(rows, axis=1)
        bad.append(start + np.flatnonzero(wrong))
    return np.concatenate(bad).astype(np.int64)


@dataclass
class _Account:
    """Problems so far, and how many of how many rows they touch."""

    says: list[str] = field(default_factory=list)
    stale: int = 0
    rows: int = 0

    def add(self, name: str, size: int, problems: list[tuple[int, str]]) -> None:
        self.rows += size
        self.stale += max([0, *(count for count, _ in problems)])
        self.says += [f"{name}: {problem}" for _, problem in problems]


@register("check", "WB112")
@dataclass(frozen=True, kw_only=True)
class StaleVectors:
    """Vectors whose ids, encoder, prompt or age are not those at hand, and old candidates.

    `vectors` must be those of `encoder`, where it is given; a guide is another model on purpose,
    so only its ids and numbers are looked at. Candidates must have been mined from this very
    collection: its fingerprint stands in their recipe.

    Example:
        >>> StaleVectors().severity
        'error'

    Breaks when: two encoders have one fingerprint, which equal weights, tokenizer, pooling, prompt
    and length alone do.
    """

    code: ClassVar[str] = "WB112"
    title: ClassVar[str] = "stale vectors or candidates"
    severity: ClassVar[str] = "error"
    mend: ClassVar[str] = (
        "Encode this collection again with encode_collection (a VectorCache makes it cheap), then "
        "mine again."
    )

    def __call__(self, given: Given) -> Finding:
        """Look."""
        if not given.has_guide and given.found is None:
            raise NotAsked("needs vectors, guide or candidates")
        account = _Account()
        for name, pair in (("vectors", given.vectors), ("guide", given.guide)):
            for side, vectors in zip(("query", "doc"), pair or (), strict=pair is not None):
                problems = _numbers(given, vectors, side)
                if name == "vectors":
                    problems += _encoder(given, vectors, side)
                account.add(f"{name} of {side} texts", len(vectors.ids), problems)
        _candidates(given, account)
        says = "; ".join(account.says) or f"{account.rows:,} rows are of what is at hand"
        if given.vectors is not None and given.encoder is None:
            says += "; fingerprints were not compared: needs encoder"
        return finding(self, count=account.stale, whole=account.rows, says=says)


def _numbers(given: Given, vectors: Vectors, side: str) -> list[tuple[int, str]]:
    wanted = given.collection.query_ids if side == "query" else given.collection.doc_ids
    problems = []
    if apart := different(wanted, vectors.ids):
        problems.append((apart, f"{apart:,} ids differ from the collection's"))
    if count := len(unusable(vectors)):
        problems.append((count, f"{count:,} are all zeros or not finite"))
    return problems


def _encoder(given: Given, vectors: Vectors, side: str) -> list[tuple[int, str]]:
    if given.encoder is None:
        return []
    every = len(vectors.ids)
    problems = []
    if vectors.encoder != given.encoder.fingerprint(side):
        problems.append((every, f"made by encoder {vectors.encoder}, which is not the one at hand"))
    if vectors.prompt != given.encoder.prompts[side]:
        asked = given.encoder.prompts[side]
        problems.append((every, f"prompt {vectors.prompt!r} where the encoder puts {asked!r}"))
    if vectors.age != given.encoder.age:
        problems.append(
            (every, f"age {vectors.age:,} steps, the encoder has {given.encoder.age:,}")
        )
    return problems


def _candidates(given: Given, account: _Account) -> None:
    found = given.found
    if found is None:
        return
    problems = []
    if apart := different(given.collection.query_ids, found.query_ids):
        problems.append((apart, f"{apart:,} query ids differ from the collection's"))
    if different(given.collection.doc_ids, found.doc_ids):
        problems.append((len(found.query_ids), "document ids differ from the collection's"))
    mined = found.recipe.get("collection")
    if mined is not None and mined != given.collection.fingerprint and not problems:
        problems.append((len(found.query_ids), "mined before texts, labels or groups changed"))
    account.add("candidates", len(found.query_ids), problems)
