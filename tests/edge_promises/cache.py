"""A shared cache as RFC 9111 wants it, in time that the test steps, and what else such a cache may be like.

It keeps by URL and `Vary`, obeys `Cache-Control`, `CDN-Cache-Control` (RFC 9213) and `Age`, validates what is stale,
makes one request for many, and forgets when it is told to. A `Temper` says where it goes to the limit of what it may
do. It knows no sockets: what is above it (`Upstream`: the node, or another cache) answers later, by a call.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Protocol

Fields = tuple[tuple[str, str], ...]

UNDERSTOOD = {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501}
"""Statuses that may be kept without a word about their lifetime (RFC 9110 §15.1)."""
NOT_KEPT = {206, 304}
END_TO_END = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "proxy-connection"}
CONDITIONS = {"if-none-match", "if-modified-since"}


class Message:
    """What requests and responses have in common."""

    fields: Fields

    def get(self, name: str) -> str:
        """All values of a field as one (RFC 9110 §5.3)."""
        return ", ".join(value for key, value in self.fields if key == name)

    def has(self, name: str) -> bool:
        return any(key == name for key, _ in self.fields)


@dataclass(frozen=True)
class Request(Message):
    target: str
    fields: Fields = ()
    method: str = "GET"
    body: bytes = b""


@dataclass(frozen=True)
class Response(Message):
    status: int
    fields: Fields = ()
    body: bytes = field(default=b"", repr=False)


Done = Callable[[Response | None], None]
"""Called with the answer; with nothing if the connection broke."""


class Upstream(Protocol):
    """What a cache asks."""

    def ask(self, request: Request, done: Done) -> None: ...


def directives(value: str) -> dict[str, str]:
    """Those of a `Cache-Control`, by name; of a list in quotes, all of it."""
    found: dict[str, str] = {}
    quoted = False
    item = ""
    for character in [*value, ","]:
        quoted ^= character == '"'
        if character != "," or quoted:
            item += character
            continue
        name, _, argument = item.strip().partition("=")
        if name:
            found.setdefault(name.lower(), argument.strip('"'))
        item = ""
    return found


def seconds(argument: str | None) -> float | None:
    return float(argument) if argument is not None and argument.isdigit() else None


@dataclass(frozen=True)
class Temper:
    """Where a cache goes to the limit of what it may do, and beyond what it should."""

    purges: bool = True
    """It forgets what it is told to forget."""
    default_lifetime_s: float = 0.0
    """Of what says nothing about its own (RFC 9111 §4.2.2), as long as that."""
    serves_stale: bool = False
    """As far as `stale-while-revalidate` and `stale-if-error` (RFC 5861) allow."""
    obeys_requests: bool = True
    """A client's `Cache-Control: no-cache` has it validate."""
    collapses: bool = True
    """It makes one request for all that ask at the same time."""


HONEST = Temper()
DEAF = Temper(purges=False, obeys_requests=False)
"""A cache whose operator has no way to purge it."""
MISERLY = Temper(purges=False, default_lifetime_s=120, serves_stale=True, obeys_requests=False)
"""Never asks while there is a way not to."""
HASTY = Temper(collapses=False)
TEMPERS = {"honest": HONEST, "deaf": DEAF, "miserly": MISERLY, "hasty": HASTY}


@dataclass(eq=False)
class Stored:
    """A response that is kept."""

    request: Request
    response: Response
    since: float
    """When it came, in the time of the cache."""
    initial_age_s: float

    def chosen_by(self, request: Request) -> bool:
        """Whether it answers this request, as far as `Vary` is concerned (RFC 9111 §4.1)."""
        names = [name.strip().lower() for name in self.response.get("vary").split(",") if name.strip()]
        return "*" not in names and all(request.get(name) == self.request.get(name) for name in names)


