"""What came out: on the terminal, as JSON in `conformance/results/`, and as the table of `docs/http1.md`."""

from __future__ import annotations

import json
from typing import Any

from conformance.http1.cases import FILES, Case
from conformance.http1.judge import Verdict
from conformance.http1.servers import SERVERS
from conformance.http1.starter import ROOT
from conformance.verdict import RESULTS as RESULTS_FOLDER
from conformance.verdict import written

RESULTS = RESULTS_FOLDER / "http1.json"
PAGE = ROOT / "docs" / "http1.md"
BEGIN, END = "<!-- python -m conformance.http1 --write-docs: begin -->", "<!-- end -->"
HEADINGS = {
    "message": "Messages and request lines",
    "target": "Request targets",
    "host": "Host",
    "fields": "Fields",
    "length": "Length of the content",
    "chunked": "Chunks",
    "connection": "Connections",
    "methods": "Methods",
    "responses": "Responses",
    "conditional": "Conditional requests",
    "negotiation": "Negotiation and ranges",
    "caching": "Caching",
    "smuggling": "One request read as two",
}


def surprises(verdicts: dict[str, Verdict], *, whole: bool) -> list[str]:
    """How Freshwire differs from what is written down."""
    listed = {deviation.case: deviation for deviation in written("http1")}
    found = []
    for name, verdict in verdicts.items():
        known = listed.get(name)
        if known is None:
            found += [f"{name}: {fault}" for fault in verdict.faults]
        elif verdict.passed:
            found.append(f"{name}: is listed as a deviation, but is none")
        elif verdict.outcome != known.verdict:
            found.append(f"{name}: {verdict.outcome}, but {known.verdict} is the deviation that is listed")
    if whole:
        found += [
            f"{name}: is listed as a deviation, but is no case" for name in listed.keys() - verdicts.keys()
        ]
    return found


def summary(
    name: str, verdicts: dict[str, Verdict], took_s: float, surprises: list[str], *, verbose: bool
) -> None:
    """Print it."""
    passed = sum(verdict.passed for verdict in verdicts.values())
    print(f"{name}: {passed} of {len(verdicts)} as the RFCs have it ({took_s:.0f} s)")
    if surprises:
        print(*(f"  {line}" for line in surprises), sep="\n")
    elif verbose:
        for case, verdict in verdicts.items():
            for fault in verdict.faults:
                print(f"  {case}: {fault}")


def save(name: str, version: str, verdicts: dict[str, Verdict]) -> None:
    """Add to the results of other servers and cases."""
    results = _results()
    entry = results.setdefault(name, {"version": version, "cases": {}})
    entry["version"] = version
    entry["cases"] |= {case: {"outcome": v.outcome, "faults": list(v.faults)} for case, v in verdicts.items()}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")


def _results() -> dict[str, Any]:
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def write_docs(cases: list[Case]) -> None:
    """Write the part of the page between its marks. Raises SystemExit if a server has not been asked everything."""
    results = _results()
    if missing := [name for name in SERVERS if name not in results]:
        raise SystemExit(f"there are no results of {', '.join(missing)}: run without --server first")
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table(cases, results)}{END}{rest.split(END)[1]}")


def table(cases: list[Case], results: dict[str, Any]) -> str:
    """The generated part of the page."""
    names = list(SERVERS)
    versions = ", ".join(f"{name} ({results[name]['version']})" for name in names)
    lines = [f"{len(cases)} cases. Servers: {versions}.", "", "| | " + " | ".join(names) + " |"]
    lines.append("| --- " * (len(names) + 1) + "|")
    for what, wanted in (("as the RFCs have it", True), ("deviates", False)):
        counts = [_count(results[name]["cases"], cases, wanted) for name in names]
        lines.append(f"| {what} | " + " | ".join(map(str, counts)) + " |")
    for file in FILES:
        lines += ["", f"## {HEADINGS[file]}", "", "| rule | | level | " + " | ".join(names) + " |"]
        lines.append("| --- " * (len(names) + 3) + "|")
        for case in (case for case in cases if case.id.startswith(f"{file}/")):
            cells = [_cell(results[name]["cases"].get(case.id)) for name in names]
            rule = case.rule.replace("|", r"\|")
            lines.append(f"| {rule} | {case.rfc} | {case.level} | " + " | ".join(cells) + " |")
    lines += ["", "## Where Freshwire deviates, and why", ""]
    rules = {case.id: case for case in cases}
    for known in written("http1"):
        case = rules[known.case]
        lines.append(f"* {case.rfc}, {case.level}: {case.rule} Freshwire: {known.verdict}. {known.reason}")
    return "\n".join([*lines, ""])


def _count(verdicts: dict[str, Any], cases: list[Case], passed: bool) -> int:
    return sum(case.id in verdicts and (not verdicts[case.id]["faults"]) == passed for case in cases)


def _cell(verdict: dict[str, Any] | None) -> str:
    if verdict is None:
        return ""
    outcome = verdict["outcome"].split(" broken (")
    mark = "✗" if verdict["faults"] else ("·" if _refused(outcome[0]) else "✓")
    broken = " broken" if len(outcome) > 1 else ""
    return f"{mark} {outcome[0]}{broken}{'' if broken or mark != '✗' or _in_status(verdict) else ' †'}"


def _refused(outcome: str) -> bool:
    statuses = outcome.replace("close", "").split()
    return not statuses or statuses[-1][0] in "45"


def _in_status(verdict: dict[str, Any]) -> bool:
    """Whether the outcome itself is not allowed, or depends on how the bytes come."""
    said = verdict["outcome"]
    return any(
        fault.removeprefix("byte by byte: ").startswith(f"{said} instead of") or "in one write" in fault
        for fault in verdict["faults"]
    )
