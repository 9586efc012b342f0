"""`python -m benchmarks.run`: measure, print a table, write JSON and plots."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import big, connect, delay, fanout, memory, requests, stall, start, storm
from benchmarks import peers as peers_of
from benchmarks.figure import NODE, Figure, Result, Series, absent, table
from benchmarks.plots import write_plots
from benchmarks.processes import build
from benchmarks.report import Part, Report
from benchmarks.sizes import FULL, QUICK, Sizes

Progress = Callable[[str], None]
Benchmark = Callable[[Sizes, Progress, list[str]], Iterator[Result]]


def _pushing(names: list[str]) -> list[peers_of.Peer]:
    return [peer for name, peer in peers_of.known().items() if name in names]


BENCHMARKS: dict[str, Benchmark] = {
    "memory": lambda sizes, progress, names: memory.figures(sizes, progress, _pushing(names)),
    "connect": lambda sizes, progress, names: connect.figures(sizes, progress),
    "fanout": lambda sizes, progress, names: fanout.figures(sizes, progress, _pushing(names)),
    "delay": lambda sizes, progress, names: delay.figures(sizes, progress),
    "big": lambda sizes, progress, names: big.figures(sizes, progress),
    "stall": lambda sizes, progress, names: stall.figures(sizes, progress),
    "storm": lambda sizes, progress, names: storm.figures(sizes, progress),
    "requests": lambda sizes, progress, names: requests.figures(sizes, progress, names),
    "start": lambda sizes, progress, names: start.figures(sizes, progress),
}
PEERS = [*dict.fromkeys([*peers_of.known(), *requests.MISSING])]


def main(arguments: list[str] | None = None) -> int:
    """Measure what was asked for; 1 if a benchmark could not be carried out, for another reason than a peer."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="see that everything runs; the figures mean nothing"
    )
    parser.add_argument("--only", default=",".join(BENCHMARKS), help="some of: %(default)s")
    parser.add_argument("--peers", default=",".join(PEERS), help="some of: %(default)s; or none")
    parser.add_argument("--rounds", type=int, help="interleaved rounds of each comparison")
    parser.add_argument("--json", type=Path, help="write the figures here too, and the plots beside it")
    parser.add_argument(
        "--merge",
        action="store_true",
        help="keep what the JSON file has of other benchmarks, if it is of this commit",
    )
    asked = parser.parse_args(arguments)
    names = _some_of(parser, "benchmark", asked.only, BENCHMARKS)
    peers = [] if asked.peers == "none" else _some_of(parser, "peer", asked.peers, PEERS)
    sizes = QUICK if asked.quick else FULL
    if asked.rounds:
        sizes = sizes.of(rounds=asked.rounds)
    report = Report.begun(quick=asked.quick)
    if asked.merge:
        if asked.json is None:
            parser.error("--merge needs --json")
        report.adopt(asked.json)
    bar = Bar(len(names))
    bar("building the floor and the load client")
    build()
    busy = os.getloadavg()[0]
    for name in names:
        report.parts[name] = _measure(name, sizes, bar, peers)
        bar.part_done()
        if asked.json is not None:  # what is measured is kept, whatever happens later
            report.write(asked.json)
            write_plots(report, asked.json.parent)
    bar("")
    print(table([figure for name in names for figure in report.parts[name].figures]))
    if busy > 0.5:
        print(f"\nThe machine was busy when this began (load {busy:.1f}): the figures are noisy.")
    if asked.quick:
        print("\nThis was a quick run: the figures mean nothing.")
    return int(any(report.parts[name].failed for name in names))


def _some_of(
    parser: argparse.ArgumentParser, kind: str, asked: str, known: dict[str, Benchmark] | list[str]
) -> list[str]:
    names = [name for name in asked.split(",") if name]
    if unknown := [name for name in names if name not in known]:
        parser.error(f"there is no {kind} {', '.join(unknown)}; there are {', '.join(known)}")
    return names


def _measure(name: str, sizes: Sizes, bar: Bar, peers: list[str]) -> Part:
    part = Part.begun(sizes)
    try:
        for result in BENCHMARKS[name](sizes, bar, peers):
            if isinstance(result, Series):
                part.series.append(result)
            else:
                part.figures.append(result)
                bar.done(result)
    except Exception as error:
        traceback.print_exc()
        part.failed = True
        part.figures.append(absent(name, NODE, f"failed: {error!r}"))
        bar.done(part.figures[-1])
    part.ended()
    return part


class Bar:
    """Standard error says what is being measured and how many benchmarks are done; in lines where it is a file."""

    WIDTH = 20

    def __init__(self, parts: int) -> None:
        self._start = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._parts, self._done = parts, 0

    def __call__(self, text: str) -> None:
        filled = self.WIDTH * self._done // self._parts
        share = f"[{'#' * filled}{'.' * (self.WIDTH - filled)}]"
        line = f"{time.monotonic() - self._start:5.0f} s  {share}  {text}" if text else ""
        if self._terminal:
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        elif text:
            print(line, file=sys.stderr, flush=True)

    def part_done(self) -> None:
        self._done += 1

    def done(self, figure: Figure) -> None:
        """Show a figure as soon as it is there."""
        self("")
        print(table([figure]).splitlines()[1], file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
