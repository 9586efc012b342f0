"""A client that follows a resource by its monitor URLs (docs/wire.md), through whatever answers: no sockets, no clock.

It reads, waits on the URL in `Link`, reads again what the notice pins, and waits on the next. It takes nothing that is
not newer than what it has. The test looks at what it holds and at what it was told.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from tests.promises.clients import Client
from tests.promises.judge import offset

from .cache import Fields, Request, Response, Upstream

MONITOR = re.compile(r'<([^>]*)>\s*;\s*rel="?monitor"?')
NOBODY_WATCHES = {401, 403, 404, 410}


class Doing(Enum):
    READING = "reads"
    WAITING = "waits"
    RESTING = "pauses after an error"
    ENDED = "was refused"
    UNWATCHABLE = "has a representation without a monitor URL"
    AWAY = "is away"


Told = Callable[["Follower", Request, Response], None]


def monitor_of(response: Response) -> str:
    """The URL to wait on; empty if there is none."""
    found = MONITOR.search(response.get("link"))
    return found[1] if found else ""


@dataclass(eq=False)
class Follower:
    client: Client
    edge: Upstream = field(repr=False)
    told: Told = field(repr=False)
    """Is told of every answer, before the follower makes anything of it."""
    cookies_on_waits: bool = False
    """As a browser does on its own origin."""
    takes_bodies: bool = True
    """It uses the representation in a notice, if there is one."""
    doing: Doing = Doing.AWAY
    body: bytes | None = field(default=None, repr=False)
    position: str = ""
    """Of what it has."""
    etag: str = ""
    monitor: str = ""
    pinned: str = ""
    """What it reads because it was told to; the answer must be at `notice` or later."""
    notice: str = ""
    status: int | None = None
    """With which it was refused."""
    notices: int = 0
    gone: int = 0
    """Times that it was told that its position means nothing any more."""
    _gone_again: bool = False
    _turn: int = 0

    def __str__(self) -> str:
        return f"follower of {self.client}, which {self.doing.value}"

    # What it does.

    def come(self) -> None:
        """Read, or go on from where it was."""
        if self.pinned:
            self._read(self.pinned)
        elif self.monitor:
            self._wait()
        else:
            self._read(self.client.resource.path)

    def leave(self) -> None:
        """Go away with what it has; what is on its way does not reach it."""
        self._turn += 1
        self.doing = Doing.AWAY

    def forget(self) -> None:
        """Begin anew, as a page that is loaded again."""
        self.leave()
        self.body, self.position, self.etag = None, "", ""
        self.monitor = self.pinned = self.notice = ""
        self.status = None

    def _ask(self, target: str, fields: Fields, then: Callable[[Response], None]) -> None:
        self._turn += 1
        turn, request = self._turn, Request(target, fields)

        def answered(response: Response | None) -> None:
            if turn != self._turn:
                return
            if response is None:
                self.doing = Doing.RESTING
                return
            self.told(self, request, response)
            then(response)

        self.edge.ask(request, answered)

    def _read(self, target: str) -> None:
        self.doing = Doing.READING
        self._ask(target, tuple(self.client.fields), self._has_read)

    def _wait(self) -> None:
        self.doing = Doing.WAITING
        self._ask(self.monitor, tuple(self.client.fields) if self.cookies_on_waits else (), self._has_waited)

    # What it makes of answers.

    def _has_read(self, response: Response) -> None:
        if response.status == 410 and self.pinned and response.get("fresh-position") == "":
            # The position, or the resource? An ordinary read tells.
            self.gone += 1
            self.pinned = self.notice = self.monitor = ""
            self._read(self.client.resource.path)
            return
        if response.status in NOBODY_WATCHES:
            self.doing, self.status = Doing.ENDED, response.status
            self.pinned = self.notice = self.monitor = ""
            return
        if response.status != 200:
            self.doing = Doing.RESTING
            return
        self._take(response.body, response.get("fresh-position"), response.get("etag"))
        self.pinned = self.notice = ""
        self.monitor = monitor_of(response)
        if self.monitor:
            self._wait()
        else:
            self.doing = Doing.UNWATCHABLE

    def _take(self, body: bytes, position: str, etag: str) -> None:
        if not self.position or (position and offset(position) > offset(self.position)):
            self.body, self.position, self.etag = body, position, etag

    def _has_waited(self, response: Response) -> None:
        if response.status == 410:
            self._lost(json.loads(response.body).get("position", ""))
            return
        self._gone_again = False
        if response.status != 200:
            self.doing = Doing.RESTING
            return
        said = json.loads(response.body)
        self.monitor = said["next"]
        for change in said["changes"]:
            if change["url"] == self.client.resource.path:
                self.notices += 1
                self._follow(said["position"], change)
                return
        self._wait()

    def _lost(self, now: str) -> None:
        """Read from where the node says it is now: what a cache has may lead to the same set again."""
        self.gone += 1
        self.monitor = ""
        self.pinned, self.notice = (f"{self.client.resource.path}?fresh={now}", now) if now else ("", "")
        if self._gone_again or not now:  # a cache may keep what it was told for a second
            self.doing = Doing.RESTING
        else:
            self._gone_again = True
            self._read(self.pinned)

    def _follow(self, position: str, change: dict[str, Any]) -> None:
        if self.takes_bodies and "body" in change:
            self._take(change["body"].encode(), position, change.get("etag", ""))
            self._wait()
            return
        self.pinned, self.notice = change["pinned"], position
        self._read(self.pinned)
