"""One protocol for people, rules and cross-encoders; nothing unresolved becomes a label."""

import json
import subprocess
import sys

import numpy as np
import pytest

from workbench.audit.judges import (
    CrossEncoderJudge,
    HumanJudge,
    Judge,
    Opinion,
    Question,
    RuleJudge,
    questions,
    to_verdicts,
)
from workbench.errors import BadArgument, BadData
from workbench.mine import apply_rules, bm25
from workbench.rules import RankWindow
from workbench.types import Verdicts


@pytest.fixture
def world(collection_of):
    """q0 has positives d0, d1, d2 of which d1 says the same as d3; q1 has d4; q2 has none."""
    return collection_of(
        {(0, 0): 1, (0, 1): 2, (0, 2): 1, (0, 5): 0, (1, 4): 1},
        queries=3,
        docs=6,
        query_texts=["add two", "sub two", "mul"],
        doc_texts=["a + b", "sum of two", "plus two", "sum of two", "a - b two", "a * b"],
    )


class Longest:
    """Scores a document by its length."""

    def __init__(self, scores=None):
        self.given = scores
        self.asked = []

    def scores(self, queries, docs):
        self.asked += zip(queries, docs, strict=True)
        return np.array([len(doc) for doc in docs]) if self.given is None else self.given


def test_questions_by_place_and_by_id_are_the_same(world):
    pairs = np.array([[0, 4], [1, 0], [0, 4], [2, 5]])
    asked = questions(world, pairs)
    names = [("q0", "d4"), ("q1", "d0"), ("q0", "d4"), ("q2", "d5")]
    assert [one.pair for one in asked] == names
    for given in (names, [list(one) for one in names], np.array(names, dtype=object)):
        assert questions(world, given) == asked
    assert asked[0] == Question(
        query_id="q0",
        doc_id="d4",
        query="add two",
        doc="a - b two",
        positives=("a + b", "sum of two", "plus two"),
    )
    assert asked[1].positives == ("a - b two",)
    assert asked[3].positives == ()
    assert questions(world, pairs.astype(np.int32)) == asked
    assert questions(world, []) == []
    assert questions(world, np.empty((0, 2), dtype=np.int64)) == []


def test_a_candidate_is_never_compared_with_itself(world):
    itself, twin = questions(world, np.array([[0, 1], [0, 3]]))
    assert itself.positives == twin.positives == ("a + b", "plus two")
    one, none = (questions(world, [("q0", "d4")], most_positives=most)[0] for most in (1, 0))
    assert one.positives == ("a + b",)
    assert none.positives == ()


def test_questions_read_only_the_rows_they_ask_about(world, monkeypatch):
    def refuse(self):
        raise AssertionError("the whole corpus was read")

    monkeypatch.setattr(type(world), "doc_texts", property(refuse))
    monkeypatch.setattr(type(world), "query_texts", property(refuse))
    assert questions(world, np.array([[0, 5]]))[0].doc == "a * b"


@pytest.mark.parametrize(
    ("pairs", "match"),
    [
        (np.array([0, 1]), r"`pairs` is \(2,\), but its shape must be \(n, 2\)"),
        (np.array([[0, 6]]), r"`pairs` is \[0, 6\], but the document must be in 0\.\.5"),
        (np.array([[-1, 0]]), r"`pairs` is \[-1, 0\], but the query must be in 0\.\.2"),
        ([("q0", "d9")], "`pairs` is 'd9', but the collection 'made' has no such id"),
        ([("q9", "d0")], "`pairs` is 'q9', but the collection 'made' has no such id"),
    ],
)
def test_pairs_that_are_not_there_are_refused(world, pairs, match):
    with pytest.raises(BadArgument, match=match):
        questions(world, pairs)


def test_ids_that_stand_twice_are_refused_only_where_ids_are_given(world):
    from dataclasses import replace

    from datasets import Dataset

    twice = Dataset.from_dict(
        {**world.corpus.to_dict(), "id": ["d0", "d0", "d2", "d3", "d4", "d5"]}
    )
    broken = replace(world, corpus=twice)
    with pytest.raises(BadData, match="corpus has 1 problem:\n  id 'd0' stands twice"):
        questions(broken, [("q0", "d5")])
    assert questions(broken, np.array([[0, 5]]))[0].doc == "a * b"


