"""One look at a resource from outside: how to ask for it, what has been seen so far, how to have it changed, and how
many requests the node itself has counted, where it can be asked.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx

from freshwire import admin
from freshwire.client import follow
from freshwire.doctor import advice, front
from freshwire.doctor.report import Finding, Outcome
from freshwire.exceptions import FreshwireError, OptionError

ANSWER_S = 60.0
"""How long any answer may take that is no wait, seconds."""
REFUSAL_S = 5.0
"""How long the answer to what is not HTTP may take, seconds."""


@dataclass
class Visit:
    """What the checks share."""

    url: str
    headers: Mapping[str, str]
    http: httpx.AsyncClient
    say: Callable[[str], None]
    """Told what is being done."""
    idle_s: float
    """How long idle streams are looked at, seconds."""
    waits: int
    """How many wait on one URL."""
    prompt_s: float = 5.0
    """What comes later than this has been held back, seconds."""
    admin_socket: Path | None = None
    change_url: str = ""
    """What to POST to, to have the resource changed."""
    change_command: str = ""
    """What to run for it."""
    responses: list[httpx.Headers] = field(default_factory=list)
    """The fields of each response so far."""
    refusal: str = ""
    """What was answered to what is not HTTP."""
    resource: httpx.Response | None = None
    """The first answer of the resource."""
    _uncounted: int = 0  # requests that counting makes

    @property
    def in_front(self) -> list[str]:
        """The proxies that are recognised by now."""
        return front.recognised(self.responses, self.refusal)

    @property
    def read(self) -> httpx.Response:
        """The first answer of the resource, once there is one."""
        assert self.resource is not None
        return self.resource

    async def get(self, url: str = "", **headers: str) -> httpx.Response:
        """GET the resource, or another URL of the same site. Raises httpx.TransportError."""
        target = urljoin(self.url, url) if url else self.url
        response = await self.http.get(target, headers={**self.headers, **_named(headers)})
        self.responses.append(response.headers)
        return response

    @asynccontextmanager
    async def stream(self, url: str = "", **headers: str) -> AsyncIterator[httpx.Response]:
        """The same, with the body still to come."""
        target = urljoin(self.url, url) if url else self.url
        silent = httpx.Timeout(None, connect=follow.CONNECT_TIMEOUT_S)
        asked = self.http.stream("GET", target, headers={**self.headers, **_named(headers)}, timeout=silent)
        async with asked as response:
            self.responses.append(response.headers)
            yield response

    def found(self, check: str, problem: str, seen: str, **figures: object) -> Outcome:
        """The outcome of a check that found one problem."""
        return Outcome(check, "something is wrong", True, [self.finding(problem, seen)], figures)

    def finding(self, problem: str, seen: str) -> Finding:
        """What was found, with what to change here."""
        return advice.finding(problem, seen, self.in_front)

    # What the node counts

    async def count(self, figure: str = "requests") -> int | None:
        """A figure of the node; None if it cannot be asked. Of its requests, without those that ask it."""
        if self.admin_socket is not None:
            transport = httpx.AsyncHTTPTransport(uds=str(self.admin_socket))
            url = "http://localhost/stats"
        else:
            # A URL that nobody has asked for, as a copy would not count.
            transport, url = None, urljoin(self.url, f"{self.prefix}stats?{secrets.token_hex(8)}")
        async with AsyncExitStack() as stack:
            http = self.http
            if transport is not None:
                http = await stack.enter_async_context(httpx.AsyncClient(transport=transport))
            try:
                response = await http.get(url, headers={} if transport else self.headers)
                figures = response.json()
                counted = int(figures[figure]) if response.status_code == 200 else None
            except (httpx.TransportError, ValueError, KeyError, TypeError):
                counted = None
        if counted is None:
            if self.admin_socket is not None:
                raise OptionError(f"--admin-socket {self.admin_socket}: no node's figures are there")
            return None
        self._uncounted += 1
        return counted - (self._uncounted if figure == "requests" else 0)

    @property
    def prefix(self) -> str:
        """The path prefix that belongs to the node."""
        target = urlsplit(front.monitor(self.read.headers)).path
        return target.partition("watch/")[0] or "/.fresh/"

    # Changes

    @property
    def can_change(self) -> bool:
        """Whether there is a way to have the resource changed."""
        return bool(self.change_url or self.change_command or self.admin_socket)

    async def change(self) -> None:
        """Have the resource changed. Raises OptionError if that does not work."""
        if self.change_url:
            url = urljoin(self.url, self.change_url)
            try:
                response = await self.http.post(url, headers=self.headers)
            except httpx.TransportError as error:
                raise OptionError(f"--change-url {url}: {error or type(error).__name__}") from error
            if response.status_code >= 400:
                raise OptionError(f"--change-url {url} was answered with {response.status_code}")
        elif self.change_command:
            process = await asyncio.create_subprocess_shell(
                self.change_command, stdout=asyncio.subprocess.DEVNULL
            )
            if await process.wait() != 0:
                raise OptionError(
                    f"--change {self.change_command!r} ended with exit code {process.returncode}"
                )
        else:
            tags = self.tags()
            if not tags:
                raise OptionError(
                    f"{self.url} has no Cache-Groups, so there is no tag to change: say --change-url"
                )
            where = admin.AdminSocket(self.admin_socket, "given as --admin-socket")
            try:
                await asyncio.to_thread(admin.post_changes, where, tags)
            except FreshwireError as error:
                raise OptionError(f"--admin-socket: {error}") from error

    def tags(self) -> list[str]:
        """The tags that the resource says it depends on (RFC 9875, a list of strings)."""
        try:
            tags = json.loads(f"[{self.read.headers.get('cache-groups', '')}]")
        except ValueError:
            return []
        return [tag for tag in tags if isinstance(tag, str)]

    # What is not HTTP

    async def provoke(self) -> None:
        """Say what is not HTTP, on a connection of its own, and keep what is answered: it shows who is there."""
        parts = urlsplit(self.url)
        tls: ssl.SSLContext | None = follow.tls() if parts.scheme == "https" else None
        try:
            async with asyncio.timeout(REFUSAL_S):
                reader, writer = await asyncio.open_connection(
                    parts.hostname, parts.port or (443 if tls else 80), ssl=tls
                )
                writer.write(f"GET / HTTP/1.1\r\nHost: {parts.netloc}\r\nno field\r\n\r\n".encode())
                try:
                    self.refusal = (await reader.read(4096)).decode("latin-1").replace("\r\n", "\n")
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            pass  # what shows nothing is not recognised by it


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def client(waits: int) -> httpx.AsyncClient:
    """An HTTP client for a visit: no redirects, no limit on connections, and streams may be silent."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(ANSWER_S, connect=follow.CONNECT_TIMEOUT_S),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=waits),
        verify=follow.tls(),
        headers={"User-Agent": "freshwire-doctor"},
    )
