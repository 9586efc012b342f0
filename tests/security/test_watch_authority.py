"""Row 30: a watch lasts as long as the right to read. Each re-read of a private variant carries its own watcher's
credentials; when the answer becomes 401, 403, 404 or 410 the watch ends with that status, on every transport.
"""

import base64
import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Target, eventually
from .wire import Closed, Peer, handshake, request

TRANSPORTS = ["sse", "websocket", "poll"]
ROLES = {
    "a stranger": [],
    "an owner by cookie": ["Cookie: user=owner"],
    "an owner by token": ["Authorization: Bearer owner"],
    "a guest by cookie": ["Cookie: user=guest"],
    "a guest by token": ["Authorization: Bearer guest"],
}
ENDS = [401, 403, 404, 410]


numbers = itertools.count()


def a_path() -> str:
    """Of a document that nobody has read."""
    return f"/doc/{next(numbers)}"


class App:
    """A document; what its readers may do is in `answers`, by role. It says `cache-control` as told."""

    def __init__(self) -> None:
        self.version = 0
        self.answers: dict[str, int] = {}
        self.asked: list[str] = []
        self.cache_control = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        role = next((role for role in ROLES if role_of(headers) == role), "unknown")
        self.asked.append(role)
        status = self.answers.get(role, 200)
        said = [(b"cache-groups", b'"doc"')]
        if self.cache_control:
            said.append((b"cache-control", self.cache_control))
        await send({"type": "http.response.start", "status": status, "headers": said})
        body = f"{self.version} for {role}" if status == 200 else f"{status} for {role}"
        await send({"type": "http.response.body", "body": body.encode()})


def role_of(headers: dict[str, str]) -> str:
    wanted = [f"Cookie: {headers['cookie']}"] if "cookie" in headers else []
    wanted += [f"Authorization: {headers['authorization']}"] if "authorization" in headers else []
    return next((role for role, lines in ROLES.items() if lines == wanted), "unknown")


class Watcher:
    """A watch over any transport: `next` is a body, or the status that it ended with."""

    def __init__(self, target: Target, transport: str, role: str, path: str) -> None:
        self.peer: Peer = target.connect()
        self.transport, self.role, self.path = transport, role, path
        lines = ROLES[role]
        self.etag = ""
        if transport == "sse":
            self.peer.send(request(path, "Accept: text/event-stream", *lines))
            self.status = self.peer.stream().status
        elif transport == "websocket":
            # A browser's: cookies need an origin.
            self.peer.send(handshake(path, "Origin: http://localhost", *lines, subprotocol="freshwire.v1"))
            self.status = self.peer.stream().status
        else:
            self.status = 200

    def next(self) -> str | int:
        if self.transport == "sse":
            event = self.peer.event()
            if event.type != "gone":
                return event.data
            with pytest.raises(Closed):
                self.peer.event()
            return int(json.loads(event.data)["status"])
        if self.transport == "websocket":
            message = self.peer.message()
            if message.op != 8:
                return message.payload.decode()
            assert self.peer.rest() == b""
            return message.code - 4000
        return self._polled()

    def _polled(self) -> str | int:
        answer = self.peer.response() if self.waits else self._get()
        if answer.status != 200:
            return answer.status
        self.etag = answer["etag"]
        self._wait()
        return answer.body.decode()

    waits = False

    def _get(self) -> Any:
        self.peer.send(request(self.path, *ROLES[self.role]))
        return self.peer.response()

    def _wait(self) -> None:
        """Ask for the next one before it is there."""
        self.peer.send(
            request(self.path, f"If-None-Match: {self.etag}", "Prefer: wait=20", *ROLES[self.role])
        )
        self.waits = True


def settled(target: Target, watchers: int) -> None:
    eventually(lambda: target.stats()["watchers"] == watchers, f"{watchers} watch")


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("role", ROLES)
def test_a_watch_ends_when_its_answer_says_so(
    role: str, transport: str, end: int, nodes: dict[str, tuple[App, Target]]
) -> None:
    app, target = nodes["private"]
    with target.one_test():
        app.answers, app.version, path = {}, 0, a_path()
        watcher = Watcher(target, transport, role, path)
        others = {
            other: Watcher(target, other_transport, other, path)
            for other, other_transport in zip(ROLES, TRANSPORTS * 2, strict=False)
            if other != role
        }
        assert watcher.next() == f"0 for {role}"
        for other, watch in others.items():
            assert watch.next() == f"0 for {other}"
        settled(target, len(ROLES))
        app.answers[role] = end
        app.version = 1
        app.asked.clear()
        target.live.changed("doc")
        assert watcher.next() == end
        for other, watch in others.items():
            assert watch.next() == f"1 for {other}", "nobody else's watch ends"
        # Each was read with its own watcher's credentials, and once.
        assert sorted(app.asked)[: len(ROLES)] == sorted(ROLES)
        assert app.asked.count(role) == 1
        for opened in (watcher, *others.values()):
            opened.peer.close()
    settled(target, 0)


