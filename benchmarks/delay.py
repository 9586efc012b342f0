"""How long after a change the last of many watchers has it, beside the floor, where the client is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.fanout import Run, sides
from benchmarks.figure import Figure, compared
from benchmarks.sizes import Sizes

RATE = 4.0
"""Changes a second: each is over before the next."""
BUDGET = 1.2


def figures(sizes: Sizes, progress: Callable[[str], None]) -> Iterator[Figure]:
    """Delay to the last watcher and to each, at quantiles of the changes."""
    progress(f"delay: connecting {sizes.delay_watchers:,} watchers to each side")
    rounds: list[tuple[Run, Run]] = []
    with sides(sizes.delay_watchers) as both:
        both.node(RATE, sizes)
        for number in range(sizes.rounds):
            progress(f"delay: round {number + 1} of {sizes.rounds}")
            rounds.append(both.round(number, RATE, sizes, sizes.delay_watchers))
    for quantile, budget in (("p50", None), ("p99", BUDGET)):
        whole = [(a, b) for a, b in rounds if a.reached_all and b.reached_all]
        if not whole:
            continue
        yield compared(
            f"change to last of {sizes.delay_watchers:,} watchers, {quantile}",
            "ms",
            [a.last_us[quantile] / 1000 for a, _ in whole],
            "floor",
            [b.last_us[quantile] / 1000 for _, b in whole],
            budget=budget,
        )
