"""A score board that is live in the browser: the data of `index.html` and `board.jsx`. See README.md."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse
from freshwire import Fresh

HERE = Path(__file__).parent
DIST = HERE.parents[1] / "dist"

app, fresh = FastAPI(), Fresh()
points = {"Ada": 0, "Grace": 0, "Linus": 0}


@app.get("/scores/{name}")
@fresh.tags("score:{name}")
async def score(name: str) -> dict[str, str | int]:
    """The points of a player."""
    if name not in points:
        raise HTTPException(404)
    return {"name": name, "points": points[name]}


@app.post("/scores/{name}/point")
async def point(name: str) -> dict[str, str | int]:
    """A player scores."""
    points[name] = points.get(name, 0) + 1
    await fresh.changed(f"score:{name}")
    return await score(name)


@app.delete("/scores/{name}")
async def leave(name: str) -> None:
    """A player leaves."""
    points.pop(name, None)
    await fresh.changed(f"score:{name}")


@app.get("/")
async def page(react: bool = False) -> FileResponse:
    """The board, with a script tag; or as a React page (`/?react=1`), once that is bundled."""
    return FileResponse(HERE / ("react.html" if react else "index.html"))


@app.get("/dist/{name}")
async def dist(name: str) -> FileResponse:
    """What was built: the client, and the bundle of the React page."""
    return FileResponse(DIST / Path(name).name)
