"""How a read goes: well, oddly, or not at all. Each way takes the fields and the body that it should answer with."""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from typing import Any

LEAK_BYTES = 8 * 1024 * 1024

Message = dict[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Fields = list[tuple[Any, Any]]

leaked: list[bytearray] = []


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
