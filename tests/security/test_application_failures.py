"""Row 35: an application that hangs, raises, exits or sends nonsense costs its own request; the node, its other
requests and its watchers go on, and what they watch catches up.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Target, TargetProcess, eventually
from .wire import CLOSE, TEXT, Closed, Peer, frame, handshake, request

SOURCE = """
import asyncio

version = 0
fails = ""

async def app(scope, receive, send):
    global version, fails
    if scope["type"] not in ("http", "websocket"):
        return
    kind = scope["path"].strip("/")
    start = {"type": "http.response.start", "status": 200, "headers": []}
    if scope["type"] == "websocket":
        await receive()
        if kind != "before":
            await send({"type": "websocket.accept"})
            await receive()
        raise ValueError("on purpose")
    match kind:
        case "watched":
            if fails:
                return await fail(fails, send, receive)
            await send({**start, "headers": [(b"cache-groups", b'"t"')]})
            await send({"type": "http.response.body", "body": b"%d" % version})
        case "change":
            version += 1
            fails = scope["query_string"].decode()
            await send({**start, "headers": [(b"cache-group-invalidation", b'"t"')]})
            await send({"type": "http.response.body", "body": b""})
        case "fine":
            await send(start)
            await send({"type": "http.response.body", "body": b"fine"})
        case _:
            await fail(kind, send, receive)

async def fail(kind, send, receive):
    start = {"type": "http.response.start", "status": 200, "headers": []}
    match kind:
        case "hangs":
            await asyncio.Event().wait()
        case "hangs-deaf":
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    pass
        case "raises":
            raise ValueError("on purpose")
        case "raises-after-head":
            await send(start)
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            await asyncio.sleep(0)
            raise ValueError("on purpose")
        case "exits":
            raise SystemExit(7)
        case "cancels":
            raise asyncio.CancelledError
        case "base":
            raise BaseException("on purpose")
        case "group":
            raise BaseExceptionGroup("on purpose", [SystemExit(7), ValueError()])
        case "recurses":
            await fail(kind, send, receive)
        case "returns":
            return
        case "no-dict":
            await send("http.response.start")
        case "no-type":
            await send({})
        case "other-type":
            await send({"type": "http.response.nonsense"})
        case "body-first":
            await send({"type": "http.response.body", "body": b"x"})
        case "starts-twice":
            await send(start)
            await send(start)
        case "status":
            await send({**start, "status": "two hundred"})
        case "huge-status":
            await send({**start, "status": 2**70})
        case "headers":
            await send({**start, "headers": 7})
        case "header-of-three":
            await send({**start, "headers": [(b"a", b"b", b"c")]})
        case "text-body":
            await send(start)
            await send({"type": "http.response.body", "body": "text"})
        case "websocket-message":
            await send({"type": "websocket.accept"})
        case "error":
            await send({**start, "status": 503})
            await send({"type": "http.response.body", "body": b"later"})
