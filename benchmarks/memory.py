"""What an idle connection costs in user space: the private memory of a node with many, less that without.

Each kind has a node of its own, warmed up by a few connections that have left again, so that what every node
needs once is not counted.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.figure import Figure
from benchmarks.processes import Process, crowd, first_bytes, freshwire, get
from benchmarks.sizes import Sizes

BUDGET_BYTES = 256
WEBSOCKET = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol: freshwire.v1",
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of idle connection."""

    name: str
    request: Callable[[str], bytes]
    """Its request, given the entity tag of the resource."""
    greeted: bool = True


KINDS = (
    Kind("watch by SSE", lambda tag: get("/state", "Accept: text/event-stream")),
    Kind("watch by WebSocket", lambda tag: get("/state", *WEBSOCKET)),
    Kind("long-poll", lambda tag: get("/state", f"If-None-Match: {tag}", "Prefer: wait=60"), greeted=False),
    Kind("keep-alive after one GET", lambda tag: get("/state")),
)


def figures(sizes: Sizes, progress: Callable[[str], None]) -> Iterator[Figure]:
    """Measure every kind."""
    for kind in KINDS:
        progress(f"memory: {sizes.idle:,} × {kind.name}")
        with freshwire() as node:
            head = first_bytes(node.port, get("/state"), b"\r\n\r\n")
            found = re.search(rb"\r\netag: ([^\r]+)", head, re.IGNORECASE)
            request = kind.request(found[1].decode() if found else "")
            with crowd(node.port, sizes.warm_up, request, greeted=kind.greeted):
                time.sleep(sizes.settle_s)
            time.sleep(sizes.settle_s)
            before = settled(node, sizes)
            with crowd(node.port, sizes.idle, request, greeted=kind.greeted) as many:
                time.sleep(sizes.settle_s)
                after = settled(node, sizes)
                mark = many.ask("mark")
        gone, told = mark["gone"], mark["messages"]
        note = f"not idle: {gone} ended, {told} messages came" if gone or told else ""
        # What held the first few may hold as many of these.
        each = (after - before) / (sizes.idle - sizes.warm_up)
        yield Figure(f"idle {kind.name}", each, "B", budget=BUDGET_BYTES, note=note)


def settled(node: Process, sizes: Sizes) -> int:
    """The node's memory once it stays as it is."""
    before = node.private_bytes()
    for _ in range(20):
        time.sleep(sizes.settle_s / 2)
        if (now := node.private_bytes()) == before:
            break
        before = now
    return before
