"""Coordinates: their order, their cache, their alignment, and that neighbours stay neighbours."""

import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from workbench.errors import BadArgument, BadData
from workbench.types import Candidates, Vectors
from workbench.widgets import layout_how
from workbench.widgets.layout import Layout, aligned, layout, moved, sides_of, unit

module = sys.modules["workbench.widgets.layout"]  # the room's name of it is the function


def vectors(rng, n=60, *, prefix="d", groups=3, dim=8):
    centres = 4 * np.eye(groups, dim)
    values = centres[np.arange(n) % groups] + rng.normal(size=(n, dim)) * 0.3
    ids = np.array([f"{prefix}{row}" for row in range(n)], dtype=object)
    return Vectors(values=values.astype(np.float32), ids=ids, encoder="drawn")


def by_hand(xy, ids=None, kinds=None):
    xy = np.asarray(xy, dtype=np.float32)
    ids = np.array(ids if ids is not None else [f"d{row}" for row in range(len(xy))], dtype=object)
    kinds = np.array(kinds if kinds is not None else ["doc"] * len(xy), dtype=object)
    return Layout(ids=ids, kinds=kinds, xy=xy)


def together(made, groups=3):
    """Share of points whose nearest other point on the picture is of their own group."""
    apart = ((made.xy[:, None] - made.xy[None]) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    group = np.arange(len(made.ids)) % groups
    return (group[apart.argmin(axis=1)] == group).mean()


def test_pca_is_the_plane_of_largest_spread(rng):
    docs = vectors(rng)
    made = layout(docs, how="pca")
    values = unit([docs])
    values = values - values.mean(axis=0)
    _, _, axes = np.linalg.svd(values, full_matrices=False)
    expected = values @ axes[:2].T
    np.testing.assert_allclose(np.abs(made.xy), np.abs(expected), atol=1e-4)
    assert made.ids.tolist() == docs.ids.tolist()
    assert set(made.kinds) == {"doc"}


def test_queries_come_first_and_may_share_ids_with_documents(rng):
    queries, docs = vectors(rng, 5), vectors(rng, 20)
    made = layout((queries, docs), how="pca")
    assert made.queries == 5
    assert made.kinds.tolist() == ["query"] * 5 + ["doc"] * 20
    assert made.ids.tolist() == [*queries.ids, *docs.ids]
    assert repr(made) == "Layout(5 queries, 20 documents, pca)"
    assert not made.keys().has_duplicates
    assert made.frame()["kind"].tolist() == made.kinds.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["umap", "tsne"])
def test_neighbours_stay_neighbours_and_a_seed_repeats_them(rng, how):
    docs = vectors(rng, 120)
    made = layout(docs, how=how, epochs=60, progress=False)
    assert together(made) > 0.95
    again = layout(docs, how=how, epochs=60, progress=False)
    np.testing.assert_array_equal(made.xy, again.xy)
    assert np.isfinite(layout(docs, how=how, epochs=20, seed=None, progress=False).xy).all()


def overlapping(rng, n=300, *, apart=2.0):
    """Twenty groups that touch, as texts do; groups with nothing between them float freely."""
    centres = apart * rng.normal(size=(20, 64))
    values = centres[rng.integers(20, size=n)] + rng.normal(size=(n, 64))
    ids = np.array([f"d{row}" for row in range(n)], dtype=object)
    return Vectors(values=values.astype(np.float32), ids=ids, encoder="drawn")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["umap", "tsne"])
def test_a_later_map_starts_from_the_earlier_one(rng, how):
    """UX.md's trap: a seed alone does not keep a map where it was, its coordinates do."""
    docs = overlapping(rng)
    noise = rng.normal(size=docs.values.shape).astype(np.float32)
    drifted = replace(docs, values=docs.values + 0.02 * noise)
    first = layout(docs, how=how, epochs=100, progress=False)
    warm = layout(drifted, how=how, start=first, progress=False)
    cold = layout(drifted, how=how, epochs=100, seed=1, progress=False)
    assert np.median(moved(first, warm)) < 0.7 * np.median(moved(first, cold))


