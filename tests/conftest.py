"""What every test gets: no network, few threads, the shared collections when they are there."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

# Before any test imports torch or transformers; they read these once. One thread: tests are small,
# two of them run side by side, and threads that wait for each other on a busy machine only spin.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ["HF_HUB_OFFLINE"] = "1"
if not os.environ.get("WORKBENCH_GPU_TESTS"):  # numbers are compared bit by bit, in fp32, on a CPU
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import hypothesis
import jaxtyping
import numpy as np
import pytest
import typed

typed.install()  # before a module of ours is imported
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell started this in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)

# At home every run draws new examples; a landing must not depend on what was drawn.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

# Fixtures are no examples, and two files of one name would get in each other's way as doctests.
collect_ignore_glob = ["conftest.py", "*/conftest.py"]

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of judged collections and gold numbers beside the checkout."""
    folder = ROOT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("the shared collections are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def machine_path() -> re.Pattern[str]:
    """What a path of one person's machine looks like; web addresses are not meant."""
    homes = "root|home|work|Users|opt|mnt|private|workspace|tmp/ipykernel"
    return re.compile(rf"(?<![\w.~$}}<>*])/(?:{homes})[/_][\w.]")


@pytest.fixture
def untyped() -> Iterator[None]:
    """As users run it: no type checker stands before our own messages."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def rng() -> np.random.Generator:
    """The same numbers in every test, whichever ran before it."""
    return np.random.default_rng(0)


def _is_local(address: object) -> bool:
    if not isinstance(address, tuple):
        return True  # a Unix socket's path
    return address[0] in ("localhost", "::1", "") or str(address[0]).startswith("127.")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that leaves this machine, so that no test can depend on one."""
    for method in ("connect", "connect_ex"):
        real = getattr(socket.socket, method)

        def guarded(self, address, *, real=real):
            if not _is_local(address):
                raise RuntimeError(f"a test tried to reach {address!r}")
            return real(self, address)

        monkeypatch.setattr(socket.socket, method, guarded)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests first: a mistake shows after seconds, not after the slow ones."""
    items.sort(key=lambda item: ("slow" in item.keywords) + 2 * (item.path.suffix == ".ipynb"))


@pytest.fixture
def collection_of():
    """A collection out of {(query, doc): grade}; texts are the ids unless given."""

    from datasets import Dataset
    from scipy.sparse import coo_array

    from workbench.types import Collection

    def make(grades, *, queries, docs, doc_groups=None, query_texts=None, doc_texts=None):
        def table(prefix, count, texts):
            ids = [f"{prefix}{place}" for place in range(count)]
            return Dataset.from_dict({"id": ids, "text": texts or ids, "source": ["test"] * count})

        cells = (np.array([cell[0] for cell in grades], dtype=int),
                 np.array([cell[1] for cell in grades], dtype=int))  # fmt: skip
        values = np.array(list(grades.values()), dtype=np.float32)
        return Collection(
            name="made",
            queries=table("q", queries, query_texts),
            corpus=table("d", docs, doc_texts),
            qrels=coo_array((values, cells), shape=(queries, docs)).tocsr(),
            query_groups=np.arange(queries),
            doc_groups=np.arange(docs) if doc_groups is None else np.array(doc_groups),
        )

    return make
