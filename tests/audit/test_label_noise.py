"""Confident learning on classes and on pairs: gold numbers, cleanlab itself, planted worlds."""

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

from workbench.audit.label_noise import FILTERS, label_issues, label_noise, out_of_fold
from workbench.audit.pair_noise import FEATURES, pair_features, pair_label_issues, pool
from workbench.data.worlds.confused_classes import confused_classes
from workbench.errors import BadArgument, BadData
from workbench.types import Vectors


@pytest.fixture
def gold(shared):
    cases = json.loads((shared / "gold" / "noise.json").read_text())
    (case,) = [c for c in cases if c["method"] == "ConfidentLearning"]
    return case


@pytest.mark.shared
def test_gold_two_classes(gold):
    labels, chances = (np.array(gold["inputs"][name]) for name in ("labels", "pred_probs"))
    wanted, near = gold["expected"], {"atol": gold["tolerance"]}
    found = label_noise(labels, chances)
    np.testing.assert_allclose(found.thresholds, wanted["thresholds"], **near)
    assert found.counts.tolist() == wanted["confident_joint"]
    np.testing.assert_allclose(found.joint, wanted["joint"], **near)
    assert found.wrong == pytest.approx(0.25)
    np.testing.assert_allclose(found.given_for_true, [[2 / 3, 0], [1 / 3, 1]], atol=1e-9)
    np.testing.assert_allclose(found.true_for_given, [[1, 0], [0.5, 0.5]], atol=1e-9)
    for name, rows in wanted["issues"].items():
        frame = label_issues(labels, chances, filter_by=name).sort_values("id")
        assert frame.id[frame.issue].tolist() == rows, name
        np.testing.assert_allclose(frame.score, wanted["normalized_margin"], **near)
        np.testing.assert_allclose(frame.probability, wanted["self_confidence"], **near)


def counted(labels, chances):
    """The confident counts, row by row."""
    kinds = range(chances.shape[1])
    bounds = [chances[labels == kind, kind].mean() for kind in kinds]
    table = np.zeros((len(kinds), len(kinds)), dtype=int)
    for said, row in zip(labels, chances, strict=True):
        passing = [kind for kind in kinds if row[kind] >= bounds[kind] - 1e-6]
        if passing:
            table[said, max(passing, key=lambda kind: row[kind])] += 1
    return table


def test_counts_are_those_of_the_definition():
    world = confused_classes(rows=300)
    chances = out_of_fold(world.points, world.labels)
    found = label_noise(world.labels, chances)
    assert found.counts.tolist() == counted(world.labels, chances).tolist()
    assert found.joint.sum() == pytest.approx(1)
    np.testing.assert_allclose(found.given_for_true.sum(axis=0), 1)
    np.testing.assert_allclose(found.true_for_given.sum(axis=1), 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILTERS)
def test_issues_are_those_of_cleanlab(name):
    from cleanlab.filter import find_label_issues

    world = confused_classes(rows=400)
    chances = out_of_fold(world.points, world.labels)
    frame = label_issues(world.labels, chances, filter_by=name)
    theirs = find_label_issues(
        world.labels, chances, filter_by=name, return_indices_ranked_by="normalized_margin"
    )
    assert frame.id[frame.issue].tolist() == theirs.tolist()
    assert frame.score.is_monotonic_increasing
    assert (frame.suggested[frame.issue] != frame.given[frame.issue]).all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_wrong_labels_of_confused_classes_are_found(seed):
    """Dossier: AUC >= .95, matrix within .06, precision >= 5 x base and above plain argmax."""
    world = confused_classes(seed=seed)
    chances = out_of_fold(world.points, world.labels)
    wrong = ~world.clean
    found, frames = (
        label_noise(world.labels, chances),
        {
            name: label_issues(world.labels, chances, filter_by=name).sort_values("id")
            for name in ("confident_learning", "predicted_neq_given")
        },
    )
    frame = frames["confident_learning"]
    assert roc_auc_score(wrong, -frame.score) >= 0.95
    truth = np.zeros((4, 4))
    np.add.at(truth, (world.labels, world.truth), 1)
    assert np.abs(found.given_for_true - truth / truth.sum(axis=0)).mean() <= 0.06
    assert found.wrong == pytest.approx(wrong.mean(), abs=0.03)
    precise = {name: wrong[part.issue.to_numpy()].mean() for name, part in frames.items()}
    assert precise["confident_learning"] >= 5 * wrong.mean()
    assert precise["confident_learning"] >= precise["predicted_neq_given"] + 0.1
    mended = frame.suggested[frame.issue].to_numpy() == world.truth[frame.issue.to_numpy()]
    assert mended.mean() >= 0.8


