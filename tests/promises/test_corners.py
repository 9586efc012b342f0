"""Corners of reading and watching that the state machine seldom gets to."""

import itertools
from typing import Any

import pytest

from freshwire.testing import LiveNode, node

from tests.waiting import block_until

from .connections import Exchange, LongPoll, wait
from .model import Client, Transport, World
from .site import Resource

numbers = itertools.count()


def head_of(exchange: Exchange) -> Exchange:
    """Wait for an answer."""
    assert wait(lambda: [exchange], lambda: bool(exchange.pump()) or exchange.ended), "no answer"
    return exchange


class Choosing:
    """An application that is chosen by a language, and says what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.version = 0
        self.vary = b"accept-language"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append(request)
        language = request.get("accept-language", "none")
        body = f"{language} {self.version}".encode()
        headers = [(b"vary", self.vary), (b"cache-control", b"public, max-age=600"), (b"cache-groups", b'"t"')]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize("padding", [0, 200_000])
@pytest.mark.parametrize("user", [None, "alice"])
def test_what_a_client_was_given_in_pieces_its_watchers_get_too(
    world: World, user: str | None, padding: int
) -> None:
    path = f"/pieces{next(numbers)}"
    kind: Any = {"sharing": "private" if user else "shared", "streamed": True, "own_etag": True}
    resource = world.add(Resource(path, padding=padding, **kind))
    client = Client(resource, user, None)
    watcher = world.watch(client)
    world.quiet()
    world.commit(resource.uri)  # nobody is told
    get = world.get(client)
    world.until(lambda: get not in world.gets, "no answer")
    world.until(lambda: world.is_settled(watcher), "a client has it, and who watches does not")


@pytest.mark.parametrize("transport", ["sse", "websocket", "poll"])
@pytest.mark.parametrize("vary", [b"accept-language", b"accept-encoding"])
def test_every_read_for_watchers_asks_for_what_is_not_encoded(transport: Transport, vary: bytes) -> None:
    app = Choosing()
    app.vary = vary
    with node(app) as live:
        watch = live.watch("/", transport=transport, headers={"accept-encoding": "gzip, br"})
        watch.next()
        first = len(app.asked)
        app.version += 1
        live.changed("t")
        assert watch.next().text.endswith("1")
        reads = app.asked[first - 1 :]
        if transport == "poll":  # its first request is an ordinary one
            reads = app.asked[first:]
        assert len(reads) >= 1
        assert {read.get("accept-encoding") for read in reads} == {"identity"}


def test_a_watch_that_begins_with_a_copy_is_chosen_as_the_copy_was() -> None:
    app = Choosing()
    with node(app) as live:
        german = [("accept-language", "de")]
        head_of(Exchange(live.url, "/", german))
        # Another request of the resource is answered with another Vary; the copy above is as fresh as before.
        app.vary = b"x-other"
        head_of(Exchange(live.url, "/", [("accept-language", "fr"), ("x-other", "1")]))
        watch = live.watch("/", headers=dict(german))
        assert watch.next().text == "de 0"
        app.vary, app.version = b"accept-language", 1
        live.changed("t")
        assert watch.next().text == "de 1"
        assert app.asked[-1].get("accept-language") == "de"
