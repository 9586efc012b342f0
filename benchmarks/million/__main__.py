"""`python -m benchmarks.million`: hold a million watchers, change a resource, show that everybody got it."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.million import MillionError, memory, report
from benchmarks.million.keeper import Keeper
from benchmarks.million.memory import Guard
from benchmarks.million.phases import Phases
from benchmarks.million.plan import Plan, descriptors, largest, plan_for
from benchmarks.million.progress import Progress
from benchmarks.million.settings import BUCKETS, OF_A_NAMESPACE, Setting, apart, lines, settings
from benchmarks.processes import build

GIB = 1 << 30


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.million", description=__doc__)
    parser.add_argument("--watchers", type=int, default=1_000_000, help="how many (%(default)s)")
    parser.add_argument("--nodes", type=int, default=0, help="node processes; as few as can be if not given")
    parser.add_argument("--changes", type=int, default=5, help="changes, one after the other (%(default)s)")
    parser.add_argument(
        "--keep-free-gb", type=float, default=3.0, help="end it when less memory is left, GB (%(default)s)"
    )
    parser.add_argument(
        "--json", type=Path, default=report.RESULTS, help="where the figures go (%(default)s)"
    )
    parser.add_argument(
        "--kill", action="store_true", help="kill a node too, and have its watchers come back"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what it would take, and stop")
    parser.add_argument(
        "--document", action="store_true", help="only put the figures of the file into docs/million.md"
    )
    asked = parser.parse_args(arguments)
    try:
        if asked.document:
            report.document(json.loads(asked.json.read_text()))
            return 0
        limit = descriptors()
        plan = plan_for(asked.watchers, limit, asked.nodes)
        needed = settings(plan)
        keep_free = int(asked.keep_free_gb * GIB)
        show(plan, needed, limit)
        check(plan, needed, limit, keep_free)
        if not asked.dry_run:
            run(plan, needed, limit, keep_free, asked)
    except MillionError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nended by a signal; everything is as it was", file=sys.stderr)
        return 130
    return 0


def show(plan: Plan, needed: Sequence[Setting], limit: int) -> None:
    """Say what it takes, before anything is done."""
    print(
        f"{plan.watchers:,} watchers at {plan.nodes} nodes ({limit:,} descriptors a process), about "
        f"{plan.bytes_needed / GIB:.1f} GiB; {memory.available() / GIB:.1f} GiB are available.\n"
    )
    print("\n".join(lines(needed)))
    if apart(needed):
        print(
            f"\nBecause of {BUCKETS} everything runs in a network namespace of its own, where\n"
            f"{', '.join(OF_A_NAMESPACE)} are set."
        )
    print(flush=True)


def check(plan: Plan, needed: Sequence[Setting], limit: int, keep_free: int) -> None:
    """Refuse what cannot be. Raises MillionError."""
    free = memory.available() - keep_free
    if plan.bytes_needed > free:
        raise MillionError(
            f"there is not memory enough if {keep_free / GIB:.1f} GiB are to stay free (--keep-free-gb): "
            f"--watchers {largest(limit, free)} would do"
        )
    if os.geteuid() and not all(setting.enough for setting in needed):
        raise MillionError(
            "only root can change these settings; a smaller --watchers, or more --nodes, may do with what there is"
        )


@contextlib.contextmanager
def ends_as_ctrl_c_does() -> Iterator[None]:
    """Have other signals that ask for the end raise KeyboardInterrupt too; the keeper sees to whatever remains."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def run(plan: Plan, needed: Sequence[Setting], limit: int, keep_free: int, asked: argparse.Namespace) -> None:
    """Build, measure and show. Raises MillionError."""
    progress = Progress()
    progress.begin("build the load client")
    build()
    with (
        ends_as_ctrl_c_does(),
        tempfile.TemporaryDirectory(prefix="million-") as folder,
        Keeper(needed) as keeper,
    ):
        phases = Phases(plan, Path(folder), keeper, progress)
        with Guard(keep_free, phases.kill) as guard:
            try:
                outcome = phases.run(asked.changes, kill=asked.kill)
            except MillionError as error:
                if guard.struck:
                    raise MillionError(
                        f"ended because less than {keep_free / GIB:.1f} GiB of memory were left (--keep-free-gb)"
                    ) from error
                raise
            finally:
                phases.close()
    made = report.report(plan, needed, outcome, limit, guard.lowest)
    print(f"\n{report.text(made)}")
    report.save(made, asked.json)


if __name__ == "__main__":
    raise SystemExit(main())
