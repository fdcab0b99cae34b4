"""What is known of every mined candidate that bears on whether it is a positive nobody labelled.

A signal is one number per (query, candidate); a larger one makes the candidate more suspicious.
Each guide gives eight, words three, each further score three; labels give one more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workbench import files
from workbench.audit.words import Words, shared_answers
from workbench.errors import BadArgument, BadData
from workbench.mine import with_partners
from workbench.mine.facts import ListFacts, check_ids, check_vectors
from workbench.mine.named import Scores, check_scores
from workbench.types import Candidates, Collection, Floats, Ids, Ints, LossStore, Vectors

if TYPE_CHECKING:
    import pandas as pd

Guides = Mapping[str, tuple[Vectors, Vectors]]
"""Name -> (query, document) vectors of a frozen model, or of the student as it is now."""
OWN = ("margin", "neighbour", "company_neighbour", "shared_answers", "copy")
"""Signals that compare with the query's own labelled positives, by the end of their names."""
COMPANY = ("company", "company_outlier")
"""Signals that see texts with their labelled partners."""
TAKEN = (*OWN, *COMPANY, "bm25", "loss")
"""What neither a guide nor a score may be called."""
ROUNDS = 2


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """Signals of the candidates of one mined list.

    Args:
        names: (signal,) what each is called.
        values: (pair, signal) float32, NaN where unknown. Pairs are the list's candidates row by
            row, `np.nonzero(candidates.docs >= 0)`.

    Raises:
        BadArgument: shapes do not fit.
    """

    names: Ids
    values: Floats

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.names):
            wanted = f"it must be (pair, {len(self.names)})"
            raise BadArgument("values", self.values.shape, wanted, "One column per signal.")

    def __len__(self) -> int:
        return len(self.values)

    def kinds(self) -> Ids:
        """(signal,) what each looks at: the query's "own" labels, "company" of any, or "text"."""
        ends = [str(name).rsplit(".", 1)[-1] for name in self.names]
        kinds = ["own" if e in OWN else "company" if e in COMPANY else "text" for e in ends]
        return np.array(kinds, dtype=object)

    def column(self, name: str) -> Floats:
        """(pair,) one signal.

        Raises:
            BadArgument: there is none of this name.
        """
        from workbench.errors import check_choice

        check_choice("name", name, [str(one) for one in self.names])
        return self.values[:, self.names.tolist().index(name)]

    def frame(self) -> pd.DataFrame:
        """One row per candidate, one column per signal."""
        import pandas as pd

        return pd.DataFrame(self.values, columns=[str(name) for name in self.names])

    def save(self, folder: str | Path) -> Path:
        """Write one folder."""
        return files.save_record(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> Evidence:
        """Read what `save` wrote, memory-mapped."""
        return files.load_record(cls, folder)

    def __repr__(self) -> str:
        return f"Evidence({len(self):,} candidates: {', '.join(map(str, self.names))})"


def check_guides(guides: Guides, collection: Collection) -> None:
    """Refuse what are no named pairs of vectors of this collection.

    Raises:
        BadArgument: none, an impossible name, or no pair.
        BadData: vectors of other texts, or some that are not finite.
    """
    if not isinstance(guides, Mapping) or not guides:
        wanted = "it must be a mapping name -> (query vectors, document vectors)"
        raise BadArgument("guides", guides, wanted, 'Write guides={"minilm": (queries, docs)}.')
    for name, pair in guides.items():
        if not isinstance(name, str) or not name or "." in name or name in TAKEN:
            wanted = "a name must be a word without a dot and no other signal's"
            raise BadArgument("guides", name, wanted, "Call it minilm, say.")
        check_vectors(f"guides[{name!r}]", pair, collection.query_ids, collection.doc_ids)
        for side, given in zip(("query", "document"), pair, strict=True):
            bad = np.flatnonzero(~np.isfinite(given.values).all(axis=1))
            if len(bad):
                problem = f"the {side} vector of {given.ids[bad[0]]!r} is not finite"
                raise BadData(f"guides[{name!r}]", [problem], "Encode it again.")


def check_names(guides: Guides, scores: Scores | None) -> None:
    """Refuse scores whose signals would be mistaken for others.

    Raises:
        BadArgument: a name with a dot, or one that a guide or another signal has.
    """
    for name in scores or {}:
        if "." in name or name in guides or name in TAKEN:
            wanted = "a name must be without a dot and no other signal's"
            raise BadArgument("scores", name, wanted, "Call it cross_encoder, say.")


def check_losses(losses: LossStore | None, collection: Collection) -> None:
    """Refuse a store that is not about this collection's labelled pairs.

    Raises:
        BadArgument: another number of rows.
    """
    if losses is not None and len(losses) != len(collection.pairs):
        wanted = f"it must be about the {len(collection.pairs):,} labelled pairs"
        raise BadArgument("losses", losses, wanted, "Give the store of a run on this collection.")


def evidence(
    candidates: Candidates,
    collection: Collection,
    *,
    guides: Guides,
    scores: Scores | None = None,
    losses: LossStore | None = None,
    lexical: bool = True,
    words: Words | None = None,
) -> Evidence:
    """Every signal of every candidate.

    Per guide g, with q the query, d the candidate, P the query's labelled positives:

        g                    cos(q, d)
        g.margin             cos(q, d) - min over p in P of cos(q, p)          (GISTEmbed's)
        g.neighbour          max over p in P of cos(p, d)
        g.outlier            cos(q, d), less the list's mean, over its deviation
        g.place              - ln of the place of cos(q, d) in the list
        g.company            cos of q and d, each seen with its labelled partners
        g.company_neighbour  the same of p and d
        g.company_outlier    g.company, less the list's mean, over its deviation

    Then `bm25` and `bm25.outlier`, `copy` (the share of five-token shingles that d has in common
    with one of P, by Jaccard), `shared_answers`, for each further score its value, `.margin`
    and `.outlier`, and with losses what the query's own pairs cost in training: `loss.mean`,
    `loss.spread`.

    Args:
        candidates: a mined list, any miner's.
        collection: the one mined; its labels.
        guides: name -> vectors of frozen models, and of the student if one likes.
        scores: name -> further scores (a cross-encoder's), see `mine.apply_rules`.
        losses: what every labelled pair cost in each epoch.
        lexical: with BM25 and copies, by words.
        words: those of the collection, if they are there already.

    Returns:
        (pair, signal) values, NaN where a query has no positive or a score is unknown.

    Raises:
        BadArgument: guides, scores or losses do not fit.
        BadData: ids differ, or a vector is not finite.

    Example:
        >>> from workbench.data import from_rows
        >>> from workbench.mine import bm25
        >>> demo = from_rows([{"query": f"w {n}", "positive": f"w {n} said"} for n in range(3)])
        >>> def turned(ids):
        ...     rows = np.eye(len(ids), dtype=np.float32) + 0.1
        ...     return Vectors(values=rows, ids=ids, encoder="toy")
        >>> pair = turned(demo.query_ids), turned(demo.doc_ids)
        >>> found = evidence(bm25(demo), demo, guides={"toy": pair})
        >>> found.values.shape, found.column("bm25.outlier").round(1).tolist()
        ((6, 12), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0])

    Source: this workbench; `company` is `mine.with_partners`.

    Breaks when: the guide is the encoder that mined and was trained on these labels: it then
    agrees with itself.
    """
    check_guides(guides, collection)
    check_losses(losses, collection)
    check_scores(scores, (len(collection.query_ids), len(collection.doc_ids)))
    check_names(guides, scores)
    mend = "Mine this very collection again."
    check_ids("candidates' queries", collection.query_ids, candidates.query_ids, mend)
    check_ids("candidates' documents", collection.doc_ids, candidates.doc_ids, mend)
    if lexical and words is None:
        words = Words.of(collection)
    return signals(
        candidates, collection, guides=guides, scores=scores, losses=losses,
        words=words if lexical else None,
    )  # fmt: skip


def signals(
    candidates: Candidates,
    collection: Collection,
    *,
    guides: Guides,
    scores: Scores | None,
    losses: LossStore | None,
    words: Words | None,
) -> Evidence:
    """`evidence` of what has been checked, with words that are there already."""
    there = candidates.docs >= 0
    queries, docs = np.nonzero(there)[0], candidates.docs[there]
    columns: dict[str, Floats] = {}
    for name, guide in guides.items():
        columns |= _guide_signals(name, guide, candidates, collection)
    if words is not None:
        columns["bm25"] = words.bm25(queries, docs)
        columns["bm25.outlier"] = _outlier(columns["bm25"], queries)
        columns["copy"] = words.copies(queries, docs, collection.pairs)
    columns["shared_answers"] = shared_answers(collection)(queries, docs)
    if scores:
        wanted = [*scores, *(f"{name}_positive" for name in scores)]
        cells = _cells(candidates, collection, None, scores, wanted)
        for name in scores:
            columns[name] = cells[name]
            columns[f"{name}.margin"] = cells[name] - cells[f"{name}_positive"][queries]
            columns[f"{name}.outlier"] = _outlier(cells[name], queries)
    if losses is not None:
        for name, given in (("mean", losses.mean()), ("spread", losses.spread())):
            columns[f"loss.{name}"] = _per_query(given, collection)[queries]
    values = np.stack(list(columns.values()), axis=1).astype(np.float32)
    return Evidence(names=np.array(list(columns), dtype=object), values=values)


def _guide_signals(
    name: str,
    guide: tuple[Vectors, Vectors],
    candidates: Candidates,
    collection: Collection,
) -> dict[str, Floats]:
    queries = np.nonzero(candidates.docs >= 0)[0]
    wanted = ["guide", "guide_positive", "neighbour"]
    alone = _cells(candidates, collection, guide, None, wanted)
    company = with_partners(collection, guide, rounds=ROUNDS)
    joined = _cells(candidates, collection, company, None, ["guide", "neighbour"])
    return {
        name: alone["guide"],
        f"{name}.margin": alone["guide"] - alone["guide_positive"][queries],
        f"{name}.neighbour": alone["neighbour"],
        f"{name}.outlier": _outlier(alone["guide"], queries),
        f"{name}.place": _place(alone["guide"], queries),
        f"{name}.company": joined["guide"],
        f"{name}.company_neighbour": joined["neighbour"],
        f"{name}.company_outlier": _outlier(joined["guide"], queries),
    }


def _cells(
    candidates: Candidates,
    collection: Collection,
    guide: tuple[Vectors, Vectors] | None,
    scores: Scores | None,
    wanted: list[str],
) -> dict[str, Floats]:
    """Facts by name: (pair,), or (query,) for those of the positive."""
    source = ListFacts(
        candidates, collection=collection, guide=guide, known=None, verdicts=None, scores=scores
    )
    there = candidates.docs >= 0
    parts: dict[str, list[Floats]] = {name: [] for name in wanted}
    for rows, cells in source.chunks():
        for name in wanted:
            fact = cells[name].numpy()
            parts[name].append(fact[there[rows]] if fact.ndim == 2 else fact)
    return {
        name: np.concatenate(some) if some else np.empty(0, np.float32)
        for name, some in parts.items()
    }


def _outlier(values: Floats, queries: Ints) -> Floats:
    """(value - mean of its query's list) / deviation of the list; 0 where all are equal."""
    count = int(queries.max(initial=-1)) + 1
    there = ~np.isnan(values)
    given, owners = values[there].astype(np.float64), queries[there]
    sizes = np.maximum(np.bincount(owners, minlength=count), 1)
    centre = np.bincount(owners, given, minlength=count) / sizes
    apart = given - centre[owners]
    spread = np.sqrt(np.bincount(owners, apart**2, minlength=count) / sizes)
    found = np.full(len(values), np.nan, dtype=np.float32)
    found[there] = np.where(spread[owners] > 1e-6, apart / np.maximum(spread[owners], 1e-6), 0.0)
    return found


def _place(values: Floats, queries: Ints) -> Floats:
    """- ln of the 1-based place of each value in its query's list, best first."""
    order = np.lexsort((-values, queries))
    owners = queries[order]
    first = np.searchsorted(owners, owners)
    found = np.empty(len(values), dtype=np.float32)
    found[order] = -np.log(np.arange(len(values)) - first + 1.0)
    return found


def _per_query(rows: NDArray[np.float64], collection: Collection) -> Floats:
    """Mean over each query's labelled pairs; NaN without any."""
    owners, known = collection.pairs[:, 0], ~np.isnan(rows)
    count = len(collection.query_ids)
    sizes = np.bincount(owners[known], minlength=count)
    total = np.bincount(owners[known], rows[known], minlength=count)
    return np.where(sizes > 0, total / np.maximum(sizes, 1), np.nan).astype(np.float32)


def with_column(candidates: Candidates, docs: Ints) -> Candidates:
    """The list with one more candidate per query at its end, -1 for none.

    Args:
        candidates: a mined list.
        docs: (query,) positions.
    """
    count = len(docs)
    there = docs >= 0
    nothing = np.where(there, 0, -np.inf).astype(np.float32)
    return replace(
        candidates,
        docs=np.concatenate([candidates.docs, docs[:, None]], axis=1),
        scores=np.concatenate([candidates.scores, nothing[:, None]], axis=1),
        ranks=np.concatenate([candidates.ranks, np.zeros((count, 1), np.int32)], axis=1),
        weight=np.concatenate([candidates.weight, there[:, None].astype(np.float32)], axis=1),
    )
