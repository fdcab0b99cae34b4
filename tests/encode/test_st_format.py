import copy
import json
import os

import numpy as np
import pytest
import torch

from workbench import files
from workbench.encode import Encoder, scratch
from workbench.errors import BadArgument

os.environ["HF_HUB_OFFLINE"] = "1"

TEXTS = [
    "def add(first, second):\n    return first + second",
    "add",
    "Sort a list of numbers in place, the smallest first.",
    "def parseHTTPResponse(raw_bytes): return raw_bytes.decode().split() " * 3,
]
PROMPTS = {"query": "find: ", "doc": "code: "}


def peer(folder):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu")


def made(kind, pooling="mean", *, normalize=True):
    encoder = scratch(
        TEXTS, kind=kind, dim=16, vocab_size=200, max_length=24, layers=1, device="cpu"
    )
    encoder.prompts = dict(PROMPTS)
    encoder.normalize = normalize
    if kind == "transformer":
        encoder.body.pooling = pooling
    return encoder


def assert_same_vectors(encoder, theirs):
    for side, encode in (("query", theirs.encode_query), ("doc", theirs.encode_document)):
        ours = encoder.encode(TEXTS, side=side, progress=False).values
        np.testing.assert_allclose(ours, encode(TEXTS), atol=1e-5)
    sides = [encoder.encode(TEXTS, side=side, progress=False).values for side in PROMPTS]
    assert np.abs(sides[0] - sides[1]).max() > 1e-4  # the prompts were really used


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "pooling", "normalize"),
    [
        ("transformer", "mean", True),
        ("transformer", "cls", False),
        ("transformer", "last", True),
        ("bag", "mean", True),
        ("bag", "mean", False),
    ],
)
def test_ours_to_theirs_and_back(tmp_path, kind, pooling, normalize):
    encoder = made(kind, pooling, normalize=normalize)
    encoder.save(tmp_path / "ours")
    theirs = peer(tmp_path / "ours")
    assert_same_vectors(encoder, theirs)
    theirs.save(str(tmp_path / "theirs"), create_model_card=False)
    for folder in ("ours", "theirs"):
        again = Encoder.load(tmp_path / folder, device="cpu")
        assert again.prompts == PROMPTS
        assert (again.body.pooling, again.normalize) == (pooling, normalize)
        assert again.max_length == 24
        assert_same_vectors(again, theirs)
    saved = Encoder.load(tmp_path / "ours", device="cpu")
    assert [saved.fingerprint(side) for side in PROMPTS] == [
        encoder.fingerprint(side) for side in PROMPTS
    ]


@pytest.mark.parametrize("pooling", ["mean", "cls", "lasttoken"])
def test_a_transformer_built_by_them(tmp_path, pooling):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    plain = made("transformer")
    plain.body.model.save_pretrained(tmp_path / "plain")
    plain.tokenizer.save_pretrained(tmp_path / "plain")
    body = modules.Transformer(str(tmp_path / "plain"), max_seq_length=20)
    parts = [body, modules.Pooling(16, pooling_mode=pooling)]
    theirs = SentenceTransformer(
        modules=parts, prompts={"query": "find: ", "passage": "code: "}, device="cpu"
    )
    theirs.save(str(tmp_path / "theirs"), create_model_card=False)
    encoder = Encoder.load(tmp_path / "theirs", device="cpu")
    assert encoder.max_length == 20
    assert not encoder.normalize
    # their default prompt "document": "" goes before "passage", ours must follow
    encoder.prompts["doc"] = "code: "
    theirs.prompts["document"] = "code: "
    assert_same_vectors(encoder, theirs)


