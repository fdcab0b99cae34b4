"""Which kernel executes a run: this Python, a named one, or one behind a Jupyter Kernel Gateway."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from subprocess import STDOUT
from typing import Any

from workbench.errors import check_choice

GATEWAY = "JUPYTER_GATEWAY_URL"
HERE = "workbench"
LOG = "kernel.log"


def gateway() -> str | None:
    """The address of the gateway that the environment names, as for JupyterLab itself.

    Example:
        >>> gateway() is None or gateway().startswith("http")
        True
    """
    return os.environ.get(GATEWAY) or None


def check_kernel(kernel: str | None) -> None:
    """Refuse a kernel that cannot be started, before anything is.

    Args:
        kernel: a kernelspec's name, of this machine or of the gateway; None = this very Python, or
            a gateway's "python3".

    Raises:
        BadArgument: nobody of that name, no gateway answers, or it wants a token.
    """
    if gateway() is not None:
        from workbench.sweep.gateway import names

        check_choice("kernel", kernel or "python3", names())
    elif kernel is not None:
        from jupyter_client.kernelspec import KernelSpecManager

        check_choice("kernel", kernel, sorted(KernelSpecManager().find_kernel_specs()))


def kernel_class(
    kernel: str | None,
    environment: Mapping[str, str],
    started: Callable[[Any], None],
    folder: Path | None = None,
) -> type:
    """A kernel manager's class for papermill.

    Args:
        kernel: see `check_kernel`.
        environment: variables of the kernel, beside those it inherits.
        started: told of every manager made, so that its kernel can be stopped from elsewhere.
        folder: of the run, which keeps what a local kernel itself says, or the address of one
            behind a gateway while it lives; None = neither is kept.
    """
    if gateway() is not None:
        from workbench.sweep.gateway import manager_class

        return manager_class(kernel or "python3", environment, started, folder)
    return _local(kernel, environment, started, None if folder is None else folder / LOG)


def _local(
    kernel: str | None,
    environment: Mapping[str, str],
    started: Callable[[Any], None],
    log: Path | None,
) -> type:
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    if kernel is None:
        # a cell's error is in the notebook
        launch = [sys.executable, "-m", "ipykernel_launcher", "--log-level=CRITICAL"]
        spec = KernelSpec(
            argv=[*launch, "-f", "{connection_file}"], display_name=HERE, language="python"
        )
    else:
        spec = KernelSpecManager().get_kernel_spec(kernel)
    spec.env = {**spec.env, **environment}

    class Local(AsyncKernelManager):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            started(self)

        @property
        def kernel_spec(self) -> KernelSpec:
            return spec

        async def start_kernel(self, **options: Any) -> None:
            if log is None:
                await super().start_kernel(**options)
                return
            with log.open("ab") as file:  # the kernel has its own copy of the handle
                await super().start_kernel(stdout=file, stderr=STDOUT, **options)

    return Local


def stop(manager: Any) -> None:
    """End a kernel at once, from any thread; its run then fails by the kernel's death."""
    if hasattr(manager, "end"):  # behind a gateway
        manager.end()
        return
    provisioner = getattr(manager, "provisioner", None)
    if provisioner is not None and getattr(provisioner, "pid", None):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(provisioner.pgid or provisioner.pid, signal.SIGKILL)


def memory_of(manager: Any) -> int | None:
    """Bytes a local kernel and its children hold now; None where that cannot be seen."""
    import psutil

    pid = getattr(getattr(manager, "provisioner", None), "pid", None)
    if not pid:
        return None
    total = 0
    with suppress(psutil.NoSuchProcess):
        whole = psutil.Process(pid)
        for one in (whole, *whole.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += one.memory_info().rss
    return total
