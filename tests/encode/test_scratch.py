import subprocess
import sys

import pytest
import torch

from workbench.encode import scratch
from workbench.errors import BadArgument

PROGRAM = """
from workbench.encode import scratch
texts = [f"def get{a}From{b}(self, {a.lower()}_{b.lower()}): return {a}.{b}"
         for a in ("Value", "Name", "Path", "Éclair") for b in ("List", "Tree", "HTTP2", "Über")]
made = scratch(texts, vocab_size=120, dim=8, device="cpu").fingerprint("doc")
"""


@pytest.mark.slow
def test_another_process_makes_the_same_encoder():
    run = [sys.executable, "-c", PROGRAM + "print(made)"]
    there = subprocess.run(run, capture_output=True, text=True, check=True, encoding="utf-8")
    here = {}
    exec(PROGRAM, here)
    assert there.stdout.strip() == here["made"]


def test_identifiers_are_split_and_lower_case():
    texts = ["get http response 2 code camel case private snake"] * 3
    encoder = scratch(texts, vocab_size=200, dim=8, device="cpu")
    pieces = encoder.tokenizer.encode("getHTTPResponse2Code(camelCase, _private_snake)").tokens
    words = "get http response 2 code camel case private snake".split()
    assert [piece for piece in pieces if piece != "[UNK]"] == words
    assert pieces.count("[UNK]") == 3


def test_reserved_pieces_are_not_found_inside_texts():
    encoder = scratch(["ab a # b"], vocab_size=60, dim=8, device="cpu")
    assert encoder.tokenizer.encode("##b").tokens == ["#", "#", "b"]


def test_seed_decides_and_nothing_global_moves():
    before = torch.random.get_rng_state()
    same, again, other = (
        scratch(["add two"], kind=kind, vocab_size=60, dim=8, seed=seed, device="cpu")
        for kind, seed in (("transformer", 0), ("transformer", 0), ("transformer", 1))
    )
    assert torch.equal(before, torch.random.get_rng_state())
    assert same.fingerprint("doc") == again.fingerprint("doc") != other.fingerprint("doc")


def test_a_bag_learns_to_tell_pairs_apart():
    words = ["sort", "read", "write", "close", "merge", "split", "count", "parse"]
    queries, docs = [f"how to {w}" for w in words], [f"def {w}Thing(x)" for w in words]
    encoder = scratch(queries + docs, vocab_size=200, dim=16, device="cpu").train()
    left, right = encoder.tokenize(queries, side="query"), encoder.tokenize(docs, side="doc")
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=1e-2)
    everything, target = range(len(words)), torch.arange(len(words))
    for _ in range(20):
        scores = encoder(**left.take(everything)) @ encoder(**right.take(everything)).T
        loss = torch.nn.functional.cross_entropy(scores / 0.05, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert torch.equal(scores.argmax(dim=1), target)
    assert loss.item() < 0.1


@pytest.mark.parametrize(
    ("options", "wording"),
    [
        ({"kind": "bags"}, "`kind` is 'bags'.*Did you mean 'bag'"),
        ({"dim": 0}, "`dim` is 0"),
        ({"kind": "transformer", "dim": 10, "heads": 4}, "`heads` is 4, but it must divide dim=10"),
        ({"vocab_size": 5}, "`vocab_size` is 5, but these texts have 4 characters"),
        ({"max_length": 0}, "`max_length` is 0"),
    ],
)
def test_wrong_options_are_named(options, wording):
    with pytest.raises(BadArgument, match=wording):
        scratch(["def add"], **{"vocab_size": 60, "dim": 8, **options})
