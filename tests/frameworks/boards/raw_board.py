"""An ASGI application that knows no framework, and not even Freshwire: fields of its responses say everything."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import NUMBERS


@contextmanager
def application(scores: dict[str, int]) -> Iterator[Any]:
    async def answer(send: Any, status: int, body: bytes, *fields: tuple[bytes, bytes]) -> None:
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    async def score(send: Any, code: str) -> None:
        if code not in scores:
            await answer(send, 404, b"")
            return
        tags = (b"cache-groups", f'"score:{code}"'.encode())
        body = json.dumps({"score": scores[code]}).encode()
        await answer(send, 200, body, tags, (b"content-type", b"application/json"))

    async def goal(send: Any, code: str) -> None:
        scores[code] += 1
        await answer(send, 204, b"", (b"cache-group-invalidation", f'"score:{code}"'.encode()))

    async def echo(receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        await answer(send, 200, body)

    async def numbers(send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for line in NUMBERS:
            await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body"})

    async def socket(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": "echo: " + message["text"]})

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        match (scope["type"], scope.get("method"), *scope["path"].strip("/").split("/")):
            case ("http", "GET", "plain"):
                await answer(send, 200, b"hello", (b"content-type", b"text/plain"))
            case ("http", "GET", "scores", code):
                await score(send, code)
            case ("http", "POST", "scores", code, "goal"):
                await goal(send, code)
            case ("http", "POST", "echo"):
                await echo(receive, send)
            case ("http", "GET", "numbers"):
                await numbers(send)
            case ("websocket", _, "socket"):
                await socket(receive, send)
            case _:
                await answer(send, 404, b"")

    yield app
