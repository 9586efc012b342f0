"""`python -m conformance.httpcache`: the suite against `freshwire proxy`, alone and behind nginx and Varnish."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from conformance.verdict import CANNOT_RUN, CONFORMS, CannotRunError, Outcome, conclude, written

from .suite import Result, bench, install, version

FRONTS = {"nginx": "nginx", "varnish": "varnishd"}
"""Caches that stand before the node, and their programs."""
JUDGED = ("required", "optimal")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m conformance.httpcache", description=__doc__)
    parser.add_argument(
        "--suite", type=Path, help="a checkout of the suite's repository instead of the package"
    )
    parser.add_argument("--alone", action="store_true", help="leave nginx and Varnish out")
    options = parser.parse_args()
    fronts = () if options.alone else tuple(FRONTS)
    try:
        suite = options.suite.resolve() if options.suite else install()
        if missing := [name for name in fronts if not shutil.which(FRONTS[name])]:
            raise CannotRunError(f"httpcache: not installed: apt-get install {' '.join(missing)}")
    except CannotRunError as error:
        print(error, file=sys.stderr)
        return CANNOT_RUN
    known = [deviation.case for deviation in written("httpcache")]
    results = alone(suite, known)
    outcomes = judged(results)
    if options.suite:
        # Tests that were wrong in the package may be right there: that nothing deviates is no surprise.
        outcomes = [each for each in outcomes if each.verdict != CONFORMS or each.case not in known]
    tables = {"freshwire": counts(results)}
    for front in fronts:
        before, behind = before_and_behind(suite, front)
        tables[front], tables[f"{front}, freshwire"] = counts(before), counts(behind)
        outcomes += worse(front, before, behind)
    checks = {case: result.passed for case, result in results.items() if result.kind == "check"}
    for name, table in tables.items():
        print(f"{name:20}" + "".join(f"  {kind} {passed}/{all_}" for kind, (passed, all_) in table.items()))
    about = {"suite_version": version(suite), "passed": tables, "checks": checks}
    return conclude("httpcache", outcomes, about=about, complete=False)


def alone(suite: Path, known: list[str]) -> dict[str, Result]:
    """The suite against `freshwire proxy` before the suite's origin."""
    with bench(suite) as row:
        row.freshwire()
        return row.run_twice(known)


def judged(results: Mapping[str, Result]) -> list[Outcome]:
    """What a cache must do, and what it would better do; of the rest there is nothing to judge."""
    return [
        Outcome(case, CONFORMS if result.passed else f"{result.kind}: failed", result.detail)
        for case, result in results.items()
        if result.kind in JUDGED
    ]


def before_and_behind(suite: Path, front: str) -> tuple[dict[str, Result], dict[str, Result]]:
    """The suite against another cache, before its origin and before a node."""
    with bench(suite) as row:
        getattr(row, front)()
        before = row.run()
    with bench(suite) as row:
        row.freshwire()
        getattr(row, front)()
        return before, row.run_twice([case for case, result in before.items() if not result.passed])


def worse(front: str, before: Mapping[str, Result], behind: Mapping[str, Result]) -> list[Outcome]:
    """What the other cache does not do any more when it stands before a node."""
    return [
        Outcome(
            f"behind {front}: {case}",
            "worse" if before[case].passed and not result.passed else CONFORMS,
            result.detail,
        )
        for case, result in behind.items()
        if result.kind in JUDGED and case in before
    ]


def counts(results: Mapping[str, Result]) -> dict[str, tuple[int, int]]:
    """How many passed, of how many, of each kind."""
    all_ = Counter(result.kind for result in results.values())
    passed = Counter(result.kind for result in results.values() if result.passed)
    return {kind: (passed[kind], all_[kind]) for kind in (*JUDGED, "check")}


if __name__ == "__main__":
    sys.exit(main())
