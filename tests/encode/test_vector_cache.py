import copy
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from workbench.encode import VectorCache, scratch, shelf
from workbench.encode.shelf import Shelf, text_key

TEXTS = [f"def add{n}(first, second): return first + second + {n}" for n in range(12)]


@pytest.fixture(scope="module")
def encoder():
    return scratch(TEXTS, dim=8, vocab_size=200, device="cpu")


def perturbed(encoder):
    other = copy.deepcopy(encoder)
    with torch.no_grad():
        other.body.embedding.weight.copy_(other.body.embedding.weight.flip(0))
    return other


def test_second_time_encodes_nothing_and_reads_the_map(tmp_path, encoder):
    fresh = encoder.encode(TEXTS, progress=False)
    first = VectorCache(tmp_path)
    encoder.encode(TEXTS, cache=first, progress=False)
    second = VectorCache(tmp_path)
    served = encoder.encode(TEXTS, cache=second, progress=False)
    assert (first.hits, first.misses, first.encoded) == (0, 12, 12)
    assert (second.hits, second.misses, second.encoded) == (12, 0, 0)
    assert encoder.report["encoded"] == 0
    assert isinstance(served.values, np.memmap)
    np.testing.assert_array_equal(served.values, fresh.values)


def test_partial_hits_encode_only_what_is_new_in_any_order(tmp_path, encoder):
    cache = VectorCache(tmp_path)
    encoder.encode(TEXTS[3:7], cache=cache, progress=False)
    asked = [*TEXTS[::-1], *TEXTS[:2]]
    served = encoder.encode(asked, cache=cache, progress=False)
    assert (cache.hits, cache.misses, cache.encoded) == (4, 12, 12)
    np.testing.assert_allclose(
        served.values, encoder.encode(asked, progress=False).values, atol=1e-6
    )


def test_another_model_of_the_same_name_never_gets_old_vectors(tmp_path, encoder):
    """PEERS.md 3b.1: a peer's cache keyed by name served the vectors of the untrained model."""
    cache = VectorCache(tmp_path)
    old = encoder.encode(TEXTS, cache=cache, progress=False).values
    trained = copy.deepcopy(encoder).train()
    tokens = trained.tokenize(TEXTS, side="doc").take(range(12))
    optimiser = torch.optim.AdamW(trained.parameters(), lr=1e-2)
    for _ in range(3):
        vectors = trained(**tokens)
        (vectors @ vectors.T).sum().backward()
        optimiser.step()
        optimiser.zero_grad()
        served = trained.encode(TEXTS, cache=cache, progress=False).values
        np.testing.assert_array_equal(served, trained.encode(TEXTS, progress=False).values)
        assert np.abs(served - old).max() > 1e-3
    assert cache.hits == 0
    np.testing.assert_array_equal(encoder.encode(TEXTS, cache=cache, progress=False).values, old)
    assert cache.hits == 12


def test_sides_with_other_prompts_do_not_mix(tmp_path, encoder):
    other = copy.deepcopy(encoder)
    cache = VectorCache(tmp_path)
    other.encode(TEXTS, side="query", cache=cache, progress=False)
    other.encode(TEXTS, side="doc", cache=cache, progress=False)
    assert cache.encoded == 12  # no prompt on either side: one vector serves both
    other.prompts["query"] = "add "
    other.encode(TEXTS, side="query", cache=cache, progress=False)
    assert cache.encoded == 24


def test_explain_says_why(tmp_path, encoder):
    cache = VectorCache(tmp_path)
    encoder.encode(TEXTS[:4], cache=cache, progress=False)
    other = perturbed(encoder)
    other.encode(TEXTS[4:6], cache=cache, progress=False)
    rows = cache.explain(encoder, TEXTS)
    assert rows["texts"].tolist() == [4, 2, 6]
    assert rows["first"].tolist() == [0, 4, 6]
    mark = other.fingerprint("doc")
    assert rows["why"].tolist() == [
        "cached",
        f"cached by another encoder ({mark}): weights differ",
        "never seen",
    ]
    other.prompts["doc"] = "code: "
    other.max_length = 64
    why = cache.explain(other, TEXTS[4:5])["why"].item()
    assert why.endswith("prompt is 'code: ', was ''; max_length is 64, was 128")
    assert cache.frame()["texts"].tolist() == [2, 4]
    assert cache.encoded == 6  # explaining computes nothing
    assert (cache.hits, cache.misses) == (0, 6)


def test_a_damaged_vector_is_noticed_and_made_again(tmp_path, encoder):
    good = encoder.encode(TEXTS, cache=VectorCache(tmp_path), progress=False).values.copy()
    (file,) = tmp_path.glob("*/vectors.f32")
    with file.open("r+b") as handle:
        handle.seek(3 * 8 * 4 + 5)
        handle.write(b"\xff")
    cache = VectorCache(tmp_path)
    assert cache.explain(encoder, TEXTS)["why"].tolist() == [
        "cached",
        "its vector is damaged on disk",
    ]
    served = encoder.encode(TEXTS, cache=cache, progress=False).values
    np.testing.assert_array_equal(served, good)
    assert (cache.hits, cache.encoded) == (11, 1)
    again = VectorCache(tmp_path)
    np.testing.assert_array_equal(encoder.encode(TEXTS, cache=again, progress=False).values, good)
    assert again.encoded == 0


