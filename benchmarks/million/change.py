"""A change of the resource: made once, told to every node at once, and waited for by everybody."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.million import MillionError
from benchmarks.million.application import TAG, body_of
from benchmarks.million.children import Client, Node, hear_each

NS = 1_000_000_000
ADMIN_TIMEOUT_S = 60.0
CHANGES = json.dumps({"tags": [TAG]})
TELL = "\r\n".join(
    [
        "POST /changes HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(CHANGES)}",
        "",
        CHANGES,
    ]
).encode()
"""What a node is told, made before it is needed."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How a change came to everybody, seconds after it was made."""

    watchers: int
    first_s: float
    p50_s: float
    p99_s: float
    last_s: float
    told_s: float
    """When the last node had been told."""
    answered_s: float
    """When the last node had said that it knows."""
    first_of_each_node_s: tuple[float, float]
    """When the first watcher of a node had it: at the first node and at the last."""

    @property
    def told_share(self) -> float:
        """Of the delay to the last watcher, what telling the nodes can have taken."""
        return self.told_s / self.last_s


def write(state: Path, stamp_ns: int, score: int) -> None:
    """Change the state, whole: a reader sees the old one or the new one."""
    new = state.with_suffix(".new")
    new.write_bytes(body_of(stamp_ns, score))
    new.replace(state)


def change(
    state: Path,
    score: int,
    nodes: Sequence[Node],
    clients: Sequence[Client],
    patience_s: float,
    tick: Callable[[int], None],
) -> Reached:
    """Change the state and wait until everybody has it.

    patience_s: how long nothing may come to anybody.
    tick: told how many nodes' watchers all have it.

    Raises MillionError, which names the nodes whose watchers do not all have it.
    """
    told_ns, answered_ns = make(state, score, nodes, clients, patience_s)
    said: list[dict[str, Any]] = []

    def on_line(client: Client, line: str) -> None:
        said.append(json.loads(line))

    missing = hear_each(clients, patience_s, on_line, lambda: tick(len(said)))
    if missing:
        have = sum(mark["each_us"]["count"] for mark in said)
        raise MillionError(_missed(missing, have))
    return reached(said, told_ns, answered_ns)


def make(
    state: Path, score: int, nodes: Sequence[Node], clients: Sequence[Client], patience_s: float
) -> tuple[int, int]:
    """Have the clients await a change, make it and tell it to the nodes.

    Returns after how long all nodes had been told, and had answered, nanoseconds.
    """
    for client in clients:
        client.say("await")
    if deaf := hear_each(clients, patience_s, lambda client, line: None):
        raise MillionError(f"{deaf[0].name} does not answer")
    with contextlib.ExitStack() as stack:
        told = [stack.enter_context(_connected(node)) for node in nodes]
        stamp = time.time_ns()
        write(state, stamp, score)
        for connection in told:
            connection.sendall(TELL)
        told_ns = time.time_ns() - stamp
        for node, connection in zip(nodes, told, strict=True):
            with http.client.HTTPResponse(connection, method="POST") as response:
                response.begin()
                if response.status != 200:
                    raise MillionError(f"{node.name} refuses the change: {response.read()[:500]!r}")
                response.read()
        answered_ns = time.time_ns() - stamp
    return told_ns, answered_ns


def reached(said: Sequence[dict[str, Any]], told_ns: int, answered_ns: int) -> Reached:
    """Put together what the clients say. Raises MillionError if it is of more than one change."""
    if any(mark["changes"] != 1 or mark["reached_all"] != 1 or mark["backward"] for mark in said):
        raise MillionError("a client speaks of another change than was made")
    waited: Counter[float] = Counter()
    for mark in said:
        waited.update(dict(mark["each_us"]["buckets"]))
    firsts = [mark["first_us"]["max"] / 1e6 for mark in said]
    last_s = max(mark["last_us"]["max"] for mark in said) / 1e6
    return Reached(
        watchers=sum(mark["each_us"]["count"] for mark in said),
        first_s=min(firsts),
        p50_s=min(quantile(waited, 0.5), last_s),
        p99_s=min(quantile(waited, 0.99), last_s),
        last_s=last_s,
        told_s=told_ns / NS,
        answered_s=answered_ns / NS,
        first_of_each_node_s=(min(firsts), max(firsts)),
    )


def quantile(waited: Counter[float], share: float) -> float:
    """The delay that so many had at most, seconds; the load client's buckets are a hundredth wide."""
    left = math.ceil(waited.total() * share)
    for at_most_us in sorted(waited):
        left -= waited[at_most_us]
        if left <= 0:
            return at_most_us / 1e6
    return 0.0


def _missed(missing: Sequence[Client], have: int) -> str:
    """Which node's watchers have not got the change, and how many of them."""
    for client in missing:
        client.say("mark")
    lines = []

    def on_line(client: Client, line: str) -> None:
        mark = json.loads(line)
        got, there = mark["each_us"]["count"], mark["there"]
        ended = f", {mark['ended']}" if mark["ended"] else ""
        lines.append(
            f"{client.node.name} ({client.node.address}): {got:,} of {client.watchers:,} got it, "
            f"{there:,} are connected{ended}"
        )

    silent = hear_each(missing, 5.0, on_line)
    lines += [f"{client.name} does not answer" for client in silent]
    return f"the change did not come to everybody: {have:,} got it at the other nodes\n  " + "\n  ".join(
        lines
    )


@contextlib.contextmanager
def _connected(node: Node) -> Iterator[socket.socket]:
    """Connected to its admin socket before the change is made, so that connecting is no part of the delay.

    Raises MillionError.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ADMIN_TIMEOUT_S)
        try:
            connection.connect(os.fspath(node.admin))
            yield connection
        except (OSError, http.client.HTTPException) as error:
            raise MillionError(f"{node.name} cannot be told: {error or type(error).__name__}") from error
