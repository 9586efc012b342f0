"""A node with a site, and one of the proxies of docs/behind in front of it."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from urllib.parse import urlsplit

import httpx
import pytest
from freshwire.testing import LiveNode, node
from freshwire.testing.watch import Transport, Watch, events

from . import site
from .fronts import FILES, front

names = count()


@dataclass
class Behind:
    """A node behind a proxy, as its clients see it."""

    front: str
    url: str
    live: LiveNode
    http: httpx.Client
    open: ExitStack = field(default_factory=ExitStack)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.http.get(self.url + path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def goal(self, name: str) -> None:
        assert self.http.post(f"{self.url}/scores/{name}/goal").status_code == 200

    def watch(self, path: str, transport: Transport, **headers: str) -> Watch:
        """Watch through the proxy; the watch ends with the test."""
        return self.open.enter_context(Watch(events(transport, self.url + path, headers)))

    def monitor(self, path: str, **headers: str) -> str:
        """Where to wait for a change of what is there now."""
        link: str = self.get(path, **headers).links["monitor"]["url"]
        return link

    def requests(self) -> int:
        """How many requests have reached the node."""
        return int(self.live.stats()["requests"])


@pytest.fixture(scope="module")
def origin() -> Iterator[LiveNode]:
    with node(site.app, trusted_proxies=["127.0.0.1"], watch_cycle_s=3.0) as live:
        yield live


@pytest.fixture(scope="module", params=list(FILES))
def proxied(
    request: pytest.FixtureRequest, origin: LiveNode, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Behind]:
    place = tmp_path_factory.mktemp("front")
    port = urlsplit(origin.url).port
    assert port
    with front(request.param, place, port) as (host, at), httpx.Client(timeout=30, trust_env=False) as http:
        yield Behind(request.param, f"http://{host}:{at}", origin, http)


@pytest.fixture
def behind(proxied: Behind) -> Iterator[Behind]:
    """The node behind a proxy, for one test."""
    with ExitStack() as proxied.open:
        yield proxied


@pytest.fixture
def name() -> str:
    """A name that nothing else has, so that no cache has heard of it."""
    return f"n{next(names)}"
