"""Where texts stand on a flat picture, and how far they moved between two pictures.

A picture keeps neighbourhoods as well as two dimensions can, no more: distances between far points
mean nothing, and neighbours that matter are looked up in the vectors themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench import files
from workbench.errors import BadArgument, BadData, check_choice, check_count
from workbench.mine.exact import finite
from workbench.mine.resume import rows_fingerprint
from workbench.types import Candidates, Floats, Ids, Ints, Vectors
from workbench.types._columns import same_length
from workbench.widgets.layout_how import METHODS, Neighbours, checked_pair, from_candidates

if TYPE_CHECKING:
    import pandas as pd

SIDES = ("query", "doc")
WARM_EPOCHS = {"umap": 50, "tsne": 100}


@dataclass(frozen=True, eq=False, kw_only=True)
class Layout:
    """Coordinates of texts on a picture.

    Args:
        ids: one id per point; unique within a kind.
        kinds: "query" or "doc" per point, queries first.
        xy: (n, 2) float32, without a unit.
        recipe: how it was made.

    Raises:
        BadArgument: shapes or kinds.
        BadData: lengths differ, a coordinate is not finite, an id comes twice.

    Example:
        >>> made = Layout(ids=np.array(["a", "b"], dtype=object),
        ...               kinds=np.array(["query", "doc"], dtype=object),
        ...               xy=np.zeros((2, 2), dtype=np.float32))
        >>> made
        Layout(1 queries, 1 documents, by hand)
    """

    ids: Ids
    kinds: Ids
    xy: Floats
    recipe: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.xy.ndim != 2 or self.xy.shape[1] != 2:
            raise BadArgument("xy", self.xy.shape, "it must be (n, 2)", "Give two per point.")
        same_length("Layout", ids=self.ids, kinds=self.kinds, xy=self.xy)
        for kind in dict.fromkeys(self.kinds.tolist()):
            check_choice("kinds", kind, SIDES)
        broken = np.flatnonzero(~np.isfinite(self.xy).all(axis=1))
        if len(broken):
            at = self.ids[broken[0]]
            raise BadData("the layout", [f"the point of {at!r} is not finite"], "Make it again.")
        keys = self.keys()
        if keys.has_duplicates:
            twice = keys[keys.duplicated()][:20]
            lines = [f"{one[2:]!r} comes twice" for one in twice]
            raise BadData("the layout", lines, "Give each text of a side its own id.")

    @property
    def queries(self) -> int:
        """How many points are queries."""
        return int((self.kinds == "query").sum())

    def keys(self) -> pd.Index[Any]:
        """(n,) what tells points of two layouts apart: kind and id."""
        import pandas as pd

        sides = np.where(self.kinds == "query", "q ", "d ").astype(object)
        keys: pd.Index[Any] = pd.Index(sides + self.ids)
        return keys

    @property
    def fingerprint(self) -> str:
        """Of ids, kinds and coordinates."""
        return files.fingerprint(self.ids, self.kinds, self.xy)

    def frame(self) -> pd.DataFrame:
        """One row per point."""
        import pandas as pd

        x, y = self.xy.T
        return pd.DataFrame({"id": self.ids, "kind": self.kinds, "x": x, "y": y})

    def save(self, folder: str | Path) -> Path:
        """Write one folder, whole or not at all."""
        return files.save_record(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> Layout:
        """Read what `save` wrote."""
        return files.load_record(cls, folder)

    def __repr__(self) -> str:
        how = self.recipe.get("how", "by hand")
        return (
            f"Layout({self.queries:,} queries, {len(self.ids) - self.queries:,} documents, {how})"
        )


def layout(
    vectors: Vectors | Sequence[Vectors],
    *,
    how: str = "umap",
    start: Layout | None = None,
    neighbours: Candidates | Neighbours | None = None,
    n_neighbors: int = 15,
    epochs: int | None = None,
    cache: str | Path | None = None,
    seed: int | None = 0,
    progress: bool | None = None,
) -> Layout:
    """Lay queries and documents out on one picture.

    UMAP of the unit vectors from their principal axes, in half of umap-learn's epochs: on 50,000 x
    384 drawn clusters 0.6 of its CPU time, 0.42 with `neighbours`. The first call compiles.

    Args:
        vectors: of documents, or (query vectors, document vectors) of one encoder.
        how: "umap", "tsne" (openTSNE; keeps more neighbours, costs several times more) or "pca"
            (seconds; two axes only).
        start: an earlier layout: points stand where they stood, new ones by their nearest old
            neighbour, and few epochs follow; the answer is turned onto it. Not for "pca".
        neighbours: found already, so that they are not searched again: (n, k) positions among all
            points, queries first, and their rising distances, as of an all-against-all search of
            unit vectors; or a mined list, from which queries take theirs. "umap" only.
        n_neighbors: of the graph behind the picture, itself included; usually 10 to 50. For "tsne"
            the perplexity, at least 5 and at most a third of the points.
        epochs: of the layout's descent; None = 100 from 10,000 points on ("umap"), 200 below, 500
            for "tsne"; 50 and 100 after a `start`.
        cache: a folder; a layout made before of the same numbers with the same options is read.
        seed: the same every time, on one core; None uses all cores and differs slightly.
        progress: None shows a bar where a person can see it; False never.

    Returns:
        One point per vector, in order.

    Raises:
        BadArgument: an option or a shape.
        BadData: vectors that are not finite or are all the same, an id that comes twice.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> docs = Vectors(values=rng.normal(size=(40, 8)).astype(np.float32), encoder="drawn",
        ...                ids=np.array([f"d{row}" for row in range(40)], dtype=object))
        >>> layout(docs, how="pca")
        Layout(0 queries, 40 documents, pca)

    Source: McInnes, Healy and Melville 2018, "UMAP" (arXiv 1802.03426); Policar, Strazar and Zupan
    2024, "openTSNE" (J. Stat. Softw. 109, 3); Kobak and Linderman 2021 for the start.

    Breaks when: read as a map of distances: sizes of and gaps between groups are made by the
    method, and groups with nothing between them float freely, from a `start` too. A mined list
    leaves labelled positives out, so a query may stand off its answer.
    """
    sides = sides_of(vectors)
    _check(how, start, neighbours, n_neighbors, epochs, seed)
    recipe: dict[str, Any] = {
        "how": how,
        "n_neighbors": n_neighbors,
        "epochs": epochs,
        "seed": seed,
        "vectors": [
            files.fingerprint(one.fingerprint, rows_fingerprint(one.values)) for one in sides
        ],
        "start": None if start is None else start.fingerprint,
        "neighbours": _named(neighbours),
    }
    place = None if cache is None else Path(cache) / f"layout-{files.fingerprint(recipe)}"
    if place is not None and (kept := _kept(place)) is not None:
        return kept
    empty = blank(sides, recipe)
    values = unit(sides)
    first = None if start is None else _placed(values, empty, start)
    graph = _graph(neighbours, sides, values, n_neighbors, seed)
    steps = epochs if epochs or start is None else WARM_EPOCHS.get(how)
    xy = METHODS[how](
        values, first=first, graph=graph, n_neighbors=n_neighbors, epochs=steps, seed=seed,
        hide=None if progress is None else not progress,
    )  # fmt: skip
    made = replace(empty, xy=xy)
    made = made if start is None else aligned(start, made)
    if place is not None:
        made.save(place)
    return made


def sides_of(vectors: object) -> list[Vectors]:
    """[documents] or [queries, documents] of what a map is made of.

    Raises:
        BadArgument: anything else, no rows, or widths that differ.
        BadData: a value is not finite.
    """
    sides = [vectors] if isinstance(vectors, Vectors) else vectors
    wanted = "it must be Vectors, or (query vectors, document vectors)"
    mend = "Pass what encode_collection returns."
    good = isinstance(sides, Sequence) and all(isinstance(one, Vectors) for one in sides)
    if not good or len(sides) not in (1, 2):  # type: ignore[arg-type]
        raise BadArgument("vectors", type(vectors).__name__, wanted, mend)
    found: list[Vectors] = list(sides)  # type: ignore[call-overload]
    for name, side in zip(SIDES[-len(found) :], found, strict=True):
        if not len(side.ids) or not side.values.shape[1]:
            shape = side.values.shape
            raise BadArgument("vectors", shape, "each side needs rows and columns", mend)
        if side.values.shape[1] != found[0].values.shape[1]:
            shapes = [one.values.shape for one in found]
            raise BadArgument("vectors", shapes, "both sides must have one width", mend)
        finite(name if name == "query" else "document", side.values)
    return found


def blank(sides: Sequence[Vectors], recipe: dict[str, Any] | None = None) -> Layout:
    """All points of some sides, without coordinates yet.

    Args:
        sides: [query vectors,] document vectors.
        recipe: of the layout to come.

    Raises:
        BadData: an id that comes twice on one side.
    """
    ids = np.concatenate([side.ids for side in sides])
    asked = len(ids) - len(sides[-1].ids)
    kinds = np.array(["query"] * asked + ["doc"] * (len(ids) - asked), dtype=object)
    xy = np.zeros((len(ids), 2), dtype=np.float32)
    return Layout(ids=ids, kinds=kinds, xy=xy, recipe=recipe or {})


def unit(sides: Sequence[Vectors]) -> Floats:
    """(n, dim) unit vectors of all sides, queries first; a zero vector stays one.

    Raises:
        BadData: all rows are the same: an encoder that has collapsed.
    """
    values = np.concatenate([np.asarray(side.values, dtype=np.float32) for side in sides])
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    values /= np.where(lengths > 0, lengths, 1)
    if len(values) > 1 and float(np.ptp(values, axis=0).max()) < 1e-7:
        problem = f"all {len(values):,} point the same way: the encoder has collapsed"
        raise BadData("the vectors", [problem], "Look at the loss and the learning rate.")
    return values


def aligned(before: Layout, after: Layout) -> Layout:
    """`after`, turned, mirrored, scaled and shifted onto `before` over the points of both.

        min over s, R, t of sum_i | s x_i R + t - y_i |^2,   R orthogonal, s > 0

    Args:
        before: stays.
        after: of the same or other points.

    Returns:
        `after` with new coordinates.

    Raises:
        BadArgument: fewer than three points in common.

    Example:
        >>> ids = np.array(["a", "b", "c"], dtype=object)
        >>> xy = np.array([[0, 0], [2, 0], [0, 1]], dtype=np.float32)
        >>> one = Layout(ids=ids, kinds=np.full(3, "doc", dtype=object), xy=xy)
        >>> np.allclose(aligned(one, replace(one, xy=3 * xy[:, ::-1] + 7)).xy, xy, atol=1e-5)
        True

    Source: Schoenemann 1966, "A generalized solution of the orthogonal Procrustes problem".

    Breaks when: the two pictures share no shape; the fit is then arbitrary and says nothing.
    """
    places, there = common(before, after)
    if len(there) < 3:
        wanted = f"it must share three points with the other, and shares {len(there)}"
        raise BadArgument("before", before, wanted, "Lay out the same texts.")
    old = before.xy[places].astype(np.float64)
    new = after.xy[there].astype(np.float64)
    centre, target = new.mean(axis=0), old.mean(axis=0)
    left, sizes, right = np.linalg.svd((new - centre).T @ (old - target))
    spread = ((new - centre) ** 2).sum()
    scale = sizes.sum() / spread if spread > 0 else 1.0
    xy = scale * (after.xy - centre) @ (left @ right) + target
    return replace(after, xy=xy.astype(np.float32))


def moved(before: Layout, after: Layout, *, align: bool = True) -> NDArray[np.float64]:
    """How far each point of `after` moved from where it stood, NaN where it was not there.

        moved_i = | x_i - y_i | / r,   r = root mean square distance of `before` from its middle

    Args:
        before: the earlier picture.
        after: the later one.
        align: turn and scale it onto the earlier one first; without, coordinates are compared as
            they are.

    Returns:
        (n,) in radii of the earlier picture, in the order of `after`.

    Raises:
        BadArgument: fewer than three points in common.

    Breaks when: `after` was not started from `before`: two layouts of one set of vectors differ by
    half a radius and more.
    """
    now = aligned(before, after) if align else after
    places, there = common(before, now)
    middle = before.xy.mean(axis=0, dtype=np.float64)
    radius = float(np.sqrt(((before.xy - middle) ** 2).sum(axis=1).mean())) or 1.0
    far = np.full(len(now.ids), np.nan)
    far[there] = np.linalg.norm(now.xy[there].astype(np.float64) - before.xy[places], axis=1)
    return far / radius


def common(before: Layout, after: Layout) -> tuple[Ints, Ints]:
    """Positions in either layout of the points that both have, in the order of `after`."""
    places = before.keys().get_indexer(after.keys())
    there = np.flatnonzero(places >= 0)
    return places[there].astype(np.int64), there.astype(np.int64)


def _check(
    how: str, start: object, neighbours: object, n_neighbors: int, epochs: object, seed: object
) -> None:
    check_choice("how", how, METHODS)
    check_count("n_neighbors", n_neighbors, at_least=2, mend="Try 15.")
    if epochs is not None:
        check_count("epochs", epochs, mend="Leave it out.")
    if seed is not None:
        check_count("seed", seed, at_least=0, mend="Try 0, or None for all cores.")
    if start is not None and not isinstance(start, Layout):
        raise BadArgument("start", type(start).__name__, "it must be a Layout", "Call layout.")
    if start is not None and how == "pca":
        raise BadArgument("start", start, "the axes of PCA have no start", "Try how='umap'.")
    if neighbours is not None and how != "umap":
        kind = type(neighbours).__name__
        raise BadArgument("neighbours", kind, "only UMAP takes them", "Leave them out.")


def _named(neighbours: Candidates | Neighbours | None) -> str | None:
    if neighbours is None or isinstance(neighbours, Candidates):
        return None if neighbours is None else neighbours.fingerprint
    return files.fingerprint(*(np.asarray(one) for one in checked_pair(neighbours)))


def _kept(place: Path) -> Layout | None:
    """What the cache holds, None when there is nothing or it is damaged."""
    if not place.is_dir():
        return None
    try:
        return Layout.load(place)
    except (BadArgument, BadData):
        return None


def _graph(
    neighbours: Candidates | Neighbours | None,
    sides: list[Vectors],
    values: Floats,
    n_neighbors: int,
    seed: int | None,
) -> Neighbours | None:
    if neighbours is None:
        return None
    if isinstance(neighbours, Candidates):
        return from_candidates(neighbours, sides, values, k=n_neighbors, seed=seed)
    return checked_pair(neighbours, count=len(values), k=n_neighbors)


def _placed(values: Floats, made: Layout, start: Layout) -> Floats:
    """Where the descent begins: old points where they stood, new ones by their nearest old one."""
    from workbench.mine.index import nearest

    places, there = common(start, made)
    if len(there) < 3:
        wanted = f"it must share three points with the vectors, and shares {len(there)}"
        raise BadArgument("start", start, wanted, "Start from a layout of the same texts.")
    first = np.full((len(made.ids), 2), np.nan, dtype=np.float32)
    first[there] = start.xy[places]
    new = np.flatnonzero(np.isnan(first[:, 0]))
    if len(new):
        _, found, _ = nearest(values[new], values[there], k=1)
        first[new] = first[there[found[:, 0]]]
    return first
