"""What must hold: the announcements so far, and what each client has seen, checked against the database.

The promises are those of `docs`' design: fresh (1), no lost update (2), never backwards (3), one authority and nothing
private shared (5), bounded (6).
"""

import json
import time
from collections import defaultdict
from typing import Any

from .clients import Client, Get, Watcher
from .connections import Ended, Got, Opened
from .site import Resource, Site


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


class Judge:
    """What has happened so far, and what a client may be told after that."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.now = 0
        self.announced: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.modes: dict[Resource, History] = defaultdict(lambda: History("ok"))
        self.refusals: dict[tuple[Resource, str | None], History] = defaultdict(lambda: History(200))
        self.hung_until_s: dict[Resource, float] = {}
        self.bodies: dict[Client, tuple[str, bytes]] = {}
        """What a client has in its own cache: the validator and the body."""

    def floor(self) -> dict[str, int]:
        """The version of everything that has been announced."""
        return {name: max(v for _, v in said) for name, said in self.announced.items() if said}

    def current(self, client: Client) -> bytes:
        """What a client would be given now."""
        return self.site.render(client.resource, client.user, client.language)

    def status(self, client: Client) -> int:
        """With which status."""
        return self.site.status(client.resource, client.user)

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
