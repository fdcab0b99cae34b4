"""Splits and what leaks past them: fields, chains, and what a leak does to a figure."""

import numpy as np
import pytest

from workbench.audit import leaks
from workbench.data import from_rows, split, with_groups
from workbench.data.sets import take
from workbench.data.worlds.copied_texts import copied_texts
from workbench.errors import BadArgument, BadData

FILE = "open the file and read every line of it into a list"


def test_a_query_that_is_a_document_elsewhere_stays_on_one_side():
    rows = [
        {"query": "first", "positive": "how  to read", "source": "one"},
        {"query": "how to read", "positive": FILE, "source": "two"},
        {"query": "second", "positive": "other", "source": "two"},
        {"query": "third", "positive": "first", "source": "two"},
        {"query": "third", "positive": "more", "source": "two"},
    ]
    sides = split(from_rows(rows), test=["one"])
    assert sides["test"].query_texts == ["first"]
    assert sides["train"].query_texts == ["second", "third"]
    assert sides["train"].doc_texts == [FILE, "other", "more"]
    dropped = sides["train"].recipe["split"]
    assert dropped["queries_duplicated_elsewhere"] == 1
    assert dropped["docs_duplicated_elsewhere"] == 1
    assert leaks(sides["test"], sides["train"]).share() == {"query": 0.0, "doc": 0.0}


@pytest.mark.parametrize("seed", range(6))
def test_by_group_fields_are_tied_too(seed):
    rows = [{"query": f"a{n}", "positive": f"b{n}"} for n in range(20)]
    rows += [{"query": f"b{n}", "positive": f"c{n}"} for n in range(20)]
    sides = split(from_rows(rows), test=0.4, seed=seed)
    assert len(sides["test"].queries) == 16
    for name, number in (("test", 8), ("train", 12)):
        assert len({text[1:] for text in sides[name].query_texts}) == number
    assert leaks(sides["test"], sides["train"]).share() == {"query": 0.0, "doc": 0.0}


def test_empty_documents_are_not_the_same():
    from datasets import Dataset

    from workbench.types import Collection

    whole = from_rows([{"query": f"q{n}", "positive": f"d{n}"} for n in range(10)])
    blank = Dataset.from_dict({**whole.corpus.to_dict(), "text": [""] * 10})
    same = Collection(
        name="blank",
        queries=whole.queries,
        corpus=blank,
        qrels=whole.qrels,
        query_groups=whole.query_groups,
        doc_groups=whole.doc_groups,
    )
    assert len(split(same, test=0.3)["test"].queries) == 3


def chain(count=40):
    """Texts of which each is a near-copy of the next."""
    words = [f"w{n}" for n in range(4 * count + 60)]
    return [" ".join(words[4 * n : 4 * n + 60]) for n in range(count)]


def test_a_chain_that_swallows_the_collection_is_refused_and_said():
    rows = [{"query": f"ask {n}", "positive": text} for n, text in enumerate(chain())]
    rows += [{"query": f"odd {n}", "positive": f"other {n}"} for n in range(10)]
    whole = with_groups(from_rows(rows))
    assert len(set(whole.doc_groups.tolist())) == 11
    with pytest.raises(BadData, match="40 of 50 queries are tied together, more than 50%") as said:
        split(whole, test=0.2)
    assert "the largest group among them has 40 texts that count as the same" in str(said.value)
    assert "the busiest document among them answers 1 queries" in str(said.value)
    allowed = split(whole, test=0.2, largest=1)
    assert [text[:3] for text in allowed["test"].query_texts] == ["odd"] * 10
    # A tighter threshold cuts the chain.
    tighter = with_groups(from_rows(rows), doc_threshold=0.95)
    assert len(split(tighter, test=0.2)["test"].queries) == 10


def test_a_document_that_answers_everything_is_named():
    rows = [{"query": f"q{n}", "positive": "the same"} for n in range(9)]
    with pytest.raises(BadData, match="the busiest document among them answers 9 queries"):
        split(from_rows(rows), test=0.3)
    assert split(from_rows([*rows[:1], {"query": "x", "positive": "y"}]), test=0.5)


def nearest_accuracy(train, test):
    """Share of test texts whose most similar training text has their label."""
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(token_pattern=r"\S+")
    known = counter.fit_transform(train[0])
    asked = counter.transform(test[0])
    nearest = np.asarray((asked @ known.T).argmax(axis=1)).ravel()
    return float((train[1][nearest] == test[1]).mean())


@pytest.mark.parametrize(
    ("seeds", "within"), [(4, 0.1), pytest.param(20, 0.04, marks=pytest.mark.slow)]
)
def test_a_split_that_leaks_rewards_memory(seeds, within):
    """ReVeal: labels are random, so any accuracy above one half is what a split lets through."""
    naive, apart, seen = [], [], []
    for seed in range(seeds):
        world = copied_texts(seed=seed)
        texts = np.array(world.texts, dtype=object)
        order = np.random.default_rng(1000 + seed).permutation(len(texts))
        cut = len(texts) // 5
        naive.append(
            nearest_accuracy(
                (texts[order[cut:]], world.labels[order[cut:]]),
                (texts[order[:cut]], world.labels[order[:cut]]),
            )
        )
        whole = world.collection()
        sides = split(with_groups(whole, query_threshold=0.8), test=0.2, seed=seed)
        parts = []
        for name in ("train", "test"):
            places = np.array([int(text.split("row ")[1]) for text in sides[name].doc_texts])
            parts.append((texts[places], world.labels[places]))
        apart.append(nearest_accuracy(*parts))
        if seed < 2:
            seen.append(leaks(sides["test"], sides["train"], query_threshold=0.8).leaked("query"))
            naively = [
                take(whole, queries=rows, docs=rows, name=name, recipe={})
                for name, rows in (("test", order[:cut]), ("train", order[cut:]))
            ]
            assert leaks(*naively, query_threshold=0.8).share()["query"] >= 0.4
    assert np.mean(naive) >= 0.65
    assert abs(np.mean(apart) - 0.5) <= within
    assert seen == [0] * 2


def test_wrong_world_options_are_named():
    with pytest.raises(BadArgument, match="`texts` is 3, but it must be a whole number >= 10"):
        copied_texts(texts=3)
    with pytest.raises(BadArgument, match="`copies` is 1, but it must be < 1"):
        copied_texts(copies=1)
