"""Watchers that stop reading, among many that do: what the others notice of it, and what the node keeps for it.

Two nodes, alike but for that, take turns. The resource is of 8 KB, so that the buffers of whoever does not read
are full within seconds, and it changes so slowly that everybody who reads can keep up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from benchmarks.crowd import crowd
from benchmarks.figure import Figure, Result, compared
from benchmarks.side import P99_ROUNDS, Run, Side, in_turns
from benchmarks.sizes import Sizes
from benchmarks.station import node

PATIENT = ("--set", "push_timeout_s=600")
"""A node ends whoever takes nothing for so long; these are to be measured until the end."""
RATE = 4.0
BUDGET = 1.1
BUDGET_BYTES = 16 * 1024
"""What a reader that stopped may cost in user memory: the one message that it is in the middle of, and some more."""
FULL_S = 15.0
"""How long it takes at most until nothing more fits into the buffers of whoever does not read."""


def figures(sizes: Sizes, progress: Callable[[str], None]) -> Iterator[Result]:
    """The others' p99 with and without, and the memory of the node."""
    readers = sizes.watchers - sizes.stalled
    progress(f"stall: connecting {sizes.watchers:,} watchers, of whom {sizes.stalled:,} will not read")
    rounds: list[tuple[Run, Run]] = []
    with node("/page", *PATIENT) as bad, node("/page", *PATIENT) as good:
        request = bad.requests["sse"]
        with (
            crowd(bad.server.port, readers, request) as bad_readers,
            crowd(good.server.port, readers, request) as good_readers,
            crowd(good.server.port, sizes.stalled, request),
        ):
            with_stalled, without = Side(bad, bad_readers), Side(good, good_readers)
            with_stalled.run(RATE, sizes)
            without.run(RATE, sizes)
            before = bad.server.private_bytes()
            with crowd(bad.server.port, sizes.stalled, request) as stalled:
                stalled.process.stop()
                bad.push(RATE * 4, FULL_S if sizes.rounds > 1 else 1.0)
                time.sleep(sizes.settle_s)
                full = bad.server.private_bytes()
                for number in range(P99_ROUNDS * sizes.rounds):
                    progress(f"stall: round {number + 1} of {P99_ROUNDS * sizes.rounds}")
                    one, other = in_turns([with_stalled, without], number, RATE, sizes)
                    rounds.append((one, other))
                after = bad.server.private_bytes()
                stalled.process.resume()
                time.sleep(sizes.settle_s)
                late = stalled.mark()
    what = f"{sizes.stalled:,} of {sizes.watchers:,} stop reading"
    mine, theirs = ([runs[index].mark.each.quantiles["p99"] / 1000 for runs in rounds] for index in range(2))
    yield compared(f"{what}: the others' p99", "ms", mine, "without", theirs, budget=BUDGET)
    mine, theirs = ([runs[index].mark.last.quantiles["p50"] / 1000 for runs in rounds] for index in range(2))
    yield compared(f"{what}: until the last of the others has a change, p50", "ms", mine, "without", theirs)
    each = (full - before) / sizes.stalled
    yield Figure(f"{what}: user memory for each of them", each, "B", budget=BUDGET_BYTES)
    changes = sum(run.changes for run, _ in rounds)
    held = late.messages / sizes.stalled
    note = f"over {changes:,} more changes; once they read again each got {held:.0f} messages"
    yield Figure(f"{what}: user memory that still grows", (after - full) / sizes.stalled, "B", note=note)
    caught_up = 100 * late.newest / sizes.stalled
    what = f"{what}: have the newest state once they read again"
    yield Figure(
        what, caught_up, "%", budget=100.0, bound="≥", note=f"{late.gone} were ended" if late.gone else ""
    )
