"""`python -m conformance`: every suite, one after the other; fails if one of them does, or cannot run."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

SUITES = ("http1", "httpcache", "eventsource", "schemathesis", "slowhttptest", "autobahn", "faults")
"""The quick ones first."""


def main() -> int:
    codes = {}
    for suite in SUITES:
        if importlib.util.find_spec(f"conformance.{suite}") is None:
            continue
        print(f"== {suite}", flush=True)
        codes[suite] = subprocess.run([sys.executable, "-m", f"conformance.{suite}"]).returncode
    said = {0: "passed", 2: "could not run"}
    print(
        "== conformance: " + ", ".join(f"{suite} {said.get(code, 'FAILED')}" for suite, code in codes.items())
    )
    return max(codes.values())


if __name__ == "__main__":
    sys.exit(main())