"""

RAISING = ["raises", "exits", "cancels", "base", "group", "recurses", "returns"]
NONSENSE = [
    "no-dict",
    "no-type",
    "other-type",
    "body-first",
    "starts-twice",
    "status",
    "huge-status",
    "headers",
]
NONSENSE += ["header-of-three", "text-body", "websocket-message"]


@pytest.fixture
def target(attack_process: Callable[..., TargetProcess]) -> TargetProcess:
    return attack_process(
        SOURCE,
        app_timeout_s=1,
        reread_backoff_s=0.05,
        reread_backoff_max_s=0.1,
        max_connections_per_address=0,
    )


def watching(target: TargetProcess, transport: str) -> Peer:
    peer = target.connect()
    if transport == "sse":
        peer.send(request("/watched", "Accept: text/event-stream"))
        assert peer.stream().status == 200
    else:
        peer.send(handshake("/watched", subprotocol="freshwire.v1"))
        assert peer.stream().status == 101
    return peer


def next_of(peer: Peer, transport: str) -> str:
    return peer.event().data if transport == "sse" else peer.message().payload.decode()


def test_a_request_that_fails_is_the_only_one(target: TargetProcess) -> None:
    watchers = [(watching(target, transport), transport) for transport in ("sse", "websocket")]
    for watcher in watchers:
        assert next_of(*watcher) == "0"
    for number, kind in enumerate(RAISING + NONSENSE, 1):
        bad, good = target.connect(), target.connect()
        bad.send(request(f"/{kind}"))
        good.send(request("/fine"))
        answer = bad.response()
        assert answer.status == 500, kind
        assert answer.problem == "the application failed"
        assert good.response().body == b"fine", kind
        assert (
            target.connect().get("/change", "Content-Length: 0", method="POST", host="localhost").status
            == 200
        )
        for watcher in watchers:
            assert next_of(*watcher) == str(number), kind
        bad.close()
        good.close()
    assert target.process.poll() is None
    assert target.refused() == {"application_failed": len(RAISING + NONSENSE)}
    assert target.stats()["panics"] == 0


def test_a_failure_behind_the_head_cuts_the_body_visibly(target: TargetProcess) -> None:
    peer = target.connect()
    peer.send(request("/raises-after-head") + request("/fine"))
    came = peer.rest()
    assert came.count(b"HTTP/1.1 ") == 1
    assert b"half" in came
    assert not came.endswith(b"0\r\n\r\n")
    assert target.connect().get("/fine").body == b"fine"


@pytest.mark.parametrize("kind", ["hangs", "hangs-deaf"])
def test_a_request_that_hangs_is_answered_for(kind: str, target: TargetProcess) -> None:
    peers = [target.connect() for _ in range(5)]
    for peer in peers:
        peer.send(request(f"/{kind}"))
    assert target.connect().get("/fine").body == b"fine"
    for peer in peers:
        answer = peer.response()
        assert answer.status == 504
        assert "app_timeout_s" in answer.problem
    assert target.refused() == {"app_timeout": 5}


@pytest.mark.parametrize("path", ["/before", "/after"])
def test_a_websocket_whose_application_fails_ends_alone(path: str, target: TargetProcess) -> None:
    peer = target.connect()
    peer.send(handshake(path))
    if path == "/before":
        assert peer.response().status == 500
    else:
        assert peer.response().status == 101
        peer.send(frame(TEXT, b"go"))
        last = peer.frame()
        assert (last.op, last.code) == (CLOSE, 1011)
        assert b"on purpose" not in last.payload, "what went wrong is not the client's business"
    assert target.connect().get("/fine").body == b"fine"


@pytest.mark.parametrize("transport", ["sse", "websocket"])
@pytest.mark.parametrize(
    "kind", ["raises", "exits", "returns", "error", "raises-after-head", "no-dict", "hangs"]
)
def test_watchers_stay_while_rereads_fail_and_catch_up(
    kind: str, transport: str, target: TargetProcess
) -> None:
    watcher = watching(target, transport)
    assert next_of(watcher, transport) == "0"
    operator = target.connect()

    def change(fails: str) -> None:
        path = f"/change?{fails}"
        assert operator.get(path, "Content-Length: 0", method="POST", host="localhost").status == 200

    change(kind)
    rereads = target.stats()["rereads"]
    eventually(lambda: target.stats()["rereads"] >= rereads + 2, "it is tried again")
    assert target.stats()["watchers"] == 1
    change("")
    assert next_of(watcher, transport) == "2"
    assert target.process.poll() is None


def test_a_client_that_leaves_while_the_application_hangs_frees_its_place(
    attack: Callable[..., Target],
) -> None:
    left = []

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/fine":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"fine"})
            return
        while (await receive())["type"] != "http.disconnect":
            pass
        left.append(scope["path"])

    target = attack(waits, limit_concurrency=3)
    peers = [target.connect() for _ in range(3)]
    for n, peer in enumerate(peers):
        peer.send(request(f"/waits/{n}"))  # three reads, not one for three
    eventually(lambda: target.connect().get("/fine").status == 503, "the node is full")
    refused = target.connect().get("/fine")
    assert "limit_concurrency" in refused.problem
    for peer in peers:
        peer.close()
    eventually(lambda: len(left) == 3, "the application hears that its clients have gone")
    eventually(lambda: target.connect().get("/fine").status == 200, "there is room again")


def test_an_application_that_holds_on_to_its_requests_holds_no_connection(
    attack: Callable[..., Target],
) -> None:
    leaked: list[Any] = []
    refused: list[Exception] = []

    async def goes_on(receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        try:
            await send({"type": "http.response.body", "body": b"late"})
        except Exception as error:
            refused.append(error)
        await asyncio.Event().wait()

    async def leaks(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        leaked.append((scope, receive, send, asyncio.ensure_future(goes_on(receive, send))))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})

    target = attack(leaks, limit_concurrency=5)
    peer = target.connect()
    for _ in range(500):
        assert peer.get("/").body == b"fine"
    eventually(lambda: len(refused) == 500, "each hears that its answer is complete")
    peer.close()
    eventually(lambda: target.stats()["connections"] <= 1, "the connection is gone")
    assert len(leaked) == 500
    assert not target.refused()
    leaked.clear()


def test_what_a_failing_application_says_is_not_shown(target: TargetProcess) -> None:
    for kind in ("raises", "exits", "no-dict"):
        answer = target.connect().get(f"/{kind}")
        assert b"on purpose" not in answer.body
        assert b"Traceback" not in answer.body


def test_a_stream_that_ends_early_ends_for_its_client(attack: Callable[..., Target]) -> None:
    async def breaks(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"data: one\n\n", "more_body": True})
            raise ValueError("on purpose")

    peer = attack(breaks).connect()
    peer.send(request("/", "Accept: text/event-stream"))
    assert peer.stream().status in (200, 500)
    with pytest.raises(Closed):
        while True:
            peer.chunk()
