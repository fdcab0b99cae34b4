"""Cross-encoders: equal to sentence-transformers' on a tiny random model made here."""

import numpy as np
import pytest
import torch

from workbench.encode.cross_encoder import CrossEncoder
from workbench.errors import BadArgument

WORDS = "add two numbers and return the sum of a list read file path open close".split()


def tiny(folder, *, labels=1, kind="bert", seed=0):
    """A two-layer classifier with random weights and a word-level vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        DistilBertConfig,
        DistilBertForSequenceClassification,
        PreTrainedTokenizerFast,
    )

    vocabulary = {word: n for n, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = ["input_ids", "attention_mask"] + ["token_type_ids"] * (kind == "bert")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", model_max_length=32, model_input_names=names,
    )  # fmt: skip
    torch.manual_seed(seed)
    if kind == "bert":
        config = BertConfig(
            vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2,
            num_attention_heads=2, intermediate_size=32, max_position_embeddings=40,
            num_labels=labels, initializer_range=0.5,
        )  # fmt: skip
        model = BertForSequenceClassification(config)
    else:
        config = DistilBertConfig(
            vocab_size=len(vocabulary), dim=16, n_layers=2, n_heads=2, hidden_dim=32,
            max_position_embeddings=40, num_labels=labels, initializer_range=0.5,
        )  # fmt: skip
        model = DistilBertForSequenceClassification(config)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return tiny(tmp_path_factory.mktemp("model") / "bert")


@pytest.fixture(scope="module")
def pairs():
    stream = np.random.default_rng(0)

    def texts(most):
        return [" ".join(stream.choice(WORDS, stream.integers(1, most))) for _ in range(40)]

    return texts(8), texts(60)  # the longest are cut


@pytest.mark.parametrize("output", ["logit", "sigmoid"])
@pytest.mark.parametrize("budget", [None, 1, 100])
def test_it_equals_sentence_transformers(bert, pairs, output, budget):
    from sentence_transformers import CrossEncoder as Peer

    ours = CrossEncoder.load(bert, device="cpu", output=output)
    peer = Peer(str(bert), device="cpu", max_length=32)
    activation = torch.nn.Sigmoid() if output == "sigmoid" else torch.nn.Identity()
    wanted = peer.predict(
        list(zip(*pairs, strict=True)), activation_fn=activation, show_progress_bar=False
    )
    found = ours.scores(*pairs, token_budget=budget)
    assert found.dtype == np.float32
    assert np.ptp(found) > 0.01
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_one_pair_at_a_time_is_the_same_and_order_is_kept(bert, pairs):
    model = CrossEncoder.load(bert, device="cpu")
    found = model.scores(*pairs)
    alone = [model.scores([q], [d])[0] for q, d in zip(*pairs, strict=True)]
    np.testing.assert_allclose(found, alone, atol=2e-5)
    turned = model.scores(*(side[::-1] for side in pairs))
    np.testing.assert_allclose(found, turned[::-1], atol=2e-5)


def test_hardly_any_padding_is_paid_for(bert, pairs, monkeypatch):
    model = CrossEncoder.load(bert, device="cpu")
    cells, real = [], []
    run = model.model.forward

    def watched(**batch):
        cells.append(batch["input_ids"].numel())
        real.append(int(batch["attention_mask"].sum()))
        return run(**batch)

    monkeypatch.setattr(model.model, "forward", watched)
    model.scores(*pairs, token_budget=128)
    assert max(cells) <= 128
    assert sum(cells) < 1.1 * sum(real)


def test_a_body_without_token_types(tmp_path, pairs):
    model = CrossEncoder.load(tiny(tmp_path / "distil", kind="distilbert"), device="cpu")
    found = model.scores(*pairs)
    alone = [model.scores([q], [d])[0] for q, d in zip(*pairs, strict=True)]
    np.testing.assert_allclose(found, alone, atol=2e-5)


def test_length_and_weights_are_in_the_fingerprint(bert, tmp_path, pairs):
    model = CrossEncoder.load(bert, device="cpu")
    assert repr(model) == "CrossEncoder(bert, logit, at most 32 tokens)"
    short = CrossEncoder.load(bert, device="cpu", max_length=10)
    other = CrossEncoder.load(tiny(tmp_path / "other", seed=1), device="cpu")
    assert len({one.fingerprint for one in (model, short, other)}) == 3
    assert model.fingerprint == CrossEncoder.load(bert, device="cpu").fingerprint
    assert np.abs(short.scores(*pairs) - model.scores(*pairs)).max() > 1e-3
    assert not model.model.training


def test_wording(bert, tmp_path):
    model = CrossEncoder.load(bert, device="cpu")
    with pytest.raises(BadArgument, match=r"`docs` is '1 texts', but there are 2 queries"):
        model.scores(["a", "b"], ["c"])
    with pytest.raises(BadArgument, match=r"`texts` is 'ab', but it must be a list of texts"):
        model.scores("ab", ["c", "d"])
    with pytest.raises(BadArgument, match=r"`token_budget` is -1"):
        model.scores(["a"], ["b"], token_budget=-1)
    with pytest.raises(BadArgument, match=r"`output` is 'prob', but it must be one of logit, sig"):
        CrossEncoder.load(bert, output="prob")
    with pytest.raises(BadArgument, match=r"`max_length` is 4, but it must be a whole number >= 5"):
        CrossEncoder.load(bert, max_length=4)
    with pytest.raises(BadArgument, match=r"`max_length` is 64, but this model has 32 positions"):
        CrossEncoder.load(bert, max_length=64)
    with pytest.raises(BadArgument, match=r"it has 3 outputs, and a score is one number"):
        CrossEncoder.load(tiny(tmp_path / "three", labels=3))
    for weights in (tmp_path / "three").glob("*.safetensors"):
        weights.unlink()
    with pytest.raises(BadArgument, match=r"it has no .safetensors weights"):
        CrossEncoder.load(tmp_path / "three")
    with torch.no_grad():
        model.model.classifier.bias.fill_(float("nan"))
    with pytest.raises(BadArgument, match=r"a score that is not finite. Load the model with dtype"):
        model.scores(["add"], ["sum"])
