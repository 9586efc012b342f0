"""What is shown in the end: a table, JSON, and the part of docs/million.md that is made from it."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.million.memory import Memory
from benchmarks.million.phases import Outcome
from benchmarks.million.plan import Plan
from benchmarks.million.settings import Setting
from benchmarks.processes import ROOT
from benchmarks.report import commit, processor

RESULTS = ROOT / "benchmarks" / "results" / "million.json"
PAGE = ROOT / "docs" / "million.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
GIB = 1 << 30
Row = tuple[str, str]


def report(plan: Plan, found: Sequence[Setting], outcome: Outcome, limit: int, lowest: int) -> dict[str, Any]:
    """All that was found, for the file."""
    assert outcome.before
    assert outcome.held
    assert outcome.after
    watchers, held = plan.watchers, outcome.held - outcome.before
    return {
        "made_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": {
            "processor": processor(),
            "cores": len(os.sched_getaffinity(0)),
            "kernel": os.uname().release,
            "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            "descriptors_a_process": limit,
        },
        "watchers": watchers,
        "nodes": plan.nodes,
        "settings": [{**dataclasses.asdict(setting), "changed": not setting.enough} for setting in found],
        "seconds": outcome.seconds,
        "cpu_us_a_message": {"nodes": outcome.node_cpu_us, "clients": outcome.client_cpu_us},
        "killed": dataclasses.asdict(outcome.killed) if outcome.killed else None,
        "connects_retried": dict(outcome.retried),
        "tcp_counters": outcome.trouble,
        "memory": {
            "before": dataclasses.asdict(outcome.before),
            "held": dataclasses.asdict(outcome.held),
            "after_changes": dataclasses.asdict(outcome.after),
            "lowest_available": lowest,
            "a_node_without_watchers": outcome.before.nodes / plan.nodes,
            "a_watcher": {
                "engine": held.nodes / watchers,
                "engine_after_changes": (outcome.after - outcome.before).nodes / watchers,
                "kernel_objects": held.objects / watchers,
                "kernel_buffers": held.buffers / watchers,
                "machine": _taken(held) / watchers,
            },
        },
        "changes": [
            {**dataclasses.asdict(reached), "told_share": reached.told_share} for reached in outcome.changes
        ],
    }


def _taken(held: Memory) -> int:
    """What is no longer available to others, for whatever purpose."""
    return -held.available


def rows(made: dict[str, Any]) -> list[Row]:
    """The table."""
    watchers, memory = made["watchers"], made["memory"]
    each, held, changes = memory["a_watcher"], memory["held"], made["changes"]
    cpu = made["cpu_us_a_message"]

    def median(name: str) -> float:
        return float(statistics.median(change[name] for change in changes))

    least = min(change["watchers"] for change in changes)
    firsts = [change["first_of_each_node_s"][1] for change in changes]
    table = [
        ("watchers held", f"{watchers:,} by {made['nodes']} nodes"),
        ("got each change", f"{least:,} of {watchers:,}, in {len(changes)} changes"),
        ("change to the first watcher", f"{median('first_s') * 1000:,.1f} ms"),
        ("to the first watcher of every node", f"{statistics.median(firsts):.2f} s"),
        ("to half of them", f"{median('p50_s'):.2f} s"),
        ("to 99 % of them", f"{median('p99_s'):.2f} s"),
        ("to the last", f"{median('last_s'):.2f} s"),
        ("delivered a second", f"{watchers / median('last_s'):,.0f}"),
        ("of that, telling the nodes", f"{median('told_s') * 1000:,.1f} ms ({median('told_share'):.2%})"),
        ("CPU a message", f"{cpu['nodes']:.1f} µs at the nodes, {cpu['clients']:.1f} µs at the load clients"),
        ("connect", f"{made['seconds']['connect']:.0f} s ({watchers / made['seconds']['connect']:,.0f}/s)"),
        ("connects tried again", f"{sum(made['connects_retried'].values()):,}"),
        ("a node without watchers", f"{memory['a_node_without_watchers'] / (1 << 20):.1f} MiB"),
        (
            "engine, a watcher",
            f"{each['engine']:,.0f} B ({each['engine_after_changes']:,.0f} B after changes)",
        ),
        ("kernel, a watcher, both ends", f"{each['kernel_objects'] + each['kernel_buffers']:,.0f} B"),
        ("nodes, in all", f"{held['nodes'] / GIB:.2f} GiB"),
        ("load clients, in all", f"{held['clients'] / GIB:.2f} GiB"),
        ("memory left at the least", f"{memory['lowest_available'] / GIB:.1f} GiB"),
    ]
    if killed := made["killed"]:
        text = f"{killed['got']:,} of {killed['watchers']:,} back at another node with the change they missed"
        table.append(("after SIGKILL of a node", f"{text}, within {killed['back_last_s']:.1f} s"))
    return table


def text(made: dict[str, Any]) -> str:
    table = rows(made)
    width = max(len(what) for what, _ in table)
    return "\n".join(f"{what:{width}}  {value}" for what, value in table)


def save(made: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made, indent=2) + "\n")


def markdown(made: dict[str, Any]) -> str:
    """The table, the machine and the settings, as the page shows them."""
    machine = made["machine"]
    size = machine["memory_bytes"] / GIB
    lines = [
        f"Measured on {made['made_at'][:10]} at {made['commit']}: {machine['processor']}, {machine['cores']} cores, "
        f"{size:.0f} GiB, Linux {machine['kernel']}, {machine['descriptors_a_process']:,} descriptors a process. "
        f"Delays are medians of {len(made['changes'])} changes.",
        "",
        "| what | measured |",
        "| --- | --- |",
        *(f"| {what} | {value} |" for what, value in rows(made)),
        "",
        "| setting | before | while it ran |",
        "| --- | --- | --- |",
        *(f"| `{s['name']}` | {s['present']} | {s['needed']} |" for s in made["settings"] if s["changed"]),
    ]
    return "\n".join(lines)


def document(made: dict[str, Any], page: Path = PAGE) -> None:
    """Put the figures into the page, between its marks."""
    before, rest = page.read_text().split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n\n{markdown(made)}\n\n{END}{after}")
