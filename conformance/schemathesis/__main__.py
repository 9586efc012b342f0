"""`python -m conformance.schemathesis`: every check, with data that the description allows and data that it forbids."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from conformance.node import serve
from conformance.verdict import CANNOT_RUN, Outcome, conclude

SEED = 2013
EXAMPLES = 100
"""Most test cases for one operation and phase."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m conformance.schemathesis", description=__doc__)
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="most test cases for an operation")
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    command = Path(sys.executable).with_name("schemathesis")
    if not command.exists():
        print('schemathesis: not installed: pip install "freshwire[prove]"', file=sys.stderr)
        return CANNOT_RUN
    with tempfile.TemporaryDirectory(prefix="freshwire-") as folder:
        report = Path(folder) / "report.json"
        with serve("examples.departures.app:app", environment={"DEPARTURES_DATA": folder}) as node:
            words = [
                *(str(command), "run", f"{node.url}/openapi.json", "--mode", "all", "--checks", "all"),
                *("--max-examples", str(arguments.examples), "--seed", str(arguments.seed)),
                *(
                    "--continue-on-failure",
                    "--no-color",
                    "--report",
                    "json",
                    "--report-json-path",
                    str(report),
                ),
            ]
            done = subprocess.run(
                words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            refused = node.stats()["refusals"]
        if not report.exists():
            print(done.stdout, file=sys.stderr)
            return CANNOT_RUN
        found = json.loads(report.read_text())
    outcomes = list(read(found))
    if any(outcome.verdict != "ok" for outcome in outcomes):
        print(done.stdout)
    about = {
        "schemathesis": metadata.version("schemathesis"),
        "seed": arguments.seed,
        "test_cases": found["test_cases"],
        "operations": found["operations"],
        "refusals": refused,
        "warnings": {name: each for name, each in found["warnings"].items() if each},
    }
    return conclude("schemathesis", outcomes, about=about)


def read(report: dict[str, Any]) -> Iterator[Outcome]:
    """Each operation that was tested, or each of its kinds of failure; then whatever kept it from testing."""
    failed = [(operation, kind) for kind in report["failures"] for operation in kind["operations"]]
    for operation, kind in failed:
        yield Outcome(operation, kind["code"], kind["title"])
    for operation in report["valid_rates"]:
        if operation not in {failing for failing, _ in failed}:
            yield Outcome(operation)
    for error in report["errors"]:
        yield Outcome("the run", "ERROR", error["title"])
    if not report["complete"] or report["operations"]["tested"] < report["operations"]["total"]:
        yield Outcome("the run", "INCOMPLETE", str(report["operations"]))
    for operation in report["warnings"]["missing_test_data"]:
        yield Outcome(
            operation, "NEVER FOUND", "every valid request was answered with 404: nothing was tested"
        )


if __name__ == "__main__":
    sys.exit(main())
