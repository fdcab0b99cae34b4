import copy
import logging

import numpy as np
import pytest
import torch

from workbench.encode import Encoder, scratch
from workbench.encode.bodies import Bag, Transformer
from workbench.encode.tokens import check_texts
from workbench.errors import BadArgument

TEXTS = [
    "def add(first, second): return first + second",
    "add",
    "sort a list of numbers in place",
    "def parseHTTPResponse(raw_bytes): ...",
    "add",
    "read a file and return its lines, without the newline at the end",
]


@pytest.fixture(scope="module", params=["bag", "transformer"])
def encoder(request):
    return scratch(TEXTS, kind=request.param, dim=16, vocab_size=200, max_length=32, device="cpu")


def perturbed(encoder):
    other = copy.deepcopy(encoder)
    with torch.no_grad():
        next(other.parameters()).mul_(1.5).add_(0.01)
    return other


def test_encode_restores_the_order_and_equals_one_by_one(encoder):
    together = encoder.encode(TEXTS, token_budget=24, progress=False)
    alone = np.concatenate([encoder.encode([text], progress=False).values for text in TEXTS])
    np.testing.assert_allclose(together.values, alone, atol=1e-6)
    assert together.ids.tolist() == ["0", "1", "2", "3", "4", "5"]
    assert together.encoder == encoder.fingerprint("doc")
    np.testing.assert_allclose(np.linalg.norm(together.values, axis=1), 1, atol=1e-6)


def test_forward_equals_encode_and_is_differentiable(encoder):
    tokens = encoder.tokenize(TEXTS, side="doc")
    vectors = encoder(**tokens.take(range(len(TEXTS))))
    np.testing.assert_allclose(
        vectors.detach().numpy(), encoder.encode(TEXTS, progress=False).values, atol=1e-6
    )
    encoder.zero_grad()
    (vectors @ vectors.T).sum().backward()
    assert all(p.grad is not None for p in encoder.parameters() if p.requires_grad)
    encoder.zero_grad()


def test_budget_is_respected_and_equal_texts_run_once(encoder):
    seen = []
    handle = encoder.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    encoder.encode(TEXTS * 3, token_budget=40, progress=False)
    handle.remove()
    assert sum(rows for rows, _ in seen) == len(set(TEXTS))
    assert all(rows == 1 or rows * width <= 40 for rows, width in seen)


def test_threads_side_by_side_change_no_vector_and_are_given_back():
    encoder = scratch(TEXTS, kind="transformer", dim=16, vocab_size=200, device="cpu")
    before = torch.get_num_threads()
    try:
        made = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            made.append(encoder.encode(TEXTS, token_budget=16, progress=False).values)
            assert torch.get_num_threads() == threads
        np.testing.assert_allclose(made[0], made[1], atol=1e-6)
    finally:
        torch.set_num_threads(before)


def test_report_and_log_count_truncated_texts(encoder, caplog):
    with caplog.at_level(logging.WARNING, logger="workbench.encode.encoder"):
        encoder.encode(["add " * 40, "add", "add"], progress=False)
    assert encoder.report == {"texts": 3, "encoded": 2, "tokens": 33, "truncated": 1}
    assert "1 of 2 encoded texts were cut at 32 tokens" in caplog.text


@pytest.mark.parametrize("training", [True, False])
def test_train_mode_and_gradients_are_restored(encoder, training):
    encoder.train(training)
    encoder.encode(TEXTS, progress=False)
    assert all(module.training is training for module in encoder.modules())
    assert torch.is_grad_enabled()
    encoder.eval()


def test_a_part_that_was_frozen_in_eval_stays_so():
    encoder = scratch(TEXTS, kind="transformer", dim=8, vocab_size=200, device="cpu").train()
    encoder.body.model.embeddings.eval()
    encoder.encode(["add"], progress=False)
    assert encoder.training
    assert not encoder.body.model.embeddings.training


