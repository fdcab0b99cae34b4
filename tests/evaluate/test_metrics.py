import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.errors import BadArgument, BadData
from workbench.evaluate import METRICS, ranking, retrieval
from workbench.evaluate import bm25 as evaluate_bm25
from workbench.types import Vectors


def by_hand(ranked, grades, metric):
    """One query, nested loops. `grades` maps document to grade; only > 0 is relevant."""
    name, cutoff = metric.split("@")
    relevant = {doc for doc, grade in grades.items() if grade > 0}
    top = ranked[: int(cutoff)]
    if name == "RR":
        return next((1 / (place + 1) for place, doc in enumerate(top) if doc in relevant), 0.0)
    if name == "R":
        return len(relevant & set(top)) / len(relevant)
    if name == "AP":
        total, found = 0.0, 0
        for place, doc in enumerate(top):
            if doc in relevant:
                found += 1
                total += found / (place + 1)
        return total / len(relevant)
    assert name == "nDCG"
    gains = [max(0, grades.get(doc, 0)) for doc in top]
    ideal = sorted((max(0, grade) for grade in grades.values()), reverse=True)[: int(cutoff)]

    def dcg(values):
        return sum(value / math.log2(place + 2) for place, value in enumerate(values))

    return dcg(gains) / dcg(ideal)


def random_judgments(random, queries, docs):
    grades = {}
    for query in range(queries):
        judged = random.choice(docs, size=int(random.integers(1, docs + 1)), replace=False)
        values = random.integers(-1, 5, len(judged))
        values[0] = max(1, values[0])
        grades |= {(query, int(doc)): int(grade) for doc, grade in zip(judged, values, strict=True)}
    return grades


@pytest.mark.slow
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 10_000), docs=st.integers(3, 25))
def test_equals_nested_loops(collection_of, seed, docs):
    random = np.random.default_rng(seed)
    grades = random_judgments(random, 4, docs)
    ranked = np.stack([random.permutation(docs) for _ in range(4)])
    metrics = ["nDCG@3", "nDCG@10", "RR@2", "RR@10", "R@3", "R@100", "AP@3", "AP@100"]
    card = ranking(collection_of(grades, queries=4, docs=docs), ranked, metrics=metrics)
    assert list(card.values) == metrics
    for metric in metrics:
        wanted = [
            by_hand(row.tolist(), {d: g for (q, d), g in grades.items() if q == query}, metric)
            for query, row in enumerate(ranked)
        ]
        np.testing.assert_allclose(card.values[metric], wanted, atol=1e-9, err_msg=metric)


def test_gain_is_linear_not_exponential(collection_of):
    made = collection_of({(0, 0): 1, (0, 1): 3}, queries=1, docs=2)
    card = ranking(made, np.array([[0, 1]]), metrics=["nDCG@10"])
    linear = (1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3))
    exponential = (1 + 7 / math.log2(3)) / (7 + 1 / math.log2(3))
    np.testing.assert_allclose(card.values["nDCG@10"], [linear])
    assert abs(linear - exponential) > 0.05


def test_order_given_is_order_scored_whatever_the_ids(collection_of):
    made = collection_of({(0, 7): 1}, queries=1, docs=12)
    for place in range(12):
        ranked = np.insert(np.delete(np.arange(12), 7), place, 7)[None, :]
        card = ranking(made, ranked, metrics=["RR@12"])
        np.testing.assert_allclose(card.values["RR@12"], [1 / (place + 1)])


def test_stored_zero_and_negative_grades_are_not_relevant(collection_of):
    made = collection_of({(0, 0): 0, (0, 1): -1, (0, 2): 2}, queries=1, docs=3)
    card = ranking(made, np.array([[0, 1, 2]]))
    values = {name: value[0] for name, value in card.values.items()}
    assert values == pytest.approx({"nDCG@10": 0.5, "RR@10": 1 / 3, "R@100": 1, "AP@100": 1 / 3})


def test_a_query_that_found_nothing_scores_zero(collection_of):
    made = collection_of({(0, 0): 1, (1, 1): 1}, queries=2, docs=2)
    card = ranking(made, np.array([[-1, -1], [1, -1]]))
    for values in card.values.values():
        np.testing.assert_array_equal(values, [0.0, 1.0])


