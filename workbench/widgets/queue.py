"""What there is to judge, and in which order: arrays, no widget.

An *item* is one mined candidate of one query that no label calls a positive. Items are numbered
query by query, best rank first; an order is a permutation of those numbers.

    informative   |p - 1/2| rising; without probabilities |score - positive score| rising
    suspicious    p falling; without probabilities score - positive score falling
    rank          first ranks of all queries, then second ones, ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from workbench.audit import Draw, Suspicion
from workbench.audit.evidence import check_losses
from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, check_choice
from workbench.mine.facts import check_ids
from workbench.types import Candidates, Collection, Floats, Ids, Ints, LossStore

Bools = NDArray[np.bool_]
Found = Candidates | Suspicion
Given = Mapping[str, Candidates | NDArray[np.floating]]
ORDERS = ("informative", "suspicious", "rank")
OWN = ("probability", "score", "positive_score", "margin", "rank")
"""Numbers that every queue has (the first with a `Suspicion` only)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Queue:
    """Items of a mined list with everything that is known of them.

    Args:
        candidates: the list.
        collection: the one mined.
        rows: (item,) query positions, rising.
        columns: (item,) places in the query's list, from 0.
        docs: (item,) document positions.
        numbers: name -> (item,) values, NaN where unknown: `OWN`, signals, further scores.
        groups: (item,) items of one number ask the same and answer the same.

    Example:
        >>> from workbench.audit.toys import toy_audit
        >>> candidates, collection, guides, truth = toy_audit(facts=8, k=5)
        >>> queue = Queue.of(candidates, collection)
        >>> len(queue), sorted(queue.numbers)
        (240, ['margin', 'positive_score', 'rank', 'score'])
    """

    candidates: Candidates
    collection: Collection
    rows: Ints
    columns: Ints
    docs: Ints
    numbers: dict[str, Floats]
    groups: Ints

    @classmethod
    def of(
        cls,
        found: Found,
        collection: Collection,
        *,
        scores: Given | None = None,
        losses: LossStore | None = None,
    ) -> Queue:
        """The items of a list; labelled positives that the miner let in are none.

        Args:
            found: mined candidates, or what `audit.suspicion` made of them.
            collection: the one mined; near-duplicate groups are its `doc_groups`
                (`data.with_groups` finds looser ones).
            scores: name -> another miner's list, whose scores and ranks are looked up, or an array
                (query, rank) in this list's order.
            losses: what every labelled pair cost in training; adds `loss.mean`, `loss.spread`.

        Raises:
            BadArgument: something else than a list, scores or losses that do not fit.
            BadData: ids of list, collection or scores differ.
        """
        candidates, labelled = _checked(found, collection)
        check_losses(losses, collection)
        there = (candidates.docs >= 0) & ~labelled
        rows, columns = (axis.astype(np.int64) for axis in np.nonzero(there))
        docs = np.asarray(candidates.docs[there], dtype=np.int64)
        values = {name: one[there] for name, one in _own(found, candidates).items()}
        for name, given in (scores or {}).items():
            if name in values or not isinstance(name, str) or not name:
                wanted = f"a name must be there and none of {', '.join(values)}"
                raise BadArgument("scores", name, wanted, "Call it bm25, say.")
            values |= {key: one[there] for key, one in _looked_up(name, given, candidates).items()}
        if isinstance(found, Suspicion):
            inside = ~labelled[candidates.docs >= 0]
            for place, signal in enumerate(found.signals.names.tolist()):
                values.setdefault(str(signal), np.asarray(found.signals.values[inside, place]))
        if losses is not None:
            for name, per_pair in (("mean", losses.mean()), ("spread", losses.spread())):
                values[f"loss.{name}"] = _per_query(per_pair, collection)[rows]
        return cls(
            candidates=candidates, collection=collection, rows=rows, columns=columns, docs=docs,
            numbers=values, groups=_groups(collection, rows, docs),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.rows)

    def pairs(self, items: Ints) -> list[tuple[str, str]]:
        """(query id, document id) of some items."""
        queries = self.candidates.query_ids[self.rows[items]].tolist()
        return list(zip(queries, self.candidates.doc_ids[self.docs[items]].tolist(), strict=True))

    @cached_property
    def places(self) -> tuple[dict[str, int], dict[str, int]]:
        """Id -> position, of queries and of documents."""
        ids = self.candidates.query_ids, self.candidates.doc_ids
        queries, docs = ({name: place for place, name in enumerate(one.tolist())} for one in ids)
        return queries, docs

    @cached_property
    def _keys(self) -> tuple[Ints, Ints]:
        """Sorted pair numbers, and the item of each."""
        keys = self.rows * len(self.candidates.doc_ids) + self.docs
        order = np.argsort(keys, kind="stable").astype(np.int64)
        return keys[order], order

    def items(self, pairs: Sequence[tuple[str, str]]) -> Ints:
        """(pair,) the item of each (query id, document id), -1 where it is none of this list."""
        queries, docs = self.places
        wide = len(self.candidates.doc_ids)
        wanted = np.array(
            [queries[q] * wide + docs[d] if q in queries and d in docs else -1 for q, d in pairs],
            dtype=np.int64,
        )
        keys, order = self._keys
        if not len(keys):
            return np.full(len(wanted), -1, dtype=np.int64)
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[place] == wanted, order[place], -1)

    @cached_property
    def _by_group(self) -> tuple[Ints, Ints]:
        order = np.argsort(self.groups, kind="stable").astype(np.int64)
        return self.groups[order], order

    def mates(self, item: int) -> Ints:
        """The items that ask and answer the same as one, itself among them."""
        groups, order = self._by_group
        ends = np.searchsorted(groups, [self.groups[item], self.groups[item] + 1])
        return np.sort(order[ends[0] : ends[1]])

    @cached_property
    def sources(self) -> Ids:
        """(doc,) the source of every document of the collection."""
        return np.array(self.collection.corpus["source"][:], dtype=object)


