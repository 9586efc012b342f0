"""A node, its application, and its clients in the hands of a test: what they do, and waiting until it has happened.

Everything that a client is told goes before the [`Judge`][].
"""

import json
import time
from collections.abc import Callable, Iterable

from freshwire.testing import LiveNode

from .clients import Client, Get, Transport, Watcher
from .connections import Connection, Ended, EventStream, Exchange, LongPoll, WebSocket, wait
from .judge import Judge, offset
from .site import Gate, Mode, Resource, Site

APP_TIMEOUT_S = 3.0
"""How long the node waits for the application."""


class World(Judge):
    """A node, its application, and everything that a test did and saw."""

    def __init__(self, live: LiveNode, site: Site) -> None:
        super().__init__(site)
        self.live = live
        self.gates: dict[Resource, list[Gate]] = {}
        self.watchers: list[Watcher] = []
        self.gets: list[Get] = []
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

    # What is waited for.

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
