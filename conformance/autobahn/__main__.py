"""`python -m conformance.autobahn [CASE…]`: all cases, or those that match patterns such as `12.1.*`.

The suite's exit code is always 0, and a server that is down is silently absent from its report: the cases in
the report are what counts.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from conformance.node import Node, serve
from conformance.verdict import CANNOT_RUN, CONFORMS, CannotRunError, Outcome, conclude

from . import suite

CASES = 517
MOST_NON_STRICT = 2
AGENT = "freshwire"
LOTS = (["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*", "13.*"], ["12.*"])
"""Run beside each other: the client, a Python of 2010, is what takes the time."""
OPTIONS = {
    "max_message_bytes": 16 * 1024 * 1024,  # 9.1.6 and 9.2.6 send 16 MiB
    "max_fragments": 65_537,  # 9.3.1 and 9.4.1 send 4 MiB in fragments of 64 bytes, and an empty one
    "max_frames_per_s": 0,  # these, and 9.7 and 9.8, send as fast as they can
    "max_messages_per_s": 0,  # slows down only, but 12 and 13 send 1,000 messages in most cases
}
"""Where the node's defaults would refuse or slow down what a case sends."""
FINE = ("OK", "INFORMATIONAL")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m conformance.autobahn", description=__doc__)
    parser.add_argument("cases", nargs="*", help="patterns of cases, such as 12.1.*")
    patterns = parser.parse_args().cases
    try:
        wstest = suite.install()
    except CannotRunError as error:
        print(error, file=sys.stderr)
        return CANNOT_RUN
    lots = [patterns] if patterns else LOTS
    with tempfile.TemporaryDirectory(prefix="freshwire-") as folder:
        with serve("conformance.autobahn.echo:app", options=OPTIONS) as node:
            clients = [Client(wstest, node, lot, Path(folder) / str(n)) for n, lot in enumerate(lots)]
            for client in clients:
                client.wait()
            died = node.process.poll() is not None
        outcomes = [outcome for client in clients for outcome in client.outcomes()]
    if died:
        outcomes.append(Outcome("the node", "DIED", "".join(node.errors[-20:])))
    if not patterns:
        outcomes += counted(outcomes)
    about = {"autobahntestsuite": suite.VERSION, "options": OPTIONS}
    return conclude("autobahn", outcomes, about=about, complete=not patterns)


def counted(outcomes: Sequence[Outcome]) -> Iterator[Outcome]:
    """What the report as a whole must be, as further cases."""
    if len(outcomes) != CASES:
        yield Outcome("the report", f"{len(outcomes)} CASES", f"there should be {CASES}")
    non_strict = sum(outcome.verdict == "NON-STRICT" for outcome in outcomes)
    if non_strict > MOST_NON_STRICT:
        yield Outcome("the report", f"{non_strict} NON-STRICT", f"at most {MOST_NON_STRICT} are accepted")


class Client:
    """A fuzzing client that runs a lot of the cases."""

    def __init__(self, wstest: Path, node: Node, cases: Sequence[str], folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        spec = {
            "outdir": str(folder / "report"),
            "servers": [{"agent": AGENT, "url": node.url.replace("http", "ws", 1)}],
            "cases": list(cases),
            "exclude-cases": [],
            "exclude-agent-cases": {},
        }
        (folder / "spec.json").write_text(json.dumps(spec))
        self._process = subprocess.Popen(
            [str(wstest), "-m", "fuzzingclient", "-s", "spec.json"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._said: list[str] = []
        self._reader = threading.Thread(target=self._follow, daemon=True)
        self._reader.start()

    def _follow(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.append(line)
            if line.startswith("Running test case ID") and sys.stderr.isatty():
                print(f"\r{line.split()[4]:8}", end="", file=sys.stderr)

    def wait(self) -> None:
        """Wait for its end; `KeyboardInterrupt` ends it."""
        try:
            self._process.wait()
        except BaseException:
            self._process.kill()
            raise
        self._reader.join()

    def outcomes(self) -> Iterator[Outcome]:
        """What it found; the reasons are in the page of each case."""
        index = self._folder / "report" / "index.json"
        if not index.exists():
            yield Outcome("the suite", "NO REPORT", "".join(self._said[-20:]))
            return
        for case, found in json.loads(index.read_text()).get(AGENT, {}).items():
            worst = next((v for v in (found["behavior"], found["behaviorClose"]) if v not in FINE), CONFORMS)
            detail = ""
            if worst != CONFORMS:
                with contextlib.suppress(OSError, KeyError, ValueError):
                    page = json.loads((index.parent / found["reportfile"]).read_text())
                    detail = f"{page['description']} {page['result']} {page['resultClose']}"
            yield Outcome(case, worst, detail)


if __name__ == "__main__":
    sys.exit(main())
