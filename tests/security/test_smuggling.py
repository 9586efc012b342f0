"""Rows 2 and 18: bytes that could be read as another request are never read as one."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from .ambiguous import BODIES, FIRST_LINES, HEADS
from .conftest import Target, eventually
from .wire import TEXT, Peer, frame, handshake, request

HIDDEN = request("/hidden")


class App:
    """Answers what it is asked, and remembers it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        self.asked.append(scope["path"])
        if scope["type"] == "websocket":
            match scope["path"]:
                case "/refuses":
                    await receive()
                    await send({"type": "websocket.close"})
                case "/denies":
                    await receive()
                    await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
                    await send({"type": "websocket.http.response.body", "body": b"no"})
                case "/raises":
                    raise ValueError("on purpose")
                case "/hangs":
                    while (await receive())["type"] != "websocket.disconnect":
                        pass
            return
        if scope["path"] == "/hangs":
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        if scope["path"] == "/raises":
            raise ValueError("on purpose")
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message.get("more_body"):
                break
        self.bodies.append(body)
        status = 404 if scope["path"] == "/missing" else 200
        kind = b"text/event-stream" if scope["path"] == "/stream" else b"text/plain"
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": b"answered"})


@pytest.fixture(scope="module")
def shared_app() -> App:
    return App()


@pytest.fixture(scope="module")
def shared(shared_app: App, attack_all: Callable[..., Target]) -> Target:
    return attack_all(shared_app, app_timeout_s=1)


@pytest.fixture
def app(shared_app: App) -> App:
    shared_app.asked.clear()
    shared_app.bodies.clear()
    return shared_app


def answers(peer: Peer, sent: bytes) -> bytes:
    """Everything that comes back for `sent`."""
    peer.send(sent)
    return peer.rest()


EVIL = "Origin: http://evil.example"


def responses(came: bytes) -> int:
    return len(re.findall(rb"HTTP/1\.1 \d{3} ", came))