@pytest.fixture(scope="module")
def nodes(attack_all: Callable[..., Target]) -> dict[str, tuple[App, Target]]:
    apps = {"private": App(), "public": App()}
    apps["public"].cache_control = b"public, max-age=60"
    return {name: (app, attack_all(app)) for name, app in apps.items()}


@pytest.mark.parametrize("status", [401, 403, 404, 410])
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("role", ROLES)
def test_who_may_not_read_may_not_watch(
    role: str, transport: str, status: int, nodes: dict[str, tuple[App, Target]]
) -> None:
    app, target = nodes["private"]
    with target.one_test():
        app.answers, app.version, path = {role: status}, 0, a_path()
        # Another one who may is watching already.
        other = next(other for other in ROLES if other != role)
        assert Watcher(target, "sse", other, path).next() == f"0 for {other}"
        peer = target.connect()
        lines = ROLES[role]
        match transport:
            case "sse":
                peer.send(request(path, "Accept: text/event-stream", *lines))
            case "websocket":
                peer.send(handshake(path, "Origin: http://localhost", *lines, subprotocol="freshwire.v1"))
            case _:
                peer.send(request(path, 'If-None-Match: "x"', "Prefer: wait=20", *lines))
        answer = peer.response()
        assert (answer.status, answer.body.decode()) == (status, f"{status} for {role}")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_reread_has_no_credentials_of_anybodys_if_the_resource_is_public(
    transport: str, nodes: dict[str, tuple[App, Target]]
) -> None:
    app, target = nodes["public"]
    with target.one_test():
        app.answers, app.version, path = {}, 0, a_path()
        watchers = [Watcher(target, transport, role, path) for role in ROLES]
        first = {watcher.next() for watcher in watchers}
        assert len(first) == 1, "one representation for all"
        settled(target, len(ROLES))
        app.asked.clear()
        app.version += 1
        target.live.changed("doc")
        assert {watcher.next() for watcher in watchers} == {"1 for a stranger"}
        assert app.asked == ["a stranger"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_becomes_private_is_no_longer_shared(transport: str, attack: Callable[..., Target]) -> None:
    app = App()
    app.cache_control = b"public, max-age=60"
    target = attack(app)
    path = a_path()
    watchers = {role: Watcher(target, transport, role, path) for role in ROLES}
    for watcher in watchers.values():
        watcher.next()
    settled(target, len(ROLES))
    app.cache_control, app.version = b"private", 1
    target.live.changed("doc")
    for role, watcher in watchers.items():
        if transport == "poll":
            assert watcher.next() in (f"1 for {role}", 304, 503)
            continue
        # The stream ends without a status: whoever comes back gets his own.
        with pytest.raises((Closed, ValueError)):
            while (got := watcher.next()) in (f"0 for {role}", "0 for a stranger"):
                pass
            assert isinstance(got, int), got
            assert got not in ENDS
            raise Closed
        assert Watcher(target, transport, role, path).next() == f"1 for {role}"


def bearer(claims: dict[str, Any]) -> str:
    """The field of a request with a token; nobody here checks its signature."""
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    return (
        "Authorization: Bearer " + b".".join(base64.urlsafe_b64encode(part) for part in parts).decode() + ".x"
    )


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_watch_ends_with_the_token_that_opened_it(
    transport: str, nodes: dict[str, tuple[App, Target]], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, target = nodes["private"]
    monkeypatch.setitem(ROLES, "a token for now", [bearer({"exp": time.time() + 1.5})])
    monkeypatch.setitem(ROLES, "a token for later", [bearer({"exp": time.time() + 3600})])
    with target.one_test():
        app.answers, app.version, path = {}, 0, a_path()
        now, later = (Watcher(target, transport, f"a token for {when}", path) for when in ("now", "later"))
        assert now.next() == "0 for a token for now"
        assert later.next() == "0 for a token for later"
        assert now.next() == 401, "though the application still says 200"
        app.version = 1
        target.live.changed("doc")
        assert later.next() == "1 for a token for later"
