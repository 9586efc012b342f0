"""Row 26: nothing that an application puts into a name or value becomes a line, a response or a log entry."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from .conftest import Target, TargetProcess
from .wire import Peer, handshake, request


class App:
    """Sends the messages it is told to."""

    messages: list[dict[str, Any]]
    refused: list[Exception]
    done = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        if scope["path"] == "/next":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"in step"})
            return
        if scope["type"] == "websocket":
            await receive()
        try:
            for message in self.messages:
                await send(message)
        except Exception as error:
            self.refused.append(error)
            raise


app = App()


@pytest.fixture(scope="module")
def shared(attack_all: Callable[..., Target]) -> Target:
    return attack_all(app)


def lines(head: bytes) -> list[bytes]:
    """The lines of a head, with every CR, LF and NUL in its place."""
    found = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert not any(control in line for line in found for control in (b"\r", b"\n", b"\0")), head
    return found


def say(target: Target, messages: list[dict[str, Any]], sent: bytes) -> list[bytes]:
    """What comes of these messages; that what follows on the connection is in step."""
    app.messages, app.refused = messages, []
    with Peer(target.address) as peer:
        peer.send(sent + request("/next", "Connection: close"))
        came = peer.rest()
    assert came.count(b"HTTP/1.1 ") == 2, came
    head, _, rest = came.partition(b"\r\n\r\n")
    assert rest.endswith(b"\r\n\r\nin step")
    assert b"HTTP/1.1 200 OK\r\n" in rest
    return lines(head)


def start(*headers: tuple[Any, Any], status: int = 200) -> list[dict[str, Any]]:
    return [
        {"type": "http.response.start", "status": status, "headers": list(headers)},
        {"type": "http.response.body", "body": b""},
    ]


nasty = st.lists(
    st.one_of(
        st.binary(max_size=6),
        st.sampled_from(
            [b"\r", b"\n", b"\0", b"\r\n", b": ", b"x", b"\x0b", b"\x7f", b"\x85", b"\xc4\x8d\xc4\x8a"]
        ),
        st.just(b"\r\ninjected: yes"),
        st.just(b"\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
    ),
    max_size=5,
).map(b"".join)
OURS = {
    "date",
    "content-length",
    "fresh-position",
    "cache-status",
    "connection",
    "cache-groups",
    "link",
    "age",
    "etag",
}
loop = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@loop
@given(value=nasty)
@example(value=b"x\r\ninjected: yes")
@example(value=b"x\ninjected: yes")
@example(value=b"x\rinjected: yes")
@example(value=b"x\0")
def test_a_value_is_one_value_or_refused(value: bytes, target: Target) -> None:
    first, *rest = say(target, start((b"x-said", value)), request())
    names = {line.split(b":")[0].decode() for line in rest}
    if app.refused:
        assert first.startswith(b"HTTP/1.1 500 ")
        assert "x-said" not in names
    else:
        assert first == b"HTTP/1.1 200 OK"
        assert names <= OURS | {"x-said"}
        (said,) = [line for line in rest if line.startswith(b"x-said:")]
        assert said.removeprefix(b"x-said:").strip(b" \t") == value.strip(b" \t")
    if any(control in value for control in (b"\r", b"\n", b"\0")):
        assert app.refused


@loop
@given(name=nasty)
@example(name=b"x\r\ninjected")
@example(name=b"x: y\r\ninjected")
@example(name=b"")
@example(name=b"x ")
@example(name=b" x")
@example(name=b"x:")
def test_a_name_is_one_name_or_refused(name: bytes, target: Target) -> None:
    first, *rest = say(target, start((name, b"said")), request())
    if app.refused:
        assert first.startswith(b"HTTP/1.1 500 ")
    else:
        assert name.lower() in {line.split(b":")[0] for line in rest} | {b"connection", b"keep-alive"}
    token = b"!#$%&'*+-.^_`|~"
    if not name or any(byte < 128 and not (bytes([byte]).isalnum() or byte in token) for byte in name):
        assert app.refused


@loop
@given(value=nasty)
@example(value=b"x\r\ninjected: yes")
def test_the_fields_of_a_handshake_are_no_other(value: bytes, target: Target) -> None:
    app.messages = [
        {"type": "websocket.accept", "headers": [(b"x-said", value)]},
        {"type": "websocket.close"},
    ]
    app.refused = []
    with Peer(target.address) as peer:
        peer.send(handshake())
        came = peer.rest()
    assert came.count(b"HTTP/1.1 ") == 1
    names = {line.split(b":")[0] for line in lines(came.partition(b"\r\n\r\n")[0])[1:]}
    assert b"injected" not in names
    assert came.startswith(b"HTTP/1.1 500 " if app.refused else b"HTTP/1.1 101 ")
    if any(control in value for control in (b"\r", b"\n", b"\0")):
        assert app.refused


@loop
@given(name=nasty.map(lambda said: said.decode("latin-1")))
@example(name="x\r\ninjected: yes")
def test_a_subprotocol_is_no_line(name: str, target: Target) -> None:
    app.messages = [{"type": "websocket.accept", "subprotocol": name}, {"type": "websocket.close"}]
    app.refused = []
    with Peer(target.address) as peer:
        peer.send(handshake())
        came = peer.rest()
    assert came.count(b"HTTP/1.1 ") == 1
    names = {line.split(b":")[0] for line in lines(came.partition(b"\r\n\r\n")[0])[1:]}
    assert b"injected" not in names
    if any(control in name for control in ("\r", "\n", "\0")):
        assert app.refused


@loop
@given(value=nasty)
@example(value=b"</x>; rel=preload\r\ninjected: yes")
def test_a_hint_is_no_other(value: bytes, target: Target) -> None:
    hint = {"type": "http.response.early_hint", "links": [value]}
    app.messages, app.refused = [hint, *start()], []
    with Peer(target.address) as peer:
        peer.send(request("/", "Connection: close"))
        came = peer.rest()
    for head in came.split(b"\r\n\r\n"):
        if head.startswith(b"HTTP/1.1 "):
            assert b"injected" not in {line.split(b":")[0] for line in lines(head)}
    if any(control in value for control in (b"\r", b"\n", b"\0")):
        assert app.refused


@loop
@given(value=nasty)
@example(value=b"x\r\ninjected: yes")
def test_a_trailer_is_no_other(value: bytes, target: Target) -> None:
    first, body, *_ = start((b"trailer", b"x-said"))
    trailers = {"type": "http.response.trailers", "headers": [(b"x-said", value)]}
    app.messages, app.refused = [{**first, "trailers": True}, {**body, "body": b"x"}, trailers], []
    with Peer(target.address) as peer:
        peer.send(request("/", "Connection: close", "TE: trailers"))
        came = peer.rest()
    assert b"\ninjected:" not in came
    if any(control in value for control in (b"\r", b"\n", b"\0")):
        assert app.refused


@pytest.mark.parametrize("tag", ["a\r\nb", 'a"b', "a\\b", "a\0b", "é"])
def test_a_tag_is_one_tag_or_refused(tag: str, attack: Callable[..., Target]) -> None:
    from freshwire import Fresh

    fresh = Fresh()

    async def tagged(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        fresh.depends_on(tag)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    peer = attack(tagged).connect()
    peer.send(request("/", "Connection: close"))
    came = peer.rest()
    assert came.count(b"HTTP/1.1 ") == 1
    lines(came.partition(b"\r\n\r\n")[0])


def test_a_log_line_is_one_line(attack_process: Callable[..., TargetProcess]) -> None:
    source = """
        async def app(scope, receive, send):
            if scope["type"] == "http":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"ok"})
    """
    target = attack_process(source, access_log=True)
    peer = target.connect()
    for path in ('/a%0d%0a127.0.0.1:1%20"GET%20/forged', "/a%1b[31m", '/"quoted"', "/%c3%a9"):
        assert peer.get(path).status == 200
    assert peer.get("/last?access_token=secret").status == 200
    assert target.process.stdout is not None
    logged: list[str] = []
    while not logged or "/last" not in logged[-1]:
        logged.append(target.process.stdout.readline())
    assert len(logged) <= 5
    assert all(
        line.startswith("127.0.0.1:") and line.replace('\\"', "").count('"') == 2 for line in logged
    ), logged
    assert "\x1b" not in "".join(logged)
    assert "secret" not in "".join(logged)
