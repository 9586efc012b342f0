"""Have clients follow the resource in one way, change it meanwhile, and count."""

from __future__ import annotations

import json
import math
import subprocess
import time
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from benchmarks.edge.gridless import HOLD_S
from benchmarks.edge.ways import Way
from benchmarks.processes import NATIVE, BenchmarkError, Server

CYCLE_S = HOLD_S
"""Of the grid, as the node has it by default; and how long a wait without the grid is held."""
CONNECT_S = 60.0
"""How long a client may take to have its first answer."""


@dataclass(frozen=True)
class Outcome:
    """What came of one way."""

    way: str
    clients: int
    there: int
    """Clients that were there at the end."""
    seconds: float
    """From the first connection to the end."""
    edges: int
    """Caches that ask the origin."""
    changes: int
    cycles: int
    """Of the grid that were touched."""
    waits: int | None
    """Of the clients, answered."""
    origin_waits: int | None
    """That reached the origin."""
    reads: int
    """Of the clients, because of a notice, or polls."""
    origin_reads: int
    """Calls of the application."""
    stale: int
    """Reads that lack a change whose position they have."""
    early: int
    """Reads made before the position of their notice."""
    missed: int
    """Clients that do not have the last state at the end."""
    failed: int
    """Waits, reads and connections that failed."""
    left: dict[str, int]
    """Connections that could not be made or did not last, by the reason."""
    delay_ms: dict[str, float | None]
    """From a change to what shows it, at each client."""

    @property
    def waits_allowed(self) -> int:
        """One for each cache in each cycle, and one more for each change, as that ends a wait before its cycle does."""
        return self.edges * (self.cycles + self.changes)

    @property
    def reads_allowed(self) -> int:
        """One for each change, and one to begin with."""
        return self.changes + 1

    @property
    def kept(self) -> bool:
        """Whether it is as promised."""
        within = (self.origin_waits or 0) <= self.waits_allowed and self.origin_reads <= self.reads_allowed
        lost = self.stale + self.early + self.missed + self.failed + (self.clients - self.there)
        return within and lost == 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"waits_allowed": self.waits_allowed, "reads_allowed": self.reads_allowed}


def counts_of(origin: Server, way: Way) -> tuple[int, int]:
    """Waits and reads that have reached the origin and its application."""
    base = f"http://127.0.0.1:{origin.port}"
    with httpx.Client(trust_env=False, timeout=30) as http:
        counts = http.get(f"{base}/counts").json()
        if not way.empty:
            counts["waits"] = http.get(f"{base}/.fresh/stats").json()["waits"]
    return counts["waits"], counts["reads"]


def measure(way: Way, clients: int, seconds: float, changes_a_second: float) -> Outcome:
    """Do all of it. Raises BenchmarkError."""
    clients = min(clients, way.most)
    with way.open() as (origin, edges):
        before = counts_of(origin, way)
        begun = time.monotonic()
        said = load(way, clients, seconds, changes_a_second, edges)
        took = time.monotonic() - begun
        after = counts_of(origin, way)
    made = sum(said["post_statuses"].values())
    left = said["failed"] | said["ended"]
    waits = said["waits"]
    polls = way.how == "poll"
    each = said["each_us"]
    return Outcome(
        way=way.name,
        clients=clients,
        there=said["there"],
        seconds=took,
        edges=way.origins,
        changes=made,
        cycles=math.floor(took / CYCLE_S) + 2,
        waits=None if polls else sum(waits.values()),
        origin_waits=None if polls else after[0] - before[0],
        reads=said["messages"] if polls else said["rereads"],
        origin_reads=after[1] - before[1],
        stale=said["stale"],
        early=said["early"],
        missed=0 if polls else said["behind"],
        failed=waits.get("failed", 0) + waits.get("gone", 0) + said["unanswered"] + sum(left.values()),
        left=left,
        delay_ms={
            name: None if polls or each[name] is None else each[name] / 1000 for name in ("p50", "p99", "max")
        },
    )


def load(
    way: Way, clients: int, seconds: float, changes_a_second: float, edges: list[Server]
) -> dict[str, Any]:
    """What the load client counts."""
    targets = ",".join(f"127.0.0.1:{edge.port}" for edge in edges)
    words = [str(NATIVE / "freshwire-load"), targets, "--connections", str(clients), "--path", "/x"]
    words += ["--host", "127.0.0.1", "--timeout-s", str(CONNECT_S), "--window", "256", "--progress", "false"]
    words += ["--changes", "/change", "--change-rate", str(changes_a_second), "--seconds", str(seconds)]
    done = subprocess.run([*words, *way.words(clients)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"the load client has failed: {done.stderr[-2000:]}")
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said
