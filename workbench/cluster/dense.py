"""Dense mining on a cluster: blocks of queries times blocks of documents, merged to top-k."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import files
from workbench.cluster.connect import Job, run_shards, shared, write_array
from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, check_count
from workbench.mine import top_k
from workbench.mine.exact import finite_sides
from workbench.mine.facts import check_vectors
from workbench.mine.ranking import as_candidates, excluded, merged, positive_scores
from workbench.mine.resume import rows_fingerprint
from workbench.types import Candidates, Collection, Floats, Ints, Vectors

if TYPE_CHECKING:
    from distributed import Client
    from scipy.sparse import csr_array

BLOCK = (16_384, 262_144)
"""(queries, documents) per task: 400 MB of documents at 384 numbers each."""


def dense(
    collection: Collection,
    query_vectors: Vectors,
    doc_vectors: Vectors,
    *,
    client: Client,
    folder: str | Path,
    k: int = 30,
    exclude: str = "known",
    known: KnownPositives | None = None,
    block: tuple[int, int] = BLOCK,
) -> Candidates:
    """Mine the k nearest documents of each query on a cluster, exactly.

    The same `Candidates` as `mine.dense(..., index="flat")` in one process; only the reason in
    `recipe["index"]` differs. Rules follow: `mine.apply_rules(found, ...)`, or
    `mine.hard_negatives(collection, found, ...)`.

    Args:
        collection: queries, corpus and judgments.
        query_vectors: one per query; the score is their inner product with those of documents.
        doc_vectors: one per document.
        client: from `connect`.
        folder: that this process and all workers see under one name; left as it was found, but for
            vectors that are no file in it, of which it keeps a copy.
        k: candidates per query, usually 10 to 100.
        exclude: "known", "labelled" or "nothing", as in `mine.dense`.
        known: the known-positive graph; None = that of the collection.
        block: (queries, documents) per task. A worker reads one block of documents at a time; what
            it finds takes 12 bytes per query and rank. Sums are those of one process to the last
            bit when they are multiples of 512 and 8,192.

    Returns:
        Candidates, equal scores in rising position.

    Raises:
        BadArgument: k, a block, a width, a client or a folder that does not serve.
        BadData: vectors of other texts, or not finite. All before any work.

    Example:
        >>> import tempfile
        >>> from distributed import Client
        >>> from workbench.data import from_rows
        >>> demo = from_rows([{"query": c, "positive": c + c} for c in "abc"], name="demo")
        >>> eye = np.eye(3, dtype=np.float32)
        >>> ids = (demo.query_ids, demo.doc_ids)
        >>> queries, docs = (Vectors(values=eye, ids=names, encoder="e") for names in ids)
        >>> with Client(processes=False, dashboard_address=":0") as client:  # or connect()
        ...     found = dense(demo, queries, docs, k=1, client=client, folder=tempfile.mkdtemp())
        >>> found.docs.tolist()
        [[1], [0], [0]]

    Breaks when: the folder is slow: every document is read once per block of queries.
    """
    check_count("k", k, mend="Try 30.")
    sizes: object = block
    if not isinstance(sizes, Sequence) or len(sizes) != 2:
        raise BadArgument("block", sizes, "it must be (queries, documents)", f"Try {BLOCK}.")
    for size in sizes:
        check_count("block", size, mend=f"Try {BLOCK}.")
    vectors = (query_vectors, doc_vectors)
    check_vectors("mining", vectors, collection.query_ids, collection.doc_ids)
    left_out = excluded(collection, exclude, known)
    finite_sides(query_vectors.values, doc_vectors.values)
    root = shared(client, folder)
    stored = [_on_disk(side.values, root) for side in vectors]
    found = _search(
        stored, left_out, collection.qrels.shape, k, client=client, root=root, block=block
    )
    return as_candidates(
        collection,
        found,
        positive_scores(collection, query_vectors.values, doc_vectors.values),
        miner="dense",
        recipe={
            "queries": query_vectors.fingerprint,
            "docs": doc_vectors.fingerprint,
            "exclude": exclude,
            "index": {"kind": "flat", "reason": "in blocks on a Dask cluster", "recall": 1.0},
        },
    )


def _on_disk(values: Floats, root: Path) -> tuple[Path, str]:
    """The file of these vectors in the folder, their own or a copy, and their fingerprint."""
    mark = rows_fingerprint(values)
    if isinstance(values, np.memmap) and values.filename is not None and values.mode == "r":
        own = Path(values.filename).resolve()
        if own.is_relative_to(root) and own.suffix == ".npy":
            there = np.load(own, mmap_mode="r", allow_pickle=False)
            same = ("shape", "dtype", "strides")
            if all(getattr(there, name) == getattr(values, name) for name in same):
                return own, mark
    path = root / "vectors" / f"{mark}.npy"
    if not path.exists():
        write_array(path, np.asarray(values, dtype=np.float32))
    return path, mark


def _search(
    stored: list[tuple[Path, str]],
    left_out: csr_array | None,
    shape: tuple[int, int],
    k: int,
    *,
    client: Client,
    root: Path,
    block: tuple[int, int],
) -> tuple[Floats, Ints]:
    """(scores, positions), both (query, k), by blocks that any worker may search."""
    from scipy import sparse

    (queries, query_mark), (docs, doc_mark) = stored
    mark = files.fingerprint(query_mark, doc_mark, _content(left_out), k, list(block))
    parts = root / "parts" / mark
    rows, columns = (
        [slice(start, min(start + step, count)) for start in range(0, count, step)]
        for count, step in zip(shape, block, strict=True)
    )
    jobs: dict[Path, Job] = {}
    for number, some in enumerate(rows):
        hidden = parts / f"{number:06d}.npz"
        if left_out is not None and not hidden.exists():
            with files.atomic_file(hidden) as temporary, temporary.open("wb") as file:
                sparse.save_npz(file, left_out[some])
        for place, part in enumerate(columns):
            given = (str(queries), str(docs), "" if left_out is None else str(hidden))
            where = (some.start, some.stop, part.start, part.stop)
            jobs[parts / f"{number:06d}-{place:06d}"] = (given, where, k)
    run_shards(client, search_block, jobs, label="search")
    scores = np.empty((shape[0], k), dtype=np.float32)
    places = np.empty((shape[0], k), dtype=np.int64)
    for number, some in enumerate(rows):
        found = [_found(parts / f"{number:06d}-{place:06d}") for place in range(len(columns))]
        scores[some], places[some] = merged(found, k)
    shutil.rmtree(parts, ignore_errors=True)
    return scores, places


def _content(left_out: csr_array | None) -> list[str]:
    if left_out is None:
        return []
    return [rows_fingerprint(part) for part in (left_out.indptr, left_out.indices)]


def _found(folder: Path) -> tuple[Floats, Ints]:
    scores = np.load(folder / "scores.npy", allow_pickle=False)
    return scores, np.load(folder / "docs.npy", allow_pickle=False)


def search_block(
    given: tuple[str, str, str], where: tuple[int, int, int, int], k: int, target: str
) -> None:
    """Search some documents for some queries on a worker; nothing where the result exists.

    Args:
        given: files of query vectors, document vectors and excluded cells of these queries ("" for
            none).
        where: first query, end, first document, end.
        k: how many.
        target: folder for `scores.npy` and `docs.npy`.
    """
    if Path(target).exists():
        return
    from scipy import sparse

    first, end, start, stop = where
    queries = np.load(given[0], mmap_mode="r", allow_pickle=False)[first:end]
    docs = np.load(given[1], mmap_mode="r", allow_pickle=False)[start:stop]
    hidden: Any = None
    if given[2]:
        hidden = sparse.csr_array(sparse.load_npz(given[2])[:, start:stop])
    scores, places = top_k(queries, docs, k=min(k, len(docs)), exclude=hidden)
    places[places >= 0] += start
    with files.atomic_folder(Path(target)) as temporary:
        write_array(temporary / "scores.npy", scores)
        write_array(temporary / "docs.npy", places)
