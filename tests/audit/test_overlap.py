"""What stands on both sides, against brute force; leaks between collections in every field."""

import re

import numpy as np
import pytest

from workbench.audit import overlap
from workbench.audit.overlap import FIELDS, leaks, near_copies, near_vectors
from workbench.data import from_rows, minhash, split
from workbench.errors import BadArgument, BadData
from workbench.types import Vectors

COLUMNS = ["test", "train", "similarity", "how", "copies"]


def shingles(text, size=5):
    tokens = re.findall(r"\w+|[^\w\s]", text)
    return {tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)}


def brute_force(test, train, threshold):
    """Every pair, by the definition; of equal training texts the first."""
    flat = [" ".join(text.split()) for text in train]
    rows = []
    for i, text in enumerate(test):
        for j, other in enumerate(train):
            if flat[j] and flat.index(flat[j]) < j:
                continue
            a, b = shingles(text), shingles(other)
            similarity = len(a & b) / max(1, len(a | b))
            copies = flat.count(flat[j]) if flat[j] else 1
            if flat[j] and " ".join(text.split()) == flat[j]:
                rows.append((i, j, 1.0, "equal", copies))
            elif similarity >= threshold - 1e-9:
                rows.append((i, j, similarity, "shingles", copies))
    return sorted(rows, key=lambda row: (row[0], -row[2], row[1]))


def mutated(rng, bases, count):
    """Copies of some texts, light to heavy changes, and some that are equal but for white space."""
    texts = []
    for _ in range(count):
        tokens = bases[rng.integers(len(bases))].split()
        for _ in range(rng.integers(0, 5)):
            tokens[rng.integers(len(tokens))] = rng.choice(list("klmnop"))
        texts.append((" " * rng.integers(1, 3)).join(tokens))
    return texts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("threshold", "held"), [(0.5, 1_000_000), (0.8, 1_000_000), (1.0, 1_000_000), (0.8, 0)]
)
def test_copies_equal_brute_force(rng, monkeypatch, threshold, held):
    monkeypatch.setattr(minhash, "_pairs", held)
    bases = [" ".join(rng.choice(list("abcdefghij"), size=50)) for _ in range(12)]
    test = [*mutated(rng, bases, 40), "short", "", "other"]
    train = [*mutated(rng, bases, 60), "", "short", " short"]
    frame = near_copies(test, train, threshold=threshold, permutations=256)
    expected = brute_force(test, train, threshold)
    assert {row[3] for row in expected} == {"equal", "shingles"} or threshold == 1.0
    assert frame.columns.tolist() == COLUMNS
    assert [tuple(row) for row in frame.to_numpy().tolist()] == expected
    short = frame[frame["test"] == 40]
    assert short[["train", "copies"]].to_numpy().tolist() == [[61, 2]]


@pytest.mark.parametrize(("test", "train"), [([], []), (["a b c d e f"], []), ([], ["a"])])
def test_nothing_against_nothing_finds_nothing(test, train):
    frame = near_copies(test, train)
    assert len(frame) == 0
    assert frame.columns.tolist() == COLUMNS


def vectors(values, encoder="e", prefix="v"):
    values = np.asarray(values, dtype=np.float32)
    ids = np.array([f"{prefix}{place}" for place in range(len(values))], dtype=object)
    return Vectors(values=values, ids=ids, encoder=encoder)


def test_vectors_equal_brute_force(rng):
    test, train = rng.normal(size=(30, 6)), rng.normal(size=(50, 6))
    frame = near_vectors(vectors(test), vectors(train), threshold=0.6, k=3, index="flat")
    cosines = (test / np.linalg.norm(test, axis=1)[:, None]) @ (
        train / np.linalg.norm(train, axis=1)[:, None]
    ).T
    expected = [
        (i, j)
        for i in range(30)
        for j in np.argsort(-cosines[i], kind="stable")[:3]
        if cosines[i, j] >= 0.6
    ]
    assert 10 < len(expected) < 90
    assert list(zip(frame["test"], frame["train"], strict=True)) == expected
    np.testing.assert_allclose(frame["similarity"], [cosines[cell] for cell in expected], atol=1e-5)
    assert set(frame["how"]) == {"vectors"}
    none = near_vectors(vectors(np.empty((0, 6))), vectors(train))
    assert none.columns.tolist() == COLUMNS
    assert len(none) == 0


LONG = "open the file and read every line of it into one list of strings"


def two_sides():
    test = from_rows(
        [
            {"query": "read a file", "positive": LONG},
            {"query": "sort a list", "positive": "in place"},
            {"query": "new", "positive": "nothing like it"},
        ],
        name="test",
    )
    train = from_rows(
        [
            {"query": "read a  file", "positive": "sort a list"},
            {"query": "in place", "positive": LONG + " ."},
        ],
        name="train",
    )
    return test, train


def test_leaks_are_found_in_every_field():
    test, train = two_sides()
    found = leaks(test, train)
    assert repr(found) == "Leaks('test' in 'train': 2 of 3 queries, 2 of 3 docs)"
    rows = found.pairs[["field", "test_id", "train_id", "how"]].to_numpy().tolist()
    assert rows == [
        ["query in queries", test.query_ids[0], train.query_ids[0], "equal"],
        ["query in docs", test.query_ids[1], train.doc_ids[0], "equal"],
        ["doc in docs", test.doc_ids[0], train.doc_ids[1], "shingles"],
        ["doc in queries", test.doc_ids[1], train.query_ids[1], "equal"],
    ]
    assert found.frame()["field"].tolist() == list(FIELDS)
    assert found.frame()["leaked"].tolist() == [1, 1, 1, 1]
    assert found.frame()["of"].tolist() == [3, 3, 3, 3]
    assert found.share() == {"query": 2 / 3, "doc": 2 / 3}
    assert leaks(test, train, doc_threshold=None).leaked("doc") == 1


