"""The application under test, run by `freshwire serve`: `/r/<n>` is resource n, and it reads as `behaviour` says.

There are five kinds of resource, by n modulo 5: shared with a tag; chosen by `Accept-Language`, with a lifetime;
private; streamed with a validator of its own; large. A PUT commits the version in its query.
"""

import asyncio
import json
import os
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from .database import FOLDER_VARIABLE, Database, kind, tag

LARGE_BYTES = 60_000
LEAK_BYTES = 8 * 1024 * 1024

Message = dict[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Fields = list[tuple[Any, Any]]

database = Database(Path(os.environ[FOLDER_VARIABLE]))
leaked: list[bytearray] = []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve."""
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return
    _, place, name = scope["path"].split("/")
    query = {key: values[0] for key, values in parse_qs(scope["query_string"].decode()).items()}
    if place == "hog":
        await hog(name, float(query["seconds"]), send)
    elif scope["method"] == "PUT":
        database.write(int(name), int(query["version"]))
        groups = f'"{tag(int(name))}"'.encode()
        await answer(send, 204, [(b"cache-group-invalidation", groups)], b"")
    else:
        await read(int(name), scope, receive, send)


async def hog(how: str, seconds: float, send: Send) -> None:
    """Keep the interpreter from everybody else, asleep or at work."""
    end = time.monotonic() + seconds
    if how == "sleep":
        time.sleep(seconds)  # noqa: ASYNC251 - that is the fault
    while time.monotonic() < end:
        sum(range(1000))
    await answer(send, 204, [], b"")


async def read(resource: int, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a GET, as well as it goes."""
    request = {name.decode(): value.decode() for name, value in scope["headers"]}
    shown: dict[str, Any] = {"resource": resource, "version": database.version(resource)}
    fields: Fields = [
        (b"content-type", b"application/json"),
        (b"cache-groups", f'"{tag(resource)}"'.encode()),
    ]
    match kind(resource):
        case "varied":
            shown["language"] = request.get("accept-language")
            fields += [(b"vary", b"accept-language"), (b"cache-control", b"public, max-age=2")]
        case "private":
            shown["user"] = request.get("authorization", "").removeprefix("Bearer ") or None
            fields += [(b"cache-control", b"private")]
            if shown["user"] is None:
                await answer(send, 401, fields, b"{}")
                return
        case "streamed":
            fields += [(b"etag", f'"v{shown["version"]}"'.encode())]
        case "large":
            shown["padding"] = "x" * LARGE_BYTES
    body = json.dumps(shown).encode()
    how = database.behaviour(resource)
    if how == "flaky":
        how = random.choice(["well", "well", "500", "raise", "abort", "late"])
    await BEHAVIOUR[how](fields, body, receive, send, kind(resource) == "streamed")


async def answer(send: Send, status: int, fields: Fields, body: bytes) -> None:
    """A whole response."""
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def stream(send: Send, status: int, fields: Fields, *pieces: bytes) -> None:
    """A response that is not over when this returns."""
    await send({"type": "http.response.start", "status": status, "headers": fields})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await asyncio.sleep(0)


class OnPurposeError(Exception):
    """The application fails."""


async def well(fields: Fields, body: bytes, receive: Receive, send: Send, streamed: bool) -> None:
    if not streamed:
        await answer(send, 200, fields, body)
        return
    half = len(body) // 2
    await stream(send, 200, fields, body[:half], body[half:])
    await send({"type": "http.response.body"})


async def late(fields: Fields, body: bytes, receive: Receive, send: Send, streamed: bool) -> None:
    await asyncio.sleep(random.uniform(0, 0.3))
    await well(fields, body, receive, send, streamed)


async def hang(fields: Fields, body: bytes, receive: Receive, send: Send, streamed: bool) -> None:
    await asyncio.Event().wait()


async def raises(fields: Fields, body: bytes, receive: Receive, send: Send, streamed: bool) -> None:
    raise OnPurposeError


async def raises_after_head(
    fields: Fields, body: bytes, receive: Receive, send: Send, streamed: bool
) -> None:
    await stream(send, 200, fields)
    raise OnPurposeError


async def abort(fields: Fields, body: bytes, receive: Receive, send: Send, streamed: bool) -> None:
    await stream(send, 200, fields, body[: len(body) // 2])
    raise OnPurposeError


async def exits(fields: Fields, body: bytes, receive: Receive, send: Send, streamed: bool) -> None:
    raise SystemExit(3)


async def dies(fields: Fields, body: bytes, receive: Receive, send: Send, streamed: bool) -> None:
    os._exit(3)


async def returns(fields: Fields, body: bytes, receive: Receive, send: Send, streamed: bool) -> None:
    pass


async def endless(fields: Fields, body: bytes, receive: Receive, send: Send, streamed: bool) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    while True:
        await send({"type": "http.response.body", "body": bytes(65_536), "more_body": True})


async def leaks(fields: Fields, body: bytes, receive: Receive, send: Send, streamed: bool) -> None:
    leaked.append(bytearray(LEAK_BYTES))
    leaked[-1][:: mmap_page()] = b"x" * len(leaked[-1][:: mmap_page()])  # every page is really there
    await well(fields, body, receive, send, streamed)


def mmap_page() -> int:
    """Bytes of a page of memory."""
    return os.sysconf("SC_PAGE_SIZE")


async def body_first(fields: Fields, body: bytes, receive: Receive, send: Send, streamed: bool) -> None:
    await send({"type": "http.response.body", "body": body})


async def starts_twice(fields: Fields, body: bytes, receive: Receive, send: Send, streamed: bool) -> None:
    await stream(send, 200, fields)
    await answer(send, 200, fields, body)


def status(code: int) -> Callable[[Fields, bytes, Receive, Send, bool], Awaitable[None]]:
    """A failure that the application admits."""

    async def fails(fields: Fields, body: bytes, receive: Receive, send: Send, streamed: bool) -> None:
        await answer(send, code, [(b"content-type", b"application/json")], b"{}")

    return fails


def also(*more: tuple[Any, Any]) -> Callable[[Fields, bytes, Receive, Send, bool], Awaitable[None]]:
    """Fields that no application should send beside those that it should."""

    async def garbage(fields: Fields, body: bytes, receive: Receive, send: Send, streamed: bool) -> None:
        await answer(send, 200, [*fields, *more], body)

    return garbage


FAILURES = {
    "hang": hang,
    "raise": raises,
    "raise after head": raises_after_head,
    "abort": abort,
    "exit": exits,
    "return": returns,
    "body first": body_first,
    "start twice": starts_twice,
    "500": status(500),
    "503": status(503),
    "length too long": also((b"content-length", b"100000")),
    "length too short": also((b"content-length", b"3")),
    "length no number": also((b"content-length", b"many")),
    "two lengths": also((b"content-length", b"3"), (b"content-length", b"5")),
    "line break in value": also((b"x-a", b"1\r\nset-cookie: x=1")),
    "line break in name": also((b"x-a\r\nx-b", b"1")),
    "nul in value": also((b"x-a", b"\0")),
    "no name": also((b"", b"1")),
    "space in name": also((b"x a", b"1")),
    "text fields": also(("x-a", "1")),
    "numbers": also((1, 2)),
    "lone field": also((b"x-a",)),  # type: ignore[arg-type]
}
"""Ways in which a read yields nothing: the watchers keep what they have, and catch up."""

ODDITIES = {
    "well": well,
    "late": late,
    "high bytes": also((b"x-a", bytes(range(128, 256)))),
    "framing fields": also(
        (b"transfer-encoding", b"chunked"), (b"connection", b"close"), (b"upgrade", b"h2c")
    ),
    "bad dates": also((b"date", b"yesterday"), (b"expires", b"0"), (b"age", b"-7")),
    "bad validators": also((b"last-modified", b"never")),
    "bad policy": also((b"cache-control", b"max-age=many, ,=,private=")),
    "many fields": also(*[(f"x-{n}".encode(), b"y" * 100) for n in range(200)]),
}
"""Ways in which a read is odd, and still a representation."""

BEHAVIOUR = {**FAILURES, **ODDITIES, "die": dies, "endless": endless, "leak": leaks}
