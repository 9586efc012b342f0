"""The application that every server of a benchmark runs: raw ASGI for what measures the server, FastAPI for what
measures a handler, and `/state`, which changes at a steady rate while `POST /run` is being answered.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI
from freshwire import Fresh
from pydantic import BaseModel

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

STATE_BYTES = 128
CACHED_BODY = b"x" * 200
HELLO_BODY = b"Hello, world!"

fresh = Fresh()
api = FastAPI()


class Line(BaseModel):
    sku: str
    quantity: int
    price: float
    note: str


class Order(BaseModel):
    customer: str
    lines: list[Line]


ORDER = Order(
    customer="Ada", lines=[Line(sku=f"A-{n:05}", quantity=n, price=n * 1.5, note="n" * 60) for n in range(18)]
)
"""The order that is posted: about 2 KB of JSON."""


@api.get("/items/{item}")
async def read_item(item: int, detail: bool = False) -> dict[str, int | bool | str]:
    return {"item": item, "detail": detail, "name": "a thing"}


@api.post("/orders")
async def post_order(order: Order) -> dict[str, int]:
    return {"lines": len(order.lines)}


def body_of(stamp_ns: int) -> bytes:
    """The state, with the time of its change for whoever wants to know how old it is."""
    body = b'{"at":"%020d","pad":"' % stamp_ns
    return body + b"x" * (STATE_BYTES - len(body) - 2) + b'"}'


class State:
    """The state that is watched."""

    def __init__(self) -> None:
        self.body = body_of(0)

    async def run(self, rate: float, seconds: float) -> int:
        """Change at a steady rate, whatever becomes of it; how often."""
        loop = asyncio.get_running_loop()
        start, changes = loop.time(), int(rate * seconds)
        for change in range(changes):
            await asyncio.sleep(max(0.0, start + change / rate - loop.time()))
            self.body = body_of(time.time_ns())
            await fresh.changed("state")
        return changes


state = State()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The whole application."""
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    path = scope["path"]
    if path == "/hello":
        return await respond(send, HELLO_BODY, [(b"content-type", b"text/plain")])
    if path == "/cached":
        control = (b"cache-control", b"public, max-age=3600")
        return await respond(send, CACHED_BODY, [(b"content-type", b"text/plain"), control])
    if path == "/state":
        headers = [
            (b"content-type", b"application/json"),
            (b"cache-control", b"public"),
            (b"cache-groups", b'"state"'),
        ]
        return await respond(send, state.body, headers)
    if path == "/run":
        query = parse_qs(scope["query_string"].decode())
        changes = await state.run(float(query["rate"][0]), float(query["seconds"][0]))
        return await respond(send, json.dumps({"changes": changes}).encode(), [])
    await api(scope, receive, send)
    return None


async def respond(send: Send, body: bytes, headers: Headers) -> None:
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
