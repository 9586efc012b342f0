"""Rows 20 and 21: how large a request may be, head, target and body, at once or byte by byte."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .conftest import Target
from .wire import request

asked: list[str] = []
bodies: list[bytes] = []


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    asked.append(scope["path"])
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message["more_body"]:
            break
    bodies.append(body)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % len(body)})


@pytest.fixture(scope="module")
def shared(attack_all: Callable[..., Target]) -> Target:
    return attack_all(app)


@pytest.fixture
def target(shared: Target) -> Iterator[Target]:
    asked.clear()
    bodies.clear()
    with shared.one_test():
        yield shared


TOO_LARGE = {
    "one field": (request("/", "X: " + "x" * 40_000), 431, "max_head_bytes", "head_too_large"),
    "a name": (request("/", "x" * 40_000 + ": x"), 431, "max_head_bytes", "head_too_large"),
    "many bytes": (request("/", *["X: " + "x" * 4000] * 10), 431, "max_head_bytes", "head_too_large"),
    "many fields": (request("/", *["X: y"] * 100), 431, "max_fields", "too_many_fields"),
    "a path": (request("/" + "x" * 8192), 414, "max_target_bytes", "target_too_long"),
    "a query": (request("/?" + "x" * 40_000), 414, "max_target_bytes", "target_too_long"),
}


@pytest.mark.parametrize("step", [1_000_000, 1000, 1])
@pytest.mark.parametrize(("sent", "status", "limit", "reason"), TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_head_above_a_limit_is_refused_however_it_is_cut(
    sent: bytes, status: int, limit: str, reason: str, step: int, target: Target
) -> None:
    peer = target.connect()
    for at in range(0, len(sent), step):
        if not peer.try_send(sent[at : at + step]):
            break
    answer = peer.response()
    assert (answer.status, answer["connection"]) == (status, "close")
    assert limit in answer.problem
    assert not asked
    assert target.refused() == {reason: 1}


def test_a_head_without_an_end_is_refused_where_the_limit_is(target: Target) -> None:
    peer = target.connect()
    peer.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 32_768)
    assert peer.response().status == 431


def test_what_is_within_the_limits_is_served(target: Target) -> None:
    peer = target.connect()
    assert peer.get("/" + "x" * 8191).status == 200
    assert peer.get("/", *["X: y"] * 99).status == 200
    assert peer.get("/", "X: " + "x" * 32_000).status == 200


def test_a_body_declared_too_large_is_refused_before_the_application_runs(target: Target) -> None:
    for lines in ([], ["Expect: 100-continue"]):
        peer = target.connect()
        peer.send(request("/", f"Content-Length: {2**20 + 1}", *lines, method="POST"))
        head = peer.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 413 "), "and no 100 before it"
        assert b"connection: close" in head
        assert b"max_body_bytes" in peer.rest()
    assert not asked
    assert target.refused() == {"body_too_large": 2}


def test_a_body_that_turns_out_too_large_is_refused(target: Target) -> None:
    peer = target.connect()
    peer.send(request("/", "Transfer-Encoding: chunked", method="POST"))
    for _ in range(17):
        if not peer.try_send(b"10000\r\n" + b"x" * 2**16 + b"\r\n"):
            break
    answer = peer.response()
    assert (answer.status, answer["connection"]) == (413, "close")
    assert "max_body_bytes" in answer.problem
    assert not bodies
    assert target.refused() == {"body_too_large": 1}


@pytest.mark.parametrize("framing", ["declared", "chunked"])
def test_a_small_limit_holds_for_a_body_that_comes_with_its_head(
    framing: str, attack: Callable[..., Target]
) -> None:
    target = attack(app, max_body_bytes=10)
    asked.clear()
    for size, status in [(10, 200), (11, 413)]:
        peer = target.connect()
        if framing == "declared":
            peer.send(request("/", method="POST", body=b"x" * size))
        else:
            chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size)
            peer.send(request("/", "Transfer-Encoding: chunked", method="POST") + chunked)
        assert peer.response().status == status
    assert len(asked) == 1
    assert target.refused() == {"body_too_large": 1}


def test_a_body_as_large_as_it_may_be_arrives(target: Target) -> None:
    peer = target.connect()
    peer.send(request("/", method="POST", body=b"x" * 2**20))
    assert peer.response().body == b"%d" % 2**20


@pytest.mark.parametrize("length", [str(2**63), str(2**64 + 5), "9" * 100])
def test_no_length_overflows(length: str, target: Target) -> None:
    peer = target.connect()
    peer.send(request("/", f"Content-Length: {length}", method="POST"))
    assert peer.response().status in (400, 413)
    assert not asked
