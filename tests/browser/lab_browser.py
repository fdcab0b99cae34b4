"""A real JupyterLab and a real browser, on this machine only.

Used by the browser tests, benchmarks/widgets.py and .ci/screenshots.py. Nothing started here
outlives its `with` block: the server hangs on a pipe of this process and stops when the pipe
closes, also when this process is killed, and it takes its kernels with it; the browser hangs on
Playwright's driver in the same way.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0  # seconds; a busy machine of two cores needs them, a quiet one a tenth
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
)  # fmt: skip
SETTINGS: dict[str, dict[str, object]] = {
    "apputils-extension/notification": {
        "fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True,
    },
    "apputils-extension/sessionDialogs": {"skipKernelRestartDialog": True},
    "docmanager-extension/plugin": {"autosave": False},
    "notebook-extension/tracker": {"windowingMode": "none"},  # cells off screen are there too
}  # fmt: skip
THEMES = "apputils-extension/themes"
# A server that stops when its parent closes the pipe, or dies.
SERVE = """
import os, signal, sys, threading
def leash():
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=leash, daemon=True).start()
from jupyterlab.labapp import main
main()
"""


class NoBrowser(RuntimeError):
    """There is no Chromium, and it could not be installed."""


def _run(*command: str) -> None:
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet)
    if done.returncode:
        raise NoBrowser(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def _installed(playwright: Any) -> str | None:
    own = os.environ.get("WORKBENCH_CHROMIUM")
    found = [own, *map(shutil.which, NAMES), playwright.chromium.executable_path]
    return next((path for path in found if path and Path(path).is_file()), None)


def chromium(playwright: Any) -> str:
    """The browser's program: `$WORKBENCH_CHROMIUM`, one on the PATH, Playwright's, or installed.

    Raises:
        NoBrowser: there is none, and it could not be installed.
    """
    if found := _installed(playwright):
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        with suppress(NoBrowser):  # some systems have no such package
            _run("apt-get", "update", "-qq")
            _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium")
    if not _installed(playwright):
        _run(sys.executable, "-m", "playwright", "install", "chromium")
    if found := _installed(playwright):
        return found
    raise NoBrowser("no Chromium: install one, or name it in WORKBENCH_CHROMIUM")


@contextmanager
def browser(*, width: int = 1400, height: int = 1000, scale: float = 1) -> Iterator[Any]:
    """A browser context in which pages share a cache and nothing else reaches the network.

    Args:
        width: of the window, pixels.
        height: of the window, pixels.
        scale: device pixels per pixel; 2 for sharp pictures.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        program = chromium(playwright)
        started = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield started.new_context(
                viewport={"width": width, "height": height}, device_scale_factor=scale
            )
        finally:
            with suppress(Exception):  # it may have crashed, which is no reason to hide why
                started.close()


def _environment(home: Path) -> dict[str, str]:
    """This process's, with a home of its own; kernels inherit it."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("JUPYTER")}
    kept |= {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}
    folders = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    own = {f"JUPYTER_{name}": str(home / name.lower()) for name in folders}
    own |= {
        f"JUPYTERLAB_{name}_DIR": str(home / name.lower()) for name in ("SETTINGS", "WORKSPACES")
    }
    return kept | own | {
        "HOME": str(home), "IPYTHONDIR": str(home / "ipython"), "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH")])),
        "WORKBENCH_LAB": str(home), "NO_PROXY": "127.0.0.1",
    }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A JupyterLab server.

    Args:
        url: its address, ending in a slash.
        token: what opens it.
        folder: the folder it serves.
        home: everything else it writes; processes that belong to it have it as WORKBENCH_LAB.
    """

    url: str
    token: str
    folder: Path
    home: Path

    def ask(self, path: str, *, method: str = "GET") -> Any:
        """The JSON answer of the server's interface, None where it answers nothing."""
        head = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(self.url + path, method=method, headers=head)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=PATIENCE) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def shut_kernels(self) -> None:
        """End every session, and light the theme again."""
        for session in self.ask("api/sessions"):
            self.ask(f"api/sessions/{session['id']}", method="DELETE")
        (self.home / "settings" / f"@jupyterlab/{THEMES}.jupyterlab-settings").unlink(
            missing_ok=True
        )


@contextmanager
def lab_server() -> Iterator[Lab]:
    """A JupyterLab on a free port of loopback, with a home in a temporary folder."""
    home = Path(tempfile.mkdtemp(prefix="workbench-lab-"))
    folder = home / "root"
    folder.mkdir()
    for name, values in SETTINGS.items():
        path = home / "settings" / f"@jupyterlab/{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    token = os.urandom(16).hex()
    options = {
        "ServerApp.root_dir": folder, "ServerApp.ip": "127.0.0.1", "ServerApp.port": 0,
        "ServerApp.port_retries": 0, "IdentityProvider.token": token,
        "LabApp.expose_app_in_browser": True, "LabApp.extension_manager": "readonly",
    }  # fmt: skip
    words = [
        "--no-browser",
        "--allow-root",
        *(f"--{name}={value}" for name, value in options.items()),
    ]
    log = (home / "log").open("w+", encoding="utf-8")
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, *words], env=_environment(home), cwd=folder,
        stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    try:
        yield Lab(url=_address(server, home), token=token, folder=folder, home=home)
    finally:
        _stop(server)
        log.close()
        shutil.rmtree(home, ignore_errors=True)


def _address(server: subprocess.Popen[bytes], home: Path) -> str:
    """Where the server answers, once it does."""
    record = home / "runtime_dir" / f"jpserver-{server.pid}.json"
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        with suppress(OSError, ValueError):
            return f"http://127.0.0.1:{json.loads(record.read_text(encoding='utf-8'))['port']}/"
        time.sleep(0.05)
    raise RuntimeError("JupyterLab did not start:\n" + (home / "log").read_text()[-3000:])


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Let go of the leash; what is still there after ten seconds is killed, kernels first."""
    import psutil

    try:
        below = psutil.Process(server.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        below = []
    assert server.stdin is not None
    server.stdin.close()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    _, left = psutil.wait_procs(below, timeout=5)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
