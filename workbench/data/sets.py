"""Collections out of lists, and smaller collections out of larger ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import BadArgument, check_count
from workbench.types import Collection, Ints

if TYPE_CHECKING:
    from datasets import Dataset


def check_texts(argument: str, texts: Sequence[object]) -> None:
    """Refuse one string where a list is wanted, and anything in the list that is no string."""
    if isinstance(texts, str):
        raise BadArgument(argument, texts, "it must be a list of strings", "Wrap it in [...].")
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise BadArgument(f"{argument}[{place}]", text, "it must be a string", "Convert it.")


def table(ids: Sequence[str], texts: Sequence[str], sources: Sequence[str]) -> Dataset:
    """An Arrow table of one side of a collection."""
    from datasets import Dataset, Features, Value

    columns = {"id": list(ids), "text": list(texts), "source": list(sources)}
    return Dataset.from_dict(
        columns, features=Features({name: Value("string") for name in columns})
    )


def grades(cells: Mapping[tuple[int, int], float], shape: tuple[int, int]) -> Any:
    """(query, doc) -> grade as a sparse matrix in which a judged 0 stays stored."""
    from scipy.sparse import csr_array

    places = np.array(list(cells), dtype=np.int64).reshape(-1, 2)
    values = np.fromiter(cells.values(), dtype=np.float32, count=len(cells))
    matrix = csr_array((values, (places[:, 0], places[:, 1])), shape=shape)
    matrix.sort_indices()
    return matrix


def take(
    collection: Collection, *, queries: Ints, docs: Ints, name: str, recipe: dict[str, Any]
) -> Collection:
    """The rows at these positions, judgments between them, group numbers as they were."""
    return Collection(
        name=name,
        queries=collection.queries.select(queries),
        corpus=collection.corpus.select(docs),
        qrels=collection.qrels[queries][:, docs],
        query_groups=np.asarray(collection.query_groups)[queries],
        doc_groups=np.asarray(collection.doc_groups)[docs],
        recipe=recipe,
    )


def sample(
    collection: Collection, n: int, *, seed: int, restrict_corpus: bool = True
) -> Collection:
    """`n` queries drawn at random, in their old order, with all their judgments.

    Args:
        collection: any.
        n: how many; all of them if there are fewer.
        seed: which ones.
        restrict_corpus: keep only documents judged for one of them; False keeps the whole corpus.

    Raises:
        BadArgument: `n` is no whole number of at least 1.

    Example:
        >>> from workbench.data import from_rows
        >>> rows = [{"query": word, "positive": word * 2} for word in "abcd"]
        >>> sample(from_rows(rows), 2, seed=0)
        Collection('rows': 2 queries, 2 documents, 2 positives)
    """
    check_count("n", n, mend="Try 100.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    count = len(collection.queries)
    drawn = np.random.default_rng(seed).choice(count, size=min(n, count), replace=False)
    queries = np.sort(drawn).astype(np.int64)
    docs = np.arange(len(collection.corpus), dtype=np.int64)
    if restrict_corpus:
        docs = np.unique(collection.qrels[queries].tocoo().coords[1]).astype(np.int64)
    recipe = {**collection.recipe, "sampled": {"n": n, "seed": seed, "whole": not restrict_corpus}}
    return take(collection, queries=queries, docs=docs, name=collection.name, recipe=recipe)
