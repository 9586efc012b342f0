"""What an idle connection costs in user space: the private memory of a server with many, less that without.

Each kind has nodes of its own, warmed up by a few connections that have left again, so that what every node
needs once is not counted. It is measured several times, because a node may give back memory in between that it had
used at its start. What the kernel holds for a connection is given apart: the sockets of both ends are on this machine,
and the pages of all processes are counted.
"""

from __future__ import annotations

import contextlib
import re
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import httpx

from benchmarks.crowd import crowd, subscribers
from benchmarks.fanout import TRANSPORTS
from benchmarks.figure import NODE, Figure, Result, Series, absent
from benchmarks.peers import Peer
from benchmarks.processes import (
    PATIENCE_S,
    BenchmarkError,
    Process,
    first_bytes,
    freshwire,
    get,
    kernel_bytes,
)
from benchmarks.sizes import Sizes
from benchmarks.station import watching

BUDGET_BYTES = 256
CACHE_BYTES = 1 << 30
"""What the node may keep: more than all of it."""
AT_ONCE = 100
"""Requests that are sent before the first of them is answered."""
ROUNDS = 3
"""Nodes of each kind, at most."""
STEPS = (0.2, 0.5, 1.0)
"""Shares of all connections at which the memory is read, for the plot."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of idle connection."""

    name: str
    short: str
    """Its name in the plot."""
    request: Callable[[str, str], bytes]
    """Its request, given the entity tag of the resource, and a word that no other part of the connections has."""
    greeted: bool = True
    budget: float | None = BUDGET_BYTES


KINDS = (
    Kind("watch by SSE", "SSE", lambda tag, part: watching("/state")["sse"]),
    Kind("watch by WebSocket", "WebSocket", lambda tag, part: watching("/state")["websocket"]),
    Kind(
        "long-poll",
        "long-poll",
        lambda tag, part: get("/state", f"If-None-Match: {tag}", "Prefer: wait=60"),
        greeted=False,
    ),
    Kind("keep-alive after one GET", "keep-alive", lambda tag, part: get("/state")),
    Kind(
        "watch by SSE, each of a resource of its own",
        "SSE, a resource each",
        lambda tag, part: watching(f"/things/{part}-{{n}}")["sse"],
        budget=None,
    ),
)


@dataclass(frozen=True, slots=True)
class Held:
    """What a node and the kernel hold for many idle connections."""

    each: float
    """Bytes for each of them."""
    kernel_each: float
    points: list[tuple[float, float]]
    """How many there were, and the megabytes of all of them."""
    gone: int
    told: int
    """How many ended, and messages that came: none, if all were idle."""


def figures(sizes: Sizes, progress: Callable[[str], None], peers: list[Peer]) -> Iterator[Result]:
    """Measure every kind, then what is kept without a connection, then the peers."""
    for kind in KINDS:
        rounds = []
        for number in range(min(ROUNDS, sizes.rounds)):
            progress(f"memory: {sizes.idle:,} × {kind.name}, node {number + 1}")
            rounds.append(_held(kind, sizes))
        yield from _of_kind(kind, rounds)
    progress(f"memory: {sizes.topics:,} resources and tags")
    yield from _topics(sizes)
    for peer in peers:
        for transport in peer.transports:
            progress(f"memory: {sizes.watchers:,} subscribers of {peer.name} by {transport}")
            yield from _of_peer(peer, transport, sizes)


