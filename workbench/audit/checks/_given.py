"""What checks may look at: everything a user handed in, and facts made of it at most once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from workbench.audit.checks._base import SHOWN, Example, NotAsked, short
from workbench.audit.suspicion import Suspicion
from workbench.data.duplicates import exact_duplicates, joined
from workbench.data.known import KnownPositives
from workbench.errors import BadArgument
from workbench.mine.facts import ListFacts, Unit, check_ids, check_pair, check_vectors
from workbench.types import Candidates, Collection, Floats, Ints, LossStore, Vectors, Verdicts

if TYPE_CHECKING:
    from workbench.encode import Encoder

Bools = NDArray[np.bool_]
Thing = TypeVar("Thing")
STEP = 16_384
"""Pairs whose vectors are gathered at once."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Given:
    """What an audit is made of. Only the collection must be there.

    Args:
        collection: what is trained on.
        candidates: its mined negatives; None = those of `suspicion`.
        vectors: (query, document) vectors of the encoder at hand.
        guide: the same of a frozen, stronger model; None = `vectors`.
        evaluation: what is evaluated on.
        encoder: the encoder at hand.
        suspicion: probability of every candidate to be a false negative.
        losses: what every training pair (row of `collection.pairs`) cost.
        verdicts: what people or judges said.

    Raises:
        BadArgument: something is of another kind, or does not fit the collection.
    """

    collection: Collection
    candidates: Candidates | None = None
    vectors: tuple[Vectors, Vectors] | None = None
    guide: tuple[Vectors, Vectors] | None = None
    evaluation: Collection | None = None
    encoder: Encoder | None = None
    suspicion: Suspicion | None = None
    losses: LossStore | None = None
    verdicts: Verdicts | None = None
    _made: dict[tuple[str, int | None], Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        kinds = {
            "collection": Collection,
            "candidates": Candidates,
            "evaluation": Collection,
            "losses": LossStore,
            "verdicts": Verdicts,
            "suspicion": Suspicion,
        }
        for name, kind in kinds.items():
            value: object = getattr(self, name)
            if not isinstance(value, kind) and (value is not None or name == "collection"):
                wanted = f"it must be of kind {kind.__name__}"
                mend = "Pass it by name, or leave it out."
                mend = "Call store.verdicts()." if name == "verdicts" else mend
                raise BadArgument(name, value, wanted, mend)
        for name in ("vectors", "guide"):
            if getattr(self, name) is not None:
                check_pair(name, getattr(self, name))
        if self.encoder is not None:
            self._check_encoder(self.encoder)
        if self.suspicion is not None:
            self._check_suspicion(self.suspicion)
        rows = len(self.collection.pairs)
        if self.losses is not None and len(self.losses) != rows:
            wanted = f"there must be one row per labelled pair, {rows:,}"
            raise BadArgument("losses", self.losses, wanted, "Record losses of collection.pairs.")

    def _check_encoder(self, encoder: object) -> None:
        from workbench.encode import Encoder

        if not isinstance(encoder, Encoder):
            wanted = "it must be an Encoder"
            raise BadArgument("encoder", encoder, wanted, "Pass Encoder.load(...).")

    def _check_suspicion(self, suspicion: Suspicion) -> None:
        found, chance = suspicion.candidates, np.asarray(suspicion.probability)
        if np.nanmin(chance, initial=0) < 0 or np.nanmax(chance, initial=0) > 1:
            wanted = "probabilities must lie in [0, 1]"
            raise BadArgument("suspicion.probability", chance, wanted, "Make it again.")
        if self.candidates is not None and not np.array_equal(self.candidates.docs, found.docs):
            wanted = "it must be about the same candidates as `candidates`"
            raise BadArgument("suspicion", suspicion, wanted, "Leave `candidates` out.")

    def need(self, value: Thing | None, what: str) -> Thing:
        """The value, if it was given.

        Raises:
            NotAsked: it was not.
        """
        if value is None:
            raise NotAsked(f"needs {what}")
        return value

    @property
    def found(self) -> Candidates | None:
        """The candidates, wherever they come from."""
        if self.candidates is None and self.suspicion is not None:
            return self.suspicion.candidates
        return self.candidates

    @cached_property
    def listed(self) -> Candidates:
        """The candidates, checked to belong to the collection."""
        found = self.need(self.found, "candidates")
        mend = "Mine this very collection again."
        check_ids("candidates' queries", self.collection.query_ids, found.query_ids, mend)
        check_ids("candidates' documents", self.collection.doc_ids, found.doc_ids, mend)
        return found

    @cached_property
    def kept(self) -> Bools:
        """(query, rank) which candidates are there and no rule has dropped."""
        return (self.listed.docs >= 0) & (self.listed.weight > 0)

    @cached_property
    def looking(self) -> tuple[Vectors, Vectors]:
        """The guide's vectors, else those at hand, checked to belong to the collection."""
        pair = self.need(self.guide or self.vectors, "guide or vectors")
        name = "vectors" if self.guide is None else "guide"
        check_vectors(name, pair, self.collection.query_ids, self.collection.doc_ids)
        return pair

    @property
    def has_guide(self) -> bool:
        """Are there vectors to look with?"""
        return self.guide is not None or self.vectors is not None

    @cached_property
    def query_texts(self) -> list[str]:
        """Texts of the queries."""
        return self.collection.query_texts

    @cached_property
    def doc_texts(self) -> list[str]:
        """Texts of the documents."""
        return self.collection.doc_texts

    @cached_property
    def query_groups(self) -> Ints:
        """Queries of equal text, or of one group of the collection, share a number."""
        return joined(np.asarray(self.collection.query_groups), exact_duplicates(self.query_texts))

    @cached_property
    def doc_groups(self) -> Ints:
        """The same for documents."""
        return joined(np.asarray(self.collection.doc_groups), exact_duplicates(self.doc_texts))

    @cached_property
    def known(self) -> KnownPositives:
        """Who is known to answer whom, through labels, groups and equal texts."""
        grouped = replace(
            self.collection, query_groups=self.query_groups, doc_groups=self.doc_groups
        )
        return KnownPositives.of(grouped)

    @cached_property
    def at_hand(self) -> tuple[Vectors, Vectors]:
        """The vectors at hand, else the guide's, checked to belong to the collection."""
        if self.vectors is None:
            return self.looking
        check_vectors("vectors", self.vectors, self.collection.query_ids, self.collection.doc_ids)
        return self.vectors

    def fact(self, name: str, by: tuple[Vectors, Vectors] | None = None) -> NDArray[Any]:
        """(query, rank) what rules may ask about the list: "neighbour", "guide", "known" ...

        Args:
            name: of the fact.
            by: the vectors that stand for the guide, `looking` or `at_hand`.
        """
        key = (name, None if by is None else id(by[1].values))
        if key not in self._made:
            facts = ListFacts(
                self.listed,
                collection=self.collection,
                guide=by,
                known=self.known,
                verdicts=self.verdicts,
            )
            parts = [cells[name].numpy() for _, cells in facts.chunks()]
            self._made[key] = np.concatenate(parts) if parts else np.zeros(self.listed.docs.shape)
        made: NDArray[Any] = self._made[key]
        return made

    def pair_cosines(self, by: tuple[Vectors, Vectors]) -> Floats:
        """(pair,) cosine of query and document of every labelled pair.

        Args:
            by: whose vectors, `looking` or `at_hand`.
        """
        key = ("pair", id(by[1].values))
        if key not in self._made:
            queries, docs = (Unit(side) for side in by)
            pairs = self.collection.pairs
            cosines = np.empty(len(pairs), dtype=np.float32)
            for start in range(0, len(pairs), STEP):
                some = pairs[start : start + STEP]
                cosines[start : start + STEP] = np.einsum(
                    "pd,pd->p", queries(some[:, 0]), docs(some[:, 1])
                )
            self._made[key] = cosines
        made: Floats = self._made[key]
        return made

    def pairs_shown(
        self, queries: Ints | Sequence[int], docs: Ints | Sequence[int], notes: Sequence[str] = ()
    ) -> list[Example]:
        """Examples of (query, document) pairs by position, at most ten."""
        return [
            Example(
                ids=(str(self.collection.query_ids[query]), str(self.collection.doc_ids[doc])),
                texts=(short(self.query_texts[query]), short(self.doc_texts[doc])),
                note=notes[place] if notes else "",
            )
            for place, (query, doc) in enumerate(
                zip(list(queries)[:SHOWN], list(docs)[:SHOWN], strict=True)
            )
        ]

    def cells_shown(
        self, flagged: Bools, by: NDArray[Any], what: str, *, lowest: bool = False
    ) -> list[Example]:
        """Examples of candidates, those with the largest (or lowest) number first."""
        rows, columns = np.nonzero(flagged)
        values = by[rows, columns]
        order = np.argsort(values if lowest else -values, kind="stable")[:SHOWN]
        rows, columns = rows[order], columns[order]
        notes = [f"{what} {value:.3f}" for value in values[order].tolist()]
        return self.pairs_shown(rows, self.listed.docs[rows, columns], notes)

    def queries_shown(
        self, queries: Ints | Sequence[int], notes: Sequence[str] = ()
    ) -> list[Example]:
        """Examples of queries by position, at most ten."""
        return texts_shown(self.collection.query_ids, self.query_texts, queries, notes)

    def docs_shown(self, docs: Ints | Sequence[int], notes: Sequence[str] = ()) -> list[Example]:
        """Examples of documents by position, at most ten."""
        return texts_shown(self.collection.doc_ids, self.doc_texts, docs, notes)


def texts_shown(
    ids: Sequence[str] | NDArray[np.object_],
    texts: Sequence[str],
    places: Ints | Sequence[int],
    notes: Sequence[str] = (),
) -> list[Example]:
    """Examples of single texts by position, at most ten."""
    return [
        Example(
            ids=(str(ids[place]),),
            texts=(short(texts[place]),),
            note=notes[number] if notes else "",
        )
        for number, place in enumerate(list(places)[:SHOWN])
    ]
