"""All watchers are cut off at once and come back: how long until all are there, and what it costs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator

import httpx

from benchmarks.crowd import crowd
from benchmarks.figure import Figure, Result
from benchmarks.sizes import Sizes
from benchmarks.station import node


def figures(sizes: Sizes, progress: Callable[[str], None]) -> Iterator[Result]:
    """Time, application calls and server CPU of a storm of reconnects."""
    seconds: list[float] = []
    cpu_us: list[float] = []
    calls: list[int] = []
    progress(f"storm: connecting {sizes.storm:,} watchers")
    with (
        node() as station,
        crowd(station.server.port, sizes.storm, station.requests["sse"]) as everybody,
    ):
        for number in range(sizes.rounds):
            progress(f"storm: round {number + 1} of {sizes.rounds}")
            before, reads = station.server.cpu_ns(), _reads(station.server.port)
            back = everybody.cut()
            cpu_us.append((station.server.cpu_ns() - before) / sizes.storm / 1000)
            calls.append(_reads(station.server.port) - reads)
            seconds.append(back.quantiles["max"] / 1e6)
            lost = sizes.storm - back.count
    what = f"{sizes.storm:,} watchers cut off at once"
    note = f"{lost:,} did not come back" if lost else "all came back"
    spread = (min(seconds), max(seconds))
    yield Figure(f"{what}: until all are back", statistics.median(seconds), "s", spread=spread, note=note)
    spread = (min(cpu_us), max(cpu_us))
    yield Figure(f"{what}: server CPU of each", statistics.median(cpu_us), "µs", spread=spread)
    yield Figure(f"{what}: application calls", max(calls), "", budget=1)


def _reads(port: int) -> int:
    """How often the application was asked for the state."""
    reads: int = httpx.get(f"http://127.0.0.1:{port}/reads").json()["/state"]
    return reads
