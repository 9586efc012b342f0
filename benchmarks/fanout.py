"""What a delivered message costs the server, and how long the last watcher waits, beside the floor.

The floor (native/src/bin/floor.rs) sends the bytes that the node sends, to as many sockets at the same rate, in
turns with the node. A watch conflates: a watcher gets the newest state, not every state, so at a rate beyond
what the machine can deliver fewer messages go out than changes were made. Both costs are given: for a message,
and for a change of one watcher's resource, however it was brought up to date.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.figure import Figure, compared
from benchmarks.processes import Process, Server, crowd, first_bytes, floor, freshwire, get
from benchmarks.sizes import Sizes

RATES = {10: 1.1, 100: 0.4}
"""Changes a second, and the budget for the cost of a message beside the floor's."""
ENGINE = "freshwire-"
"""How the names of the engine's threads begin."""
WATCH = get("/state", "Accept: text/event-stream")


@dataclass(frozen=True, slots=True)
class Run:
    """One side's part of a round."""

    changes: int
    messages: int
    cpu_ns: int
    engine_ns: int
    refused: int
    """Messages that the floor lost to a full socket, or ticks' worth that came too late."""
    each_us: dict[str, float]
    last_us: dict[str, float]
    reached_all: int

    @property
    def us_a_message(self) -> float:
        """CPU of a delivered message, microseconds."""
        return self.cpu_ns / max(self.messages, 1) / 1000


class Sides:
    """A node and the floor, each with its watchers, who take turns at being measured first."""

    def __init__(self, node: Server, node_crowd: Process, bottom: Server, bottom_crowd: Process) -> None:
        self._node, self._node_crowd = node, node_crowd
        self._floor, self._floor_crowd = bottom, bottom_crowd

    def round(self, number: int, rate: float, sizes: Sizes, watchers: int) -> tuple[Run, Run]:
        """Measure both, the floor first in every other round."""
        if number % 2:
            bottom = self.floor(rate, sizes, watchers)
            return self.node(rate, sizes), bottom
        return self.node(rate, sizes), self.floor(rate, sizes, watchers)

    def node(self, rate: float, sizes: Sizes) -> Run:
        """Let the node's application change its state at a rate."""
        url = f"http://127.0.0.1:{self._node.port}/run?rate={rate}&seconds={sizes.seconds}"
        with _Meter(self._node) as meter:
            changes = httpx.post(url, timeout=sizes.seconds + 60).json()["changes"]
            time.sleep(sizes.settle_s)
        return meter.run(changes, 0, self._node_crowd.ask("mark"))

    def floor(self, rate: float, sizes: Sizes, watchers: int) -> Run:
        """Let the floor send at a rate."""
        with _Meter(self._floor) as meter:
            said = self._floor.ask(f"run {rate} {sizes.seconds}")
            time.sleep(sizes.settle_s)
        lost = said["refused"] + said["missed"] * watchers
        return meter.run(said["changes"], lost, self._floor_crowd.ask("mark"))


class _Meter:
    """CPU of a server during a `with`."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __enter__(self) -> _Meter:
        self._cpu, self._engine = self._server.cpu_ns(), self._server.cpu_ns(ENGINE)
        return self

    def __exit__(self, *_: object) -> None:
        self._cpu = self._server.cpu_ns() - self._cpu
        self._engine = self._server.cpu_ns(ENGINE) - self._engine

    def run(self, changes: int, refused: int, mark: dict[str, Any]) -> Run:
        each_us, last_us = mark["each_us"], mark["last_us"]
        return Run(
            changes, mark["messages"], self._cpu, self._engine, refused, each_us, last_us, mark["reached_all"]
        )


@contextlib.contextmanager
def sides(watchers: int) -> Iterator[Sides]:
    """A node and the floor with so many watchers each."""
    with contextlib.ExitStack() as stack:
        node = stack.enter_context(freshwire())
        first_bytes(node.port, WATCH, b'"at":')
        bottom = stack.enter_context(floor(message(node)))
        node_crowd = stack.enter_context(crowd(node.port, watchers, WATCH))
        bottom_crowd = stack.enter_context(crowd(bottom.port, watchers, WATCH))
        yield Sides(node, node_crowd, bottom, bottom_crowd)


def message(node: Server) -> bytes:
    """The bytes by which a node tells a watcher of the state, without the head of the stream."""
    said = first_bytes(node.port, WATCH, b'"at":')
    return said[said.index(b"\r\n\r\n") + 4 :]


def figures(sizes: Sizes, progress: Callable[[str], None]) -> Iterator[Figure]:
    """CPU of a delivered message at each rate."""
    progress(f"fan-out: connecting {sizes.watchers:,} watchers to each side")
    with sides(sizes.watchers) as both:
        for rate, budget in RATES.items():
            both.node(rate, sizes)  # what is made once is made now
            rounds = []
            for number in range(sizes.rounds):
                progress(f"fan-out: {rate}/s, round {number + 1} of {sizes.rounds}")
                rounds.append(both.round(number, rate, sizes, sizes.watchers))
            yield from _of_rate(rate, budget, rounds, sizes)


def _of_rate(rate: int, budget: float, rounds: list[tuple[Run, Run]], sizes: Sizes) -> Iterator[Figure]:
    mine, theirs = [run for run, _ in rounds], [run for _, run in rounds]
    made = statistics.median(run.changes * sizes.watchers for run in mine)
    got = statistics.median(run.messages for run in mine)
    lost = statistics.median(run.refused for run in theirs)
    floor_got = statistics.median(run.messages for run in theirs)
    note = (
        f"of {made:,.0f} changes × watchers {got:,.0f} were delivered, the others conflated into newer ones; "
        f"the floor delivered {floor_got:,.0f} and lost or missed {lost:,.0f}"
    )
    per_message = [run.us_a_message for run in mine]
    floor_message = [run.us_a_message for run in theirs]
    what = f"CPU a message at {rate}/s"
    yield compared(what, "µs", per_message, "floor", floor_message, budget=budget, note=note)
    yield compared(
        f"CPU a change and watcher at {rate}/s",
        "µs",
        [run.cpu_ns / max(run.changes * sizes.watchers, 1) / 1000 for run in mine],
        "floor",
        floor_message,
        budget=budget,
        note="a watcher that gets a newer state is brought up to date with the changes before it too",
    )
    engine = [run.engine_ns / max(run.messages, 1) / 1000 for run in mine]
    what = f"engine threads' CPU a message at {rate}/s"
    yield compared(what, "µs", engine, "floor", floor_message)