def test_only_what_is_resolved_becomes_a_verdict():
    labels = [True, None, False, None, True]
    said = [
        Opinion(query_id="q", doc_id=str(doc), label=label, judge=f"j{doc}")
        for doc, label in enumerate(labels)
    ]
    verdicts = to_verdicts(said)
    assert verdicts.labels.tolist() == ["positive", "negative", "positive"]
    assert verdicts.doc_ids.tolist() == ["0", "2", "4"]
    assert verdicts.judges.tolist() == ["j0", "j2", "j4"]
    assert to_verdicts([]).newest() == {}
    assert to_verdicts(said[1:2]).newest() == {}


def test_a_rule_calls_positive_what_it_dropped(world):
    found = bm25(world, k=3, exclude="labelled")
    dropped = apply_rules(found, [RankWindow(first=2)])
    judge = RuleJudge(candidates=dropped, name="window")
    pairs = [(q, d) for q in range(3) for d in range(6)]
    asked = questions(world, np.array(pairs))
    foreign = Question(query_id="elsewhere", doc_id="d0", query="", doc="")
    opinions = judge([*asked, foreign])
    wanted = {}
    for row, column in zip(*np.nonzero(found.docs >= 0), strict=True):
        wanted[row, found.docs[row, column]] = bool(dropped.weight[row, column] <= 0)
    assert set(wanted.values()) == {True, False}
    assert [one.label for one in opinions] == [wanted.get(pair) for pair in pairs] + [None]
    assert {one.score for one in opinions} == {0.0, 1.0, None}
    assert opinions[-1].note == "not in the mined list"
    assert {one.judge for one in opinions} == {"window"}
    assert judge([]) == []


def test_trust_between_keep_and_drop_is_no_positive(world):
    from dataclasses import replace

    found = bm25(world, k=2, exclude="labelled")
    half = replace(found, weight=np.where(found.docs >= 0, np.float32(0.25), np.float32(0)))
    row, column = np.argwhere(found.docs >= 0)[0]
    asked = questions(world, np.array([[row, found.docs[row, column]]]))
    opinion = RuleJudge(candidates=half)(asked)[0]
    assert (opinion.label, opinion.score) == (False, 0.75)


def test_a_cross_encoder_is_held_against_its_threshold(world):
    scorer = Longest()
    asked = questions(world, np.array([[0, 0], [1, 4]]))
    judge = CrossEncoderJudge(scorer=scorer, threshold=9)
    assert [one.label for one in judge(asked)] == [False, True]  # at the threshold = positive
    assert [one.score for one in judge(asked)] == [5.0, 9.0]
    assert scorer.asked[:2] == [("add two", "a + b"), ("sub two", "a - b two")]
    lame = CrossEncoderJudge(scorer=Longest(np.array([np.nan, np.inf])), threshold=0)
    assert [(one.label, one.score) for one in lame(asked)] == [(None, None)] * 2
    assert CrossEncoderJudge(scorer=scorer, threshold=0)([]) == []
    for wrong in (np.zeros(3), np.zeros((2, 1)), 0.0):
        with pytest.raises(BadArgument, match=r"`scorer` is .*2 pairs need as many scores"):
            CrossEncoderJudge(scorer=Longest(wrong), threshold=0)(asked)


def test_a_person_says_what_was_said_last_and_nothing_else(world):
    rows = [("q0", "d0", "negative"), ("q0", "d0", "positive"), ("q0", "d1", "unsure"),
            ("q0", "d2", "skip"), ("q1", "d0", "negative")]  # fmt: skip
    asked = questions(world, [("q0", "d0"), ("q0", "d1"), ("q0", "d2"), ("q1", "d0"), ("q1", "d1")])
    said = HumanJudge(said=Verdicts.of(rows, judge="ann"))(asked)
    assert [one.label for one in said] == [True, None, None, False, None]
    assert [one.note for one in said][1:3] == ["unsure", "skip"]
    assert said[-1].note == "never judged"
    assert len(to_verdicts(said).labels) == 2