@pytest.mark.slow
def test_a_map_started_from_an_earlier_one_follows_a_great_change(rng):
    from sklearn.manifold import trustworthiness

    after = overlapping(rng)
    noise = 2 * rng.normal(size=after.values.shape).astype(np.float32)
    first = layout(replace(after, values=noise), epochs=100, progress=False)
    warm = layout(after, start=first, progress=False)
    cold = layout(after, epochs=100, progress=False)
    values = unit([after])
    old, new, fresh = (
        trustworthiness(values, one.xy, n_neighbors=10) for one in (first, warm, cold)
    )
    assert old < 0.6
    assert new > fresh - 0.05


@pytest.mark.slow
def test_neighbours_found_by_a_search_are_used(rng):
    docs = vectors(rng, 90)
    values = unit([docs])
    apart = np.linalg.norm(values[:, None] - values[None], axis=2)
    order = np.argsort(apart, axis=1)[:, :15]
    pair = order, np.take_along_axis(apart, order, axis=1).astype(np.float32)
    assert together(layout(docs, neighbours=pair, epochs=60, progress=False)) > 0.95
    wrong = rng.permutation(90)[order]  # neighbours of somebody else: the picture follows them
    wrong[:, 0] = np.arange(90)
    mixed = layout(docs, neighbours=(wrong, pair[1]), epochs=60, progress=False)
    assert together(mixed) < 0.8


