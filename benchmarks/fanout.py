"""What a delivered message costs the server, beside the floor and the peers, and what becomes of an overload.

The floor (native/src/bin/floor.rs) sends the bytes that the node sends, to as many sockets at the same rate, in
turns with the node. A watch conflates: a watcher gets the newest state, not every state, so at a rate beyond
what the machine can deliver fewer messages go out than changes were made. Both costs are given: for a message,
and for a change of one watcher's resource, however it was brought up to date.
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
from collections.abc import Callable, Iterator

from benchmarks.figure import NODE, Figure, Result, Series, absent, compared
from benchmarks.peers import Peer
from benchmarks.side import Run, Side, in_turns, side
from benchmarks.sizes import Sizes
from benchmarks.station import bottom, node

RATES = {10: 1.1, 100: 0.4}
"""Changes a second, and the budget for the cost of a message beside the floor's."""
OVERLOAD = 100
"""The rate that is beyond what a machine of two cores can deliver to 5,000."""
TRANSPORTS = {"sse": "SSE", "websocket": "WebSocket"}
IN_TIME_US = 1_000_000.0


def figures(sizes: Sizes, progress: Callable[[str], None], peers: list[Peer]) -> Iterator[Result]:
    """CPU of a delivered message at each rate by each transport, and what was delivered."""
    for transport, called in TRANSPORTS.items():
        progress(f"fan-out by {called}: connecting {sizes.watchers:,} watchers to each side")
        with contextlib.ExitStack() as stack:
            station = stack.enter_context(node())
            ground = stack.enter_context(bottom(station, transport))
            floor_side = stack.enter_context(side(ground, transport, sizes.watchers))
            with side(station, transport, sizes.watchers) as mine:
                yield from _beside_floor(NODE, mine, floor_side, transport, sizes, progress)
            for peer in peers:
                if transport in peer.transports:
                    yield from _of_peer(peer, floor_side, transport, sizes, progress)


def _of_peer(
    peer: Peer, floor_side: Side, transport: str, sizes: Sizes, progress: Callable[[str], None]
) -> Iterator[Result]:
    what = f"CPU a message by {TRANSPORTS[transport]}"
    if why := peer.missing():
        yield absent(what, peer.name, why)
        return
    progress(f"fan-out by {TRANSPORTS[transport]}: {peer.name}")
    try:
        with peer.open() as station, side(station, transport, sizes.watchers) as theirs:
            yield from _beside_floor(peer.name, theirs, floor_side, transport, sizes, progress)
    except Exception as error:  # whatever it is, it is this peer's line and nobody else's
        yield absent(what, peer.name, f"failed: {error!r}")


def _beside_floor(
    name: str, measured: Side, floor_side: Side, transport: str, sizes: Sizes, progress: Callable[[str], None]
) -> Iterator[Result]:
    costs: dict[str, list[tuple[float, float]]] = {name: [], "floor": []}
    number_of_rounds = sizes.rounds if name == NODE else sizes.peer_rounds
    for rate, budget in RATES.items():
        if name != NODE:
            sizes = dataclasses.replace(sizes, seconds=sizes.peer_seconds / (2 if rate == OVERLOAD else 1))
        if name == NODE or rate != OVERLOAD:
            measured.run(rate, sizes)  # what is made once is made now
        rounds: list[tuple[Run, Run]] = []
        for number in range(number_of_rounds):
            progress(f"fan-out by {TRANSPORTS[transport]}: {name}, {rate}/s, round {number + 1}")
            one, other = in_turns([measured, floor_side], number, rate, sizes)
            rounds.append((one, other))
        how = f"at {rate}/s by {TRANSPORTS[transport]}"
        yield from _costs(name, how, budget if name == NODE else None, rounds)
        yield from _delivered(name, how, rate, rounds)
        for who, runs in ((name, [run for run, _ in rounds]), ("floor", [run for _, run in rounds])):
            costs[who].append((rate, statistics.median(run.us_a_message for run in runs)))
    for who, points in costs.items():
        if who == name or name == NODE:
            yield Series(f"cpu-{transport}", who, points)


