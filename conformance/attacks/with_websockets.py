"""The same application's WebSockets for `websockets`: `python -m conformance.attacks.with_websockets PORT`."""

from __future__ import annotations

import asyncio
import signal
import sys

from websockets.asyncio.server import ServerConnection, serve


async def websocket(socket: ServerConnection) -> None:
    """Echo, or never stop."""
    while socket.request is not None and socket.request.path == "/firehose":
        await socket.send(bytes(64 * 1024))
    async for message in socket:
        await socket.send(message)


async def main(port: int) -> None:
    """Serve until SIGTERM, as its documentation shows."""
    async with serve(websocket, "127.0.0.1", port) as server:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
