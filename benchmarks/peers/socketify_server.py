"""A WebSocket server with socketify: prints its port, then obeys `run RATE SECONDS` on standard input.

The loop is libuv's alone: socketify's own turns two loops in turns without rest, which is not what uWebSockets costs.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import deque
from typing import Any

from socketify import App, OpCode

from benchmarks.application import body_of
from tests.ports import free_port

LOOK_MS = 5
orders: deque[str] = deque()


def listen_to_orders() -> None:
    while order := os.read(0, 1000):
        orders.append(order.decode())
    os._exit(0)


def opened(socket: Any) -> None:
    socket.subscribe("state")
    socket.send(body_of(0), OpCode.TEXT)


class Run:
    """One order being carried out, a timer a tick."""

    def __init__(self, app: Any, order: str) -> None:
        _, rate, seconds = order.split()
        self._app, self._rate, self._left = app, float(rate), int(float(rate) * float(seconds))
        self._count, self._tick, self._start = self._left, 0, time.monotonic()
        self._start_ns = time.time_ns()
        self._timer: Any = None
        self._next()

    def _next(self) -> None:
        due = self._start + self._tick / self._rate - time.monotonic()
        self._timer = self._app.loop.set_timeout(max(0, round(due * 1000)), self._push, None)

    def _push(self, _: object) -> None:
        self._app.publish("state", body_of(self._start_ns + int(self._tick / self._rate * 1e9)), OpCode.TEXT)
        self._tick += 1
        if self._tick < self._count:
            self._next()
        else:
            print(json.dumps({"changes": self._count}), flush=True)


def main() -> None:
    app = App()
    app.ws("/*", {"compression": 0, "open": opened, "idle_timeout": 0, "max_backpressure": 64 * 1024 * 1024})
    port = free_port()
    app.listen({"port": port, "host": "127.0.0.1"}, lambda _: print(port, flush=True))
    threading.Thread(target=listen_to_orders, daemon=True).start()
    running: list[Run] = []

    def look(_: object) -> None:
        if orders:
            running[:] = [Run(app, orders.popleft())]

    timer = app.loop.uv_loop.create_timer(LOOK_MS, LOOK_MS, look, None)
    app.loop.uv_loop.run()
    del timer


main()
