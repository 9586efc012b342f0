"""The table: as text, as JSON, and in docs/edge.md."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.edge.ways import WAYS
from benchmarks.processes import ROOT

RESULTS = ROOT / "benchmarks" / "results" / "edge.json"
PAGE = ROOT / "docs" / "edge.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
COLUMNS = (
    "",
    "clients",
    "changes",
    "waits of clients",
    "of them at the origin (allowed)",
    "reads of clients",
    "calls of the application (allowed)",
    "stale",
    "missed",
    "failed",
    "change to client p50, p99",
)


def report(outcomes: Sequence[dict[str, Any]], machine: dict[str, Any], commit: str) -> dict[str, Any]:
    return {
        "commit": commit,
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine,
        "outcomes": list(outcomes),
    }


def rows(made: dict[str, Any]) -> list[list[str]]:
    """A line for each way, in words."""
    titles = {way.name: way for way in WAYS}
    table = []
    for outcome in made["outcomes"]:
        way = titles[outcome["way"]]
        delay = outcome["delay_ms"]
        table.append(
            [
                way.title,
                f"{outcome['there']:,}",
                str(outcome["changes"]),
                number(outcome["waits"]),
                allowed(outcome["origin_waits"], outcome["waits_allowed"], promised=way.promises),
                number(outcome["reads"]),
                allowed(outcome["origin_reads"], outcome["reads_allowed"], promised=way.promises),
                number(outcome["stale"]),
                number(outcome["missed"]) if outcome["waits"] is not None else "",
                number(outcome["failed"]),
                "" if delay["p50"] is None else f"{delay['p50']:,.0f} ms, {delay['p99']:,.0f} ms",
            ]
        )
    return table


def number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def allowed(value: int | None, most: int, *, promised: bool) -> str:
    return number(value) + (f" ({most})" if promised else "")


def text(made: dict[str, Any]) -> str:
    lines = [COLUMNS, *rows(made)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)) for line in lines
    )


def markdown(made: dict[str, Any]) -> str:
    """The table and the machine, as the page shows them."""
    machine = made["machine"]
    lines = [
        f"Measured on {made['made_at'][:10]} at `{made['commit']}`: {machine['processor']}, "
        f"{machine['cores']} cores, Linux {machine['kernel']}; {machine['nginx']}, {machine['varnish']}. "
        "All of it on this one machine, so the delays are shapes; the counts are the result.",
        "",
        f"| {' | '.join(COLUMNS)} |",
        f"|{' --- |' * len(COLUMNS)}",
        *(f"| {' | '.join(line)} |" for line in rows(made)),
    ]
    return "\n".join(lines)


def save(made: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made, indent=2) + "\n")


def document(made: dict[str, Any], page: Path = PAGE) -> None:
    """Put the figures into the page, between its marks."""
    before, rest = page.read_text().split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n\n{markdown(made)}\n\n{END}{after}")
