"""Rows 1 and 23: pages of other origins open no WebSocket and no watch, and change nothing with a user's cookies."""

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Target
from .wire import TEXT, Peer, Response, frame, handshake, request

FOREIGN = {
    "opaque": "null",
    "another site": "http://evil.example",
    "ours as a prefix": "http://127.0.0.1:{port}.evil.example",
    "ours as a suffix": "http://evil-127.0.0.1:{port}",
    "another port": "http://127.0.0.1:{other_port}",
    "no port": "http://127.0.0.1",
    "another scheme": "https://127.0.0.1:{port}",
    "another name of this host": "http://localhost:{port}",
    "another site in capitals": "HTTP://EVIL.EXAMPLE",
    "another script": "http://127.0.0.\u0661:{port}",
    "another site in punycode": "http://xn--bcher-kva.example",
    "another site in its own script": "http://b\u00fccher.example",
    "a digit of another script": "http://127.0.0.\uff11:{port}",
    "a listed one in another script": "https://\u0430pp.example",
    "a listed one with a dot": "https://app.example.",
    "user information": "http://127.0.0.1:{port}@evil.example",
    "a path": "http://127.0.0.1:{port}/",
    "two": "http://127.0.0.1:{port} http://evil.example",
    "a list": "http://127.0.0.1:{port}, http://evil.example",
    "nothing": "",
}


def sse(peer: Peer, *lines: str) -> Response:
    peer.send(request("/", "Accept: text/event-stream", *lines, host=peer.host))
    return peer.stream()


def poll(peer: Peer, *lines: str) -> Response:
    # The validator is another one, so that a poll that is accepted ends at once.
    return peer.get("/", 'If-None-Match: "old"', "Prefer: wait=1", *lines)


def watch(peer: Peer, *lines: str) -> Response:
    return peer.upgrade("/", *lines, subprotocol="freshwire.v1")


def websocket(peer: Peer, *lines: str) -> Response:
    return peer.upgrade("/", *lines)


OPENED = {sse: 200, poll: 200, watch: 101, websocket: 101}
WAYS = pytest.mark.parametrize("way", OPENED)
Way = Callable[..., Response]


