"""The `websockets` library against the node: watches, and sockets of the application."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from freshwire.testing import LiveNode
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidStatus
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close, Frame, Opcode
from websockets.sync.client import connect as connect_sync
from websockets.typing import Subprotocol

from .site import Site

WATCH = [Subprotocol("freshwire.v1")]


def ws(live: LiveNode, path: str) -> str:
    return live.url.replace("http", "ws", 1) + path


def test_a_watch_gets_what_is_there_and_each_change_and_ends_with_4404(live: LiveNode) -> None:
    with connect_sync(ws(live, "/match"), subprotocols=WATCH) as socket:
        assert socket.subprotocol == "freshwire.v1"
        assert socket.response is not None
        assert socket.response.headers["fresh-position"]
        assert json.loads(socket.recv(10)) == {"match": 0}
        for goals in (1, 2, 3):
            httpx.post(f"{live.url}/goal")
            assert json.loads(socket.recv(10)) == {"match": goals}
        httpx.post(f"{live.url}/end")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4404


def test_a_watch_of_what_is_not_there_is_refused_with_its_status(live: LiveNode) -> None:
    with pytest.raises(InvalidStatus) as refused, connect_sync(ws(live, "/nowhere"), subprotocols=WATCH):
        pass
    assert refused.value.response.status_code == 404


def test_nothing_that_a_watcher_says_changes_the_watch(live: LiveNode) -> None:
    with connect_sync(ws(live, "/match"), subprotocols=WATCH) as socket:
        socket.recv(10)
        for message in ("hello", b"\x00\x01", "x" * 100_000, ""):
            socket.send(message)
        assert socket.ping().wait(10)
        httpx.post(f"{live.url}/goal")
        assert json.loads(socket.recv(10)) == {"match": 1}


async def test_three_hundred_watchers_of_one_match_all_get_the_change(live: LiveNode) -> None:
    async def watch(ready: asyncio.Barrier) -> Any:
        async with connect_async(ws(live, "/match"), subprotocols=WATCH, open_timeout=60) as socket:
            await socket.recv()
            await ready.wait()
            return json.loads(await socket.recv())

    ready = asyncio.Barrier(301)
    watches = [asyncio.create_task(watch(ready)) for _ in range(300)]
    await ready.wait()
    async with httpx.AsyncClient() as http:
        await http.post(f"{live.url}/goal")
    assert await asyncio.gather(*watches) == [{"match": 1}] * 300


def test_deflate_is_negotiated_without_context_takeover(site: Site, live: LiveNode) -> None:
    site.title = "a title that compresses very well " * 300
    with connect_sync(ws(live, "/match"), subprotocols=WATCH) as socket:
        [extension] = socket.protocol.extensions
        assert isinstance(extension, PerMessageDeflate)
        assert extension.remote_no_context_takeover
        for goals in range(5):
            assert json.loads(socket.recv(10)) == {site.title: goals}
            httpx.post(f"{live.url}/goal")
    with connect_sync(ws(live, "/socket")) as socket:
        assert socket.protocol.extensions
        for size in (0, 1, 125, 126, 65_535, 65_536, 300_000):
            socket.send("ä" * size)
            assert socket.recv(10) == "ä" * size


def test_who_does_not_want_deflate_gets_plain_frames(live: LiveNode) -> None:
    for path, subprotocols in (("/match", WATCH), ("/socket", None)):
        with connect_sync(ws(live, path), subprotocols=subprotocols, compression=None) as socket:
            assert socket.protocol.extensions == []
            if subprotocols:
                assert json.loads(socket.recv(10)) == {"match": 0}
            else:
                socket.send(b"\x00" * 1000)
                assert socket.recv(10) == b"\x00" * 1000


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_big_messages_go_both_ways_whole_and_in_fragments(
    live: LiveNode, compression: str | None
) -> None:
    noise = os.urandom(3_000_000)
    async with connect_async(ws(live, "/socket"), max_size=None, compression=compression) as socket:
        await socket.send(noise)
        assert await socket.recv() == noise
        await socket.send([noise[start : start + 10_000] for start in range(0, len(noise), 10_000)])
        assert await socket.recv() == noise
        await socket.send(["frag", "", "ménts"])
        assert await socket.recv() == "fragménts"


async def test_a_message_that_is_too_big_is_1009_also_when_it_only_inflates_to_it(
    site: Site, live: LiveNode
) -> None:
    for compression in ("deflate", None):
        async with connect_async(ws(live, "/socket"), compression=compression) as socket:
            with contextlib.suppress(ConnectionClosed):
                await socket.send(b"\x00" * 4_000_001)
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
    assert await site.wait_for_end()
    assert site.closed[0][0] == 1009


async def test_ten_thousand_messages_keep_their_order_in_both_directions(live: LiveNode) -> None:
    async with connect_async(ws(live, "/flood/10000")) as socket:
        assert [int(message) async for message in socket] == list(range(10_000))
    async with connect_async(ws(live, "/socket")) as socket:

        async def speak() -> None:
            for number in range(900):  # a frame each; there is a limit on those a second
                await socket.send(str(number))

        speaking = asyncio.create_task(speak())
        assert [int(await socket.recv()) for _ in range(900)] == list(range(900))
        await speaking


async def test_pings_are_answered_on_every_kind_of_socket_and_with_their_data(live: LiveNode) -> None:
    for path, subprotocols in (("/match", WATCH), ("/socket", None)):
        async with connect_async(ws(live, path), subprotocols=subprotocols, ping_interval=None) as socket:
            async with asyncio.timeout(10):
                for data in (b"", b"x" * 125):
                    await (await socket.ping(data))


async def test_the_nodes_own_pings_keep_a_silent_socket_open(
    site: Site, freshwire_node: Callable[..., LiveNode]
) -> None:
    live = freshwire_node(site.app, heartbeat_s=0.25)
    pinged = asyncio.Event()

    class Heard(ClientConnection):
        def process_event(self, event: Any) -> None:
            if isinstance(event, Frame) and event.opcode is Opcode.PING:
                pinged.set()
            super().process_event(event)

    for path, subprotocols in (("/match", WATCH), ("/socket", None)):
        pinged.clear()
        async with connect_async(
            ws(live, path), subprotocols=subprotocols, ping_interval=None, create_connection=Heard
        ) as socket:
            await asyncio.wait_for(pinged.wait(), 10)
            assert socket.close_code is None


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 3000, 4999])
def test_the_applications_close_code_reaches_the_client(live: LiveNode, code: int) -> None:
    with connect_sync(ws(live, f"/close/{code}")) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
        assert closed.value.rcvd == Close(code, "as asked")


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "bye"), (3001, "é" * 60), (4321, "own")])
async def test_the_clients_close_code_reaches_the_application_and_is_echoed(
    site: Site, live: LiveNode, code: int, reason: str
) -> None:
    async with connect_async(ws(live, "/socket")) as socket:
        await socket.close(code, reason)
        assert socket.close_code == code
    assert await site.wait_for_end()
    assert site.closed == [(code, reason)]


async def test_a_client_that_vanishes_is_1006_for_the_application(site: Site, live: LiveNode) -> None:
    async with connect_async(ws(live, "/socket")) as socket:
        await socket.send("hello")
        await socket.recv()
        socket.transport.abort()
    assert await site.wait_for_end()
    assert site.closed == [(1006, "")]


async def test_a_node_that_ends_says_1012_to_everybody(site: Site, live: LiveNode) -> None:
    async with (
        connect_async(ws(live, "/match"), subprotocols=WATCH) as watch,
        connect_async(ws(live, "/socket")) as socket,
    ):
        await watch.recv()
        await socket.send("hello")
        await socket.recv()
        await asyncio.to_thread(live.close)
        for connection in (watch, socket):
            with pytest.raises(ConnectionClosed) as closed:
                await connection.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
    assert site.closed[0][0] == 1012


def test_a_page_of_another_origin_is_refused_and_one_of_our_own_is_not(live: LiveNode) -> None:
    for path, subprotocols in (("/match", WATCH), ("/socket", None)):
        with connect_sync(ws(live, path), subprotocols=subprotocols, origin=live.url):  # type: ignore[arg-type]
            pass
        with (
            pytest.raises(InvalidStatus) as refused,
            connect_sync(ws(live, path), subprotocols=subprotocols, origin="https://evil.example"),  # type: ignore[arg-type]
        ):
            pass
        assert refused.value.response.status_code == 403


async def test_a_watcher_that_does_not_read_gets_the_last_state_when_it_does(
    site: Site, live: LiveNode
) -> None:
    site.title = "x" * 200_000
    async with connect_async(
        ws(live, "/match"), subprotocols=WATCH, max_queue=1, max_size=None, compression=None
    ) as slow:
        await slow.recv()
        async with httpx.AsyncClient() as http:
            for _ in range(100):
                await http.post(f"{live.url}/goal")
        seen = []
        while not seen or seen[-1] < 100:
            seen.append(json.loads(await slow.recv())[site.title])
        assert seen == sorted(set(seen))
        assert len(seen) < 100  # it had no queue of all of them


async def test_a_socket_that_does_not_read_holds_the_application_back_and_loses_nothing(
    live: LiveNode,
) -> None:
    async with connect_async(ws(live, "/flood/200000"), max_queue=1, compression=None) as socket:
        first = await socket.recv()
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"{live.url}/port")).status_code == 200
        rest = [int(message) async for message in socket]
    assert [int(first), *rest] == list(range(200_000))
    with pytest.raises(ConnectionClosedOK):
        await socket.recv()
