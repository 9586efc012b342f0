"""How long after a change the last of many watchers has it, beside the floor, where the client is the same.

Server and clients have a core each: left to the kernel, a server that sends at once to clients that sleep may find
itself on the core of those, for as long as the other core, which its application has just left, seems busy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.figure import Figure, Result, Series, absent, compared
from benchmarks.processes import cores
from benchmarks.side import P99_ROUNDS, Run, in_turns, side
from benchmarks.sizes import Sizes
from benchmarks.station import bottom, node

RATE = 4.0
"""Changes a second: each is over before the next."""
BUDGET = 1.2


def figures(sizes: Sizes, progress: Callable[[str], None]) -> Iterator[Result]:
    """Delay to the last watcher and to each, at quantiles of the changes."""
    many = sizes.delay_watchers
    progress(f"delay: connecting {many:,} watchers to each side")
    rounds: list[tuple[Run, Run]] = []
    server, client = cores()
    with (
        node(cores=server) as station,
        bottom(station, "sse", server) as ground,
        side(station, "sse", many, client) as mine,
        side(ground, "sse", many, client) as theirs,
    ):
        mine.run(RATE, sizes)
        for number in range(P99_ROUNDS * sizes.rounds):
            progress(f"delay: round {number + 1} of {P99_ROUNDS * sizes.rounds}")
            one, other = in_turns([mine, theirs], number, RATE, sizes)
            rounds.append((one, other))
    whole = [(a, b) for a, b in rounds if a.mark.reached_all and b.mark.reached_all]
    what = f"change to last of {many:,} watchers"
    if not whole:
        yield absent(what, "freshwire", "no change reached everybody in its time")
        return
    for quantile, budget in (("p50", None), ("p99", BUDGET)):
        yield _compared(f"{what}, {quantile}", quantile, whole, budget)
    for name, runs in (("freshwire", [a for a, _ in whole]), ("floor", [b for _, b in whole])):
        middle = sorted(runs, key=lambda run: run.mark.each.quantiles["p99"])[len(runs) // 2]
        yield Series("delay", name, middle.mark.each.distribution())


def _compared(what: str, quantile: str, whole: list[tuple[Run, Run]], budget: float | None) -> Figure:
    mine, theirs = (
        [runs[index].mark.last.quantiles[quantile] / 1000 for runs in whole] for index in range(2)
    )
    return compared(what, "ms", mine, "floor", theirs, budget=budget)
