"""Verdicts leave and come back: every row by Parquet, every grade by the formats of qrels."""

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.audit.exchange import (
    from_beir,
    from_parquet,
    from_trec,
    to_beir,
    to_parquet,
    to_trec,
)
from workbench.data import read_beir
from workbench.data.check import id_problem
from workbench.errors import BadArgument, BadData
from workbench.types import LABELS, Verdicts


def verdicts_of(rows):
    columns = [np.array([row[place] for row in rows], dtype=object) for place in range(4)]
    return Verdicts(query_ids=columns[0], doc_ids=columns[1], labels=columns[2], judges=columns[3])


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
label = st.sampled_from(LABELS)
signs = st.characters(exclude_categories=["Cs", "Zs", "Cc"])
name = st.one_of(st.text(signs, min_size=1, max_size=3), text)  # mostly ids that both formats take


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(text, text, label, text), max_size=8))
def test_parquet_keeps_every_row(rows, tmp_path_factory):
    said = verdicts_of(rows)
    path = tmp_path_factory.getbasetemp() / "said.parquet"
    again = from_parquet(to_parquet(path, said))
    assert again.frame().equals(said.frame())


def beir_id(value):
    return id_problem(value, "id") is None


def trec_id(value):
    return value.split() == [value] and not value.startswith("\ufeff")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "read", "fits"),
    [(to_trec, from_trec, trec_id), (to_beir, from_beir, beir_id)],
    ids=["trec", "beir"],
)
def test_qrels_keep_every_grade_or_refuse_the_id(write, read, fits, tmp_path):
    @settings(max_examples=200, deadline=None)
    @given(rows=st.lists(st.tuples(name, name, label), max_size=5))
    def whole(rows):
        said = Verdicts.of(rows, judge="me")
        graded = {pair: label for pair, label in said.newest().items() if label in LABELS[:2]}
        if all(fits(name) for pair in graded for name in pair):
            again = read(write(tmp_path / "qrels", said), judge="you")
            assert again.newest() == graded
            assert set(again.judges) <= {"you"}
        else:
            with pytest.raises(BadData, match=r"white space|empty|holds"):
                write(tmp_path / "refused", said)
            assert not (tmp_path / "refused").exists()

    whole()


def test_the_files_are_what_other_tools_read(tmp_path):
    said = Verdicts.of(
        [
            ("q1", "d1", "negative"),
            ("q1", "d2", "unsure"),
            ("q2", "d1", "positive"),
            ("q1", "d1", "positive"),  # changed their mind
            ("q2", "d2", "negative"),
        ],
        judge="me",
    )
    assert to_trec(tmp_path / "a", said).read_text() == "q1 0 d1 1\nq2 0 d1 1\nq2 0 d2 0\n"
    (tmp_path / "beir").mkdir()
    for name, ids in {"queries": ("q1", "q2"), "corpus": ("d1", "d2")}.items():
        lines = "".join(f'{{"_id": "{one}", "text": "text {one}"}}\n' for one in ids)
        (tmp_path / "beir" / f"{name}.jsonl").write_text(lines)
    to_beir(tmp_path / "beir" / "qrels" / "test.tsv", said)
    read = read_beir(tmp_path / "beir").frame()
    found = {(row.query_id, row.doc_id): row.grade for row in read.itertuples()}
    assert found == {("q1", "d1"): 1.0, ("q2", "d1"): 1.0, ("q2", "d2"): 0.0}
    import ir_measures

    qrels = list(ir_measures.read_trec_qrels(str(tmp_path / "a")))
    assert [(one.query_id, one.doc_id, one.relevance) for one in qrels] == [
        ("q1", "d1", 1),
        ("q2", "d1", 1),
        ("q2", "d2", 0),
    ]


def test_judges_who_disagree_are_not_papered_over(tmp_path):
    said = verdicts_of(
        [
            ("q", "d", "positive", "ann"),
            ("q", "d", "negative", "bob"),
            ("q", "e", "positive", "ann"),
            ("q", "e", "unsure", "bob"),
        ]
    )
    with pytest.raises(
        BadData, match=r"q d: judges disagree \(ann positive, bob negative\)\n.*con"
    ):
        to_trec(tmp_path / "a", said)
    agreed = verdicts_of([("q", "d", "negative", "ann"), *said.frame().to_numpy()[1:].tolist()])
    assert from_beir(to_beir(tmp_path / "b", agreed)).newest() == {
        ("q", "d"): "negative",
        ("q", "e"): "positive",
    }


