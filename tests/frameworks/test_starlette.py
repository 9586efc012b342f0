"""Starlette's middlewares, static files, and an event stream of the application's own."""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from freshwire import Fresh
from freshwire.testing import LiveNode, Transport
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

Start = Callable[..., LiveNode]
TRANSPORTS: list[Transport] = ["sse", "websocket", "poll"]
LONG = [f"flight {number}" for number in range(500)]


class Live:
    """One tagged resource, long enough to be compressed, under some middlewares."""

    def __init__(self, *middlewares: Middleware) -> None:
        self.fresh = Fresh()
        self.reads = 0
        self.lines = list(LONG)

        @self.fresh.tags("flights")
        async def flights(request: Request) -> Response:
            self.reads += 1
            return JSONResponse(self.lines)

        self.app = Starlette(routes=[Route("/flights", flights)], middleware=list(middlewares))


def test_gzip_makes_variants_and_a_watcher_gets_plain_text(freshwire_node: Start) -> None:
    board = Live(Middleware(GZipMiddleware))
    live = freshwire_node(board.app)
    plain = httpx.get(f"{live.url}/flights", headers={"accept-encoding": "identity"})
    packed = httpx.get(f"{live.url}/flights", headers={"accept-encoding": "gzip"})
    assert ("content-encoding" in plain.headers, packed.headers["content-encoding"]) == (False, "gzip")
    assert plain.json() == packed.json() == LONG
    assert plain.headers["etag"] != packed.headers["etag"]
    assert board.reads == 2
    for encoding in ("identity", "gzip"):
        again = httpx.get(f"{live.url}/flights", headers={"accept-encoding": encoding})
        assert again.headers["cache-status"].startswith("freshwire; hit")
        assert again.json() == LONG
    assert board.reads == 2
    watch = live.watch("/flights", headers={"accept-encoding": "gzip, br"})
    assert watch.next().json() == LONG
    board.lines.append("another")
    live.changed("flights")
    assert watch.next().json()[-1] == "another"