@pytest.mark.slow
def test_a_mined_list_gives_queries_their_neighbours(rng):
    queries, docs = vectors(rng, 12, prefix="q"), vectors(rng, 60)
    scores = queries.values @ docs.values.T
    order = np.argsort(-scores, axis=1)[:, :10].astype(np.int64)
    mined = mined_of(queries, docs, order, np.take_along_axis(scores, order, axis=1))
    made = layout((queries, docs), neighbours=mined, n_neighbors=8, epochs=60, progress=False)
    asked, found = made.xy[:12], made.xy[12:]
    nearest = ((asked[:, None] - found[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest % 3 == np.arange(12) % 3).all()


def mined_of(queries, docs, order, scores):
    return Candidates(
        query_ids=queries.ids, doc_ids=docs.ids, docs=order, scores=scores.astype(np.float32),
        ranks=np.broadcast_to(np.arange(1, order.shape[1] + 1, dtype=np.int32), order.shape),
        weight=np.ones(order.shape, dtype=np.float32),
        positive_scores=np.ones(len(queries.ids), dtype=np.float32), miner="made",
    )  # fmt: skip


def test_distances_of_a_mined_list_are_those_of_the_vectors(rng, monkeypatch):
    queries, docs = vectors(rng, 4, prefix="q"), vectors(rng, 9)
    order = np.array([[2, 0, 1]] * 4)
    mined = mined_of(queries, docs, order, rng.normal(size=order.shape))
    values = unit([queries, docs])
    among = np.linalg.norm(values[4:, None] - values[None, 4:], axis=2)
    own = np.argsort(among, axis=1)[:, :4]

    def search(rows, k, *_, **__):
        assert len(rows) == 9
        return own[:, :k], np.take_along_axis(among, own, axis=1)[:, :k], None

    part = SimpleNamespace(nearest_neighbors=search)
    monkeypatch.setattr(layout_how, "library", lambda: SimpleNamespace(umap_=part))
    places, far = layout_how.from_candidates(mined, [queries, docs], values, k=4, seed=0)
    expected = np.linalg.norm(values[:, None] - values[places], axis=2)
    np.testing.assert_allclose(far, expected, atol=2e-3)
    assert (places[:, 0] == np.arange(13)).all()
    assert (places[:4, 1:] >= 4).all()
    assert (np.diff(far, axis=1) >= 0).all()


def test_alignment_undoes_a_turn_a_mirror_a_scale_and_a_shift(rng):
    first = by_hand(rng.normal(size=(30, 2)))
    turn = np.array([[0.6, -0.8], [0.8, 0.6]]) @ np.diag([1, -1])
    second = replace(first, xy=(5 * first.xy @ turn + [3, -7]).astype(np.float32))
    np.testing.assert_allclose(aligned(first, second).xy, first.xy, atol=1e-4)
    np.testing.assert_allclose(moved(first, second), 0, atol=1e-4)
    assert moved(first, second, align=False).min() > 1


def test_movement_is_in_radii_and_unknown_for_new_points(rng):
    xy = rng.normal(size=(200, 2))
    first = by_hand(xy)
    shifted = xy.copy()
    shifted[7] += [3, 4]
    ids = [f"d{row}" for row in range(200)]
    ids[9] = "new"
    second = by_hand(shifted, ids)
    far = moved(first, second, align=False)
    radius = np.sqrt(((first.xy - first.xy.mean(axis=0)) ** 2).sum(axis=1).mean())
    assert far[7] == pytest.approx(5 / radius, rel=1e-3)
    assert np.isnan(far[9])
    assert np.nanmax(np.delete(far, 7)) < 1e-6


def test_new_points_begin_at_their_nearest_old_one(rng):
    docs = vectors(rng, 30)
    old = layout(docs, how="pca")
    more = vectors(np.random.default_rng(1), 33)
    values = unit([more])
    whole = by_hand(np.zeros((33, 2)))
    first = module._placed(values, whole, old)
    np.testing.assert_array_equal(first[:30], old.xy)
    for row in range(30, 33):
        nearest = int((values[:30] @ values[row]).argmax())
        np.testing.assert_array_equal(first[row], old.xy[nearest])


def test_the_cache_answers_for_the_same_numbers_and_options_only(rng, tmp_path, monkeypatch):
    docs, calls = vectors(rng), []
    real = layout_how.pca

    def counted(*given, **options):
        calls.append(1)
        return real(*given, **options)

    monkeypatch.setattr(module, "METHODS", {**layout_how.METHODS, "pca": counted})
    first = layout(docs, how="pca", cache=tmp_path)
    again = layout(docs, how="pca", cache=tmp_path)
    np.testing.assert_array_equal(first.xy, again.xy)
    assert len(calls) == 1
    layout(docs, how="pca", cache=tmp_path, seed=3)
    other = replace(docs, values=docs.values + 1)  # one fingerprint, other numbers
    assert other.fingerprint == docs.fingerprint
    layout(other, how="pca", cache=tmp_path)
    assert len(calls) == 3
    (tmp_path / f"layout-{folder_of(first)}" / "xy.npy").write_bytes(b"half")
    layout(docs, how="pca", cache=tmp_path)
    assert len(calls) == 4
    assert not list(tmp_path.glob("*.tmp"))
    np.testing.assert_array_equal(layout(docs, how="pca", cache=tmp_path).xy, first.xy)
    assert len(calls) == 4


def folder_of(made):
    from workbench import files

    return files.fingerprint(made.recipe)


def test_a_layout_is_saved_and_loaded(rng, tmp_path):
    made = layout((vectors(rng, 4, prefix="q"), vectors(rng)), how="pca")
    again = Layout.load(made.save(tmp_path / "layout"))
    assert again.fingerprint == made.fingerprint
    assert again.recipe == made.recipe


def test_one_column_and_two_rows_have_a_picture():
    ids = np.array(["a", "b"], dtype=object)
    narrow = Vectors(values=np.array([[1], [-1]], dtype=np.float32), ids=ids, encoder="e")
    made = layout(narrow, how="pca")
    assert made.xy.shape == (2, 2)
    assert (made.xy[:, 1] == 0).all()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"how": "umpa"}, "`how` is 'umpa', but it must be one of umap, tsne, pca. Did you mean"),
        ({"n_neighbors": 1}, "`n_neighbors` is 1, but it must be a whole number >= 2"),
        ({"epochs": 0}, "`epochs` is 0, but it must be a whole number >= 1"),
        ({"seed": -1}, "`seed` is -1"),
        ({"start": "last"}, "`start` is 'str', but it must be a Layout"),
        ({"how": "pca", "start": by_hand(np.eye(2))}, "the axes of PCA have no start"),
        ({"how": "pca", "neighbours": (1, 2)}, "only UMAP takes them"),
    ],
)
def test_wrong_options_are_refused_before_any_work(options, match):
    plain = {"how": "umap", "start": None, "neighbours": None, "n_neighbors": 15}
    with pytest.raises(BadArgument, match=match):
        module._check(**{**plain, "epochs": None, "seed": 0, **options})


