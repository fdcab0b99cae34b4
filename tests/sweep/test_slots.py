"""Where runs go."""

import pytest

from workbench.errors import BadArgument
from workbench.sweep import slots as module
from workbench.sweep.slots import VISIBLE, gpus_here, slots


def test_one_slot_per_gpu_filled_round_by_round(monkeypatch):
    monkeypatch.setattr(module, "gpus_here", lambda: ["0", "3"])
    assert [one[VISIBLE] for one in slots()] == ["0", "3"]
    assert [one[VISIBLE] for one in slots(per_gpu=2)] == ["0", "3", "0", "3"]
    assert [one[VISIBLE] for one in slots(per_gpu=2, jobs=3)] == ["0", "3", "0"]
    assert [one[VISIBLE] for one in slots(gpus=["GPU-abc"])] == ["GPU-abc"]


def test_without_gpus_cores_are_shared_out(monkeypatch):
    monkeypatch.setattr(module, "gpus_here", list)
    monkeypatch.setattr(module, "cores", lambda: 8)
    assert len(slots()) == 8
    assert {one["OMP_NUM_THREADS"] for one in slots(jobs=2)} == {"4"}
    assert {one["MKL_NUM_THREADS"] for one in slots(jobs=20)} == {"1"}
    assert VISIBLE not in slots()[0]
    assert slots(gpus=[])[0][VISIBLE] == "", "GPUs that are there stay hidden"


def test_what_the_environment_hides_stays_hidden(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv(VISIBLE, "5,7")
    assert gpus_here() == ["5", "7"]
    monkeypatch.delenv(VISIBLE)
    assert gpus_here() == ["0", "1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobs": 0}, "`jobs` is 0"),
        ({"per_gpu": 0}, "`per_gpu` is 0"),
        ({"threads": 0}, "`threads` is 0"),
        ({"gpus": [0, 0]}, "`gpus` is .*each is named once"),
        ({"gpus": [0], "jobs": 2}, "`jobs` is 2, but 1 GPUs with 1 kernels each give 1 slots"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(BadArgument, match=message):
        slots(**options)