def ordered(queue: Queue, how: str = "informative", *, draws: Sequence[Draw] = ()) -> Ints:
    """(item,) item numbers in the order to judge: drawn ones first, the others behind them.

    Args:
        queue: any.
        how: "informative", "suspicious" or "rank", see the module's text.
        draws: their order is kept, since a count may be made wherever one breaks off.

    Raises:
        BadArgument: an unknown order, a draw of another list.

    Example:
        >>> from workbench.audit.toys import toy_audit
        >>> candidates, collection, guides, truth = toy_audit(facts=8, k=5)
        >>> queue = Queue.of(candidates, collection)
        >>> queue.columns[ordered(queue, "rank")[:2]].tolist()
        [0, 0]

    Breaks when: probabilities are all on one side of 1/2: "informative" is then "suspicious", or
    its opposite.
    """
    check_choice("order", how, ORDERS)
    gap, score = queue.numbers["margin"], queue.numbers["score"]
    if how == "rank":
        order = np.lexsort((queue.rows, queue.columns))
    elif "probability" in queue.numbers:
        value = queue.numbers["probability"].astype(np.float64)
        order = np.lexsort((-value, np.abs(value - 0.5) if how == "informative" else -value))
    elif np.isnan(gap).all():
        order = np.argsort(-score, kind="stable")
    else:
        order = np.lexsort((-score, np.abs(gap) if how == "informative" else -gap))
    order = order.astype(np.int64)
    if not draws:
        return order
    pairs = list(dict.fromkeys(pair for one in draws for pair in one.pairs()))
    first = queue.items(pairs)
    if (first < 0).any():
        pair = pairs[int(np.flatnonzero(first < 0)[0])]
        wanted = "it must be of this list's candidates"
        raise BadArgument("draw", pair, wanted, "Draw from this very suspicion.")
    rest = np.ones(len(queue), dtype=np.bool_)
    rest[first] = False
    return np.concatenate([first, order[rest[order]]])


