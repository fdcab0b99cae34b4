"""Leak-free splits: no source, no group of duplicates and no text of either field on two sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import numpy as np

from workbench.data.duplicates import exact_duplicates, joined
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
    largest: float = 0.5,
) -> dict[str, Collection]:
    """Cut a collection into train, dev and test so that nothing stands on two sides.

    What says the same is a group of queries, a group of documents, or a query and a document of
    equal text (white space aside): a query that is a document of the other side has been seen.

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
        largest: by group only: share of the queries, in (0, 1], that may be tied together. Chains
            (A like B like C) and documents that answer everything can tie up most of a collection,
            and the other sides are then made of what is odd; 1 allows it, the tied part goes where
            it fits, else to train.

    Returns:
        One collection per side asked for: its own queries and documents, group numbers as they
        were, so that sides can be compared.

    Raises:
        BadArgument: unknown or repeated sources, fractions out of range.
        BadData: a side would be empty, or too many queries are tied together.

    Example:
        >>> from workbench.data import from_rows
        >>> rows = [{"query": f"q{i}", "positive": f"d{i}", "source": "ab"[i % 2]}
        ...         for i in range(6)]
        >>> sides = split(from_rows(rows), test=["a"])
        >>> {name: len(side.queries) for name, side in sides.items()}
        {'test': 3, 'train': 3}

    Source: Chakraborty et al., 2020 (ReVeal), on what duplicates across a split do to a figure.

    Breaks when: a source copies from another in ways that near-duplicates do not show;
    `audit.leaks` looks again, by vectors too.
    """
    by = _kind_of(by, test)
    check_count("seed", seed, at_least=0, mend="Try 0.")
    check_number("largest", largest, above=0, at_most=1, mend="Try 0.5.")
    for side, count in (most or {}).items():
        check_choice("most", side, SIDES)
        check_count(f"most[{side!r}]", count, mend="Try 1000.")
    groups = _groups(collection)
    if by == "source":
        asked_for, asked = _by_source(collection, test, dev, train)
    else:
        shares = _shares(test, dev, train)
        asked_for = _by_group(collection, groups, shares, largest, seed)
        asked = ["test", *(["dev"] if shares["dev"] else []), "train"]
    allowed = _first_side_only(asked_for, groups)
    count = len(collection.queries)
    queries, docs = (asked_for[:count], allowed[:count]), (asked_for[count:], allowed[count:])
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
) -> tuple[Ints, list[str]]:
    """Side number of every query, then document (-1: nowhere), and the sides asked for."""
    of_each = [*collection.queries["source"][:], *collection.corpus["source"][:]]
    present = sorted(set(of_each))
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
    sides = np.array([taken.get(source, rest) for source in of_each], dtype=np.int64)
    asked = ["test", *(["dev"] if dev else []), *(["train"] if train is None or train else [])]
    return sides, asked


def _groups(collection: Collection) -> Ints:
    """One number for each thing said, for every query, then every document."""
    count = len(collection.queries)
    texts = exact_duplicates([*collection.query_texts, *collection.doc_texts])
    # Within a field the collection's own groups say who is alike; across fields equal texts do.
    across = np.isin(texts, np.intersect1d(texts[:count], texts[count:]))
    alone = len(texts) + np.arange(len(texts))
    of_queries = np.unique(collection.query_groups, return_inverse=True)[1]
    of_docs = count + np.unique(collection.doc_groups, return_inverse=True)[1]
    own = np.concatenate([of_queries, of_docs]).astype(np.int64)
    return joined(own, np.where(across, texts, alone))


def _first_side_only(sides: Ints, groups: Ints) -> Ints:
    """Rows of a group that spans sides stay only where the first of them has it."""
    first = np.full(groups.max(initial=-1) + 1, len(SIDES), dtype=np.int64)
    placed = sides >= 0
    np.minimum.at(first, groups[placed], sides[placed])
    return np.where(sides == first[groups], sides, -1)


def _shares(test: Share, dev: Share, train: Sequence[str] | None) -> dict[str, float]:
    """Fractions of the queries that go to test and dev."""
    if train is not None:
        raise BadArgument("train", train, "it is what remains of a fraction", "Leave it out.")
    if not isinstance(dev, int | float) and len(dev):
        raise BadArgument("dev", dev, "it must be a fraction, as test is", "Try 0.1.")
    check_number("test", test, above=0, at_most=1, mend="Try 0.2.")
    shares = {"test": test, "dev": dev if isinstance(dev, int | float) else 0.0}
    check_number("dev", shares["dev"], at_least=0, at_most=1, mend="Try 0.1.")
    fractions = {
        name: float(share) for name, share in shares.items() if isinstance(share, int | float)
    }
    if sum(fractions.values()) >= 1:
        raise BadArgument("test", test, "test and dev together must be < 1", "Try 0.2 and 0.1.")
    return fractions


def _by_group(
    collection: Collection, groups: Ints, shares: Mapping[str, float], largest: float, seed: int
) -> Ints:
    """Side number of every query, then document: whatever is tied together goes to one side."""
    query_count = len(collection.queries)
    tied = _tied(collection, groups, largest)
    rng = np.random.default_rng(seed)
    query_sizes = np.bincount(tied[:query_count], minlength=tied.max(initial=-1) + 1)
    doc_sizes = np.bincount(tied[query_count:], minlength=len(query_sizes))
    side_of = np.full(len(query_sizes), SIDES.index("train"), dtype=np.int64)
    # Documents no query is tied to are shared out on their own, by the same fractions.
    for sizes, among in ((query_sizes, query_sizes > 0), (doc_sizes, query_sizes == 0)):
        order = rng.permutation(np.flatnonzero(among))
        for number, name in enumerate(("test", "dev")):
            room = round(shares[name] * int(sizes[among].sum()))
            left = []
            for component in order:
                if sizes[component] <= room:
                    side_of[component] = number
                    room -= int(sizes[component])
                else:
                    left.append(component)
            order = np.array(left, dtype=np.int64)
    return side_of[tied]


def _tied(collection: Collection, groups: Ints, largest: float) -> Ints:
    """Component of every query, then of every document: tied by groups or positives.

    Raises:
        BadData: one component holds more than this share of the queries.
    """
    count, links = len(collection.queries), collection.pairs.copy()
    links[:, 1] += count
    first = np.unique(groups, return_index=True)[1]
    edges = np.stack([np.arange(len(groups)), first[groups]], axis=1)
    tied = components(len(groups), np.concatenate([edges, links]))
    sizes = np.bincount(tied[:count], minlength=1)
    # One query is no chain, however few there are.
    if int(sizes.max()) > max(1.0, largest * count):
        inside = np.flatnonzero(tied == sizes.argmax())
        wide = int(np.bincount(groups[inside]).max())
        busy = int(np.bincount(links[:, 1])[inside[inside >= count]].max())
        problems = [
            f"{sizes.max():,} of {count:,} queries are tied together, more than {largest:.0%}",
            f"the largest group among them has {wide:,} texts that count as the same",
            f"the busiest document among them answers {busy:,} queries",
        ]
        mend = "Raise the thresholds of with_groups, split by source, or pass largest=1."
        raise BadData(f"the split of {collection.name}", problems, mend)
    return tied


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
