"""`python -m benchmarks.run`: measure, print a table, write JSON."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import connect, delay, fanout, memory, requests
from benchmarks.figure import Figure, table
from benchmarks.processes import ROOT, build
from benchmarks.sizes import FULL, QUICK, Sizes

Benchmark = Callable[[Sizes, Callable[[str], None]], Iterator[Figure]]
BENCHMARKS: dict[str, Benchmark] = {
    "memory": memory.figures,
    "connect": connect.figures,
    "fanout": fanout.figures,
    "delay": delay.figures,
    "requests": requests.figures,
}


def main(arguments: list[str] | None = None) -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="see that everything runs; the figures mean nothing"
    )
    parser.add_argument("--only", default=",".join(BENCHMARKS), help="some of: %(default)s")
    parser.add_argument("--rounds", type=int, help="interleaved rounds of each comparison")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    asked = parser.parse_args(arguments)
    names = asked.only.split(",")
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    sizes = QUICK if asked.quick else FULL
    if asked.rounds:
        sizes = sizes.of(rounds=asked.rounds)
    progress = Progress()
    progress("building the floor and the load client")
    build()
    load = os.getloadavg()[0]
    figures = []
    for name in names:
        for figure in BENCHMARKS[name](sizes, progress):
            figures.append(figure)
            progress.done(figure)
    progress("")
    print(table(figures))
    if load > 0.5:
        print(f"\nThe machine was busy when this began (load {load:.1f}): the figures are noisy.")
    if asked.quick:
        print("\nThis was a quick run: the figures mean nothing.")
    if asked.json is not None:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(report(figures, sizes, load, quick=asked.quick), indent=2) + "\n")
    return 0


class Progress:
    """One line on standard error that says what is being measured, or a line each where that is a file."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def __call__(self, text: str) -> None:
        line = f"{time.monotonic() - self._start:5.0f} s  {text}" if text else ""
        if self._terminal:
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        elif text:
            print(line, file=sys.stderr, flush=True)

    def done(self, figure: Figure) -> None:
        """Show a figure as soon as it is there."""
        self("")
        print(table([figure]).splitlines()[1], file=sys.stderr, flush=True)


def report(figures: list[Figure], sizes: Sizes, load: float, *, quick: bool) -> dict[str, object]:
    """What goes into the file."""
    return {
        "made_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "quick": quick,
        "machine": {
            "processor": processor(),
            "cores": len(os.sched_getaffinity(0)),
            "kernel": platform.release(),
            "python": platform.python_version(),
            "load_at_start": load,
        },
        "sizes": sizes.as_json(),
        "figures": [figure.as_json() for figure in figures],
    }


def commit() -> str:
    words = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


if __name__ == "__main__":
    raise SystemExit(main())