def _costs(name: str, how: str, budget: float | None, rounds: list[tuple[Run, Run]]) -> Iterator[Figure]:
    mine, theirs = [run for run, _ in rounds], [run for _, run in rounds]
    costs, floor_costs = ([run.us_a_message for run in side] for side in (mine, theirs))
    note = _note(name, mine, theirs)
    what = f"CPU a message {how}"
    yield compared(what, "µs", costs, "floor", floor_costs, budget=budget, note=note, subject=name)
    if name != NODE:
        return
    per_change = [run.cpu_ns / max(run.offered, 1) / 1000 for run in mine]
    note = "a watcher that gets a newer state is brought up to date with the changes before it too"
    yield compared(
        f"CPU a change and watcher {how}", "µs", per_change, "floor", floor_costs, budget=budget, note=note
    )
    engine = [run.engine_ns / max(run.mark.messages, 1) / 1000 for run in mine]
    yield compared(f"engine threads' CPU a message {how}", "µs", engine, "floor", floor_costs)


def _note(name: str, mine: list[Run], theirs: list[Run]) -> str:
    offered = statistics.median(run.offered for run in mine)
    got = statistics.median(run.mark.messages for run in mine)
    floor_got = statistics.median(run.mark.messages for run in theirs)
    floor_lost = statistics.median(run.lost for run in theirs)
    missing = "conflated into newer ones" if name == NODE else "not delivered in time"
    gone = max(run.mark.gone for run in mine)
    return (
        f"of {offered:,.0f} messages {got:,.0f} were delivered, {max(0, offered - got):,.0f} {missing}"
        f"{f', and {gone:,} connections ended' if gone else ''}; "
        f"the floor delivered {floor_got:,.0f} and lost or missed {floor_lost:,.0f}"
    )


def _delivered(name: str, how: str, rate: int, rounds: list[tuple[Run, Run]]) -> Iterator[Result]:
    """What share was delivered within a second of its change, and how late."""
    sides = {name: [run for run, _ in rounds]}
    if name == NODE:
        sides["floor"] = [run for _, run in rounds]
    for who, runs in sides.items():
        shares = [100 * in_time(run) / max(run.offered, 1) for run in runs]
        delays = [run.mark.each.quantiles["p99"] / 1000 for run in runs]
        if rate == OVERLOAD:
            yield _share(who, how, runs, shares)
        spread = (min(delays), max(delays))
        what = f"delay of a message {how}, p99"
        yield Figure(what, statistics.median(delays), "ms", spread=spread, subject=who)
        yield Series(f"delay {how}", who, _distribution(runs))


def _share(who: str, how: str, runs: list[Run], shares: list[float]) -> Figure:
    spread = (min(shares), max(shares))
    if who != NODE:
        what = f"delivered within 1 s {how}"
        return Figure(what, statistics.median(shares), "%", spread=spread, subject=who)
    fresh = [100 * run.mark.newest / run.subscribers for run in runs]
    conflated = statistics.median(100 - share for share in shares)
    return Figure(
        f"watchers with the newest state at the end {how}",
        min(fresh),
        "%",
        spread=(min(fresh), max(fresh)),
        budget=100.0,
        bound="≥",
        note=f"{conflated:.1f} % of the changes of a watcher were conflated into newer ones",
    )


def in_time(run: Run) -> int:
    """Messages that came within a second of their change."""
    return run.mark.each.within(IN_TIME_US)


def _distribution(runs: list[Run]) -> list[tuple[float, float]]:
    """Delay in milliseconds and the share of messages that took no longer, of the round in the middle."""
    middle = sorted(runs, key=lambda run: run.mark.each.quantiles["p99"])[len(runs) // 2]
    return middle.mark.each.distribution()
