"""Token augmentation: rates, what is protected, that every mode changes something, token types."""

import numpy as np
import pytest
import torch

from workbench.encode import scratch
from workbench.encode.hub import find_folder
from workbench.errors import BadArgument
from workbench.nn import SoftTokenAugment, TokenType, token_types

CLS, SEP, PAD, MASK = 0, 1, 2, 3
MODES = ("mask", "type", "special", "special_mask")
# 4 special ids, then five types of unequal sizes, one of them alone in its type
TYPES = np.repeat(np.array([0, 1, 2, 3, 4, 5]), [4, 10, 600, 300, 30, 1])


def batch_of(rows, length=64, seed=0):
    """cls, body, sep, padding; lengths differ. The body is every type but the lonely one."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, 944, (rows, length), generator=generator)
    lengths = torch.randint(length // 2, length + 1, (rows,), generator=generator)
    column = torch.arange(length)
    real = (column < lengths[:, None]).long()
    ids[:, 0] = CLS
    ids[torch.arange(rows), lengths - 1] = SEP
    return torch.where(real == 1, ids, PAD), real


def body_of(ids, real, protect=1):
    free = torch.from_numpy(TYPES)[ids] != 0
    return free & (real == 1) & (torch.arange(ids.shape[1]) >= protect)


def augmented(mode, ids, real, seed=1, **options):
    augment = SoftTokenAugment(mode=mode, types=TYPES, mask_id=MASK, **options)
    return augment(ids, real, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("mode", MODES)
class TestEveryMode:
    def test_it_changes_tokens(self, mode):
        """The no-op detector: two of the four released modes change 0 of 10,000 tokens."""
        ids, real = batch_of(250)
        assert int(body_of(ids, real).sum()) > 10_000
        changed = augmented(mode, ids, real) != ids
        assert float(changed.sum() / body_of(ids, real).sum()) > 0.05

    def test_every_text_is_changed_by_a_special_mode_and_most_by_the_others(self, mode):
        ids, real = batch_of(200)
        share = float((augmented(mode, ids, real) != ids).any(dim=1).float().mean())
        assert share == 1 if mode.startswith("special") else share > 0.9

    def test_padding_special_and_first_tokens_stay(self, mode):
        ids, real = batch_of(100)
        for protect in (0, 1, 3):
            new = augmented(mode, ids, real, protect=protect)
            changed = new != ids
            assert not (changed & ~body_of(ids, real, protect)).any()
            assert changed.any()
        protected = augmented(mode, ids, real, protect=0) != ids
        assert not protected[:, 0].any()  # cls is special wherever it stands

    def test_left_padding_protects_the_first_real_tokens(self, mode):
        ids, real = batch_of(50)
        new = augmented(mode, ids.flip(1), real.flip(1), protect=3)
        changed = (new != ids.flip(1)).flip(1)
        first_real = real.sum(dim=1, keepdim=True) - torch.arange(ids.shape[1]) <= 3
        assert not (changed & (first_real | (real == 0))).any()
        assert changed.any()

    def test_the_seed_decides(self, mode):
        ids, real = batch_of(20)
        before = ids.clone()
        assert torch.equal(augmented(mode, ids, real), augmented(mode, ids, real))
        assert not torch.equal(augmented(mode, ids, real), augmented(mode, ids, real, seed=2))
        assert torch.equal(ids, before)  # the inputs are not written to
        state = torch.random.get_rng_state()
        augmented(mode, ids, real)
        assert torch.equal(state, torch.random.get_rng_state())

    def test_new_tokens_are_masks_or_body_tokens(self, mode):
        ids, real = batch_of(100)
        new = augmented(mode, ids, real)
        drawn = new[new != ids]
        special = torch.from_numpy(TYPES)[drawn] == 0
        assert (drawn[special] == MASK).all()
        assert bool(special.any()) == (mode in ("mask", "special_mask"))

    def test_texts_without_a_body_pass(self, mode):
        ids, real = torch.tensor([[CLS, SEP, PAD]]), torch.tensor([[1, 1, 0]])
        assert torch.equal(augmented(mode, ids, real), ids)
        none = torch.zeros(0, 3, dtype=torch.int64)
        assert augmented(mode, none, none).shape == (0, 3)


def test_rates_of_masking():
    """Dossier at p = .1: .093 of body tokens changed, .0825 to the mask; expected .09, .08."""
    ids, real = batch_of(4000)
    body = body_of(ids, real)
    new = augmented("mask", ids, real, p=0.1)
    changed = float(((new != ids) & body).sum() / body.sum())
    masked = float(((new == MASK) & body).sum() / body.sum())
    assert changed == pytest.approx(0.093, abs=0.01)
    assert masked == pytest.approx(0.0825, abs=0.01)
    assert changed == pytest.approx(0.09, abs=0.002)  # 180,000 tokens: sd .0007
    assert masked == pytest.approx(0.08, abs=0.002)
    drawn = new[(new != ids) & (new != MASK)]
    assert len(torch.unique(drawn)) > 0.8 * 940  # random ones come from the whole vocabulary
    assert int((drawn == 944).sum()) > 0  # its last entry included


def test_random_tokens_are_never_special():
    types = np.array([0, 1, 0, 2, 0, 0, 1, 0])
    augment = SoftTokenAugment(mode="mask", types=types, mask_id=5, p=1, protect=0)
    ids = torch.full((1, 20_000), 3)
    new = augment(ids, torch.ones_like(ids), generator=torch.Generator().manual_seed(0))
    assert set(new.unique().tolist()) == {5, 1, 3, 6}


def test_rates_of_replacement_by_type():
    """Dossier: .081 = p x .8 of body tokens."""
    ids, real = batch_of(4000)
    body, types = body_of(ids, real), torch.from_numpy(TYPES)
    new = augmented("type", ids, real, p=0.1)
    changed = float(((new != ids) & body).sum() / body.sum())
    assert changed == pytest.approx(0.081, abs=0.01)
    assert changed == pytest.approx(0.08, abs=0.002)
    assert torch.equal(types[new], types[ids])


@pytest.mark.parametrize("mode", ["mask", "type"])
def test_probability_none_and_one(mode):
    ids, real = batch_of(100)
    assert torch.equal(augmented(mode, ids, real, p=0), ids)
    share = float((augmented(mode, ids, real, p=1) != ids).sum() / body_of(ids, real).sum())
    assert share == pytest.approx(0.9 if mode == "mask" else 0.8, abs=0.02)


def test_replacement_draws_every_other_token_of_the_type_equally():
    ids = torch.full((1, 40_000), 7)
    new = augmented("special", ids, torch.ones_like(ids), protect=0)
    counts = torch.bincount(new[0], minlength=20)[4:14]
    assert counts[3] == 0  # token 7 itself
    others = counts[counts > 0]
    assert len(others) == 9
    assert float(others.max() / others.min()) < 1.15


@pytest.mark.parametrize("mode", ["special", "special_mask"])
def test_special_modes_change_all_tokens_of_exactly_one_type(mode):
    ids, real = batch_of(300)
    types, body = torch.from_numpy(TYPES), body_of(ids, real)
    new = augmented(mode, ids, real)
    drawn = []
    for row in range(len(ids)):
        changed = new[row] != ids[row]
        (kind,) = types[ids[row]][changed].unique().tolist()
        assert torch.equal(changed, body[row] & (types[ids[row]] == kind))
        after = types[new[row]][changed]
        assert (after == (kind if mode == "special" else 0)).all()
        drawn.append(kind)
    assert set(drawn) == {1, 2, 3, 4}
    # each type a text has is equally likely, however many tokens it has: 4 of 944 are of type 1
    assert drawn.count(2) < 0.55 * len(drawn)


@pytest.mark.parametrize("mode", ["special", "special_mask"])
def test_only_types_of_the_list_are_drawn(mode):
    ids, real = batch_of(100)
    types = torch.from_numpy(TYPES)
    new = augmented(mode, ids, real, among=(1, 4))
    assert set(types[ids][new != ids].tolist()) == {1, 4}


def test_a_token_alone_in_its_type_is_never_drawn_for_replacement():
    ids = torch.tensor([[944, 944, 5, 944]])
    real = torch.ones_like(ids)
    for seed in range(20):
        new = augmented("special", ids, real, seed=seed, protect=0)
        assert (new[0] != ids[0]).tolist() == [False, False, True, False]
    assert torch.equal(augmented("type", ids, real, protect=3, p=1), ids)


def test_an_untrained_encoder_sees_another_but_similar_text():
    texts = ["def add(left, right): return left + right", "read 12 lines of a file", "sort names"]
    encoder = scratch(texts * 3, dim=32, vocab_size=300, device="cpu")
    batch = encoder.tokenize(texts, side="doc").take([0, 1, 2])
    for mode in MODES:
        augment = SoftTokenAugment.of(encoder.tokenizer, mode=mode, p=0.5)
        ids = augment(**batch, generator=torch.Generator().manual_seed(0))
        assert not torch.equal(ids, batch["input_ids"])
        same = (encoder(**batch) * encoder(ids, batch["attention_mask"])).sum(dim=1)
        assert float(same.detach().min()) < 0.999


def spelled(tokenizer, table):
    fast = getattr(tokenizer, "backend_tokenizer", tokenizer)
    return {token: TokenType(int(table[place])).name for token, place in fast.get_vocab().items()}


@pytest.mark.slow
def test_types_of_a_word_piece_vocabulary():
    from tokenizers import Tokenizer

    path = find_folder("all-MiniLM-L6-v2", code=False) / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    table = token_types(tokenizer)
    assert table.shape == (30_522,)
    assert table.dtype == np.int64
    found = spelled(tokenizer, table)
    for name, tokens in {
        "SPECIAL": ["[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]", "[unused5]"],
        "NUMBER": ["7", "2012"],
        "WORD": ["the", "return", "list", "ß"],
        "PIECE": ["##ing", "##s", "##1"],
        "PUNCTUATION": ["(", "+", "=", "_", "€"],
    }.items():
        assert {token: found[token] for token in tokens} == dict.fromkeys(tokens, name)
    assert 0 < (table == TokenType.OTHER).sum() < 0.02 * len(table)
    augment = SoftTokenAugment.of(tokenizer, mode="mask")
    assert augment.mask_id == tokenizer.token_to_id("[MASK]") == 103


def test_types_of_a_tokenizer_of_transformers():
    from transformers import PreTrainedTokenizerFast

    bare = scratch(["def add(left, right): return left"], dim=8, vocab_size=90).tokenizer
    options = {"pad_token": "[PAD]", "unk_token": "[UNK]", "sep_token": "def"}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=bare, **options)
    before, table = token_types(bare), token_types(wrapped)
    differ = np.flatnonzero(table != before).tolist()
    assert differ == [wrapped.sep_token_id]  # what the wrapper calls special, is
    assert table[differ].tolist() == [TokenType.SPECIAL]
    augment = SoftTokenAugment.of(wrapped, mode="mask")
    assert augment.mask_id == wrapped.unk_token_id  # it has no mask token


def test_types_of_a_byte_level_vocabulary():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=120, special_tokens=["<s>", "<mask>"], show_progress=False
    )
    lines = ["def add(left, right):\n\treturn left + right", "rights = 12 + 12", "left += 3"] * 9
    tokenizer.train_from_iterator(lines, trainer)
    found = spelled(tokenizer, token_types(tokenizer))
    for name, tokens in {
        "SPECIAL": ["<s>", "<mask>"],
        "NUMBER": ["1", "Ġ12"],
        "WORD": ["Ġleft", "Ġright"],
        "PIECE": ["d", "left"],
        "PUNCTUATION": ["(", ":", "Ġ="],
        "OTHER": ["Ġ", "Ċ"],
    }.items():
        assert {token: found[token] for token in tokens} == dict.fromkeys(tokens, name)
    augment = SoftTokenAugment.of(tokenizer, mode="special_mask")
    assert augment.mask_id == tokenizer.token_to_id("<mask>")


def test_ids_without_a_token_are_special():
    from tokenizers import Tokenizer, models

    tokenizer = Tokenizer(models.WordLevel({"add": 0, "two": 3, "2nd": 4, "": 5}, unk_token="add"))
    assert token_types(tokenizer).tolist() == [2, 0, 0, 2, 5, 5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "masks"}, "`mode` is 'masks', but .* Did you mean 'mask'"),
        ({"p": 1.5}, "`p` is 1.5, but it must be <= 1"),
        ({"protect": -1}, "`protect` is -1, but it must be a whole number >= 0"),
        ({"mask_id": None}, "`mask_id` is None, but mode 'mask' needs one"),
        ({"mask_id": 945}, "`mask_id` is 945, but ids are 0..944"),
        ({"among": (9,)}, "`among` is 9, but this vocabulary has the types .1, 2, 3, 4, 5."),
        ({"types": np.zeros(3, dtype=np.int64)}, "`types` .* some of them > 0"),
        ({"types": np.array([1, -1])}, "`types` .* one type >= 0 per token id"),
    ],
)
def test_wording(options, message):
    given = {"mode": "mask", "types": TYPES, "mask_id": MASK, **options}
    with pytest.raises(BadArgument, match=message):
        SoftTokenAugment(**given)


@pytest.mark.parametrize("wrong", [-1, 945])
def test_wording_of_an_id_outside_the_table(wrong):
    ids = torch.tensor([[5, wrong]])
    with pytest.raises(BadArgument, match=f"`input_ids` is {wrong}, but the table of types has"):
        augmented("type", ids, torch.ones_like(ids))
