"""What-if: equal to applying the rules, and no fact is ever made twice."""

import dataclasses

import numpy as np
import pytest

from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, BadData
from workbench.mine import WhatIf, apply_rules, dense, facts, report, what_if
from workbench.rules import (
    Adaptive,
    Guide,
    Judged,
    KnownPositive,
    Margin,
    PositiveNeighbour,
    RankWindow,
    SameGroup,
    Scored,
    ShareOfPositive,
    Threshold,
)
from workbench.types import Vectors, Verdicts

QUERIES, DOCS, K = 30, 50, 9


def vectors_of(made, seed):
    random = np.random.default_rng(seed)
    return tuple(
        Vectors(
            values=random.standard_normal((len(ids), 5), dtype=np.float32), ids=ids, encoder="e"
        )
        for ids in (made.query_ids, made.doc_ids)
    )


@pytest.fixture
def world(collection_of):
    random = np.random.default_rng(1)
    grades = {(query, int(doc)): 1 for query in range(QUERIES - 1)
              for doc in random.choice(DOCS, 2, replace=False)}  # fmt: skip
    made = collection_of(grades, queries=QUERIES, docs=DOCS, doc_groups=np.arange(DOCS) // 2)
    found = dense(made, *vectors_of(made, 0), k=K, exclude="labelled")
    said = Verdicts.of([("q0", f"d{found.docs[0, 0]}", "positive")], judge="me")
    other = {"other": lambda queries, docs: np.sin(queries[:, None] + 3.0 * docs)}
    return made, found, {"guide": vectors_of(made, 2), "verdicts": said, "scores": other}


RULES = [
    Guide(margin=0.2), Guide(margin=0.2, relative=True), PositiveNeighbour(threshold=0.5),
    KnownPositive(), Judged(), SameGroup(), ShareOfPositive(share=0.8), Margin(margin=0.3),
    Adaptive(sigmas=0.5), Threshold(at_most=1.5), RankWindow(first=2, last=7),
    Scored(fact="other", margin=0.1),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("cells", [1, 40, 10**6])
def test_it_equals_apply_rules(world, cells, monkeypatch):
    made, found, given = world
    monkeypatch.setattr(what_if, "CELLS", cells)
    monkeypatch.setattr(facts, "GATHERED", 4 * K * 5 * 7)
    tried = WhatIf(found, collection=made, **given)
    for rules in ([], *([rule] for rule in RULES), RULES[:4], RULES):
        wanted = apply_rules(found, rules, collection=made, **given)
        result = tried(rules)
        assert not rules or wanted.recipe["dropped"] > 0
        np.testing.assert_array_equal(result.weight, wanted.weight)
        assert result.recipe == wanted.recipe
    assert tried(RULES).fingerprint == wanted.fingerprint


def test_no_fact_is_made_twice(world, monkeypatch):
    made, found, given = world
    rows = []
    real = facts.ListFacts._cells

    def watched(self, some):
        rows.append(some.stop - some.start)
        return real(self, some)

    gathered = []
    unit = facts.Unit.__call__

    def counted(self, places):
        gathered.append(1)
        return unit(self, places)

    monkeypatch.setattr(facts.ListFacts, "_cells", watched)
    monkeypatch.setattr(facts.Unit, "__call__", counted)
    tried = WhatIf(found, collection=made, **given)
    assert not rows, "made before anybody asked"
    tried(RULES)
    assert sum(rows) == QUERIES
    once = len(gathered)
    for margin in np.linspace(-0.5, 0.5, 20):
        tried([Guide(margin=float(margin)), PositiveNeighbour(threshold=0.4), Margin(margin=0.1)])
    swept = tried.sweep(ShareOfPositive(), "share", [0.5, 0.9], also=RULES)
    assert swept["share"].tolist() == [0.5, 0.9]  # an option may be called like what is counted
    assert sum(rows) == QUERIES
    assert len(gathered) == once


def test_memory_is_four_bytes_a_cell_and_told(world):
    made, found, given = world
    tried = WhatIf(found, collection=made, **given)
    assert tried.memory == 0
    tried([Guide(), KnownPositive()])
    assert tried.memory == QUERIES * K * 4 + QUERIES * 4 + QUERIES * K
    assert repr(tried).endswith("facts: guide, guide_positive, known, 0.0 MB)")


def test_sweep_is_a_row_per_value(world):
    made, found, given = world
    tried = WhatIf(found, collection=made, **given)
    truth = KnownPositives.of(made).paired(np.arange(QUERIES), found.docs)
    margins = [-0.2, 0.0, 0.2, 0.4]
    table = tried.sweep(
        Guide(relative=True), "margin", margins,
        also=[RankWindow(last=6)], num_negatives=3, truth=truth,
    )  # fmt: skip
    assert table["margin"].tolist() == margins
    assert table["dropped"].is_monotonic_increasing
    for margin, row in zip(margins, table.itertuples(), strict=True):
        rules = [Guide(margin=margin, relative=True), RankWindow(last=6)]
        wanted = apply_rules(found, rules, collection=made, **given)
        kept = (wanted.weight > 0).sum(axis=1)
        assert (row.kept, row.short) == (kept.sum(), (kept < 3).sum())
        assert row.dropped == report(wanted)["dropped"].iloc[-1]
        assert row.dropped + row.kept == (found.docs >= 0).sum()
        dropped = wanted.weight == 0
        hits = (dropped & truth).sum()
        np.testing.assert_allclose(row.recall, hits / truth.sum())
        np.testing.assert_allclose(row.precision, hits / dropped.sum())
    assert 0 < table["dropped_share"].iloc[0] < 1


def test_wording(world, collection_of):
    found = world[1]
    tried = WhatIf(found)
    with pytest.raises(BadArgument, match=r"needs guide, which was not given. Pass guide="):
        tried([Guide()])
    with pytest.raises(BadArgument, match=r"each entry must be a rule object"):
        tried.sweep(Guide, "margin", [0.1])
    with pytest.raises(BadArgument, match=r"`option` is 'margn', .* Did you mean 'margin'"):
        tried.sweep(Margin(), "margn", [0.1])
    with pytest.raises(BadArgument, match=r"`margin` is nan"):
        tried.sweep(Margin(), "margin", [0.1, float("nan")])
    with pytest.raises(BadArgument, match=r"`num_negatives` is 0"):
        tried.sweep(Margin(), "margin", [0.1], num_negatives=0)
    other = collection_of({(0, 0): 1}, queries=2, docs=2)
    with pytest.raises(BadData, match=r"30 ids where 2 are wanted"):
        WhatIf(found, collection=other)

    class Bare:
        needs = ("score",)

        def __call__(self, cells):
            return cells["score"] * 0

    with pytest.raises(BadArgument, match=r"it must be a dataclass with options"):
        tried.sweep(Bare(), "margin", [0.1])
    assert not dataclasses.is_dataclass(Bare)
    assert (tried([Bare()]).weight == 0).all()
