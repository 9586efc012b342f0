"""Clients that write down what they ask and what they are told.

A `Reader` asks again and again; a `Follower` follows one variant for as long as it runs, over one connection after the
other: it comes back when it was cut off, with `Last-Event-ID` or without, and some change the transport as they go.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal

import httpx
from freshwire.client.follow import tls
from freshwire.client.sse import Parser
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, WebSocketException
from websockets.typing import Origin, Subprotocol

from .history import Asked, Ended, Got, Record, Unchanged, Variant

Transport = Literal["sse", "websocket", "poll"]
TRANSPORTS: tuple[Transport, ...] = ("sse", "websocket", "poll")
SUBPROTOCOL = Subprotocol("freshwire.v1")
SILENCE_S = 6.0
"""A connection that gives no sign of life for so long is dead: nodes under test send heartbeats every second."""
POLL_S = 3
MOST_BYTES = 256 * 1024
"""A client does not read more of one response."""
PAUSE_S = (0.02, 0.2)
"""Before a client comes back."""


class NonsenseError(Exception):
    """What came is no representation."""


class Client:
    """Somebody who asks for one variant."""

    def __init__(
        self, name: str, url: str, variant: Variant, history: list[Record], chance: random.Random
    ) -> None:
        self.name, self.url, self.variant = name, url, variant
        self.target = f"/r/{variant.resource}"
        self.fields = dict[str, str]()
        if variant.user is not None:
            self.fields["authorization"] = f"Bearer {variant.user}"
        if variant.language is not None:
            self.fields["accept-language"] = variant.language
        self.last = -1
        """The version that it has."""
        self.open = False
        self.etag = ""
        self._history, self._chance = history, chance

    def note(self, record: Record) -> None:
        """Write something down."""
        self._history.append(record)

    def got(self, body: bytes, id: str = "") -> None:  # noqa: A002 - its name on the wire
        """Write down a representation."""
        try:
            shown = json.loads(body)
            variant = Variant(shown["resource"], shown.get("user"), shown.get("language"))
            self.last = int(shown["version"])
        except (ValueError, TypeError, KeyError) as error:
            raise NonsenseError(repr(body[:100])) from error
        self.etag = ""
        self.note(Got(time.monotonic(), self.name, variant, self.last, id))

    @asynccontextmanager
    async def asking(self, transport: Literal["get", "sse", "websocket", "poll"]) -> AsyncIterator[None]:
        """Ask, and write down that and how it ended."""
        self.note(Asked(time.monotonic(), self.name, self.variant, transport))
        self.open, ended = True, Ended(0.0, self.name)
        try:
            yield
            if transport in ("get", "poll"):
                ended = Ended(0.0, self.name, 200)
        except httpx.HTTPStatusError as error:
            ended = Ended(0.0, self.name, error.response.status_code)
        except ConnectionClosed as error:
            code = error.rcvd.code if error.rcvd else None
            ended = Ended(0.0, self.name, code, error.rcvd.reason if error.rcvd else "cut")
        except (httpx.HTTPError, OSError, WebSocketException, TimeoutError, EOFError) as error:
            ended = Ended(0.0, self.name, None, repr(error))
        finally:
            # Who polls is there between the answers too.
            self.open = ended.status == 200
            self.note(Ended(time.monotonic(), self.name, ended.status, ended.reason))

    def http(self) -> httpx.AsyncClient:
        """A connection of its own."""
        return httpx.AsyncClient(
            base_url=self.url, headers=self.fields, timeout=SILENCE_S, verify=tls(), trust_env=False
        )

    async def whole(self, http: httpx.AsyncClient, fields: dict[str, str]) -> httpx.Response:
        """A response of a size that a client takes."""
        async with http.stream("GET", self.target, headers=fields) as response:
            body = b""
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > MOST_BYTES:
                    raise httpx.DecodingError("too much")
            return httpx.Response(
                response.status_code, headers=response.headers, content=body, request=response.request
            )

    async def get(self, http: httpx.AsyncClient, fields: dict[str, str]) -> httpx.Response:
        """One GET, of which a representation is written down."""
        response = await self.whole(http, fields)
        if response.status_code == 304:
            self.note(Unchanged(time.monotonic(), self.name))
            return response
        response.raise_for_status()
        self.got(response.content, response.headers.get("fresh-position", ""))
        self.etag = response.headers.get("etag", "")
        return response


class Reader(Client):
    """Asks again and again, for some of the time with the validator of what it has."""

    async def run(self) -> None:
        """Until cancelled."""
        async with self.http() as http:
            while True:
                conditional = self.etag and self._chance.random() < 0.5
                async with self.asking("get"):
                    await self.get(http, {"if-none-match": self.etag} if conditional else {})
                await asyncio.sleep(self._chance.uniform(0.01, 0.15))


@dataclass(frozen=True)
class Habits:
    """What a follower is like."""

    transports: tuple[Transport, ...] = TRANSPORTS
    """One of these for each connection."""
    resumes: bool = True
    restless: bool = False
    """Leaves now and then, and comes back."""
    reads_first: bool = False
    """Some connections begin with a plain GET, and follow on from its position."""


class Follower(Client):
    """Follows, whatever happens."""

    def __init__(
        self,
        name: str,
        url: str,
        variant: Variant,
        history: list[Record],
        chance: random.Random,
        habits: Habits,
    ) -> None:
        super().__init__(name, url, variant, history, chance)
        self.habits = habits
        self.id = ""
        self.restless = habits.restless
        """For now."""
        self.connections = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            transport = self._chance.choice(self.habits.transports)
            if self.habits.reads_first and self.restless and self._chance.random() < 0.3:
                async with self.asking("get"), self.http() as http:
                    answer = await self.get(http, {})
                    self.id = answer.headers.get("fresh-position", "")
            self.connections += 1
            stay_s = self._chance.uniform(0.1, 2.0) if self.restless else None
            with suppress(TimeoutError):
                async with asyncio.timeout(stay_s):
                    await self.follow(transport)
            await asyncio.sleep(self._chance.uniform(*PAUSE_S))

    async def follow(self, transport: Transport) -> None:
        """Over one connection, until it ends."""
        match transport:
            case "sse":
                async with self.asking("sse"):
                    await self._sse()
            case "websocket":
                async with self.asking("websocket"):
                    await self._websocket()
            case "poll":
                await self._poll()

    def _resume(self) -> dict[str, str]:
        return {"last-event-id": self.id} if self.habits.resumes and self.id else {}

    async def _sse(self) -> None:
        parser = Parser()
        fields = {"accept": "text/event-stream", **self._resume()}
        async with self.http() as http, http.stream("GET", self.target, headers=fields) as response:
            response.raise_for_status()
            async for piece in response.aiter_bytes():
                for event in parser.feed(piece):
                    if event.event == "gone":
                        raise EOFError(event.data)
                    self.id = event.id
                    self.got(event.data.encode(), event.id)

    async def _websocket(self) -> None:
        try:
            async with connect(
                self.url.replace("http", "ws", 1) + self.target,
                origin=Origin(self.url),
                subprotocols=[SUBPROTOCOL],
                additional_headers={**self.fields, **self._resume()},
                open_timeout=SILENCE_S,
                ping_interval=SILENCE_S / 3,
                ping_timeout=SILENCE_S,
                close_timeout=0.5,
                proxy=None,
            ) as socket:
                while True:
                    message = await socket.recv()
                    self.got(message.encode() if isinstance(message, str) else message)
                    self.id = ""  # a message does not say which position it was made at
        except InvalidHandshake as error:
            raise EOFError(repr(error)) from error

    async def _poll(self) -> None:
        async with self.http() as http:
            while True:
                worked = False
                etag = self.etag if self.habits.resumes else ""
                async with self.asking("poll"):
                    wait = {"prefer": f"wait={POLL_S}", "if-none-match": etag} if etag else {}
                    answer = await self.get(http, wait)
                    self.id = answer.headers.get("fresh-position", self.id)
                    worked = True
                if not worked:
                    return
                if not self.habits.resumes:
                    await asyncio.sleep(0.05)


def crowd(
    url: str, resources: int, followers: int, readers: int, history: list[Record], chance: random.Random
) -> tuple[list[Follower], list[Reader]]:
    """Clients of all sorts, spread over the resources."""
    sorts = [
        Habits(("sse",)),
        Habits(("websocket",)),
        Habits(("poll",)),
        Habits(restless=True),
        Habits(reads_first=True, restless=True),
        Habits(resumes=False, restless=True),
    ]

    def variant(number: int) -> Variant:
        resource = number % resources
        match resource % 5:
            case 1:
                return Variant(resource, language=chance.choice(["de", "en"]))
            case 2:
                return Variant(resource, user=chance.choice(["alice", "bob"]))
        return Variant(resource)

    following = [
        Follower(
            f"follower {n}", url, variant(n), history, random.Random(chance.random()), sorts[n % len(sorts)]
        )
        for n in range(followers)
    ]
    reading = [
        Reader(f"reader {n}", url, variant(n), history, random.Random(chance.random()))
        for n in range(readers)
    ]
    return following, reading