def _of_kind(kind: Kind, rounds: list[Held]) -> Iterator[Result]:
    middle = sorted(rounds, key=lambda held: held.each)[len(rounds) // 2]
    gone, told = (sum(getattr(held, name) for held in rounds) for name in ("gone", "told"))
    note = f"not idle: {gone} ended, {told} messages came" if gone or told else ""
    spread = (min(held.each for held in rounds), max(held.each for held in rounds))
    yield Figure(f"idle {kind.name}", middle.each, "B", spread=spread, budget=kind.budget, note=note)
    kernel = statistics.median(held.kernel_each for held in rounds)
    yield Figure(f"idle {kind.name}, kernel memory of both ends", kernel, "B")
    yield Series("memory", f"{NODE}, {kind.short}", middle.points)


def _held(kind: Kind, sizes: Sizes) -> Held:
    with freshwire() as node:
        head = first_bytes(node.port, get("/state"), b"\r\n\r\n")
        found = re.search(rb"\r\netag: ([^\r]+)", head, re.IGNORECASE)
        tag = found[1].decode() if found else ""
        with crowd(node.port, sizes.warm_up, kind.request(tag, "warm"), greeted=kind.greeted):
            time.sleep(sizes.settle_s)
        time.sleep(sizes.settle_s)
        before, kernel = settled(node, sizes), kernel_bytes()
        points: list[tuple[float, float]] = []
        gone = told = 0
        with contextlib.ExitStack() as stack:
            here = 0
            many = []
            for step in STEPS:
                count = round(sizes.idle * step) - here
                request = kind.request(tag, str(step))
                many.append(stack.enter_context(crowd(node.port, count, request, greeted=kind.greeted)))
                here += count
                time.sleep(sizes.settle_s)
                after = settled(node, sizes)
                points.append((here, (after - before) / 1e6))
            kernel = kernel_bytes() - kernel
            for part in many:
                mark = part.mark()
                gone, told = gone + mark.gone, told + mark.messages
    # What held the first few may hold as many of these.
    each = (after - before) / (sizes.idle - sizes.warm_up)
    return Held(each, kernel / sizes.idle, points, gone, told)


def _topics(sizes: Sizes) -> Iterator[Figure]:
    """Resources that are kept, then a change of the tag of each."""
    with freshwire("--set", f"max_cache_bytes={CACHE_BYTES}") as node:
        read_all(node.port, [f"/things/warm-{n}" for n in range(sizes.warm_up)])
        before = settled(node, sizes)
        read_all(node.port, [f"/things/{n}" for n in range(sizes.topics)])
        kept = settled(node, sizes)
        url = f"http://127.0.0.1:{node.port}/touch?things={sizes.topics}"
        httpx.post(url, timeout=120).raise_for_status()
        changed = settled(node, sizes)
    count = f"{sizes.topics:,}"
    note = "the representation of 128 B, its head, its URI and its tag"
    yield Figure(f"one of {count} resources kept", (kept - before) / sizes.topics, "B", note=note)
    yield Figure(f"one of {count} tags whose change is remembered", (changed - kept) / sizes.topics, "B")


def _of_peer(peer: Peer, transport: str, sizes: Sizes) -> Iterator[Result]:
    what = f"idle subscriber by {TRANSPORTS[transport]}"
    if why := peer.missing():
        yield absent(what, peer.name, why)
        return
    try:
        with peer.open() as station, contextlib.ExitStack() as stack:
            stack.enter_context(subscribers(station, transport, sizes.warm_up))
            before = settled(station.server, sizes)
            points: list[tuple[float, float]] = []
            here = 0
            for step in STEPS:
                count = round(sizes.watchers * step) - here
                stack.enter_context(subscribers(station, transport, count))
                here += count
                points.append((here, (settled(station.server, sizes) - before) / 1e6))
    except Exception as error:  # whatever it is, it is this peer's line and nobody else's
        yield absent(what, peer.name, f"failed: {error!r}")
        return
    yield Figure(what, points[-1][1] * 1e6 / here, "B", subject=peer.name)
    yield Series("memory", f"{peer.name}, {TRANSPORTS[transport]}", points)


def read_all(port: int, paths: Sequence[str]) -> None:
    """GET all of them, whose answers have a stamp each."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
        for start in range(0, len(paths), AT_ONCE):
            part = paths[start : start + AT_ONCE]
            connection.sendall(b"".join(get(path) for path in part))
            answers = b""
            while answers.count(b'"at":"') < len(part) or not answers.endswith(b'"}'):
                if not (more := connection.recv(1 << 20)):
                    raise BenchmarkError(f"the server said {answers[-300:]!r}")
                answers += more


def settled(server: Process, sizes: Sizes) -> int:
    """A server's memory once it stays as it is."""
    before = server.private_bytes()
    for _ in range(20):
        time.sleep(sizes.settle_s / 2)
        if (now := server.private_bytes()) == before:
            break
        before = now
    return before
