"""Waits on monitor URLs and pinned reads through each proxy of docs/behind: one request to the node of many where
copies are kept, and never anything stale.
"""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.waiting import until

from . import site
from .conftest import Behind
from .fronts import CACHES

MANY = 50
EVENTS = {"Accept": "text/event-stream"}


class Waiting:
    """Clients that wait for a change on one URL, and then on the next."""

    def __init__(self, behind: Behind, monitor: str) -> None:
        self.behind, self.monitor = behind, monitor
        self.urls: set[str] = set()

    async def one(self, http: httpx.AsyncClient) -> dict[str, Any]:
        """What the first change is."""
        url = self.monitor
        while True:
            self.urls.add(url)
            answer = await http.get(self.behind.url + url, headers={"Cookie": "user=ann"})
            assert answer.status_code == 200, answer.text
            assert "max-age=" in answer.headers["cache-control"]
            said = answer.json()
            if said["changes"]:
                return dict(said)
            url = said["next"]


def few(urls: set[str]) -> int:
    """The most requests that waits on so many URLs are at the node: one each, and one more for who comes so late that
    the cycle is over and its answer no longer kept.
    """
    return 2 * len(urls)


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=30, trust_env=False, limits=httpx.Limits(max_connections=None))


async def test_many_who_wait_are_one_request_and_so_are_their_reads(behind: Behind, name: str) -> None:
    caches = behind.front in CACHES
    waiting = Waiting(behind, behind.monitor(f"/scores/{name}"))
    requests, calls = behind.requests(), site.calls[f"/scores/{name}"]
    async with client() as http:
        tasks = [asyncio.create_task(waiting.one(http)) for _ in range(MANY)]
        await until(lambda: behind.live.stats()["waits_held"] >= (1 if caches else MANY))
        # Goes to the node directly: it is no request of those who wait.
        position = behind.live.changed(f"score:{name}")
        told = await asyncio.gather(*tasks)
        assert {said["position"] for said in told} == {position}
        if caches:
            assert behind.requests() - requests <= few(waiting.urls)
        site.scores[name] = 7
        behind.live.changed(f"score:{name}")
        pinned = {change["pinned"] for said in told for change in said["changes"]}
        assert len(pinned) == 1
        requests = behind.requests()
        answers = await asyncio.gather(*(http.get(behind.url + pinned.copy().pop()) for _ in range(MANY)))
    assert [answer.json() for answer in answers] == [{"score": 7}] * MANY
    assert site.calls[f"/scores/{name}"] - calls <= 2  # once for each change
    assert behind.requests() - requests == (1 if caches else MANY)


async def test_a_wait_without_a_change_is_one_request_a_cycle(behind: Behind, name: str) -> None:
    async def cycles(http: httpx.AsyncClient) -> set[str]:
        url, seen = first, set()
        for _ in range(2):
            seen.add(url)
            url = (await http.get(behind.url + url)).json()["next"]
        return seen

    first = behind.monitor(f"/scores/{name}")
    requests = behind.requests()
    async with client() as http:
        seen = await asyncio.gather(*(cycles(http) for _ in range(MANY)))
    urls = set().union(*seen)
    assert len(urls) == 2
    asked = behind.requests() - requests
    assert asked <= few(urls) if behind.front in CACHES else asked == len(urls) * MANY


def test_nobody_reads_what_is_stale_after_a_notice(behind: Behind, name: str) -> None:
    path = f"/tables/{name}"
    monitor = behind.monitor(path)
    for score in range(1, 6):
        assert behind.get(path).status_code == 200  # fills the cache
        behind.goal(name)
        while not (said := behind.get(monitor).json())["changes"]:
            monitor = said["next"]
        monitor = said["next"]
        for _ in range(3):
            pinned = behind.get(said["changes"][0]["pinned"])
            assert pinned.json() == {"score": score}


def test_a_copy_says_where_to_wait_as_its_original_does(behind: Behind, name: str) -> None:
    assert behind.monitor(f"/tables/{name}") == behind.monitor(f"/tables/{name}")


@pytest.mark.parametrize(
    "path", ["/.fresh/watch/x?c=1", "/.fresh/watch/AAAAAAAAAAAAAAAAAAAAAA/00000000-1?c=1"]
)
def test_a_refusal_is_kept_for_a_moment(path: str, behind: Behind, name: str) -> None:
    path = path.replace("?", f"{name}?", 1)
    requests = behind.requests()
    statuses = {behind.get(path).status_code for _ in range(10)}
    assert len(statuses) == 1
    assert statuses < {400, 410}
    # Ten take less than the second for which it is kept, or hardly more.
    assert behind.requests() - requests <= (5 if behind.front in CACHES else 10)


def test_a_set_of_a_page_is_made_and_waited_on(behind: Behind, name: str) -> None:
    page = [behind.monitor(f"/scores/{name}"), behind.monitor(f"/tables/{name}b")]
    made = behind.http.post(f"{behind.url}/.fresh/watch", json={"monitors": page})
    assert made.status_code == 200, made.text
    monitor = made.json()["monitor"]
    behind.goal(f"{name}b")
    while not (said := behind.get(monitor).json())["changes"]:
        monitor = said["next"]
    assert [change["url"] for change in said["changes"]] == [f"/tables/{name}b"]


async def test_the_events_of_a_set_come_when_they_happen(behind: Behind, name: str) -> None:
    monitor = behind.monitor(f"/scores/{name}")
    requests = behind.requests()

    async def first_change(http: httpx.AsyncClient) -> str:
        url = monitor
        while True:
            async with http.stream("GET", f"{behind.url}{url}&sse", headers=EVENTS) as stream:
                assert stream.headers["content-type"] == EVENTS["Accept"]
                async for line in stream.aiter_lines():
                    if line.startswith("data:"):
                        said = json.loads(line.removeprefix("data:"))
                        if said["changes"]:  # who comes after it may be told without the body
                            return str(said["changes"][0]["pinned"])
                        url = said["next"]

    async with client() as http:
        tasks = [asyncio.create_task(first_change(http)) for _ in range(10)]
        await until(lambda: behind.live.stats()["waits_held"] >= 1)
        behind.live.changed(f"score:{name}")
        assert len(set(await asyncio.gather(*tasks))) == 1
    if behind.front == "varnish":
        assert behind.requests() - requests < 10


def test_a_pinned_read_of_two_users_is_not_one(behind: Behind) -> None:
    position = behind.live.changed("nothing")
    for _ in range(2):
        for user in ("ann", "bob"):
            answer = behind.get(f"/me?fresh={position}", Cookie=f"user={user}")
            assert answer.json()["cookie"] == f"user={user}"
        assert behind.get(f"/me?fresh={position}").json()["cookie"] == ""
