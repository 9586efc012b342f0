"""Watching a resource from a test, over each transport, and waiting for its next representation.

Clients run on a loop in a thread of their own, so that a test may block, and so may the application.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import queue
import threading
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

import httpx

from freshwire.client import follow
from freshwire.client.sse import Parser
from freshwire.exceptions import FollowError, WatchEnded

Transport = Literal["sse", "websocket", "poll"]

SUBPROTOCOL = "freshwire.v1"
CLOSED_WITH_STATUS = range(4100, 4600)
"""WebSocket close codes that are 4000 and the status that ended the watch."""
WAIT_S = 25
"""How long a poll waits for a change, seconds."""


@dataclass(frozen=True, slots=True)
class Representation:
    """What a watcher got."""

    position: str
    """Where it was made, as `<epoch>-<offset>`; "" over a WebSocket, which does not say."""
    body: bytes
    event: str = "message"
    """The event's type: "message", or "stale" for a body that an event stream cannot carry."""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON. Raises ValueError."""
        return json.loads(self.body)


Events = AsyncGenerator[Representation, None]


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """The clients' loop."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="freshwire test clients", daemon=True).start()
    return loop


class Watch:
    """A standing interest in a resource."""

    def __init__(self, events: Events) -> None:
        """Connect; what comes is kept until it is asked for."""
        self._arrived: queue.SimpleQueue[Representation | BaseException] = queue.SimpleQueue()
        self._end: BaseException | None = None
        self._reading = asyncio.run_coroutine_threadsafe(self._read(events), _loop())

    def next(self, timeout: float = 10.0) -> Representation:
        """Wait for the next representation.

        timeout: seconds.

        Raises WatchEnded when there will be none, TimeoutError when there is none yet, and what the
        connection raised.
        """
        if self._end is not None:
            raise self._end
        try:
            arrived = self._arrived.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"no representation within {timeout} s") from None
        if isinstance(arrived, BaseException):
            self._end = arrived
            raise arrived
        return arrived

    async def anext(self, timeout: float = 10.0) -> Representation:  # noqa: ASYNC109 - as `next`
        """Like `next`, without blocking the loop."""
        return await asyncio.to_thread(self.next, timeout)

    def close(self) -> None:
        """Disconnect, and wait until that is done."""
        self._reading.cancel()
        self._arrived.put(WatchEnded(None, "it was closed"))
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), _loop()).result()

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _read(self, events: Events) -> None:
        """Keep what comes."""
        try:
            async with contextlib.aclosing(events):
                async for representation in events:
                    self._arrived.put(representation)
            self._arrived.put(WatchEnded(None, "the stream ended"))
        except Exception as error:
            self._arrived.put(error)


def events(transport: Transport, url: str, headers: dict[str, str], since: str = "") -> Events:
    """The representations of a resource over one connection. Raises ValueError for a transport that is
    none.
    """
    match transport:
        case "sse":
            return _sse(url, headers, since)
        case "websocket":
            return _websocket(url, headers)
        case "poll":
            return _poll(url, headers)
    raise ValueError(f"transport is sse, websocket or poll, not {transport!r}")


async def _sse(url: str, headers: dict[str, str], since: str) -> Events:
    """Server-sent events."""
    parser = Parser()
    parser.resume(since)
    async with (
        follow.client(headers=headers) as http,
        contextlib.aclosing(follow.stream(http, url, parser)) as stream,
    ):
        async for event in stream:
            yield Representation(event.id, event.data.encode(), event.event)


async def _websocket(url: str, headers: dict[str, str]) -> Events:
    """WebSocket messages."""
    from websockets.asyncio.client import connect
    from websockets.exceptions import ConnectionClosed, InvalidStatus
    from websockets.typing import Subprotocol

    try:
        async with connect(
            url.replace("http", "ws", 1),
            additional_headers=headers,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            max_size=None,
            proxy=None,
        ) as connection:
            while True:
                message = await connection.recv()
                yield Representation("", message.encode() if isinstance(message, str) else message)
    except InvalidStatus as error:
        raise WatchEnded(error.response.status_code) from error
    except ConnectionClosed as error:
        code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (1006, "")
        status = code - 4000 if code in CLOSED_WITH_STATUS else None
        raise WatchEnded(status, reason or f"close code {code}") from error


async def _poll(url: str, headers: dict[str, str]) -> Events:
    """GET, and then again and again with the validator of what it gave (RFC 7240 `wait`)."""
    known: dict[str, str] = {}
    async with httpx.AsyncClient(
        headers=headers, timeout=2 * WAIT_S, trust_env=False, verify=follow.tls()
    ) as http:
        while True:
            response = await http.get(url, headers=known)
            if response.status_code == 304:
                continue
            if response.status_code != 200:
                raise WatchEnded(response.status_code, follow.ended(response.text).reason)
            if "etag" not in response.headers:
                raise FollowError(
                    f"{url} has no ETag, so it cannot be polled: its body streams, or is no-store"
                )
            known = {"If-None-Match": response.headers["etag"], "Prefer": f"wait={WAIT_S}"}
            yield Representation(response.headers.get("fresh-position", ""), response.content)
