"""Leak-free splits: no source, no duplicate group of queries or documents, on two sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import numpy as np

from workbench.data.minhash import components
from workbench.data.sets import sample, take
from workbench.errors import BadArgument, BadData, check_choice, check_count, check_number
from workbench.types import Collection, Ints

SIDES = ("test", "dev", "train")  # in order of precedence
Share = Sequence[str] | float


def split(
    collection: Collection,
    *,
    test: Share,
    dev: Share = (),
    train: Sequence[str] | None = None,
    by: str | None = None,
    seed: int = 0,
    most: Mapping[str, int] | None = None,
) -> dict[str, Collection]:
    """Cut a collection into train, dev and test so that nothing stands on two sides.

    By source: whole sources go to a side; a group of duplicates that spans sides stays on the
    first of test, dev, train that has it and is dropped from the others. By group: everything
    tied together by a duplicate group or a positive judgment goes to one side at random, nothing
    is dropped. Either way a query whose positives all went is dropped, and `recipe["split"]` of
    each side counts what was.

    Args:
        collection: its groups should be filled in first (`with_groups`).
        test: names of sources, or a fraction of the queries.
        dev: the same kind; none by default.
        train: names of sources; by default all the others.
        by: "source" or "group"; by default what `test` says: names, or a fraction.
        seed: of the random cut and of `most`.
        most: side -> number of queries kept at most, drawn at random, with the documents judged
            for them.

    Returns:
        One collection per side asked for: its own queries and documents, group numbers as they
        were, so that sides can be compared.

    Raises:
        BadArgument: unknown or repeated sources, fractions out of range.
        BadData: a side would be empty.

    Example:
        >>> from workbench.data import from_rows
        >>> rows = [{"query": f"q{i}", "positive": f"d{i}", "source": "ab"[i % 2]}
        ...         for i in range(6)]
        >>> sides = split(from_rows(rows), test=["a"])
        >>> {name: len(side.queries) for name, side in sides.items()}
        {'test': 3, 'train': 3}

    Breaks when: a source copies from another in ways that near-duplicates do not show.
    """
    by = _kind_of(by, test)
    check_count("seed", seed, at_least=0, mend="Try 0.")
    for side, count in (most or {}).items():
        check_choice("most", side, SIDES)
        check_count(f"most[{side!r}]", count, mend="Try 1000.")
    if by == "source":
        query_sides, doc_sides, asked = _by_source(collection, test, dev, train)
    else:
        query_sides, doc_sides, asked = _by_group(collection, test, dev, train, seed)
    queries = (query_sides, _first_side_only(query_sides, collection.query_groups))
    docs = (doc_sides, _first_side_only(doc_sides, collection.doc_groups))
    sides = {}
    for number, name in enumerate(SIDES):
        if name in asked:
            sides[name] = _side(collection, number, queries, docs)
            if name in (most or {}) and len(sides[name].queries) > (most or {})[name]:
                sides[name] = sample(sides[name], (most or {})[name], seed=seed)
    return sides


def _kind_of(by: str | None, test: Share) -> str:
    guessed = "group" if isinstance(test, int | float) else "source"
    if by is None:
        return guessed
    check_choice("by", by, ("source", "group"))
    if by != guessed:
        wanted = "names of sources" if by == "source" else "a fraction such as 0.2"
        raise BadArgument("test", test, f"by={by!r} wants {wanted}", "Change one of the two.")
    return by


def _by_source(
    collection: Collection, test: Share, dev: Share, train: Sequence[str] | None
) -> tuple[Ints, Ints, list[str]]:
    """Side number of every query and document (-1: nowhere), and the sides asked for."""
    query_sources = np.array(collection.queries["source"][:], dtype=object)
    doc_sources = np.array(collection.corpus["source"][:], dtype=object)
    present = sorted(set(query_sources) | set(doc_sources))
    taken: dict[str, int] = {}
    for number, (name, sources) in enumerate(zip(SIDES, (test, dev, train), strict=True)):
        if sources is None:
            continue
        if isinstance(sources, str | int | float):
            raise BadArgument(name, sources, "it must be a list of sources", "Wrap it in [...].")
        for source in sources:
            if source not in present:
                near = get_close_matches(str(source), present, n=1) or present[:10]
                mend = f"There are {', '.join(map(repr, near))}"
                mend += " (among others)." if len(present) > len(near) else "."
                raise BadArgument(name, source, "it must be a source of the collection", mend)
            if source in taken:
                raise BadArgument(name, source, "a source goes to one side", "Name it once.")
            taken[source] = number
    rest = SIDES.index("train") if train is None else -1
    query_sides = np.array([taken.get(source, rest) for source in query_sources], dtype=np.int64)
    doc_sides = np.array([taken.get(source, rest) for source in doc_sources], dtype=np.int64)
    asked = ["test", *(["dev"] if dev else []), *(["train"] if train is None or train else [])]
    return query_sides, doc_sides, asked


def _first_side_only(sides: Ints, groups: Ints) -> Ints:
    """Rows of a group that spans sides stay only where the first of them has it."""
    _, inverse = np.unique(np.asarray(groups), return_inverse=True)
    first = np.full(inverse.max(initial=-1) + 1, len(SIDES), dtype=np.int64)
    placed = sides >= 0
    np.minimum.at(first, inverse[placed], sides[placed])
    return np.where(sides == first[inverse], sides, -1)


def _by_group(
    collection: Collection, test: Share, dev: Share, train: Sequence[str] | None, seed: int
) -> tuple[Ints, Ints, list[str]]:
    if train is not None:
        raise BadArgument("train", train, "it is what remains of a fraction", "Leave it out.")
    shares = {"test": test, "dev": dev if isinstance(dev, int | float) else 0.0}
    if not isinstance(dev, int | float) and len(dev):
        raise BadArgument("dev", dev, "it must be a fraction, as test is", "Try 0.1.")
    check_number("test", test, above=0, at_most=1, mend="Try 0.2.")
    check_number("dev", shares["dev"], at_least=0, at_most=1, mend="Try 0.1.")
    total = sum(float(share) for share in shares.values() if isinstance(share, int | float))
    if total >= 1:
        raise BadArgument("test", test, "test and dev together must be < 1", "Try 0.2 and 0.1.")
    query_count = len(collection.queries)
    tied = _tied(collection)
    rng = np.random.default_rng(seed)
    query_sizes = np.bincount(tied[:query_count], minlength=tied.max(initial=-1) + 1)
    doc_sizes = np.bincount(tied[query_count:], minlength=len(query_sizes))
    side_of = np.full(len(query_sizes), SIDES.index("train"), dtype=np.int64)
    # Documents no query is tied to are shared out on their own, by the same fractions.
    for sizes, among in ((query_sizes, query_sizes > 0), (doc_sizes, query_sizes == 0)):
        order = rng.permutation(np.flatnonzero(among))
        for number, name in enumerate(("test", "dev")):
            room = round(float(shares[name]) * int(sizes[among].sum()))  # type: ignore[arg-type]
            left = []
            for component in order:
                if sizes[component] <= room:
                    side_of[component] = number
                    room -= int(sizes[component])
                else:
                    left.append(component)
            order = np.array(left, dtype=np.int64)
    asked = ["test", *(["dev"] if shares["dev"] else []), "train"]
    return side_of[tied[:query_count]], side_of[tied[query_count:]], asked


def _tied(collection: Collection) -> Ints:
    """Component of every query, then of every document: tied by groups or positives."""
    query_count, doc_count = len(collection.queries), len(collection.corpus)
    pairs = collection.pairs
    edges = [np.stack([pairs[:, 0], query_count + pairs[:, 1]], axis=1)]
    for groups, offset in ((collection.query_groups, 0), (collection.doc_groups, query_count)):
        _, first, inverse = np.unique(np.asarray(groups), return_index=True, return_inverse=True)
        edges.append(np.stack([np.arange(len(groups)), first[inverse]], axis=1) + offset)
    return components(query_count + doc_count, np.concatenate(edges).astype(np.int64))


def _side(
    collection: Collection, number: int, queries: tuple[Ints, Ints], docs: tuple[Ints, Ints]
) -> Collection:
    """One side; `queries` and `docs` are side numbers as asked for, and as duplicates allow."""
    wanted, kept_docs = (np.flatnonzero(allowed == number) for _, allowed in (queries, docs))
    positive = (collection.qrels > 0)[:, kept_docs].sum(axis=1)
    had = (collection.qrels > 0).sum(axis=1)
    # A query that never had a positive was judged so on purpose; one that lost all of them goes.
    kept = wanted[(positive[wanted] > 0) | (had[wanted] == 0)]
    name = f"{collection.name}/{SIDES[number]}"
    if not len(kept):
        mend = "Name other sources, or a larger fraction; one group may tie everything together."
        raise BadData(f"the split of {collection.name}", [f"{name} would have no query"], mend)
    dropped = {
        "side": SIDES[number],
        "queries_duplicated_elsewhere": int((queries[0] == number).sum()) - len(wanted),
        "docs_duplicated_elsewhere": int((docs[0] == number).sum()) - len(kept_docs),
        "queries_left_without_positive": len(wanted) - len(kept),
        "positives_elsewhere": int(had[kept].sum() - positive[kept].sum()),
    }
    recipe = {**collection.recipe, "split": dropped}
    return take(collection, queries=kept, docs=kept_docs, name=name, recipe=recipe)
