"""Importing costs what the importer needs: heavy libraries load on first use."""

import subprocess
import sys

import pytest

HEAVY = (
    "bm25s", "dask", "datasets", "distributed", "faiss", "ipywidgets", "matplotlib", "numba",
    "pandas", "papermill", "plotly", "sentence_transformers", "sklearn", "transformers", "umap",
)  # fmt: skip
LIGHT_ROOMS = ("errors", "registry", "files", "types", "data", "sample", "report", "sweep")
TORCH_ROOMS = (
    "arms",
    "cluster",
    "scores",
    "rules",
    "losses",
    "nn",
    "encode",
    "mine",
    "train",
    "evaluate",
)


def added_by(statement: str) -> set[str]:
    """The modules that one import adds in a fresh interpreter."""
    script = (
        "import sys; before = set(sys.modules)\n"
        f"{statement}\n"
        "print('\\n'.join(sorted(set(sys.modules) - before)))"
    )
    command = [sys.executable, "-W", "error::ImportWarning", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return set(done.stdout.split())


def test_the_front_door_loads_next_to_nothing():
    added = added_by("import workbench")
    assert "workbench" in added
    assert len(added) < 20, sorted(added)
    assert not added & {*HEAVY, "torch", "numpy", "scipy"}


@pytest.mark.slow
@pytest.mark.parametrize("room", LIGHT_ROOMS)
def test_light_rooms_load_no_torch(room):
    added = added_by(f"import workbench.{room}")
    assert f"workbench.{room}" in added
    assert not added & {*HEAVY, "torch", "scipy.sparse"}


@pytest.mark.slow
@pytest.mark.parametrize("room", TORCH_ROOMS)
def test_other_rooms_load_torch_at_most(room):
    added = added_by(f"import workbench.{room}")
    assert f"workbench.{room}" in added
    assert not added & {*HEAVY, "scipy.sparse"}


@pytest.mark.slow
def test_every_name_on_the_front_door_opens():
    script = "import workbench\nfor name in workbench.__all__: getattr(workbench, name)"
    subprocess.run([sys.executable, "-c", script], timeout=120, check=True)
