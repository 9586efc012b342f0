"""A request is an ordinary task in a context of its own: what frameworks build on tasks works."""

import asyncio
import contextvars
import threading
from contextlib import asynccontextmanager

import anyio
import pytest
from freshwire._engine import Exchange, current
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from .apps import respond
from .conftest import TIMEOUT_S, request

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def test_each_request_has_a_context_of_its_own(serve):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        seen = variable.get()
        variable.set("mine")
        await asyncio.sleep(0)
        await respond(send, f"{seen} {variable.get()}".encode())

    served = serve(app)
    assert [served.get().body for _ in range(3)] == [b"unset mine"] * 3


def test_the_current_exchange_is_inherited_by_tasks_and_threads_and_is_unset_elsewhere(serve):
    seen = []

    async def app(scope, receive, send):
        assert scope["type"] == "http"

        async def child():
            return current.get()

        here = current.get()
        seen.append(isinstance(here, Exchange))
        seen.append(await asyncio.create_task(child()) is here)
        seen.append(await asyncio.to_thread(current.get) is here)
        await respond(send)

    served = serve(app)
    served.get()
    assert seen == [True] * 3

    async def outside():
        return current.get()

    assert served.run(outside()) is None


def test_depends_on_adds_tags_until_the_head_is_sent(serve):
    raised = []

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        exchange = current.get()
        exchange.depends_on(["early"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        exchange.depends_on(["held"])
        for bad in ([""], ["a\nb"], ["x" * 256], [str(n) for n in range(127)]):
            with pytest.raises(ValueError, match="tag"):
                exchange.depends_on(bad)
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        try:
            exchange.depends_on(["late"])
        except RuntimeError as error:
            raised.append(str(error))
        await send({"type": "http.response.body"})

    groups = serve(app).get().headers["cache-groups"]
    assert "early" in groups
    assert "held" in groups
    assert "late" not in groups
    assert "has been sent" in raised[0]


def test_send_and_receive_may_be_driven_by_tasks_of_their_own(serve):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        message = await asyncio.create_task(receive())
        assert message["type"] == "http.request"
        await asyncio.create_task(send({"type": "http.response.start", "status": 200}))
        await asyncio.gather(
            send({"type": "http.response.body", "body": b"a", "more_body": True}),
            send({"type": "http.response.body", "body": b"b"}),
        )

    assert serve(app).get().body == b"ab"


def test_the_task_can_be_inspected(serve):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        task = asyncio.current_task()
        frames = [frame.f_code.co_name for frame in task.get_stack()]
        coroutine = task.get_coro()
        assert coroutine.cr_running
        assert coroutine.cr_code.co_name == "app"
        await respond(send, f"{frames} {task!r}".encode())

    assert b"Exchange" in serve(app).get().body


def test_timeouts_and_task_groups_work(serve):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.sleep(TIMEOUT_S)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(TIMEOUT_S))
                raise ZeroDivisionError
        except* ZeroDivisionError:
            pass
        with anyio.move_on_after(0.001) as scope:
            await anyio.sleep(TIMEOUT_S)
        assert scope.cancelled_caught
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0)
            assert await anyio.to_thread.run_sync(lambda: 7) == 7
        await respond(send, b"all")

    assert serve(app).get().body == b"all"


def test_a_request_that_takes_time_does_not_hold_up_others(serve):
    release = asyncio.Event()

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        if scope["path"] == "/wait":
            await release.wait()
        else:
            release.set()
        await respond(send, scope["path"].encode())

    served = serve(app)
    with served.connect(request("/wait")) as waiting:
        assert served.get("/go").body == b"/go"
        assert served.reply(waiting).body == b"/wait"


class Header(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        response = await call_next(request)
        response.headers["x-through"] = "yes"
        return response


def test_starlette_with_middleware_streams_and_reads(serve):
    started = []

    @asynccontextmanager
    async def lifespan(app):
        started.append("up")
        yield {"answer": "42"}
        started.append("down")

    async def stream(request):
        async def pieces():
            for n in range(5):
                yield str(n)
                await asyncio.sleep(0)

        return StreamingResponse(pieces())

    def threaded(request):
        return PlainTextResponse(f"{request.state.answer} {threading.current_thread().name}")

    async def length(request):
        return PlainTextResponse(str(len(await request.body())))

    app = Starlette(
        routes=[
            Route("/stream", stream),
            Route("/threaded", threaded),
            Route("/length", length, methods=["POST"]),
        ],
        middleware=[Middleware(Header), Middleware(Header)],
        lifespan=lifespan,
    )
    served = serve(app)
    reply = served.get("/stream")
    assert (reply.body, reply.headers["x-through"]) == (b"01234", "yes")
    assert served.get("/threaded").body.startswith(b"42 ")
    assert served.get("/length", method="POST", body=b"x" * 300_000).body == b"300000"
    assert served.get("/none").status == 404
    assert started == ["up"]


def test_a_starlette_stream_ends_when_its_client_leaves(serve):
    ended = threading.Event()

    async def stream(request):
        async def pieces():
            try:
                yield b"first"
                await asyncio.sleep(TIMEOUT_S)
            finally:
                ended.set()

        return StreamingResponse(pieces())

    client = serve(Starlette(routes=[Route("/", stream)])).connect(request())
    assert client.recv(65536)
    client.close()
    assert ended.wait(TIMEOUT_S)
