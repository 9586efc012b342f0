"""The site behind the proxies: what is watched, what is cached by everybody, and what is one user's."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Header, Request, Response, WebSocket
from fastapi.responses import StreamingResponse
from freshwire import Fresh

app, fresh = FastAPI(), Fresh()
scores: Counter[str] = Counter()
calls: Counter[str] = Counter()
"""How often the application was asked for each resource."""
SHARED = {"Cache-Control": "public, s-maxage=600"}


@app.get("/scores/{name}")
@fresh.tags("score:{name}")
async def score(name: str) -> dict[str, int]:
    """Read again when it changes; no cache outside keeps it."""
    calls[f"/scores/{name}"] += 1
    return {"score": scores[name]}


@app.get("/tables/{name}")
@fresh.tags("score:{name}")
async def table(name: str, response: Response) -> dict[str, int]:
    """The same, kept by every cache for a while."""
    calls[f"/tables/{name}"] += 1
    response.headers.update(SHARED)
    return {"score": scores[name]}


@app.post("/scores/{name}/goal")
async def goal(name: str) -> dict[str, int]:
    scores[name] += 1
    await fresh.changed(f"score:{name}")
    return {"score": scores[name]}


@app.post("/scores/{name}")
async def set_score(name: str) -> None:
    """The target of a request that is not safe has changed: the node knows by itself."""
    scores[name] += 1


@app.get("/me")
async def me(response: Response, authorization: str = Header(""), cookie: str = Header("")) -> dict[str, str]:
    """One user's, and the application forgot to say so."""
    response.headers["Cache-Control"] = "max-age=600"
    return {"authorization": authorization, "cookie": cookie}


@app.get("/login")
async def login(response: Response, user: str) -> dict[str, str]:
    """A cookie that nobody else may get."""
    response.headers.update({"Cache-Control": "max-age=600", "Set-Cookie": f"session={user}"})
    return {"user": user}


@app.get("/request")
async def seen(request: Request) -> dict[str, Any]:
    """What of a request reaches the application."""
    client = request.client.host if request.client else None
    return {"client": client, "scheme": request.url.scheme, "headers": list(request.headers.items())}


@app.get("/own")
async def own() -> StreamingResponse:
    """An event stream of the application's own, which knows nothing of proxies."""

    async def events() -> AsyncIterator[str]:
        yield "data: first\n\n"
        await asyncio.sleep(3600)

    return StreamingResponse(events(), media_type="text/event-stream")


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)
