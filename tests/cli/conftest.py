"""The command line as a user tries it: an empty project, a terminal, other processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.python.conftest import cli, place, start  # noqa: F401 - fixtures

APP = """
import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import BackgroundTasks, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import StreamingResponse
from freshwire import Fresh

@asynccontextmanager
async def lifespan(app):
    print("the application has started", flush=True)
    yield
    print("the application has stopped", flush=True)

app, fresh = FastAPI(lifespan=lifespan), Fresh()
stock = {"apple": 3}

@app.get("/fruits/{name}")
@fresh.tags("fruit:{name}")
async def fruit(name: str) -> dict[str, int]:
    if name not in stock:
        raise HTTPException(404)
    return {"left": stock[name]}

@app.post("/fruits/{name}/eaten")
async def eaten(name: str) -> None:
    stock[name] -= 1
    await fresh.changed(f"fruit:{name}")

@app.delete("/fruits/{name}")
async def sold_out(name: str) -> None:
    del stock[name]
    await fresh.changed(f"fruit:{name}")

@app.get("/where")
async def where(request: Request) -> dict[str, str]:
    return {name: request.scope[name] for name in ("root_path", "path")} | {"url": str(request.url_for("where"))}

@app.get("/slow/{name}")
async def slow(name: str) -> str:
    print(f"{name} has begun", flush=True)
    while not Path(name).exists():
        await asyncio.sleep(0.01)
    return "done"

@app.post("/later")
async def later(tasks: BackgroundTasks) -> str:
    async def work():
        await slow("later")
        print("the work is done", flush=True)
    tasks.add_task(work)
    return "begun"

@app.get("/raises")
async def raises() -> None:
    raise ValueError("a bug")

@app.get("/own")
async def own() -> StreamingResponse:
    async def events():
        yield "data: mine\\n\\n"
        await asyncio.sleep(3600)
    return StreamingResponse(events(), media_type="text/event-stream")

@app.websocket("/socket")
async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)

def make():
    return app
"""


@pytest.fixture(autouse=True)
def application(place: Path) -> Path:  # noqa: F811 - a fixture
    """The project's application, main:app."""
    (place / "main.py").write_text(APP)
    return place / "main.py"
