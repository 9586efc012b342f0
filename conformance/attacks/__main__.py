"""Run the attacks and write the table: `python -m conformance.attacks`."""

from __future__ import annotations

import argparse
import importlib.metadata
import subprocess
import sys

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


def table(page: str, rows: dict[str, dict[str, Seen | None]]) -> str:
    """In Markdown; attacks and servers that had no turn keep what the page says of them."""
    lines = ["| | attack | " + " | ".join(version(server) for server in SERVERS) + " |"]
    lines.append("| --- " * (2 + len(SERVERS)) + "|")
    said = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    before = {line[1]: dict(zip(SERVERS, line[2:], strict=False)) for line in said if len(line) > 2}
    for attack in ATTACKS:
        cells = before.get(attack.what, {}) | {
            server: seen.says for server, seen in rows.get(attack.what, {}).items() if seen
        }
        shown = ["-" if server in attack.without else cells.get(server, "?") for server in SERVERS]
        lines.append(f"| {attack.row} | {attack.what} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def main() -> int:
    """Attack; 1 if the node does not hold."""
    parser = argparse.ArgumentParser(prog="python -m conformance.attacks", description=__doc__)
    parser.add_argument("--only", nargs="*", default=SERVERS, choices=SERVERS, help="these servers")
    parser.add_argument("--rows", nargs="*", type=int, help="these rows of docs/security.md")
    parser.add_argument("--write", action="store_true", help="write the table into docs/security.md")
    given = parser.parse_args()
    rows, failed = {}, 0
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
        rows[attack.what] = seen
    if given.write:
        page = PAGE.read_text()
        before, _, rest = page.partition(BEGIN)
        old, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n{table(old, rows)}\n{END}{after}")
    print(f"{failed} attacks that the node does not hold" if failed else "the node holds")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