def test_long_queries_can_be_compared_loosely():
    test = from_rows([{"query": LONG, "positive": "a"}])
    train = from_rows([{"query": LONG + " please", "positive": "b"}])
    assert leaks(test, train).leaked("query") == 0
    assert leaks(test, train, query_threshold=0.8).leaked("query") == 1
    # The looser of the two thresholds does not leak into the other kind.
    swapped = from_rows([{"query": "a", "positive": LONG}])
    assert leaks(swapped, train, query_threshold=0.5, doc_threshold=None).leaked("doc") == 0


def sides(collection, queries, docs, encoder="e"):
    made = zip((queries, docs), (collection.query_ids, collection.doc_ids), strict=True)
    return tuple(
        Vectors(values=np.array(values, dtype=np.float32), ids=ids, encoder=encoder)
        for values, ids in made
    )


def test_vectors_add_what_text_does_not_show():
    test, train = two_sides()
    east, north, far = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
    ours = sides(test, [east, far, north], [east, far, north])
    theirs = sides(train, [east, north], [far, east])
    found = leaks(test, train, test_vectors=ours, train_vectors=theirs).pairs
    assert found["how"].tolist() == [*["equal", "equal", "shingles", "equal"], "vectors", "vectors"]
    added = found[found["how"] == "vectors"]
    assert added[["field", "test_id", "train_id"]].to_numpy().tolist() == [
        ["query in queries", test.query_ids[2], train.query_ids[1]],
        ["doc in docs", test.doc_ids[1], train.doc_ids[0]],
    ]


@pytest.mark.slow
def test_a_split_by_group_does_not_leak_and_one_at_random_does(rng):
    from workbench.data import with_groups
    from workbench.data.sets import take

    bases = [" ".join(rng.choice(list("abcdefghij"), size=40)) for _ in range(60)]
    rows = [
        {"query": f"q{place}", "positive": text + " z" * (place % 3)}
        for place, text in enumerate([*bases, *bases[:30]])
    ]
    whole = with_groups(from_rows(rows))
    apart = split(whole, test=0.3, seed=0)
    assert leaks(apart["test"], apart["train"]).share() == {"query": 0.0, "doc": 0.0}
    order = rng.permutation(len(whole.queries))
    naive = []
    for name, rows in (("test", order[:27]), ("train", order[27:])):
        docs = np.unique(whole.qrels[rows].tocoo().coords[1])
        naive.append(take(whole, queries=rows, docs=docs, name=name, recipe={}))
    assert leaks(*naive).share()["doc"] > 0.3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"threshold": 0}, "`threshold` is 0, but it must be > 0"),
        ({"shingle": 0}, "`shingle` is 0"),
        ({"permutations": 4}, "`permutations` is 4"),
        ({"seed": -1}, "`seed` is -1"),
        ({"test": "abc"}, "`test` is 'abc', but it must be a list of strings"),
        ({"train": "abc"}, "`train` is 'abc', but it must be a list of strings"),
    ],
)
def test_wrong_copies_options_are_named(options, said):
    with pytest.raises(BadArgument, match=said):
        near_copies(**{"test": ["a"], "train": ["a"], **options})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"threshold": 2}, "`threshold` is 2, but it must be <= 1"),
        ({"k": 0}, "`k` is 0"),
        ({"train": vectors(np.eye(3), encoder="f")}, r"`train` is \('f', 0\), but its encoder"),
        ({"train": vectors(np.eye(4))}, r"`train` is \(4, 4\), but its width must be 3"),
    ],
)
def test_wrong_vectors_options_are_named(options, said):
    with pytest.raises(BadArgument, match=said):
        near_vectors(**{"test": vectors(np.eye(3)), "train": vectors(np.eye(3)), **options})


def test_vectors_are_refused_before_any_text_is_compared(monkeypatch):
    test, train = two_sides()

    def never(*_args, **_options):
        raise AssertionError("texts were compared first")

    monkeypatch.setattr(overlap, "near_copies", never)
    ours = sides(test, np.eye(3), np.eye(3))
    with pytest.raises(BadArgument, match="`train_vectors` is None"):
        leaks(test, train, test_vectors=ours)
    with pytest.raises(BadData, match="2 are wanted"):
        leaks(test, train, test_vectors=ours, train_vectors=ours)


def test_wrong_leaks_options_are_named():
    test, train = two_sides()
    for name in ("query_threshold", "doc_threshold"):
        with pytest.raises(BadArgument, match=f"`{name}` is 0, but it must be > 0"):
            leaks(test, train, **{name: 0})
    ours = sides(test, np.eye(3), np.eye(3))
    with pytest.raises(BadArgument, match="`train_vectors` is None, but both sides need vectors"):
        leaks(test, train, test_vectors=ours)
    with pytest.raises(BadData, match="2 are wanted"):
        leaks(test, train, test_vectors=ours, train_vectors=ours)
    with pytest.raises(BadArgument, match="`vector_threshold` is 2, but it must be <= 1"):
        leaks(test, train, vector_threshold=2)
    with pytest.raises(BadArgument, match="`kind` is 'queries', but it must be one of query, doc"):
        leaks(test, train).leaked("queries")
    broken = vectors([[np.nan, 0.0, 0.0]])
    with pytest.raises(BadData, match="row 0 holds NaN"):
        near_vectors(broken, vectors(np.eye(3)))
