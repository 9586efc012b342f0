"""The line from a cache to the node: requests over connections of their own, and answers that may be late."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.promises.connections import Connection, Ended, Exchange

from .cache import Done, Fields, Request, Response, end_to_end

SINCE = "x-asked-at"
"""A field that the test adds: when, in its own time, the request was made that this answers."""


@dataclass(eq=False)
class Asked:
    """A request under way."""

    request: Request
    exchange: Exchange
    done: Done
    since: int
    told: object
    """What `Line.asking` said."""


@dataclass(eq=False)
class Line:
    """Requests of one cache to a node."""

    url: str
    now: Callable[[], int]
    """The test's time."""
    asking: Callable[[Request], object] = lambda _: None
    """Told of each request."""
    answered: Callable[[Request, Response, object], None] = lambda *_: None
    """Told of each answer as it comes, with what `asking` returned."""
    slow: bool = False
    """What has been answered stays on its way."""
    requests: list[Asked] = field(default_factory=list)

    def ask(self, request: Request, done: Done) -> None:
        exchange = Exchange(self.url, request.target, request.fields, request.method, request.body)
        self.requests.append(Asked(request, exchange, done, self.now(), self.asking(request)))

    def pump(self) -> None:
        """Hand on what has come."""
        for asked in list(self.requests) if not self.slow else []:
            for ended in asked.exchange.pump():
                assert isinstance(ended, Ended)
                self.requests.remove(asked)
                response = answer_of(asked.exchange, asked.since) if ended.status is not None else None
                if response is not None:
                    self.answered(asked.request, response, asked.told)
                asked.done(response)

    def connections(self) -> list[Connection]:
        """Those that are read."""
        return [] if self.slow else [asked.exchange for asked in self.requests]

    def close(self) -> None:
        """Everybody leaves."""
        for asked in self.requests:
            asked.exchange.close()
        self.requests.clear()


def answer_of(exchange: Exchange, since: int) -> Response:
    """What came."""
    assert exchange.head is not None
    fields: Fields = tuple((name.decode(), value.decode()) for name, value in exchange.head.headers)
    return Response(exchange.head.status_code, (*end_to_end(fields), (SINCE, str(since))), exchange.body)
