"""picows and uWebSockets (through socketify), each in a small server of its own, which is told what to push by its
standard input, as the floor is."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterator

from benchmarks.peers import Peer, needs_modules
from benchmarks.processes import Server, websocket
from benchmarks.station import Pushed, Station


@contextlib.contextmanager
def _station(module: str) -> Iterator[Station]:
    with Server(module, [sys.executable, "-m", f"benchmarks.peers.{module}"]) as server:
        server.port = int(server.hear())
        server.wait_for_port(server.port)
        yield Station(server, {"websocket": websocket("/")}, functools.partial(_told, server))


def _told(server: Server, rate: float, seconds: float) -> Pushed:
    return Pushed(server.ask(f"run {rate} {seconds}")["changes"])


PEERS = (
    Peer(
        "picows",
        ("websocket",),
        needs_modules("picows", "uvloop"),
        functools.partial(_station, "picows_server"),
    ),
    Peer(
        "uWebSockets",
        ("websocket",),
        needs_modules("socketify"),
        functools.partial(_station, "socketify_server"),
    ),
)
