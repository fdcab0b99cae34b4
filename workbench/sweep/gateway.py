"""Kernels behind a Jupyter Kernel Gateway: asked for, watched and ended over HTTP.

jupyter_server's own client shows no token when it opens a kernel's channels, gives up after 40
silent seconds, spins while it waits, and waits for ever for a kernel that is gone. Mended here.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty
from threading import Thread
from typing import Any
from urllib.parse import quote

import httpx
import websocket
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_core.utils import ensure_async
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.gateway.managers import (
    ChannelQueue,
    GatewayKernelClient,
    GatewayKernelManager,
    HBChannelQueue,
)
from nbclient.exceptions import DeadKernelError
from tornado.escape import json_decode
from tornado.web import HTTPError
from traitlets import TraitError

from workbench.errors import BadArgument
from workbench.sweep.kernels import GATEWAY, gateway

PASSED = "KERNEL_"
"""What a gateway hands on to its kernels: variables whose names begin so."""
NOTE = ".kernel"
"""A run's file with the address of its kernel, while that lives."""
GONE = "it died, or the gateway closed its channels"


def names() -> list[str]:
    """Kernels that the gateway offers; from here on the environment's gateway is the one asked.

    Raises:
        BadArgument: nobody answers there, or not without another token.
    """
    where = gateway() or ""
    mend = f"Start it, or unset {GATEWAY} to use this machine."
    try:
        GatewayClient.clear_instance()  # it would keep the address of an earlier sweep
        GatewayClient.instance()  # here: several threads at once would make several
        answer = httpx.get(
            f"{where.rstrip('/')}/api/kernelspecs", headers=_headers(), timeout=20, trust_env=False
        )
        refused = answer.status_code in (401, 403)
        found = [] if refused else sorted(answer.raise_for_status().json()["kernelspecs"])
    except (httpx.HTTPError, httpx.InvalidURL, TraitError, ValueError, KeyError) as error:
        wanted = f"no kernel gateway answers there ({type(error).__name__})"
        raise BadArgument(GATEWAY, where, wanted, mend) from error
    if refused:
        wanted = f"it refuses this token (HTTP {answer.status_code})"
        raise BadArgument(GATEWAY, where, wanted, "Set JUPYTER_GATEWAY_AUTH_TOKEN to its own.")
    return found


def _headers() -> dict[str, str]:
    """With the token, where the environment has one."""
    client = GatewayClient.instance()
    return dict(client.load_connection_args(headers={})["headers"]) if client.auth_token else {}


class _Quiet(ChannelQueue):
    """Waits without spinning, and ends when nothing can come any more."""

    async def _async_get(self, timeout: float | None = None) -> Any:
        end = time.monotonic() + (math.inf if timeout is None else timeout)
        while True:
            over = self.response_router_finished
            try:
                return self.get(block=False)
            except Empty:
                if over:
                    raise DeadKernelError(GONE) from None
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.01)


class _QuietBeat(_Quiet, HBChannelQueue):
    """The same, of the heartbeat."""


