"""The phases: start the nodes, connect, settle, measure, change, and the end of it all."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.million import MillionError, change, memory
from benchmarks.million.application import PATH
from benchmarks.million.children import Client, Node, hear_each
from benchmarks.million.memory import Memory
from benchmarks.million.plan import Plan
from benchmarks.million.progress import Progress
from benchmarks.processes import get

WATCH = get(PATH, "Accept: text/event-stream")
STARTING = 4
"""Nodes that start at once: an interpreter that starts takes a core for a while."""
CONNECTING = 8
"""Clients that connect at once, each with up to 64 connections on their way: far less than any node lets wait."""
WARM_UP = 50
"""Watchers of each node that have come and gone before its memory is read."""
PATIENCE_S = 60.0
"""How long nothing may happen."""
CONNECT_PATIENCE_S = 300.0
"""How long no client may be through with its connections."""
SLOWEST = 4_000
"""Messages that are delivered in a second on the busiest machine."""
SETTLE_S = 3.0
PAUSE_S = 1.0
"""Between two changes."""


@dataclass(slots=True)
class Outcome:
    """What was found."""

    seconds: dict[str, float] = field(default_factory=dict)
    """How long each phase took."""
    retried: Counter[str] = field(default_factory=Counter)
    """Connects that failed and were tried again, by reason."""
    trouble: dict[str, int] = field(default_factory=dict)
    """What the kernel counted of connections that came too fast, in all phases."""
    before: Memory | None = None
    """With nodes, without watchers."""
    held: Memory | None = None
    """With all watchers, at rest."""
    after: Memory | None = None
    """After the changes."""
    changes: list[change.Reached] = field(default_factory=list)


class Phases:
    """One run."""

    def __init__(self, plan: Plan, folder: Path, group: int, progress: Progress) -> None:
        """Begin.

        folder: for the state, the sockets and the request.
        group: the process group of everything that is started.
        """
        self._plan, self._folder, self._group, self._progress = plan, folder, group, progress
        self._state, self._request = folder / "state.json", folder / "request"
        self._request.write_bytes(WATCH)
        self._nodes: list[Node] = []
        self._clients: list[Client] = []
        self.outcome = Outcome()

    def run(self, changes: int) -> Outcome:
        """Do it all. Raises MillionError."""
        counters = memory.tcp_counters()
        with self._timed("start the nodes"):
            self._start()
        with self._timed("warm up"):
            self._warm_up()
        self.outcome.before = self._settled()
        with self._timed("connect"):
            self._connect()
        with self._timed("settle"):
            self.outcome.held = self._settled()
        with self._timed("changes"):
            for number in range(changes):
                self._change(number)
        with self._timed("settle again"):
            self.outcome.after = self._settled()
        self.outcome.trouble = {name: count - counters[name] for name, count in memory.tcp_counters().items()}
        return self.outcome

    def kill(self) -> None:
        """End every process at once, from another thread: what is waited for ends with an error."""
        for child in [*self._clients, *self._nodes]:
            child.kill()

    def close(self) -> None:
        """End every process and wait for its end."""
        self.kill()
        for child in [*self._clients, *self._nodes]:
            child.close()

    def _start(self) -> None:
        change.write(self._state, 0, 0)
        waiting = deque(range(self._plan.nodes))

        def start() -> Node:
            number = waiting.popleft()
            address = f"{self._plan.address(number)}:0"
            node = Node(number, address, self._folder, self._state, self._group)
            self._nodes.append(node)
            return node

        serving = 0

        def on_line(node: Node, line: str) -> Node | None:
            nonlocal serving
            node.announced(line)
            serving += 1
            return start() if waiting else None

        first = [start() for _ in range(min(STARTING, len(waiting)))]
        of = self._plan.nodes
        silent = hear_each(first, PATIENCE_S, on_line, lambda: self._progress("nodes", serving, of))
        _none(silent, "does not begin to serve")

    def _warm_up(self) -> None:
        """Have what a node makes once made before it is measured."""
        for number, node in enumerate(self._nodes):
            client = Client(node, WARM_UP, self._request, self._group)
            try:
                _none(hear_each([client], PATIENCE_S, lambda client, line: None), "is not served")
            finally:
                client.close()
            self._progress("warm up", number + 1, self._plan.nodes)

    def _connect(self) -> None:
        waiting = deque(zip(self._nodes, self._plan.shares, strict=True))
        others = memory.sockets_in_use()

        def start() -> Client:
            node, share = waiting.popleft()
            client = Client(node, share, self._request, self._group)
            self._clients.append(client)
            return client

        def on_line(client: Client, line: str) -> Client | None:
            if line != f"ready {client.watchers}":
                raise MillionError(f"{client.name} was to have {client.watchers:,} watchers; it says {line}")
            return start() if waiting else None

        def tick() -> None:
            made = max(memory.sockets_in_use() - others, 0) // 2
            self._progress(f"{made:,} watchers", made, self._plan.watchers)

        first = [start() for _ in range(min(CONNECTING, len(waiting)))]
        _none(hear_each(first, CONNECT_PATIENCE_S, on_line, tick), "has not connected")
        for client in self._clients:
            client.say("mark")
        _none(hear_each(self._clients, PATIENCE_S, self._account), "does not answer")

    def _account(self, client: Client, line: str) -> None:
        """Take what a client says of its connections. Raises MillionError when some have ended."""
        mark = json.loads(line)
        self.outcome.retried.update(mark["retried"])
        if mark["gone"]:
            raise MillionError(f"{client.node.name} has ended {mark['gone']:,} of its watchers' connections")

    def _settled(self) -> Memory:
        self._progress("settle", 0, 1)
        time.sleep(SETTLE_S)
        return memory.measure(self._nodes, self._clients)

    def _change(self, number: int) -> None:
        time.sleep(PAUSE_S)

        def tick(nodes: int) -> None:
            self._progress(f"change {number + 1}: nodes whose watchers all have it", nodes, self._plan.nodes)

        patience_s = PATIENCE_S + self._plan.watchers / SLOWEST
        reached = change.change(self._state, number + 1, self._nodes, self._clients, patience_s, tick)
        if reached.watchers != self._plan.watchers:
            raise MillionError(f"change {number + 1} came to {reached.watchers:,} watchers")
        self.outcome.changes.append(reached)
        self._progress.say(
            f"change {number + 1} came to {reached.watchers:,} watchers: first {reached.first_s * 1000:,.1f} ms, "
            f"median {reached.p50_s:.2f} s, p99 {reached.p99_s:.2f} s, last {reached.last_s:.2f} s"
        )

    @contextlib.contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        self._progress.begin(name)
        began = time.monotonic()
        yield
        self.outcome.seconds[name] = time.monotonic() - began
        self._progress.say(f"{name}: {self.outcome.seconds[name]:.1f} s")


def _none(silent: Sequence[Any], what: str) -> None:
    if silent:
        raise MillionError(f"{silent[0].name} {what}, nor do {len(silent) - 1} others")
