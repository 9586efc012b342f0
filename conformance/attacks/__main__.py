"""Run the attacks and write the table: `python -m conformance.attacks`."""

from __future__ import annotations

import argparse
import importlib.metadata
import subprocess
import sys
from pathlib import Path

from tests.security.wire import Closed

from .attacks import ATTACKS, Attack, Seen
from .servers import PYTHON, ROOT, SERVERS, running

PAGE = ROOT / "docs" / "security.md"
BEGIN, END = "<!-- attacks: begin -->", "<!-- attacks: end -->"


def version(server: str) -> str:
    """Name and version as the head of the table has them."""
    if server in PYTHON:
        return server if server == "freshwire" else f"{server} {importlib.metadata.version(server)}"
    said = subprocess.run(["/usr/sbin/nginx", "-v"], capture_output=True, text=True).stderr
    return f"nginx {said.strip().rpartition('/')[2].split()[0]}"


def attacked(server: str, attack: Attack) -> Seen | None:
    """What came of it; None if the server has nothing that could be attacked so."""
    if server in attack.without:
        return None
    with running(server) as target:
        try:
            return attack.run(target)
        except (Closed, OSError, AssertionError, ValueError, IndexError) as error:
            return Seen(f"({type(error).__name__})", False)


def table(servers: list[str], rows: list[tuple[Attack, dict[str, Seen | None]]]) -> str:
    """In Markdown."""
    lines = ["| | attack | " + " | ".join(version(server) for server in servers) + " |"]
    lines.append("| --- " * (2 + len(servers)) + "|")
    for attack, seen in rows:
        cells = [said.says if (said := seen[server]) else "-" for server in servers]
        lines.append(f"| {attack.row} | {attack.what} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Attack; 1 if the node does not hold."""
    parser = argparse.ArgumentParser(prog="python -m conformance.attacks", description=__doc__)
    parser.add_argument("--only", nargs="*", default=SERVERS, choices=SERVERS, help="these servers")
    parser.add_argument("--rows", nargs="*", type=int, help="these rows of docs/security.md")
    parser.add_argument("--write", action="store_true", help="write the table into docs/security.md")
    given = parser.parse_args()
    rows, failed = [], 0
    for attack in ATTACKS:
        if given.rows and attack.row not in given.rows:
            continue
        print(f"{attack.row:>3} {attack.what}", flush=True)
        seen = {}
        for server in given.only:
            seen[server] = said = attacked(server, attack)
            if said is None:
                continue
            fails = server == "freshwire" and not said.holds
            failed += fails
            mark = "FAILED" if fails else ""
            print(f"      {server:12} {said.says}  {mark}", flush=True)
        rows.append((attack, seen))
    if given.write:
        page = PAGE.read_text()
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        Path(PAGE).write_text(f"{before}{BEGIN}\n{table(given.only, rows)}\n{END}{after}")
    print(f"{failed} attacks that the node does not hold" if failed else "the node holds")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
