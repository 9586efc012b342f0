"""The application under test and its database, both in the hands of the test.

Everything that a representation depends on (its own URI, its tags) has a version in the database, and a representation
says which versions it shows: so a checker sees at once what is lost, old, too new or somebody else's. Each resource
says how it is shared, and how its reads go wrong. The application runs on the node's loop; the test changes it from
its own thread.
"""

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Mode = Literal["ok", "500", "abort", "hang"]

TOKENS = {"alice": "authorization", "bob": "cookie"}
"""Users, and the field that says who they are."""


def credentials(user: str | None) -> list[tuple[str, str]]:
    """The fields that a user's requests carry."""
    if user is None:
        return []
    return [(TOKENS[user], {"authorization": f"Bearer {user}", "cookie": f"session={user}"}[TOKENS[user]])]


class Gate:
    """Holds up reads after they have looked at the database."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()
        self._lock = threading.Lock()
        self._open = False

    def open(self) -> None:
        """Let everybody through, from now on."""
        with self._lock:
            self._open = True
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._event.set)

    async def passed(self) -> None:
        """Wait until it is open."""
        with self._lock:
            if self._open:
                return
            self._loop = asyncio.get_running_loop()
        await self._event.wait()


@dataclass(eq=False)
class Resource:
    """What a GET on a path answers, and how."""

    path: str
    tags: tuple[str, ...] = ()
    """What it depends on beside its own URI."""
    sharing: Literal["shared", "public", "private"] = "shared"
    """What `Cache-Control` says: nothing, `public`, or that each user has a representation of their own."""
    varies: bool = False
    """Chosen by `Accept-Language`."""
    moves: bool = False
    """Depends on one of its tags only; on which one, its own version says."""
    toggles: bool = False
    """Shows of each version only whether it is even: what it was before, it is again after two changes."""
    max_age_s: int | None = None
    stale_s: int | None = None
    """How long it may be served after that, while it is read again and if that fails."""
    padding: int = 0
    """Bytes that the body is longer by."""
    noisy: bool = False
    """The padding does not compress."""
    streamed: bool = False
    """The body goes out in two pieces, its length is not declared."""
    own_etag: bool = False
    tagged_errors: bool = False
    """Errors carry the tags too, so that they may be kept."""
    empty_head: bool = False
    """A HEAD is answered without looking at the database."""
    mode: Mode = "ok"
    gate: Gate | None = None
    """Reads that begin now wait for it."""
    delay_s: float = 0.0
    """How long a read takes."""
    refused: dict[str | None, int] = field(default_factory=dict)
    """Who gets another status than 200."""

    @property
    def uri(self) -> str:
        """What its own version goes by in the database."""
        return f"uri {self.path}"


class Site:
    """An ASGI application: resources over a database of versions."""

    def __init__(self) -> None:
        self.resources: dict[str, Resource] = {}
        self.versions: Counter[str] = Counter()
        self.reads: Counter[str] = Counter()
        """Reads begun, by path."""
        self.rereads: Counter[str] = Counter()
        """Those of them that no client asked for."""
        self.at_once: Counter[Any] = Counter()
        """Re-reads under way of one variant."""
        self.most_at_once: Counter[Any] = Counter()
        self.stages: list[tuple[str, float]] = []
        """How far the newest write has come, and when."""
        self.begun = threading.Condition()
        """Notified when a read has looked at the database."""

    def add(self, resource: Resource) -> Resource:
        """Publish a resource."""
        self.resources[resource.path] = resource
        return resource

    def commit(self, *names: str) -> None:
        """Change the database."""
        for name in names:
            self.versions[name] += 1

    def depends(self, resource: Resource) -> list[str]:
        """What a resource depends on now."""
        tags = resource.tags
        if resource.moves and tags:
            tags = (tags[self.versions[resource.uri] % len(tags)],)
        return [resource.uri, *tags]

    def render(self, resource: Resource, user: str | None, language: str | None) -> bytes:
        """The representation as of now."""
        shown = {name: self.versions[name] for name in self.depends(resource)}
        if resource.toggles:
            shown = {name: version % 2 for name, version in shown.items()}
        body: dict[str, Any] = {"path": resource.path, "shows": shown}
        if resource.sharing == "private":
            body["user"] = user
        if resource.varies:
            body["language"] = language
        if resource.padding:
            noise = random.Random(sum(shown.values())).randbytes(resource.padding // 2).hex()
            body["padding"] = noise if resource.noisy else "x" * resource.padding
        return json.dumps(body).encode()

    def wait_for_reads(self, path: str, count: int, timeout_s: float = 10.0) -> None:
        """Wait until so many reads of a path have looked at the database."""
        with self.begun:
            assert self.begun.wait_for(lambda: self.reads[path] >= count, timeout_s), (
                f"{self.reads[path]} reads of {path}"
            )

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Serve."""
        if scope["type"] == "lifespan":
            while True:
                event = (await receive())["type"]
                await send({"type": f"{event}.complete"})
                if event == "lifespan.shutdown":
                    return
        assert scope["type"] == "http"
        resource = self.resources[scope["path"]]
        if scope["method"] in {"GET", "HEAD"}:
            await self._read(resource, scope, receive, send)
        else:
            await self._write(receive, send)

    async def _write(self, receive: Any, send: Any) -> None:
        """Do what the request's body says."""
        self.stages = [("asked", time.monotonic())]
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.stages.append(("body", time.monotonic()))
        todo = json.loads(body)
        self.commit(*todo["commit"])
        headers = [(name.encode(), value.encode()) for name, value in todo["fields"]]
        await send({"type": "http.response.start", "status": todo["status"], "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        self.stages.append(("answered", time.monotonic()))

    async def _read(self, resource: Resource, scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        user = next((user for user in TOKENS if dict(credentials(user)).items() <= headers.items()), None)
        language = headers.get("accept-language")
        again = scope["client"] is None
        variant = (resource.path, user, language if resource.varies else None)
        # One look at everything, as a transaction would.
        mode, gate = resource.mode, resource.gate
        status = self.status(resource, user)
        body, tags = self.render(resource, user, language), self.depends(resource)[1:]
        with self.begun:
            self.reads[resource.path] += 1
            if again:
                self.rereads[resource.path] += 1
                self.at_once[variant] += 1
            self.begun.notify_all()
        try:
            if again and self.at_once[variant] > 1:
                # One that was given up may not have heard of it: a busy machine brings both pieces of news at once.
                await asyncio.sleep(0.01)
            self.most_at_once[variant] = max(self.most_at_once[variant], self.at_once[variant])
            if resource.delay_s:
                await asyncio.sleep(resource.delay_s)
            if mode == "hang" or gate is not None:
                held = asyncio.Event().wait() if mode == "hang" or gate is None else gate.passed()
                if not await _unless_disconnected(held, receive):
                    return
            if scope["method"] == "HEAD" and resource.empty_head:
                body = b""
            await self._answer(resource, mode, status, body, tags, send)
        except OSError:
            pass  # the client has gone
        finally:
            if again:
                with self.begun:
                    self.at_once[variant] -= 1

    def status(self, resource: Resource, user: str | None) -> int:
        """What this user is answered."""
        if resource.sharing == "private" and user is None:
            return 401
        return resource.refused.get(user if resource.sharing == "private" else None, 200)

    async def _answer(
        self, resource: Resource, mode: Mode, status: int, body: bytes, tags: list[str], send: Any
    ) -> None:
        headers = [(b"content-type", b"application/json")]
        if mode == "500":
            await send({"type": "http.response.start", "status": 500, "headers": headers})
            await send({"type": "http.response.body", "body": b"{}"})
            return
        if status != 200:
            body = b'{"refused": true}'
        if tags and (status == 200 or resource.tagged_errors):
            headers.append((b"cache-groups", ", ".join(f'"{tag}"' for tag in tags).encode()))
        control = {"shared": [], "public": ["public"], "private": ["private"]}[resource.sharing]
        if resource.max_age_s is not None:
            control = [*control, f"max-age={resource.max_age_s}"]
        if resource.stale_s is not None:
            stale = (f"{name}={resource.stale_s}" for name in ("stale-while-revalidate", "stale-if-error"))
            control = [*control, *stale]
        if control:
            headers.append((b"cache-control", ", ".join(control).encode()))
        if resource.varies:
            headers.append((b"vary", b"accept-language"))
        if resource.own_etag:
            headers.append((b"etag", f'"{hash(body) & 0xFFFFFFFF:x}"'.encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        half = len(body) // 2 if resource.streamed or mode == "abort" else 0
        if half:
            await send({"type": "http.response.body", "body": body[:half], "more_body": True})
            await asyncio.sleep(0)
        if mode == "abort":
            raise BrokenError
        await send({"type": "http.response.body", "body": body[half:]})


class BrokenError(Exception):
    """The application fails in the middle of a body."""


async def _unless_disconnected(held: Awaitable[Any], receive: Any) -> bool:
    """Wait; false if the client goes first."""

    async def disconnected() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    passing = asyncio.ensure_future(held)
    leaving = asyncio.ensure_future(disconnected())
    try:
        await asyncio.wait({passing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return passing.done()
    finally:
        passing.cancel()
        leaving.cancel()
