"""`python -m conformance.faults`: every bad day at its full size (about half an hour), or those that are named.

Prints a line for each, with the seed that would repeat it; exits with 1 if a promise was broken. What the clients and
the node wrote down stays in the folder that is named then.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from .scenarios import SCENARIOS, Scenario, missing
from .trial import FULL, QUICK, Size


def main() -> int:
    """Run; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m conformance.faults", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(SCENARIOS)}")
    parser.add_argument("--seed", type=int, help="of the first (default: any)")
    parser.add_argument("--quick", action="store_true", help="as small as in `make test`")
    parser.add_argument(
        "--minutes",
        type=float,
        default=0.0,
        help="begin again, with other seeds, until so long after the start",
    )
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - SCENARIOS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    seed = random.randrange(2**32) if chosen.seed is None else chosen.seed
    end = time.monotonic() + chosen.minutes * 60
    passed = failed = 0
    while True:
        for name in chosen.names or SCENARIOS:
            if run(name, SCENARIOS[name], QUICK if chosen.quick else FULL, seed):
                passed += 1
            else:
                failed += 1
        seed += 1
        if time.monotonic() >= end:
            break
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def run(name: str, scenario: Scenario, size: Size, seed: int) -> bool:
    """One bad day; whether every promise was kept."""
    if lacking := missing(name):
        print(f"{name}: FAILED, it needs {lacking}")
        return False
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    begun = time.monotonic()
    print(f"{name}, seed {seed}: ", end="", flush=True)
    try:
        asyncio.run(scenario(size, seed, folder))
    except Exception:
        print(f"FAILED after {time.monotonic() - begun:.0f} s; see {folder}")
        traceback.print_exc()
        return False
    print(f"ok, {time.monotonic() - begun:.0f} s")
    shutil.rmtree(folder)
    return True


if __name__ == "__main__":
    sys.exit(main())