def test_trec_says_which_id_would_break_it(tmp_path):
    with pytest.raises(BadData, match="`query_id` 'a b' is empty or holds white space"):
        to_trec(tmp_path / "a", Verdicts.of([("a b", "d", "positive")], judge="me"))
    with pytest.raises(BadData, match="`doc_id` 'd\\\\t' holds a tab"):
        to_beir(tmp_path / "a", Verdicts.of([("a b", "d\t", "positive")], judge="me"))
    with pytest.raises(BadData, match="is empty or holds white space"):  # a byte order mark
        to_trec(tmp_path / "a", Verdicts.of([("\ufeffq", "d", "positive")], judge="me"))
    said = Verdicts.of([("a b", "d", "positive")], judge="me")
    assert from_beir(to_beir(tmp_path / "a", said)).newest() == said.newest()


def test_everything_wrong_in_a_file_of_qrels_is_said_at_once(tmp_path):
    path = tmp_path / "qrels"
    path.write_bytes(b"q 0 d 1\nq 0 d\n\nq 0 d 0\nq 0 e high\nq 0 \xff 1\nq 0 f nan\nq 0 d 1\n")
    with pytest.raises(BadData) as caught:
        from_trec(path)
    assert caught.value.problems == [
        "qrels line 2: 3 columns; query 0 document grade are 4",
        "qrels line 4: 'q' and 'd' were already judged 1",
        "qrels line 5: grade 'high' is not a number",
        "qrels line 6: byte 0xff at column 5 is not UTF-8",
        "qrels line 7: grade 'nan' is not finite",
    ]
    path.write_text("query-id\tcorpus-id\tscore\nq\td\nq\t\t1\nq\td\t2\n\nq\te\t-1\r\n")
    with pytest.raises(BadData) as caught:
        from_beir(path)
    assert caught.value.problems == [
        "qrels line 2: 2 columns; the header has 3",
        "qrels line 3: `document id` is empty",
    ]
    path.write_text("score\tquery-id\tcorpus-id\n2\tq\td\n-1\tq\te\r\n")
    assert from_beir(path).newest() == {("q", "d"): "positive", ("q", "e"): "negative"}
    path.write_text("query_id\tcorpus-id\tscore\n")
    with pytest.raises(BadData, match=r"header must be query-id.*did you mean 'query_id'"):
        from_beir(path)
    path.write_text("")
    assert from_trec(path).newest() == {}
    with pytest.raises(BadData, match="it is empty; not even the header"):
        from_beir(path)  # `to_beir` always writes one


@pytest.mark.parametrize("read", [from_parquet, from_trec, from_beir])
def test_a_missing_file_is_named(read, tmp_path):
    with pytest.raises(BadArgument, match="nowhere', but there is no such file"):
        read(tmp_path / "nowhere")


@pytest.mark.parametrize("write", [to_parquet, to_trec, to_beir])
def test_a_folder_is_no_file(write, tmp_path):
    with pytest.raises(BadArgument, match="but it is a folder"):
        write(tmp_path, Verdicts.of([("q", "d", "positive")], judge="me"))
    assert not list(tmp_path.iterdir())


def test_a_parquet_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    write = partial(pq.write_table, where=path)
    whole = to_parquet(path, Verdicts.of([("q", "d", "skip")] * 50, judge="me")).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadData, match="it is no whole Parquet file"):
        from_parquet(path)
    row = {"query_id": ["q"], "doc_id": ["d"], "label": ["skip"], "judge": ["me"]}
    write(pa.table({**row, "label": ["perhaps"]}))
    with pytest.raises(BadData, match="label: 'perhaps' is none of positive, negative"):
        from_parquet(path)
    write(pa.table({**row, "doc_id": [3], "judge": pa.array([None], type=pa.string())}))
    with pytest.raises(
        BadData, match=r"doc_id: its type is int64.*\n.*judge: 1 values are missing"
    ):
        from_parquet(path)
    row["query"] = row.pop("query_id")
    write(pa.table(row))
    with pytest.raises(BadData, match=r"no column 'query_id': there are .*mean 'query'"):
        from_parquet(path)
    assert [one.name for one in tmp_path.iterdir()] == ["a.parquet"]
