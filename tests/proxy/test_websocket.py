"""WebSockets through the node: accepted when the upstream accepts, message by message, closed from either side."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import pytest
from freshwire.testing import LiveNode, proxy
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.proxy.upstream import Client, Request, response, upstream
from tests.waiting import block_until

OPTIONS = {"allow_hosts": ["*"], "max_message_bytes": 2**20, "max_messages_per_s": 0}


def joined(live: LiveNode, path: str = "/", **options: object) -> connect:
    return connect(live.url.replace("http", "ws") + path, proxy=None, **options)  # type: ignore[arg-type]


async def test_messages_pass_both_ways_as_what_they_are() -> None:
    seen: list[tuple[str, str | None]] = []

    async def echo(connection: ServerConnection) -> None:
        assert connection.request is not None
        seen.append((connection.request.path, connection.request.headers.get("Cookie")))
        async for message in connection:
            await connection.send(message)

    async with serve(
        echo, "127.0.0.1", 0, subprotocols=[Subprotocol("b"), Subprotocol("c")], compression=None
    ) as up:
        url = f"http://127.0.0.1:{up.sockets[0].getsockname()[1]}"
        async with (
            proxy(url, **OPTIONS) as live,
            joined(
                live,
                "/chat?x=1",
                subprotocols=["a", "b"],
                additional_headers={"Cookie": "c=1", "Origin": live.url},
            ) as client,
        ):
            assert client.subprotocol == "b"
            for message in ("", "caf\u00e9", b"", b"\0\xff", "x" * 300_000, b"y" * 900_000):
                await client.send(message)
                assert await client.recv() == message
            # Many at once: none is lost, none out of order.
            for number in range(500):
                await client.send(str(number))
            assert [await client.recv() for _ in range(500)] == [str(number) for number in range(500)]
            await client.ping()
    assert seen == [("/chat?x=1", "c=1")]


async def test_a_close_reaches_the_other_side_with_its_code() -> None:
    ended: asyncio.Queue[tuple[int, str]] = asyncio.Queue()

    async def handler(connection: ServerConnection) -> None:
        assert connection.request is not None
        if connection.request.path == "/closes":
            await connection.close(4001, "enough")
        await connection.wait_closed()
        ended.put_nowait((connection.close_code or 0, connection.close_reason or ""))

    async with serve(handler, "127.0.0.1", 0) as up:
        url = f"http://127.0.0.1:{up.sockets[0].getsockname()[1]}"
        async with proxy(url, **OPTIONS) as live:
            async with joined(live, "/closes") as client:
                with pytest.raises(ConnectionClosed) as closed:
                    await client.recv()
                assert closed.value.rcvd is not None
                assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "enough")
            assert await ended.get() == (4001, "")  # the answer to a close has its code
            async with joined(live) as client:
                await client.close(4002, "bye")
                assert client.close_code == 4002
            assert await ended.get() == (4002, "bye")
            async with joined(live) as client:
                client.transport.abort()
            assert (await ended.get())[0] == 1006


async def test_the_upstreams_refusal_is_the_clients() -> None:
    async def refuses(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response("401 Unauthorized", b"who?", "WWW-Authenticate: Basic"))

    with upstream(refuses) as up:
        async with proxy(up.url, **OPTIONS) as live:
            with pytest.raises(InvalidStatus) as refused:
                await joined(live).__aenter__()
            assert refused.value.response.status_code == 401
            assert refused.value.response.body == b"who?"


def switching(request: Request, lines: list[str]) -> bytes:
    """A 101 with these lines; `{accept}` in them is what the key is answered with."""
    key = f"{request.get('sec-websocket-key')}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    head = ["HTTP/1.1 101 S", "Upgrade: websocket", "Connection: Upgrade", *lines, "", ""]
    return "\r\n".join(head).format(accept=accept).encode()


BAD = {
    "no accept": [],
    "another accept": ["Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ=="],
    "an extension": ["Sec-WebSocket-Accept: {accept}", "Sec-WebSocket-Extensions: permessage-deflate"],
    "a subprotocol": ["Sec-WebSocket-Accept: {accept}", "Sec-WebSocket-Protocol: soap"],
}


@pytest.mark.parametrize("what", BAD)
async def test_an_upstream_that_does_not_agree_to_the_handshake_is_502(what: str) -> None:
    async def switches(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(switching(request, BAD[what]))
        assert await reader.read() == b""  # nothing of the client's

    with upstream(switches) as up:
        async with proxy(up.url, **OPTIONS) as live:
            with pytest.raises(InvalidStatus) as refused:
                await joined(live).__aenter__()
            assert refused.value.response.status_code == 502


async def received(client: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            await client.recv()
    return closed.value.rcvd.code if closed.value.rcvd else 1006


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"", 1014),  # the end without a close
        (b"\x81\x81\0\0\0\0a", 1014),  # a masked frame
        (b"\xc1\x01a", 1014),  # a compressed one
        (b"\x81\x02\xff\xff", 1014),  # text that is not UTF-8
        (b"\x82\x7f" + (2**40).to_bytes(8, "big"), 1009),
        (b"\x89\x02hi\x88\x02\x0f\xa0", 4000),  # a ping, and a close
    ],
)
async def test_what_an_upstream_does_wrong_ends_the_websocket_with_a_code(sent: bytes, code: int) -> None:
    answered: list[bytes] = []

    async def speaks(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(switching(request, ["Sec-WebSocket-Accept: {accept}"]))
        writer.write(sent)
        await writer.drain()
        if not sent:
            writer.close()
        else:
            answered.append(await reader.read())

    with upstream(speaks) as up:
        async with proxy(up.url, **OPTIONS) as live, joined(live) as client:
            assert await received(client) == code
        if sent.startswith(b"\x89"):
            block_until(lambda: len(answered) == 1)
            # A masked pong and a masked close.
            assert (answered[0][:2], answered[0][8:10]) == (b"\x8a\x82", b"\x88\x82")


async def test_a_draining_node_tells_both_ends() -> None:
    ended: asyncio.Queue[int] = asyncio.Queue()

    async def handler(connection: ServerConnection) -> None:
        await connection.wait_closed()
        ended.put_nowait(connection.close_code or 0)

    async with serve(handler, "127.0.0.1", 0) as up:
        url = f"http://127.0.0.1:{up.sockets[0].getsockname()[1]}"
        live = proxy(url, **OPTIONS)
        client = await joined(await live.__aenter__()).__aenter__()
        await live.__aexit__(None, None, None)
        assert await received(client) == 1012
        assert await ended.get() == 1012


def test_nothing_behind_a_handshake_is_ever_a_request_to_the_upstream() -> None:
    handshake = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a.localhost\r\n\r\n"

    async def refuses(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response("400 No", b"no"))

    with upstream(refuses) as up, proxy(up.url, **OPTIONS) as live:
        for lines in (
            handshake,
            ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
        ):
            with Client(live.url) as client:
                client.ask("GET", "/", *lines, body=smuggled)
                assert client.answer().status == 400
                assert client.file.read() == b""  # and the end
        assert [request.target for request in up.requests] == ["/", "/"]
        assert up.requests[1].get("upgrade") is None
