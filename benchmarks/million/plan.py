"""How many nodes it takes, who listens where, and how much memory that will need."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from benchmarks.million import MillionError

RESERVED_DESCRIPTORS = 160
"""Of a process, for what is no watcher: a node keeps 128 for itself, and a few reads come before."""
MOST_A_NODE = 27_000
"""Watchers of one node, whatever its descriptors: half of the local ports there can be."""
BACKLOG = 2048
"""Connections that a node's listener lets wait, the default of `freshwire serve`."""
MIB = 1 << 20
NODE_BYTES = 40 * MIB
"""A node's process without watchers."""
CLIENT_BYTES = 3 * MIB
"""A load client's process without connections."""
KERNEL_BYTES = 8_300
"""A connection in the kernel, both ends."""
USER_BYTES = 600
"""A connection in user space, in the node and in its client."""
MESSAGE_BYTES = 1_300
"""A message on its way, in the kernel."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Watchers, and their share at each node."""

    watchers: int
    shares: list[int]

    @property
    def nodes(self) -> int:
        return len(self.shares)

    def address(self, node: int) -> str:
        """Where a node listens: each has its own, so that the local ports of all its clients may be the same."""
        return f"127.1.{node // 250}.{node % 250 + 1}"

    @property
    def bytes_needed(self) -> int:
        """An estimate: on the safe side."""
        each = KERNEL_BYTES + USER_BYTES + MESSAGE_BYTES
        return self.watchers * each + self.nodes * (NODE_BYTES + CLIENT_BYTES)


def descriptors() -> int:
    """What one process may open; raised as far as it may be, for the processes started from now on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def plan_for(watchers: int, limit: int, nodes: int = 0) -> Plan:
    """Spread watchers over as few nodes as the limit of descriptors allows, or over as many as asked for.

    Raises MillionError.
    """
    most = min(limit - RESERVED_DESCRIPTORS, MOST_A_NODE)
    fewest = -(-watchers // most) if most > 0 else 0
    if watchers < 1 or fewest < 1:
        raise MillionError(f"{limit} descriptors a process are not enough for {watchers} watchers")
    if nodes and nodes < fewest:
        raise MillionError(
            f"{nodes} nodes cannot hold {watchers:,} watchers with {limit:,} descriptors each: {fewest} can"
        )
    count = min(nodes or fewest, watchers)
    share, rest = divmod(watchers, count)
    return Plan(watchers, [share + (node < rest) for node in range(count)])


def largest(limit: int, bytes_free: int) -> int:
    """How many watchers there is memory for, in whole ten thousands."""
    watchers = 0
    while plan_for(watchers + 10_000, limit).bytes_needed <= bytes_free:
        watchers += 10_000
    return watchers
