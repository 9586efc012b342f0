"""`python -m benchmarks.page [JSON]`: write the figures of a report into docs/benchmarks.md, between its markers.

A marker is `<!-- figures: NAME -->`, and `<!-- end -->` ends what is generated. NAME is a benchmark, `budgets` for a
summary of all that has one, `machine`, or `plot NAME`. With --check nothing is written, and the exit code says
whether the page is what it would be.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figure import Figure, cells
from benchmarks.processes import ROOT
from benchmarks.report import Report

PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "benchmarks" / "results" / "latest.json"
SECTION = re.compile(r"(<!-- figures: ([a-z0-9 -]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
NOTHING = "*No figures yet: `make bench` writes them.*"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.page", description=__doc__)
    parser.add_argument("json", type=Path, nargs="?", default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--check", action="store_true", help="change nothing")
    asked = parser.parse_args(arguments)
    report = Report.read(asked.json) if asked.json.exists() else None
    if report is not None and report.quick:
        parser.error(f"{asked.json} is of a quick run, whose figures mean nothing")
    old = asked.page.read_text()
    new = filled(old, report)
    if asked.check:
        if new != old:
            print(f"{asked.page} is not what {asked.json} makes of it: run `make page`", file=sys.stderr)
        return int(new != old)
    asked.page.write_text(new)
    return 0


def filled(page: str, report: Report | None) -> str:
    """The page with what belongs between its markers."""

    def section(found: re.Match[str]) -> str:
        content = content_of(found[2], report) if report else NOTHING
        return f"{found[1]}{content or NOTHING}\n{found[4]}"

    return SECTION.sub(section, page)


def content_of(name: str, report: Report) -> str:
    """What stands at a marker; empty if the report has nothing for it."""
    if name == "machine":
        return machine(report)
    if name == "budgets":
        return budgets(report)
    if name.startswith("plot "):
        return f"![{name}](../benchmarks/results/{name.removeprefix('plot ')}.svg)"
    part = report.parts.get(name)
    return markdown(part.figures) if part else ""


def machine(report: Report) -> str:
    about = report.machine
    days = sorted({part.made_at[:10] for part in report.parts.values()})
    busiest = max((part.load_at_start for part in report.parts.values()), default=0.0)
    return (
        f"Measured at commit `{report.commit}` on {', '.join(days)}: {about['processor']}, {about['cores']} cores, "
        f"{about['memory_gib']} GiB, Linux {about['kernel']}, Python {about['python']}; "
        f"load average before the busiest benchmark: {busiest:.1f}."
    )


def budgets(report: Report) -> str:
    """Every figure that has a budget."""
    rows = ["| what | budget | measured | |", "| --- | --- | --- | --- |"]
    for part in report.parts.values():
        for figure in part.figures:
            if figure.budget is None and not (figure.measured is None and figure.subject == "freshwire"):
                continue
            what, measured, _, ratio, budget, verdict = cells(figure)
            if figure.ratio is not None:
                budget, measured = f"{budget}× {figure.beside}", ratio
            elif figure.measured is not None:
                budget = f"{budget} {figure.unit}"
            rows.append(_row(what, budget, measured, verdict or figure.note))
    return "\n".join(rows) if len(rows) > 2 else ""


def markdown(figures: Sequence[Figure]) -> str:
    """A table of figures, and their notes."""
    rows = [
        "| what | measured | beside | ratio (of rounds) | budget | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    rows += [_row(*cells(figure)) for figure in figures]
    notes = [f"* {figure.title}: {figure.note}." for figure in figures if figure.note]
    return "\n".join([*rows, *(["", *notes] if notes else [])])


def _row(*texts: str) -> str:
    escaped = (text.replace("|", "\\|").replace("MISSED", "**MISSED**") for text in texts)
    return f"| {' | '.join(escaped)} |"


if __name__ == "__main__":
    raise SystemExit(main())
