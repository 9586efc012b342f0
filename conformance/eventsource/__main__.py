"""`python -m conformance.eventsource [CASE…]`: all cases, or those that match patterns such as `parsing: *`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path

from conformance.verdict import CANNOT_RUN, Outcome, chosen, conclude

from ..chromium import EXECUTABLE
from . import connection, parsing, watching
from .bench import Bench, Floor, floor, version

Case = Callable[[Bench], None]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m conformance.eventsource", description=__doc__)
    parser.add_argument("cases", nargs="*", help="patterns of cases, such as 'parsing: *'")
    patterns = parser.parse_args().cases
    if not Path(EXECUTABLE).exists():
        print("eventsource: not installed: apt-get install chromium", file=sys.stderr)
        return CANNOT_RUN
    logging.getLogger("freshwire.error").setLevel(logging.CRITICAL)  # a case raises on purpose
    about = {"chromium": version(), "hypothesis": metadata.version("hypothesis")}
    with floor() as chromium:
        outcomes = [run(chromium, name, case) for name, case in cases() if chosen(name, patterns)]
    return conclude("eventsource", outcomes, about=about, complete=not patterns)


def cases() -> Iterator[tuple[str, Case]]:
    """Every case by its name."""
    for name, stream, events in parsing.streams():
        yield f"parsing: {name}", partial(parsing.whole, stream=stream, expected=events)
        yield f"parsing: {name}, byte by byte", partial(parsing.byte_by_byte, stream=stream, expected=events)
    for module in (parsing, connection, watching):
        for case in module.CASES:
            yield f"{module.__name__.rpartition('.')[2]}: {case.__name__.replace('_', ' ')}", case
    for status in connection.FAILING:
        yield f"connection: {status} fails it", connection.failing(status)
    for status in connection.REDIRECTING:
        yield f"connection: {status} is followed", connection.redirecting(status)


def run(chromium: Floor, name: str, case: Case) -> Outcome:
    """Run a case on a bench of its own."""
    try:
        with chromium.bench() as bench:
            case(bench)
    except Exception as error:  # whatever went wrong, the other cases run
        return Outcome(name, "failed", f"{type(error).__name__}: {error}"[:1000])
    return Outcome(name)


if __name__ == "__main__":
    sys.exit(main())
