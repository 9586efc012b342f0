"""How clients can follow a resource through caches: each way is a line of the table."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.edge.application import LIFETIME
from benchmarks.edge.fronts import front
from benchmarks.edge.gridless import EMPTY
from benchmarks.processes import Server, listening
from tests.ports import free_port

LOCK_DEFAULTS = {
    "proxy_cache_lock_timeout 30s": "proxy_cache_lock_timeout 5s",
    "proxy_cache_lock_age 30s": "proxy_cache_lock_age 5s",
}
FEW = 1000
"""Clients of a way that does not work with many."""
POLL_S = 5
"""How often a client polls that does not wait."""
KEY = "FRESHWIRE_TAG_KEY"
"""The environment variable with which a node hashes tags that it purges."""
NODE = ("--max-connections-per-address", "0", "--drain-timeout", "0", "--admin-socket", "off")


@dataclass(frozen=True)
class Way:
    """See the module."""

    name: str
    title: str
    edges: Sequence[str]
    """The caches that clients ask."""
    shield: str = ""
    """The cache that those ask."""
    how: Literal["pinned", "plain", "poll"] = "pinned"
    """What a client reads after a notice; or it polls, and there are none."""
    empty: str = ""
    """The empty answer of a server without the grid; if there is none, the server is the node."""
    changes: Mapping[str, str] = field(default_factory=dict)
    """Of the configuration."""
    purged: bool = False
    """The node purges the one cache that there is, and says nothing of pins if nobody follows them."""
    most: int = 10_000
    """Clients."""
    promises: bool = False
    """It is what freshwire is for: there is a budget for it."""

    @property
    def origins(self) -> int:
        """Caches that ask the node."""
        return 1 if self.shield else len(self.edges)

    def words(self, clients: int) -> list[str]:
        """For the load client."""
        if self.how == "poll":
            return ["--transport", "get", "--rate", str(clients / POLL_S)]
        return ["--transport", "wait", "--pinned", "true" if self.how == "pinned" else "false"]

    @contextlib.contextmanager
    def open(self) -> Iterator[tuple[Server, list[Server]]]:
        """The origin, and the caches that clients ask."""
        with contextlib.ExitStack() as stack:
            at = free_port() if self.purged else 0
            origin = stack.enter_context(self._origin(at))
            above = origin
            if self.shield:
                above = stack.enter_context(front(self.shield, origin.port, self.changes))
            edges = [stack.enter_context(front(name, above.port, self.changes, at)) for name in self.edges]
            yield origin, edges

    def _origin(self, purged_port: int) -> Server:
        port = free_port()
        if self.empty:
            os.environ[EMPTY] = self.empty
            words = ["uvicorn", "benchmarks.edge.gridless:app", "--port", str(port), "--no-access-log"]
            words += ["--lifespan", "off", "--backlog", "8192"]
            return listening("uvicorn", [sys.executable, "-m", *words], port)
        os.environ[LIFETIME] = "1" if self.how == "poll" else "60"
        words = ["freshwire", "serve", "benchmarks.edge.application:app", "--port", str(port), *NODE]
        options = ["--set", "public_stats=true", "--set", 'trusted_proxies=["127.0.0.1"]']
        if self.purged:
            os.environ.setdefault(KEY, secrets.token_hex(32))
            options += ["--purge", f"varnish=http://127.0.0.1:{purged_port}"]
            options += ["--set", f"pin={str(self.how == 'pinned').lower()}"]
        return listening("freshwire", [sys.executable, "-m", *words, *options], port)


WAYS = [
    Way("nginx", "nginx", ["nginx"], promises=True),
    Way("varnish", "Varnish", ["varnish"], promises=True),
    Way(
        "shield",
        "nginx, nginx and Varnish before a Varnish",
        ["nginx", "nginx", "varnish"],
        "varnish",
        promises=True,
    ),
    Way("varnish-purged", "Varnish, purged", ["varnish"], purged=True, promises=True),
    Way(
        "varnish-unpinned",
        "Varnish, purged, re-reads not pinned",
        ["varnish"],
        how="plain",
        purged=True,
        promises=True,
    ),
    Way("nginx-lock", "nginx with the defaults of its lock", ["nginx"], changes=LOCK_DEFAULTS),
    Way("varnish-plain", "Varnish, re-reads not pinned, no purge", ["varnish"], how="plain"),
    Way("nginx-plain", "nginx, re-reads not pinned, no purge", ["nginx"], how="plain"),
    Way("nginx-gridless", "nginx, no grid, empty answer `max-age=1`", ["nginx"], empty="200 max-age=1"),
    Way("varnish-gridless", "Varnish, no grid, empty answer `max-age=1`", ["varnish"], empty="200 max-age=1"),
    Way("nginx-no-store", "nginx, no grid, `no-store`", ["nginx"], empty="200 no-store", most=FEW),
    Way("varnish-no-store", "Varnish, no grid, `no-store`", ["varnish"], empty="200 no-store", most=FEW),
    Way("nginx-204", "nginx, no grid, 204 and `no-store`", ["nginx"], empty="204 no-store", most=FEW),
    Way("varnish-204", "Varnish, no grid, 204 and `no-store`", ["varnish"], empty="204 no-store", most=FEW),
    Way("nginx-poll", f"nginx, a poll each {POLL_S} s", ["nginx"], how="poll"),
    Way("varnish-poll", f"Varnish, a poll each {POLL_S} s", ["varnish"], how="poll"),
]