def test_near_duplicate_of_the_answer_counts_once_and_takes_no_rank(collection_of):
    # Documents 0, 1 are copies, 2, 3 are copies; only 3 and 4 were judged relevant.
    made = collection_of({(0, 3): 1, (0, 4): 2}, queries=1, docs=6, doc_groups=[5, 5, 9, 9, 1, 2])
    ranked = np.array([[0, 1, 2, 3, 4, 5]])
    plain = ranking(made, ranked, metrics=["RR@10", "R@3", "AP@10"])
    aware = ranking(made, ranked, metrics=["RR@10", "R@2", "AP@10"], group_aware=True)
    np.testing.assert_allclose(plain.values["RR@10"], [1 / 4])
    np.testing.assert_allclose(aware.values["RR@10"], [1 / 2])  # copies of 0 hold one rank
    np.testing.assert_allclose(plain.values["R@3"], [0.0])
    np.testing.assert_allclose(aware.values["R@2"], [1 / 2])
    np.testing.assert_allclose(aware.values["AP@10"], [(1 / 2 + 2 / 3) / 2])
    assert aware.recipe["group_aware"] is True


def test_group_takes_its_best_grade(collection_of):
    made = collection_of({(0, 0): 0, (0, 1): 3, (0, 2): 1}, queries=1, docs=3, doc_groups=[0, 0, 1])
    best_first = ranking(made, np.array([[0, 2, 1]]), metrics=["nDCG@2"], group_aware=True)
    np.testing.assert_allclose(best_first.values["nDCG@2"], [1.0])


def test_group_aware_equals_plain_without_duplicates(collection_of):
    random = np.random.default_rng(1)
    made = collection_of(random_judgments(random, 5, 20), queries=5, docs=20)
    ranked = np.stack([random.permutation(20) for _ in range(5)])
    for name, values in ranking(made, ranked).values.items():
        aware = ranking(made, ranked, group_aware=True).values[name]
        np.testing.assert_allclose(values, aware, err_msg=name)


def test_retrieval_searches_deeper_where_duplicates_collapse(collection_of):
    groups = [0] * 30 + list(range(1, 11))  # 30 copies stand before the answer
    made = collection_of({(0, 39): 1}, queries=1, docs=40, doc_groups=groups)
    docs = np.linspace(1, 0.1, 40, dtype=np.float32)[:, None]
    vectors = (
        Vectors(values=np.ones((1, 1), dtype=np.float32), ids=made.query_ids, encoder="e"),
        Vectors(values=docs, ids=made.doc_ids, encoder="e"),
    )
    metrics = ["RR@5", "R@11"]
    aware = retrieval(made, *vectors, metrics=metrics, group_aware=True)
    assert aware.mean() == {"RR@5": 0.0, "R@11": 1.0}
    assert retrieval(made, *vectors, metrics=metrics).mean() == {"RR@5": 0.0, "R@11": 0.0}


def test_retrieval_equals_sorting_everything(collection_of):
    random = np.random.default_rng(2)
    grades = random_judgments(random, 6, 50)
    made = collection_of(grades, queries=6, docs=50)
    queries = random.standard_normal((6, 8), dtype=np.float32)
    docs = random.standard_normal((50, 8), dtype=np.float32)
    card = retrieval(
        made,
        Vectors(values=queries, ids=made.query_ids, encoder="e"),
        Vectors(values=docs, ids=made.doc_ids, encoder="e"),
        name="mine",
    )
    wanted = ranking(made, np.argsort(-queries @ docs.T, axis=1, kind="stable"))
    assert card.name == "mine"
    for name in METRICS:
        np.testing.assert_allclose(card.values[name], wanted.values[name])


def test_bm25_finds_the_shared_word(collection_of):
    texts = ["read the file", "write a table", "parseJSON text"]
    made = collection_of(
        {(0, 2): 1, (1, 1): 1}, queries=2, docs=3, query_texts=["json", "table"], doc_texts=texts
    )
    assert evaluate_bm25(made, metrics=["RR@10"]).mean() == {"RR@10": 1.0}
    raw = evaluate_bm25(made, metrics=["RR@10"], split_identifiers=False)
    np.testing.assert_array_equal(raw.values["RR@10"], [0.0, 1.0])