def test_a_person_can_be_one_of_several():
    asked = [Question(query_id="q", doc_id="d", query="", doc="")]
    ann, bob = (Verdicts.of([("q", "d", label)], judge=who)
                for label, who in (("positive", "ann"), ("negative", "bob")))  # fmt: skip
    columns = ("query_ids", "doc_ids", "labels", "judges")
    both = Verdicts(**{n: np.concatenate([getattr(ann, n), getattr(bob, n)]) for n in columns})

    class Store:
        def __init__(self):
            self.asked = []

        def verdicts(self, judge=None):
            self.asked.append(judge)
            return both if judge is None else {"ann": ann, "bob": bob}[judge]

    for said in (both, Store()):
        labels = [HumanJudge(said=said, judge=who)(asked)[0].label for who in (None, "ann", "bob")]
        assert labels == [False, True, False]
    with pytest.raises(BadArgument, match="`judge` is 'eve', but it must be one of ann, bob"):
        HumanJudge(said=both, judge="eve")
    assert HumanJudge(said=Verdicts.of([], judge="ann"), judge="ann")(asked)[0].label is None
    store = Store()
    HumanJudge(said=store, judge="ann")(asked)
    assert store.asked == ["ann"]


def test_every_judge_keeps_the_protocol(world):
    judges = [
        RuleJudge(candidates=bm25(world, k=2)),
        CrossEncoderJudge(scorer=Longest(), threshold=0),
        HumanJudge(said=Verdicts.of([], judge="ann")),
    ]
    asked = questions(world, np.array([[2, 5], [0, 4], [0, 4]]))
    for judge in judges:
        assert isinstance(judge, Judge)
        assert judge.name
        assert [(one.query_id, one.doc_id) for one in judge(asked)] == [one.pair for one in asked]
        assert {one.judge for one in judge(asked)} == {judge.name}


# What is of a wrong kind altogether; the tests' own type checker would speak first.
WRONG = """
import json, tempfile
import numpy as np
from workbench.audit import JudgmentStore, agreement, ballots, measured, to_parquet, to_trec
from workbench.audit import JudgedSample, relabelled, trusted
from workbench.audit.judges import *
from workbench.data import from_rows
from workbench.mine import bm25
from workbench.types import Verdicts
demo = from_rows([{"query": "a", "positive": "b"}], name="demo")
said_by_ann = Verdicts.of([], judge="ann")
judge = HumanJudge(said=said_by_ann)
mined = bm25(demo, k=1, exclude="nothing")
folder = tempfile.mkdtemp()
store = JudgmentStore(f"{folder}/a.sqlite", demo, judge="ann")
class Scorer:
    def scores(self, queries, docs): return np.zeros(len(docs))
def question(**given):
    return Question(**{"query_id": "q", "doc_id": "d", "query": "", "doc": "", **given})
def opinion(**given):
    return Opinion(**{"query_id": "q", "doc_id": "d", "label": None, "judge": "me", **given})
cases = {
    "id": lambda: question(query_id=1), "text": lambda: question(doc=None),
    "positives": lambda: question(positives=["x"]), "positive": lambda: question(positives=(1,)),
    "label": lambda: opinion(label="positive"), "number": lambda: opinion(label=1),
    "score": lambda: opinion(score=float("nan")), "judge": lambda: opinion(judge=" "),
    "pairs": lambda: questions(demo, "ab"), "pair": lambda: questions(demo, [("q", 1)]),
    "triple": lambda: questions(demo, [("q", "d", "x")]), "none": lambda: questions(demo, None),
    "floats": lambda: questions(demo, np.zeros((1, 2))),
    "most": lambda: questions(demo, [], most_positives=-1),
    "questions": lambda: judge("q"), "question": lambda: judge([("q", "d")]),
    "opinions": lambda: to_verdicts([("q", "d", "positive")]),
    "said": lambda: HumanJudge(said={}), "store type": lambda: HumanJudge(said=Verdicts),
    "name": lambda: HumanJudge(said=Verdicts.of([], judge="a"), name=""),
    "list": lambda: RuleJudge(candidates=None),
    "vote": lambda: ballots(demo), "agree": lambda: agreement(demo),
    "out": lambda: to_trec("qrels", demo), "swapped": lambda: to_parquet(said_by_ann, "a.parquet"),
    "people": lambda: measured([opinion()], demo), "machine": lambda: measured([1], said_by_ann),
    "add": lambda: store.add([opinion()]), "place": lambda: JudgmentStore(None, demo),
    "judged": lambda: JudgmentStore(f"{folder}/b.sqlite", "demo"),
    "rule name": lambda: RuleJudge(candidates=mined, name=None),
    "scorer": lambda: CrossEncoderJudge(scorer=len, threshold=0),
    "scorer type": lambda: CrossEncoderJudge(scorer=Scorer, threshold=0),
    "threshold": lambda: CrossEncoderJudge(scorer=Scorer(), threshold="0"),
    "labels": lambda: relabelled(demo, store), "trust": lambda: trusted(mined, store),
    "sample": lambda: JudgedSample.of(mined, store),
}
said = {}
for name, case in cases.items():
    try:
        case()
        said[name] = "nothing"
    except Exception as error:
        said[name] = f"{type(error).__name__}: {error}"
print(json.dumps(said))
"""


