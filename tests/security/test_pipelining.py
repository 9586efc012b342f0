"""Row 29: responses match requests, in order, whatever is asked, however the bytes are cut, whoever answers."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from .conftest import Target
from .wire import request

BIG = b"x" * 200_000


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    number = dict(scope["headers"]).get(b"x-number", b"none")
    kind = scope["path"].strip("/")
    body = b""
    if kind != "deaf":
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
    if kind == "slow":
        await asyncio.sleep(0.005)
    if kind == "raises":
        raise ValueError("on purpose")
    if kind == "returns":
        return
    status = {"missing": 404, "empty": 204, "unchanged": 304}.get(kind, 200)
    headers = [(b"x-number", number)]
    if kind == "kept":
        headers = [(b"cache-control", b"public, max-age=60")]
        number = b"kept"
    if kind == "declared":
        headers.append((b"content-length", b"%d" % len(number + body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if kind == "streams":
        for _ in range(3):
            await send({"type": "http.response.body", "body": b"piece ", "more_body": True})
            await asyncio.sleep(0)
    data = BIG if kind == "big" else number + body
    await send({"type": "http.response.body", "body": data})


STATUS = {"raises": 500, "returns": 500, "missing": 404, "empty": 204, "unchanged": 304, ".fresh/none": 404}
KINDS = [
    "plain",
    "plain",
    "slow",
    "raises",
    "returns",
    "missing",
    "empty",
    "unchanged",
    "kept",
    "kept",
    "declared",
]
KINDS += ["streams", "big", ".fresh/none"]
BODIES = [
    None,
    None,
    b"",
    b"hello",
    b"GET /evil HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"0\r\n\r\n",
    b"x" * 70_000,
]


@pytest.fixture(scope="module")
def shared(attack_all: Callable[..., Target]) -> Target:
    return attack_all(app)


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


asked = st.tuples(
    st.sampled_from(KINDS),
    st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "PUT", "OPTIONS"]),
    st.sampled_from(BODIES),
    st.sampled_from([0, 0, 3, 1000, 100_000]),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(asked, min_size=1, max_size=10), cuts=st.lists(st.integers(1, 300), max_size=12))
@example(requests=[("raises", "HEAD", None, 0), ("plain", "GET", None, 0)], cuts=[])
@example(requests=[(".fresh/none", "HEAD", None, 0), ("plain", "GET", None, 0)], cuts=[])
@example(requests=[("kept", "HEAD", None, 0), ("kept", "GET", None, 0), ("kept", "HEAD", None, 0)], cuts=[])
def test_each_request_gets_its_own_response(
    requests: list[tuple[str, str, bytes | None, int]], cuts: list[int], target: Target
) -> None:
    sent = b""
    for number, (kind, method, body, chunk) in enumerate(requests):
        lines = [f"X-Number: {number}"]
        if body is not None and chunk:
            sent += request(f"/{kind}", *lines, "Transfer-Encoding: chunked", method=method) + chunked(
                body, chunk
            )
        else:
            sent += request(f"/{kind}", *lines, method=method, body=body)
    peer = target.connect()
    for size in cuts:
        peer.send(sent[:size])
        sent = sent[size:]
    peer.socket.setblocking(True)
    peer.try_send(sent)
    for number, (kind, method, body, _) in enumerate(requests):
        answer = peer.response(method)
        assert answer.status == STATUS.get(kind, 200), (number, kind, answer)
        if (kind in STATUS and STATUS[kind] in (204, 304, 500)) or kind == ".fresh/none":
            if answer["connection"] == "close":
                assert peer.rest() == b""
                break
            continue
        if kind == "kept":
            assert method == "HEAD" or answer.body in (b"kept", b"kept" + (body or b""))
            continue
        assert answer["x-number"] == str(number)
        if method == "HEAD":
            continue
        if kind == "big":
            assert answer.body == BIG
        else:
            assert answer.body == (b"piece " * 3 if kind == "streams" else b"") + b"%d" % number + (
                body or b""
            )
    peer.close()


def test_many_connections_keep_their_own_order(target: Target) -> None:
    peers = [target.connect() for _ in range(20)]
    for turn in range(10):
        for n, peer in enumerate(peers):
            peer.send(request("/slow" if (n + turn) % 3 else "/kept", f"X-Number: {n * 100 + turn}"))
    for n, peer in enumerate(peers):
        for turn in range(10):
            answer = peer.response()
            assert answer.body == (b"%d" % (n * 100 + turn) if (n + turn) % 3 else b"kept")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_an_answer_that_is_cut_short_is_followed_by_nothing(
    method: str, attack: Callable[..., Target]
) -> None:
    async def breaks(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/next":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"next"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await asyncio.sleep(0)
        raise ValueError("on purpose")

    peer = attack(breaks).connect()
    peer.send(request("/", "Content-Length: 0", method=method) + request("/next", "Connection: close"))
    came = peer.rest()
    answers = came.split(b"HTTP/1.1 ")[1:]
    if len(answers) == 2:
        # Nothing of it had gone out yet, or nothing of its body ever does.
        assert answers[0].startswith(b"500 ") or method == "HEAD"
        assert answers[1].endswith(b"\r\n\r\nnext")
    else:
        assert len(answers) == 1
        assert b"next" not in came


@pytest.mark.parametrize("length", [b"3", b"100"])
def test_a_body_that_is_not_as_long_as_declared_is_followed_by_nothing(
    length: bytes, attack: Callable[..., Target]
) -> None:
    async def lies(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = [(b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"HTTP/1.1 200 OK\r\n\r\n", "more_body": True})
        await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"end"})

    peer = attack(lies).connect()
    peer.send(request("/") + request("/", "Connection: close"))
    came = peer.rest()
    first, *more = came.split(b"HTTP/1.1 ")[1:]
    if first.startswith(b"500 "):  # nothing had gone out yet
        assert [answer[:4] for answer in more] == [b"500 "]
    else:
        body = came.partition(b"\r\n\r\n")[2]
        assert len(body) <= int(length), "and the connection ended behind it"
