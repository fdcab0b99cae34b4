from dataclasses import replace

import numpy as np
import pytest

from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, BadData
from workbench.mine import apply_rules, dense, dropped_against, facts, report
from workbench.rules import (
    Guide,
    Judged,
    KnownPositive,
    PositiveNeighbour,
    RankWindow,
    Threshold,
)
from workbench.types import Vectors, Verdicts

QUERIES, DOCS, K = 9, 14, 8


@pytest.fixture
def world(collection_of):
    """Nine queries (the last without a positive), duplicates, and a guide of unequal lengths."""
    random = np.random.default_rng(3)
    grades = {
        (query, int(doc)): int(grade)
        for query in range(QUERIES - 1)
        for doc, grade in zip(random.choice(DOCS, 3, replace=False), [2, 1, 0], strict=True)
    }
    groups = [0, 0, 0, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 9]
    made = collection_of(grades, queries=QUERIES, docs=DOCS, doc_groups=groups)

    def vectors(seed):
        values = np.random.default_rng(seed)
        return (
            Vectors(values=3 * values.standard_normal((QUERIES, 4), dtype=np.float32),
                    ids=made.query_ids, encoder="e"),
            Vectors(values=values.standard_normal((DOCS, 4), dtype=np.float32),
                    ids=made.doc_ids, encoder="e"),
        )  # fmt: skip

    return made, grades, dense(made, *vectors(1), k=K, exclude="labelled"), vectors(2)


def cosine(left, right):
    return float(left @ right / np.sqrt((left @ left) * (right @ right)))


def facts_by_loops(made, grades, found, guide):
    """Every fact of every found cell, one at a time."""
    rows = {}
    groups = made.doc_groups
    for query in range(QUERIES):
        own = [doc for (q, doc), grade in grades.items() if q == query and grade > 0]
        anchor = guide[0].values[query]
        weakest = min((cosine(anchor, guide[1].values[doc]) for doc in own), default=None)
        for column, doc in enumerate(found.docs[query].tolist()):
            if doc < 0:
                continue
            candidate = guide[1].values[doc]
            rows[query, column] = {
                "guide": cosine(anchor, candidate),
                "weakest": weakest,
                "neighbour": max(
                    (cosine(guide[1].values[other], candidate) for other in own), default=None
                ),
                "known": any(groups[other] == groups[doc] for other in own),
                "score": float(found.scores[query, column]),
            }
    return rows


@pytest.mark.parametrize("gathered", [1, 64 * 2**20])
@pytest.mark.parametrize(
    ("rule", "dropped"),
    [
        (Guide(margin=0.3), lambda f: f["weakest"] is not None and f["guide"] > f["weakest"] - 0.3),
        (
            Guide(margin=0.3, relative=True),
            lambda f: f["weakest"] is not None
            and f["guide"] > f["weakest"] - 0.3 * abs(f["weakest"]),
        ),
        (
            PositiveNeighbour(threshold=0.2),
            lambda f: f["neighbour"] is not None and f["neighbour"] > 0.2,
        ),
        (KnownPositive(), lambda f: f["known"]),
        (Threshold(at_most=0.5), lambda f: f["score"] > 0.5),
    ],
)  # fmt: skip
def test_every_rule_equals_loops(world, rule, dropped, gathered, monkeypatch):
    made, _, found, guide = world
    monkeypatch.setattr(facts, "GATHERED", gathered)  # one query at a time, or all
    result = apply_rules(found, [rule], collection=made, guide=guide)
    wanted = {cell: dropped(fact) for cell, fact in facts_by_loops(*world).items()}
    assert any(wanted.values())
    assert not all(wanted.values())
    for (query, column), lost in wanted.items():
        assert result.weight[query, column] == (0 if lost else 1), (query, column)
    assert (result.weight[found.docs < 0] == 0).all()
    assert result.recipe["rules"][0]["dropped"] == sum(wanted.values())


