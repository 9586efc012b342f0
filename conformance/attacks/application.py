"""What the ASGI servers serve: an application with no defences of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]
MIB = 2**20


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Echo WebSocket messages (never stop sending at /firehose), and answer requests with what `answer` says."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while scope["path"] == "/firehose":
            await send({"type": "websocket.send", "bytes": bytes(64 * 1024)})
        while (message := await receive())["type"] == "websocket.receive":
            if (text := message.get("text")) is not None:
                await send({"type": "websocket.send", "text": text})
            else:
                await send({"type": "websocket.send", "bytes": message["bytes"]})
    if scope["type"] != "http":
        return
    received = 0
    while scope["method"] == "POST":
        message = await receive()
        if message["type"] != "http.request":
            return
        received += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    client = (scope["client"] or ("",))[0]
    headers, body = answer(scope["path"], client, received)
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def answer(path: str, client: str, received: int) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Fields and body: who asks, a lot, a value that a user chose badly, or how much came."""
    if path == "/injected":
        return [(b"x-said", b"a\r\ninjected: yes")], b""
    body = {"/client": client.encode(), "/large": b"x" * (16 * MIB)}.get(path, b"%d" % received)
    return [(b"content-length", b"%d" % len(body))], body
