"""What the doctor says: the outcome of each check, with what was found to be wrong. No I/O."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

WIDTH = 100
"""Characters of a line for people."""


class Severity(StrEnum):
    """How bad it is."""

    error = "error"
    """A client gets what it must not get, or does not get what it should."""
    warning = "warning"
    """It works, and costs the node or the client what it need not."""
    note = "note"
    """As it was configured to be; good to know."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong."""

    problem: str
    """Its name, which does not change from version to version."""
    severity: Severity
    seen: str
    """What was seen, with figures."""
    why: str
    """Why it matters."""
    change: dict[str, list[str]]
    """What to change, line by line, for each proxy that was recognised (`any` when none was)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one check."""

    check: str
    said: str
    """What was seen when all is well, or why it was not checked."""
    checked: bool = True
    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    """The figures by name, with their unit; for programs."""


@dataclass(frozen=True, slots=True)
class Report:
    """All of it."""

    url: str
    in_front: list[str]
    """The proxies that were recognised, the nearest to the client first."""
    outcomes: list[Outcome]

    @property
    def findings(self) -> list[Finding]:
        """Everything that was found."""
        return [finding for outcome in self.outcomes for finding in outcome.findings]

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong, as far as it was checked."""
        return all(finding.severity is Severity.note for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {"url": self.url, "in_front": self.in_front, "healthy": self.healthy} | {
            "checks": [asdict(outcome) for outcome in self.outcomes]
        }

    def lines(self) -> Iterator[str]:
        """All of it, for people."""
        yield f"{self.url}: in front of the node: {', '.join(self.in_front) or 'nothing that shows itself'}"
        for outcome in self.outcomes:
            wrong = any(finding.severity is not Severity.note for finding in outcome.findings)
            if wrong:
                yield f"{'wrong':<12}{outcome.check}"
            else:
                said = "ok" if outcome.checked else "not checked"
                yield from _filled(f"{said:<12}{outcome.check}: {outcome.said}", 12)
            for finding in outcome.findings:
                yield from _found(finding)
        number = sum(finding.severity is not Severity.note for finding in self.findings)
        missing = sum(not outcome.checked for outcome in self.outcomes)
        yield f"{number or 'nothing'} to change{f', {missing} not checked' if missing else ''}"


def _found(finding: Finding) -> Iterator[str]:
    yield from _filled(f"{finding.severity:>11} {finding.problem}: {finding.seen}", 12)
    yield from _filled(f"{'':12}Why it matters: {finding.why}", 12)
    for front, lines in finding.change.items():
        yield f"{'':12}Change{'' if front == 'any' else f' ({front})'}:"
        yield from (f"{'':14}{line}" for line in lines)


def _filled(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * indent, break_long_words=False)