def test_cors_answers_preflights_and_is_not_mixed_up_between_origins(freshwire_node: Start) -> None:
    origins = ["https://a.example", "https://b.example"]
    board = Live(Middleware(CORSMiddleware, allow_origins=origins, allow_credentials=True))
    live = freshwire_node(board.app)
    preflight = httpx.options(
        f"{live.url}/flights", headers={"origin": origins[0], "access-control-request-method": "GET"}
    )
    assert preflight.headers["access-control-allow-origin"] == origins[0]
    for origin in (*origins, *origins):
        answer = httpx.get(f"{live.url}/flights", headers={"origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin
    assert "access-control-allow-origin" not in httpx.get(f"{live.url}/flights").headers


def test_a_watch_from_an_allowed_origin_carries_its_cors_fields(freshwire_node: Start) -> None:
    board = Live(Middleware(CORSMiddleware, allow_origins=["*"]))
    live = freshwire_node(board.app, allow_origins=["https://a.example"])
    headers = {"accept": "text/event-stream", "origin": "https://a.example"}
    with httpx.stream("GET", f"{live.url}/flights", headers=headers) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["access-control-allow-origin"] == "*"
    refused = httpx.get(f"{live.url}/flights", headers={**headers, "origin": "https://b.example"})
    assert refused.status_code == 403


def test_a_session_is_private_and_kept_in_its_cookie(freshwire_node: Start) -> None:
    fresh = Fresh()

    async def count(request: Request) -> Response:
        request.session["count"] = request.session.get("count", 0) + 1
        return JSONResponse(request.session["count"])

    @fresh.tags("me")
    async def me(request: Request) -> Response:
        return JSONResponse(request.session.get("count", 0))

    app = Starlette(
        routes=[Route("/count", count, methods=["POST"]), Route("/me", me)],
        middleware=[Middleware(SessionMiddleware, secret_key="not a secret")],
    )
    live = freshwire_node(app)
    with httpx.Client(base_url=live.url) as ada, httpx.Client(base_url=live.url) as eve:
        assert [ada.post("/count").json() for _ in range(3)] == [1, 2, 3]
        assert ada.get("/me").json() == 3
        assert eve.get("/me").json() == 0
        watch = live.watch("/me", headers={"cookie": f"session={ada.cookies['session']}"})
        assert watch.next().json() == 3
        assert eve.get("/me").json() == 0


def test_a_function_as_middleware_sees_everything_and_leaves_the_cache_working(freshwire_node: Start) -> None:
    seen: list[str] = []

    async def remember(request: Request, call_next: Any) -> Response:
        seen.append(request.url.path)
        response: Response = await call_next(request)
        response.headers["x-seen"] = str(len(seen))
        return response

    board = Live(Middleware(BaseHTTPMiddleware, dispatch=remember))
    live = freshwire_node(board.app)
    first, second = (httpx.get(f"{live.url}/flights") for _ in range(2))
    assert first.json() == second.json() == LONG
    assert first.headers["x-seen"] == second.headers["x-seen"] == "1"
    assert first.headers["etag"] == second.headers["etag"]
    assert second.headers["cache-status"].startswith("freshwire; hit")
    watch = live.watch("/flights")
    watch.next()
    board.lines.append("another")
    live.changed("flights")
    assert watch.next().json()[-1] == "another"


def test_trusted_hosts_are_checked_by_both(freshwire_node: Start) -> None:
    board = Live(Middleware(TrustedHostMiddleware, allowed_hosts=["example.org"]))
    live = freshwire_node(board.app, allow_hosts=["example.org", "example.net"])
    assert httpx.get(f"{live.url}/flights", headers={"host": "example.org"}).status_code == 200
    assert httpx.get(f"{live.url}/flights", headers={"host": "example.net"}).status_code == 400
    assert httpx.get(f"{live.url}/flights", headers={"host": "evil.example"}).status_code == 421


def test_all_of_them_together_still_push(freshwire_node: Start) -> None:
    async def pass_on(request: Request, call_next: Any) -> Response:
        answer: Response = await call_next(request)
        return answer

    board = Live(
        Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1"]),
        Middleware(CORSMiddleware, allow_origins=["*"]),
        Middleware(SessionMiddleware, secret_key="not a secret"),
        Middleware(GZipMiddleware),
        Middleware(BaseHTTPMiddleware, dispatch=pass_on),
    )
    live = freshwire_node(board.app)
    plain = {
        "accept-encoding": "identity"
    }  # a poll needs an ETag, and a stream that is being packed has none
    watches = [live.watch("/flights", transport=transport, headers=plain) for transport in TRANSPORTS]
    for watch in watches:
        assert watch.next().json() == LONG
    board.lines.append("another")
    live.changed("flights")
    for watch in watches:
        assert watch.next().json()[-1] == "another"


def test_static_files_are_served_whole_in_ranges_and_conditionally(
    freshwire_node: Start, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 2000
    (tmp_path / "plan.bin").write_bytes(content)
    (tmp_path / "index.html").write_text("<h1>hello</h1>")
    live = freshwire_node(Starlette(routes=[Mount("/", StaticFiles(directory=tmp_path, html=True))]))
    with httpx.Client(base_url=live.url) as http:
        assert http.get("/").text == "<h1>hello</h1>"
        whole = http.get("/plan.bin")
        assert whole.content == content
        same = http.get("/plan.bin", headers={"if-none-match": whole.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")
        part = http.get("/plan.bin", headers={"range": "bytes=1000-1999"})
        assert (part.status_code, part.content) == (206, content[1000:2000])
        assert part.headers["content-range"] == f"bytes 1000-1999/{len(content)}"
        head = http.head("/plan.bin")
        assert (head.headers["content-length"], head.content) == (str(len(content)), b"")
        assert http.get("/../../etc/passwd").status_code == 404
        (tmp_path / "index.html").write_text("<h1>changed</h1>")
        assert http.get("/").text == "<h1>changed</h1>"  # nobody said that it may be kept


async def test_an_event_stream_of_its_own_passes_untouched_and_ends_at_once_with_its_client(
    freshwire_node: Start,
) -> None:
    ended, ticks = threading.Event(), asyncio.Queue[bytes]()
    loop = asyncio.get_running_loop()

    async def clock(request: Request) -> Response:
        async def events() -> AsyncIterator[bytes]:
            try:
                yield b": hello\n\n"
                while True:
                    yield await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(ticks.get(), loop))
            finally:
                ended.set()

        return StreamingResponse(events(), headers={"x-mine": "yes"}, media_type="text/event-stream")

    live = freshwire_node(Starlette(routes=[Route("/clock", clock)]))
    async with (
        httpx.AsyncClient() as http,
        http.stream("GET", f"{live.url}/clock", headers={"accept": "text/event-stream"}) as stream,
    ):
        assert stream.headers["x-mine"] == "yes"
        pieces = stream.aiter_bytes()
        assert await anext(pieces) == b": hello\n\n"  # and no `retry` of ours before it
        for tick in (b"event: tick\ndata: 1\n\n", b"data: a\r\rdata: b\n\n"):
            ticks.put_nowait(tick)
            assert await anext(pieces) == tick
        assert not ended.is_set()
    assert await asyncio.to_thread(ended.wait, 10)  # on an idle stream, before the next tick


def test_is_disconnected_turns_true_when_the_client_leaves(freshwire_node: Start) -> None:
    left, begun = threading.Event(), threading.Event()

    async def wait(request: Request) -> Response:
        assert await request.is_disconnected() is False
        begun.set()
        for pause_s in itertools.repeat(0.01):
            if await request.is_disconnected():
                break
            await asyncio.sleep(pause_s)
        left.set()
        return PlainTextResponse("nobody reads this")

    live = freshwire_node(Starlette(routes=[Route("/wait", wait)]))
    with httpx.Client() as http, pytest.raises(httpx.ReadTimeout):
        http.get(f"{live.url}/wait", timeout=httpx.Timeout(10, read=0.3))
    assert begun.is_set()
    assert left.wait(10)


async def test_fifty_event_streams_of_its_own_all_end_with_their_clients(freshwire_node: Start) -> None:
    open_streams, all_ended = set[int](), threading.Event()

    async def forever(request: Request) -> Response:
        async def events() -> AsyncIterator[bytes]:
            open_streams.add(id(request))
            try:
                yield b"data: 1\n\n"
                await asyncio.Event().wait()
            finally:
                open_streams.discard(id(request))
                if not open_streams:
                    all_ended.set()

        return StreamingResponse(events(), media_type="text/event-stream")

    live = freshwire_node(Starlette(routes=[Route("/forever", forever)]))

    async with httpx.AsyncClient(timeout=30) as http:
        arrived, counted = asyncio.Barrier(51), asyncio.Event()

        async def read() -> None:
            async with http.stream("GET", f"{live.url}/forever") as stream:
                chunks = stream.aiter_bytes()  # held: one that is dropped closes its connection
                await anext(chunks)
                await arrived.wait()
                await counted.wait()

        readers = [asyncio.create_task(read()) for _ in range(50)]
        await arrived.wait()
        assert len(open_streams) == 50
        counted.set()
        await asyncio.gather(*readers)
    assert await asyncio.to_thread(all_ended.wait, 10)
