"""The application of every node: one resource, whose state is in a file that all nodes read, as in a database."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

PATH = "/matches/7"
TAG = "match:7"
VARIABLE = "MILLION_STATE"
"""The environment variable that names the file."""

Message = MutableMapping[str, Any]


def body_of(stamp_ns: int, score: int) -> bytes:
    """The resource's state; the stamp tells the load client which change it is of and when that was made."""
    return b'{"at":"%020d","match":7,"home":"Aurora","away":"Borealis","score":"%d:0"}' % (stamp_ns, score)


def read_state() -> bytes:
    return Path(os.environ[VARIABLE]).read_bytes()


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    found = scope["path"] == PATH
    body = read_state() if found else b""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"public"),
        (b"cache-groups", f'"{TAG}"'.encode()),
    ]
    await send({"type": "http.response.start", "status": 200 if found else 404, "headers": headers})
    await send({"type": "http.response.body", "body": body})
    return None
