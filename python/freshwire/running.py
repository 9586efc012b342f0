"""How a node runs in an event loop: what `freshwire serve` and the test kit share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from freshwire.asgi.server import Server, current_node


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop: uvloop when it can be imported; None: asyncio itself."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def serve(server: Server, stop: asyncio.Event, on_started: Callable[[], None]) -> None:
    """Serve until `stop`, and say when connections are accepted.

    Raises LifespanFailed.
    """
    serving = asyncio.create_task(server.serve(stop))
    while not serving.done() and (server.node is None or current_node() is not server.node):
        await asyncio.sleep(0.01)  # noqa: ASYNC110
    if not serving.done():
        on_started()
    await serving
