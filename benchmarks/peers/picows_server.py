"""A WebSocket server with picows: prints its port, then obeys `run RATE SECONDS` on standard input."""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop
from picows import WSListener, WSMsgType, WSTransport, ws_create_server

from benchmarks.application import body_of, ticks

everybody: set[WSTransport] = set()


class Subscriber(WSListener):
    def on_ws_connected(self, transport: WSTransport) -> None:
        everybody.add(transport)
        transport.send(WSMsgType.TEXT, body_of(0))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        everybody.discard(transport)


async def main() -> None:
    server = await ws_create_server(lambda request: Subscriber(), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    while order := await loop.run_in_executor(None, sys.stdin.readline):
        _, rate, seconds = order.split()
        changes = 0
        async for stamp_ns in ticks(float(rate), float(seconds)):
            body = body_of(stamp_ns)
            for transport in everybody:
                transport.send(WSMsgType.TEXT, body)
            changes += 1
        print(json.dumps({"changes": changes}), flush=True)


uvloop.run(main())
