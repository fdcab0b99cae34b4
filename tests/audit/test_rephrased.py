"""The decontaminator: gold, the planted world, and what is never called clean."""

import json

import numpy as np
import pytest

from workbench.audit import rephrased
from workbench.audit.contamination import contamination_scores
from workbench.audit.judges import Opinion
from workbench.audit.rephrased import Rephrased, find_rephrased
from workbench.data.worlds.rephrased import rephrased_world
from workbench.errors import BadArgument, BadData
from workbench.types import Vectors


def vectors(values, prefix, encoder="guide"):
    values = np.asarray(values, dtype=np.float32)
    ids = np.array([f"{prefix}{place}" for place in range(len(values))], dtype=object)
    return Vectors(values=values, ids=ids, encoder=encoder)


class Says:
    """A judge that answers by (test position, training position)."""

    name = "stub"

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    def __call__(self, questions):
        self.asked += questions
        return [
            Opinion(
                query_id=one.query_id,
                doc_id=one.doc_id,
                label=self.answer(int(one.query_id[1:]), int(one.doc_id[1:])),
                judge=self.name,
            )
            for one in questions
        ]


@pytest.mark.shared
def test_gold_top_k_then_a_judge(shared):
    records = json.loads((shared / "gold" / "llm.json").read_text())
    case = next(one for one in records if one["method"] == "llm_decontaminator.topk_judge")
    given, expected = case["inputs"], case["expected"]
    same = {tuple(pair) for pair in given["judge_true_pairs"]}
    sides = vectors(given["test"], "t"), vectors(given["train"], "r")
    for k in given["top_k"]:
        judge = Says(lambda row, place: (row, place) in same)
        found = find_rephrased(list("abc"), list("vwxyz"), sides, judge, top_k=k, index="flat")
        assert found.contaminated.tolist() == expected[f"contaminated_k{k}"]
        assert found.share() == (pytest.approx(expected[f"fraction_k{k}"]),) * 2
        assert len(judge.asked) == 3 * k
        assert not found.unresolved.any()
    # In the record the candidates of one text are in no order of likeness.
    assert np.sort(found.near, axis=1).tolist() == np.sort(expected["topk2"], axis=1).tolist()


def judged(world, seed, sensitivity=0.95, specificity=0.98):
    """A judge that errs, always alike on one pair."""
    errs = np.random.default_rng(seed).random((len(world.test), len(world.train)))

    def answer(row, place):
        if world.copy[row] == place:
            return bool(errs[row, place] < sensitivity)
        return bool(errs[row, place] >= specificity)

    return Says(answer)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rewritten_copies_are_found_where_words_and_cosines_fail(seed):
    world = rephrased_world(seed=seed)
    truth = world.contaminated
    words = contamination_scores(world.test, world.train, n=5, tokenizer=str.split)
    assert (words["ngram_match"][truth] > 0).mean() <= 0.02
    near = (world.test_vectors @ world.train_vectors.T).max(axis=1) > 0.5
    assert near[truth].mean() >= 0.98
    by_cosine = truth[near].mean()
    sides = vectors(world.test_vectors, "t"), vectors(world.train_vectors, "r")
    found = find_rephrased(world.test, world.train, sides, judged(world, seed)).contaminated
    assert truth[found].mean() >= by_cosine + 0.25
    assert found[truth].mean() >= 0.85


def small(answer, top_k=2, **options):
    sides = vectors(np.eye(3)[:2], "t"), vectors(np.eye(3) + 0.1, "r")
    return find_rephrased(
        ["one", "two"], ["uno", "due", "tre"], sides, answer, top_k=top_k, **options
    )


def test_no_answer_is_never_clean():
    found = small(Says(lambda row, place: None if row == place else False))
    assert found.unresolved.tolist() == [True, True]
    assert not found.clean.any()
    assert found.share() == (0.0, 1.0)
    assert len(found.verdicts.labels) == 2
    # A yes settles a text even if its other candidates are open.
    found = small(Says(lambda row, place: True if row == place == 0 else None))
    assert found.contaminated.tolist() == [True, False]
    assert found.unresolved.tolist() == [False, True]
    assert "1 contaminated, 0 clean, 1 unresolved; only the top 2 seen" in repr(found)


