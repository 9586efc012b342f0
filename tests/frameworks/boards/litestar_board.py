from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from freshwire import Fresh
from litestar import Litestar, MediaType, Request, get, post, websocket_listener
from litestar.exceptions import NotFoundException
from litestar.response import Stream

from . import NUMBERS


@contextmanager
def application(scores: dict[str, int]) -> Iterator[Any]:
    fresh = Fresh()

    @get("/plain", media_type=MediaType.TEXT)
    async def plain() -> str:
        return "hello"

    @get("/scores/{code:str}")
    @fresh.tags("score:{code}")
    async def score(code: str) -> dict[str, int]:
        if code not in scores:
            raise NotFoundException
        return {"score": scores[code]}

    @post("/scores/{code:str}/goal")
    async def goal(code: str) -> None:
        scores[code] += 1
        await fresh.changed(f"score:{code}")

    @post("/echo", media_type="application/octet-stream", status_code=200)
    async def echo(request: Request[Any, Any, Any]) -> bytes:
        return await request.body()

    @get("/numbers")
    async def numbers() -> Stream:
        async def lines() -> AsyncIterator[bytes]:
            for line in NUMBERS:
                yield line

        return Stream(lines())

    @websocket_listener("/socket")
    async def socket(data: str) -> str:
        return f"echo: {data}"

    yield Litestar([plain, score, goal, echo, numbers, socket])
