"""The application that the tests of clients talk to: one live match, and what echoes, streams and hangs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

from freshwire import Fresh
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect


class Site:
    """The application and what it knows."""

    def __init__(self) -> None:
        self.goals = 0
        self.over = False
        self.title = "match"
        self.closed: list[tuple[int, str]] = []
        """How WebSockets have ended, as the application heard it."""
        self.ended = threading.Event()
        """Set when a WebSocket has ended, or a request that nobody waits for any more."""
        self.fresh = Fresh()
        self.app = Starlette(
            routes=[
                Route("/match", self.fresh.tags("match")(self.match)),
                Route("/goal", self.goal, methods=["POST"]),
                Route("/end", self.end, methods=["POST"]),
                Route("/echo", self.echo, methods=["POST", "PUT"]),
                Route("/port", self.port),
                Route("/lines/{count:int}", self.lines),
                Route("/bytes/{count:int}", self.bytes),
                Route("/hang", self.hang),
                WebSocketRoute("/socket", self.socket),
                WebSocketRoute("/close/{code:int}", self.close),
                WebSocketRoute("/flood/{count:int}", self.flood),
            ]
        )

    async def match(self, request: Request) -> Response:
        if self.over:
            raise HTTPException(404, "the match is over")
        return JSONResponse({self.title: self.goals})

    async def goal(self, request: Request) -> Response:
        self.goals += 1
        await self.fresh.changed("match")
        return PlainTextResponse(str(self.goals))

    async def end(self, request: Request) -> Response:
        self.over = True
        await self.fresh.changed("match")
        return Response(status_code=204)

    async def echo(self, request: Request) -> Response:
        pieces = [piece async for piece in request.stream()]
        return Response(b"".join(pieces), headers={"x-expect": request.headers.get("expect", "none")})

    async def port(self, request: Request) -> Response:
        assert request.client is not None
        return PlainTextResponse(str(request.client.port))

    async def lines(self, request: Request) -> Response:
        async def lines() -> AsyncIterator[str]:
            for number in range(request.path_params["count"]):
                yield f"line {number}\n"

        return StreamingResponse(lines(), media_type="text/plain")

    async def bytes(self, request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            left = request.path_params["count"]
            while left:
                piece = min(left, 60_000)
                left -= piece
                yield b"x" * piece

        return StreamingResponse(pieces(), headers={"content-length": str(request.path_params["count"])})

    async def hang(self, request: Request) -> Response:
        try:
            while (await request.receive())["type"] != "http.disconnect":
                pass
        except ClientDisconnect:
            pass
        self.ended.set()
        return Response()

    async def socket(self, websocket: WebSocket) -> None:
        offered = websocket.scope["subprotocols"]
        await websocket.accept(subprotocol=offered[0] if offered else None)
        try:
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    raise WebSocketDisconnect(message["code"], message.get("reason"))
                await websocket.send({**message, "type": "websocket.send"})
        except WebSocketDisconnect as error:
            self.closed.append((error.code, error.reason))
            self.ended.set()

    async def close(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(websocket.path_params["code"], "as asked")

    async def flood(self, websocket: WebSocket) -> None:
        await websocket.accept()
        for number in range(websocket.path_params["count"]):
            await websocket.send_text(str(number))
        await websocket.close()

    async def wait_for_end(self) -> bool:
        """Wait until something has ended."""
        return await asyncio.to_thread(self.ended.wait, 10)