@pytest.mark.slow
def test_probabilities_of_the_rows_themselves_hide_the_noise():
    world = confused_classes(rows=600)
    model = KNeighborsClassifier(1)
    inside = model.fit(world.points, world.labels).predict_proba(world.points)
    assert label_issues(world.labels, inside).issue.sum() == 0
    outside = out_of_fold(world.points, world.labels, classifier=model)
    frame = label_issues(world.labels, outside).sort_values("id")
    assert frame.issue[~world.clean].mean() > 0.5


def test_no_fold_knows_its_rows_or_their_group():
    """A classifier that remembers: within groups the labels agree, between them they are noise."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    labels = np.repeat(random.permutation(np.arange(40) % 2), 5)
    points = random.normal(size=(40, 3))[groups] + 0.01 * random.normal(size=(200, 3))
    model = KNeighborsClassifier(1)
    tied = out_of_fold(points, labels, groups=groups, classifier=model)
    loose = out_of_fold(points, labels, classifier=model)
    assert (loose.argmax(1) == labels).mean() > 0.95
    assert (tied.argmax(1) == labels).mean() < 0.75
    np.testing.assert_array_equal(
        tied, out_of_fold(points, labels, groups=groups, classifier=model)
    )


BAD_INPUTS = [
    ("label_issues", {"filter_by": "prune"}, BadArgument, "`filter_by` is 'prune'"),
    ("label_issues", {"ids": np.array(["a"], dtype=object)}, BadArgument, "there must be 4"),
    ("label_issues", {"labels": np.array([0, 1])}, BadArgument, "4 whole numbers, one per row"),
    ("label_issues", {"labels": np.array([0.0, 1, 0, 1])}, BadArgument, "4 whole numbers"),
    ("label_issues", {"labels": np.array([0, 1, 2, -1])}, BadData, "row 2: no column for label 2"),
    ("label_issues", {"pred_probs": np.full((4, 1), 1.0)}, BadArgument, "and two classes"),
    ("label_issues", {"pred_probs": np.full((4, 2), 0.4)}, BadData, "row 0 is no set of prob"),
    ("label_issues", {"pred_probs": np.full((4, 2), np.nan)}, BadData, "row 3 is no set of prob"),
    ("label_issues", {"pred_probs": np.zeros((0, 2))}, BadArgument, "at least one row"),
    ("out_of_fold", {"features": np.ones(4)}, BadArgument, r"it must be \(row, feature\)"),
    ("out_of_fold", {"features": np.zeros((0, 2))}, BadArgument, "at least one of each"),
    ("out_of_fold", {"features": np.full((4, 2), np.inf)}, BadData, "row 0 holds NaN or inf"),
    ("out_of_fold", {"labels": np.array([0, 1])}, BadArgument, "`labels` is .* 4 whole numbers"),
    ("out_of_fold", {"labels": np.array([0, -1, 0, 1])}, BadArgument, "`labels` is -1"),
    ("out_of_fold", {"labels": np.array([0, 0, 0, 0])}, BadData, "there is one class only"),
    ("out_of_fold", {"labels": np.array([0, 2, 0, 2])}, BadData, "class 1 stands in 0 of them"),
    ("out_of_fold", {"groups": np.array([0, 1])}, BadArgument, "`groups` is .* 4 whole numbers"),
    ("out_of_fold", {"groups": np.array([0, 1, 2, 1])}, BadData, "class 1 stands in 1 of them"),
    ("out_of_fold", {"folds": 1}, BadArgument, "`folds` is 1"),
    ("out_of_fold", {"seed": -1}, BadArgument, "`seed` is -1"),
    ("out_of_fold", {"classifier": LogisticRegression}, BadArgument, "with predict_proba"),
    ("out_of_fold", {"classifier": 3}, BadArgument, "with predict_proba"),
]


@pytest.mark.parametrize(("name", "changed", "error", "words"), BAD_INPUTS)
def test_bad_input_is_refused(name, changed, error, words):
    labels = np.array([0, 1, 0, 1])
    given = {"labels": labels, "pred_probs": np.full((4, 2), 0.5)}
    if name == "out_of_fold":
        given = {"features": np.arange(8.0).reshape(4, 2), "labels": labels, "folds": 2}
    with pytest.raises(error, match=words):
        {"label_issues": label_issues, "out_of_fold": out_of_fold}[name](**{**given, **changed})


def test_a_class_that_one_fold_would_hold_whole_is_refused(monkeypatch):
    class Unlucky:
        def __init__(self, *_, **__):
            pass

        def split(self, *_):
            return [(np.array([0, 2]), np.array([1, 3])), (np.array([1, 3]), np.array([0, 2]))]

    monkeypatch.setattr("sklearn.model_selection.StratifiedGroupKFold", Unlucky)
    with pytest.raises(BadArgument, match="some fold would hold all of a class"):
        out_of_fold(np.arange(4.0)[:, None], np.array([0, 1, 0, 1]), folds=2)


def test_a_class_nobody_was_given_has_no_noise():
    chances = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]])
    found = label_noise(np.array([0, 1, 0]), chances)
    assert np.isfinite(found.given_for_true).all()
    assert found.joint[2].tolist() == [0, 0, 0]


# pairs


def sides(collection, queries, docs):
    return tuple(
        Vectors(values=values.astype(np.float32), ids=ids, encoder="made")
        for values, ids in ((queries, collection.query_ids), (docs, collection.doc_ids))
    )


@pytest.fixture
def topics(collection_of):
    """60 queries on 20 topics, 5 documents per topic; one judgment in 10 is wrong."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(20, 16))
    query_topics, doc_topics = np.arange(60) % 20, np.arange(100) % 20
    queries = centres[query_topics] + 0.5 * random.normal(size=(60, 16))
    docs = centres[doc_topics] + 0.5 * random.normal(size=(100, 16))
    truth = query_topics[:, None] == doc_topics
    said = truth ^ (random.random(truth.shape) < np.where(truth, 0.2, 0.005))
    cells = {(int(q), int(d)): 1 for q, d in np.argwhere(said)}
    cells |= {(int(q), int(d)): 0 for q, d in np.argwhere(truth & ~said)[::2]}
    made = collection_of(cells, queries=60, docs=100)
    pairs = np.argwhere(np.ones_like(truth))
    return made, sides(made, queries, docs), pairs, truth, said


