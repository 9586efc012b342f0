"""What the kernel must allow: each setting, the value there is and the least that will do.

Nothing is changed here; `keeper.py` does that, and puts it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.million import MillionError
from benchmarks.million.plan import BACKLOG, Plan

ROOT = Path("/proc/sys")
SPARE_FILES = 50_000
"""Files that the rest of the machine may open meanwhile."""
PORTS = (10_240, 65_535)
"""The widest range of local ports that is asked for: below it are most well-known ones."""


BUCKETS = "net.ipv4.tcp_child_ehash_entries"
"""Buckets of the table of connections that a new network namespace gets; 0: it shares that of the machine. When this is
needed, everything runs in a namespace of its own, and what a namespace has for itself is set there only.
"""
OF_A_NAMESPACE = (
    "net.core.somaxconn",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.ip_local_port_range",
)
CROWDED = 4
"""Sockets of one bucket, at most. The machine's table has its size from the boot. Each packet is a search in it, and
each socket that the search passes is a cache miss.
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of the kernel."""

    name: str
    present: str
    needed: str
    """What will do: the present value if it does."""
    why: str

    @property
    def enough(self) -> bool:
        return self.needed == self.present


def apart(needed: Sequence[Setting]) -> bool:
    """Whether it takes a network namespace."""
    return any(setting.name == BUCKETS for setting in needed)


def path_of(name: str, root: Path = ROOT) -> Path:
    return root / name.replace(".", "/")


def read(name: str, root: Path = ROOT) -> str:
    """The value, its numbers a space apart. Raises OSError."""
    return " ".join(path_of(name, root).read_text().split())


def write(name: str, value: str, root: Path = ROOT) -> None:
    """Change it. Raises OSError."""
    path_of(name, root).write_text(value)


def settings(plan: Plan, root: Path = ROOT) -> list[Setting]:
    """All that the plan depends on."""
    ends = 2 * plan.watchers
    open_now = int(read("fs.file-nr", root).split()[0])
    found = [
        _least(
            "fs.file-max", ends + open_now + SPARE_FILES, "files: both ends of a connection are one", root
        ),
        _least("fs.epoll.max_user_watches", ends + SPARE_FILES, "both ends are polled", root),
        # A message on its way occupies a page at its sender, until it is acknowledged, and one at its receiver.
        _least("net.ipv4.tcp_mem", ends, "pages of messages on their way, if all wait at once", root),
        _least("net.core.somaxconn", BACKLOG, "connections waiting to be accepted, at each node", root),
        _least("net.ipv4.tcp_max_syn_backlog", BACKLOG, "connections half open, at each node", root),
        _ports(plan, root),
    ]
    there = path_of("net.ipv4.tcp_ehash_entries", root)  # since Linux 6.1, as are tables of a namespace's own
    if path_of(BUCKETS, root).exists() and ends > CROWDED * abs(int(there.read_text())):
        present = read(BUCKETS, root)
        needed = max(int(present), 1 << (2 * ends - 1).bit_length())
        found.append(Setting(BUCKETS, present, str(needed), "buckets of the table of connections"))
    tracked = path_of("net.netfilter.nf_conntrack_count", root)
    if tracked.exists() and int(tracked.read_text()) > 0:  # there are rules that look at connections
        need = plan.watchers + SPARE_FILES
        found.append(_least("net.netfilter.nf_conntrack_max", need, "connections that are tracked", root))
    return found


def _least(name: str, need: int, why: str, root: Path) -> Setting:
    """A setting whose numbers must all be so high."""
    present = read(name, root)
    needed = " ".join(str(max(int(number), need)) for number in present.split())
    return Setting(name, present, needed, why)


def _ports(plan: Plan, root: Path) -> Setting:
    """Twice the ports that one node's watchers take: the kernel tries every other port first, all of them before it
    turns to the rest, so that connecting becomes slow beyond one half.
    """
    name, need = "net.ipv4.ip_local_port_range", 2 * max(plan.shares)
    low, high = map(int, read(name, root).split())
    needed = f"{low} {high}"
    if high - low < need:
        needed = f"{min(low, PORTS[0])} {max(high, PORTS[1])}"
        if PORTS[1] - PORTS[0] < need:
            raise MillionError(f"a node cannot have {max(plan.shares):,} watchers from one address")
    return Setting(name, f"{low} {high}", needed, "local ports, twice a node's watchers")


def lines(found: Sequence[Setting]) -> list[str]:
    """Them as a table."""
    rows = [("setting", "present", "needed", "for")]
    rows += [(s.name, s.present, "enough" if s.enough else s.needed, s.why) for s in found]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return ["  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
