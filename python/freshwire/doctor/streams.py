"""Do event streams, WebSockets and long polls come through, at once and for as long as they last?"""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from freshwire.client.sse import Parser
from freshwire.doctor.report import Finding, Outcome
from freshwire.doctor.visit import Visit

EVENTS = "text/event-stream"
SUBPROTOCOL = "freshwire.v1"
HEARTBEAT_S = 30.0
"""A node's heartbeat comes within this by default, seconds."""
POLL_S = 4
"""How long a long poll waits, seconds."""

Read = Callable[[], Awaitable[bytes]]
"""Gives the next bytes; empty at the end."""


async def events(visit: Visit) -> Outcome:
    """Whether an event stream is one, and its first event comes while it is open."""
    name = "event stream"
    if finding := await _first_event(visit):
        return Outcome(name, "something is wrong", findings=[finding])
    again = await visit.get()
    if _kind(again) == EVENTS:
        seen = "a request without `Accept: text/event-stream` was answered with an event stream"
        return visit.found(name, "accept-not-passed", seen)
    return Outcome(name, "opens at once, and JSON clients still get what is theirs")


async def _first_event(visit: Visit) -> Finding | None:
    start = time.monotonic()
    try:
        async with asyncio.timeout(visit.prompt_s), visit.stream(accept=EVENTS) as response:
            if response.status_code != 200 or _kind(response) != EVENTS:
                seen = f"`Accept: {EVENTS}` was answered with {response.status_code} {_kind(response)}"
                return visit.finding("accept-not-passed", seen)
            parser = Parser()
            async for chunk in response.aiter_bytes():
                if list(parser.feed(chunk)):
                    return None
            after_s = time.monotonic() - start
            return visit.finding("stream-cut", f"it ended after {after_s:.1f} s, before the first event")
    except TimeoutError:
        return visit.finding("stream-buffered", f"no event within {visit.prompt_s:.0f} s")
    except httpx.TransportError as error:
        return visit.finding("stream-cut", f"after {time.monotonic() - start:.1f} s: {_text(error)}")


async def websocket(visit: Visit) -> Outcome:
    """Whether a WebSocket opens, and its first message comes."""
    name = "WebSocket"
    try:
        async with asyncio.timeout(visit.prompt_s), AsyncExitStack() as stack:
            status, read = await _open_websocket(visit, stack)
            if status != 101 or read is None:
                return visit.found(name, "websocket-refused", f"the handshake was answered with {status}")
            if not await read():
                return visit.found(
                    name, "websocket-refused", "it opened, and was closed before the first message"
                )
    except TimeoutError:
        return visit.found(name, "websocket-refused", f"no message within {visit.prompt_s:.0f} s")
    except httpx.TransportError as error:
        return visit.found(name, "websocket-refused", f"the handshake failed: {_text(error)}")
    return Outcome(name, "opens, and the first message comes at once")


async def _open_websocket(visit: Visit, stack: AsyncExitStack) -> tuple[int, Read | None]:
    """The status of the handshake, and how to read what comes after a 101."""
    parts = urlsplit(visit.url)
    response = await stack.enter_async_context(
        visit.stream(
            connection="Upgrade",
            upgrade="websocket",
            origin=f"{parts.scheme}://{parts.netloc}",
            sec_websocket_version="13",
            sec_websocket_key=base64.b64encode(secrets.token_bytes(16)).decode(),
            sec_websocket_protocol=SUBPROTOCOL,
        )
    )
    if response.status_code != 101:
        return response.status_code, None
    network = response.extensions["network_stream"]

    async def read() -> bytes:
        return bytes(await network.read(65536, timeout=None))

    return 101, read