def slow_features(collection, vectors, pairs):
    queries, docs = (v.values / np.linalg.norm(v.values, axis=1, keepdims=True) for v in vectors)
    positives = collection.qrels.toarray() > 0
    rows = []
    for query, doc in pairs:
        near = [docs[doc] @ docs[p] for p in np.flatnonzero(positives[query]) if p != doc]
        rows.append((queries[query] @ docs[doc], max(near, default=np.nan)))
    table = np.array(rows)
    table[np.isnan(table[:, 1]), 1] = np.nanmean(table[:, 1])
    means = np.stack([table[pairs[:, 0] == query].mean(axis=0) for query, _ in pairs])
    return np.concatenate([table, table - means], axis=1)


@pytest.mark.parametrize("gathered", [2**18, 7])
def test_pair_features_are_those_of_a_loop(topics, monkeypatch, gathered):
    monkeypatch.setattr("workbench.audit.pair_noise.GATHERED", gathered)
    collection, vectors, pairs, _, _ = topics
    some = pairs[np.random.default_rng(1).permutation(len(pairs))[:500]]
    found = pair_features(collection, vectors, some)
    assert found.shape == (500, len(FEATURES))
    np.testing.assert_allclose(found, slow_features(collection, vectors, some), atol=1e-5)


def test_no_other_positive_gives_no_label_away(collection_of):
    collection = collection_of({(0, 0): 1}, queries=2, docs=2)
    vectors = sides(collection, np.eye(2), np.eye(2))
    found = pair_features(collection, vectors, np.array([[0, 0], [1, 1]]))
    assert found[:, 1].tolist() == [0, 0]
    found = pair_features(collection, vectors, np.array([[0, 0], [0, 1], [1, 1]]))
    assert found[:, 1].tolist() == [0, 0, 0]  # cos(d1, d0) is 0, and the mean of that


