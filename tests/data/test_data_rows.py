"""Rows from Python, pandas, files and Hugging Face: same meaning, same errors, same round trip."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.data import from_frame, from_rows, read_dataset, read_pairs, write_pairs
from workbench.errors import BadArgument, BadData

ROWS = [
    {
        "query": "add",
        "positive": "a + b",
        "negatives": ["a - b", "a * b"],
        "score": 2.0,
        "source": "m",
    },
    {"query": "subtract", "positive": "a - b", "negatives": ["a + b"], "score": 1.0, "source": "m"},
    {"query": "add", "positive": "sum(x)", "negatives": [], "score": 0.5, "source": "n"},
]


def cells(collection):
    frame = collection.frame()
    return sorted(zip(frame["query"], frame["doc"], frame["grade"], strict=True))


def test_rows_become_queries_documents_and_grades():
    found = from_rows(ROWS)
    assert found.query_texts == ["add", "subtract"]
    assert found.doc_texts == ["a + b", "sum(x)", "a - b", "a * b"]
    assert cells(found) == [
        ("add", "a * b", 0.0), ("add", "a + b", 2.0), ("add", "a - b", 0.0), ("add", "sum(x)", 0.5),
        ("subtract", "a + b", 0.0), ("subtract", "a - b", 1.0),
    ]  # fmt: skip
    assert found.qrels.nnz == 6
    assert found.corpus["source"][:] == ["m", "n", "m", "rows"]


def test_given_ids_are_kept_and_equal_texts_grouped():
    rows = [
        {"query": "a", "query_id": "q1", "positive": "x", "positive_id": 7},
        {"query": "a", "query_id": "q2", "positive": "x ", "positive_id": 8},
    ]
    found = from_rows(rows)
    assert found.query_ids.tolist() == ["q1", "q2"]
    assert found.doc_ids.tolist() == ["7", "8"]
    assert found.query_groups.tolist() == found.doc_groups.tolist() == [0, 0]


def test_hashed_ids_do_not_depend_on_order():
    forth, back = from_rows(ROWS), from_rows(ROWS[::-1])
    assert set(forth.doc_ids) == set(back.doc_ids)
    assert cells(forth) == cells(back)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"query": "", "positive": "b"}, "row 2: `query` is empty"),
        ({"query": None, "positive": "b"}, "row 2: `query` is missing"),
        ({"query": "a", "positive": ["b", "c"]}, "row 2: `positive` is a list of 2; it must be"),
        ({"query": 3, "positive": "b"}, "row 2: `query` is the number 3"),
        ({"query": "a", "positive": "b", "negatives": "word"}, "`negatives` is a str; it must be"),
        ({"query": "a", "positive": "b", "negatives": ["x", None]}, r"`negatives\[1\]` is missing"),
        ({"query": "a", "positive": "b", "negative_2": 5}, "`negative_2` is the number 5"),
        ({"query": "a", "positive": "b", "score": 0}, "score is 0; a positive's must be > 0"),
        ({"query": "a", "positive": "b", "score": float("nan")}, "is not finite"),
        ({"query": "a", "positive": "b", "score": True}, "grade is True; it must be a number"),
        ({"query": "a", "positive": "b", "negative": " b"}, "'b' is also a positive of"),
        ({"query": "q", "positive": "p", "score": 3}, "this pair already has score 1"),
        ({"query": "a", "positive": "b", "query_id": "x\ty"}, "holds a tab"),
        ({"query": "a", "positive": "b", "query_id": "first"}, "'first' already stands for"),
        ({"query": "a", "positive": "b\ud800"}, "half a character"),
        ({"query": "a", "positive": "b", "source": 4}, "`source` is the number 4"),
        ("a string", "row 2: it is a str, not a mapping"),
    ],
)  # fmt: skip
def test_each_mistake_is_named(row, said):
    first = {"query": "q", "query_id": "first", "positive": "p"}
    if isinstance(row, dict) and row.get("query") == "q":
        row["query_id"] = "first"
    with pytest.raises(BadData, match=said):
        from_rows([first, row])


def test_all_mistakes_are_said_together():
    with pytest.raises(BadData) as caught:
        from_rows([{"query": "", "positive": ""}, {"query": "a", "positive": 1}])
    assert len(caught.value.problems) == 3


def test_missing_and_misspelt_columns_name_the_nearest():
    with pytest.raises(
        BadData, match="no column 'positive': there are 'query', 'positives'; did you"
    ):
        from_rows([{"query": "a", "positives": "b"}])
    with pytest.raises(BadData, match="'negativ' would not be read; did you mean 'negative'"):
        from_rows([{"query": "a", "positive": "b", "negativ": "c"}])
    with pytest.raises(BadArgument, match="`columns` is 'qery'"):
        from_rows([{"query": "a", "positive": "b"}], columns={"qery": "x"})
    with pytest.raises(BadArgument, match="it must be a list of rows"):
        from_rows({"query": "a", "positive": "b"})
    with pytest.raises(BadData, match="there are no rows"):
        from_rows([])


def test_columns_can_have_other_names_and_unread_ones_are_listed():
    found = from_rows([{"anchor": "a", "positive": "b", "note": 1}], columns={"query": "anchor"})
    assert found.query_texts == ["a"]
    assert found.recipe["columns_not_read"] == ["note"]


def test_frame_rows_are_named_by_their_index():
    frame = pd.DataFrame({"query": ["a", "b"], "positive": ["x", np.nan]}, index=["one", "two"])
    with pytest.raises(BadData, match="row 'two': `positive` is missing"):
        from_frame(frame)
    frame.loc["two", "positive"] = "y"
    assert cells(from_frame(frame)) == [("a", "x", 1.0), ("b", "y", 1.0)]
    with pytest.raises(BadArgument, match="must be a pandas frame"):
        from_frame([1])
    with pytest.raises(BadData, match="column 'query' stands more than once"):
        from_frame(pd.DataFrame([["a", "b", "c"]], columns=["query", "query", "positive"]))


def test_a_missing_negative_in_a_frame_is_no_negative():
    frame = pd.DataFrame({"query": ["a", "b"], "positive": ["x", "y"], "negative_1": [None, "x"]})
    assert cells(from_frame(frame)) == [("a", "x", 1.0), ("b", "x", 0.0), ("b", "y", 1.0)]


texts = (
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1)
    .map(str.strip)
    .filter(bool)
)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["parquet", "csv", "tsv", "jsonl"])
@settings(max_examples=6, deadline=None)
@given(
    rows=st.lists(
        st.tuples(texts, texts, st.lists(texts, max_size=2), st.floats(0.25, 8, width=32)),
        min_size=1,
    )
)
def test_round_trip_gives_the_same_collection(tmp_path_factory, suffix, rows):
    positives, grades = {}, {}
    for query, positive, _, _ in rows:
        positives.setdefault(query, set()).add(positive)
    made = from_rows(
        [
            {
                "query": query,
                "positive": positive,
                "score": grades.setdefault((query, positive), score),
                "negatives": [text for text in negatives if text not in positives[query]],
            }
            for query, positive, negatives, score in rows
        ]
    )
    path = write_pairs(made, tmp_path_factory.mktemp("pairs") / f"pairs.{suffix}")
    assert read_pairs(path).fingerprint == made.fingerprint


@pytest.mark.parametrize("suffix", ["parquet", "csv", "tsv", "jsonl"])
@pytest.mark.parametrize("text", ["a\r\nb", "a\n\nb", "a\rb", "a\r\r\nb", 'a "b", c\td'])
def test_line_ends_inside_a_text_survive(tmp_path, suffix, text):
    made = from_rows([{"query": text, "positive": text[::-1]}])
    found = read_pairs(write_pairs(made, tmp_path / f"pairs.{suffix}"))
    assert found.query_texts == made.query_texts
    assert found.doc_texts == made.doc_texts


def test_a_file_with_windows_line_ends_reads_the_same(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_bytes(b"query,positive\r\nadd,a + b\r\n")
    assert read_pairs(path).doc_texts == ["a + b"]


def test_csv_mistakes_carry_the_line_of_the_file(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_bytes(b'query,positive\n"two\nlines",b\na\n\xff,b\na,\n')
    with pytest.raises(BadData) as caught:
        read_pairs(path)
    assert caught.value.problems == [
        "pairs.csv line 4: 1 columns; the header has 2",
        "pairs.csv line 5: byte 0xff at column 1 is not UTF-8",
        "pairs.csv line 6: `positive` is missing",
    ]
    path.write_text('query,positive\na,"never closed\n')
    with pytest.raises(BadData, match="not CSV"):
        read_pairs(path)


def test_damaged_and_foreign_files_are_refused(tmp_path):
    path = write_pairs(from_rows(ROWS), tmp_path / "a.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadData, match="not readable as Parquet"):
        read_pairs(path)
    lines = tmp_path / "a.jsonl"
    lines.write_text(json.dumps(ROWS[0]) + '\n{"query": "cut o')
    with pytest.raises(BadData, match=r"a\.jsonl line 2: not JSON .*half-written"):
        read_pairs(lines)
    with pytest.raises(BadArgument, match="there is no such file"):
        read_pairs(tmp_path / "none.csv")
    (tmp_path / "a.xlsx").touch()
    with pytest.raises(BadArgument, match=r"must end in one of \.parquet"):
        read_pairs(tmp_path / "a.xlsx")


def test_hugging_face_datasets_from_memory_and_disk(tmp_path):
    from datasets import Dataset, DatasetDict

    made = Dataset.from_list(ROWS)
    expected = from_rows(ROWS).fingerprint
    assert read_dataset(made).fingerprint == expected
    assert read_dataset(DatasetDict(dev=made), split="dev").fingerprint == expected
    DatasetDict(dev=made).save_to_disk(str(tmp_path / "saved"))
    assert read_dataset(tmp_path / "saved", split="dev").fingerprint == expected
    with pytest.raises(BadArgument, match="the splits there are: dev"):
        read_dataset(tmp_path / "saved", split="train")
    with pytest.raises(BadArgument, match="must be a Dataset, a folder or a name"):
        read_dataset(3)


def test_a_name_that_cannot_be_found_says_so(tmp_path):
    with pytest.raises(BadArgument, match="must be a folder, or a name on the hub"):
        read_dataset(tmp_path / "nothing-here")
