"""How a node runs in an event loop: what `freshwire serve`, `freshwire proxy` and the test kit share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Serves(Protocol):
    """A node with what stands behind it: `freshwire.asgi.server.Server` or `freshwire.proxy.Proxy`."""

    started: asyncio.Event
    """Set when connections are accepted."""

    async def serve(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set and every connection has ended."""

    def abort(self) -> None:
        """End every connection at once."""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop: uvloop when it can be imported; None: asyncio itself."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def serve(server: Serves, stop: asyncio.Event, on_started: Callable[[], None]) -> None:
    """Serve until `stop`, and say when connections are accepted.

    Raises LifespanError.
    """
    serving = asyncio.create_task(server.serve(stop))
    started = asyncio.create_task(server.started.wait())
    try:
        await asyncio.wait({serving, started}, return_when=asyncio.FIRST_COMPLETED)
        if server.started.is_set():
            on_started()
        await serving
    finally:
        started.cancel()
