"""One node and one application on the running event loop, from the first listener to the last handler.

`current_node` is the node of this process, for whatever publishes changes from it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from freshwire._engine import Engine, Node
from freshwire.asgi.lifespan import SHUTDOWN_TIMEOUT_S, STARTUP_TIMEOUT_S, Lifespan, LifespanError, Mode
from freshwire.asgi.types import Application

if TYPE_CHECKING:
    from freshwire.purge import Cache, Purging

_nodes: list[Node] = []
"""Those that serve in this process, in the order in which they began; they end in any order."""


def current_node() -> Node | None:
    """The node that serves in this process, of several the newest, or None while there is none."""
    return _nodes[-1] if _nodes else None


@dataclass(frozen=True)
class Listener:
    """A bound, listening socket, and who may come in there."""

    socket: socket.socket
    role: Literal["public", "admin"] = "public"

    @property
    def address(self) -> str:
        """As people write it: "127.0.0.1:8000", "[::1]:8000" or "unix:/path"."""
        name = self.socket.getsockname()
        if self.socket.family == socket.AF_UNIX:
            path = name.decode(errors="replace") if isinstance(name, bytes) else name
            return f"unix:{path}"
        host, port = name[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def described(listeners: Sequence[Listener]) -> list[tuple[int, str, str]]:
    """The listeners as the engine takes them over: their sockets are its own from now on."""
    known = [(listener, listener.role, listener.address) for listener in listeners]
    return [(listener.socket.detach(), role, address) for listener, role, address in known]


class Server:
    """Serves one application; `serve` may be called once."""

    def __init__(
        self,
        app: Application,
        options: Mapping[str, Any],
        listeners: Sequence[Listener],
        *,
        root_path: str = "",
        lifespan: Mode = "auto",
        startup_timeout_s: float = STARTUP_TIMEOUT_S,
        shutdown_timeout_s: float = SHUTDOWN_TIMEOUT_S,
        caches: Sequence[Cache] = (),
        log: logging.Logger | None = None,
    ) -> None:
        """Take over the listeners; nothing runs yet.

        app: an ASGI 3 application.
        options: the engine's options (`freshwire._engine.default_options`).
        root_path: where the application is mounted, if a proxy takes that off the path.
        caches: those in front that are purged of what changes (`freshwire.purge`).
        log: errors of the application go there with their traceback; default "freshwire.error".

        Raises ValueError for an option that is unknown, out of range or not safe.
        """
        self.started = asyncio.Event()
        """Set when connections are accepted."""
        self.stopping = asyncio.Event()
        """Set when none are accepted any more, and those there are come to their end."""
        self._app = app
        self._root_path = root_path
        self._log = log or logging.getLogger("freshwire.error")
        self._lifespan = Lifespan(
            app,
            lifespan,
            startup_timeout_s=startup_timeout_s,
            shutdown_timeout_s=shutdown_timeout_s,
            log=self._log,
        )
        self.node = Node(json.dumps(dict(options)), described(listeners))
        self._purging = purging(self.node, caches, options)

    async def serve(self, stop: asyncio.Event) -> None:
        """Start the application and serve it until `stop` is set and every connection has ended.

        Raises LifespanError if the application does not start; one that does not stop as it should is logged.
        """
        loop = asyncio.get_running_loop()
        _nodes.append(self.node)
        try:
            await self._lifespan.startup()
            loop.add_reader(self.node.fileno(), self.node.drain)
            try:
                if self._purging is not None:
                    self._purging.start()
                self.node.start(self._app, loop, self._on_error, self._lifespan.state, self._root_path)
                self.started.set()
                await stop.wait()
                ended = asyncio.Event()
                self.node.shutdown(ended.set)
                self.stopping.set()
                await ended.wait()
            except asyncio.CancelledError:
                self.abort()
                raise
            finally:
                await self._stop_lifespan()
                if self._purging is not None:
                    await self._purging.close()
                await asyncio.to_thread(self.node.join)
                loop.remove_reader(self.node.fileno())
        finally:
            _nodes.remove(self.node)

    def abort(self) -> None:
        """End every connection at once: for a second signal, after `stop`."""
        # The first call of `shutdown` is the patient one.
        for _ in range(1 if self.stopping.is_set() else 2):
            self.node.shutdown(lambda: None)

    async def _stop_lifespan(self) -> None:
        try:
            await self._lifespan.shutdown()
        except LifespanError as error:
            self._log.error("%s", error, exc_info=error.__cause__)

    def _on_error(self, text: str, error: BaseException | None) -> None:
        self._log.error(text, exc_info=error)


def purging(node: Engine, caches: Sequence[Cache], options: Mapping[str, Any]) -> Purging | None:
    """What purges caches of what changes in a node; None: there are none. Before the node starts."""
    if not caches:
        return None
    from freshwire.purge.purging import of  # here: it imports httpx, which takes its time

    return of(node.purging(), caches, options)
