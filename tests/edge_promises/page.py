"""A page with several resources and one wait for all of them: `POST /.fresh/watch` unites their monitor URLs."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.promises.clients import Client
from tests.promises.judge import offset

from .cache import Fields, Request, Response, Upstream
from .follower import Doing, monitor_of

UNITE = "/.fresh/watch"
MOST_GONE = 100
"""So often in a row a page is sent away before it takes another way than one wait for all."""


@dataclass(eq=False)
class Part:
    """One of its resources, as the page has it."""

    client: Client
    body: bytes | None = None
    position: str = ""
    monitor: str = ""
    pinned: str = ""
    """What it is to read; its own URL if that is empty, too."""
    notice: str = ""
    wanted: bool = True
    """It is to be read."""


Told = Callable[["Page", Part | None, Request, Response], None]


@dataclass(eq=False)
class Page:
    """Reads what is wanted, one after the other, then waits for all of it."""

    edge: Upstream = field(repr=False)
    told: Told = field(repr=False)
    parts: list[Part] = field(default_factory=list)
    doing: Doing = Doing.READING
    monitor: str = ""
    gone: int = 0
    """How often in a row it was sent away."""

    def come(self) -> None:
        """Do what is to be done next."""
        wanted = next((part for part in self.parts if part.wanted), None)
        if wanted is not None:
            self.doing = Doing.READING
            target = wanted.pinned or wanted.client.resource.path
            self._ask(Request(target, tuple(wanted.client.fields)), wanted, self._has_read)
        elif self.monitor:
            self.doing = Doing.WAITING
            self._ask(Request(self.monitor), None, self._has_waited)
        elif monitors := [part.monitor for part in self.parts if part.monitor]:
            self.doing = Doing.READING
            fields: Fields = (("content-type", "application/json"),)
            body = json.dumps({"monitors": monitors}).encode()
            self._ask(Request(UNITE, fields, "POST", body), None, self._is_united)
        else:
            self.doing = Doing.UNWATCHABLE

    def _ask(
        self, request: Request, part: Part | None, then: Callable[[Part | None, Response], None]
    ) -> None:
        def answered(response: Response | None) -> None:
            if request.method == "POST" and response is not None and response.status == 503:
                self.doing = Doing.UNWATCHABLE  # no room for one set more: a client would wait for each
                return
            if response is None or response.status >= 500:
                self.doing = Doing.RESTING
                return
            self.told(self, part, request, response)
            then(part, response)

        self.edge.ask(request, answered)

    def _has_read(self, part: Part | None, response: Response) -> None:
        assert part is not None
        part.wanted = False
        part.pinned = part.notice = ""
        if response.status == 200:
            position = response.get("fresh-position")
            if not part.position or offset(position) > offset(part.position):
                part.body, part.position = response.body, position
            part.monitor = monitor_of(response)
        else:
            part.body, part.monitor = None, ""
        self.come()

    def _is_united(self, _: Part | None, response: Response) -> None:
        if response.status == 410:
            self._lost(response)
            return
        assert response.status == 200, response
        self.monitor = json.loads(response.body)["monitor"]
        self.come()

    def _has_waited(self, _: Part | None, response: Response) -> None:
        if response.status == 410:
            self._lost(response)
            return
        self.gone = 0
        said = json.loads(response.body)
        self.monitor = said["next"]
        changed = {change["url"]: change["pinned"] for change in said["changes"]}
        for part in self.parts:
            if (pinned := changed.get(part.client.resource.path)) is not None:
                part.wanted, part.pinned, part.notice = True, pinned, said["position"]
        self.come()

    def _lost(self, response: Response) -> None:
        """Read everything from where the node says it is now, if it says that, after a pause."""
        self.gone += 1
        self.monitor = ""
        if self.gone > MOST_GONE:
            # There is no room for all its sets at once: each that is made takes another's.
            self.doing = Doing.UNWATCHABLE
            return
        now = json.loads(response.body).get("position", "")
        for part in self.parts:
            part.wanted, part.notice = True, now
            part.pinned = f"{part.client.resource.path}?fresh={now}" if now else ""
        self.doing = Doing.RESTING
