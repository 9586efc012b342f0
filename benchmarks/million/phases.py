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
from benchmarks.million.children import TICK_S, Client, Node, hear_each
from benchmarks.million.keeper import Keeper
from benchmarks.million.memory import Memory
from benchmarks.million.plan import Plan
from benchmarks.million.progress import Progress

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


@dataclass(frozen=True, slots=True)
class Killed:
    """What became of the watchers of a node that was killed."""

    watchers: int
    back: int
    """Those that came back, to another node."""
    got: int
    """Those that then got the change which was made while they had no node."""
    started_s: float
    """How long the other node took to serve."""
    back_p50_s: float
    back_last_s: float
    """From the order to come back to the first answer."""


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
    node_cpu_us: float = 0.0
    """CPU of a delivered message: at the nodes, with most of what the kernel does to deliver it."""
    client_cpu_us: float = 0.0
    killed: Killed | None = None
    changes: list[change.Reached] = field(default_factory=list)


class Phases:
    """One run."""

    def __init__(self, plan: Plan, folder: Path, keeper: Keeper, progress: Progress) -> None:
        """Begin.

        folder: for the state, the sockets and the request.
        keeper: whose group and network everything is started in.
        """
        self._plan, self._folder, self._keeper, self._progress = plan, folder, keeper, progress
        self._state = folder / "state.json"
        self._nodes: list[Node] = []
        self._clients: list[Client] = []
        self.outcome = Outcome()

    def run(self, changes: int, *, kill: bool = False) -> Outcome:
        """Do it all.

        kill: kill a node too.

        Raises MillionError.
        """
        counters = memory.tcp_counters(self._keeper.network)
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
            cpu_ns = self._cpu_ns()
            for number in range(changes):
                self._change(number)
            self._account_cpu(cpu_ns)
        with self._timed("settle again"):
            self.outcome.after = self._settled()
        if kill:
            with self._timed("kill a node"):
                self.outcome.killed = self._lose_node(changes)
        self.outcome.trouble = {
            name: count - counters[name] for name, count in memory.tcp_counters(self._keeper.network).items()
        }
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
            node = Node(number, address, self._folder, self._state, self._keeper)
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
            client = Client(node, WARM_UP, self._keeper)
            try:
                said = _answer(client, PATIENCE_S)
                if said["ready"] != client.watchers:
                    raise MillionError(f"{node.name} does not serve: {said['failed'] or said['ended']}")
            finally:
                client.close()
            self._progress("warm up", number + 1, self._plan.nodes)

    def _connect(self) -> None:
        waiting = deque(zip(self._nodes, self._plan.shares, strict=True))
        others = memory.sockets_in_use(self._keeper.network)

        def start() -> Client:
            node, share = waiting.popleft()
            client = Client(node, share, self._keeper)
            self._clients.append(client)
            return client

        def on_line(client: Client, line: str) -> Client | None:
            self._account(client, json.loads(line))
            return start() if waiting else None

        def tick() -> None:
            made = max(memory.sockets_in_use(self._keeper.network) - others, 0) // 2
            self._progress(f"{made:,} watchers", made, self._plan.watchers)

        first = [start() for _ in range(min(CONNECTING, len(waiting)))]
        _none(hear_each(first, CONNECT_PATIENCE_S, on_line, tick), "has not connected")

    def _account(self, client: Client, said: dict[str, Any]) -> None:
        """Take what a client says of its connections; those that failed are tried once more.

        Raises MillionError when some are still missing.
        """
        self.outcome.retried.update(said["failed"])
        self.outcome.retried.update(said["ended"])
        if said.get("ready") == client.watchers:
            return
        client.say("return")
        if _answer(client, PATIENCE_S)["back"] != client.watchers:
            raise MillionError(
                f"of {client.watchers:,} watchers, {client.node.name} has {said['ready']:,}: "
                f"{said['failed'] or said['ended']}"
            )

    def _settled(self) -> Memory:
        self._progress("settle", 0, 1)
        time.sleep(SETTLE_S)
        return memory.measure(self._nodes, self._clients, self._keeper.network)

    def _change(self, number: int) -> None:
        time.sleep(PAUSE_S)

        def tick(nodes: int) -> None:
            self._progress(f"change {number + 1}: nodes whose watchers all have it", nodes, self._plan.nodes)

        reached = change.change(self._state, number + 1, self._nodes, self._clients, self._patience_s, tick)
        if reached.watchers != self._plan.watchers:
            raise MillionError(f"change {number + 1} came to {reached.watchers:,} watchers")
        self.outcome.changes.append(reached)
        self._progress.say(
            f"change {number + 1} came to {reached.watchers:,} watchers: first {reached.first_s * 1000:,.1f} ms, "
            f"median {reached.p50_s:.2f} s, p99 {reached.p99_s:.2f} s, last {reached.last_s:.2f} s"
        )

    @property
    def _patience_s(self) -> float:
        return PATIENCE_S + self._plan.watchers / SLOWEST

    def _cpu_ns(self) -> tuple[int, int]:
        return sum(node.cpu_ns() for node in self._nodes), sum(client.cpu_ns() for client in self._clients)

    def _account_cpu(self, before: tuple[int, int]) -> None:
        messages = max(sum(reached.watchers for reached in self.outcome.changes), 1)
        each = [(now - then) / messages / 1000 for now, then in zip(self._cpu_ns(), before, strict=True)]
        self.outcome.node_cpu_us, self.outcome.client_cpu_us = each

    def _lose_node(self, number: int) -> Killed:
        """Kill a node, make a change without it, start another node at its address, and have its watchers come back.

        Whoever follows a change needs no memory of the node that died: the other one has a log of its own, so that it
        sends each of them the newest state, and then all watchers get the next change.
        """
        lost, client = self._nodes[0], self._clients[0]
        lost.close()
        self._wait_until_gone(client)
        made = number + 1
        change.make(self._state, made, self._nodes[1:], self._clients, self._patience_s)
        _none(hear_each(self._clients[1:], self._patience_s, lambda *_: None), "has not got the change")
        began = time.monotonic()
        other = Node(self._plan.nodes, lost.address, self._folder, self._state, self._keeper)
        self._nodes[0] = client.node = other
        _none(
            hear_each([other], PATIENCE_S, lambda node, line: node.announced(line)), "does not begin to serve"
        )
        started_s = time.monotonic() - began
        client.say("return")
        back, got = (_answer(client, self._patience_s) for _ in range(2))
        self._change(made)
        return Killed(
            watchers=client.watchers,
            back=back["back"],
            got=got["each_us"]["count"],
            started_s=started_s,
            back_p50_s=back["back_us"]["p50"] / 1e6,
            back_last_s=back["back_us"]["max"] / 1e6,
        )

    def _wait_until_gone(self, client: Client) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            client.say("mark")
            if not (there := _answer(client, PATIENCE_S)["there"]):
                return
            if time.monotonic() > deadline:
                raise MillionError(f"{there:,} watchers of {client.node.name} do not see that it was killed")
            time.sleep(TICK_S)

    @contextlib.contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        self._progress.begin(name)
        began = time.monotonic()
        yield
        self.outcome.seconds[name] = time.monotonic() - began
        self._progress.say(f"{name}: {self.outcome.seconds[name]:.1f} s")


def _answer(client: Client, patience_s: float) -> dict[str, Any]:
    """The JSON that a client says next. Raises MillionError."""
    said: list[dict[str, Any]] = []

    def on_line(client: Client, line: str) -> None:
        said.append(json.loads(line))

    _none(hear_each([client], patience_s, on_line), "does not answer")
    return said[0]


def _none(silent: Sequence[Any], what: str) -> None:
    if silent:
        raise MillionError(f"{silent[0].name} {what}, and {len(silent) - 1} others")