REFUSED = {  # or ignored, which is the same to who sends something behind it
    "another origin": (handshake("/", EVIL), b"403"),
    "another origin's watch": (handshake("/", EVIL, subprotocol="freshwire.v1"), b"403"),
    "another host": (handshake("/", host="evil.example"), b"421"),
    "another version": (
        handshake("/").replace(b"Version: 13", b"Version: 8"),
        b"426",
    ),
    "no key": (handshake("/").replace(b"Sec-WebSocket-Key", b"X-Key"), b"400"),
    "POST": (handshake("/").replace(b"GET", b"POST", 1), b"40"),
    "a body": (handshake("/", "Content-Length: 5") + b"hello", b"400"),
    "a body that is not there": (handshake("/", "Content-Length: 1000"), b"400"),
    "a chunked body": (handshake("/", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n", b"400"),
    "a watch with a body": (
        handshake("/", "Content-Length: 5", subprotocol="freshwire.v1") + b"hello",
        b"400",
    ),
    "h2c": (
        request("/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
        b"200",
    ),
    "an unknown protocol": (request("/", "Connection: Upgrade", "Upgrade: irc"), b"200"),
    "CONNECT": (b"CONNECT internal:22 HTTP/1.1\r\nHost: internal:22\r\n\r\n", b"501"),
    "the application closes": (handshake("/refuses"), b"403"),
    "the application denies": (handshake("/denies"), b"401"),
    "the application raises": (handshake("/raises"), b"500"),
    "the application hangs": (handshake("/hangs"), b"504"),
    "no resource to watch": (handshake("/missing", subprotocol="freshwire.v1"), b"404"),
    "not watchable": (handshake("/stream", subprotocol="freshwire.v1"), b"406"),
    "a watch that hangs": (handshake("/hangs", subprotocol="freshwire.v1"), b"504"),
    "a watch that raises": (handshake("/raises", subprotocol="freshwire.v1"), b"500"),
}


@pytest.mark.parametrize(("sent", "status"), REFUSED.values(), ids=REFUSED)
def test_nothing_behind_a_refused_upgrade_is_answered(
    sent: bytes, status: bytes, app: App, target: Target
) -> None:
    came = answers(target.connect(), sent + HIDDEN + HIDDEN)
    assert came.startswith(b"HTTP/1.1 " + status), came
    assert responses(came) == 1, came
    assert re.search(rb"\r\nconnection: (upgrade, )?close\r\n", came)
    assert "/hidden" not in app.asked


@pytest.mark.parametrize("subprotocol", ["", "freshwire.v1"])
def test_nothing_behind_an_upgrade_that_a_limit_refuses_is_answered(
    subprotocol: str, app: App, attack: Callable[..., Target]
) -> None:
    target = attack(app, limit_concurrency=1)
    waiting = target.connect()
    waiting.send(request("/hangs"))
    eventually(lambda: "/hangs" in app.asked, "it hangs")
    came = answers(target.connect(), handshake("/", subprotocol=subprotocol) + HIDDEN)
    assert came.startswith(b"HTTP/1.1 503"), came
    assert responses(came) == 1, came
    assert re.search(rb"\r\nretry-after: [1-5]\r\n", came), came
    assert target.refused() == {"limit_concurrency": 1}


def test_nothing_behind_a_watch_above_the_limit_is_answered(app: App, attack: Callable[..., Target]) -> None:
    target = attack(app, max_watched=1)
    first = target.connect()
    first.send(request("/first", "Accept: text/event-stream"))
    assert first.stream().status == 200
    came = answers(target.connect(), handshake("/second", subprotocol="freshwire.v1") + HIDDEN)
    assert came.startswith(b"HTTP/1.1 503"), came
    assert responses(came) == 1, came
    assert b"max_watched" in came
    assert target.refused() == {"max_watched": 1}
    # Who is turned away is told when to come back, not all at the same moment.
    came += b"".join(
        answers(target.connect(), handshake("/second", subprotocol="freshwire.v1")) for _ in range(30)
    )
    later = re.findall(rb"\r\nretry-after: (\d+)\r\n", came)
    assert len(later) == 31
    assert 1 < len(set(later)) <= 5
    assert "/hidden" not in app.asked


def test_a_request_behind_an_accepted_upgrade_is_no_request(app: App, target: Target) -> None:
    peer = target.connect()
    peer.send(handshake("/watched", subprotocol="freshwire.v1") + HIDDEN)
    assert peer.response().status == 101
    assert peer.frame().payload == b"answered"
    assert peer.frame().code == 1002  # "GE" are the reserved bits and no mask
    assert app.asked == ["/watched"]


@pytest.mark.parametrize("lines", HEADS.values(), ids=HEADS)
def test_an_ambiguous_head_is_refused_and_nothing_behind_it_is_read(
    lines: tuple[str, ...], app: App, target: Target
) -> None:
    came = answers(target.connect(), request("/", *lines, method="POST") + b"0\r\n\r\n" + HIDDEN)
    assert came[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 501"), came
    assert responses(came) == 1, came
    assert b"\r\nconnection: close\r\n" in came
    assert b"application/problem+json" in came
    assert not app.asked
    assert sum(target.refused().values()) == 1


@pytest.mark.parametrize("line", FIRST_LINES.values(), ids=FIRST_LINES)
def test_a_first_line_that_parsers_differ_on_is_refused(line: bytes, app: App, target: Target) -> None:
    came = answers(target.connect(), line + b"\r\nHost: localhost\r\n\r\n" + HIDDEN)
    assert came[:10] in (b"HTTP/1.1 4", b"HTTP/1.1 5"), came
    assert responses(came) == 1, came
    assert not app.asked


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_chunked_body_that_is_ambiguous_is_refused_and_nothing_behind_it_is_read(
    body: bytes, app: App, target: Target
) -> None:
    peer = target.connect()
    came = answers(peer, request("/", "Transfer-Encoding: chunked", method="POST") + body + HIDDEN)
    assert came.startswith(b"HTTP/1.1 400"), came
    assert responses(came) == 1, came
    assert b"\r\nconnection: close\r\n" in came
    assert not app.bodies
    assert "/hidden" not in app.asked
    assert sum(target.refused().values()) == 1


def test_chunks_extensions_and_trailers_say_nothing_to_the_application(app: App, target: Target) -> None:
    peer = target.connect()
    peer.send(
        request("/", "Transfer-Encoding: chunked", method="POST")
        + b'5;a=b;c="d e"\r\nhello\r\n0\r\nContent-Length: 99\r\nAuthorization: x\r\n\r\n'
        + request("/next")
    )
    assert peer.response().body == b"answered"
    assert peer.response().body == b"answered"
    assert (app.asked, app.bodies[0]) == (["/", "/next"], b"hello")


@pytest.mark.parametrize("side", [b";" + b"a" * 9000, b";a=b" * 3000])
def test_chunk_extensions_cost_no_more_than_a_limit(side: bytes, target: Target) -> None:
    peer = target.connect()
    peer.send(request("/", "Transfer-Encoding: chunked", method="POST") + b"1" + side + b"\r\n")
    assert peer.response().status == 400
    assert target.refused() == {"chunk_extension": 1}


def test_a_body_that_the_application_does_not_read_is_not_the_next_request(
    attack: Callable[..., Target],
) -> None:
    asked = []

    async def deaf(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        asked.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"answered"})

    peer = attack(deaf).connect()
    head = request("/", f"Content-Length: {200_000}", method="POST")
    peer.try_send(head + HIDDEN + b"x" * (200_000 - len(HIDDEN)) + HIDDEN)
    came = peer.rest()
    assert responses(came) <= 1
    assert asked == ["/"]


def test_frames_behind_a_refused_handshake_reach_nobody(app: App, target: Target) -> None:
    came = answers(target.connect(), handshake("/refuses") + frame(TEXT, b"x") + HIDDEN)
    assert responses(came) == 1
    assert app.asked == ["/refuses"]
