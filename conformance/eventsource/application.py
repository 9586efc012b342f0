"""The application: `/stream/…` answers as a test has written it, `/watched` has the text that a test gave it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from freshwire import Fresh

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>EventSource</title>
<link rel="icon" href="data:,">
<script>
const log = []
function listen(url, names = ["message"], options = {}) {
  const source = new EventSource(url, options)
  for (const name of names)
    source.addEventListener(name, (event) => log.push([event.type, event.data, event.lastEventId]))
  source.onopen = () => log.push(["open"])
  source.onerror = () => log.push(["error", source.readyState])
  return (window.source = source)
}
const of = (name) => log.filter((entry) => entry[0] === name).map((entry) => entry[1])
</script>
"""
WORKER = b"""
const source = new EventSource("/stream/worker")
source.onmessage = (event) => { source.close(); postMessage([event.data, event.lastEventId]) }
"""
EVENT_STREAM = "text/event-stream"

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """One answer to a request for a stream."""

    pieces: Sequence[bytes] = ()
    """Each leaves the application by itself."""
    status: int = 200
    content_type: str = EVENT_STREAM
    headers: Headers = ()
    then: str = "ends"
    """How it goes on behind the last piece: "ends"; "stays", until the client leaves; "breaks", in the middle."""


class Application:
    """The application and what it knows."""

    def __init__(self) -> None:
        self.fresh = Fresh()
        self.streams: dict[str, list[Answer]] = {}
        """The answers to a path's first, second, … request; the last one stands for all that follow."""
        self.requests: list[tuple[str, dict[str, str]]] = []
        """Path and fields of each request for a stream or a watched resource."""
        self.left = threading.Event()
        """A client has left a stream that stays."""
        self.representation = b""

    def asked(self, path: str) -> list[dict[str, str]]:
        """The fields of each request for a path."""
        return [fields for asked, fields in self.requests if asked == path]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return None
        path = scope["path"]
        if path == "/page":
            return await reply(send, 200, [("content-type", "text/html")], PAGE.encode())
        if path == "/worker":
            return await reply(send, 200, [("content-type", "text/javascript")], WORKER)
        # UTF-8, as a browser sends an id; the bytes of anything else are shown one by one.
        fields = {name.decode(): value.decode(errors="backslashreplace") for name, value in scope["headers"]}
        self.requests.append((path, fields))
        if path in self.streams:
            answers = self.streams[path]
            number = min(len(self.asked(path)), len(answers)) - 1
            return await self._stream(answers[number], receive, send)
        if path == "/watched":
            headers = [("content-type", "text/plain; charset=utf-8"), ("cache-groups", '"watched"')]
            return await reply(send, 200, headers, self.representation)
        return await reply(send, 404, [], b"")

    async def _stream(self, answer: Answer, receive: Any, send: Any) -> None:
        headers = (
            [("content-type", answer.content_type), *answer.headers]
            if answer.content_type
            else answer.headers
        )
        await send({"type": "http.response.start", "status": answer.status, "headers": encoded(headers)})
        for piece in answer.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        if answer.then == "breaks":
            raise ConnectionAbortedError("as the test wants it")
        if answer.then == "stays":
            await receive()
            while (await receive())["type"] != "http.disconnect":
                pass
            self.left.set()
            return
        await send({"type": "http.response.body", "body": b""})


async def reply(send: Any, status: int, headers: Headers, body: bytes) -> None:
    """A whole response."""
    await send({"type": "http.response.start", "status": status, "headers": encoded(headers)})
    await send({"type": "http.response.body", "body": body})


def encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    """As ASGI has them."""
    return [(name.encode(), value.encode()) for name, value in headers]
