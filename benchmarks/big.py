"""A resource of 100 KB with many watchers: what a change costs and how long it takes, beside the floor."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator

from benchmarks.application import SIZES
from benchmarks.figure import Figure, Result, compared
from benchmarks.side import Run, in_turns, side
from benchmarks.sizes import Sizes
from benchmarks.station import bottom, node

RATE = 0.5
"""Changes a second: 250 MB/s to 5,000 watchers."""


def figures(sizes: Sizes, progress: Callable[[str], None]) -> Iterator[Result]:
    """CPU of a delivered byte, and the delay to the last watcher."""
    sizes = sizes.of(rounds=sizes.peer_rounds)
    rate = max(RATE, 1 / sizes.seconds)
    size_kb = SIZES["big"] / 1000
    progress(f"big: connecting {sizes.watchers:,} watchers of {size_kb:.0f} KB to each side")
    rounds: list[tuple[Run, Run]] = []
    with (
        node("/big") as station,
        bottom(station, "sse") as ground,
        side(station, "sse", sizes.watchers) as mine,
        side(ground, "sse", sizes.watchers) as theirs,
    ):
        idle = station.server.private_bytes()
        for number in range(sizes.rounds):
            progress(f"big: round {number + 1} of {sizes.rounds}")
            one, other = in_turns([mine, theirs], number, rate, sizes)
            rounds.append((one, other))
        grown = station.server.private_bytes() - idle
    mine_us, theirs_us = ([runs[index].us_a_message for runs in rounds] for index in range(2))
    mine_got, theirs_got = (
        sum(runs[index].mark.messages for runs in rounds) / sum(runs[index].offered for runs in rounds)
        for index in range(2)
    )
    fresh = min(run.mark.newest for run, _ in rounds)
    what = f"a change of {size_kb:.0f} KB to {sizes.watchers:,} watchers"
    note = (
        f"{100 * mine_got:.1f} % of the messages came, the floor's socket buffers took {100 * theirs_got:.1f} %; "
        f"{fresh:,} watchers had the newest at the end; user memory grew by {grown / 1e6:.1f} MB"
    )
    yield compared(f"{what}: CPU a message", "µs", mine_us, "floor", theirs_us, note=note)
    lasts = [run.mark.last.quantiles["p50"] / 1000 for run, _ in rounds if run.mark.reached_all]
    if lasts:
        spread = (min(lasts), max(lasts))
        yield Figure(f"{what}: until the last has it", statistics.median(lasts), "ms", spread=spread)
