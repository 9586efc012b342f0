"""An application whose resources tests change, and a client that says exactly what it is told to."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

from freshwire.testing import LiveNode, node

from ..security.wire import Peer, Response, request

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]

FIELDS: dict[str, list[tuple[bytes, bytes]]] = {
    "/public": [(b"cache-control", b"public")],
    "/brief": [(b"cache-control", b"public, max-age=5")],
    "/second": [(b"cache-control", b"public, max-age=1")],
    "/never": [(b"cache-control", b"no-store")],
    "/asked": [(b"cache-control", b"public, no-cache")],
    "/linked": [(b"link", b'</>; rel="up"')],
    "/own": [(b"cache-control", b"private")],
    "/language": [(b"vary", b"accept-language")],
}
"""What resources say beside their tag."""


class Site:
    """Each path is a resource with a version, which depends on a tag of its name; `/me` is each user's own."""

    def __init__(self) -> None:
        self.versions: Counter[str] = Counter()
        self.reads: Counter[str] = Counter()
        self.targets: list[str] = []
        """Path and query of every request, as the application saw them."""
        self._gate: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def close_gate(self) -> None:
        """From now on, reads that have looked at their version wait."""
        self._gate = asyncio.Event()

    def open_gate(self) -> None:
        """Let them go on."""
        assert self._gate is not None
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._gate.set)

    async def __call__(self, scope: Scope, _receive: object, send: Send) -> None:
        assert scope["type"] == "http"
        path, query = scope["path"], scope["query_string"].decode()
        self.targets.append(path + (f"?{query}" if query else ""))
        self.reads[path] += 1
        headers = dict(scope["headers"])
        who = headers.get(b"authorization", b"").decode()
        tags = [path, "all"] if path != "/untagged" else []
        if path == "/gone" and self.versions[path]:
            await reply(send, 404, {}, tags=tags)
            return
        body = {"path": path, "version": self.versions[path], "query": query}
        if path in ("/me", "/own"):
            body["who"] = who
        if self._gate is not None:
            self._loop = asyncio.get_running_loop()
            await self._gate.wait()
        await reply(send, 200, body, tags=tags, fields=FIELDS.get(path, []))


async def reply(
    send: Send, status: int, body: object, tags: list[str], fields: list[tuple[bytes, bytes]] | None = None
) -> None:
    """One whole response."""
    text = json.dumps(body).encode()
    groups = [(b"cache-groups", ", ".join(f'"{tag}"' for tag in tags).encode())] if tags else []
    length = [(b"content-length", str(len(text)).encode()), (b"content-type", b"application/json")]
    head = [*length, *groups, *(fields or [])]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": text})


class Edge:
    """A node, its site, and connections to it."""

    def __init__(self, site: Site, live: LiveNode, stack: ExitStack) -> None:
        self.site, self.live, self._stack = site, live, stack
        url = urlsplit(live.url)
        assert url.hostname
        assert url.port
        self.address = (url.hostname, url.port)

    def connect(self, **options: Any) -> Peer:
        """A connection that ends with the test."""
        return self._stack.enter_context(Peer(self.address, **options))

    def change(self, path: str) -> str:
        """Change a resource, and say so: the position of the change."""
        self.site.versions[path] += 1
        return self.live.changed(path)

    def get(self, target: str, *lines: str, method: str = "GET") -> Response:
        """A request on a connection of its own."""
        with Peer(self.address) as peer:
            return peer.get(target, *lines, method=method)

    def post(self, target: str, body: object, *lines: str) -> Response:
        """A POST with a body: JSON unless it is bytes."""
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        with Peer(self.address) as peer:
            peer.send(request(target, *lines, method="POST", host=peer.host, body=text))
            return peer.response()

    def admin(self, target: str, body: object) -> Response:
        """A POST to the admin socket."""
        with Peer(str(self.live.admin_socket)) as peer:
            peer.send(request(target, method="POST", body=json.dumps(body).encode()))
            return peer.response()

    def monitor(self, target: str, *lines: str) -> str:
        """The monitor URL of a resource, of now."""
        return monitor(self.get(target, *lines))

    def held(self) -> int:
        """Waits that the node holds."""
        return int(self.live.stats()["waits_held"])


@contextmanager
def edge(**options: Any) -> Iterator[Edge]:
    """A node for as long as a `with` lasts."""
    site = Site()
    # What rides in answers is for the engine's own tests.
    with node(site, **{"notice_body_bytes": 0, **options}) as live, ExitStack() as stack:
        yield Edge(site, live, stack)


def monitor(answer: Response) -> str:
    """The monitor URL that an answer names. Raises LookupError if it names none."""
    for link in answer.all("link"):
        target, _, rest = link.partition(">")
        if rest.strip() == '; rel="monitor"':
            return target.removeprefix("<")
    raise LookupError(answer.head)


def told(answer: Response) -> dict[str, Any]:
    """What an answer on a monitor URL says, which any cache may keep."""
    assert_cacheable(answer)
    assert answer.status == 200, answer
    assert answer["content-type"] == "application/json"
    said: dict[str, Any] = json.loads(answer.body)
    assert list(said) == ["position", "changes", "next"]
    return said


def assert_cacheable(answer: Response) -> None:
    """Whatever is answered on a monitor URL, any cache may keep it, and a page of any origin may read it."""
    name, seconds = answer["cache-control"].split("=")
    assert name == "public, max-age", answer.head
    assert int(seconds) >= 1
    assert answer.status != 204
    assert answer["access-control-allow-origin"] == "*"
    for name in ("vary", "set-cookie", "connection"):
        assert not answer[name], answer.head


def at_cycle(url: str, cycle: int) -> str:
    """The same monitor URL for another cycle."""
    return f"{url.partition('?')[0]}?c={cycle}"


def cycle(url: str) -> int:
    """The cycle of a monitor URL."""
    return int(url.partition("?c=")[2])


def position(url: str) -> str:
    """The position in a monitor URL."""
    return url.partition("?")[0].rpartition("/")[2]


def offset(text: str) -> int:
    """The offset of a position."""
    return int(text.rpartition("-")[2])