@pytest.mark.parametrize("lost", [1, 7, 24, 25])
@pytest.mark.parametrize("name", ["vectors.f32", "index.bin"])
def test_a_torn_tail_is_ignored_and_healed(tmp_path, encoder, name, lost):
    good = encoder.encode(TEXTS, cache=VectorCache(tmp_path), progress=False).values.copy()
    (file,) = tmp_path.glob(f"*/{name}")
    os.truncate(file, file.stat().st_size - lost)
    cache = VectorCache(tmp_path)
    np.testing.assert_array_equal(encoder.encode(TEXTS, cache=cache, progress=False).values, good)
    assert 1 <= cache.encoded <= 2
    again = VectorCache(tmp_path)
    np.testing.assert_array_equal(encoder.encode(TEXTS, cache=again, progress=False).values, good)
    assert again.encoded == 0


def test_garbage_after_the_last_record_is_cut_off(tmp_path, encoder):
    encoder.encode(TEXTS[:5], cache=VectorCache(tmp_path), progress=False)
    for name in ("vectors.f32", "index.bin"):
        (file,) = tmp_path.glob(f"*/{name}")
        with file.open("ab") as handle:
            handle.write(b"\x01" * 17)
    served = encoder.encode(TEXTS, cache=VectorCache(tmp_path), progress=False)
    np.testing.assert_allclose(
        served.values, encoder.encode(TEXTS, progress=False).values, atol=1e-6
    )


def test_chunks_are_kept_although_a_later_one_fails(tmp_path, encoder, monkeypatch):
    monkeypatch.setattr("workbench.encode.encoder._kept_at_once", 4)
    cache, calls = VectorCache(tmp_path), []

    def fail_on_the_third(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    handle = encoder.register_forward_pre_hook(fail_on_the_third)
    with pytest.raises(KeyboardInterrupt):
        encoder.encode(TEXTS, cache=cache, progress=False)
    handle.remove()
    assert cache.encoded == 8
    encoder.encode(TEXTS, cache=cache, progress=False)
    assert (cache.hits, cache.encoded) == (8, 12)


# A vector that is known from its text alone, so that any process can check any other's.
WRITER = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
import numpy as np
spec = spec_from_file_location("shelf", sys.argv[5])  # alone, since torch takes seconds to import
module = module_from_spec(spec)
spec.loader.exec_module(module)
text_key = module.text_key
folder, first, last, chunk = Path(sys.argv[1]), *map(int, sys.argv[2:5])
shelf = module.Shelf(folder, dim=64)
print("ready", flush=True)
for start in range(first, last, chunk):
    numbers = range(start, min(start + chunk, last))
    values = np.stack([np.random.default_rng(n).random(64, dtype=np.float32) for n in numbers])
    shelf.append([text_key(str(n)) for n in numbers], values)
"""


def writer(folder, first, last, chunk):
    command = [
        sys.executable,
        "-c",
        WRITER,
        str(folder),
        *map(str, (first, last, chunk)),
        shelf.__file__,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def assert_nothing_wrong(folder, last):
    kept = Shelf(folder, dim=64)
    rows = kept.find([text_key(str(n)) for n in range(last)])
    assert (rows != -2).all()  # no record without its whole vector
    for number in np.flatnonzero(rows >= 0):
        expected = np.random.default_rng(number).random(64, dtype=np.float32)
        np.testing.assert_array_equal(kept.read(rows[number : number + 1])[0], expected)
    return int((rows >= 0).sum())


@pytest.mark.slow
def test_killed_writers_leave_no_wrong_vector(tmp_path):
    folder, found = tmp_path / "shelf", [0]
    for wait in (0.02, 0.05, 0.11):
        process = writer(folder, 0, 3000, 3)
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        found.append(assert_nothing_wrong(folder, 3000))
    assert found == sorted(found)
    assert found[-1] > 0
    finisher = writer(folder, 0, 3000, 500)
    finisher.communicate()
    assert assert_nothing_wrong(folder, 3000) == 3000


@pytest.mark.slow
def test_two_writers_at_once_lose_and_double_nothing(tmp_path):
    folder = tmp_path / "shelf"
    processes = [writer(folder, 0, 900, 7), writer(folder, 300, 1200, 11)]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert assert_nothing_wrong(folder, 1200) == 1200
    assert (folder / "vectors.f32").stat().st_size == 1200 * 64 * 4
    assert (folder / "index.bin").stat().st_size == 1200 * 24


def test_label_is_plain_json(tmp_path, encoder):
    encoder.encode(TEXTS[:1], cache=VectorCache(tmp_path), progress=False)
    (label,) = tmp_path.glob("*/label.json")
    assert label.parent.name == encoder.fingerprint("doc")
    assert json.loads(label.read_text())["label"] == encoder.components("doc")
