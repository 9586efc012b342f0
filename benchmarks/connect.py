"""What it costs the server to take in a connection that begins to watch, beside the floor, which accepts it, reads
the request and answers with the same message. Server and clients have a core each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from benchmarks.crowd import crowd
from benchmarks.figure import Figure, compared
from benchmarks.processes import cores
from benchmarks.sizes import Sizes
from benchmarks.station import Station, bottom, node

BUDGET = 1.3


def figures(sizes: Sizes, progress: Callable[[str], None]) -> Iterator[Figure]:
    """CPU of a connection, from its acceptance to its first message."""
    mine: list[float] = []
    theirs: list[float] = []
    server, client = cores()
    with node(cores=server) as station, bottom(station, "sse", server) as ground:
        for number in range(sizes.rounds):
            progress(f"connect: round {number + 1} of {sizes.rounds}")
            turns = [(station, mine), (ground, theirs)]
            for side, costs in turns if number % 2 else turns[::-1]:
                costs.append(_cost_us(side, sizes, client))
    yield compared("CPU to connect and watch", "µs", mine, "floor", theirs, budget=BUDGET)


def _cost_us(station: Station, sizes: Sizes, client: list[int]) -> float:
    """Of one connection among many, microseconds."""
    before = station.server.cpu_ns()
    with crowd(station.server.port, sizes.arrivals, station.requests["sse"], cores=client):
        cost_ns = station.server.cpu_ns() - before
    time.sleep(sizes.settle_s)  # they leave
    return cost_ns / sizes.arrivals / 1000
