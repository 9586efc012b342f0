from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from freshwire import Fresh
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from . import NUMBERS


class Echo(WebSocketEndpoint):
    encoding = "text"

    async def on_receive(self, websocket: WebSocket, data: str) -> None:
        await websocket.send_text(f"echo: {data}")


@contextmanager
def application(scores: dict[str, int]) -> Iterator[Any]:
    fresh = Fresh()

    async def plain(request: Request) -> Response:
        return PlainTextResponse("hello")

    @fresh.tags("score:{code}")
    async def score(request: Request) -> Response:
        code = request.path_params["code"]
        if code not in scores:
            raise HTTPException(404)
        return JSONResponse({"score": scores[code]})

    def goal(request: Request) -> Response:  # in a thread
        code = request.path_params["code"]
        scores[code] += 1
        fresh.changed_sync(f"score:{code}")
        return Response(status_code=204)

    async def echo(request: Request) -> Response:
        return Response(b"".join([chunk async for chunk in request.stream()]))

    async def numbers(request: Request) -> Response:
        async def lines() -> AsyncIterator[bytes]:
            for line in NUMBERS:
                yield line

        return StreamingResponse(lines())

    yield Starlette(
        routes=[
            Route("/plain", plain),
            Route("/scores/{code}", score),
            Route("/scores/{code}/goal", goal, methods=["POST"]),
            Route("/echo", echo, methods=["POST"]),
            Route("/numbers", numbers),
            WebSocketRoute("/socket", Echo),
        ]
    )