class _Client(GatewayKernelClient):
    """The channels of one kernel, all in one websocket."""

    async def start_channels(
        self,
        shell: bool = True,  # noqa: FBT001, FBT002 - the base's signature
        iopub: bool = True,  # noqa: FBT001, FBT002
        stdin: bool = True,  # noqa: FBT001, FBT002
        hb: bool = True,  # noqa: FBT001, FBT002
        control: bool = True,  # noqa: FBT001, FBT002
    ) -> None:
        known = GatewayClient.instance()
        where = f"{(known.ws_url or '').rstrip('/')}{known.kernels_endpoint}"
        socket = websocket.create_connection(
            f"{where}/{quote(str(self.kernel_id))}/channels",
            header=_headers(),
            timeout=known.KERNEL_LAUNCH_TIMEOUT,
            enable_multithread=True,
            sslopt={
                "ca_certs": known.ca_certs,
                "certfile": known.client_cert,
                "keyfile": known.client_key,
            },
        )
        socket.settimeout(None)  # a cell may be silent for hours; the system keeps it alive
        queues: dict[str, ChannelQueue] = {}
        for name in ("shell", "iopub", "stdin", "hb", "control"):
            queue = (_QuietBeat if name == "hb" else _Quiet)(name, socket, self.log)
            setattr(self, f"_{name}_channel", queue)
            queues[name] = queue
        self.channel_socket, self._channel_queues = socket, queues
        await ensure_async(
            AsyncKernelClient.start_channels(
                self, shell=shell, iopub=iopub, stdin=stdin, hb=hb, control=control
            )
        )
        self.response_router = Thread(target=self._route_responses, daemon=True)
        self.response_router.start()

    def stop_channels(self) -> None:
        """Close them, if they were ever opened."""
        if self.channel_socket is not None and self.response_router is not None:
            super().stop_channels()

    def _route_responses(self) -> None:
        queues = dict(self._channel_queues or {})
        with suppress(Exception):  # a closed socket, however it was closed
            while not self._channels_stopped and self.channel_socket is not None:
                text = self.channel_socket.recv()
                if not text:
                    break
                message = json_decode(text)
                if _restarts(message):  # it knows nothing of the cell it died in
                    break
                queues[message["channel"]].put_nowait(message)
        for queue in queues.values():
            queue.response_router_finished = True

    def cut(self) -> None:
        """Close the channels at once; whoever waits on them is woken."""
        if self.channel_socket is not None:
            with suppress(OSError, websocket.WebSocketException):
                self.channel_socket.abort()  # type: ignore[no-untyped-call]


def _delete(url: str) -> None:
    with suppress(httpx.HTTPError):  # gone with its gateway
        httpx.delete(url, headers=_headers(), timeout=20, trust_env=False)


def end_left(folder: Path) -> None:
    """End the kernel that a killed sweep left at the gateway for a run, if it did."""
    note, where = folder / NOTE, (gateway() or "").rstrip("/")
    with suppress(OSError):
        url = note.read_text(encoding="utf-8").strip()
        if where and url.startswith(f"{where}/api/kernels/"):  # nobody else's
            _delete(url)
        note.unlink()


def _restarts(message: Mapping[str, Any]) -> bool:
    kind = message.get("msg_type") or message.get("header", {}).get("msg_type")
    state = message.get("content", {}).get("execution_state")
    return kind == "status" and state in ("restarting", "dead")


class _Manager(GatewayKernelManager):
    """A kernel at the gateway that can be ended from any thread."""

    opened: _Client | None = None

    def client(self, **options: Any) -> _Client:
        self.opened = super().client(**{"kernel_id": self.kernel_id, **options})
        return self.opened

    async def is_alive(self) -> bool:
        """Whether the gateway has it; its own answer is always yes."""
        if not self.has_kernel:
            return False
        try:
            return await self.refresh_model() is not None
        except (HTTPError, OSError):  # the channels tell of a gateway that is gone
            return (
                self.opened is not None and not self.opened.shell_channel.response_router_finished
            )

    async def _async_is_alive(self) -> bool:
        """What nbclient asks, every second."""
        return await self.is_alive()

    async def shutdown_kernel(
        self,
        now: bool = False,  # noqa: FBT001, FBT002
        restart: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        """Ask the gateway; the base does not once it has been slow to answer."""
        if self.kernel_id:
            await asyncio.to_thread(_delete, self.kernel_url)

    def end(self) -> None:
        """End the kernel and its channels."""
        if self.kernel_id:
            _delete(self.kernel_url)
        if self.opened is not None:
            self.opened.cut()


def manager_class(
    kernel: str,
    environment: Mapping[str, str],
    started: Callable[[Any], None],
    folder: Path | None,
) -> type:
    """A kernel manager's class for papermill; see `kernels.kernel_class`."""
    passed = {f"{PASSED}{name}": value for name, value in environment.items()}

    class Remote(_Manager):
        client_factory = _Client

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            started(self)

        async def start_kernel(self, **options: Any) -> None:
            # papermill asks by "python3"; the environment would send all of ours
            await super().start_kernel(kernel_name=kernel, env=passed, cwd=options.get("cwd"))
            if folder is not None:
                (folder / NOTE).write_text(self.kernel_url, encoding="utf-8")

        def cleanup_resources(self, restart: bool = False) -> None:  # noqa: FBT001, FBT002
            if self.kernel_id:  # again: it may have been called dead when only slow to answer
                _delete(self.kernel_url)
            if folder is not None:
                (folder / NOTE).unlink(missing_ok=True)

    return Remote
