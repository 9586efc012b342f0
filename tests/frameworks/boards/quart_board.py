from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from freshwire import Fresh
from quart import Quart, Response, abort, request, websocket

from . import NUMBERS


@contextmanager
def application(scores: dict[str, int]) -> Iterator[Any]:
    app, fresh = Quart(__name__), Fresh()

    @app.get("/plain")
    async def plain() -> Response:
        return Response("hello", content_type="text/plain")

    @app.get("/scores/<code>")
    @fresh.tags("score:{code}")
    async def score(code: str) -> dict[str, int]:
        if code not in scores:
            abort(404)
        return {"score": scores[code]}

    @app.post("/scores/<code>/goal")
    async def goal(code: str) -> tuple[str, int]:
        scores[code] += 1
        await fresh.changed(f"score:{code}")
        return "", 204

    @app.post("/echo")
    async def echo() -> Response:
        return Response(await request.get_data())

    @app.get("/numbers")
    async def numbers() -> Response:
        async def lines() -> AsyncIterator[bytes]:
            for line in NUMBERS:
                yield line

        return Response(lines())

    @app.websocket("/socket")
    async def socket() -> None:
        while True:
            await websocket.send("echo: " + await websocket.receive())

    yield app
