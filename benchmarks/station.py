"""A station: a running server to which subscribers come, and that can be told to push to all of them.

Here are the two that every run has, a node and the floor; the peers have theirs in `peers/`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import httpx

from benchmarks.processes import BenchmarkError, Server, first_bytes, floor, freshwire, get, websocket

SSE = "Accept: text/event-stream"
PROTOCOL = "Sec-WebSocket-Protocol: freshwire.v1"


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a server was told to push, and what it says became of that."""

    changes: int
    refused: int = 0
    """Messages that a socket did not take."""
    missed: int = 0
    """Changes whose time was over before the one before them was sent to all."""


@dataclass(frozen=True, slots=True)
class Station:
    server: Server
    requests: dict[str, bytes]
    """How to subscribe, by transport."""
    push: Callable[[float, float], Pushed]
    """Push the state, with the time in it, at a rate for so many seconds."""
    greets: bool = True
    """Whether a new subscriber gets the state at once."""
    window: int = 64
    """Connects that may be under way at once: as many as it can stand."""
    enough: float = 1.0
    """The share of them that must succeed: less only for a peer that loses some."""


def watching(path: str) -> dict[str, bytes]:
    """How to watch a resource of a node, by transport."""
    return {"sse": get(path, SSE), "websocket": websocket(path, PROTOCOL)}


@contextlib.contextmanager
def node(path: str = "/state", *options: str, cores: Sequence[int] = ()) -> Iterator[Station]:
    """A node whose watched resource is there already."""
    with freshwire(*options, cores=cores) as server:
        first_bytes(server.port, get(path, SSE), b'"at":')
        yield Station(server, watching(path), functools.partial(told, server.port, f"/run?path={path}"))


def told(port: int, path: str, rate: float, seconds: float) -> Pushed:
    """Have the application do it."""
    url = f"http://127.0.0.1:{port}{path}{'&' if '?' in path else '?'}rate={rate}&seconds={seconds}"
    try:
        return Pushed(httpx.post(url, timeout=seconds + 60).raise_for_status().json()["changes"])
    except httpx.HTTPError as error:
        raise BenchmarkError(f"POST {path}: {error!r}") from error


@contextlib.contextmanager
def bottom(station: Station, transport: str, cores: Sequence[int] = ()) -> Iterator[Station]:
    """The floor, which pushes the bytes that a node does."""
    request = station.requests[transport]
    with floor(message(station.server, request), cores) as server:

        def push(rate: float, seconds: float) -> Pushed:
            said = server.ask(f"run {rate} {seconds}")
            return Pushed(said["changes"], said["refused"], said["missed"])

        yield Station(server, {transport: request}, push)


def message(server: Server, request: bytes) -> bytes:
    """The bytes by which a server tells a subscriber of the state, without the head of the response."""
    said = first_bytes(server.port, request, b'"}')
    return said[said.index(b"\r\n\r\n") + 4 :]
