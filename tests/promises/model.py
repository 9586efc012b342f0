"""What must hold: the announcements so far, and what each client has seen, checked against the database.

The promises are those of `docs`' design: fresh (1), no lost update (2), never backwards (3), one authority and nothing
private shared (5), bounded (6).
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from freshwire.testing import LiveNode

from .connections import (
    Connection,
    Ended,
    EventStream,
    Exchange,
    Fields,
    Got,
    LongPoll,
    Opened,
    WebSocket,
    wait,
)
from .site import Gate, Mode, Resource, Site, credentials

Transport = Literal["sse", "websocket", "deflate", "poll"]
APP_TIMEOUT_S = 3.0
"""How long the node waits for the application."""
TRANSPORTS: tuple[Transport, ...] = ("sse", "websocket", "deflate", "poll")


def offset(position: str) -> int:
    """Where in its log a position is."""
    return int(position.rpartition("-")[2])


class History:
    """A value, and since when it had which."""

    def __init__(self, value: Any) -> None:
        self._values: list[tuple[int, Any]] = [(0, value)]

    def become(self, now: int, value: Any) -> None:
        """It has changed."""
        self._values.append((now, value))

    def since(self, then: int) -> set[Any]:
        """Every value that it has had from `then` on."""
        before = [value for at, value in self._values if at <= then][-1:]
        return {*before, *(value for at, value in self._values if at > then)}


@dataclass(eq=False)
class Client:
    """Who asks for what: the same for all their requests and watches."""

    resource: Resource
    user: str | None
    language: str | None

    @property
    def fields(self) -> Fields:
        """The fields of their requests."""
        language = [("accept-language", self.language)] if self.language else []
        return [*credentials(self.user), *language]

    def __str__(self) -> str:
        return f"{self.user} {self.language} {self.resource.path}"


@dataclass(eq=False)
class Get:
    """A plain request under way."""

    client: Client
    exchange: Exchange
    since: int
    floor: dict[str, int]
    known: bytes | None
    """The body that its `If-None-Match` stands for."""
    head_only: bool = False
    alone: bool = False
    """It asks for a part: what is answered is not compared with what others have, and has no position."""


@dataclass(eq=False)
class Watcher:
    """A client that follows a resource, over one connection after the other."""

    client: Client
    connection: Connection | None = None
    transport: Transport = "sse"
    since: int = 0
    """When the connection was opened."""
    floor: dict[str, int] = field(default_factory=dict)
    """What had been announced by then."""
    opened: bool = False
    reading: bool = True
    body: bytes | None = field(default=None, repr=False)
    """The newest representation that it has."""
    position: str = ""
    """What to resume from; "" if that is not known."""
    etag: str = ""
    told: bool = False
    """It has them from a watch: a position that a plain request gave is one that nobody keeps."""
    streamed: bool = False
    """What it has was streamed by a plain request: no watch knows of it, so none goes on from it."""
    got: int = 0
    """Representations over this connection."""
    ended: Ended | None = None
    settled: int = -1
    """When it was last known to have the current representation, and that nobody would send it anything."""
    silent: bool = False
    """It resumed with what is current: until something happens it must hear nothing."""


class World:
    """A node, its application, and everything that a test did and saw."""

    def __init__(self, live: LiveNode, site: Site) -> None:
        self.live = live
        self.site = site
        self.now = 0
        self.announced: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.modes: dict[Resource, History] = defaultdict(lambda: History("ok"))
        self.refusals: dict[tuple[Resource, str | None], History] = defaultdict(lambda: History(200))
        self.hung_until_s: dict[Resource, float] = {}
        self.gates: dict[Resource, list[Gate]] = {}
        self.watchers: list[Watcher] = []
        self.gets: list[Get] = []
        self.bodies: dict[Client, tuple[str, bytes]] = {}
        """What a client has in its own cache: the validator and the body."""
        self.clients: list[Client] = []
        self.resources: list[Resource] = []

    def add(self, resource: Resource) -> Resource:
        """Publish a resource."""
        self.resources.append(self.site.add(resource))
        return resource

    # What the application does.

    def commit(self, *names: str) -> None:
        """Write without saying so."""
        self.now += 1
        self.site.commit(*names)

    def announce(self, *names: str) -> None:
        """Say that what these names stand for has changed."""
        self.now += 1
        tags = [name for name in names if not name.startswith("uri ")]
        if tags:
            shown = {tag: self.site.versions[tag] for tag in tags}
            position = offset(self.live.changed(*tags))
            for tag, version in shown.items():
                self.announced[tag].append((position, version))
        for name in names:
            if name.startswith("uri "):
                self.write(self.site.resources[name.removeprefix("uri ")])

    def change(self, *names: str) -> None:
        """Write, and say so."""
        self.commit(*names)
        self.announce(*names)

    def write(
        self,
        target: Resource,
        *,
        commit: Iterable[str] = (),
        method: str = "POST",
        status: int = 200,
        location: Resource | None = None,
        groups: Iterable[str] = (),
    ) -> None:
        """An unsafe request, and its answer."""
        self.now += 1
        headers = []
        if location is not None:
            headers.append(("location", location.path))
        if groups:
            headers.append(("cache-group-invalidation", ", ".join(f'"{group}"' for group in groups)))
        todo = {"commit": list(commit), "status": status, "fields": headers}
        body = json.dumps(todo).encode()
        since_s = time.monotonic()
        exchange = Exchange(self.live.url, target.path, [("content-type", "application/json")], method, body)
        (ended,) = self.wait_for(exchange)
        stages = [(stage, round(at_s - since_s, 3)) for stage, at_s in self.site.stages]
        assert ended.status == status, f"{ended} after {time.monotonic() - since_s:.3f} s: {stages}"
        if status < 400:
            position = offset(exchange.field("fresh-position"))
            for name in [target.uri, *([location.uri] if location else []), *groups]:
                self.announced[name].append((position, self.site.versions[name]))

    def refuse(self, resource: Resource, user: str | None, status: int) -> None:
        """From now on a user gets this status; 200 takes it back. Everybody, if the resource is shared."""
        self.now += 1
        resource.refused = {**resource.refused, user: status}
        self.refusals[resource, user].become(self.now, status)
        self.announce(resource.uri)

    def behave(self, resource: Resource, mode: Mode) -> None:
        """From now on reads of a resource go like this."""
        self.now += 1
        if "hang" in (mode, resource.mode):
            self.hung_until_s[resource] = time.monotonic() + 2 * APP_TIMEOUT_S + 1.0
        resource.mode = mode
        self._reads_go(resource)

    def hold(self, resource: Resource) -> None:
        """Reads that begin from now on wait at a gate."""
        self.now += 1
        resource.gate = Gate()
        self.gates.setdefault(resource, []).append(resource.gate)
        self._reads_go(resource)

    def pass_by(self, resource: Resource) -> None:
        """Reads that begin from now on do not wait; those at a gate go on waiting."""
        self.now += 1
        resource.gate = None
        self._reads_go(resource)

    def _reads_go(self, resource: Resource) -> None:
        # Who asks while others are held may wait for one of them.
        held = "held, then " if self.gates.get(resource) else ""
        self.modes[resource].become(self.now, held + resource.mode)

    def release(self, resource: Resource) -> None:
        """Open all gates."""
        for gate in self.gates.pop(resource, []):
            gate.open()
        self.pass_by(resource)

    # What clients do.

    def floor(self) -> dict[str, int]:
        """The version of everything that has been announced."""
        return {name: max(v for _, v in said) for name, said in self.announced.items() if said}

    def get(
        self, client: Client, *fields: tuple[str, str], method: str = "GET", conditional: bool = False
    ) -> Get:
        """Begin a plain request."""
        self.now += 1
        etag, known = self.bodies.get(client, ("", None)) if conditional else ("", None)
        condition = [("if-none-match", etag)] if etag else []
        exchange = Exchange(
            self.live.url, client.resource.path, [*client.fields, *fields, *condition], method
        )
        get = Get(client, exchange, self.now, self.floor(), known, method == "HEAD")
        get.alone = any(name == "range" for name, _ in fields)
        self.gets.append(get)
        return get

    def watch(
        self,
        client: Client,
        transport: Transport = "sse",
        watcher: Watcher | None = None,
        *,
        resume: bool = False,
    ) -> Watcher:
        """Open a watch; `resume` from what the watcher has."""
        self.now += 1
        if watcher is None:
            watcher = Watcher(client)
            self.watchers.append(watcher)
        position = watcher.position if resume else ""
        etag = watcher.etag if resume else ""
        watcher.transport, watcher.since, watcher.floor = transport, self.now, self.floor()
        watcher.opened, watcher.reading, watcher.ended, watcher.got = False, True, None, 0
        watcher.silent = (
            watcher.settled == self.now - 1
            and bool(etag if transport == "poll" else position and watcher.told)
            and watcher.body == self.current(client)
            and not client.resource.toggles  # something else may have been there in between
            and self.status(client) == 200
            and client.resource.mode == "ok"
            and client.resource.gate is None
        )
        watcher.settled = -1
        url, path = self.live.url, client.resource.path
        match transport:
            case "sse":
                watcher.connection = EventStream(url, path, client.fields, position)
            case "websocket" | "deflate":
                watcher.connection = WebSocket(url, path, client.fields, position, transport == "deflate")
            case "poll":
                watcher.connection = LongPoll(url, path, client.fields, etag)
        if watcher.silent and transport != "poll":
            self.until(lambda: watcher.opened, f"{watcher} was not opened")
        return watcher

    def follow(self, get: Get, transport: Transport = "sse") -> Watcher:
        """Watch on from what a plain request gave, if it gave something."""
        self.now += 1
        watcher = Watcher(get.client)
        answer = get.exchange
        if answer.head is not None and answer.head.status_code == 200 and answer.field("fresh-position"):
            watcher.body, watcher.position = answer.body, answer.field("fresh-position")
        self.watchers.append(watcher)
        return self.watch(get.client, transport, watcher, resume=True)

    def get_and_follow(self, client: Client, transport: Transport) -> Watcher:
        """Read, and watch on from there; whoever does not get an answer at once watches without."""
        get = self.get(client)
        if client.resource.gate is None and client.resource.mode == "ok":
            self.until(lambda: get not in self.gets, "no answer")
        return self.follow(get, transport)

    def disconnect(self, watcher: Watcher) -> None:
        """End a watcher's connection."""
        self.now += 1
        watcher.settled += 1 if watcher.settled == self.now - 1 else 0
        if watcher.connection is not None:
            watcher.connection.close()
            watcher.connection = None

    # What is checked.

    def current(self, client: Client) -> bytes:
        """What a client would be given now."""
        return self.site.render(client.resource, client.user, client.language)

    def status(self, client: Client) -> int:
        """With which status."""
        return self.site.status(client.resource, client.user)

    def wait_for(self, exchange: Exchange) -> list[Ended]:
        """The end of an exchange, while everything else goes on."""
        ended: list[Ended] = []

        def done() -> bool:
            ended.extend(event for event in exchange.pump() if isinstance(event, Ended))
            self.pump()
            return bool(ended)

        assert wait(lambda: [exchange, *self.connections()], done), "no answer"
        return ended

    def until(self, done: Callable[[], bool], otherwise: str) -> None:
        """Go on until something is so."""

        def pumped() -> bool:
            self.pump()
            return done()

        assert wait(self.connections, pumped), otherwise

    def connections(self) -> list[Connection]:
        """Those that are read."""
        watching = [w.connection for w in self.watchers if w.connection is not None and w.reading]
        return [*watching, *(get.exchange for get in self.gets)]

    def pump(self) -> None:
        """Look at everything that has come, and check it."""
        for get in list(self.gets):
            for event in get.exchange.pump():
                assert isinstance(event, Ended)
                self.gets.remove(get)
                self._answered(get, event)
        for watcher in self.watchers:
            if watcher.connection is not None and watcher.reading:
                for event in watcher.connection.pump():
                    self._heard(watcher, event)

    def _answered(self, get: Get, ended: Ended) -> None:
        client, exchange = get.client, get.exchange
        what = f"{'HEAD' if get.head_only else 'GET'} of {client}: {ended}"
        self._check_status(client, ended, get.since, what)
        if ended.status == 304:
            assert get.known is not None, what
            self._check(client, get.known, exchange.field("fresh-position"), get.floor, what)
        elif ended.status in {200, 206} and not get.head_only:
            # The part that the model asks for is the whole.
            assert ended.status == 200 or get.alone, what
            position = exchange.field("fresh-position")
            assert position or client.resource.streamed or get.alone, what
            self._check(client, exchange.body, position, get.floor, what)
            if etag := exchange.field("etag"):
                self.bodies[client] = (etag, exchange.body)

    def _check_status(self, client: Client, ended: Ended, since: int, what: str) -> None:
        """A refusal is one that the application gave meanwhile."""
        status = ended.status
        modes = self.modes[client.resource].since(since)
        if status in {200, 206, 304}:
            return
        if status == 504 and time.monotonic() < self.hung_until_s.get(client.resource, 0.0):
            return  # it waited for a read of somebody else's that began when reads hung
        if status in {500, 504} or (status is None and any("abort" in mode for mode in modes)):
            assert modes - {"ok"}, f"{what}, though nothing went wrong"
            return
        owner = client.user if client.resource.sharing == "private" else None
        if client.resource.sharing == "private" and client.user is None:
            assert status == 401, what
            return
        assert status in self.refusals[client.resource, owner].since(since), what

    def _check(
        self, client: Client, body: bytes, position: str, floor: dict[str, int], what: str
    ) -> dict[str, int]:
        """What any representation must be: this client's, not from the future, and fresh."""
        got = json.loads(body)
        resource = client.resource
        assert got["path"] == resource.path, f"{what}: another resource's: {got}"
        if resource.sharing == "private":
            assert got["user"] == client.user, f"{what}: another user's: {got}"
        if resource.varies:
            assert got["language"] == client.language, f"{what}: another variant: {got}"
        shows: dict[str, int] = got["shows"]
        if resource.toggles:
            return shows
        at = offset(position) if position else None
        for name, version in shows.items():
            assert version <= self.site.versions[name], f"{what}: a phantom: {got}"
            assert version >= floor.get(name, 0), (
                f"{what}: stale, {floor[name]} of {name} was announced before: {got}"
            )
            for said_at, said in self.announced[name]:
                assert at is None or said_at > at or version >= said, (
                    f"{what}: not fresh: made at {position}, and {name} was announced as {said} at {said_at}: {got}"
                )
        return shows

    def _heard(self, watcher: Watcher, event: Any) -> None:
        client = watcher.client
        what = f"{watcher.transport} watch of {client}: {str(event)[:300]}"
        match event:
            case Opened():
                watcher.opened = True
            case Got(body=body, position=position, etag=etag, plain=plain):
                silent = watcher.silent and watcher.since == self.now
                assert not silent, f"{what}: sent again, though nothing changed"
                shows = self._check(client, body, position, watcher.floor, what)
                if watcher.body is not None and not (client.resource.toggles or watcher.streamed):
                    before = json.loads(watcher.body)["shows"]
                    for name in before.keys() & shows.keys():
                        assert shows[name] >= before[name], f"{what}: backwards from {before}"
                    if watcher.got and watcher.transport != "poll":
                        assert body != watcher.body, f"{what}: the same again"
                watcher.body, watcher.position, watcher.etag = body, position, etag
                watcher.streamed = plain and not position
                watcher.told = not plain
                watcher.got += 1
                watcher.settled = -1
            case Ended(status=status):
                self._check_status(client, event, watcher.since, what)
                assert status is not None or not watcher.opened or watcher.transport == "poll", (
                    f"{what}: no reason"
                )
                watcher.ended, watcher.connection = event, None

    def is_settled(self, watcher: Watcher) -> bool:
        """Whether a watcher has what is current, or was told that it may not."""
        if watcher.connection is None:
            return watcher.ended is None or self.status(watcher.client) != 200
        open_ = watcher.opened or watcher.transport == "poll"
        return open_ and self.status(watcher.client) == 200 and watcher.body == self.current(watcher.client)

    def settle(self) -> None:
        """Let everything work again, announce everything, and see everybody get what is current."""
        self.now += 1
        for resource in self.resources:
            self.release(resource)
            self.behave(resource, "ok")
        names = {name for resource in self.resources for name in [resource.uri, *resource.tags]}
        floor = self.floor()
        lifetimes = {r.uri for r in self.resources if r.max_age_s == 1}
        behind = sorted(n for n in names if self.site.versions[n] > floor.get(n, 0) and n not in lifetimes)
        if behind:
            self.announce(*behind)
        for watcher in self.watchers:
            watcher.reading = True
        self.quiet()

    def quiet(self) -> None:
        """Wait until every watcher has what is current."""

        def done() -> bool:
            self.pump()
            for watcher in self.watchers:
                # The watch could not be opened, or a poll was not answered: clients try again.
                if watcher.ended is not None and (
                    watcher.ended.status in {None, 500, 504} or self.status(watcher.client) == 200
                ):
                    self.watch(watcher.client, watcher.transport, watcher, resume=True)
            return not self.gets and all(map(self.is_settled, self.watchers))

        if not wait(self.connections, done):
            late = [w for w in self.watchers if not self.is_settled(w)]
            raise AssertionError(
                "\n".join(
                    f"lost: {w}, has {(w.body or b'')[:200]!r}, current {self.current(w.client)[:200]!r}"
                    for w in late
                )
            )
        for watcher in self.watchers:
            watcher.settled = self.now

    def close(self) -> None:
        """Everybody leaves."""
        for watcher in self.watchers:
            self.disconnect(watcher)
        for get in self.gets:
            get.exchange.close()
        for resource in self.resources:
            self.release(resource)