def test_wrong_vectors_are_refused(rng):
    docs = vectors(rng)
    with pytest.raises(BadArgument, match="`n_neighbors` is 1"):
        layout(docs, n_neighbors=1)
    with pytest.raises(BadArgument, match="`vectors` is 'ndarray'"):
        sides_of(docs.values)
    with pytest.raises(BadArgument, match="`vectors` is 'list'"):
        sides_of([docs, docs, docs])
    with pytest.raises(BadArgument, match="each side needs rows and columns"):
        layout(replace(docs, values=docs.values[:0], ids=docs.ids[:0]))
    with pytest.raises(BadArgument, match="both sides must have one width"):
        layout((replace(docs, values=docs.values[:, :3]), docs))
    broken = docs.values.copy()
    broken[3, 2] = np.nan
    with pytest.raises(BadData, match="row 3 holds NaN"):
        layout(replace(docs, values=broken))
    with pytest.raises(BadData, match="the encoder has collapsed"):
        layout(replace(docs, values=np.ones_like(docs.values)))
    with pytest.raises(BadData, match="'d1' comes twice"):
        layout(replace(docs, ids=np.array(["d1"] * 60, dtype=object)), how="pca")
    with pytest.raises(BadData, match="3 rows, and UMAP needs 4"):
        layout(replace(docs, values=docs.values[:3], ids=docs.ids[:3]))
    with pytest.raises(BadData, match="5 rows, and t-SNE needs 16"):
        layout(replace(docs, values=docs.values[:5], ids=docs.ids[:5]), how="tsne")
    assert len(sides_of((docs, docs))) == 2


def test_wrong_layouts_are_refused():
    with pytest.raises(BadArgument, match=r"`xy` is \(2, 3\), but it must be \(n, 2\)"):
        by_hand(np.zeros((2, 3)))
    with pytest.raises(BadData, match="the point of 'd1' is not finite"):
        by_hand([[0, 0], [np.inf, 0]])
    with pytest.raises(BadArgument, match="`kinds` is 'text'"):
        by_hand([[0, 0]], kinds=["text"])
    with pytest.raises(BadArgument, match="share three points with the other, and shares 1"):
        aligned(by_hand(np.eye(2)), by_hand(np.eye(2), ["d0", "x"]))
    with pytest.raises(BadArgument, match="share three points with the vectors, and shares 2"):
        module._placed(np.eye(2, dtype=np.float32), by_hand(np.eye(2)), by_hand(np.eye(2)))


@pytest.mark.parametrize(
    ("places", "far", "match"),
    [
        (np.zeros((3, 4)), np.zeros((3, 4)), "two \\(n, k\\) arrays"),
        (np.zeros((3, 4), dtype=int), np.zeros((3, 3)), "two \\(n, k\\) arrays"),
        (np.zeros((2, 4), dtype=int), np.zeros((2, 4)), "it must have 5 rows"),
        (np.ones((5, 1), dtype=int), np.zeros((5, 1)), "it must hold 2 neighbours"),
        (np.full((5, 3), 9), np.zeros((5, 3)), "positions are 0..4"),
        (np.ones((5, 3), dtype=int), np.full((5, 3), np.nan), "distances must be finite"),
        (np.ones((5, 3), dtype=int), np.array([[1.0, 0.5, 0.2]] * 5), "rise along a row"),
    ],
)
def test_wrong_neighbours_are_refused(places, far, match):
    with pytest.raises(BadArgument, match=match):
        layout_how.checked_pair((places, far), count=5, k=3)


def test_wrong_lists_are_refused(rng):
    queries, docs = vectors(rng, 4, prefix="q"), vectors(rng, 9)
    order = np.array([[2, 0, -1]] * 4)
    mined = mined_of(queries, docs, order, np.zeros(order.shape))
    values = unit([queries, docs])
    for sides, k, match in [
        ([docs], 3, "queries must be on the map"),
        ([docs, docs], 3, "its ids must be those of vectors"),
        ([queries, docs], 4, "each query must have 3 candidates"),
    ]:
        with pytest.raises(BadArgument, match=match):
            layout_how.from_candidates(mined, sides, values, k=k, seed=0)


@pytest.mark.slow
def test_neither_umap_nor_numba_is_loaded_before_it_is_needed():
    code = (
        "import sys, workbench.widgets.layout; "
        "assert not {'umap', 'numba', 'openTSNE', 'sklearn', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
