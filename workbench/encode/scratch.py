"""Small encoders made from nothing: own WordPiece, random vectors, ready to train."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch

from workbench.encode.bodies import Bag, Transformer
from workbench.encode.encoder import Encoder
from workbench.encode.tokens import check_texts
from workbench.errors import BadArgument, check_choice, check_count

_most_characters = 1000
PAD, UNKNOWN = "[PAD]", "[UNK]"


def _empty_tokenizer(model: Any) -> Any:
    """Lower case without accents; identifiers split at underscores, capitals and digits."""
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Replace(Regex("(?<=[a-z0-9])(?=[A-Z])"), " "),
            normalizers.Replace(Regex("(?<=[A-Z])(?=[A-Z][a-z])"), " "),
            normalizers.Replace("_", " "),
            normalizers.Lowercase(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits(individual_digits=False)]
    )
    return tokenizer


def _trained_tokenizer(texts: Sequence[str], vocab_size: int) -> Any:
    """A WordPiece tokenizer that is the same in every process.

    The trainer numbers the continuing characters ("##a") in the order of a hash map, and equal
    counts are then decided by those numbers: measured, three processes gave three vocabularies.
    Entering them beforehand, sorted, as reserved words takes that freedom away.
    """
    from tokenizers import models, trainers

    tokenizer = _empty_tokenizer(models.WordPiece(unk_token=UNKNOWN))
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(tokenizer.normalizer.normalize_str(text))
    often = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:_most_characters]
    characters = sorted(character for character, _ in often if not character.isspace())
    reserved = [PAD, UNKNOWN, *(f"##{character}" for character in characters)]
    if vocab_size < len(reserved) + len(characters):
        raise BadArgument(
            "vocab_size",
            vocab_size,
            f"these texts have {len(characters)} characters, each taking two entries",
            f"Try {max(1000, 4 * len(reserved)):,} or more.",
        )
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=reserved,
        initial_alphabet=characters,
        limit_alphabet=len(characters),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # built anew, since a trained one would find the reserved "##a" inside texts
    vocabulary = tokenizer.get_vocab(with_added_tokens=False)
    return _empty_tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN))


def scratch(
    texts: Sequence[str],
    *,
    kind: str = "bag",
    dim: int = 256,
    vocab_size: int = 16_000,
    layers: int = 2,
    heads: int = 4,
    max_length: int = 128,
    seed: int = 0,
    device: str | None = None,
) -> Encoder:
    """Make an untrained encoder whose vocabulary comes from `texts`.

    Args:
        texts: what the vocabulary is learned from; training texts only, or the test set leaks.
        kind: "bag" (mean of token vectors, trains in seconds) or "transformer" (a tiny BERT).
        dim: width of the vectors; usually 64 to 512.
        vocab_size: most entries of the vocabulary; usually 4,000 to 32,000.
        layers: of the transformer.
        heads: of the transformer; must divide `dim`.
        max_length: most tokens of a text; the rest is cut.
        seed: of the random vectors.
        device: None takes CUDA when there is one.

    Returns:
        An encoder with unit-length vectors, the same for the same texts and seed in any process.

    Raises:
        BadArgument: an option out of its range.

    Example:
        >>> encoder = scratch(["def getValue(self):", "def set_value(self):"], vocab_size=60, dim=8)
        >>> encoder
        Encoder(bag, 8 dim, mean, normalised, at most 128 tokens)

    Source: WordPiece as in Devlin et al. 2019 (BERT), section 3; the bag is the averaged word
    embedding of Wieting et al. 2016, equation 1.

    Breaks when: texts are few; rare words then fall apart into letters.
    """
    check_choice("kind", kind, ("bag", "transformer"))
    for name, value in (("dim", dim), ("vocab_size", vocab_size), ("layers", layers)):
        check_count(name, value, mend="Leave it out for the default.")
    check_count("heads", heads, mend="Try 4.")
    if kind == "transformer" and dim % heads:
        raise BadArgument("heads", heads, f"it must divide dim={dim}", "Try 4 heads of 64.")
    tokenizer = _trained_tokenizer(check_texts(texts), vocab_size)
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if kind == "bag":
        generator = torch.Generator().manual_seed(seed)
        # vectors of about unit length: Adam's steps are then small but not lost beside them
        weight = torch.randn(tokenizer.get_vocab_size(), dim, generator=generator) / dim**0.5
        return Encoder(Bag(weight), tokenizer, max_length=max_length).to(chosen).eval()
    model, wrapped = _tiny_bert(
        tokenizer, dim=dim, layers=layers, heads=heads, max_length=max_length, seed=seed
    )
    body = Transformer(model, pooling="mean")
    return Encoder(body, wrapped, max_length=max_length).to(chosen).eval()


def _tiny_bert(
    tokenizer: Any, *, dim: int, layers: int, heads: int, max_length: int, seed: int
) -> tuple[Any, Any]:
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=dim,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * dim,
        max_position_embeddings=max_length,
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(config)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, unk_token=UNKNOWN, model_max_length=max_length
    )
    return model, wrapped
