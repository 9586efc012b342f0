"""The application that the tests of browsers open: a page that listens, and what it listens to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

from freshwire import Fresh
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

PAGE = """<!doctype html>
<title>Pages</title>
<link rel="icon" href="data:,">
<script>
const log = []
function listen(url, names = ["message"]) {
  const source = new EventSource(url)
  for (const name of names)
    source.addEventListener(name, (event) => log.push([name, event.data, event.lastEventId]))
  source.onopen = () => log.push(["open"])
  source.onerror = () => log.push(["error", source.readyState])
  return (window.source = source)
}
function talk(url, ...protocols) {
  const socket = new WebSocket(url, protocols)
  socket.onopen = () => log.push(["open", socket.protocol])
  socket.onmessage = (event) => log.push(["message", event.data])
  socket.onclose = (event) => log.push(["close", event.code, event.wasClean])
  return (window.socket = socket)
}
const of = (name) => log.filter((entry) => entry[0] === name).map((entry) => entry[1])
</script>
"""


class Pages:
    """The application and what it knows."""

    def __init__(self) -> None:
        self.goals = 0
        self.over = False
        self.left = threading.Event()
        """Set when nobody listens to the clock any more."""
        fresh = self.fresh = Fresh()
        self.app = Starlette(
            routes=[
                Route("/page", self.page),
                Route("/match", fresh.tags("match")(self.match)),
                Route("/goal", self.goal, methods=["POST"]),
                Route("/me", fresh.tags("match")(self.me)),
                Route("/clock", self.clock),
                WebSocketRoute("/echo", self.echo),
            ],
            middleware=[Middleware(CORSMiddleware, allow_origins=["*"], expose_headers=["etag"])],
        )

    async def page(self, request: Request) -> Response:
        return HTMLResponse(PAGE)

    async def match(self, request: Request) -> Response:
        if self.over:
            raise HTTPException(404)
        return JSONResponse({"goals": self.goals})

    async def goal(self, request: Request) -> Response:
        self.goals += 1
        await self.fresh.changed("match")
        return PlainTextResponse(str(self.goals))

    async def me(self, request: Request) -> Response:
        return JSONResponse({"name": request.cookies.get("name"), "goals": self.goals})

    async def clock(self, request: Request) -> Response:
        async def events() -> AsyncIterator[str]:
            try:
                for number in range(3):
                    yield f"event: tick\nid: mine-{number}\ndata: {number}\n\n"
                await asyncio.Event().wait()
            finally:
                self.left.set()

        return StreamingResponse(events(), media_type="text/event-stream")

    async def echo(self, websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(f"echo: {text}")