@pytest.mark.slow
def test_agrees_with_sentence_transformers_where_definitions_coincide(collection_of):
    """Binary grades and at most k relevant documents; no query is its own document."""
    import torch
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    random = np.random.default_rng(5)
    made = collection_of(
        {(q, int(d)): 1 for q in range(20) for d in random.choice(60, 4, replace=False)},
        queries=20, docs=60,
    )  # fmt: skip
    queries = random.standard_normal((20, 8), dtype=np.float32)
    docs = random.standard_normal((60, 8), dtype=np.float32)
    judged = made.frame().groupby("query_id")["doc_id"].agg(set).to_dict()
    peer = InformationRetrievalEvaluator(
        dict(zip(made.query_ids, made.query_texts, strict=True)),
        dict(zip(made.doc_ids, made.doc_texts, strict=True)),
        judged,
        mrr_at_k=[10], ndcg_at_k=[10], map_at_k=[10], precision_recall_at_k=[10],
        accuracy_at_k=[10],
        score_functions={"dot": lambda a, b: a @ b.T},
    )  # fmt: skip
    hits = torch.from_numpy(queries @ docs.T)
    ranked = [
        [{"corpus_id": made.doc_ids[doc], "score": float(row[doc])} for doc in range(60)]
        for row in hits.tolist()
    ]
    theirs = peer.compute_metrics(ranked)
    ours = retrieval(
        made,
        Vectors(values=queries, ids=made.query_ids, encoder="e"),
        Vectors(values=docs, ids=made.doc_ids, encoder="e"),
        metrics=["nDCG@10", "RR@10", "R@10", "AP@10"],
    ).mean()
    wanted = {
        "nDCG@10": theirs["ndcg@k"][10],
        "RR@10": theirs["mrr@k"][10],
        "R@10": theirs["recall@k"][10],
        "AP@10": theirs["map@k"][10],
    }
    assert ours == pytest.approx(wanted, abs=1e-9)


def test_names_are_normalised(collection_of):
    made = collection_of({(0, 0): 1}, queries=1, docs=1)
    assert list(ranking(made, np.array([[0]]), metrics=["MRR@10"]).values) == ["RR@10"]


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        (["nDGC@10"], r"`metrics` is 'nDGC@10', but ir-measures knows no such metric"),
        (["nDCG@ten"], r"`metrics` is 'nDCG@ten'"),
        (["AP"], r"it must have a cutoff. Write AP@100"),
        ("RR@10", r"it must be a list of names"),
        ([], r"it must be a list of names"),
    ],
)
def test_metric_names_are_checked(collection_of, metrics, words):
    made = collection_of({(0, 0): 1}, queries=1, docs=1)
    with pytest.raises(BadArgument, match=words):
        ranking(made, np.array([[0]]), metrics=metrics)


def test_judgments_are_checked_before_work(collection_of):
    lacking = collection_of({(0, 0): 1, (1, 0): 0}, queries=3, docs=2)
    with pytest.raises(
        BadData, match=r"2 problems:\n  query 'q1' has no relevant document\n  .*q2"
    ):
        ranking(lacking, np.zeros((3, 1), dtype=int))
    with pytest.raises(BadData, match="has no relevant document"):
        evaluate_bm25(lacking)
    fractional = collection_of({(0, 0): 0.5}, queries=1, docs=2)
    with pytest.raises(BadData, match=r"grade 0.5 is no whole number"):
        ranking(fractional, np.array([[0, 1]]))


def test_rankings_are_checked(collection_of):
    made = collection_of({(0, 0): 1}, queries=1, docs=20, doc_groups=[0] * 10 + list(range(10)))
    with pytest.raises(BadArgument, match=r"rankings must reach 10 for RR@10"):
        ranking(made, np.arange(5)[None], metrics=["RR@10"])
    with pytest.raises(BadArgument, match=r"rankings must reach 8 for RR@8"):
        ranking(made, np.arange(12)[None], metrics=["RR@8"], group_aware=True)
    with pytest.raises(BadArgument, match=r"it must have 1 rows"):
        ranking(made, np.zeros((2, 20), dtype=int))
    with pytest.raises(BadArgument, match=r"`docs` is 20, but positions are 0..19"):
        ranking(made, np.array([[20]]), metrics=["RR@1"])
    with pytest.raises(BadData, match=r"query 'q0' ranks a document twice"):
        ranking(made, np.array([[3, 3]]), metrics=["RR@2"])
    with pytest.raises(BadData, match=r"query 'q0' has a gap"):
        ranking(made, np.array([[-1, 3]]), metrics=["RR@2"])
    short = Vectors(values=np.ones((2, 2), dtype=np.float32), ids=made.doc_ids[:2], encoder="e")
    one = Vectors(values=np.ones((1, 2), dtype=np.float32), ids=made.query_ids, encoder="e")
    with pytest.raises(BadData, match=r"retrieval doc vectors has 1 problem:\n  2 ids where 20"):
        retrieval(made, one, short)
