"""Judging a queue without a widget: what passes the filters, what was said, what comes next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.audit import Count, Draw, JudgedSample, Judgment, JudgmentStore, false_negatives
from workbench.audit.draw import VALUE
from workbench.audit.evidence import Guides
from workbench.errors import BadArgument, check_choice, check_count, check_number
from workbench.types import LABELS, Ints, LossStore, Verdicts
from workbench.widgets.filters import DROPPED, KEPT, Filters, in_state, passing
from workbench.widgets.queue import Bools, Queue, ordered
from workbench.widgets.reading import head, looks_like_code, shown
from workbench.widgets.slider import ALL, Slider

MOST_POSITIVES, MOST_MATES = 5, 20


class Desk:
    """One person judging one queue. The store keeps everything; a new desk goes on where it ended.

    Args:
        queue: items.
        store: where judgments go; its judge is the one at this desk.
        draws: what was drawn to judge: comes first, and makes the estimate possible.
        slider: rules, one of which may move.
        guides: name -> vectors whose cosines are shown beside the texts.
        losses: what every labelled pair cost in training.
        order: see `workbench.widgets.queue`.
        code: highlight documents as programs; None = guess.

    Example:
        >>> import tempfile
        >>> from workbench.audit.toys import toy_audit
        >>> candidates, collection, guides, truth = toy_audit(facts=8, k=5)
        >>> store = JudgmentStore(f"{tempfile.mkdtemp()}/a.sqlite", collection, judge="me")
        >>> desk = Desk(Queue.of(candidates, collection), store)
        >>> desk.judge(int(desk.shown[0]), "negative").label, desk.next(-1), desk.judged
        ('negative', 1, 1)
    """

    def __init__(
        self,
        queue: Queue,
        store: JudgmentStore,
        *,
        draws: Sequence[Draw] = (),
        slider: Slider | None = None,
        guides: Guides | None = None,
        losses: LossStore | None = None,
        order: str = "informative",
        code: bool | None = None,
    ) -> None:
        self.queue, self.store, self.slider, self.losses = queue, store, slider, losses
        self.draws = list(draws)
        self.guides = {k: v for k, v in (guides or {}).items() if k not in queue.numbers}
        corpus = queue.collection.corpus
        self._texts = {
            "query": queue.collection.queries.select_columns("text"),
            "doc": corpus.select_columns("text"),
        }
        few = np.unique(queue.docs[: len(queue) : max(1, len(queue) // 40)]).tolist()
        self.code = looks_like_code(self.texts("doc", few)) if code is None else code
        self.margin = None if slider is None else slider.start
        self.filters = Filters(order=order)
        self._steps: list[list[tuple[str, str]]] | None = None
        self._sample: JudgedSample | None = None
        self._read()
        self._orders: dict[str, Ints] = {}
        self.shown = self._passing(self.filters)

    def texts(self, side: str, places: Sequence[int]) -> list[str]:
        """Texts of queries ("query") or documents ("doc") by position."""
        return list(self._texts[side][list(places)]["text"]) if len(places) else []

    @property
    def judged(self) -> int:
        """Items of the whole queue that this judge has judged."""
        return int(np.count_nonzero(self.labels))

    def next(self, after: int) -> int:
        """The first place behind `after` that is not judged, from the start again at the end.

        Returns:
            A place in `shown`; the one it was at where everything is judged.
        """
        left = np.flatnonzero(self.labels[self.shown] == 0)
        if not len(left):
            return min(max(after, 0), max(len(self.shown) - 1, 0))
        behind = left[left > after]
        return int(behind[0] if len(behind) else left[0])

    def judge(self, item: int, label: str, *, note: str = "") -> Judgment:
        """Write one judgment; it is on the disk when this returns.

        Raises:
            BadArgument: no such item, an unknown label, a note too long.
            BadData: the store refused it.
        """
        self._check(item)
        ((query, doc),) = self.queue.pairs(np.array([item]))
        seen = {name: value for name, value in self._numbers(item) if value is not None}
        row = self.store.judge(query, doc, label, note=note, shown=seen)
        if self._steps is not None:
            self._steps.append([(query, doc)])
        self._heard({(query, doc): label})
        return row

    def open_mates(self, item: int) -> Ints:
        """The items that ask and answer the same and are not judged yet."""
        self._check(item)
        mates = self.queue.mates(item)
        left: Ints = mates[self.labels[mates] == 0]
        return left

    def bulk(self, item: int, label: str) -> Ints:
        """Judge all `open_mates` of an item in one step, which one `undo` takes back.

        Returns:
            The items judged.

        Raises:
            BadArgument: an unknown label, or none is left to judge.
            BadData: the store refused it; nothing is written then.
        """
        check_choice("label", label, LABELS)
        mates = self.open_mates(item)
        if not len(mates):
            wanted = "all of its group are judged already"
            raise BadArgument("item", item, wanted, "Judge this one alone.")
        pairs = self.queue.pairs(mates)
        said = Verdicts.of([(*pair, label) for pair in pairs], judge=self.store.judged_by)
        self.store.add(said)
        if self._steps is not None:
            self._steps.append(pairs)
        self._heard(dict.fromkeys(pairs, label))
        return mates

    def undo(self) -> Ints:
        """Take back the last step: one judgment, or a group judged at once.

        Returns:
            The items taken back, none where nothing stands; those of other lists are left out.
        """
        if not self._steps:
            self._steps = self._standing()
        expected = set(self._steps.pop()) if self._steps else set()
        taken: list[tuple[str, str]] = []
        for _ in range(len(expected)):
            row = self.store.undo()
            if row is None:
                break
            taken.append((row.query_id, row.doc_id))
            if taken[-1] not in expected:  # another notebook judged in between
                self._steps = None
                break
        self._read()
        items = np.sort(self.queue.items(taken))
        return items[items >= 0]

    def filter(self, filters: Filters) -> None:
        """Show what passes; `shown` holds its items in order.

        Raises:
            BadArgument: an unknown order, source, number, rule, judge, verdict or id.
        """
        self.shown = self._passing(filters)
        self.filters = filters

    def slide(self, value: float) -> None:
        """Set the option that moves.

        Raises:
            BadArgument: no rule moves, or it refuses the value.
        """
        if self.slider is None:
            mend = "Pass slider=(rule, option), or a guide."
            raise BadArgument("slider", None, "there is no rule to move", mend)
        self.slider.rule_at(value)
        self.margin = float(value)

    def brushed(self, mean: tuple[float, float], spread: tuple[float, float]) -> list[str]:
        """Ids of the queries with a labelled pair whose loss lies in a rectangle.

        Args:
            mean: least and greatest mean loss over epochs.
            spread: the same of its standard deviation.

        Raises:
            BadArgument: no losses, a bound that is not finite.
        """
        if self.losses is None:
            raise BadArgument("losses", None, "there are none to brush", "Pass losses=.")
        inside = np.ones(len(self.losses), dtype=np.bool_)
        told = (("mean", mean, self.losses.mean()), ("spread", spread, self.losses.spread()))
        for name, bounds, values in told:
            for bound in bounds:
                check_number(name, bound, mend="Give two numbers.")
            inside &= (values >= min(bounds)) & (values <= max(bounds))
        queries = np.unique(self.queue.collection.pairs[inside, 0])
        return [str(name) for name in self.queue.collection.query_ids[queries]]

    def verdicts(self) -> Verdicts:
        """What this judge said, newest per pair."""
        rows = [(query, doc, label) for (query, doc), label in self._said.items()]
        return Verdicts.of(rows, judge=self.store.judged_by)

    def estimate(self) -> Count | None:
        """How many false negatives there are, from judged draws; None where nothing can be said."""
        draws = [one for one in self.draws if len(one.sizes)]
        told = any(self._said.get(pair) in VALUE for one in draws for pair in one.pairs())
        return false_negatives(draws, self.verdicts()) if told else None

    def sample(self) -> JudgedSample | None:
        """The judged pairs, weighted by the draws; None where none is positive or negative."""
        if self._sample is None:
            draws = [one for one in self.draws if len(one.sizes)]
            try:
                made = JudgedSample.of(self.queue.candidates, self.verdicts(), draws or None)
            except BadArgument:  # nothing judged yet
                return None
            self._sample = made
        return self._sample

    def masks(self) -> dict[str, Bools]:
        """Rule -> (query, rank) what it drops at the present setting."""
        return {} if self.slider is None else self.slider.masks(self.margin)

    def card(self, item: int) -> dict[str, Any]:
        """Everything about one item, plain JSON: texts in pieces, numbers, rules, its group.

        Raises:
            BadArgument: no such item.
        """
        self._check(item)
        query, doc = int(self.queue.rows[item]), int(self.queue.docs[item])
        pairs = self.queue.collection.pairs
        ends = np.searchsorted(pairs[:, 0], [query, query + 1])
        positives = pairs[ends[0] : ends[1], 1]
        cell = (query, int(self.queue.columns[item]))
        mates = self.queue.mates(item)
        others = self.queue.candidates.doc_ids[self.queue.docs[mates[mates != item]]]
        return {
            "item": item,
            "label": int(self.labels[item]),
            "query": self.side("query", query),
            "positives": [self.side("doc", int(one)) for one in positives[:MOST_POSITIVES]],
            "positive_count": len(positives),
            "doc": self.side("doc", doc),
            "numbers": self._numbers(item),
            "rules": [name for name, mask in self.masks().items() if name != ALL and mask[cell]],
            "mates": [str(name) for name in others[:MOST_MATES]],
            "mate_count": len(mates),
            "open_mates": len(self.open_mates(item)),
        }

    def side(self, side: str, place: int, *, whole: bool = False) -> dict[str, Any]:
        """One text, plain JSON: id, source, pieces.

        Args:
            side: "query" or "doc".
            place: its position in the collection.
            whole: all of a long text.

        Raises:
            BadArgument: another side, a position that is not there.
        """
        check_choice("side", side, ("query", "doc"))
        collection = self.queue.collection
        table = collection.queries if side == "query" else collection.corpus
        check_count("place", place, at_least=0, mend="Take a position.")
        if place >= len(table):
            wanted = f"positions are 0..{len(table) - 1}"
            raise BadArgument("place", place, wanted, "Take a position.")
        row = table[int(place)]
        told = shown(row["text"], code=self.code and side == "doc", whole=whole)
        return {"id": row["id"], "source": row["source"], "place": int(place), **told}

    def heads(self, items: Sequence[int]) -> list[list[Any]]:
        """(item, 3) the beginnings of query and candidate, and the number they are sorted by."""
        places = np.asarray(items, dtype=np.int64)
        for item in places.tolist():
            self._check(item)
        name = "probability" if "probability" in self.queue.numbers else "margin"
        queries = self.texts("query", self.queue.rows[places].tolist())
        docs = self.texts("doc", self.queue.docs[places].tolist())
        values = [_plain(value) for value in self.queue.numbers[name][places].tolist()]
        return [
            [head(query), head(doc), value]
            for query, doc, value in zip(queries, docs, values, strict=True)
        ]

    def _numbers(self, item: int) -> list[list[Any]]:
        known = [[name, _plain(float(given[item]))] for name, given in self.queue.numbers.items()]
        query, doc = self.queue.rows[item], self.queue.docs[item]
        for name, (queries, docs) in self.guides.items():
            pair = [np.asarray(side, dtype=np.float64) for side in
                    (queries.values[query], docs.values[doc])]  # fmt: skip
            length = float(np.linalg.norm(pair[0]) * np.linalg.norm(pair[1]))
            known.append([name, _plain(float(pair[0] @ pair[1]) / max(length, 1e-12))])
        return known

    def _passing(self, filters: Filters) -> Ints:
        if filters.order not in self._orders:
            self._orders[filters.order] = ordered(self.queue, filters.order, draws=self.draws)
        mask = passing(self.queue, filters)
        if filters.rule is not None:
            mask &= self._ruled(filters.rule)
        if filters.verdict is not None:
            mask &= in_state(self.labels, filters.verdict)
        if filters.judge is not None:
            said = self.store.verdicts(judge=filters.judge)
            pairs = list(zip(said.query_ids.tolist(), said.doc_ids.tolist(), strict=True))
            items = self.queue.items(pairs)
            mask &= np.isin(np.arange(len(self.queue)), items)
        order = self._orders[filters.order]
        return order[mask[order]]

    def _ruled(self, name: str) -> Bools:
        masks = self.masks()
        check_choice("rule", name, [KEPT, DROPPED, *(one for one in masks if one != ALL)])
        if not masks:
            return np.full(len(self.queue), name == KEPT)
        whole = masks[ALL] if name in (KEPT, DROPPED) else masks[name]
        hit: Bools = whole[self.queue.rows, self.queue.columns]
        return ~hit if name == KEPT else hit

    def _check(self, item: int) -> None:
        if isinstance(item, bool) or not 0 <= item < len(self.queue):
            wanted = f"items are 0..{len(self.queue) - 1}"
            raise BadArgument("item", item, wanted, "Take one of `shown`.")

    def _heard(self, said: Mapping[tuple[str, str], str]) -> None:
        for pair, label in said.items():
            self._said.pop(pair, None)  # the newest stands last
            self._said[pair] = label
        items = self.queue.items(list(said))
        codes = np.array([LABELS.index(label) + 1 for label in said.values()], dtype=np.int8)
        self.labels[items[items >= 0]] = codes[items >= 0]
        self._sample = None

    def _read(self) -> None:
        """What the store says, afresh."""
        self.labels: NDArray[np.int8] = np.zeros(len(self.queue), dtype=np.int8)
        self._said: dict[tuple[str, str], str] = {}
        self._heard(self.store.verdicts(judge=self.store.judged_by).newest())

    def _standing(self) -> list[list[tuple[str, str]]]:
        """Every step of this judge that stands, oldest first; judged at once is one step."""
        history = self.store.frame()
        own = history[
            (history["judge"] == self.store.judged_by)
            & (history["collection"] == self.store.collection.fingerprint)
        ]
        last = own[own["kind"] != "judgment"].drop_duplicates("target", keep="last")
        undone = last.loc[last["kind"] == "undo", "target"]
        stands = own[(own["kind"] == "judgment") & ~own["id"].isin(undone)]
        steps: dict[object, list[tuple[str, str]]] = {}
        columns = (stands[name].tolist() for name in ("at", "query_id", "doc_id"))
        for moment, query, doc in zip(*columns, strict=True):
            steps.setdefault(moment, []).append((query, doc))
        return list(steps.values())


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None