def test_a_static_embedding_built_by_them(tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    tokenizer = copy.deepcopy(made("bag").tokenizer)
    theirs = SentenceTransformer(
        modules=[modules.StaticEmbedding(tokenizer, embedding_dim=8), modules.Normalize()],
        prompts={"query": "find: ", "document": "code: "},
        device="cpu",
    )
    theirs.save(str(tmp_path / "theirs"), create_model_card=False)
    assert_same_vectors(Encoder.load(tmp_path / "theirs", device="cpu"), theirs)


@pytest.mark.slow
def test_the_packaged_model_gives_their_vectors():
    encoder = Encoder.load("sentence-transformers/all-MiniLM-L6-v2", device="cpu")
    from workbench.encode.hub import find_folder

    theirs = peer(find_folder("all-MiniLM-L6-v2"))
    texts = [*TEXTS, "long " * 400]
    np.testing.assert_allclose(
        encoder.encode(texts, progress=False).values, theirs.encode(texts), atol=1e-5
    )
    assert encoder.report["truncated"] == 1
    assert (encoder.dim, encoder.max_length, encoder.normalize) == (384, 256, True)


def test_a_plain_folder_takes_the_arguments(tmp_path):
    encoder = made("transformer")
    encoder.body.model.save_pretrained(tmp_path)
    encoder.tokenizer.save_pretrained(tmp_path)
    again = Encoder.load(
        tmp_path, pooling="last", normalize=False, prompts=PROMPTS, max_length=9, device="cpu"
    )
    assert (again.body.pooling, again.normalize, again.max_length) == ("last", False, 9)
    assert again.prompts == PROMPTS
    assert Encoder.load(tmp_path, device="cpu").normalize
    half = Encoder.load(tmp_path, dtype=torch.bfloat16, device="cpu")
    assert half.encode(TEXTS, progress=False).values.dtype == np.float32
    assert half.fingerprint("doc") != Encoder.load(tmp_path, device="cpu").fingerprint("doc")


def test_a_head_that_no_vector_depends_on_changes_no_fingerprint(tmp_path):
    encoder = made("transformer")
    before = encoder.fingerprint("doc")
    with torch.no_grad():
        encoder.body.model.pooler.dense.weight.add_(1)
    assert encoder.fingerprint("doc") == before
    assert not any(p.requires_grad for p in encoder.body.model.pooler.parameters())


def test_lower_casing_asked_for_by_the_folder_happens(tmp_path):
    from tokenizers import normalizers

    encoder = made("transformer")
    encoder.tokenizer.backend_tokenizer.normalizer = normalizers.NFC()  # case now matters
    encoder.save(tmp_path / "m")
    files.write_json(
        tmp_path / "m" / "sentence_bert_config.json", {"max_seq_length": 24, "do_lower_case": True}
    )
    again = Encoder.load(tmp_path / "m", device="cpu")
    assert_same_vectors(again, peer(tmp_path / "m"))
    upper, lower = again.encode(["ADD", "add"], progress=False).values
    np.testing.assert_array_equal(upper, lower)


def test_saving_again_replaces_and_a_failed_save_leaves_the_old(tmp_path, monkeypatch):
    encoder = made("bag")
    encoder.save(tmp_path / "m")
    mark = encoder.fingerprint("doc")
    with torch.no_grad():
        encoder.body.embedding.weight.mul_(2)
    monkeypatch.setattr("workbench.encode.st_format._write_bag", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        encoder.save(tmp_path / "m")
    assert Encoder.load(tmp_path / "m", device="cpu").fingerprint("doc") == mark
    monkeypatch.undo()
    encoder.save(tmp_path / "m")
    assert Encoder.load(tmp_path / "m", device="cpu").fingerprint("doc") != mark
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def changed(folder, name, change):
    value = json.loads((folder / name).read_text())
    change(value)
    (folder / name).write_text(json.dumps(value))


def test_what_cannot_be_read_is_refused_by_name(tmp_path):
    made("transformer").save(tmp_path / "m")

    def folder(name):
        import shutil

        return shutil.copytree(tmp_path / "m", tmp_path / name)

    dense = folder("dense")
    changed(dense, "modules.json", lambda v: v.append({"path": "3", "type": "x.models.Dense"}))
    with pytest.raises(BadArgument, match="it has a Dense module, and the workbench reads"):
        Encoder.load(dense)
    most = folder("max")
    changed(most, "1_Pooling/config.json", lambda v: v.update(pooling_mode="max"))
    with pytest.raises(BadArgument, match="it pools by max, and the workbench has mean, cls, last"):
        Encoder.load(most)
    two = folder("two")
    changed(two, "1_Pooling/config.json", lambda v: v.update(pooling_mode_cls_token=True))
    with pytest.raises(BadArgument, match=r"it pools by pooling_mode_.* and pooling_mode_"):
        Encoder.load(two)
    out = folder("out")
    changed(out, "1_Pooling/config.json", lambda v: v.update(include_prompt=False))
    with pytest.raises(BadArgument, match="it leaves the prompt out of the pooling"):
        Encoder.load(out)
    pickled = folder("pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(BadArgument, match="pickled ones can run code"):
        Encoder.load(pickled)
    with pytest.raises(BadArgument, match="`pooling` is 'max', but it must be one of mean, cls"):
        Encoder.load(tmp_path / "m", pooling="max")


def test_a_missing_model_names_the_mend(tmp_path, monkeypatch):
    with pytest.raises(BadArgument, match=r"there is no such folder\. Check the spelling"):
        Encoder.load(str(tmp_path / "nothing"))
    with pytest.raises(BadArgument, match=r"it must hold modules.json or config.json"):
        Encoder.load(tmp_path)
    with pytest.raises(BadArgument, match=r"the hub gave none .* Check the spelling and the net"):
        Encoder.load("nobody/nothing")
    monkeypatch.setattr("workbench.encode.hub.find_spec", lambda name: None)
    with pytest.raises(BadArgument, match=r'pip install "negatives-workbench\[model\]"'):
        Encoder.load("all-MiniLM-L6-v2")
