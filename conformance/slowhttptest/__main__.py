"""`python -m conformance.slowhttptest [--peers]`: each attack on a node with default options, and on its peers.

Judged is the node alone: nothing slow is left, another client was always served, and the counters say why.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from conformance.node import Node, serve
from conformance.verdict import CANNOT_RUN, Outcome, conclude
from tests.ports import free_port

from . import peers
from .attack import ATTACKS, CONNECTIONS, LOOK_S, Attack, Seen, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m conformance.slowhttptest", description=__doc__)
    parser.add_argument("--peers", action="store_true", help="attack the peers too, for the table")
    arguments = parser.parse_args()
    for command, package in (("slowhttptest", "slowhttptest"), ("ss", "iproute2")):
        if shutil.which(command) is None:
            print(f"slowhttptest: {command} is not installed: apt-get install {package}", file=sys.stderr)
            return CANNOT_RUN
    outcomes: list[Outcome] = []
    rows: list[dict[str, Any]] = []
    with serve(peers.APPLICATION) as node:
        for attack in ATTACKS:
            before = node.stats()
            seen = run(attack, node.port)
            after = node.stats()
            refused = Counter(after["refusals"]) - Counter(before["refusals"])
            rows.append(row("freshwire", attack, seen, refused))
            outcomes += judged(attack, seen, after["accepted"] - before["accepted"], refused, node)
    for name in peers.PEERS if arguments.peers else ():
        for attack in ATTACKS:
            port = free_port()
            with peers.PEERS[name](port):
                rows.append(row(name, attack, run(attack, port)))
    said = subprocess.run(["slowhttptest", "-h"], capture_output=True, text=True)
    about = {
        "slowhttptest": (said.stdout + said.stderr).partition("version ")[2].split("\n")[0],
        "peers": {name: peers.version(name) for name in peers.PEERS} if arguments.peers else {},
        "attacks": rows,
    }
    return conclude("slowhttptest", outcomes, about=about)


def judged(attack: Attack, seen: Seen, accepted: int, refused: Counter[str], node: Node) -> Iterator[Outcome]:
    """What an attack on the node must have come to."""
    if seen.left:
        yield Outcome(f"{attack.name}: ends", "LEFT", f"{seen.left} connections are left after {LOOK_S} s")
    elif accepted < CONNECTIONS / 2:
        yield Outcome(f"{attack.name}: ends", "NO ATTACK", f"{accepted} connections, probes among them")
    else:
        yield Outcome(f"{attack.name}: ends")
    if seen.failed:
        yield Outcome(f"{attack.name}: others", "NOT SERVED", f"of {seen.probes}: {Counter(seen.failed)}")
    else:
        yield Outcome(f"{attack.name}: others")
    why = set(refused) - {"max_connections_per_address"}
    if why != attack.counters:
        yield Outcome(f"{attack.name}: counted", "COUNTED", f"{dict(refused)}, not {set(attack.counters)}")
    else:
        yield Outcome(f"{attack.name}: counted")
    if node.process.poll() is not None:
        yield Outcome(f"{attack.name}: lives", "DIED", "".join(node.errors[-20:]))


def row(server: str, attack: Attack, seen: Seen, refused: Counter[str] | None = None) -> dict[str, Any]:
    """A line of the table, printed as it is known."""
    served = f"{seen.probes - len(seen.failed)} of {seen.probes}"
    print(
        f"{server:10} {attack.name:10} {seen.most:5} at once, {seen.left:5} left after {LOOK_S:.0f} s, "
        f"others served {served} {dict(refused or {})}",
        flush=True,
    )
    return {
        "server": server,
        "attack": attack.name,
        "most": seen.most,
        "left": seen.left,
        "probes": seen.probes,
        "failed": dict(Counter(seen.failed)),
        "refused": dict(refused or {}),
    }


if __name__ == "__main__":
    sys.exit(main())
