"""A peer whose end comes with its request, in one segment: nothing more is heard of it, so that alone must end what it
began. No heartbeat and no timeout ends it here.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Target, eventually
from .wire import handshake, request

REQUESTS = {
    "GET": lambda path: request(path),
    "body that does not come": lambda path: request(path, "Content-Length: 9", method="POST"),
    "event stream": lambda path: request(path, "Accept: text/event-stream"),
    "long-poll": lambda path: request(path, "Prefer: wait=600", 'If-None-Match: "1"'),
    "watch": lambda path: handshake(path, subprotocol="freshwire.v1"),
    "compressed watch": lambda path: handshake(
        path, "Sec-WebSocket-Extensions: permessage-deflate", subprotocol="freshwire.v1"
    ),
    "WebSocket": lambda path: handshake(path),
}


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
    if scope["type"] != "http":
        return
    while (message := await receive())["type"] == "http.request" and message["more_body"]:
        pass
    if scope["path"] == "/slow":
        await asyncio.sleep(0.05)
    headers = [(b"cache-groups", b'"t"'), (b"etag", b'"1"')]
    if scope["path"] == "/private":
        headers.append((b"cache-control", b"private"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(scope="module")
def shared(attack_all: Callable[..., Target]) -> Target:
    ever = 3600.0
    return attack_all(
        app, heartbeat_s=ever, keep_alive_timeout_s=ever, header_timeout_s=ever, max_wait_s=ever
    )


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.parametrize("path", ["/kept", "/slow", "/private"])
@pytest.mark.parametrize("watched", [False, True], ids=["alone", "watched"])
@pytest.mark.parametrize("more", [b"", b"\x89"], ids=["whole", "cut"])
def test_a_peer_that_ends_with_its_request_is_gone(
    kind: str, path: str, watched: bool, more: bytes, target: Target
) -> None:
    if watched:
        stream = target.connect()
        stream.send(request(path, "Accept: text/event-stream"))
        assert stream.stream().status == 200
    with target.connect() as reader:
        assert reader.get(path, host="localhost").body == b"ok"
    peer = target.connect()
    # What is said before the end leaves with it.
    peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
    peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
    peer.send(REQUESTS[kind](path) + more)
    peer.socket.shutdown(socket.SHUT_WR)
    peer.rest()
    eventually(lambda: target.stats()["connections"] == watched, "it is gone")
    assert target.stats()["watchers"] == watched
