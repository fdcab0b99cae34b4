"""The same sweep by local kernels, by a Dask cluster and through a Jupyter Kernel Gateway."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from workbench import cluster, sweep
from workbench.errors import BadArgument
from workbench.sweep import kernels

TOKEN = "JUPYTER_GATEWAY_AUTH_TOKEN"
GRID = {"margin": [0.0, 0.1]}
CELL = "import numpy as np\nmargin += float(np.random.default_rng(seed).normal())"


def shown():
    return {"Authorization": f"token {os.environ[TOKEN]}"} if TOKEN in os.environ else {}


def kernels_at(address):
    return httpx.get(f"{address}/api/kernels", headers=shown(), trust_env=False).json()


def figures(found):
    return {one.run: found.result(one).get("trained") for one in found.entries}


@pytest.fixture
def gateway(tmp_path):
    """A real gateway on loopback that wants a token where the environment has one: its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "kernel_gateway", "--KernelGatewayApp.ip=127.0.0.1",
        "--JupyterWebsocketPersonality.list_kernels=True",
        f"--KernelGatewayApp.port={port}", "--KernelGatewayApp.port_retries=0",
    ]  # fmt: skip
    environment = {**os.environ, "HOME": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path)}
    environment["KG_AUTH_TOKEN"] = environment.pop(TOKEN, "")
    environment.pop(kernels.GATEWAY, None)
    process = subprocess.Popen(
        command, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    end = time.monotonic() + 60
    try:
        while True:
            try:
                httpx.get(f"{address}/api", headers=shown(), trust_env=False)
                break
            except httpx.HTTPError:
                assert time.monotonic() < end, "the gateway does not start"
                time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


@pytest.mark.slow
def test_three_engines_give_the_same_numbers(tiny, tmp_path, gateway, monkeypatch):
    path, options = tiny(CELL), {"grid": GRID, "seeds": 2, "progress": False}
    here = sweep.run(path, runs=tmp_path / "local", jobs=2, gpus=[], **options)
    with cluster.connect(workers=2) as client:
        spread = sweep.run(path, runs=tmp_path / "dask", engine="dask", client=client, **options)
    monkeypatch.setenv(kernels.GATEWAY, gateway)
    remote = sweep.run(path, runs=tmp_path / "remote", jobs=2, gpus=[], **options)
    assert [one.error for found in (here, spread, remote) for one in found.entries] == [""] * 12
    assert len(figures(here)) == 4
    assert figures(here) == figures(spread) == figures(remote)
    assert kernels_at(gateway) == [], "a kernel stays at the gateway"


@pytest.mark.slow
def test_a_result_comes_back_from_a_kernel_that_shares_no_disk(
    tiny, tmp_path, gateway, monkeypatch
):
    runs = tmp_path / "runs"
    elsewhere = str(tmp_path / "elsewhere")
    cell = f"import os; os.environ['KERNEL_WORKBENCH_RUN'] = {elsewhere!r}"
    monkeypatch.setenv(kernels.GATEWAY, gateway)
    found = sweep.run(tiny(cell), grid={}, runs=runs, jobs=1, gpus=[], progress=False)
    (entry,) = found.entries
    assert entry.status == "done", entry.error
    assert found.result(entry)["trained"] == 0.25
    assert (tmp_path / "elsewhere" / "result.json").is_file()


@pytest.mark.slow
def test_a_run_whose_worker_is_killed_is_done_by_another(tiny, tmp_path):
    started = tmp_path / "started"
    started.mkdir()
    path = tiny(
        f"import os, time, pathlib\nseen = pathlib.Path({str(started)!r})\n"
        "(seen / f'{margin}-{os.getppid()}-{time.time_ns()}').touch()\n"
        "time.sleep(8 if len(list(seen.iterdir())) <= 2 else 0)"
    )
    with cluster.connect(workers=2) as client:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as pool:
            going = pool.submit(
                sweep.run, path, grid=GRID, runs=tmp_path / "runs", engine="dask",
                client=client, progress=False,
            )  # fmt: skip
            end = time.monotonic() + 60
            while len(list(started.iterdir())) < 2:
                assert time.monotonic() < end, going
                time.sleep(0.1)
            victim = int(next(iter(started.iterdir())).name.split("-")[1])
            os.kill(victim, signal.SIGKILL)
            found = going.result(120)
    assert [one.status for one in found.entries] == ["done", "done"]
    assert len(list(started.iterdir())) == 3, "one was begun twice"
    shutil.rmtree(started)


@pytest.mark.slow
def test_stopping_a_run_on_a_worker_ends_its_kernel(tiny, tmp_path, kernels_of):
    runs = tmp_path / "runs"
    with cluster.connect(workers=1) as client:
        found = sweep.run(
            tiny("import time; time.sleep(60)"), grid={}, runs=runs, engine="dask",
            client=client, seconds=6, progress=False,
        )  # fmt: skip
    assert "it took longer than 6 seconds" in found.entries[0].error
    assert not kernels_of(runs)


@pytest.fixture
def secret(monkeypatch):
    monkeypatch.setenv(TOKEN, "secret")


@pytest.mark.slow
def test_a_gateway_with_a_token_is_used_and_a_wrong_token_named(
    secret, gateway, tiny, tmp_path, monkeypatch
):
    monkeypatch.setenv(kernels.GATEWAY, f"{gateway}/")
    options = {"grid": {}, "runs": tmp_path / "runs", "jobs": 1, "gpus": [], "progress": False}
    found = sweep.run(tiny(), **options)
    assert [one.error for one in found.entries] == [""]
    monkeypatch.setenv(TOKEN, "wrong")
    with pytest.raises(BadArgument, match=r"refuses this token \(HTTP 40[13]\)") as told:
        sweep.run(tiny(), **options)
    assert "wrong" not in str(told.value)


@pytest.mark.slow
def test_a_run_behind_a_gateway_is_ended_when_it_should_be(gateway, tiny, tmp_path, monkeypatch):
    """By its limit, by its kernel's death (the gateway starts another), by the gateway's end."""
    monkeypatch.setenv(kernels.GATEWAY, gateway)
    path = tiny(
        "import os, signal, time\nif margin == 0.1: os.kill(os.getpid(), signal.SIGKILL)\n"
        "if margin == 0.2: time.sleep(600)\nif margin == 0.3: os.kill(os.getppid(), 15)\n"
        "if margin == 0.3: time.sleep(600)"
    )
    options = {"runs": tmp_path / "runs", "gpus": [], "progress": False}
    began = time.monotonic()
    found = sweep.run(path, grid={"margin": [0.1, 0.2]}, jobs=2, seconds=10, **options)
    assert time.monotonic() - began < 60
    errors = {one.parameters["margin"]: one.error for one in found.entries}
    assert "In [3] of 07_tiny.ipynb ended the kernel" in errors[0.1]
    assert errors[0.2] == "it took longer than 10 seconds"
    assert kernels_at(gateway) == []
    found = sweep.run(path, grid={"margin": 0.3}, jobs=1, name="last", **options)
    assert "the gateway closed its channels" in found.entries[0].error


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGKILL", "SIGHUP"])
def test_a_kernel_at_a_gateway_does_not_outlive_its_sweep(
    gateway, tiny, tmp_path, monkeypatch, name
):
    """After SIGKILL it does until the sweep goes on, which ends it; a closed terminal ends both."""
    monkeypatch.setenv(kernels.GATEWAY, gateway)
    path = tiny("import time\nif margin: time.sleep(600)")
    script = (
        "import sys\nfrom workbench import sweep\n"
        "sweep.run(sys.argv[1], grid={'margin': 1}, jobs=1, gpus=[], runs=sys.argv[2], name='a',"
        " progress=False)"
    )
    command = [sys.executable, "-c", script, str(path), str(tmp_path / "runs")]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)

    def until(condition):
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.1)

    until(lambda: any(one["execution_state"] == "busy" for one in kernels_at(gateway)))
    os.kill(process.pid, getattr(signal, name))
    process.wait(30)
    if name == "SIGKILL":
        (left,) = kernels_at(gateway)
        options = {"runs": tmp_path / "runs", "name": "a", "gpus": [], "progress": False}
        found = sweep.run(path, grid={"margin": 0}, jobs=1, **options)
        assert "done" in {one.status for one in found.entries}
        assert left["id"] not in {one["id"] for one in kernels_at(gateway)}
    until(lambda: kernels_at(gateway) == [])


@pytest.mark.slow
def test_a_silent_cell_behind_a_gateway_is_waited_for(gateway, tiny, tmp_path, monkeypatch):
    """jupyter_server's client gives up after KERNEL_LAUNCH_TIMEOUT seconds without a message."""
    from jupyter_server.gateway.gateway_client import GatewayClient

    monkeypatch.setenv(kernels.GATEWAY, gateway)
    monkeypatch.setattr(GatewayClient, "KERNEL_LAUNCH_TIMEOUT", 3)
    path = tiny("import time; time.sleep(6)")
    found = sweep.run(path, grid={}, runs=tmp_path / "runs", jobs=1, gpus=[], progress=False)
    assert [one.error for one in found.entries] == [""]


def test_memory_that_no_gateway_tells_is_refused(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv(kernels.GATEWAY, "http://127.0.0.1:9")
    options = {"runs": tmp_path / "runs", "jobs": 1, "gpus": [], "progress": False}
    with pytest.raises(BadArgument, match=r"`memory` is 1, but .*gateway"):
        sweep.run(tiny(), grid={}, memory=1, **options)
