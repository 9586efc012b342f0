"""A real node on a free port, in a thread of its own with a loop of its own, for as long as a `with`
lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from freshwire import running
from freshwire.asgi.server import Listener, Server
from freshwire.proxy import Proxy
from freshwire.testing.watch import Transport, Watch, events

if TYPE_CHECKING:
    from freshwire.purge import Cache

DEFAULTS: Mapping[str, object] = {
    "drain_timeout_s": 0.1,
    "max_connections_per_address": 0,
    "retry_min_ms": 10,
    "retry_max_ms": 20,
}
"""The options whose defaults are others than a node's: a test is one peer, and in a hurry."""
END_TIMEOUT_S = 10.0
"""How long a node may take to end before the test fails, seconds."""


class node:  # noqa: N801 - reads as what it stands for: `with node(app) as live:`
    """Runs a node with an application: `with node(app) as live:`, or `async with`.

    The environment and pyproject.toml are not asked for options.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        *,
        root_path: str = "",
        lifespan: Literal["auto", "on", "off"] = "auto",
        purge: Sequence[object] = (),
        **options: object,
    ) -> None:
        """Do nothing yet.

        app: an ASGI application.
        purge: caches in front, as the option of this name has them: `["varnish=http://127.0.0.1:6081"]`.
        options: options of the engine, by the names of `freshwire config`.
        """

        def make(listeners: list[Listener]) -> Server | Proxy:
            caches = _caches(purge)
            chosen = _options({**DEFAULTS, **options}, caches)
            return Server(app, chosen, listeners, root_path=root_path, lifespan=lifespan, caches=caches)

        self._make = make
        self._live: LiveNode | None = None

    def __enter__(self) -> LiveNode:
        """Start. Raises LifespanError, and ValueError for an option that is unknown or wrong."""
        self._live = LiveNode(self._make)
        return self._live

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the watches and the node."""
        if self._live is not None:
            self._live.close()

    async def __aenter__(self) -> LiveNode:
        """Like `with`, without blocking the loop."""
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Like `with`, without blocking the loop."""
        await asyncio.to_thread(self.__exit__, kind, error, trace)


class proxy(node):  # noqa: N801 - as `node`
    """Runs a node before an HTTP application: `with proxy("http://127.0.0.1:3000") as live:`, or `async with`.

    The environment and pyproject.toml are not asked for options.
    """

    def __init__(self, *upstreams: str, purge: Sequence[object] = (), **options: object) -> None:
        """Do nothing yet.

        upstreams: where the application is, as `freshwire proxy` takes it.
        purge, options: as those of `node`.
        """

        def make(listeners: list[Listener]) -> Server | Proxy:
            caches = _caches(purge)
            chosen = _options({**DEFAULTS, **options, "upstreams": list(upstreams)}, caches)
            return Proxy(chosen, listeners, caches=caches)

        self._make = make
        self._live = None


class LiveNode:
    """A node that runs. Everything but `watch(…).anext()` is for synchronous and asynchronous tests alike."""

    url: str
    """Where it is, without a slash at the end: http://127.0.0.1:40123"""
    admin_socket: Path
    """Its admin socket, for other processes."""

    def __init__(self, make: Callable[[list[Listener]], Server | Proxy]) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="freshwire-")
        self.admin_socket = Path(self._directory.name) / "admin.sock"
        public = socket.create_server(("127.0.0.1", 0), backlog=1024)
        administration = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        administration.bind(str(self.admin_socket))
        administration.listen()
        self.url = f"http://127.0.0.1:{public.getsockname()[1]}"
        listeners = [Listener(public, "public"), Listener(administration, "admin")]
        self._watches: list[Watch] = []
        self._failure: BaseException | None = None
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        try:
            self._server = make(listeners)
        except BaseException:
            public.close()
            administration.close()
            self._directory.cleanup()
            raise
        self._thread = threading.Thread(target=self._run, name="freshwire test node", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self.close()
            raise self._failure

    def changed(self, *tags: str) -> str:
        """Say that tags changed; returns the position. Raises ValueError for a bad tag."""
        return self._server.node.changed(tags)

    def stats(self) -> dict[str, Any]:
        """The node's figures."""
        figures: dict[str, Any] = json.loads(self._server.node.stats())
        return figures

    def watch(
        self,
        path: str,
        *,
        transport: Transport = "sse",
        headers: Mapping[str, str] | None = None,
        since: str = "",
    ) -> Watch:
        """Watch a resource, over a connection of its own; the watch ends with the node, or by its `close`.

        path: the resource's path and query.
        transport: "sse", "websocket" (needs the `websockets` package) or "poll".
        headers: further headers of the request.
        since: a position to resume from (SSE only).
        """
        watch = Watch(events(transport, self.url + path, dict(headers or {}), since))
        self._watches.append(watch)
        return watch

    def close(self) -> None:
        """End the watches and the node. Raises RuntimeError if the node does not end."""
        for watch in self._watches:
            watch.close()
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(END_TIMEOUT_S)
        self._directory.cleanup()
        if self._thread.is_alive():
            raise RuntimeError(f"the node at {self.url} did not end within {END_TIMEOUT_S} s")

    def _run(self) -> None:
        """The thread: run the node until it is closed."""
        try:
            with asyncio.Runner(loop_factory=running.loop_factory()) as runner:
                runner.run(self._serve())
        except BaseException as error:  # the test gets it
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        """Serve until `close`."""
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await running.serve(self._server, self._stop, self._started.set)


def _caches(purge: Sequence[object]) -> Sequence[Cache]:
    """Raises OptionError."""
    if not purge:
        return ()
    from freshwire.purge import caches  # here: it imports httpx, which takes its time

    return caches(purge)


def _options(options: Mapping[str, object], caches: Sequence[Cache]) -> dict[str, object]:
    """With the fields that the caches read. Raises OptionError."""
    if not caches:
        return dict(options)
    from freshwire.purge import with_fields

    return with_fields(options, caches)
