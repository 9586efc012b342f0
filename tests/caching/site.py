"""An application of which a test decides every answer, behind a real node."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from freshwire.testing import LiveNode, node

Headers = dict[str, str]
Answer = tuple[int, Headers, str]


@dataclass
class Site:
    """What the application answers next, and what it was asked."""

    answer: Callable[[Headers], Answer]
    """Called for each request with its fields."""
    asked: list[Headers] = field(default_factory=list)
    open: threading.Event = field(default_factory=threading.Event)
    """While it is not set, answers are decided but not sent."""
    _more: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.open.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        fields = {name.decode(): value.decode() for name, value in scope["headers"]}
        status, headers, body = self.answer(fields)
        with self._more:
            self.asked.append(fields)
            self._more.notify_all()
        await asyncio.to_thread(self.open.wait)
        lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": body.encode()})

    def was_asked(self, times: int) -> None:
        """Wait until it was asked so often."""
        with self._more:
            assert self._more.wait_for(lambda: len(self.asked) >= times, 20)


@dataclass
class Running:
    """A site and the node before it."""

    site: Site
    live: LiveNode
    client: httpx.Client

    def get(self, **headers: str) -> httpx.Response:
        return self.client.get("/x", headers={k.replace("_", "-"): v for k, v in headers.items()})

    def until(self, wanted: Callable[[httpx.Response], bool], **headers: str) -> httpx.Response:
        """Ask until the answer is as wanted."""
        for _ in range(2000):
            response = self.get(**headers)
            if wanted(response):
                return response
            threading.Event().wait(0.01)
        raise AssertionError(f"never; at last {response.status_code} {dict(response.headers)}")


@contextmanager
def running(answer: Callable[[Headers], Answer], **options: object) -> Iterator[Running]:
    """Serve a site."""
    site = Site(answer)
    with node(site, lifespan="off", **options) as live, httpx.Client(base_url=live.url) as client:
        yield Running(site, live, client)
        site.open.set()


def status(response: httpx.Response) -> str:
    """What the node's cache did."""
    return response.headers["cache-status"].partition("; ")[2]