def test_rank_and_verdict_facts(world):
    found = world[2]
    first = found.docs[0]
    said = Verdicts.of(
        [
            ("q0", f"d{first[1]}", "positive"),
            ("q0", f"d{first[2]}", "positive"),
            ("q0", f"d{first[2]}", "negative"),
            ("q0", f"d{first[3]}", "unsure"),
            ("q99", "d0", "positive"),
        ],
        judge="me",
    )
    judged = apply_rules(found, [Judged()], verdicts=said)
    assert judged.weight[0].tolist() == [1, 0, 1, 1, 1, 1, 1, 1]
    assert (judged.weight[1:] == found.weight[1:]).all()
    both = apply_rules(found, [Judged(), RankWindow(last=1)], verdicts=said)
    assert both.weight[0].tolist() == [1, 0, 1, 0, 0, 0, 0, 0]  # a judged negative is kept
    guessed = apply_rules(found, [Judged(trust=False), RankWindow(last=1)], verdicts=said)
    assert guessed.weight[0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    window = apply_rules(found, [RankWindow(first=2, last=3)])
    assert window.weight[0].tolist() == [0, 1, 1, 0, 0, 0, 0, 0]


def test_rules_multiply_and_the_account_adds_up(world):
    made, _, found, guide = world
    rules = [Guide(margin=0.2), KnownPositive(), RankWindow(first=3)]
    result = apply_rules(found, rules, collection=made, guide=guide)
    single = [apply_rules(found, [rule], collection=made, guide=guide).weight for rule in rules]
    np.testing.assert_array_equal(result.weight, np.prod(single, axis=0))
    recipe = result.recipe
    lost = [(weight == 0) & (found.docs >= 0) for weight in single]
    assert [row["dropped"] for row in recipe["rules"]] == [int(one.sum()) for one in lost]
    alone = [
        int((one & ~np.any([other for other in lost if other is not one], axis=0)).sum())
        for one in lost
    ]
    assert [row["only_this"] for row in recipe["rules"]] == alone
    assert recipe["dropped"] == int(np.any(lost, axis=0).sum())
    kept = (result.weight > 0).sum(axis=1)
    assert recipe["queries_keeping_fewer_than"] == {
        str(k): int((kept < k).sum()) for k in (1, 5, 8)
    }
    again = apply_rules(
        apply_rules(found, rules[:1], collection=made, guide=guide),
        rules[1:], collection=made, guide=guide,
    )  # fmt: skip
    np.testing.assert_array_equal(again.weight, result.weight)
    assert again.recipe["dropped"] == recipe["dropped"]
    assert len(again.recipe["rules"]) == 3
    assert (found.weight == (found.docs >= 0)).all(), "the input was changed"


def test_report_and_agreement_with_the_truth(world):
    made, _, found, _ = world
    with pytest.raises(BadArgument, match=r"no rule has been applied. Call apply_rules first"):
        report(found)
    result = apply_rules(found, [KnownPositive()], collection=made)
    table = report(result)
    assert table["rule"].tolist() == ["KnownPositive()", "all together"]
    assert table["dropped"].nunique() == 1
    truth = KnownPositives.of(made).paired(np.arange(QUERIES), found.docs)
    agreement = dropped_against(result, truth)
    assert (agreement["precision"], agreement["recall"]) == (1.0, 1.0)
    assert agreement["dropped"] == truth.sum() / (found.docs >= 0).sum()
    half = truth.copy()
    half[tuple(np.argwhere(truth)[0])] = False
    hits = int(half.sum())
    assert dropped_against(result, half)["precision"] == hits / (hits + 1)
    assert np.isnan(dropped_against(found, truth)["precision"])
    with pytest.raises(BadArgument, match=r"`truth` is \(9, 2\), but its shape must be \(9, 8\)"):
        dropped_against(found, truth[:, :2])


def test_no_rule_changes_nothing_but_counts(world):
    result = apply_rules(world[2], [])
    np.testing.assert_array_equal(result.weight, world[2].weight)
    assert result.recipe["dropped"] == 0


def test_places_without_a_candidate_never_count(world):
    made, _, _, guide = world
    short = dense(made, *guide, k=DOCS, exclude="labelled")
    careless = replace(short, weight=np.ones_like(short.weight))
    result = apply_rules(careless, [RankWindow(first=1)])
    np.testing.assert_array_equal(result.weight, (short.docs >= 0).astype(np.float32))
    assert result.recipe["queries_keeping_fewer_than"][str(DOCS)] == QUERIES - 1


def test_a_query_without_a_positive_is_left_alone(world):
    made, _, found, guide = world
    rules = [Guide(margin=2), Guide(margin=2, relative=True), PositiveNeighbour(threshold=-1)]
    result = apply_rules(found, rules, collection=made, guide=guide)
    assert np.isnan(found.positive_scores[-1])
    np.testing.assert_array_equal(result.weight[-1], np.ones(K))
    assert (result.weight[:-1] == 0).all()


def test_missing_or_foreign_facts_are_refused(world, collection_of):
    made, _, found, guide = world
    with pytest.raises(BadArgument, match=r"KnownPositive\(\), but it needs known, .*Pass known="):
        apply_rules(found, [KnownPositive()])
    with pytest.raises(BadArgument, match=r"needs guide_positive"):
        apply_rules(found, [Guide()], guide=guide)
    with pytest.raises(BadArgument, match=r"needs neighbour, .*Pass guide="):
        apply_rules(found, [PositiveNeighbour()], collection=made)
    other = collection_of({(0, 0): 1}, queries=2, docs=2)
    with pytest.raises(BadData, match=r"candidates' queries has 1 problem:\n  9 ids where 2"):
        apply_rules(found, [KnownPositive()], collection=other)
    with pytest.raises(BadArgument, match=r"`known` is \(2, 2\), but it must be of \(9, 14\)"):
        apply_rules(found, [KnownPositive()], known=KnownPositives.of(other))
    with pytest.raises(BadData, match=r"guide query vectors"):
        apply_rules(found, [Guide()], collection=made, guide=(guide[1], guide[0]))


def test_gathering_is_bounded(world, monkeypatch):
    made, _, found, guide = world
    bytes_held = []
    real = facts.Unit.__call__

    def watched(self, places):
        rows = real(self, places)
        bytes_held.append(rows.nbytes)
        return rows

    monkeypatch.setattr(facts.Unit, "__call__", watched)
    monkeypatch.setattr(facts, "GATHERED", 2 * K * 4 * 4)
    apply_rules(found, [Guide(), PositiveNeighbour()], collection=made, guide=guide)
    assert max(bytes_held) == 2 * K * 4 * 4
