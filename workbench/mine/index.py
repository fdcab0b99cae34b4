"""Nearest documents by the search that suits the size: exact, or an index with measured recall."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench import files
from workbench.errors import BadData, check_choice, check_count, check_number
from workbench.mine import ivf, overfetch
from workbench.mine.exact import checked, finite, made_of, top_k
from workbench.mine.ranking import Excluded
from workbench.mine.resume import claim, in_blocks
from workbench.types import Floats, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_array

INDEXES = ("auto", "flat", "ivf", "ivf_pq", "hnsw")
SAMPLE = 200
"""Queries whose neighbours are also found exactly, to measure recall."""
QUERIES = 131_072
"""Queries between two readings of the documents, and per file of a checkpoint."""
WORK = 4e11
"""Multiplications that need no index: about ten seconds on two cores."""
GPU_WORK = 1e14
"""The same on a GPU."""
MOST_OF_ALL = 0.4
"""Share of documents that lists may look at before the exact search is the better one."""
DAMAGED = "Delete the folder of lists, and the search makes them again."
TIE = 1e-6
"""Scores nearer than this are equal: one document is as good as the other."""
Account = dict[str, Any]


def choose_index(
    queries: int, docs: int, dim: int, *, k: int, memory_gb: float = 16, gpu: bool = False
) -> tuple[str, str]:
    """Which search suits these sizes, and why in plain words.

        exact = queries docs dim
        lists = (5 docs + 384 L) sqrt(L) dim + queries L dim + 0.06 exact,   L = `lists_for(docs)`

    Exact wherever it takes seconds or an index would not halve the work: only then is what the
    index costs, some recall, worth it. HNSW is never chosen here: its graph takes long to build, by
    one thread, and pays only when asked again and again; it is there by name.

    Args:
        queries: how many.
        docs: how many.
        dim: numbers per vector.
        k: documents wanted of each query.
        memory_gb: what document vectors may take.
        gpu: is there one to multiply with?

    Returns:
        ("flat", "ivf" or "ivf_pq", reason).

    Raises:
        BadArgument: a count.

    Example:
        >>> choose_index(2_000, 2_000, 384, k=30)[0], choose_index(100_000, 10**6, 384, k=100)[0]
        ('flat', 'ivf')

    Breaks when: vectors have no clusters. The lists looked into are then so many that `nearest`
    goes back to the exact search.
    """
    for name, value in (("queries", queries), ("docs", docs), ("dim", dim), ("k", k)):
        check_count(name, value, mend="Give the sizes of what will be searched.")
    check_number("memory_gb", memory_gb, above=0, mend="Try 16.")
    exact = float(queries) * docs * dim
    lists = lists_for(docs)
    built = (5 * docs + 384 * lists) * lists**0.5 * dim
    work = built + float(queries) * lists * dim + 0.06 * exact
    size = f"{queries:,} queries x {docs:,} documents x {dim} numbers"
    if exact <= (GPU_WORK if gpu else WORK):
        return "flat", f"{size} take seconds"
    if 100 * k > docs:
        return "flat", f"{k} of {docs:,} documents are too many to look in a few lists for"
    gigabytes = 4 * docs * dim / 2**30
    if gigabytes > memory_gb and 4 * k * queries < docs:
        reason = f"{gigabytes:.0f} GB of documents are more than {memory_gb:g} GB of memory, and"
        return "ivf_pq", f"{reason} {queries:,} queries too few to read all of them for"
    if 2 * work > exact:
        return "flat", f"{size}: building lists would cost as much as they save"
    return "ivf", f"{size}: lists need about one {exact / work:.0f}th of the multiplications"


def lists_for(docs: int) -> int:
    """Lists for so many documents: six times the square root, rounded to a power of two.

    Example:
        >>> lists_for(100_000), lists_for(1_000_000), lists_for(3)
        (2048, 8192, 3)
    """
    return min(docs, int(2 ** np.round(np.log2(6 * np.sqrt(docs)))))


def nearest(
    queries: Floats,
    docs: Floats,
    *,
    k: int,
    exclude: csr_array | None = None,
    index: str = "auto",
    recall: float = 0.98,
    seed: int = 0,
    devices: Sequence[str] | None = None,
    checkpoint: str | Path | None = None,
) -> tuple[Floats, Ints, Account]:
    """The k documents of largest inner product, exactly or nearly, and an account of the search.

    An index looks ever further until, on 200 queries that are also searched exactly, it finds the
    wanted share of the true k (less two standard errors), or can look no further. Scores are inner
    products of the vectors themselves, whatever the index holds; excluded cells are never found
    and cost other queries nothing.

    Args:
        queries: (query, dim).
        docs: (doc, dim), may be a memory map.
        k: how many.
        exclude: sparse (query, doc); nonzero cells are never found.
        index: "flat" is exact; "ivf" inverted lists, for many queries; "ivf_pq" the same over
            product codes in a sixteenth of the memory, for few queries; "hnsw" a graph; "auto" as
            `choose_index` says, and exact after all when lists would have to look at 40 % or more.
        recall: wanted share of the true k, 0 to 1; usually 0.95 to 0.99.
        seed: of the index and of the sample.
        devices: see `top_k`; only the exact search uses them.
        checkpoint: see `top_k`.

    Returns:
        scores, positions (see `top_k`), and the account: `kind`, `reason`, `recall` (measured),
        `wanted`, `reached`, `sample`, and what was set.

    Raises:
        BadArgument: an option; the checkpoint is of another search.
        BadData: a vector is not finite.

    Example:
        >>> eye = np.eye(3, dtype=np.float32)
        >>> scores, places, account = nearest(eye, eye, k=1)
        >>> places[:, 0].tolist(), account["kind"], account["recall"]
        ([0, 1, 2], 'flat', 1.0)

    Breaks when: the queries of the sample are unlike the others; recall is an average, and a query
    in a sparse region may have much less.
    """
    check_search(index, recall, seed)
    checked(queries, docs, k)
    kind, reason = index, "asked for"
    if index == "auto":
        kind, reason = _choice(queries, docs, k, devices)
    excluded = Excluded(exclude, (len(queries), len(docs)))
    search = _Nearest(queries, docs, k, excluded, recall, seed)
    folder = None if checkpoint is None else Path(checkpoint)
    if kind != "flat":
        finite("query", queries)
        if folder is not None:
            options = {"index": index, "k": k, "recall": recall, "seed": seed}
            claim(folder, {**options, **made_of(queries, docs, excluded)})
        made = search.by_lists(folder) if kind == "ivf" else search.by_library(kind)
        found, account = made
        if index != "auto" or account.get("scanned", 0) < MOST_OF_ALL:
            scores, places = in_blocks(
                found, len(queries), k, size=QUERIES, parts=account.pop("parts"),
                checkpoint=folder,
            )  # fmt: skip
            return scores, places, {"kind": kind, "reason": reason, **account}
        kind = "flat"
        reason = f"lists would look at {account['scanned']:.0%} of all pairs for this recall"
        folder = None if folder is None else folder / "flat"
    scores, places = top_k(queries, docs, k=k, exclude=exclude, devices=devices, checkpoint=folder)
    return scores, places, {"kind": kind, "reason": reason, "recall": 1.0}


def check_search(index: str, recall: float, seed: int) -> None:
    """Refuse options of `nearest` that cannot be.

    Raises:
        BadArgument: which, and why.
    """
    check_choice("index", index, INDEXES)
    check_number("recall", recall, above=0, at_most=1, mend="Try 0.98.")
    check_count("seed", seed, at_least=0, mend="Try 0.")


def _choice(
    queries: Floats, docs: Floats, k: int, devices: Sequence[str] | None
) -> tuple[str, str]:
    import torch

    gpu = torch.cuda.is_available() if devices is None else any(d != "cpu" for d in devices)
    return choose_index(len(queries), len(docs), int(docs.shape[1]), k=k, gpu=gpu)


class _Nearest:
    """Builds an index and finds out how far it must look."""

    def __init__(
        self, queries: Floats, docs: Floats, k: int, excluded: Excluded, recall: float, seed: int
    ) -> None:
        self.queries, self.docs, self.k, self.excluded = queries, docs, k, excluded
        self.recall, self.seed = recall, seed
        rng = np.random.default_rng([seed, len(queries), len(docs)])
        size = min(SAMPLE, len(queries))
        self.sample = np.sort(rng.choice(len(queries), size=size, replace=False))

    def _truth(self) -> tuple[Floats, Ints]:
        cells = None if self.excluded.cells is None else self.excluded.cells[self.sample]
        return top_k(self.queries[self.sample], self.docs, k=self.k, exclude=cells)

    def _account(self, found: float, *, reached: bool, **more: Any) -> Account:
        told = {"recall": found, "wanted": self.recall, "reached": reached}
        return {**told, "sample": len(self.sample), "seed": self.seed, **more}

    def by_lists(self, checkpoint: Path | None) -> tuple[ivf.Search, Account]:
        """Inverted lists; those of a checkpoint are taken up again."""
        # First: it refuses documents that are not finite. Equal documents stand in one list, so
        # that here a tie at the k-th place is no miss.
        truth = self._truth()[1]
        lists = _kept(checkpoint, len(self.docs), lambda: ivf.build(
            self.docs, lists=lists_for(len(self.docs)), seed=self.seed
        ))  # fmt: skip
        some = np.array(self.queries[self.sample], dtype=np.float32)
        probes, found, scanned = ivf.probes_needed(lists, some, truth, self.recall)
        search = ivf.Search(lists, self.queries, self.docs, self.excluded, self.k, probes)
        size = len(lists.centres)
        more = {"lists": size, "probes": probes, "scanned": scanned, "parts": size}
        return search, self._account(found, reached=found >= self.recall, **more)

    def by_library(self, kind: str) -> tuple[overfetch.Search, Account]:
        """An index of faiss that looks further until recall is reached."""
        truth = self._truth()[0]  # first: it refuses documents that are not finite
        index: overfetch.Graph | overfetch.Codes
        if kind == "hnsw":
            index = overfetch.Graph(self.docs, self.k)
        else:
            index = overfetch.Codes(self.docs, lists_for(len(self.docs)), self.seed)
        cells = None if self.excluded.cells is None else self.excluded.cells[self.sample]
        left_out = Excluded(cells, (len(self.sample), len(self.docs)))
        some = np.array(self.queries[self.sample], dtype=np.float32)
        account: Account = {}
        times = 1
        for looks, times in index.efforts():
            trial = overfetch.Search(index.index, some, self.docs, left_out, self.k, times)
            scores = trial(slice(0, len(some)), lambda: None)[0]
            found, error = _recall(scores, truth)
            reached = found - 2 * error >= self.recall
            account = self._account(found, reached=reached, parts=1, **looks)
            if reached:
                break
        search = overfetch.Search(
            index.index, self.queries, self.docs, self.excluded, self.k, times
        )
        return search, account


def _recall(scores: Floats, truth: Floats) -> tuple[float, float]:
    """Mean share of places filled as well as by the true neighbours, and its standard error.

    Whatever scores as high as the true k-th is a hit: which of several equal documents stands there
    is not a question of recall.
    """
    there = np.isfinite(truth)
    size = there.sum(axis=1)
    some = size > 0
    least = np.where(there, truth, np.inf).min(axis=1, initial=np.inf)[:, None]
    hits = (np.isfinite(scores) & (scores >= least - TIE)).sum(axis=1)
    share = np.minimum(hits, size)[some] / size[some]
    if not len(share):
        return 1.0, 0.0
    return float(share.mean()), float(share.std() / np.sqrt(len(share)))


def _kept(checkpoint: Path | None, docs: int, make: Callable[[], ivf.Lists]) -> ivf.Lists:
    """The lists of a checkpoint, or new ones, kept there."""
    if checkpoint is None:
        return make()
    folder = checkpoint / "lists"
    if not folder.exists():
        lists = make()
        with files.atomic_folder(folder) as temporary:
            np.save(temporary / "centres.npy", lists.centres, allow_pickle=False)
            np.save(temporary / "labels.npy", lists.labels, allow_pickle=False)
    centres, labels = (_read(folder / f"{name}.npy") for name in ("centres", "labels"))
    shapes = [centres.ndim, labels.shape]
    inside = labels.dtype.kind == "i" and 0 <= labels.min(initial=0) <= labels.max(initial=0)
    if shapes != [2, (docs,)] or not inside or labels.max(initial=0) >= len(centres):
        problem = f"centres {centres.shape} and labels {labels.shape} do not fit {docs:,} documents"
        raise BadData(str(folder), [problem], DAMAGED)
    return ivf.Lists(centres=centres, labels=labels)


def _read(path: Path) -> NDArray[Any]:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise BadData(str(path), [str(error)], DAMAGED) from error
