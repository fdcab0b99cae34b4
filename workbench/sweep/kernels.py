"""Which kernel executes a run: this Python, a named one, or one behind a Jupyter Kernel Gateway."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from workbench.errors import BadArgument, check_choice

GATEWAY, TOKEN = "JUPYTER_GATEWAY_URL", "JUPYTER_GATEWAY_AUTH_TOKEN"
HERE = "workbench"
PASSED = "KERNEL_"
"""What a gateway hands on to its kernels: variables whose names begin so."""


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
    address = gateway()
    if address is not None:
        from jupyter_server.gateway.gateway_client import GatewayClient

        if os.environ.get(TOKEN):
            wanted = "jupyter_server's client does not show it when it opens a kernel's channels"
            mend = "Reach a gateway without a token through a tunnel, and unset it."
            raise BadArgument(TOKEN, "(set)", wanted, mend)
        check_choice("kernel", kernel or "python3", _names_at(address))
        GatewayClient.clear_instance()  # it would keep the address of an earlier sweep
        GatewayClient.instance()  # here: several threads at once would make several
    elif kernel is not None:
        from jupyter_client.kernelspec import KernelSpecManager

        check_choice("kernel", kernel, sorted(KernelSpecManager().find_kernel_specs()))


def _names_at(address: str) -> list[str]:
    """Kernels that a gateway offers."""
    import httpx

    mend = f"Start it, or unset {GATEWAY} to use this machine."
    try:
        answer = httpx.get(f"{address.rstrip('/')}/api/kernelspecs", timeout=20, trust_env=False)
        answer.raise_for_status()
        return sorted(answer.json()["kernelspecs"])
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError) as error:
        wanted = f"no kernel gateway answers there ({type(error).__name__})"
        raise BadArgument(GATEWAY, address, wanted, mend) from error


def kernel_class(
    kernel: str | None, environment: Mapping[str, str], started: Callable[[Any], None]
) -> type:
    """A kernel manager's class for papermill.

    Args:
        kernel: see `check_kernel`.
        environment: variables of the kernel, beside those it inherits.
        started: told of every manager made, so that its kernel can be stopped from elsewhere.
    """
    if gateway() is not None:
        return _remote(kernel or "python3", environment, started)
    return _local(kernel, environment, started)


def _local(
    kernel: str | None, environment: Mapping[str, str], started: Callable[[Any], None]
) -> type:
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    if kernel is None:
        # the kernel's own log would break the progress bar; a cell's error is in the notebook
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

    return Local


def _remote(kernel: str, environment: Mapping[str, str], started: Callable[[Any], None]) -> type:
    from jupyter_server.gateway.managers import GatewayKernelManager

    passed = {f"{PASSED}{name}": value for name, value in environment.items()}

    class Remote(GatewayKernelManager):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            started(self)

        async def start_kernel(self, **options: Any) -> None:
            # papermill asks by "python3"; the environment would send all of ours
            await super().start_kernel(kernel_name=kernel, env=passed, cwd=options.get("cwd"))

    return Remote


def stop(manager: Any) -> None:
    """End a kernel at once, from any thread; its run then fails by the kernel's death."""
    provisioner = getattr(manager, "provisioner", None)
    if provisioner is not None and getattr(provisioner, "pid", None):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(provisioner.pgid or provisioner.pid, signal.SIGKILL)
        return
    address, name = gateway(), getattr(manager, "kernel_id", None)
    if address is not None and name:
        import httpx

        with suppress(httpx.HTTPError):
            httpx.delete(f"{address.rstrip('/')}/api/kernels/{name}", timeout=20, trust_env=False)


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
