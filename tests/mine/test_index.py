from importlib import import_module

import numpy as np
import pytest
from scipy.sparse import csr_array

from workbench.errors import BadArgument, BadData
from workbench.mine import dense, index, ivf, overfetch
from workbench.mine.exact import top_k
from workbench.mine.index import choose_index, lists_for, nearest
from workbench.mine.ranking import Excluded
from workbench.types import Vectors

KINDS = ["ivf", "ivf_pq", "hnsw"]


def clustered(rng, rows, *, topics=60, dim=16, spread=0.45):
    centres = rng.standard_normal((topics, dim))
    found = centres[rng.integers(topics, size=rows)] + spread * rng.standard_normal((rows, dim))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def sides(rng):
    rows = clustered(rng, 3250)
    return rows[:250], rows[250:]


def share_found(places, truth):
    pairs = zip(places, truth, strict=True)
    return np.mean([np.isin(row[row >= 0], place).mean() for place, row in pairs])


@pytest.mark.parametrize(
    ("sizes", "options", "kind", "said"),
    [
        ((2_000, 2_000, 384), {}, "flat", "2,000 queries x 2,000 documents x 384 numbers take sec"),
        ((100_000, 1_000_000, 384), {}, "ivf", r"lists need about one \d\dth of the multipli"),
        ((100_000, 100_000, 384), {}, "ivf", "lists need about one"),
        ((1_000, 1_000_000, 384), {}, "flat", "take seconds"),
        ((100_000, 1_000_000, 384), {"gpu": True}, "flat", "take seconds"),
        ((1_100, 2_000_000, 384), {}, "flat", "building lists would cost as much as they save"),
        ((10_000_000, 5_000, 384), {"k": 100}, "flat", "100 of 5,000 documents are too many"),
        ((1_000, 100_000_000, 384), {}, "ivf_pq", "143 GB of documents are more than 16 GB of"),
        ((1_000_000, 100_000_000, 384), {"k": 100}, "ivf", "lists need about one"),
        ((1_000, 100_000_000, 384), {"memory_gb": 200}, "flat", "building lists would cost"),
    ],
)
def test_size_decides_and_says_why(sizes, options, kind, said):
    chosen, reason = choose_index(*sizes, **{"k": 10, **options})
    assert chosen == kind
    import re

    assert re.search(said, reason), reason


