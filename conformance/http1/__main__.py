"""Send the corpus to servers. Ends with 1 if Freshwire deviates in a way that `deviations.toml` does not name."""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from conformance.http1 import behind, report
from conformance.http1.cases import Case, load
from conformance.http1.fronts import FRONTS
from conformance.http1.judge import Verdict, run
from conformance.http1.servers import SERVERS, start
from conformance.http1.starter import MissingError, Server


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m conformance.http1", description=__doc__)
    parser.add_argument(
        "--server", help=f"one or more of {', '.join(SERVERS)}, or http://host:port; default: all"
    )
    parser.add_argument("--only", metavar="GLOB", default="*", help="cases by name, as in 'host/*'")
    parser.add_argument("--behind", metavar="PROXIES", help=f"send what smuggles through {', '.join(FRONTS)}")
    parser.add_argument("--list", action="store_true", help="say what the cases are, and run none")
    parser.add_argument(
        "--write-docs", action="store_true", help="write the table of docs/http1.md from the results"
    )
    asked = parser.parse_args()
    cases = [case for case in load() if fnmatch.fnmatch(case.id, asked.only)]
    names = asked.server.split(",") if asked.server else list(SERVERS)
    fronts = asked.behind.split(",") if asked.behind else []
    if not cases:
        parser.error(f"no case is called {asked.only}")
    for name in [n for n in names if n not in SERVERS and not n.startswith("http://")]:
        parser.error(f"{name}: neither http://host:port nor one of {', '.join(SERVERS)}")
    for name in set(fronts) - FRONTS.keys():
        parser.error(f"{name}: none of {', '.join(FRONTS)}")
    if asked.list:
        for case in cases:
            print(f"{case.id:46} {case.rfc:16} {case.level:6} {case.rule}")
        return 0
    failed = 0
    failed += behind.run(fronts, cases)
    if not asked.behind or asked.server:
        failed += _run_all(names, cases)
    if asked.write_docs:
        report.write_docs(load())
    return 1 if failed else 0


def _run_all(names: list[str], cases: list[Case]) -> int:
    """How many unknown deviations there are."""
    whole = len(cases) == len(load())
    unknown = 0
    with ThreadPoolExecutor(2) as pool:
        for name, outcome in zip(names, pool.map(lambda name: _run_one(name, cases), names), strict=True):
            if isinstance(outcome, str):
                print(f"{name}: not installed ({outcome})")
                unknown += name == "freshwire"
                continue
            version, verdicts, took_s = outcome
            surprises = report.surprises(verdicts, whole=whole) if name == "freshwire" else []
            report.summary(name, verdicts, took_s, surprises, verbose=len(names) == 1)
            unknown += len(surprises)
            if not name.startswith("http://"):
                report.save(name, version, verdicts)
    return unknown


def _run_one(name: str, cases: list[Case]) -> tuple[str, dict[str, Verdict], float] | str:
    began = time.monotonic()
    try:
        with start(name) as server:
            return server.version, run_cases(server, cases), time.monotonic() - began
    except MissingError as error:
        return str(error)


def run_cases(server: Server, cases: list[Case]) -> dict[str, Verdict]:
    """Each case that makes sense for this server, by name."""
    own = server.name == "freshwire"
    return {
        case.id: run(case, server.address, server.seen, own=own, foreign=server.is_foreign)
        for case in cases
        if (case.needs == "" or own or (case.needs == "cache" and server.is_cache))
        and (case.refuses or not server.is_foreign)
    }


if __name__ == "__main__":
    sys.exit(main())