async def long_poll(visit: Visit) -> Outcome:
    """Whether a long poll waits."""
    name = "long poll"
    etag = visit.read.headers.get("etag", "")
    if not etag.startswith('"'):
        return Outcome(name, "there is no strong ETag to wait with", checked=False)
    start = time.monotonic()
    try:
        answer = await visit.get(if_none_match=etag, prefer=f"wait={POLL_S}")
    except httpx.TransportError as error:
        return visit.found(
            name, "poll-cut", f"after {time.monotonic() - start:.1f} s of {POLL_S}: {_text(error)}"
        )
    took_s = time.monotonic() - start
    figures = {"status": answer.status_code, "took_s": round(took_s, 3), "wait_s": POLL_S}
    if answer.status_code == 304 and took_s < POLL_S / 2:
        seen = f"`Prefer: wait={POLL_S}` was answered with 304 after {took_s:.2f} s"
        return visit.found(name, "poll-answered-by-cache", seen, **figures)
    if answer.status_code not in (200, 304):
        return visit.found(
            name, "poll-cut", f"answered with {answer.status_code} after {took_s:.1f} s", **figures
        )
    return Outcome(name, f"waits ({answer.status_code} after {took_s:.1f} s)", figures=figures)


@dataclass
class Silence:
    """What an idle connection did."""

    lasted_s: float = 0.0
    longest_s: float = 0.0
    """The longest time without a byte."""
    heartbeats: int = 0
    ended: str = ""
    """How it ended, if it did."""

    def figures(self) -> dict[str, object]:
        """For programs."""
        return {
            "lasted_s": round(self.lasted_s, 1),
            "longest_silence_s": round(self.longest_s, 1),
            "reads": self.heartbeats,
            "ended": self.ended,
        }


async def idle(visit: Visit) -> Outcome:
    """Whether streams on which nothing happens stay open."""
    streams = {"event stream": _idle_events(visit), "WebSocket": _idle_websocket(visit)}
    kept = dict(zip(streams, await asyncio.gather(*streams.values()), strict=True))
    findings: list[Finding] = []
    for name, silence in kept.items():
        if silence is None:
            continue
        if silence.ended:
            seen = (
                f"the {name} ended after {silence.lasted_s:.0f} s, after {silence.longest_s:.0f} s without a byte: "
                f"{silence.ended}"
            )
            findings.append(visit.finding("stream-cut", seen))
        elif silence.heartbeats == 0 and silence.lasted_s > HEARTBEAT_S:
            seen = f"nothing came on the {name} for {silence.lasted_s:.0f} s"
            findings.append(visit.finding("heartbeats-missing", seen))
    figures = {name: silence.figures() for name, silence in kept.items() if silence}
    return Outcome(
        "idle streams", f"stay open for the {visit.idle_s:.0f} s of --idle-s", True, findings, figures
    )


async def _idle_events(visit: Visit) -> Silence | None:
    async def chunks(stack: AsyncExitStack) -> Read | None:
        response = await stack.enter_async_context(visit.stream(accept=EVENTS))
        if _kind(response) != EVENTS:
            return None
        body = aiter(response.aiter_raw())
        return lambda: _next(body)

    return await _watched(visit, chunks)


async def _idle_websocket(visit: Visit) -> Silence | None:
    async def frames(stack: AsyncExitStack) -> Read | None:
        return (await _open_websocket(visit, stack))[1]

    return await _watched(visit, frames)


async def _watched(
    visit: Visit, opened: Callable[[AsyncExitStack], Awaitable[Read | None]]
) -> Silence | None:
    """Read a connection for as long as idle streams are looked at; None if it does not open at all."""
    silence = Silence()
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(visit.prompt_s):
                read = await opened(stack)
                if read is None or not await read():
                    return None
        except (TimeoutError, httpx.TransportError):
            return None  # said by the checks before
        start = last = time.monotonic()
        try:
            async with asyncio.timeout(visit.idle_s):
                while True:
                    if not await read():
                        silence.ended = "closed"
                        break
                    silence.heartbeats += 1
                    silence.longest_s = max(silence.longest_s, time.monotonic() - last)
                    last = time.monotonic()
        except TimeoutError:
            pass
        except Exception as error:  # of httpx or of what is below it
            silence.ended = _text(error)
        silence.lasted_s = time.monotonic() - start
        silence.longest_s = max(silence.longest_s, time.monotonic() - last)
    return silence


async def _next(body: AsyncIterator[bytes]) -> bytes:
    return await anext(body, b"")


def _kind(response: httpx.Response) -> str:
    return str(response.headers.get("content-type", "no type")).split(";")[0].strip().lower()


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