def _checked(found: Found, collection: Collection) -> tuple[Candidates, Bools]:
    """The list, and which of it is labelled positive."""
    given: object = found
    if not isinstance(given, Candidates | Suspicion):
        wanted = "it must be Candidates or a Suspicion"
        raise BadArgument("found", type(given).__name__, wanted, "Mine first.")
    of: object = collection
    if not isinstance(of, Collection):
        wanted = "it must be the Collection that was mined"
        raise BadArgument("collection", type(of).__name__, wanted, "Pass it second.")
    candidates = found.candidates if isinstance(found, Suspicion) else found
    mend = "Mine this very collection again."
    check_ids("candidates' queries", collection.query_ids, candidates.query_ids, mend)
    check_ids("candidates' documents", collection.doc_ids, candidates.doc_ids, mend)
    if isinstance(found, Suspicion):
        return candidates, found.labelled
    known = KnownPositives.of(collection)
    return candidates, known.paired(np.arange(len(candidates.docs)), candidates.docs)


def _own(found: Found, candidates: Candidates) -> dict[str, Floats]:
    """Name -> (query, rank) numbers that every list has."""
    shape = candidates.docs.shape
    positive = np.broadcast_to(np.asarray(candidates.positive_scores)[:, None], shape)
    own = {
        "score": np.asarray(candidates.scores, dtype=np.float32),
        "positive_score": positive.astype(np.float32),
        "margin": (candidates.scores - positive).astype(np.float32),
        "rank": np.asarray(candidates.ranks, dtype=np.float32),
    }
    if isinstance(found, Suspicion):
        return {"probability": np.asarray(found.probability), **own}
    return own


def _looked_up(
    name: str, given: Candidates | NDArray[np.floating], candidates: Candidates
) -> dict[str, Floats]:
    """Name -> (query, rank) what another list, or an array, says of this list's candidates."""
    if not isinstance(given, Candidates):
        array = np.asarray(given)
        if array.shape != candidates.docs.shape or array.dtype.kind not in "fiu":
            shown = f"{array.dtype} {array.shape}"
            wanted = f"it must be numbers of shape {candidates.docs.shape}, or Candidates"
            raise BadArgument(f"scores[{name!r}]", shown, wanted, "Give one per candidate.")
        return {name: array.astype(np.float32)}
    mend = "Mine the same collection with both."
    check_ids(f"scores[{name!r}] queries", candidates.query_ids, given.query_ids, mend)
    check_ids(f"scores[{name!r}] documents", candidates.doc_ids, given.doc_ids, mend)
    wide = len(candidates.doc_ids)
    queries = np.arange(len(candidates.docs))[:, None]
    there = given.docs >= 0
    keys = (queries * wide + given.docs)[there]
    order = np.argsort(keys, kind="stable")
    wanted_keys = queries * wide + candidates.docs
    place = np.searchsorted(keys[order], wanted_keys)
    found = {}
    for key, values in ((name, given.scores), (f"{name}.rank", given.ranks)):
        flat = np.append(values[there][order].astype(np.float32), np.nan)
        hit = (np.append(keys[order], -1)[place] == wanted_keys) & (candidates.docs >= 0)
        found[key] = np.where(hit, flat[place], np.float32(np.nan)).astype(np.float32)
    return found


def _per_query(values: NDArray[np.float64], collection: Collection) -> Floats:
    """(query,) mean over a query's labelled pairs; NaN without any."""
    owners, known = collection.pairs[:, 0], ~np.isnan(values)
    count = len(collection.query_ids)
    sizes = np.bincount(owners[known], minlength=count)
    total = np.bincount(owners[known], values[known], minlength=count)
    return np.where(sizes > 0, total / np.maximum(sizes, 1), np.nan).astype(np.float32)


def _groups(collection: Collection, rows: Ints, docs: Ints) -> Ints:
    """(item,) equal where queries are of one group and documents too."""
    asks = np.asarray(collection.query_groups, dtype=np.int64)
    says = np.asarray(collection.doc_groups, dtype=np.int64)
    says = np.unique(says, return_inverse=True)[1]
    keys = asks[rows] * (int(says.max(initial=0)) + 1) + says[docs]
    numbers: Ints = np.unique(keys, return_inverse=True)[1].astype(np.int64)
    return numbers