def test_an_index_is_never_chosen_where_it_would_not_halve_the_work():
    for queries in (10, 1_000, 100_000):
        for docs in (100, 10_000, 1_000_000):
            if choose_index(queries, docs, 64, k=5)[0] == "ivf":
                lists = lists_for(docs)
                built = docs * lists * 64
                assert 2 * built < queries * docs * 64


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_recall_is_measured_and_met_and_scores_are_exact(kind, sides):
    queries, docs = sides
    scores, places, account = nearest(queries, docs, k=10, index=kind, recall=0.95)
    exact, truth = top_k(queries, docs, k=10)
    assert account["kind"] == kind
    assert account["reached"]
    assert account["sample"] == 200
    assert account["recall"] >= 0.95
    assert abs(share_found(places, truth) - account["recall"]) < 0.02
    products = np.einsum("qd,qkd->qk", queries, docs[places])
    np.testing.assert_allclose(scores, products, rtol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert (scores <= exact + 1e-6).all()
    again = nearest(queries, docs, k=10, index=kind, recall=0.95)
    np.testing.assert_array_equal(places, again[1])
    np.testing.assert_array_equal(scores, again[0])
    assert account == again[2]


@pytest.mark.parametrize("kind", KINDS)
def test_full_recall_equals_the_exact_search_masks_included(kind, rng):
    rows = clustered(rng, 700)
    queries, docs = rows[:150], rows[150:]  # every query is in the sample
    mask = rng.random((150, 550)) < 0.3
    mask[3] = True
    mask[4, 20:] = True
    found = nearest(queries, docs, k=30, exclude=csr_array(mask), index=kind, recall=1.0)
    assert found[2]["recall"] == 1.0
    scores, places = top_k(queries, docs, k=30, exclude=csr_array(mask))
    np.testing.assert_array_equal(found[1], places)
    np.testing.assert_allclose(found[0], scores, rtol=1e-5)
    assert (places[3] == -1).all()
    assert (places[4, 20:] == -1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_k_beyond_the_documents_comes_out_short(kind, rng):
    rows = clustered(rng, 310, topics=5, dim=8)
    scores, places, _ = nearest(rows[:10], rows[10:], k=320, index=kind, recall=1.0)
    assert ((places >= 0).sum(axis=1) == 300).all()
    assert (places[:, 300:] == -1).all()
    assert np.isneginf(scores[:, 300:]).all()


def test_looking_into_lists_is_told_in_advance(sides):
    queries, docs = sides
    lists = ivf.build(docs, lists=64)
    truth = top_k(queries, docs, k=10)[1]
    probes, recall, scanned = ivf.probes_needed(lists, queries, truth, 0.98)
    nothing = Excluded(None, (len(queries), len(docs)))
    search = ivf.Search(lists, queries, docs, nothing, 10, probes)
    places = search(slice(0, len(queries)), lambda: None)[1]
    assert share_found(places, truth) == pytest.approx(recall)
    assert search.scored / (len(queries) * len(docs)) == pytest.approx(scanned)
    fewer = ivf.Search(lists, queries, docs, nothing, 10, probes - 1)
    below = share_found(fewer(slice(0, len(queries)), lambda: None)[1], truth)
    hits = np.array([np.isin(t, p).mean() for p, t in zip(places, truth, strict=True)])
    assert below < 0.98 + 2 * hits.std() / np.sqrt(len(hits))  # one list fewer is not sure to do


def test_every_document_stands_in_the_list_of_its_nearest_centre(sides):
    docs = sides[1]
    lists = ivf.build(docs, lists=32, seed=4)
    np.testing.assert_array_equal(lists.labels, (docs @ lists.centres.T).argmax(axis=1))
    np.testing.assert_allclose(np.linalg.norm(lists.centres, axis=1), 1, rtol=1e-5)
    assert sorted(np.concatenate([lists.members(n) for n in range(32)]).tolist()) == [
        *range(len(docs))
    ]
    assert all((np.diff(lists.members(n)) > 0).all() for n in range(32))
    other = ivf.build(docs, lists=32, seed=5)
    assert (other.labels != lists.labels).any()


def test_many_centres_are_fitted_in_two_levels(rng):
    docs = clustered(rng, 8000, topics=150)
    lists = ivf.build(docs, lists=400)
    assert lists.centres.shape == (400, 16)
    np.testing.assert_allclose(np.linalg.norm(lists.centres, axis=1), 1, rtol=1e-5)
    cosines = docs @ lists.centres.T
    own = cosines[np.arange(8000), lists.labels]
    assert (own >= cosines.max(axis=1) - 1e-6).mean() > 0.9
    assert own.mean() > cosines.max(axis=1).mean() - 0.01
    one_level = ivf._centres(docs, 400, 0)
    assert own.mean() > (docs @ one_level.T).max(axis=1).mean() - 0.02
    np.testing.assert_array_equal(ivf.build(docs, lists=400).labels, lists.labels)


def test_groups_get_lists_by_size():
    assert ivf._shares(np.array([50, 0, 25, 25]), 8).tolist() == [4, 0, 2, 2]
    assert ivf._shares(np.array([1, 1, 1]), 100).sum() == 100


def test_a_heavy_query_costs_the_others_no_score(sides):
    queries, docs = sides
    lists = ivf.build(docs, lists=64)
    mask = np.zeros((len(queries), len(docs)), dtype=bool)
    mask[17, :2900] = True
    scored, found = [], []
    for cells in (None, csr_array(mask)):
        excluded = Excluded(cells, mask.shape)
        search = ivf.Search(lists, queries, docs, excluded, 10, 8)
        found.append(search(slice(0, len(queries)), lambda: None)[1])
        scored.append(search.scored)
    assert scored[0] == scored[1]
    assert (found[1][17] >= 2900).sum() == (found[1][17] >= 0).sum()
    np.testing.assert_array_equal(*(np.delete(places, 17, axis=0) for places in found))


@pytest.mark.slow
@pytest.mark.parametrize(("many", "extra"), [(1500, -40), (60, 64), (64, 64), (65, 128)])
def test_a_heavy_query_makes_nobody_else_fetch_more(sides, many, extra):
    """Widths are k times 4 and the next power of two; beyond 1,024 a query is searched exactly."""
    queries, docs = sides
    codes = overfetch.Codes(docs, 32, 0)
    mask = np.zeros((len(queries), len(docs)), dtype=bool)
    mask[17, :many] = True
    mask[18, 5] = True
    excluded = Excluded(csr_array(mask), mask.shape)
    search = overfetch.Search(codes.index, queries, docs, excluded, 10, 4)
    codes.index.nprobe = 32
    places = search(slice(0, len(queries)), lambda: None)[1]
    assert search.fetched == 40 * len(queries) + extra + 1
    assert places[17].min() >= many
    assert (places[17] >= 0).all()
    if many > overfetch.HEAVY:
        wanted = top_k(queries[17:18], docs, k=10, exclude=csr_array(mask[17:18]))[1]
        np.testing.assert_array_equal(places[17:18], wanted)


def test_vectors_without_clusters_are_searched_exactly_after_all(monkeypatch, rng):
    monkeypatch.setattr(index, "choose_index", lambda *_, **__: ("ivf", "tried"))
    queries, docs = (rng.standard_normal((n, 64), dtype=np.float32) for n in (100, 2000))
    _, places, account = nearest(queries, docs, k=10)
    assert account["kind"] == "flat"
    assert account["recall"] == 1.0
    assert "of all pairs for this recall" in account["reason"]
    np.testing.assert_array_equal(places, top_k(queries, docs, k=10)[1])
    asked = nearest(queries, docs, k=10, index="ivf")[2]
    assert asked["kind"] == "ivf"
    assert asked["scanned"] > index.MOST_OF_ALL


@pytest.mark.slow
def test_a_recall_that_cannot_be_reached_is_said(monkeypatch, sides):
    def only_one(self):
        self.index.nprobe = 1
        yield {"probes": 1, "fetched": 1}, 1

    monkeypatch.setattr(overfetch.Codes, "efforts", only_one)
    account = nearest(*sides, k=10, index="ivf_pq")[2]
    assert not account["reached"]
    assert account["recall"] < account["wanted"] == 0.98


def test_more_is_looked_at_until_it_is_enough(sides):
    low, high = (nearest(*sides, k=10, index="ivf", recall=r)[2] for r in (0.5, 0.99))
    assert low["probes"] < high["probes"]
    assert low["scanned"] < high["scanned"]


@pytest.mark.slow
def test_lists_of_an_interrupted_search_are_taken_up_again(tmp_path, monkeypatch, sides):
    queries, docs = sides
    monkeypatch.setattr(index, "QUERIES", 100)
    options = {"k": 10, "index": "ivf", "recall": 0.9}
    plain = nearest(queries, docs, **options)
    folder = tmp_path / "search"
    first = nearest(queries, docs, **options, checkpoint=folder)
    np.testing.assert_array_equal(first[1], plain[1])
    (folder / "000001.docs.npy").unlink()
    monkeypatch.setattr(ivf, "build", lambda *_, **__: pytest.fail("built again"))
    again = nearest(queries, docs, **options, checkpoint=str(folder))
    np.testing.assert_array_equal(again[1], plain[1])
    assert again[2] == plain[2]
    with pytest.raises(BadArgument, match=r"another search \(other recall\)"):
        nearest(queries, docs, k=10, index="ivf", recall=0.8, checkpoint=folder)


def test_dense_says_what_it_searched_with(collection_of, capsys, rng):
    made = collection_of({(0, 3): 1}, queries=30, docs=400)
    rows = clustered(rng, 430)
    vectors = [
        Vectors(values=values, ids=ids, encoder="e")
        for values, ids in ((rows[:30], made.query_ids), (rows[30:], made.doc_ids))
    ]
    exact = dense(made, *vectors, k=5)
    assert exact.recipe["index"]["kind"] == "flat"
    assert "take seconds" in exact.recipe["index"]["reason"]
    assert capsys.readouterr().out == ""
    found = dense(made, *vectors, k=5, index="ivf", recall=1.0)
    np.testing.assert_array_equal(found.docs, exact.docs)
    line = capsys.readouterr().out
    assert line == "dense: ivf, asked for; recall@5 100.0% on 30 queries\n"
    module = import_module("workbench.mine.dense")
    module._say({**found.recipe["index"], "recall": 0.9, "wanted": 0.98, "reached": False}, 5)
    assert "recall@5 90.0% on 30 queries, short of the 98.0% wanted" in capsys.readouterr().out


def test_mistakes_are_named(sides, rng):
    queries, docs = sides
    with pytest.raises(BadArgument, match=r"`index` is 'ifv', .* Did you mean 'ivf'\?"):
        nearest(queries, docs, k=3, index="ifv")
    with pytest.raises(BadArgument, match=r"`recall` is 1.5, but it must be <= 1"):
        nearest(queries, docs, k=3, recall=1.5)
    with pytest.raises(BadArgument, match=r"`seed` is -1"):
        nearest(queries, docs, k=3, seed=-1)
    with pytest.raises(
        BadArgument, match=r"must have 256 documents or more, here 100. Take 'flat'"
    ):
        nearest(queries, docs[:100], k=3, index="ivf_pq")
    with pytest.raises(BadArgument, match=r"`memory_gb` is 0, but it must be > 0"):
        choose_index(5, 5, 5, k=5, memory_gb=0)
    with pytest.raises(BadArgument, match=r"`docs` is 0, but it must be a whole number >= 1"):
        choose_index(5, 0, 5, k=5)
    broken = queries.copy()
    broken[249, 0] = np.nan
    for kind in KINDS:
        with pytest.raises(BadData, match=r"query vectors has 1 problem:\n  row 249 holds NaN"):
            nearest(broken, docs, k=3, index=kind, recall=0.5)
        with pytest.raises(BadData, match=r"document vectors has 1 problem:\n  row 249 holds NaN"):
            nearest(queries, broken, k=3, index=kind)
