"""Corners of reading and watching that the state machine seldom gets to."""

import base64
import itertools
import json
import time
from typing import Any

import httpx
import pytest
from freshwire.exceptions import WatchEnded
from freshwire.testing import node

from tests.waiting import block_until

from .clients import Client, Transport
from .connections import Exchange, wait
from .model import World
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
        headers = [
            (b"vary", self.vary),
            (b"cache-control", b"public, max-age=600"),
            (b"cache-groups", b'"t"'),
        ]
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


@pytest.mark.parametrize("transport", ["sse", "websocket"])
def test_a_watch_from_a_kept_copy_is_chosen_by_what_that_copy_said_and_not_by_others_since(
    transport: Transport,
) -> None:
    app = Choosing()
    with node(app) as live, httpx.Client(base_url=live.url) as http:
        german = {"accept-language": "de", "accept-charset": "latin"}
        assert http.get("/", headers=german).text == "de 0"
        app.vary = b"accept-charset"  # so says the English copy, and nothing of the German one
        http.get("/", headers={"accept-language": "en", "accept-charset": "utf-8"})
        assert http.get("/", headers=german).headers["cache-status"].startswith("freshwire; hit")
        app.vary = b"accept-language"
        reads = len(app.asked)
        watch = live.watch("/", transport=transport, headers={**german, "accept-charset": "other"})
        assert watch.next().text == "de 0"
        app.version += 1
        live.changed("t")
        assert watch.next().text == "de 1"
        chosen_by = {(read.get("accept-language"), read.get("accept-charset")) for read in app.asked[reads:]}
        assert chosen_by == {("de", None)}


class Plain:
    """An application with one resource, whose reads are counted."""

    def __init__(self) -> None:
        self.body, self.status, self.reads = b"0", 200, 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.reads += 1
        headers = [(b"cache-groups", b'"t"'), (b"cache-control", b"private")]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


@pytest.mark.parametrize("transport", ["sse", "websocket", "poll"])
def test_what_has_become_too_large_ends_its_watches(transport: Transport) -> None:
    app = Plain()
    with node(app, max_representation_bytes=1000) as live:
        user = {"authorization": "Bearer a"}
        watch = live.watch("/", transport=transport, headers=user)
        assert watch.next().text == "0"
        if transport == "poll":
            block_until(lambda: live.stats()["watchers"] == 1)
        app.body = bytes(1001)
        live.changed("t")
        with pytest.raises(WatchEnded) as ended:
            watch.next()
        assert ended.value.status == 502
        assert live.stats()["refusals"]["representation_too_large"] == 1
        block_until(lambda: live.stats()["watched"] == 0)
        app.body = b"1"
        assert live.watch("/", transport=transport, headers=user).next().text == "1"


def test_a_token_that_has_ended_and_is_taken_all_the_same_ends_nothing() -> None:
    app = Plain()
    claims = base64.urlsafe_b64encode(json.dumps({"exp": time.time() - 10}).encode()).decode().rstrip("=")
    with node(app) as live:
        watch = live.watch("/", headers={"authorization": f"Bearer e30.{claims}.c2ln"})
        assert watch.next().text == "0"
        for body in (b"1", b"2"):
            app.body = body
            live.changed("t")
            assert watch.next().body == body
        app.status = 401
        live.changed("t")
        with pytest.raises(WatchEnded) as ended:
            watch.next()
        assert ended.value.status == 401


def test_a_client_that_reads_ends_the_pauses_after_failed_reads() -> None:
    app = Plain()
    with node(app, reread_backoff_s=0.6, reread_backoff_max_s=0.6) as live:
        user = [("authorization", "Bearer a")]
        watch = live.watch("/", headers=dict(user))
        assert watch.next().text == "0"
        app.status = 500
        live.changed("t")
        block_until(lambda: live.stats()["rereads"] == 1)
        app.status, app.body = 200, b"1"
        head_of(Exchange(live.url, "/", user))
        assert watch.next().text == "1"
        reads = app.reads
        # The pause goes by, and nobody needs what was to be tried again then.
        other = live.watch("/", headers={"authorization": "Bearer b"})
        other.next()
        with pytest.raises(TimeoutError):
            other.next(timeout=1.0)
        assert app.reads == reads + 1


def test_who_waits_for_a_read_reads_what_it_yielded(world: World) -> None:
    path = f"/waiting{next(numbers)}"
    resource = world.add(Resource(path, (tag := f"tag of {path}",)))
    client = Client(resource, None, None)
    world.watch(client)
    world.quiet()
    for _ in range(20):
        reads = world.site.reads[path]
        world.hold(resource)
        world.change(tag)
        world.site.wait_for_reads(path, reads + 1)
        for _ in range(8):  # on both of the node's threads
            world.get(client)
        world.release(resource)
        world.quiet()
        assert world.site.reads[path] == reads + 1