class Cache:
    """See the module."""

    def __init__(self, upstream: Upstream, temper: Temper = HONEST, name: str = "cache") -> None:
        self.upstream, self.temper, self.name = upstream, temper, name
        self.now = 0.0
        """Seconds, of its own clock."""
        self.kept: dict[str, list[Stored]] = {}
        self.flights: dict[str, list[tuple[Request, Done]]] = {}
        """Who waits for a request that somebody else's asked for the same URL has begun."""
        self.figures: Counter[str] = Counter()
        self.seen: Callable[[Request, Response], None] = lambda _request, _response: None
        """Told what comes from upstream."""

    # What happens to it.

    def step(self, seconds_: float) -> None:
        """Let time pass; back, too, as clocks are set."""
        self.now += seconds_

    def evict(self, choose: Callable[[list[str]], str | None] = lambda _: None) -> None:
        """Forget one URL, or all."""
        chosen = choose(sorted(self.kept))
        for target in [chosen] if chosen is not None else list(self.kept):
            self.kept.pop(target, None)

    def purge(self, *, tags: Iterable[str] = (), target: str = "") -> None:
        """Forget what has one of these tags, or is this URL; what is on its way is kept when it comes."""
        if not self.temper.purges:
            return
        groups = {f'"{tag}"' for tag in tags}
        for at, stored in list(self.kept.items()):
            left = [
                s
                for s in stored
                if at != target
                and not groups & {item.strip() for item in s.response.get("cache-groups").split(",")}
            ]
            self.kept[at] = left
            if not left:
                del self.kept[at]

    # What it answers.

    def ask(self, request: Request, done: Done) -> None:
        """Answer, now or later."""
        if request.method != "GET" or request.has("range"):
            self._pass(request, done)
        elif (found := self._find(request)) is not None and self._may_serve(found, request):
            self.figures["hit"] += 1
            done(self._answer(request, found))
        elif found is not None and self._may_serve_stale(found, "stale-while-revalidate"):
            self.figures["stale"] += 1
            done(self._answer(request, found))
            if request.target not in self.flights:
                self._fetch(request, lambda _: None)
        elif self.temper.collapses and request.target in self.flights:
            self.flights[request.target].append((request, done))
        else:
            self._fetch(request, done)

    def _find(self, request: Request) -> Stored | None:
        found = [stored for stored in self.kept.get(request.target, []) if stored.chosen_by(request)]
        return max(found, key=lambda stored: stored.since, default=None)

    def age_s(self, stored: Stored) -> float:
        """RFC 9111 §4.2.3."""
        return stored.initial_age_s + max(0.0, self.now - stored.since)

    def lifetime_s(self, response: Response) -> float | None:
        """RFC 9111 §4.2.1; none if it says nothing."""
        says = self.says(response)
        for name in ("s-maxage", "max-age"):
            if (given := seconds(says.get(name))) is not None:
                return given
        if response.has("expires") and not response.has("cdn-cache-control"):
            try:
                expires, date = (parsedate_to_datetime(response.get(name)) for name in ("expires", "date"))
            except ValueError:
                return 0.0
            return (expires - date).total_seconds()
        return None

    def says(self, response: Response) -> dict[str, str]:
        """What counts for a shared cache that knows RFC 9213."""
        targeted = directives(response.get("cdn-cache-control"))
        return targeted or directives(response.get("cache-control"))

    def _fresh(self, stored: Stored) -> bool:
        lifetime_s = self.lifetime_s(stored.response)
        return self.age_s(stored) < (self.temper.default_lifetime_s if lifetime_s is None else lifetime_s)

    def _may_serve(self, stored: Stored, request: Request) -> bool:
        if "no-cache" in self.says(stored.response):
            return False
        if self.temper.obeys_requests and "no-cache" in directives(request.get("cache-control")):
            return False
        return self._fresh(stored)

    def _may_serve_stale(self, stored: Stored, why: str) -> bool:
        says = self.says(stored.response)
        window_s = seconds(says.get(why))
        if not self.temper.serves_stale or window_s is None:
            return False
        if {"no-cache", "must-revalidate", "proxy-revalidate", "s-maxage"} & says.keys():
            return False
        return self.age_s(stored) < (self.lifetime_s(stored.response) or 0.0) + window_s

    def may_keep(self, request: Request, response: Response) -> bool:
        """RFC 9111 §3."""
        says = self.says(response)
        if response.status in NOT_KEPT or response.status < 200 or {"no-store", "private"} & says.keys():
            return False
        if "*" in response.get("vary"):
            return False
        if request.has("authorization") and not {"public", "s-maxage", "must-revalidate"} & says.keys():
            return False
        if self.lifetime_s(response) is not None or "public" in says:
            return True
        return self.temper.default_lifetime_s > 0 and response.status in UNDERSTOOD

    def _answer(self, request: Request, stored: Stored) -> Response:
        response = stored.response
        fields = [field for field in response.fields if field[0] != "age"]
        fields.append(("age", str(int(self.age_s(stored)))))
        answer = replace(response, fields=tuple(fields))
        tags = {tag.strip().removeprefix("W/") for tag in request.get("if-none-match").split(",")}
        if response.status == 200 and response.has("etag") and tags & {response.get("etag"), "*"}:
            return replace(answer, status=304, body=b"")
        return answer

    # What it asks.

    def _pass(self, request: Request, done: Done) -> None:
        def answered(response: Response | None) -> None:
            if response is not None and request.method not in {"GET", "HEAD", "OPTIONS"}:
                self._written(request, response)
            done(response)

        self.upstream.ask(request, answered)

    def _written(self, request: Request, response: Response) -> None:
        """RFC 9111 §4.4."""
        if 200 <= response.status < 400:
            for target in {request.target, response.get("location"), response.get("content-location")}:
                self.kept.pop(target, None)
            groups = response.get("cache-group-invalidation").split(",")
            self.purge(tags=[group.strip().strip('"') for group in groups])

    def _fetch(self, request: Request, done: Done) -> None:
        self.figures["fetch"] += 1
        target = request.target
        first = target not in self.flights
        if first:
            self.flights[target] = []
        # A request that others may be answered by is made without the conditions of one client.
        plain = tuple(field for field in request.fields if field[0] not in CONDITIONS)
        old = self._find(request)
        if old is not None and old.response.has("etag"):
            plain = (*plain, ("if-none-match", old.response.get("etag")))
        ours = replace(request, fields=plain)

        def answered(response: Response | None) -> None:
            waiting = self.flights.pop(target, []) if first else []
            if response is not None:
                self.seen(ours, response)
            done(self._landed(request, ours, response, old))
            for other, then in waiting:
                # What is not for others is asked for by each alone, and at once.
                (self._fetch if self._find(other) is None else self.ask)(other, then)

        self.upstream.ask(ours, answered)

    def _landed(
        self, request: Request, ours: Request, response: Response | None, old: Stored | None
    ) -> Response | None:
        if response is None or response.status in {500, 502, 503, 504}:
            if old is not None and self._may_serve_stale(old, "stale-if-error"):
                return self._answer(request, old)
            return response
        if response.status == 304 and old is not None:
            renewed = [field for field in response.fields if field[0] != "content-length"]
            names = {name for name, _ in renewed}
            kept = [field for field in old.response.fields if field[0] not in names]
            response = replace(old.response, fields=(*kept, *renewed))
        stored = Stored(ours, response, self.now, seconds(response.get("age") or None) or 0.0)
        if self.may_keep(request, response):
            others = [s for s in self.kept.get(request.target, []) if not s.chosen_by(request)]
            self.kept[request.target] = [*others, stored]
        elif old is not None and old in self.kept.get(request.target, []):
            self.kept[request.target].remove(old)
        return self._answer(request, stored)


def end_to_end(fields: Iterable[tuple[str, str]]) -> Fields:
    """Those that go beyond one connection."""
    return tuple((name, value) for name, value in fields if name not in END_TO_END)
