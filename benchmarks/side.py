"""A side of a comparison: a station with its subscribers, what a measurement of it says, and taking turns."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.crowd import Crowd, Mark, subscribers
from benchmarks.processes import PATIENCE_S
from benchmarks.sizes import Sizes
from benchmarks.station import Station

ENGINE = "freshwire-"
"""How the names of the engine's threads begin."""
P99_ROUNDS = 3
"""Rounds for each of the other benchmarks': the p99 of a round is its slowest change, one of sixteen."""
DRAIN_S = 0.2
"""Silence after which nothing more is expected."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a side did in one round."""

    subscribers: int
    changes: int
    lost: int
    """Messages that it says it could not send in time, or at all."""
    cpu_ns: int
    engine_ns: int
    """The part of the engine's threads."""
    mark: Mark

    @property
    def offered(self) -> int:
        """Messages, if everybody is to have every change."""
        return self.changes * self.subscribers

    @property
    def us_a_message(self) -> float:
        """CPU of a delivered message, microseconds."""
        return self.cpu_ns / max(self.mark.messages, 1) / 1000


class Side:
    """A station with its subscribers."""

    def __init__(self, station: Station, crowd: Crowd) -> None:
        self.station, self.crowd = station, crowd

    def run(self, rate: float, sizes: Sizes) -> Run:
        """Push at a rate, and see what comes of it until `sizes.settle_s` later."""
        server = self.station.server
        self.crowd.mark()
        cpu, engine = server.cpu_ns(), server.cpu_ns(ENGINE)
        pushed = self.station.push(rate, sizes.seconds)
        time.sleep(sizes.settle_s)
        lost = pushed.refused + pushed.missed * self.crowd.size
        cpu, engine = server.cpu_ns() - cpu, server.cpu_ns(ENGINE) - engine
        return Run(self.crowd.size, pushed.changes, lost, cpu, engine, self.crowd.mark())

    def rest(self) -> None:
        """Wait until what it was told to push is delivered, lest it disturb whose turn is next."""
        for _ in range(round(PATIENCE_S / DRAIN_S)):
            time.sleep(DRAIN_S)
            if not self.crowd.mark().messages:
                return


@contextlib.contextmanager
def side(station: Station, transport: str, size: int, cores: Sequence[int] = ()) -> Iterator[Side]:
    """A station's side with so many subscribers, who may run on these cores only."""
    with subscribers(station, transport, size, cores) as crowd:
        yield Side(station, crowd)


def in_turns(sides: Sequence[Side], number: int, rate: float, sizes: Sizes) -> list[Run]:
    """A round: each side once, each round beginning with another; what they did, in the order of `sides`."""
    order = range(len(sides)) if number % 2 == 0 else reversed(range(len(sides)))
    runs = {}
    for index in order:
        runs[index] = sides[index].run(rate, sizes)
        sides[index].rest()
    return [runs[index] for index in range(len(sides))]
