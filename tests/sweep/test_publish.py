"""The model that is taken away: it loads elsewhere, and its card says what it is."""

import json

import numpy as np
import pytest
import yaml

from workbench import encode, sweep
from workbench.errors import BadArgument, BadData
from workbench.sweep.publish import model_card

RECORD = {
    "metric": "RR@10", "zero_shot": 0.2, "trained": 0.3, "headroom_recovered": None,
    "difference": {"mean": 0.1, "low": 0.05, "high": 0.15}, "seconds": 1.0, "seed": 0,
    "parameters": {"loss": "guide ``` <script>"}, "fingerprints": {"train": "abc"},
    "metrics": {"nDCG@10": 0.31}, "details": {}, "versions": {"torch": "2.13.0"},
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    encoder = encode.scratch(["add two numbers", "open a file"], dim=8, vocab_size=60)
    encoder.save(folder / "encoder")
    (folder / "result.json").write_text(json.dumps(RECORD), encoding="utf-8")
    return folder, encoder


def test_the_folder_loads_in_sentence_transformers(run, tmp_path):
    from sentence_transformers import SentenceTransformer

    folder, _ = run
    made = sweep.publish(folder, tmp_path / "out", name="functions")
    theirs = SentenceTransformer(str(made), device="cpu").encode(["add two numbers"])
    ours = encode.Encoder.load(made).encode(["add two numbers"], side="query").values
    assert np.allclose(theirs, ours, atol=1e-6)
    assert (made / "result.json").is_file()


def test_the_card_is_filled_and_its_head_is_yaml(run, tmp_path):
    made = sweep.publish(run[0], tmp_path / "out", name="functions", limits="Docstrings only.")
    text = (made / "README.md").read_text(encoding="utf-8")
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head)["library_name"] == "sentence-transformers"
    for told in ("# functions", "+0.1000 [+0.0500, +0.1500]", "nDCG@10 | 0.3100", '"train": "abc"',
                 '"torch": "2.13.0"', "Docstrings only."):  # fmt: skip
        assert told in body
    assert body.count("```") % 2 == 0, "a parameter cannot end its block"
    assert "{" not in model_card({**RECORD, "parameters": {}, "fingerprints": {}, "versions": {}},
                                 name="x")  # fmt: skip


def test_what_is_refused_leaves_nothing(run, tmp_path):
    folder, _ = run
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    with pytest.raises(BadArgument, match=r"`folder` is .*something is there"):
        sweep.publish(folder, tmp_path / "full", name="x")
    with pytest.raises(BadArgument, match="`name` is ''"):
        sweep.publish(folder, tmp_path / "out", name="")
    (folder / "encoder" / "modules.json").unlink()
    with pytest.raises(BadArgument, match="it holds no encoder/"):
        sweep.publish(folder, tmp_path / "out", name="x")
    (folder / "result.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BadData, match="it lacks metric, zero_shot"):
        sweep.publish(folder, tmp_path / "out", name="x")
    assert not (tmp_path / "out").exists()


def test_the_hub_is_asked_only_when_a_repository_is_named(run, tmp_path, monkeypatch):
    import huggingface_hub

    calls = []

    class Hub:
        def __init__(self, token=None):
            calls.append(("token", token))

        def create_repo(self, repo, **options):
            calls.append((repo, options))

        def upload_folder(self, *, folder_path, repo_id, commit_message):
            calls.append((repo_id, sorted(one.name for one in folder_path.iterdir())))

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    sweep.publish(run[0], tmp_path / "one", name="x")
    assert not calls
    sweep.publish(run[0], tmp_path / "two", name="x", repo="me/x", token="t")
    assert calls[0] == ("token", "t")
    assert calls[1] == ("me/x", {"private": True, "exist_ok": True})
    assert "README.md" in calls[2][1]


def test_a_hub_that_refuses_leaves_the_folder_whole(run, tmp_path, monkeypatch):
    import huggingface_hub

    def refuse(*_, **__):
        raise huggingface_hub.errors.LocalTokenNotFoundError("no token")

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", refuse)
    with pytest.raises(BadArgument, match=r"`repo` is 'me/x', but the Hub refuses .*no token"):
        sweep.publish(run[0], tmp_path / "out", name="x", repo="me/x")
    assert (tmp_path / "out" / "README.md").is_file()
