from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import PlainTextResponse, StreamingResponse
from freshwire import Fresh

from . import NUMBERS


@contextmanager
def application(scores: dict[str, int]) -> Iterator[Any]:
    app, fresh = FastAPI(), Fresh()

    @app.get("/plain")
    async def plain() -> PlainTextResponse:
        return PlainTextResponse("hello")

    @app.get("/scores/{code}")
    @fresh.tags("score:{code}")
    async def score(code: str) -> dict[str, int]:
        if code not in scores:
            raise HTTPException(404)
        return {"score": scores[code]}

    @app.post("/scores/{code}/goal")
    async def goal(code: str) -> None:
        scores[code] += 1
        await fresh.changed(f"score:{code}")

    @app.post("/echo")
    async def echo(request: Request) -> Response:
        return Response(await request.body())

    @app.get("/numbers")
    async def numbers() -> StreamingResponse:
        async def lines() -> AsyncIterator[bytes]:
            for line in NUMBERS:
                yield line

        return StreamingResponse(lines())

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_text("echo: " + await websocket.receive_text())
        except WebSocketDisconnect:
            pass

    yield app
