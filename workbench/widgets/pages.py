"""Batches to step through: those of a run, of any sampler, or one that was taken apart before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import BadArgument
from workbench.types import Batch, Collection, Ints, Vectors

if TYPE_CHECKING:
    import torch

    from workbench.sample import Sampler
    from workbench.train import Contrast, Embedded, Explanation, Knowledge, Run


@dataclass(frozen=True, eq=False, kw_only=True)
class Page:
    """One batch to look at.

    Args:
        name: what it is called, e.g. "step 12".
        found: the batch taken apart.
        report: the sampler's composition report; empty where nobody sampled it.
    """

    name: str
    found: Explanation
    report: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class Pages:
    """Batches to step through, each taken apart when it is asked for.

    Args:
        names: of all there are by now; a run that goes on has more later.
        make: the page at a place.
    """

    names: Callable[[], list[str]]
    make: Callable[[int], Page]


def pages_of(
    found: Explanation | Run | Sampler | Iterable[Batch],
    *,
    collection: Collection | None = None,
    contrast: Contrast | None = None,
    vectors: tuple[Vectors, Vectors] | None = None,
    knowledge: Knowledge | None = None,
) -> Pages:
    """The batches behind what `microscope` is given.

    Args:
        found: see `microscope`, like the others.
        collection: of the positions.
        contrast: of batches that no run has trained on.
        vectors: (query, document) vectors for those.
        knowledge: what its rules ask about.

    Returns:
        Names, and a function that takes the batch at a place apart.

    Raises:
        BadArgument: nothing to look at, or something that is missing.
        BadData: vectors of other texts.
    """
    from workbench.train import Explanation, Run

    if isinstance(found, Explanation):
        one = Page(name="batch", found=found)
        return Pages(names=lambda: [one.name], make=lambda place: one)
    if isinstance(found, Run):
        return _of_run(found)
    if contrast is None or vectors is None:
        missing = "contrast" if contrast is None else "vectors"
        wanted = "batches that no run has trained on need a contrast and (query, document) vectors"
        mend = "Pass contrast=Contrast(...), vectors=encode_collection(encoder, collection)."
        raise BadArgument(missing, None, wanted, mend)
    return _of_batches(found, collection, contrast, vectors, knowledge)


def _of_run(run: Run) -> Pages:
    def steps() -> list[int]:
        return [int(row["step"]) for row in run.history.rows]

    def make(place: int) -> Page:
        step = steps()[place]
        batches = run.replay(step)
        several = f" (first of {len(batches)} batches)" if len(batches) > 1 else ""
        return Page(name=f"step {step}{several}", found=run.explain(step), report=batches[0].report)

    if not steps():
        raise BadArgument("found", run, "no step of it is logged", "Train a step first.")
    return Pages(names=lambda: [f"step {step}" for step in steps()], make=make)


def _of_batches(
    found: Sampler | Iterable[Batch],
    collection: Collection | None,
    contrast: Contrast,
    vectors: tuple[Vectors, Vectors],
    knowledge: Knowledge | None,
) -> Pages:
    from workbench.mine.facts import check_pair, check_vectors
    from workbench.train import explain

    if collection is None:
        check_pair("vectors", vectors)
    else:
        check_vectors("vectors", vectors, collection.query_ids, collection.doc_ids)
    _check_contrast(contrast, knowledge)
    count, at, word = _stepping(found)

    def make(place: int) -> Page:
        batch = at(place)
        student = embedded(batch, *vectors, hard=contrast.hard)
        ids = (vectors[0].ids, vectors[1].ids)
        apart = explain(contrast, student, knowledge, ids=ids)
        return Page(name=f"{word} {place}", found=apart, report=batch.report)

    return Pages(names=lambda: [f"{word} {place}" for place in range(count)], make=make)


def _check_contrast(contrast: Contrast, knowledge: Knowledge | None) -> None:
    from workbench.train import Contrast, Queue, Shared

    given: object = contrast
    if not isinstance(given, Contrast):
        mend = 'Write Contrast(candidates=[InBatch("ap")]).'
        raise BadArgument("contrast", contrast, "it must be a Contrast", mend)
    for part in contrast.candidates:
        if isinstance(part, Queue | Shared):
            wanted = "its columns exist only while a run trains"
            raise BadArgument("contrast", part, wanted, "Look at the run, or leave it away.")
    contrast.check(knowledge)


def _stepping(found: Sampler | Iterable[Batch]) -> tuple[int, Callable[[int], Batch], str]:
    """How many batches, the one at a place, and what to call them."""
    from workbench.sample import Sampler

    if isinstance(found, Sampler):
        sampler, epoch = found, found.epoch
        name = f"epoch {epoch}, batch"
        return len(sampler), lambda place: sampler.batch(place, epoch=epoch), name
    wanted = "it must be an Explanation, a Run, a sampler, or batches"
    mend = "Pass run.explain(step), the run, or the sampler."
    if not isinstance(found, Iterable):
        raise BadArgument("found", found, wanted, mend)
    batches = list(found)
    wrong = [batch for batch in batches if not isinstance(batch, Batch)]
    if wrong or not batches:
        raise BadArgument("found", wrong[0] if wrong else [], wanted, mend)
    return len(batches), batches.__getitem__, "batch"


def embedded(batch: Batch, queries: Vectors, docs: Vectors, *, hard: int | None = None) -> Embedded:
    """A batch by vectors that are there already: no encoder, no training.

    Args:
        batch: positions, as any sampler yields them.
        queries: one row per query position.
        docs: one row per document position.
        hard: mined negatives per row, at most as many as the batch brings; None = all.

    Returns:
        What `train.explain` and `Contrast` take.

    Raises:
        BadArgument: positions without a vector, or widths that differ.

    Example:
        >>> ids = np.array(["a", "b"], dtype=object)
        >>> both = Vectors(values=np.eye(2, dtype=np.float32), ids=ids, encoder="demo")
        >>> two = np.arange(2)
        >>> batch = Batch(rows=two, queries=two, docs=two, negatives=np.array([[1], [-1]]))
        >>> embedded(batch, both, both).negative_docs.tolist()
        [1]
    """
    import torch

    from workbench.train import Embedded

    wanted = batch.negatives[:, :hard]
    owners, _ = np.nonzero(wanted >= 0)
    negatives = wanted[wanted >= 0]
    if queries.values.shape[1] != docs.values.shape[1]:
        widths = (queries.values.shape[1], docs.values.shape[1])
        mend = "Encode both sides with one encoder."
        raise BadArgument("vectors", widths, "both sides must have one width", mend)
    for name, places, side in (
        ("batch queries", batch.queries, queries),
        ("batch docs", np.concatenate([batch.docs, negatives]), docs),
    ):
        last = int(places.max(initial=-1))
        if last >= len(side.values):
            asked = f"there are vectors of positions below {len(side.values):,}"
            raise BadArgument(name, last, asked, "Encode the collection the batch is of.")

    def rows(side: Vectors, places: Ints) -> torch.Tensor:
        return torch.from_numpy(np.asarray(side.values[places], dtype=np.float32))

    return Embedded(
        anchors=rows(queries, batch.queries),
        positives=rows(docs, batch.docs),
        negatives=rows(docs, negatives),
        queries=batch.queries,
        docs=batch.docs,
        negative_docs=negatives,
        owners=owners,
        rows=batch.rows,
    )
