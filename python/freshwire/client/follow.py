"""Following a live resource over its event stream, across reconnections (HTML Living Standard, §9.2.3).

Used by `freshwire watch` and by the test kit's SSE transport.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import random
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import httpx

from freshwire.client.sse import Event, Parser
from freshwire.exceptions import FollowError, WatchEnded

CONNECT_TIMEOUT_S = 10.0
SILENCE_S = 90.0
"""A stream without a byte for so long is dead: a node sends heartbeats every 25 seconds by default."""
MAX_PAUSE_S = 30.0
"""The longest pause between two attempts, seconds."""
MAX_PROBLEM_BYTES = 64 * 1024
TRY_AGAIN = frozenset({408, 421, 425, 429, 500, 502, 503, 504})
"""Statuses that say "not now" once a stream has worked; the others are the application's answer."""


@functools.cache
def tls() -> ssl.SSLContext:
    """The certificates that servers are checked against: loading them takes longer than most requests."""
    return httpx.create_ssl_context()


def client(*, headers: Mapping[str, str] | None = None) -> httpx.AsyncClient:
    """An HTTP client for streams; it follows no redirects: the headers may be meant for one server."""
    return httpx.AsyncClient(
        headers={**(headers or {}), "Accept": "text/event-stream", "Cache-Control": "no-cache"},
        timeout=httpx.Timeout(CONNECT_TIMEOUT_S, read=SILENCE_S),
        verify=tls(),
    )


async def stream(http: httpx.AsyncClient, url: str, parser: Parser) -> AsyncGenerator[Event, None]:
    """The events of one connection; resumes after what `parser` has seen.

    Raises WatchEnded with the status when the answer is not 200 or a `gone` event ends the stream,
    FollowError for an answer that is no event stream, httpx.TransportError for one that breaks off.
    """
    parser.resume(parser.last_event_id)
    headers = {"Last-Event-ID": parser.last_event_id} if parser.last_event_id else {}
    async with http.stream("GET", url, headers=headers) as response:
        if response.status_code != 200:
            raise WatchEnded(response.status_code, await _refusal(response))
        kind = response.headers.get("content-type", "no type").split(";")[0].strip().lower()
        if kind != "text/event-stream":
            raise FollowError(
                f"{url} answers with {kind}, not with an event stream: it is not served by Freshwire, or a "
                "cache on the way does not pass `Accept: text/event-stream`"
            )
        async for chunk in response.aiter_bytes():
            for event in parser.feed(chunk):
                if event.event == "gone":
                    raise ended(event.data)
                yield event


async def follow(
    http: httpx.AsyncClient, url: str, parser: Parser, *, say: Callable[[str], None] = lambda _: None
) -> AsyncGenerator[Event, None]:
    """The events of a resource for as long as it may be read, over as many connections as it takes.

    say: told about each reconnection.

    Raises WatchEnded and FollowError as `stream` does. The first attempt must succeed; later ones pause for
    the stream's own `retry` and, while they fail, twice as long each time, with jitter.
    """
    worked, failures = False, 0
    while True:
        try:
            async with contextlib.aclosing(stream(http, url, parser)) as events:
                async for event in events:
                    worked, failures = True, 0
                    yield event
            reason = "the stream ended"
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise FollowError(f"{url} is not an HTTP URL: {error}") from error
        except httpx.TransportError as error:
            if not worked:
                raise FollowError(f"{url} cannot be reached: {_text(error)}") from error
            reason = _text(error)
        except WatchEnded as error:
            if not worked or error.status not in TRY_AGAIN:
                raise
            reason = str(error)
        worked = True
        pause_s = pause(failures, parser.retry_ms)
        failures += 1
        say(f"{reason}; again in {pause_s:.1f} s")
        await asyncio.sleep(pause_s)


def pause(failures: int, retry_ms: int | None) -> float:
    """How long to wait before the next attempt, seconds: the stream's `retry`, doubled for each failure, half
    of it by chance, so that many clients do not come back at once.
    """
    longest = min(MAX_PAUSE_S, (1000 if retry_ms is None else retry_ms) / 1000 * 2.0 ** min(failures, 16))
    return longest * random.uniform(0.5, 1.0)


def ended(problem: str) -> WatchEnded:
    """The end that a problem (RFC 9457) describes."""
    try:
        answer: Any = json.loads(problem)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        return WatchEnded(None, problem[:200])
    status = answer.get("status")
    return WatchEnded(
        status if isinstance(status, int) else None, str(answer.get("detail") or answer.get("title") or "")
    )


async def _refusal(response: httpx.Response) -> str:
    """Why an answer is not 200, as far as it says so."""
    if response.is_redirect:
        return f"it redirects to {response.headers.get('location')}; follow that instead"
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_PROBLEM_BYTES:
            break
    if "json" in response.headers.get("content-type", ""):
        return ended(body.decode("utf-8", "replace")).reason
    return response.reason_phrase


def _text(error: httpx.TransportError) -> str:
    """What happened to a connection."""
    return str(error) or type(error).__name__
