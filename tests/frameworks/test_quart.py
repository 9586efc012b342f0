"""What only Quart has: its request contexts, its WebSockets, background tasks and streamed bodies."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from freshwire import Fresh
from freshwire.testing import LiveNode
from quart import Quart, Response, abort, g, request, session, websocket
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.sync.client import connect

Start = Callable[..., LiveNode]


def test_a_websocket_is_refused_accepted_with_a_subprotocol_and_closed(freshwire_node: Start) -> None:
    app, over = Quart(__name__), threading.Event()

    @app.websocket("/rooms/<int:room>")
    async def chat(room: int) -> None:
        if room == 13:
            abort(404)
        await websocket.accept(subprotocol="chat", headers={"x-room": str(room)})
        try:
            while True:
                data = await websocket.receive()
                if data == "end":
                    await websocket.close(4001, "that is it")
                    return
                await websocket.send(data[::-1])
        finally:
            over.set()

    url = freshwire_node(app).url.replace("http", "ws")
    with connect(f"{url}/rooms/7", subprotocols=["chat"]) as socket:  # type: ignore[list-item]
        assert socket.subprotocol == "chat"
        assert socket.response is not None
        assert socket.response.headers["x-room"] == "7"
        socket.send("abc")
        assert socket.recv(10) == "cba"
        socket.send(b"\x00\xff")
        assert socket.recv(10) == b"\xff\x00"
        socket.send("end")
        with pytest.raises(ConnectionClosedError) as closed:
            socket.recv(10)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "that is it")
    assert over.wait(10)
    with pytest.raises(InvalidStatus) as refused, connect(f"{url}/rooms/13"):
        pass
    assert refused.value.response.status_code == 404


def test_a_websocket_handler_ends_when_its_client_leaves(freshwire_node: Start) -> None:
    app, left = Quart(__name__), threading.Event()

    @app.websocket("/wait")
    async def wait() -> None:
        try:
            await websocket.send("here")
            await websocket.receive()
        except asyncio.CancelledError:
            left.set()
            raise

    with connect(freshwire_node(app).url.replace("http", "ws") + "/wait") as socket:
        assert socket.recv(10) == "here"
    assert left.wait(10)


def test_many_websockets_talk_at_once(freshwire_node: Start) -> None:
    app = Quart(__name__)

    @app.websocket("/add")
    async def add() -> None:
        total = 0
        while (number := await websocket.receive_json()) is not None:
            total += number
        await websocket.send_json(total)

    url = freshwire_node(app).url.replace("http", "ws") + "/add"
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(connect(url)) for _ in range(50)]
        for number in range(10):
            for place, socket in enumerate(sockets):
                socket.send(str(number * place))
        for place, socket in enumerate(sockets):
            socket.send("null")
            assert int(socket.recv(10)) == 45 * place
            with pytest.raises(ConnectionClosedOK):
                socket.recv(10)


def test_a_body_is_read_as_it_comes_and_answered_as_it_is_made(freshwire_node: Start) -> None:
    app = Quart(__name__)

    @app.post("/upper")
    async def upper() -> Response:
        pieces = [piece async for piece in request.body]

        async def shout() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece.upper()

        return Response(shout(), headers={"x-pieces": str(len(pieces) > 1)})

    def body() -> AsyncIterator[bytes]:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b"abcdefgh" * 2000
                await asyncio.sleep(0)

        return pieces()

    async def send(url: str) -> httpx.Response:
        async with httpx.AsyncClient() as http:
            return await http.post(url, content=body())

    answer = asyncio.run(send(f"{freshwire_node(app).url}/upper"))
    assert answer.content == b"ABCDEFGH" * 40_000
    assert answer.headers["x-pieces"] == "True"


def test_a_task_in_the_background_says_what_changed(freshwire_node: Start) -> None:
    app, fresh = Quart(__name__), Fresh()
    answered, state = threading.Event(), {"count": 0}

    @app.get("/count")
    @fresh.tags("count")
    async def count() -> dict[str, int]:
        return state

    @app.post("/add")
    async def start() -> str:
        async def add() -> None:
            await asyncio.to_thread(answered.wait, 10)
            state["count"] += 1
            await fresh.changed("count")

        app.add_background_task(add)
        return "later"

    live = freshwire_node(app)
    watch = live.watch("/count")
    assert watch.next().json() == {"count": 0}
    assert httpx.post(f"{live.url}/add").text == "later"
    answered.set()
    assert watch.next().json() == {"count": 1}


def test_a_session_is_its_clients_own(freshwire_node: Start) -> None:
    app = Quart(__name__)
    app.secret_key = "not a secret"

    @app.get("/visits")
    async def visits() -> dict[str, int]:
        session["visits"] = session.get("visits", 0) + 1
        return {"visits": session["visits"]}

    live = freshwire_node(app)
    with httpx.Client(base_url=live.url) as ada, httpx.Client(base_url=live.url) as eve:
        assert [ada.get("/visits").json()["visits"] for _ in range(3)] == [1, 2, 3]
        assert eve.get("/visits").json()["visits"] == 1


async def test_fifty_requests_at_once_keep_their_contexts(freshwire_node: Start) -> None:
    app, fresh = Quart(__name__), Fresh()

    @app.before_request
    async def remember() -> None:
        g.number = int(request.args["n"])

    @app.get("/sync")
    def in_a_thread() -> list[int]:
        fresh.depends_on(f"number:{g.number}")
        return [g.number]

    @app.get("/async")
    async def on_the_loop() -> list[int]:
        await asyncio.sleep(0)
        fresh.depends_on(f"number:{g.number}")
        return [g.number]

    live = freshwire_node(app)
    async with httpx.AsyncClient(base_url=live.url, timeout=30) as http:
        wheres = [f"/{kind}?n={number}" for number in range(50) for kind in ("sync", "async")]
        answers = await asyncio.gather(*map(http.get, wheres))
    for place, answer in enumerate(answers):
        assert answer.json() == [place // 2]
        assert answer.headers["cache-groups"] == f'"number:{place // 2}"'