@pytest.mark.slow
def test_wrong_kinds_are_refused_with_the_mend():
    done = subprocess.run([sys.executable, "-c", WRONG], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    wanted = {
        "id": "`query_id` is 1, but it must be a string",
        "text": "`doc` is None, but it must be a string",
        "positives": "`positives` is ['x'], but it must be a tuple of texts",
        "positive": "`positives` is 1, but it must be a string",
        "label": "`label` is 'positive', but it must be True, False or None",
        "number": "`label` is 1, but it must be True, False or None",
        "score": "`score` is nan, but it must be a finite number",
        "judge": "`judge` is ' ', but it must be a word",
        "pairs": "`pairs` is 'str', but it must be a list of pairs",
        "pair": "`pairs` is ('q', 1), but each must be (query id, document id)",
        "triple": "`pairs` is ('q', 'd', 'x'), but each must be (query id, document id)",
        "none": "`pairs` is 'NoneType', but it must be a list of pairs",
        "floats": "`pairs` is [0.0, 0.0], but each must be (query id, document id)",
        "most": "`most_positives` is -1, but it must be a whole number >= 0",
        "questions": "`questions` is 'q', but it must be a list of Question",
        "question": "`questions` is ('q', 'd'), but each must be a Question",
        "opinions": "`opinions` is ('q', 'd', 'positive'), but each must be an Opinion",
        "said": "`said` is 'dict', but it must be Verdicts or a JudgmentStore",
        "store type": "`said` is 'type', but it must be Verdicts or a JudgmentStore",
        "name": "`name` is '', but it must be a word",
        "list": "`candidates` is 'NoneType', but it must be Candidates",
        "vote": "`verdicts` is 'Collection', but it must be Verdicts. Call store.verdicts()",
        "agree": "`verdicts` is 'Collection', but it must be Verdicts",
        "out": "`verdicts` is 'Collection', but it must be Verdicts",
        "swapped": "`path` is Verdicts(",
        "people": "`verdicts` is 'Collection', but it must be Verdicts",
        "machine": "`opinions` is 1, but each must be an Opinion",
        "add": "`verdicts` is 'list', but it must be Verdicts. Call store.verdicts()",
        "place": "`where` is None, but it must be a path or an address",
        "judged": "`collection` is 'str', but it must be the Collection that is judged",
        "rule name": "`name` is None, but it must be a word",
        "scorer": "`scorer` is <built-in function len>, but it must have a method scores",
        "scorer type": "`scorer` is <class '__main__.Scorer'>, but it must have a method scores",
        "threshold": "`threshold` is '0', but it must be a finite number",
        "labels": "`verdicts` is 'JudgmentStore', but it must be Verdicts. Call store.verdicts()",
        "trust": "`verdicts` is 'JudgmentStore', but it must be Verdicts",
        "sample": "`verdicts` is 'JudgmentStore', but it must be Verdicts",
    }
    assert said.keys() == wanted.keys()
    for name, words in wanted.items():
        assert said[name].startswith(f"BadArgument: {words}"), name
