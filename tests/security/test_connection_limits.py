"""Row 7: so many connections from one address and in all; one more is told to come back, before anything else."""

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Target, TargetProcess, eventually
from .wire import Peer, Response, handshake, request

SOURCE = """
async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-groups", b'"t"')]})
        await send({"type": "http.response.body", "body": b"ok"})
"""
namespace: dict[str, Any] = {}
exec(SOURCE, namespace)
app = namespace["app"]


def opened(target: Target | TargetProcess, n: int) -> list[Peer]:
    """So many connections, each of which was answered."""
    peers = [target.connect() for _ in range(n)]
    assert [peer.get("/").status for peer in peers] == [200] * n
    return peers


def turned_away(target: Target, sent: bytes) -> Response:
    """What a connection that is one too many hears, and that it hears nothing else."""
    peer = target.connect()
    peer.try_send(sent)
    answer = peer.response()
    assert peer.rest() == b""
    assert (answer.status, answer["connection"]) == (503, "close")
    assert 1 <= int(answer["retry-after"]) <= 60
    return answer


ASKING = {
    "a request": request("/"),
    "a watch": request("/", "Accept: text/event-stream"),
    "a WebSocket": handshake("/"),
    "a WebSocket that watches": handshake("/", subprotocol="freshwire.v1"),
    "nothing": b"",
}


@pytest.mark.parametrize("sent", ASKING.values(), ids=ASKING)
@pytest.mark.parametrize("limit", ["max_connections_per_address", "max_connections"])
def test_a_connection_too_many_is_told_to_come_back(
    limit: str, sent: bytes, attack: Callable[..., Target]
) -> None:
    target = attack(app, **{limit: 3})
    first, *_ = opened(target, 3)
    assert limit in turned_away(target, sent).problem
    assert target.refused() == {limit: 1}
    first.close()
    eventually(lambda: target.stats()["connections"] == 2, "the node noticed that one has gone")
    assert target.connect().get("/").status == 200


def test_the_default_is_256_from_one_address(attack_process: Callable[..., TargetProcess]) -> None:
    target = attack_process(SOURCE)
    opened(target, 256)
    answers = [target.connect().response() for _ in range(44)]
    assert {answer.status for answer in answers} == {503}
    assert len({answer["retry-after"] for answer in answers}) > 1, "a herd is spread"
    refused = target.refused()
    assert refused == {"max_connections_per_address": 44}, refused


def test_connections_through_a_trusted_proxy_are_not_counted_as_its_own(
    attack: Callable[..., Target],
) -> None:
    target = attack(app, max_connections_per_address=2, trusted_proxies=["127.0.0.1"])
    opened(target, 5)
    assert not target.refused()


def test_no_limit_an_address_is_a_choice(attack: Callable[..., Target]) -> None:
    opened(attack(app, max_connections_per_address=0), 300)


def test_a_full_node_still_answers_its_operator(attack: Callable[..., Target]) -> None:
    target = attack(app, max_connections_per_address=1)
    opened(target, 1)
    assert target.admin().get("/stats").status == 200
