"""What the tests read and write: numbers that may be kept for an hour by everybody."""

from __future__ import annotations

from collections import Counter

from fastapi import FastAPI, Response
from freshwire import Fresh

app, fresh = FastAPI(), Fresh()
numbers: Counter[str] = Counter()
reads: Counter[str] = Counter()


def shown(name: str, response: Response) -> int:
    response.headers["cache-control"] = "public, max-age=3600"
    reads[name] += 1
    return numbers[name]


@app.get("/tagged/{name}")
@fresh.tags("number:{name}")
async def tagged(name: str, response: Response) -> int:
    return shown(name, response)


@app.post("/count/{name}")
async def count(name: str) -> None:
    numbers[name] += 1
    await fresh.changed(f"number:{name}")


@app.get("/plain/{name}")
async def plain(name: str, response: Response) -> int:
    return shown(name, response)


@app.post("/plain/{name}")
async def write(name: str) -> None:
    numbers[name] += 1
