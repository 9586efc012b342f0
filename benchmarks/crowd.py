"""The crowd: many connections of the load client (load/), each of which has sent a request, and what comes to them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.processes import PATIENCE_S, BenchmarkError, Process, file_of, load
from benchmarks.station import Station

PRIMING = (20.0, 0.25)
"""Rate and seconds of the messages that show that everybody is there, where a server does not greet."""
QUANTILES = ("p50", "p90", "p99", "p999", "max")
POINTS = 60
"""Points of a distribution that a plot needs."""


@dataclass(frozen=True, slots=True)
class Delays:
    """How long something took, microseconds."""

    count: int
    quantiles: dict[str, float]
    buckets: list[tuple[float, int]]
    """The largest delay of each bucket, and how many were in it."""

    @classmethod
    def of_json(cls, said: dict[str, Any]) -> Delays:
        quantiles = {name: said[name] or 0.0 for name in QUANTILES}
        return cls(said["count"], quantiles, [(most, count) for most, count in said["buckets"]])

    def within(self, most_us: float) -> int:
        """How many took no longer."""
        return sum(count for most, count in self.buckets if most <= most_us)

    def distribution(self) -> list[tuple[float, float]]:
        """Delays in milliseconds, each with the share that took no longer."""
        points: list[tuple[float, float]] = []
        seen, step = 0, self.count / POINTS
        for most, count in self.buckets:
            seen += count
            if not points or seen - points[-1][1] * self.count >= step or seen == self.count:
                points.append((most / 1000, seen / self.count))
        return points


@dataclass(frozen=True, slots=True)
class Mark:
    """What has come to all of them since the last mark."""

    messages: int
    changes: int
    """How many different ones."""
    reached_all: int
    """Changes that reached everybody that reads."""
    newest: int
    """Members that have the newest change that anybody has."""
    backward: int
    """Messages that were older than one before them."""
    gone: int
    """Connections that ended, since the beginning."""
    each: Delays
    """From a change to a message of it."""
    last: Delays
    """From a change until it had reached everybody, of those that did."""


class Crowd:
    """Connections of one process."""

    def __init__(self, process: Process, size: int) -> None:
        self.process, self.size = process, size

    def mark(self) -> Mark:
        """Count, and begin anew."""
        said = self.process.ask("mark")
        names = ("messages", "changes", "reached_all", "newest", "backward", "gone")
        each, last = Delays.of_json(said["each_us"]), Delays.of_json(said["last_us"])
        return Mark(**{name: said[name] for name in names}, each=each, last=last)

    def cut(self) -> Delays:
        """Close all connections at once and come back; how long it took each."""
        return Delays.of_json(self.process.ask("cut")["back_us"])


@contextlib.contextmanager
def crowd(
    port: int,
    size: int,
    request: bytes,
    *,
    greeted: bool = True,
    window: int = 64,
    enough: float = 1.0,
    cores: Sequence[int] = (),
) -> Iterator[Crowd]:
    """So many connections that have each sent a request and, if `greeted`, got a message.

    `{n}` in the request is the member's number. Raises BenchmarkError if fewer than `enough` are there.
    """
    with file_of(request) as path:
        words = ["--transport", "raw", "--raw", path, "--ready", "greeted" if greeted else "connected"]
        words += ["--timeout-s", str(PATIENCE_S), "--window", str(window)]
        with load(f"127.0.0.1:{port}", size, *words, enough=enough, cores=cores) as process:
            yield Crowd(process, process.ask("mark")["there"])


@contextlib.contextmanager
def subscribers(station: Station, transport: str, size: int, cores: Sequence[int] = ()) -> Iterator[Crowd]:
    """So many subscribers of a station, each of whom has shown that it gets what is pushed."""
    with crowd(
        station.server.port,
        size,
        station.requests[transport],
        greeted=station.greets,
        window=station.window,
        enough=station.enough,
        cores=cores,
    ) as many:
        if not station.greets:
            _prime(station, many)
        yield many


def _prime(station: Station, many: Crowd) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        station.push(*PRIMING)
        time.sleep(0.5)
        mark = many.mark()
        if mark.gone == 0 and mark.reached_all:
            return
    raise BenchmarkError(f"of {many.size} subscribers not everybody gets what is pushed: {mark}")
