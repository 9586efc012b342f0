"""What it costs the server to take in a connection that begins to watch, beside the floor, which accepts it, reads
the request and answers with the same message.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from benchmarks.fanout import WATCH, message
from benchmarks.figure import Figure, compared
from benchmarks.processes import Server, crowd, first_bytes, floor, freshwire
from benchmarks.sizes import Sizes

BUDGET = 1.3


def figures(sizes: Sizes, progress: Callable[[str], None]) -> Iterator[Figure]:
    """CPU of a connection, from its acceptance to its first message."""
    mine: list[float] = []
    theirs: list[float] = []
    with freshwire() as node:
        first_bytes(node.port, WATCH, b'"at":')
        with floor(message(node)) as bottom:
            for number in range(sizes.rounds):
                progress(f"connect: round {number + 1} of {sizes.rounds}")
                turns = [(node, mine), (bottom, theirs)]
                for server, costs in turns if number % 2 else turns[::-1]:
                    costs.append(_cost_us(server, sizes))
    yield compared("CPU to connect and watch", "µs", mine, "floor", theirs, budget=BUDGET)


def _cost_us(server: Server, sizes: Sizes) -> float:
    """Of one connection among many, microseconds."""
    before = server.cpu_ns()
    with crowd(server.port, sizes.arrivals, WATCH):
        cost_ns = server.cpu_ns() - before
    time.sleep(sizes.settle_s)  # they leave
    return cost_ns / sizes.arrivals / 1000
