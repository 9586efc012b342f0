"""The application that every server of a benchmark runs: raw ASGI for what measures the server, FastAPI for what
measures a handler, and what is watched: `/state`, `/page` and `/big`, which change at a steady rate while `POST /run`
is being answered, and `/things/N`, any number of them. `/stream` is what a server without watches has instead.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
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
SIZES = {"state": STATE_BYTES, "page": 8 * 1024, "big": 100 * 1000}
"""Bytes of what is watched, by name."""
LIFETIME = (b"cache-control", b"public, max-age=3600")
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


def body_of(stamp_ns: int, size: int = STATE_BYTES) -> bytes:
    """A state of so many bytes, with the time of its change for whoever wants to know how old it is."""
    body = b'{"at":"%020d","pad":"' % stamp_ns
    return body + b"x" * (size - len(body) - 2) + b'"}'


async def ticks(rate: float, seconds: float) -> AsyncIterator[int]:
    """When each tick should be, nanoseconds since 1970, once it is time: at a steady rate, whatever it is for.

    What comes too late is late by that, too, so that a server that cannot keep up does not look as if it could.
    """
    loop = asyncio.get_running_loop()
    start, start_ns = loop.time(), time.time_ns()
    for tick in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, start + tick / rate - loop.time()))
        yield start_ns + int(tick / rate * 1e9)


class State:
    """What is watched under a name, which is its path and its tag."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size
        self.body = body_of(0, size)
        self.reads = 0

    async def run(self, rate: float, seconds: float) -> int:
        """Change at a steady rate; how often."""
        changes = 0
        async for stamp_ns in ticks(rate, seconds):
            self.body = body_of(stamp_ns, self.size)
            await fresh.changed(self.name)
            changes += 1
        return changes


class Subscribers:
    """What servers without watches have in that place: a queue for each stream, and a loop over all of them."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[bytes]] = set()

    async def serve(self, send: Send) -> None:
        """Stream to one of them until it is cancelled."""
        headers = [(b"content-type", b"text/event-stream")]
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": event_of(0), "more_body": True})
        self._queues.add(queue)
        try:
            while True:
                event = await queue.get()
                await send({"type": "http.response.body", "body": event, "more_body": True})
        finally:
            self._queues.discard(queue)

    async def run(self, rate: float, seconds: float) -> int:
        """Tell all of them at a steady rate; how often."""
        messages = 0
        async for stamp_ns in ticks(rate, seconds):
            event = event_of(stamp_ns)
            for queue in self._queues:
                queue.put_nowait(event)
            messages += 1
        return messages


def event_of(stamp_ns: int) -> bytes:
    return b"data: %s\n\n" % body_of(stamp_ns)


states = {f"/{name}": State(name, size) for name, size in SIZES.items()}
subscribers = Subscribers()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The whole application."""
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    path = scope["path"]
    if path == "/hello":
        return await respond(send, HELLO_BODY, [(b"content-type", b"text/plain")])
    if path == "/cached":
        return await respond(send, CACHED_BODY, [(b"content-type", b"text/plain"), LIFETIME])
    if state := states.get(path):
        state.reads += 1
        return await respond(send, state.body, shared(state.name.encode()))
    if path.startswith("/things/"):
        return await respond(send, body_of(0), [*shared(b"thing:" + path[8:].encode())])
    if path == "/stream":
        return await subscribers.serve(send)
    if path in ("/run", "/broadcast"):
        query = parse_qs(scope["query_string"].decode())
        rate, seconds = float(query["rate"][0]), float(query["seconds"][0])
        source = subscribers if path == "/broadcast" else states[query["path"][0]]
        changes = await source.run(rate, seconds)
        return await respond(send, json.dumps({"changes": changes}).encode(), [])
    if path == "/touch":
        count = int(parse_qs(scope["query_string"].decode())["things"][0])
        for thing in range(count):
            await fresh.changed(f"thing:{thing}")
        return await respond(send, b"", [])
    if path == "/reads":
        reads = {path: state.reads for path, state in states.items()}
        return await respond(send, json.dumps(reads).encode(), [(b"cache-control", b"no-store")])
    await api(scope, receive, send)
    return None


def shared(tag: bytes) -> Headers:
    """The fields of a JSON resource that is the same for everybody."""
    return [
        (b"content-type", b"application/json"),
        (b"cache-control", b"public"),
        (b"cache-groups", b'"%s"' % tag),
    ]


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
