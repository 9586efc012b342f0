from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from freshwire.testing import LiveNode

from tests.waiting import until

from .site import Site


@pytest.fixture
def http(live: LiveNode) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.url) as client:
        yield client


def test_one_connection_serves_request_after_request(http: httpx.Client) -> None:
    ports = {http.get("/port").text for _ in range(20)}
    assert len(ports) == 1
    assert http.post("/goal").text == "1"
    assert http.get("/nowhere").status_code == 404
    assert http.head("/match").status_code == 200
    assert {http.get("/port").text} == ports


def test_a_connection_that_is_asked_to_close_closes(http: httpx.Client) -> None:
    first = http.get("/port", headers={"connection": "close"})
    assert first.headers["connection"] == "close"
    assert http.get("/port").text != first.text


def test_a_stream_is_read_line_by_line(http: httpx.Client) -> None:
    with http.stream("GET", "/lines/5000") as response:
        assert response.headers["transfer-encoding"] == "chunked"
        assert list(response.iter_lines()) == [f"line {number}" for number in range(5000)]
    assert http.get("/match").json() == {"match": 0}


def test_a_download_of_a_declared_length_arrives_whole(http: httpx.Client) -> None:
    for count in (0, 1, 65_536, 20_000_000):
        response = http.get(f"/bytes/{count}")
        assert response.headers["content-length"] == str(count)
        assert len(response.content) == count


def test_a_download_that_is_given_up_frees_the_application(http: httpx.Client, live: LiveNode) -> None:
    with http.stream("GET", "/bytes/3000000000") as response:
        assert next(response.iter_raw())
    assert http.get("/match").json() == {"match": 0}


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 1_000_000])
def test_a_body_of_a_declared_length_is_uploaded(http: httpx.Client, size: int) -> None:
    assert http.post("/echo", content=b"y" * size).content == b"y" * size
    assert http.get("/match").status_code == 200


def test_a_body_without_a_length_is_uploaded_in_chunks(http: httpx.Client) -> None:
    pieces = [bytes([number]) * (number * 37) for number in range(200)]
    answer = http.put("/echo", content=iter(pieces))
    assert answer.request.headers["transfer-encoding"] == "chunked"
    assert answer.content == b"".join(pieces)
    assert http.get("/match").status_code == 200


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(http: httpx.Client) -> None:
    assert http.post("/echo", content=b"z" * 4_000_001).status_code == 413

    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b"z" * 50_000

    assert http.post("/echo", content=pieces()).status_code == 413
    assert http.get("/match").status_code == 200


def test_who_expects_100_continue_gets_an_answer(http: httpx.Client) -> None:
    answer = http.post("/echo", content=b"body" * 10_000, headers={"expect": "100-continue"})
    assert (answer.status_code, answer.content) == (200, b"body" * 10_000)
    assert answer.headers["x-expect"] == "100-continue"
    assert http.post("/echo", content=b"", headers={"expect": "miracles"}).status_code == 417


def test_head_says_what_get_would_and_sends_nothing(http: httpx.Client) -> None:
    for where in ("/match", "/bytes/1000"):
        got, head = http.get(where), http.head(where)
        assert head.status_code == 200
        assert head.content == b""
        assert head.headers["content-length"] == got.headers["content-length"]


def test_who_has_the_current_copy_gets_304_and_the_next_one_when_it_changes(http: httpx.Client) -> None:
    have = http.get("/match")
    condition = {"if-none-match": have.headers["etag"]}
    same = http.get("/match", headers=condition)
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", have.headers["etag"])
    http.post("/goal")
    changed = http.get("/match", headers=condition)
    assert (changed.status_code, changed.json()) == (200, {"match": 1})
    assert changed.headers["etag"] != have.headers["etag"]
    any_of = {"if-none-match": f'W/"other", {changed.headers["etag"]}'}
    assert http.get("/match", headers=any_of).status_code == 304


async def test_a_long_poll_waits_for_the_change_and_leaves_its_connection_usable(live: LiveNode) -> None:
    async with httpx.AsyncClient(base_url=live.url) as http:
        port = (await http.get("/port")).text
        have = await http.get("/match")
        wait = {"if-none-match": have.headers["etag"], "prefer": "wait=20"}
        waiting = asyncio.create_task(http.get("/match", headers=wait))
        await until(lambda: live.stats()["watchers"] == 1)
        async with httpx.AsyncClient(base_url=live.url) as other:
            await other.post("/goal")
        answer = await waiting
        assert (answer.status_code, answer.json()) == (200, {"match": 1})
        assert (await http.get("/port")).text == port


async def test_a_long_poll_that_is_given_up_leaves_nothing_behind(live: LiveNode) -> None:
    async with httpx.AsyncClient(base_url=live.url) as http:
        have = await http.get("/match")
        wait = {"if-none-match": have.headers["etag"], "prefer": "wait=20"}
        waiting = asyncio.create_task(http.get("/match", headers=wait))
        await until(lambda: live.stats()["watchers"] == 1)
        waiting.cancel()
        await until(lambda: live.stats()["watchers"] == 0)
        assert (await http.get("/match")).status_code == 200


async def test_two_hundred_requests_over_ten_connections_get_each_their_own_answer(live: LiveNode) -> None:
    limits = httpx.Limits(max_connections=10, max_keepalive_connections=10)
    async with httpx.AsyncClient(base_url=live.url, limits=limits, timeout=30) as http:

        async def ask(number: int) -> bytes:
            async def body() -> AsyncIterator[bytes]:
                yield b"%d " % number
                yield b"*" * number * 100

            content = body() if number % 2 else b"%d " % number + b"*" * number * 100
            return (await http.post("/echo", content=content)).content

        answers = await asyncio.gather(*map(ask, range(200)))
        ports = {(await http.get("/port")).text for _ in range(20)}
    assert answers == [b"%d " % number + b"*" * number * 100 for number in range(200)]
    assert len(ports) <= 10


async def test_an_event_stream_is_followed_and_a_request_beside_it_works(live: LiveNode) -> None:
    headers = {"accept": "text/event-stream"}
    async with (
        httpx.AsyncClient(base_url=live.url) as http,
        http.stream("GET", "/match", headers=headers) as stream,
    ):
        assert stream.headers["content-type"].split(";")[0] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-store"
        data = (
            line.removeprefix("data: ") async for line in stream.aiter_lines() if line.startswith("data:")
        )
        assert json.loads(await anext(data)) == {"match": 0}
        for goals in range(1, 6):
            await http.post("/goal")
            assert json.loads(await anext(data)) == {"match": goals}


async def test_a_request_that_is_given_up_reaches_the_application_as_a_disconnect(
    site: Site, live: LiveNode
) -> None:
    async with httpx.AsyncClient(base_url=live.url) as http:
        with pytest.raises(httpx.ReadTimeout):
            await http.get("/hang", timeout=httpx.Timeout(10, read=0.2))
        assert await site.wait_for_end()
