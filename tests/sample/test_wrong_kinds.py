"""What is of a wrong kind altogether is refused with the mend, and with nobody's traceback.

The tests' own type checker would speak first, so that all is asked in a process without it.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

ASKED = """
import json, sys
import numpy as np
import torch
from workbench import sample
from workbench.data import from_rows
from workbench.types import LossStore, Vectors

pairs = np.stack([np.arange(8), np.arange(8)], axis=1)
eye = np.eye(8, dtype=np.float32)
ids = np.array([str(n) for n in range(8)], dtype=object)
side = Vectors(values=eye, ids=ids, encoder="e")
demo = from_rows([{"query": "a", "positive": "b"}], name="demo")
two = {"batch_size": 2}
plain = sample.Shuffled(pairs, **two)
hard = np.arange(8)


def curriculum(schedule):
    return sample.Curriculum(pairs, hard, bands=2, schedule=schedule, **two)


cases = {
    "known": lambda: sample.Shuffled(pairs, known=demo, **two),
    "conflict_free": lambda: sample.ConflictFree(pairs, known=demo, **two),
    "negatives": lambda: sample.Shuffled(pairs, negatives=[1], num_negatives=1, **two),
    "window": lambda: sample.Shuffled(pairs, window=5, **two),
    "no window": lambda: sample.Shuffled(pairs, window=None, **two),
    "pair": lambda: plain.refresh((side, side)),
    "tensor": lambda: plain.refresh(torch.eye(8)),
    "list": lambda: sample.Clusters(pairs, [side, side], **two),
    "tensors": lambda: sample.Neighbours(pairs, vectors=torch.eye(8), **two),
    "neighbours": lambda: sample.Neighbours(pairs, (side, side), **two),
    "vectors": lambda: sample.Neighbours(pairs, eye, **two),
    "topics": lambda: sample.Topics(pairs, 2, [side], **two),
    "sizes": lambda: sample.Clusters(pairs, schedule=[(0, 2)], **two),
    "losses": lambda: sample.HardReplay(plain, None),
    "sources": lambda: sample.Homogeneous(pairs, None, **two),
    "source": lambda: sample.Homogeneous(pairs, "a", **two),
    "epochs": lambda: plain.summary(epochs=3),
    "no epochs": lambda: plain.summary(epochs=()),
    "places": lambda: sample.nearby([["a"]], k=2),
    "state": lambda: plain.load_state(None),
    "no schedule": lambda: curriculum(None),
    "words": lambda: curriculum({0: "01"}),
    "number": lambda: curriculum({0: 0, 2: [0, 1]}),
    "half": lambda: curriculum({0: [0.5]}),
    "bands": lambda: sample.hardness_bands(hard, "many"),
    "half a band": lambda: sample.hardness_bands(hard, 2.5),
}
said = {}
for name, case in cases.items():
    try:
        said[name] = repr(case())
    except Exception as error:
        said[name] = f"{type(error).__name__}: {error}"
print(json.dumps(said))
"""
WANTED = {
    "known": "Pass KnownPositives.of(collection).",
    "conflict_free": "Pass KnownPositives.of(collection).",
    "negatives": "`negatives` is [1], but it must be Candidates",
    "window": "`window` is 5, but it must be (ranks to skip, last rank or None)",
    "no window": "`window` is None, but it must be (ranks to skip, last rank or None)",
    "pair": "`queries` is 'tuple', but it must be Vectors or a NumPy array of one side. Unpack",
    "tensor": "`queries` is 'Tensor', but it must be Vectors or a NumPy array",
    "list": "`vectors` is 'list', but it must be query vectors, or a tuple",
    "tensors": "`vectors` is 'Tensor', but it must be query vectors, or a tuple",
    "neighbours": "Name vectors: vectors=(query vectors, document vectors).",
    "vectors": "vectors are named, vectors=.",
    "topics": "`vectors` is 'list', but it must be query vectors, or a tuple",
    "sizes": "`schedule` is [(0, 2)], but it must be {epoch: rows per cluster}",
    "losses": "`losses` is None, but it must be about 8 rows",
    "sources": "`sources` is (), but it must be (8,), one per row of pairs",
    "source": "`sources` is (), but it must be (8,), one per row of pairs",
    "epochs": "`epochs` is 3, but it must name the epochs. Try range(3).",
    "no epochs": "`epochs` is (), but it must name the epochs. Try range(3).",
    "places": "`places` is [['a']], but it must be numbers of shape (row, m)",
    "state": "`state` is None, but it must come from a Shuffled over the same rows",
    "no schedule": "`schedule` is None, but it must be one of easy_to_hard, hard_to_easy, or name",
    "words": "but an epoch must open some of the bands 0..1",
    "number": "but an epoch must open some of the bands 0..1",
    "half": "but an epoch must open some of the bands 0..1",
    "bands": "`bands` is 'many', but edges must be finite and rise",
    "half a band": "`bands` is 2.5, but edges must be finite and rise",
}


@pytest.fixture(scope="module")
def said():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ASKED], capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(WANTED))
def test_a_wrong_kind_is_refused_with_the_mend(said, name):
    assert said[name].startswith("BadArgument: ")
    assert WANTED[name] in said[name]


def test_every_case_is_asked(said):
    assert set(said) == set(WANTED)