def test_missing_and_contradicting_answers_are_unresolved():
    no = Says(lambda row, place: False)
    assert small(lambda asked: no(asked)[1:]).unresolved.tolist() == [True, False]
    yes = Says(lambda row, place: True)
    both = small(lambda asked: no(asked) + yes(asked[:1]))
    assert both.unresolved.tolist() == [True, False]
    assert both.clean.tolist() == [False, True]
    assert small(lambda asked: no(asked) + no(asked)[::-1]).clean.all()


def test_a_place_that_the_search_left_empty_is_not_asked_about(monkeypatch):
    def short(ours, theirs, **_options):
        return np.float32([[0.9, -np.inf], [0.8, 0.7]]), np.array([[0, -1], [1, 0]]), {}

    monkeypatch.setattr(rephrased, "nearest", short)
    no = Says(lambda row, place: False)
    found = small(no)
    assert [one.doc_id for one in no.asked] == ["r0", "r1", "r0"]
    assert found.unresolved.tolist() == [True, False]
    assert found.frame()["test_id"].tolist() == ["t0", "t1", "t1"]


def test_the_frame_has_one_row_per_pair_asked():
    found = small(Says(lambda row, place: row == place))
    frame = found.frame()
    assert frame["test_id"].tolist() == ["t0", "t0", "t1", "t1"]
    assert frame["rank"].tolist() == [1, 2, 1, 2]
    assert frame["said"].tolist() == ["same", "other", "same", "other"]
    assert (np.diff(found.similarity, axis=1) <= 0).all()
    assert len(small(Says(lambda row, place: False), top_k=50).frame()) == 6
    assert isinstance(found, Rephrased)


no = Says(lambda row, place: False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"top_k": 0}, "`top_k` is 0"),
        ({"not_from": "guide"}, "`vectors` is 'guide', but an encoder must not audit its own"),
        ({"test": ["a"]}, "`test` is 1, but there must be one text for each of 2 vectors"),
        ({"test": "ab"}, "`test` is 'ab', but it must be a list of strings"),
        (
            {"test": [], "vectors": (vectors(np.empty((0, 2)), "t"), vectors(np.eye(2), "r"))},
            r"`test` is \[\], but it must hold at least one text",
        ),
        (
            {"vectors": (vectors(np.eye(2), "t"), vectors(np.eye(2), "r", "other"))},
            r"`train` is \('other', 0\), but its encoder must be that of `test`",
        ),
        ({"judge": lambda asked: None}, "`judge` is None, but it must give a list of Opinion"),
        ({"judge": lambda asked: [True]}, r"`judge` is \[True\], but it must give a list"),
    ],
)
def test_wrong_options_are_named(options, said):
    sides = vectors(np.eye(2), "t"), vectors(np.eye(2), "r")
    given = {"test": ["a", "b"], "train": ["c", "d"], "vectors": sides, "judge": no, **options}
    with pytest.raises(BadArgument, match=said):
        find_rephrased(**given)


def test_wrong_data_is_named():
    sides = vectors(np.eye(2), "t"), vectors(np.eye(2), "r")
    twice = Vectors(values=np.eye(2, dtype=np.float32), encoder="guide",
                    ids=np.array(["x", "x"], dtype=object))  # fmt: skip
    with pytest.raises(BadData, match="id 'x' stands twice"):
        find_rephrased(["a", "b"], ["c", "d"], (sides[0], twice), no)
    broken = vectors([[np.nan, 1.0], [0.0, 1.0]], "t")
    with pytest.raises(BadData, match="row 0 holds NaN"):
        find_rephrased(["a", "b"], ["c", "d"], (broken, sides[1]), no)
    stray = Opinion(query_id="t0", doc_id="nowhere", label=True, judge="stub")
    with pytest.raises(BadData, match=r"an opinion on \('t0', 'nowhere'\), which was not asked"):
        find_rephrased(["a", "b"], ["c", "d"], sides, lambda asked: [stray])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"test": 1}, "`test` is 1, but it must be a whole number >= 2"),
        ({"train": 10}, "`train` is 10, but it must be a whole number >= 200"),
        ({"dim": 1}, "`dim` is 1"),
        ({"noise": -0.1}, "`noise` is -0.1"),
        ({"seed": -1}, "`seed` is -1"),
    ],
)
def test_wrong_rephrased_options_are_named(options, said):
    with pytest.raises(BadArgument, match=said):
        rephrased_world(**options)
