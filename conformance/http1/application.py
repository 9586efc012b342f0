"""The application that every server serves: it tells what it was given, and answers what the target asks for.

`/answer?status=…&f=name:value&body=…&pieces=N` is answered so; anything else with 200 and JSON. Each request that came
whole is also a line of JSON in the file `CONFORMANCE_SEEN`.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

Message = MutableMapping[str, Any]
_asked: Counter[str] = Counter()


def answer_to(method: str, target: str) -> tuple[int, list[tuple[str, str]], list[bytes], bool]:
    """Status, fields and pieces of content that a target asks for, and whether the length is to be said."""
    asks = parse_qsl(target.partition("?")[2], keep_blank_values=True, encoding="latin-1")
    one = dict(asks)
    fields: list[tuple[str, str]] = []
    for name, value in asks:
        if name == "f":
            field, _, text = value.partition(":")
            fields.append((field, text))
    content = one.get("body", f"n={_asked[target]}").encode("latin-1")
    pieces = int(one.get("pieces", 0))
    return int(one.get("status", 200)), fields, [content] * (pieces or 1), not pieces


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """ASGI."""
    if scope["type"] == "lifespan":
        while (kind := (await receive())["type"]) != "lifespan.shutdown":
            await send({"type": f"{kind}.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    if scope["type"] == "websocket":
        await receive()
        return await send({"type": "websocket.close"})
    content = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        content += message.get("body", b"")
        if not message.get("more_body"):
            break
    query = scope["query_string"].decode("latin-1")
    path = (scope.get("raw_path") or scope["path"].encode("latin-1", "replace")).decode("latin-1")
    target = path + (f"?{query}" if query else "")
    _asked[target] += 1
    given = {
        "method": scope["method"],
        "target": target,
        "version": scope["http_version"],
        "fields": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        "body": content.decode("latin-1"),
    }
    _remember(given)
    headers = [("x-app", "1"), ("x-target", target.encode("ascii", "replace").decode()[:200])]
    if not path.startswith("/answer"):
        echo = json.dumps(given).encode()
        headers += [("content-type", "application/json"), ("content-length", str(len(echo)))]
        await _start(send, 200, headers)
        return await send({"type": "http.response.body", "body": echo})
    status, fields, pieces, sized = answer_to(scope["method"], target)
    bodiless = status in (204, 304)
    if sized and not bodiless and not any(name == "content-length" for name, _ in fields):
        headers.append(("content-length", str(sum(map(len, pieces)))))
    await _start(send, status, headers + fields)
    for piece in [] if bodiless else pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": not sized})
    if bodiless or not sized:
        await send({"type": "http.response.body"})
    return None


async def _start(
    send: Callable[[Message], Awaitable[None]], status: int, fields: list[tuple[str, str]]
) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
    await send({"type": "http.response.start", "status": status, "headers": headers})


def _remember(given: dict[str, Any]) -> None:
    line = json.dumps(given).encode() + b"\n"
    file = os.open(os.environ["CONFORMANCE_SEEN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line)
    finally:
        os.close(file)
