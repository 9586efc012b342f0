"""What must hold of what comes through caches: `tests.promises.model`, with caches between the node and the clients.

Every answer says at which position it was made, so it can be judged however old it is. Beside that: what is read after
a notice is at least as new as the notice; a wait says "nothing" only if there was nothing; every answer to a wait may
be kept, and nothing private is; a client that follows ends with what is current.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
from freshwire.testing import LiveNode

from tests.promises.clients import Client
from tests.promises.connections import Connection, Ended
from tests.promises.judge import offset
from tests.promises.model import World
from tests.promises.site import Site

from .cache import TEMPERS, Cache, Request, Response, directives, seconds
from .follower import Doing, Follower, monitor_of
from .origin import SINCE, Line
from .page import Page, Part

WATCH = re.compile(r"^/\.fresh/watch/([A-Za-z0-9_-]+)/([0-9a-f]+)-(\d+)\?c=(\d+)$")
PAUSE_S = 2.0
"""Of a client after an error, in the time of its caches: longer than they keep an error of a wait."""

LIFETIME_S = 1000.0
"""Longer than any cache keeps a refusal that the application gave a lifetime: who was refused comes back after that."""


@dataclass(frozen=True)
class Expected:
    """What was known when a wait was asked for."""

    set: str
    announced: dict[str, int]
    """The newest position of everything."""


class EdgeWorld(World):
    """A node, caches before it, and clients behind them."""

    def __init__(self, live: LiveNode, site: Site) -> None:
        super().__init__(live, site)
        self.lines: list[Line] = []
        self.caches: list[Cache] = []
        """All of them."""
        self.edges: list[Cache] = []
        """Those that clients ask."""
        self.followers: list[Follower] = []
        self.pages: list[Page] = []
        self.shown_by_set: dict[str, set[str]] = {}
        """What the representations that led to a set depend on."""
        self.said: dict[str, dict[str, Any]] = {}
        """What the node said last about each wait."""

    def build(self, edges: list[str], shield: str | None) -> None:
        """Put caches of these tempers before the node; before them, or all alone with it, a shield."""
        above: Cache | None = None
        if shield is not None:
            above = self._cache(self._line(), shield, "shield")
        for at, temper in enumerate(edges):
            edge = self._cache(above or self._line(), temper, f"edge {at}")
            self.edges.append(edge)

    def _line(self) -> Line:
        line = Line(self.live.url, lambda: self.now, self._asking, self._node_answered)
        self.lines.append(line)
        return line

    def _cache(self, upstream: Any, temper: str, name: str) -> Cache:
        cache = Cache(upstream, TEMPERS[temper], f"{temper} {name}")
        self.caches.append(cache)
        return cache

    # What clients do.

    def read(self, client: Client, edge: Cache, *, conditional: bool = False, target: str = "") -> None:
        """An ordinary request through a cache."""
        self.now += 1
        etag, known = self.bodies.get(client, ("", None)) if conditional else ("", None)
        fields = (*client.fields, *([("if-none-match", etag)] if etag else []))
        request = Request(target or client.resource.path, fields)

        def answered(response: Response | None) -> None:
            if response is not None:
                if response.status == 304:
                    assert known is not None
                    response = Response(200, response.fields, known)
                self._check_read(client, response, f"{edge.name}: GET {request.target} of {client}")

        edge.ask(request, answered)

    def come(self, client: Client, edge: Cache, *, cookies: bool = False, bodies: bool = True) -> Follower:
        """Somebody comes who follows a resource by its monitor URLs."""
        self.now += 1
        follower = Follower(client, edge, self._told, cookies, bodies)
        self.followers.append(follower)
        follower.come()
        return follower

    def open_page(self, clients: list[Client], edge: Cache) -> Page:
        """Somebody opens a page with all of these."""
        self.now += 1
        page = Page(edge, self._page_told, [Part(client) for client in clients])
        self.pages.append(page)
        page.come()
        return page

    # What happens to caches.

    def pass_time(self, seconds_: float) -> None:
        """For all caches."""
        for cache in self.caches:
            cache.step(seconds_)

    def purge(self, name: str) -> None:
        """As an operator has it done after a change."""
        self.now += 1
        for cache in reversed(self.caches):
            if name.startswith("uri "):
                cache.purge(target=name.removeprefix("uri "))
            else:
                cache.purge(tags=[name])

    def revoke_sets(self, tag: str) -> None:
        """Nobody may wait any more on what depends on a tag, until they read it again."""
        self.now += 1
        with httpx.Client(
            transport=httpx.HTTPTransport(verify=False, uds=str(self.live.admin_socket))
        ) as admin:
            answer = admin.post("http://localhost/sets/revoke", json={"tags": [tag]})
        assert answer.status_code == 200, answer.text

    # What is checked.

    def _asking(self, request: Request) -> Expected | None:
        found = WATCH.match(request.target)
        if not found:
            return None
        newest = {name: max(at for at, _ in said) for name, said in self.announced.items() if said}
        return Expected(found[1], newest)

    def _node_answered(self, request: Request, response: Response, expected: object) -> None:
        """Of every answer of the node's, before a cache sees it."""
        if isinstance(expected, Expected):
            self._check_wait(request, response, expected)
        elif response.status == 200 and (monitor := monitor_of(response)):
            found = WATCH.match(monitor)
            assert found, f"{request.target} is to be watched at {monitor}"
            shows = json.loads(response.body)["shows"]
            self.shown_by_set.setdefault(found[1], set()).update(shows)
            newest_told = max((offset(response.get("fresh-position")), 0))
            assert int(found[3]) <= newest_told, f"{request.target}: watched from the future: {monitor}"

    def _check_wait(self, request: Request, response: Response, expected: Expected) -> None:
        what = f"{request.target}: {response.status} {dict(response.fields)} {response.body!r}"
        says = directives(response.get("cache-control"))
        assert response.status not in {204, 206, 304}, what
        assert (seconds(says.get("max-age")) or 0) >= 1, f"cannot be kept: {what}"
        assert not {"private", "no-store", "no-cache"} & says.keys(), f"cannot be kept: {what}"
        assert not response.has("vary"), what
        assert not response.has("set-cookie"), what
        assert response.get("access-control-allow-origin") == "*", what
        asked = WATCH.match(request.target)
        assert asked
        if response.status != 200:
            assert response.status in {410, 503}, what
            return
        said = json.loads(response.body)
        next_ = WATCH.match(said["next"])
        assert next_, what
        assert next_[1] == asked[1], what
        assert said["next"] != request.target, f"a loop: {what}"
        after = int(asked[3])
        assert int(next_[3]) == offset(said["position"]) >= after, what
        if not said["changes"]:
            assert (next_[2], next_[3]) == (asked[2], asked[3]), what
            assert int(next_[4]) > int(asked[4]), what
            missed = {
                name: at
                for name, at in expected.announced.items()
                if at > after and name in self.shown_by_set.get(asked[1], set())
            }
            assert not missed, f"nothing, it says, but {missed} had changed: {what}"
        else:
            assert int(next_[3]) > after, what
            for change in said["changes"]:
                assert f"fresh={said['position']}" in change.get("pinned", f"fresh={said['position']}"), what

    def _told(self, follower: Follower, request: Request, response: Response) -> None:
        """Of every answer to a follower."""
        if follower.doing is Doing.WAITING:
            assert response.status in {200, 410, 503}, f"{follower} at {request.target}: {response}"
            return
        what = f"{follower}, GET {request.target}"
        if follower.pinned and response.status == 410 and not response.has("fresh-position"):
            return
        shows = self._check_read(follower.client, response, what, at_least=follower.notice)
        if shows is not None:
            self._check_step(what, response, follower.body, follower.position, follower.notice, shows)

    def _check_step(
        self, what: str, response: Response, has: bytes | None, at: str, notice: str, shows: dict[str, int]
    ) -> None:
        """From what a client has to what it reads: not before the notice, and never backwards."""
        position = response.get("fresh-position")
        if notice:
            assert position, f"{what}: no position"
            assert offset(position) >= offset(notice), f"{what}: made at {position}"
        newer = not at or (position and offset(position) > offset(at))
        if newer and has is not None:
            before = json.loads(has)["shows"]
            for name in before.keys() & shows.keys():
                assert shows[name] >= before[name], f"{what}: backwards from {before}: {response.body!r}"

    def _page_told(self, page: Page, part: Part | None, request: Request, response: Response) -> None:
        """Of every answer to a page."""
        what = f"page, {request.method} {request.target}"
        if part is None:
            assert response.status in {200, 410}, f"{what}: {response}"
            if request.method == "POST" and response.status == 200:
                united = WATCH.match(json.loads(response.body)["monitor"])
                assert united, what
                shown = self.shown_by_set.setdefault(united[1], set())
                for one in page.parts:
                    if found := WATCH.match(one.monitor):
                        shown |= self.shown_by_set[found[1]]
            return
        shows = self._check_read(part.client, response, what, at_least=part.notice)
        if shows is None:
            return
        self._check_step(what, response, part.body, part.position, part.notice, shows)

    def _check_read(
        self, client: Client, response: Response, what: str, *, at_least: str = ""
    ) -> dict[str, int] | None:
        what = f"{what}: {response.status} {dict(response.fields)}"
        since = int(response.get(SINCE).split(",")[0])
        self._check_status(client, Ended(response.status), since, what)
        if response.status != 200:
            return None
        position = response.get("fresh-position")
        if at_least and position and offset(at_least) > offset(position):
            position = at_least
        if etag := response.get("etag"):
            self.bodies[client] = (etag, response.body)
        return self._check(client, response.body, position, {}, what)

    def check_caches(self) -> None:
        """Nothing private is kept."""
        for cache in self.caches:
            for target, stored in cache.kept.items():
                resource = self.site.resources.get(target.partition("?")[0])
                if resource is not None and resource.sharing == "private":
                    for one in stored:
                        assert one.response.status != 200, f"{cache.name} keeps {target}: {one.response}"

    # The world goes on.

    def connections(self) -> list[Connection]:
        on_lines = [connection for line in self.lines for connection in line.connections()]
        return [*super().connections(), *on_lines]

    def pump(self) -> None:
        super().pump()
        for line in self.lines:
            line.pump()

    def arrive(self) -> None:
        """Let what is under way arrive, unless something holds it."""
        held = any(line.slow for line in self.lines) or self.gates
        if held or any(resource.mode != "ok" for resource in self.resources):
            self.pump()
        else:
            self.until(lambda: self.nobody_reads(), "no answer")

    def nobody_reads(self) -> bool:
        """Whether everybody waits, or does nothing."""
        doing = [follower.doing for follower in self.followers] + [page.doing for page in self.pages]
        return Doing.READING not in doing

    def wait_ends(self, follower: Follower) -> None:
        """Let a cycle go by for a follower that waits."""
        if follower.doing is Doing.WAITING and not any(line.slow for line in self.lines):
            before = follower.monitor
            self.until(lambda: follower.doing is not Doing.WAITING or follower.monitor != before, "endless")

    def is_up_to_date(self, follower: Follower) -> bool:
        """Whether it has what is current, or rightly nothing."""
        match follower.doing:
            case Doing.AWAY | Doing.UNWATCHABLE:
                return True
            case Doing.ENDED:
                return self.status(follower.client) != 200
            case Doing.WAITING:
                return follower.body == self.current(follower.client)
            case _:
                return False

    def shows_all(self, page: Page) -> bool:
        """Whether a page shows what is current of all that it may."""
        if page.doing is Doing.UNWATCHABLE:
            return True
        waiting = page.doing is Doing.WAITING
        return waiting and all(
            part.body == (self.current(part.client) if self.status(part.client) == 200 else None)
            or not part.monitor
            for part in page.parts
        )

    def pages_go_on(self) -> None:
        """Those that pause."""
        for page in self.pages:
            self._go_on(page)

    def _go_on(self, page: Page) -> None:
        """After a pause, if it makes one."""
        if page.doing is Doing.RESTING:
            self.pass_time(PAUSE_S)
            page.come()

    def settle(self) -> None:
        """Let everything work again, announce everything, and see everybody get what is current."""
        self.now += 1
        for resource in self.resources:
            self.release(resource)
            self.behave(resource, "ok")
        for line in self.lines:
            line.slow = False
        names = {name for resource in self.resources for name in [resource.uri, *resource.tags]}
        floor = self.floor()
        if behind := sorted(name for name in names if self.site.versions[name] > floor.get(name, 0)):
            self.announce(*behind)
        self.quiet()

    def quiet(self) -> None:
        """Wait until every follower has what is current."""
        super().quiet()

        def done() -> bool:
            self.pump()
            self.wake(lambda f: f.doing is Doing.RESTING or f.doing is Doing.ENDED)
            self.pages_go_on()
            return all(map(self.is_up_to_date, self.followers)) and all(map(self.shows_all, self.pages))

        def late() -> str:
            return "\n".join(
                f"{f}: has {f.body!r} at {f.position}, waits at {f.monitor}, {f.notice}; current is "
                f"{self.current(f.client)!r}"
                for f in self.followers
                if not self.is_up_to_date(f)
            ) + "\n".join(map(str, self.pages))

        self.until_(done, late)

    def until_(self, done: Callable[[], bool], otherwise: Callable[[], str]) -> None:
        try:
            self.until(done, "")
        except AssertionError as error:
            raise AssertionError(f"{error} {otherwise()}") from None

    def wake(self, whom: Callable[[Follower], bool]) -> None:
        """Have those come again who rest, or were refused and would not be now, after a pause."""
        for follower in self.followers:
            if whom(follower) and not self.is_up_to_date(follower):
                self.pass_time(LIFETIME_S if follower.doing is Doing.ENDED else PAUSE_S)
                follower.come()

    def close(self) -> None:
        for follower in self.followers:
            follower.leave()
        for line in self.lines:
            line.close()
        super().close()