def test_wrong_judgments_of_pairs_are_found(topics):
    collection, vectors, pairs, truth, said = topics
    features = pair_features(collection, vectors, pairs)
    frame = pair_label_issues(collection, pairs, features)
    queries = {name: place for place, name in enumerate(collection.query_ids)}
    docs = {name: place for place, name in enumerate(collection.doc_ids)}
    places = ([queries[q] for q in frame.query_id], [docs[d] for d in frame.doc_id])
    assert len(set(zip(*places, strict=True))) == len(pairs)
    wrong = (truth != said)[places]
    assert (frame.given.to_numpy() == said[places]).all()
    stored = np.zeros(truth.shape, dtype=bool)
    matrix = collection.qrels.tocoo()
    stored[matrix.coords] = True
    assert (frame.judged.to_numpy() == stored[places]).all()
    assert roc_auc_score(wrong, -frame.score) >= 0.95
    assert wrong[frame.issue].mean() >= 20 * wrong.mean()
    assert frame.issue[wrong].mean() >= 0.5


def test_paraphrases_do_not_teach_each_other(topics, monkeypatch):
    """Folds are cut between groups of queries, not between queries."""
    collection, _, pairs, _, _ = topics
    seen = {}

    def spy(features, labels, *, groups, **options):
        seen["groups"] = groups
        return np.tile([0.5, 0.5], (len(labels), 1))

    monkeypatch.setattr("workbench.audit.pair_noise.out_of_fold", spy)
    collection.query_groups[1] = 0
    pair_label_issues(collection, pairs, np.ones((len(pairs), 1)))
    assert set(seen["groups"][pairs[:, 0] <= 1]) == {0}
    assert len(set(seen["groups"])) == 59


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        (np.array([0, 1]), "positions .query, document."),
        (np.zeros((0, 2), dtype=int), "there is none"),
        (np.array([[0.0, 1.0]]), "positions .query, document."),
        (np.array([[0, 5]]), r"`pairs` is \[0, 5\], but positions must lie inside"),
        (np.array([[-1, 0]]), "Pass positions, not ids"),
        (np.array([[0, 1], [0, 1]]), "a pair stands there twice"),
    ],
)
def test_pairs_that_are_none_are_refused(collection_of, pairs, words):
    collection = collection_of({(0, 0): 1}, queries=2, docs=3)
    with pytest.raises(BadArgument, match=words):
        pair_label_issues(collection, pairs, np.ones((len(pairs), 1)))
    with pytest.raises(BadArgument, match=words):
        pair_features(collection, sides(collection, np.eye(2, 3), np.eye(3)), pairs)


def test_an_unknown_filter_is_refused_before_any_fold(collection_of, monkeypatch):
    monkeypatch.setattr("workbench.audit.pair_noise.out_of_fold", lambda *_, **__: 1 / 0)
    collection = collection_of({(0, 0): 1}, queries=2, docs=3)
    with pytest.raises(BadArgument, match="`filter_by` is 'all'"):
        pair_label_issues(collection, np.array([[0, 0]]), np.ones((1, 1)), filter_by="all")


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_cranfields_mislabelled_sources_are_found(shared):
    """A document each query was most likely written from, judged "no interest": real errors.

    Measured on all 225 queries: AUC .908, average precision .44, base .030; 65 of 134 flagged.
    """
    from workbench.data import read_beir
    from workbench.encode import Encoder, encode_collection
    from workbench.mine import dense

    collection = read_beir(shared / "data" / "cranfield", split="train")
    encoder = Encoder.load("all-MiniLM-L6-v2", max_length=128)
    vectors = encode_collection(encoder, collection, progress=False)
    pairs = pool(dense(collection, *vectors, k=30, exclude="nothing"))
    frame = pair_label_issues(collection, pairs, pair_features(collection, vectors, pairs))
    negative = frame[frame.given == 0]
    source = negative.judged.to_numpy()  # the only zeros there are
    assert roc_auc_score(source, -negative.score) >= 0.85
    assert average_precision_score(source, -negative.score) >= 8 * source.mean()
    assert source[negative.issue].mean() >= 8 * source.mean()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rows": 0}, "`rows` is 0"),
        ({"classes": 1}, "`classes` is 1"),
        ({"dim": 0}, "`dim` is 0"),
        ({"spread": -1}, "`spread` is -1"),
        ({"seed": -1}, "`seed` is -1"),
        ({"confusion": {(0, 0): 0.1}}, "two different classes of 0..3"),
        ({"confusion": {(0, 4): 0.1}}, "two different classes of 0..3"),
        ({"confusion": {(0, 1): 1.5}}, "must sum to at most 1"),
        ({"confusion": {(0, 1): 0.6, (0, 2): 0.6}}, "must sum to at most 1"),
    ],
)
def test_a_world_that_cannot_be_is_refused(options, words):
    with pytest.raises(BadArgument, match=words.replace(".", r"\.")):
        confused_classes(**options)
