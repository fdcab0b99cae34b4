import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.encode import Tokens, scratch, token_batches
from workbench.errors import BadArgument

rows_of_ids = st.lists(st.lists(st.integers(1, 99), max_size=7), min_size=1, max_size=8)


def store(rows, pad_id=0):
    return Tokens(
        ids=np.array([token for row in rows for token in row], dtype=np.int32),
        offsets=np.cumsum([0, *map(len, rows)]).astype(np.int64),
        pad_id=pad_id,
        truncated=0,
        max_length=None,
    )


@pytest.mark.slow
@given(rows=rows_of_ids, data=st.data())
def test_take_gives_back_every_row_and_pads_to_the_longest(rows, data):
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=9))
    batch = store(rows, pad_id=55).take(chosen)
    width = max(1, *(len(rows[place]) for place in chosen), 1)
    assert batch["input_ids"].shape == (len(chosen), width)
    assert batch["input_ids"].dtype == batch["attention_mask"].dtype == torch.int64
    for place, ids, mask in zip(chosen, batch["input_ids"], batch["attention_mask"], strict=True):
        row = rows[place]
        assert ids.tolist() == row + [55] * (width - len(row))
        assert mask.tolist() == [1] * len(row) + [0] * (width - len(row))


@given(lengths=st.lists(st.integers(0, 50), min_size=1, max_size=60), budget=st.integers(1, 200))
def test_batches_hold_every_text_once_within_budget_longest_first(lengths, budget):
    sizes = np.array(lengths, dtype=np.int64)
    batches = list(token_batches(sizes, token_budget=budget))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert (np.diff(sizes[np.concatenate(batches)]) <= 0).all()
    for batch in batches:
        assert len(batch) == 1 or sizes[batch].max() * len(batch) <= budget


def test_a_position_outside_is_named():
    with pytest.raises(BadArgument, match=r"`positions` is 2, but it must lie in \[0, 2\)"):
        store([[1], [2]]).take([0, 2])
    with pytest.raises(BadArgument, match=r"`positions` is -1"):
        store([[1], [2]]).take([-1])


def test_a_budget_of_nothing_is_refused():
    with pytest.raises(BadArgument, match="`token_budget` is 0, but it must be a whole number"):
        list(token_batches(np.array([1]), token_budget=0))


@pytest.mark.parametrize("kind", ["bag", "transformer"])
def test_truncation_is_counted_exactly(kind):
    words = ["add", "add add", "add add add", "add add add add"]
    encoder = scratch(words, kind=kind, vocab_size=60, dim=8, max_length=2, device="cpu")
    tokens = encoder.tokenize(words, side="doc")
    assert tokens.truncated == 2
    assert tokens.lengths.tolist() == [1, 2, 2, 2]
    assert repr(tokens) == "Tokens(4 texts, 7 tokens, 2 truncated)"


def test_prompt_of_the_side_stands_before_the_text():
    encoder = scratch(["find add two"], vocab_size=60, dim=8, device="cpu")
    encoder.prompts["query"] = "find "
    query, doc = (encoder.tokenize(["add"], side=side).ids.tolist() for side in ("query", "doc"))
    assert query == encoder.tokenize(["find add"], side="doc").ids.tolist()
    assert doc != query


def test_many_texts_cross_the_inner_batches():
    texts = [f"add {number}" for number in range(2500)]
    encoder = scratch(texts[:50], vocab_size=200, dim=8, device="cpu")
    tokens = encoder.tokenize(texts, side="doc", progress=False)
    alone = encoder.tokenize(texts[2345:2346], side="doc")
    assert len(tokens) == 2500
    assert tokens.take([2345])["input_ids"].tolist() == alone.take([0])["input_ids"].tolist()
