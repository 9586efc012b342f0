"""The peers: other servers, each made to do what a node does as well as its documentation knows how.

A peer that pushes is a `Peer`: it opens a `Station`, to which subscribers come by the transports that it has.
`missing()` says why a peer cannot be measured here; that becomes a line of the table.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec

from benchmarks.processes import NATIVE
from benchmarks.station import Station

TOOLS = NATIVE.parent / "peers"
"""Where tools/setup puts what no package manager installs."""
SBIN = "/usr/sbin:/usr/local/sbin"


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that pushes."""

    name: str
    transports: tuple[str, ...]
    missing: Callable[[], str]
    """Why it cannot be measured; empty if it can."""
    open: Callable[[], AbstractContextManager[Station]]


def program(name: str) -> str | None:
    """Where a program is installed, also outside the search path of an ordinary user."""
    return shutil.which(name) or shutil.which(name, path=SBIN) or shutil.which(name, path=str(TOOLS))


def needs_programs(*names: str) -> Callable[[], str]:
    def missing() -> str:
        lacking = [name for name in names if program(name) is None]
        return f"{', '.join(lacking)}: not installed (tools/setup peers)" if lacking else ""

    return missing


def needs_modules(*names: str) -> Callable[[], str]:
    def missing() -> str:
        lacking = [name for name in names if find_spec(name) is None]
        return f"{', '.join(lacking)}: not installed (the extra `bench`)" if lacking else ""

    return missing


def known() -> dict[str, Peer]:
    """All of them, by name."""
    from benchmarks.peers import asgi, centrifugo, nginx, pushpin, websockets

    peers = [*asgi.PEERS, nginx.PEER, *websockets.PEERS, centrifugo.PEER, pushpin.PEER, MERCURE]
    return {peer.name: peer for peer in peers}


def _no_mercure() -> AbstractContextManager[Station]:
    raise NotImplementedError


MERCURE = Peer(
    "mercure",
    ("sse",),
    lambda: (
        "not measured: neither Debian nor PyPI has a package of it, and it does not install as a Go module"
    ),
    _no_mercure,
)
