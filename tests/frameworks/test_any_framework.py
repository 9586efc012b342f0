"""What every framework's application gets from a node, with the same tests for all of them."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from freshwire import WatchEnded
from freshwire.testing import LiveNode, Transport
from websockets.sync.client import connect

from .boards import NUMBERS, Board

TRANSPORTS: list[Transport] = ["sse", "websocket", "poll"]


def test_plain_requests_are_answered(live: LiveNode) -> None:
    with httpx.Client(base_url=live.url) as http:
        answer = http.get("/plain")
        assert (answer.status_code, answer.text) == (200, "hello")
        assert answer.headers["content-type"].startswith("text/plain")
        assert http.get("/nowhere").status_code == 404
        assert b"".join(http.get("/numbers").iter_bytes()) == b"".join(NUMBERS)


def test_a_response_has_a_validator_and_head_says_what_get_would(live: LiveNode) -> None:
    with httpx.Client(base_url=live.url) as http:
        before = http.head("/scores/b")
        got = http.get("/scores/b")
        assert got.headers["etag"].startswith('"')
        assert got.headers["fresh-position"]
        for head in (before, http.head("/scores/b")):
            if head.status_code in (404, 405):  # no HEAD unless somebody wrote it
                continue
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == got.headers["content-length"]
            assert head.headers.get("etag") in (None, got.headers["etag"])
        same = http.get("/scores/b", headers={"If-None-Match": got.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")
        assert same.headers["etag"] == got.headers["etag"]


def test_a_tagged_resource_is_answered_from_memory_until_it_changes(live: LiveNode) -> None:
    with httpx.Client(base_url=live.url) as http:
        first = http.get("/scores/a")
        assert first.json() == {"score": 0}
        assert '"score:a"' in first.headers["cache-groups"]
        again = http.get("/scores/a")
        assert again.headers["cache-status"].startswith("freshwire; hit")
        assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
        assert http.post("/scores/a/goal").is_success
        changed = http.get("/scores/a")
        assert "hit" not in changed.headers["cache-status"]
        assert changed.json() == {"score": 1}
        assert http.get("/scores/b").json() == {"score": 0}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_change_is_pushed(live: LiveNode, transport: Transport) -> None:
    watch = live.watch("/scores/a", transport=transport)
    assert watch.next().json() == {"score": 0}
    for score in range(1, 4):
        assert httpx.post(f"{live.url}/scores/a/goal").is_success
        assert watch.next().json() == {"score": score}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_watch_ends_with_404_when_the_resource_does(
    any_board: Board, live: LiveNode, transport: Transport
) -> None:
    watch = live.watch("/scores/a", transport=transport)
    watch.next()
    del any_board.scores["a"]
    live.changed("score:a")
    with pytest.raises(WatchEnded) as ended:
        watch.next()
    assert ended.value.status == 404


async def test_fifty_requests_at_once_get_each_their_own_answer(live: LiveNode) -> None:
    bodies = [bytes([number]) * 20_000 for number in range(50)]
    async with httpx.AsyncClient(base_url=live.url, timeout=30) as http:
        answers = await asyncio.gather(*(http.post("/echo", content=body) for body in bodies))
    assert [answer.content for answer in answers] == bodies


async def test_fifty_watchers_get_the_last_of_fifty_changes(any_board: Board, live: LiveNode) -> None:
    watches = [live.watch("/scores/a") for _ in range(50)]
    for watch in watches:
        assert (await watch.anext()).json() == {"score": 0}
    before = live.stats()["rereads"]
    async with httpx.AsyncClient(base_url=live.url, timeout=30) as http:
        await asyncio.gather(*(http.post("/scores/a/goal") for _ in range(50)))
    for watch in watches:
        while (await watch.anext()).json() != {"score": 50}:
            pass
    assert live.stats()["rereads"] - before <= 50  # however many watch


def test_a_websocket_is_the_applications_own(any_board: Board, live: LiveNode) -> None:
    if not any_board.has_websockets:
        pytest.skip("it has no WebSockets")
    with connect(live.url.replace("http", "ws") + "/socket") as socket:
        assert socket.subprotocol is None
        for text in ("one", "zwei", "三"):
            socket.send(text)
            assert socket.recv(timeout=10) == f"echo: {text}"
