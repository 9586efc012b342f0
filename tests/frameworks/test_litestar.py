"""What only Litestar has: controllers, dependencies, data models, channels of events, its own ETags."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, Any

import httpx
import pytest
from freshwire import Fresh
from freshwire.testing import LiveNode
from litestar import Controller, Litestar, WebSocket, get, post, websocket
from litestar.config.compression import CompressionConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import WebSocketDisconnect
from litestar.params import FromPath
from litestar.response import ServerSentEvent
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

Start = Callable[..., LiveNode]


@dataclass
class Order:
    dish: str
    state: str = "new"


def kitchen(fresh: Fresh, orders: dict[int, Order]) -> type[Controller]:
    class Orders(Controller):
        path = "/orders"

        @get("/{order_id:int}")
        @fresh.tags("order:{order_id}")
        async def read(self, order_id: FromPath[int]) -> Order:
            return orders[order_id]

        @get("/", sync_to_thread=True)
        @fresh.tags("orders")
        def read_all(self) -> list[Order]:
            for number in orders:
                fresh.depends_on(f"order:{number}")
            return list(orders.values())

        @post("/{order_id:int}/ready", sync_to_thread=True)
        def ready(self, order_id: FromPath[int]) -> Order:
            orders[order_id].state = "ready"
            fresh.changed_sync(f"order:{order_id}")
            return orders[order_id]

        @post("/")
        async def take(self, data: Order) -> Order:
            orders[len(orders) + 1] = data
            await fresh.changed("orders")
            return data

    return Orders


@pytest.fixture
def orders() -> dict[int, Order]:
    return {1: Order("soup")}


def test_a_controllers_handlers_are_tagged_and_pushed(
    freshwire_node: Start, orders: dict[int, Order]
) -> None:
    live = freshwire_node(Litestar([kitchen(Fresh(), orders)]))
    one, whole = live.watch("/orders/1"), live.watch("/orders", transport="websocket")
    assert one.next().json() == {"dish": "soup", "state": "new"}
    assert whole.next().json() == [{"dish": "soup", "state": "new"}]
    assert httpx.post(f"{live.url}/orders/1/ready").status_code == 201
    assert one.next().json()["state"] == "ready"
    assert whole.next().json()[0]["state"] == "ready"
    fish = {"dish": "fish", "state": "new"}
    assert httpx.post(f"{live.url}/orders", json=fish).json() == fish
    assert [order["dish"] for order in whole.next().json()] == ["soup", "fish"]
    assert httpx.post(f"{live.url}/orders", json={"nonsense": 1}).status_code == 400
    assert httpx.get(f"{live.url}/orders/1").headers["cache-status"].startswith("freshwire; hit")


def test_a_compressed_answer_goes_only_to_who_accepts_it(
    freshwire_node: Start, orders: dict[int, Order]
) -> None:
    orders.update({number: Order("soup") for number in range(100)})
    compression = CompressionConfig(backend="gzip", minimum_size=500)
    live = freshwire_node(Litestar([kitchen(Fresh(), orders)], compression_config=compression))
    # It says Vary only when it compresses, so a plain copy may answer both; a compressed one must not.
    for encoding in ("gzip", "identity", "gzip", "identity"):
        answer = httpx.get(f"{live.url}/orders", headers={"accept-encoding": encoding})
        assert answer.headers.get("content-encoding") in (None, encoding)
        assert len(answer.json()) == 100
    assert len(live.watch("/orders").next().json()) == 100


def test_startup_state_and_dependencies_reach_the_handler(freshwire_node: Start) -> None:
    async def open_pool(app: Litestar) -> None:
        app.state.pool = ["open"]

    async def close_pool(app: Litestar) -> None:
        app.state.pool.append("closed")

    async def pool(state: State) -> list[str]:
        found: list[str] = state.pool
        return found

    @get("/pool", dependencies={"pool": Provide(pool)})
    async def read(pool: list[str]) -> list[str]:
        return pool

    app = Litestar([read], on_startup=[open_pool], on_shutdown=[close_pool])
    live = freshwire_node(app)
    assert httpx.get(f"{live.url}/pool").json() == ["open"]
    live.close()
    assert app.state.pool == ["open", "closed"]


def test_its_own_event_stream_passes_untouched(freshwire_node: Start) -> None:
    left = threading.Event()

    @get("/clock", sync_to_thread=False)
    def clock() -> ServerSentEvent:
        async def ticks() -> AsyncIterator[str]:
            try:
                yield "tick"
                await asyncio.Event().wait()
            finally:
                left.set()

        return ServerSentEvent(ticks(), event_type="clock")

    live = freshwire_node(Litestar([clock]))
    with httpx.stream("GET", f"{live.url}/clock", headers={"accept": "text/event-stream"}) as stream:
        came = b""
        for piece in stream.iter_bytes():
            came += piece
            if came.endswith(b"\r\n\r\n"):
                break
        assert came.startswith(b"event: clock\r\n")  # no `retry` of ours before it
        assert came.endswith(b"data: tick\r\n\r\n")
    assert left.wait(10)


def test_a_websocket_handler_hears_of_the_end(freshwire_node: Start) -> None:
    heard: list[Any] = []
    over = threading.Event()

    @websocket("/socket")
    async def socket(socket: WebSocket[Any, Any, Any]) -> None:
        await socket.accept(subprotocols="chat")
        try:
            while True:
                heard.append(await socket.receive_json())
                if heard[-1] == "end":
                    await socket.close(4002, "as you wish")
                    return
                await socket.send_json({"heard": heard[-1]})
        except WebSocketDisconnect as error:
            heard.append(error.code)
        finally:
            over.set()

    url = freshwire_node(Litestar([socket])).url.replace("http", "ws") + "/socket"
    with connect(url, subprotocols=["chat"]) as client:  # type: ignore[list-item]
        assert client.subprotocol == "chat"
        client.send('{"a": 1}')
        assert client.recv(10) == '{"heard":{"a":1}}'
        client.close(4003)
    assert over.wait(10)
    assert heard == [{"a": 1}, 4003]
    with connect(url, subprotocols=["chat"]) as client:  # type: ignore[list-item]
        client.send('"end"')
        with pytest.raises(ConnectionClosedError) as closed:
            client.recv(10)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4002, "as you wish")


async def test_fifty_requests_at_once_keep_their_contexts(freshwire_node: Start) -> None:
    fresh = Fresh()

    async def twice(number: Annotated[int, "from the query"]) -> int:
        await asyncio.sleep(0)
        fresh.depends_on(f"twice:{2 * number}")
        return 2 * number

    @get("/numbers", dependencies={"twice": Provide(twice)})
    async def read(number: int, twice: int) -> list[int]:
        fresh.depends_on(f"number:{number}")
        return [number, twice]

    live = freshwire_node(Litestar([read]))
    async with httpx.AsyncClient(base_url=live.url, timeout=30) as http:
        answers = await asyncio.gather(*(http.get(f"/numbers?number={number}") for number in range(50)))
    for number, answer in enumerate(answers):
        assert answer.json() == [number, 2 * number]
        assert set(answer.headers["cache-groups"].split(", ")) == {
            f'"number:{number}"',
            f'"twice:{2 * number}"',
        }