def test_dropout_is_off_while_encoding():
    encoder = scratch(TEXTS, kind="transformer", dim=8, vocab_size=200, device="cpu").train()
    first, second = (encoder.encode(TEXTS, progress=False).values for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_deepcopy_and_state_dict_carry_everything(encoder):
    twin = copy.deepcopy(encoder)
    assert twin.fingerprint("doc") == encoder.fingerprint("doc")
    other = perturbed(encoder)
    assert other.fingerprint("doc") != encoder.fingerprint("doc")
    assert twin.fingerprint("doc") == encoder.fingerprint("doc")
    other.load_state_dict(encoder.state_dict())
    assert other.fingerprint("doc") == encoder.fingerprint("doc")
    np.testing.assert_array_equal(
        other.encode(TEXTS, progress=False).values, encoder.encode(TEXTS, progress=False).values
    )


def test_fingerprint_sees_writes_that_leave_no_trace(encoder):
    other = copy.deepcopy(encoder)
    before = other.fingerprint("doc")
    next(other.parameters()).data.add_(1e-3)
    assert other.fingerprint("doc") != before


@pytest.mark.parametrize("change", ["normalize", "max_length", "prompts"])
def test_fingerprint_sees_every_setting(encoder, change):
    other = copy.deepcopy(encoder)
    setattr(
        other,
        change,
        {"normalize": False, "max_length": 8, "prompts": {"query": "", "doc": "d"}}[change],
    )
    assert other.fingerprint("doc") != encoder.fingerprint("doc")
    assert (other.fingerprint("query") == encoder.fingerprint("query")) == (change == "prompts")


def test_fingerprint_is_no_matter_of_where_an_encoder_was_used(encoder):
    before = encoder.fingerprint("doc")
    encoder.encode(["a text of some length"], progress=False)
    encoder.tokenize(["b"], side="query")
    assert encoder.fingerprint("doc") == before


class Positions(torch.nn.Module):
    """A stub transformer: hidden state of a token is its position."""

    class config:
        hidden_size = 1
        max_position_embeddings = 64

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, *, input_ids, attention_mask):
        position = torch.arange(float(input_ids.shape[1])).expand(input_ids.shape)
        output = torch.nn.Module()
        output.last_hidden_state = position.unsqueeze(-1) * self.scale
        return output


@pytest.mark.parametrize(
    ("pooling", "expected"), [("mean", [1, 0.5]), ("cls", [0, 0]), ("last", [2, 1])]
)
def test_pooling_over_a_stub_is_known_by_hand(pooling, expected):
    tokenizer = scratch(["one two three"], kind="transformer", vocab_size=60, dim=8).tokenizer
    encoder = Encoder(Transformer(Positions(), pooling=pooling), tokenizer, normalize=False)
    batch = encoder.tokenize(["one two three", "one two"], side="doc").take([0, 1])
    torch.testing.assert_close(
        encoder(**batch).detach(), torch.tensor(expected, dtype=torch.float32).unsqueeze(1)
    )


def test_an_empty_text_in_a_bag_is_the_zero_vector():
    encoder = scratch(TEXTS, dim=8, vocab_size=200, device="cpu")
    np.testing.assert_array_equal(encoder.encode(["", "add"], progress=False).values[0], 0)


@pytest.mark.parametrize(
    ("texts", "wording"),
    [
        ([], "`texts` is .*, but it must hold at least one text"),
        ("add", "`texts` is 'add', but it must be a list of texts"),
    ],
)
def test_no_texts_are_refused(encoder, texts, wording):
    with pytest.raises(BadArgument, match=wording):
        encoder.encode(texts)


@pytest.mark.parametrize("wrong", [3, None, b"add", ["add"]])
def test_what_is_no_text_is_named(wrong):
    with pytest.raises(BadArgument, match=r"`texts\[1\]` is .*, but it must be a str"):
        check_texts(["a", wrong])


def test_a_text_without_tokens_is_refused_by_a_transformer():
    encoder = scratch(TEXTS, kind="transformer", dim=8, vocab_size=200, device="cpu")
    with pytest.raises(BadArgument, match=r"`texts\[1\]` is '  ', but it must hold a token"):
        encoder.encode(["add", "  "])


def test_wrong_options_are_named(encoder):
    with pytest.raises(BadArgument, match=r"`side` is 'docs'.*Did you mean 'doc'"):
        encoder.encode(["a"], side="docs")
    with pytest.raises(BadArgument, match="`ids` is '1 ids', but there are 2 texts"):
        encoder.encode(["a", "b"], ids=["x"])
    with pytest.raises(BadArgument, match="`token_budget` is 0"):
        encoder.encode(["a"], token_budget=0)
    with pytest.raises(
        BadArgument, match="`prompts` is 'document', but it must be one of query, doc"
    ):
        Encoder(encoder.body, encoder.tokenizer, prompts={"document": "x"})
    with pytest.raises(BadArgument, match="`max_length` is 0, but it must be a whole number >= 1"):
        Encoder(encoder.body, encoder.tokenizer, max_length=0)


def test_more_tokens_than_positions_are_refused():
    encoder = scratch(TEXTS, kind="transformer", dim=8, vocab_size=200, max_length=16, device="cpu")
    with pytest.raises(BadArgument, match="`max_length` is 17, but this model has 16 positions"):
        Encoder(encoder.body, encoder.tokenizer, max_length=17)


def test_a_vector_that_is_not_finite_is_named():
    encoder = scratch(TEXTS, dim=8, vocab_size=200, device="cpu")
    with torch.no_grad():
        encoder.body.embedding.weight.fill_(float("nan"))
    with pytest.raises(BadArgument, match="`texts` is 'add', but the model gives it a vector"):
        encoder.encode(["add"])


def test_a_bag_is_the_mean_of_its_rows():
    weight = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    ids, mask = torch.tensor([[3, 4, 4], [0, 0, 5]]), torch.tensor([[1, 1, 1], [0, 0, 1]])
    expected = torch.stack([(weight[3] + 2 * weight[4]) / 3, weight[5]])
    torch.testing.assert_close(Bag(weight)(ids, mask).detach(), expected)
