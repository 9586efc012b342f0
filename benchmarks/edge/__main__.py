"""`python -m benchmarks.edge`: ten thousand clients behind nginx and Varnish, in every way there is."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.edge import report
from benchmarks.edge.measure import measure
from benchmarks.edge.ways import WAYS
from benchmarks.peers import program
from benchmarks.processes import BenchmarkError, build
from benchmarks.report import commit, machine


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked for; the exit code says whether what is promised was kept."""
    names = [way.name for way in WAYS]
    parser = argparse.ArgumentParser(prog="benchmarks.edge", description=__doc__)
    parser.add_argument("--clients", type=int, default=10_000, help="how many (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="how long each way is measured (%(default)s)"
    )
    parser.add_argument("--changes", type=float, default=0.05, help="changes a second (%(default)s)")
    parser.add_argument("--only", metavar="WAY,...", help=f"ways: {', '.join(names)}")
    parser.add_argument(
        "--json", type=Path, default=report.RESULTS, help="where the figures go (%(default)s)"
    )
    parser.add_argument(
        "--document", action="store_true", help="only put the figures of the file into docs/edge.md"
    )
    asked = parser.parse_args(arguments)
    if asked.document:
        report.document(json.loads(asked.json.read_text()))
        return 0
    wanted = asked.only.split(",") if asked.only else names
    if unknown := set(wanted) - set(names):
        parser.error(f"no such way: {', '.join(sorted(unknown))}")
    build()
    outcomes, broken = [], []
    for way in (way for way in WAYS if way.name in wanted):
        print(f"{way.title} …", file=sys.stderr, flush=True)
        try:
            outcome = measure(way, asked.clients, asked.seconds, asked.changes)
        except BenchmarkError as error:
            print(f"  {error}", file=sys.stderr)
            broken.append(way.name)
            continue
        outcomes.append(outcome.as_json())
        if way.promises and not outcome.kept:
            broken.append(way.name)
    caches = {
        "nginx": version("nginx", "-v", r"nginx/[\d.]+"),
        "varnish": version("varnishd", "-V", r"varnish-[\d.]+"),
    }
    made = report.report(outcomes, machine() | caches, commit())
    print(report.text(made))
    report.save(made, asked.json)
    if broken:
        print(f"\nnot as promised: {', '.join(broken)}", file=sys.stderr)
    return int(bool(broken))


def version(name: str, flag: str, pattern: str) -> str:
    said = subprocess.run([program(name) or name, flag], capture_output=True, text=True, check=False)
    found = re.search(pattern, said.stdout + said.stderr)
    return found[0].replace("/", " ").replace("-", " ") if found else name


if __name__ == "__main__":
    raise SystemExit(main())
