"""What only FastAPI has: dependencies, background tasks, uploads, state, threads."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
from fastapi import (
    BackgroundTasks,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Request,
    UploadFile,
    WebSocket,
    WebSocketException,
)
from fastapi.responses import StreamingResponse
from freshwire import Fresh
from freshwire.testing import LiveNode
from pydantic import BaseModel
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

Start = Callable[..., LiveNode]


def test_dependencies_are_entered_before_and_left_after_the_handler(freshwire_node: Start) -> None:
    app, left = FastAPI(), threading.Event()

    async def session() -> AsyncIterator[str]:
        yield "a session"
        left.set()

    def user(x_user: Annotated[str, Header()]) -> str:  # in a thread
        if x_user != "ada":
            raise HTTPException(403, "who are you?", headers={"x-reason": "unknown"})
        return x_user

    @app.get("/me")
    async def me(session: Annotated[str, Depends(session)], user: Annotated[str, Depends(user)]) -> list[str]:
        return [session, user]

    live = freshwire_node(app)
    assert httpx.get(f"{live.url}/me", headers={"x-user": "ada"}).json() == ["a session", "ada"]
    assert left.wait(10)
    refused = httpx.get(f"{live.url}/me", headers={"x-user": "eve"})
    assert (refused.status_code, refused.json()) == (403, {"detail": "who are you?"})
    assert refused.headers["x-reason"] == "unknown"
    assert httpx.get(f"{live.url}/me").status_code == 422


def test_a_background_task_runs_after_the_answer_and_its_change_is_pushed(freshwire_node: Start) -> None:
    app, fresh = FastAPI(), Fresh()
    answered, state = threading.Event(), {"count": 0}

    @app.get("/count")
    @fresh.tags("count")
    async def count() -> int:
        return state["count"]

    async def add() -> None:
        await asyncio.to_thread(answered.wait, 10)
        state["count"] += 1
        await fresh.changed("count")

    @app.post("/add", status_code=202)
    async def start(tasks: BackgroundTasks) -> str:
        tasks.add_task(add)
        return "later"

    live = freshwire_node(app)
    watch = live.watch("/count")
    assert watch.next().json() == 0
    assert httpx.post(f"{live.url}/add").json() == "later"
    answered.set()  # and only now
    assert watch.next().json() == 1


async def test_a_response_streams_and_waits_for_who_reads_it(freshwire_node: Start) -> None:
    app = FastAPI()
    steps: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    @app.get("/steps")
    async def read_steps() -> StreamingResponse:
        async def read() -> AsyncIterator[str]:
            while step := await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(steps.get(), loop)):
                yield step

        return StreamingResponse(read(), media_type="text/plain")

    live = freshwire_node(app)
    async with httpx.AsyncClient() as http, http.stream("GET", f"{live.url}/steps") as response:
        assert response.headers["content-type"] == "text/plain; charset=utf-8"
        pieces = response.aiter_text()
        for step in ("one", "two"):
            steps.put_nowait(step)
            assert await anext(pieces) == step
        steps.put_nowait("")
        assert [piece async for piece in pieces] == []


def test_files_are_uploaded(freshwire_node: Start) -> None:
    app = FastAPI()

    @app.post("/files")
    async def upload(file: UploadFile) -> dict[str, Any]:
        content = await file.read()
        return {"name": file.filename, "size": len(content), "sum": sum(content)}

    live = freshwire_node(app, max_body_bytes=4_000_000)
    content = bytes(range(256)) * 12_000
    answer = httpx.post(f"{live.url}/files", files={"file": ("flugplan.csv", content)})
    assert answer.json() == {"name": "flugplan.csv", "size": len(content), "sum": sum(content)}
    refused = httpx.post(f"{live.url}/files", files={"file": ("big", bytes(5_000_000))})
    assert refused.status_code == 413


def test_a_websocket_endpoint_has_parameters_and_dependencies(freshwire_node: Start) -> None:
    app = FastAPI()

    def user(websocket: WebSocket, token: str = "") -> str:
        if not token:
            raise WebSocketException(1008, "no token")
        return token

    @app.websocket("/rooms/{room}")
    async def chat(websocket: WebSocket, room: int, user: Annotated[str, Depends(user)]) -> None:
        await websocket.accept(subprotocol="chat")
        await websocket.send_json({"room": room, "user": user})
        async for number in websocket.iter_json():
            await websocket.send_json(number * 2)
            if number == 21:
                break
        await websocket.close(4001, "that is it")

    url = freshwire_node(app).url.replace("http", "ws")
    with connect(f"{url}/rooms/7?token=ada", subprotocols=["other", "chat"]) as socket:  # type: ignore[list-item]
        assert socket.subprotocol == "chat"
        assert socket.recv(10) == '{"room":7,"user":"ada"}'
        socket.send("21")
        assert socket.recv(10) == "42"
        with pytest.raises(ConnectionClosedError) as closed:
            socket.recv(10)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "that is it")
    with pytest.raises(InvalidStatus) as refused, connect(f"{url}/rooms/7"):
        pass
    assert refused.value.response.status_code == 403


def test_what_the_lifespan_yields_is_every_requests_state(freshwire_node: Start) -> None:
    seen = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        yield {"pool": seen}
        seen.append("closed")

    app = FastAPI(lifespan=lifespan)

    @app.get("/state")
    async def state(request: Request) -> int:
        request.state.pool.append("used")
        request.state.mine = "only this request's"
        return len(request.state.pool)

    @app.get("/other")
    async def other(request: Request) -> bool:
        return hasattr(request.state, "mine")

    live = freshwire_node(app)
    assert [httpx.get(f"{live.url}/state").json() for _ in range(2)] == [1, 2]
    assert httpx.get(f"{live.url}/other").json() is False
    live.close()
    assert seen == ["used", "used", "closed"]


def test_handlers_in_threads_say_what_they_depend_on_and_what_changed(freshwire_node: Start) -> None:
    app, fresh = FastAPI(), Fresh()
    stock = {"apple": 3, "pear": 5}

    class Basket(BaseModel):
        fruits: list[str]
        left: int

    @app.get("/baskets")
    def basket(fruits: str) -> Basket:
        names = fruits.split(",")
        fresh.depends_on(*(f"fruit:{name}" for name in names))
        return Basket(fruits=names, left=sum(stock[name] for name in names))

    @app.post("/fruits/{name}/eaten")
    def eat(name: str) -> str:
        stock[name] -= 1
        return fresh.changed_sync(f"fruit:{name}")

    live = freshwire_node(app)
    both, pears = live.watch("/baskets?fruits=apple,pear"), live.watch("/baskets?fruits=pear")
    assert (both.next().json()["left"], pears.next().json()["left"]) == (8, 5)
    httpx.post(f"{live.url}/fruits/apple/eaten")
    assert both.next().json()["left"] == 7
    httpx.post(f"{live.url}/fruits/pear/eaten")
    assert (both.next().json()["left"], pears.next().json()["left"]) == (6, 4)


def test_an_error_of_the_handler_costs_its_own_request_only(freshwire_node: Start) -> None:
    app, fresh = FastAPI(), Fresh()
    state = {"value": 1, "broken": 0}

    @app.get("/value")
    @fresh.tags("value")
    async def value() -> int:
        if state["broken"]:
            raise ValueError("broken")
        return state["value"]

    live = freshwire_node(app, reread_backoff_s=0.1)
    watch = live.watch("/value")
    assert watch.next().json() == 1
    state["broken"] = 1
    live.changed("value")
    broken = httpx.get(f"{live.url}/value")
    assert (broken.status_code, broken.text) == (500, "Internal Server Error")
    state.update(value=2, broken=0)
    assert watch.next().json() == 2  # it was tried again


async def test_fifty_requests_through_threads_and_dependencies_keep_their_contexts(
    freshwire_node: Start,
) -> None:
    app, fresh = FastAPI(), Fresh()
    together = threading.Barrier(10)

    def number(n: int) -> int:
        fresh.depends_on(f"number:{n}")
        return n

    @app.get("/numbers")
    def read(number: Annotated[int, Depends(number)]) -> int:
        together.wait(10)  # ten at once, each in a thread
        return number

    live = freshwire_node(app)
    async with httpx.AsyncClient(base_url=live.url, timeout=30) as http:
        answers = await asyncio.gather(*(http.get("/numbers", params={"n": n}) for n in range(50)))
    for n, answer in enumerate(answers):
        assert answer.json() == n
        assert answer.headers["cache-groups"] == f'"number:{n}"'
