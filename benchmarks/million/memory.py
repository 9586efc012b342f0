"""What is in use: by the processes, by the kernel for connections, and by everybody; and a guard for the rest of it."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.million.children import Child

SLABS = ("TCP", "sock_inode_cache", "dentry", "filp", "eventpoll_epi", "eventpoll_pwq", "ep_head")
"""The kernel's objects of a connection, as their caches are called."""
GUARD_S = 0.2


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes in use."""

    nodes: int
    """Private pages of the nodes that have been written to."""
    clients: int
    buffers: int
    """Pages that the kernel counts for TCP: what is queued in sockets."""
    slab: int
    """All objects of the kernel that are in slabs."""
    objects: int
    """Those of `SLABS`, 0 where the kernel does not tell (it tells root)."""
    available: int

    def __sub__(self, before: Memory) -> Memory:
        return Memory(*(getattr(self, field.name) - getattr(before, field.name) for field in fields(Memory)))


def measure(nodes: Sequence[Child], clients: Sequence[Child], network: Path) -> Memory:
    return Memory(
        nodes=sum(node.private_bytes() for node in nodes),
        clients=sum(client.private_bytes() for client in clients),
        buffers=_sockets("mem", network) * os.sysconf("SC_PAGE_SIZE"),
        slab=_meminfo("Slab"),
        objects=_objects(),
        available=available(),
    )


def available() -> int:
    """Bytes that can be had without pushing anybody out."""
    return _meminfo("MemAvailable")


def sockets_in_use(network: Path) -> int:
    """TCP sockets of a network."""
    return _sockets("inuse", network)


def _meminfo(name: str) -> int:
    found = re.search(rf"^{name}: +(\d+) kB", Path("/proc/meminfo").read_text(), re.M)
    return int(found[1]) * 1024 if found else 0


def _sockets(name: str, network: Path) -> int:
    found = re.search(rf"^TCP:.* {name} (\d+)", (network / "sockstat").read_text(), re.M)
    return int(found[1]) if found else 0


def _objects() -> int:
    total = 0
    with contextlib.suppress(OSError):
        for line in Path("/proc/slabinfo").read_text().splitlines():
            words = line.split()
            if words[0] in SLABS:
                # name, active objects, all objects, bytes of one
                total += int(words[2]) * int(words[3])
    return total


def tcp_counters(network: Path) -> dict[str, int]:
    """The kernel's counters of what goes wrong when connections come too fast, or memory is short."""
    lines = (network / "netstat").read_text().splitlines() + (network / "snmp").read_text().splitlines()
    counters: dict[str, int] = {}
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        counters |= {n: int(v) for n, v in zip(names.split()[1:], values.split()[1:], strict=True)}
    return {name: counters.get(name, 0) for name in TROUBLE}


TROUBLE = (
    "ListenOverflows",
    "ListenDrops",
    "SyncookiesSent",
    "TCPReqQFullDrop",
    "TCPTimeouts",
    "RetransSegs",
    "TCPMemoryPressures",
    "TCPAbortOnMemory",
    "PruneCalled",
)


class Guard:
    """Ends it all when the memory that is left falls below a floor."""

    def __init__(self, floor_bytes: int, end: Callable[[], None]) -> None:
        self._floor, self._end = floor_bytes, end
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="guard", daemon=True)
        self.lowest = available()
        self.struck = False

    def _watch(self) -> None:
        while not self._over.wait(GUARD_S):
            self.lowest = min(self.lowest, available())
            if self.lowest < self._floor:
                self.struck = True
                self._end()
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