class App:
    """Answers everything, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        self.asked.append((scope.get("method", "websocket"), scope["path"]))
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            while (await receive())["type"] != "websocket.disconnect":
                pass
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-groups", b'"t"')]})
        await send({"type": "http.response.body", "body": b"secret"})


@pytest.fixture(scope="module")
def shared_app() -> App:
    return App()


@pytest.fixture(scope="module")
def shared(shared_app: App, attack_all: Callable[..., Target]) -> Target:
    return attack_all(shared_app, allow_origins=["https://app.example", "http://port.example:8080"])


@pytest.fixture
def app(shared_app: App) -> App:
    shared_app.asked.clear()
    return shared_app


@WAYS
@pytest.mark.parametrize("origin", FOREIGN.values(), ids=FOREIGN)
def test_a_page_of_another_origin_is_refused(way: Way, origin: str, app: App, target: Target) -> None:
    port = target.address[1]
    peer = target.connect()
    answer = way(peer, "Origin: " + origin.format(port=port, other_port=port + 1), "Cookie: session=1")
    assert (answer.status, answer["connection"]) == (403, "close")
    assert b"secret" not in answer.body + peer.rest()
    assert not app.asked
    assert target.refused() == {"origin": 1}


@WAYS
@pytest.mark.parametrize(
    "origin", ["http://{own}", "https://app.example", "https://app.example:443", "http://port.example:8080"]
)
def test_a_page_of_our_own_origin_or_a_listed_one_is_let_in(way: Way, origin: str, target: Target) -> None:
    answer = way(target.connect(), "Origin: " + origin.format(own=target.authority), "Cookie: session=1")
    assert answer.status == OPENED[way]
    assert not target.refused()


@WAYS
@pytest.mark.parametrize("origin", ["http://app.example", "https://a.app.example", "http://port.example"])
def test_a_listed_origin_is_compared_exactly(way: Way, origin: str, target: Target) -> None:
    assert way(target.connect(), "Origin: " + origin).status == 403


@WAYS
def test_who_is_no_page_needs_no_origin(way: Way, target: Target) -> None:
    assert way(target.connect()).status == OPENED[way]
    assert way(target.connect(), "Authorization: Bearer t").status == OPENED[way]


@pytest.mark.parametrize("way", [watch, websocket])
def test_a_websocket_that_cookies_authenticate_needs_an_origin(way: Way, app: App, target: Target) -> None:
    answer = way(target.connect(), "Cookie: session=1")
    assert answer.status == 403
    assert "Origin" in answer.problem
    assert not app.asked
    assert target.refused() == {"origin": 1}


@WAYS
def test_of_two_origins_neither_is_believed(way: Way, app: App, target: Target) -> None:
    own = f"Origin: http://{target.authority}"
    for lines in ([own, "Origin: http://evil.example"], ["Origin: null", own], [own, own]):
        answer = way(target.connect(), *lines, "Cookie: session=1")
        assert (answer.status, answer["connection"]) == (403, "close")
    assert not app.asked
    assert target.refused() == {"origin": 3}


@pytest.mark.parametrize("first", [True, False])
def test_of_two_origins_of_a_write_neither_is_believed(first: bool, app: App, target: Target) -> None:
    lines = [f"Origin: http://{target.authority}", "Origin: http://evil.example"]
    answer = target.connect().get(
        "/", *(lines if first else lines[::-1]), "Cookie: session=1", "Content-Length: 0", method="POST"
    )
    assert answer.status == 403
    assert not app.asked


def test_what_is_refused_says_which_option_would_allow_it(target: Target) -> None:
    answer = target.connect().get("/", 'If-None-Match: ""', "Prefer: wait=1", "Origin: http://evil.example")
    assert "http://evil.example" in answer.problem
    assert "allow_origins" in answer.problem


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PURGE"])
@pytest.mark.parametrize("credentials", ["Cookie: session=1", "Authorization: Basic dTpw"])
def test_a_page_of_another_origin_changes_nothing_with_a_users_credentials(
    method: str, credentials: str, app: App, target: Target
) -> None:
    peer = target.connect()
    answer = peer.get("/", "Origin: http://evil.example", credentials, "Content-Length: 0", method=method)
    assert answer.status == 403
    assert "allow_origins" in answer.problem
    assert not app.asked
    assert target.refused() == {"origin": 1}


def test_a_page_changes_what_it_may(app: App, target: Target) -> None:
    for lines in (
        [f"Origin: http://{target.authority}", "Cookie: session=1"],
        ["Origin: https://app.example", "Cookie: session=1"],
        ["Origin: http://evil.example"],  # with nobody's rights
        ["Cookie: session=1"],  # not a page's
    ):
        assert target.connect().get("/", *lines, "Content-Length: 0", method="POST").status == 200
    assert len(app.asked) == 4


def test_a_preflight_is_the_applications_business(app: App, target: Target) -> None:
    lines = ["Origin: http://evil.example", "Access-Control-Request-Method: POST"]
    answer = target.connect().get("/", *lines, method="OPTIONS")
    assert answer.status == 200
    assert app.asked == [("OPTIONS", "/")]


def test_the_node_adds_no_cors_fields(target: Target) -> None:
    answer = target.connect().get("/", "Origin: http://evil.example")
    assert answer.status == 200
    assert not [name for name, _ in answer.headers if name.startswith("access-control-")]


def test_a_websocket_that_is_let_in_is_the_applications(target: Target) -> None:
    peer = target.connect()
    peer.send(handshake("/", f"Origin: http://{target.authority}", host=target.authority) + frame(TEXT, b"x"))
    assert peer.response().status == 101
