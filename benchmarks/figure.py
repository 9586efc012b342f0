"""A figure: what was measured, beside what, and the budget it should keep (docs/benchmarks.md)."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

NODE = "freshwire"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    what: str
    measured: float | None
    """None: it could not be measured, and `note` says why."""
    unit: str
    beside: str = ""
    """What it is compared with, if anything."""
    beside_measured: float | None = None
    ratio: float | None = None
    """Median of the ratios of the rounds, which need not be the ratio of the medians."""
    spread: tuple[float, float] | None = None
    """The smallest and the largest ratio of a round, or value of one where there is no ratio."""
    budget: float | None = None
    """For the ratio if there is one, else for what was measured."""
    bound: Literal["≤", "≥"] = "≤"
    note: str = ""
    subject: str = NODE
    """Whose figure it is."""

    @property
    def met(self) -> bool | None:
        """Whether the budget is kept; None: there is none."""
        value = self.measured if self.ratio is None else self.ratio
        if self.budget is None or value is None:
            return None
        return value <= self.budget if self.bound == "≤" else value >= self.budget

    @property
    def title(self) -> str:
        return self.what if self.subject == NODE else f"{self.subject}: {self.what}"

    def as_json(self) -> dict[str, object]:
        return {**dataclasses.asdict(self), "met": self.met}

    @classmethod
    def of_json(cls, fields: dict[str, Any]) -> Figure:
        fields = {name: value for name, value in fields.items() if name != "met"}
        spread = fields.get("spread")
        return cls(**{**fields, "spread": tuple(spread) if spread else None})


@dataclass(frozen=True, slots=True)
class Series:
    """One line, or bar, of a plot."""

    plot: str
    name: str
    points: list[tuple[float, float]]

    def as_json(self) -> dict[str, object]:
        return dataclasses.asdict(self)


Result = Figure | Series


def compared(
    what: str,
    unit: str,
    measured: Sequence[float],
    beside: str,
    beside_measured: Sequence[float],
    *,
    budget: float | None = None,
    bound: Literal["≤", "≥"] = "≤",
    note: str = "",
    subject: str = NODE,
) -> Figure:
    """A figure from interleaved rounds, which are paired: what disturbs the machine disturbs both of a pair."""
    ratios = [mine / theirs for mine, theirs in zip(measured, beside_measured, strict=True) if theirs]
    median = statistics.median(measured)
    if not ratios:
        why = "; ".join(filter(None, [f"{beside} measured nothing", note]))
        return Figure(what, median, unit, beside, note=why, subject=subject)
    return Figure(
        what,
        median,
        unit,
        beside,
        statistics.median(beside_measured),
        statistics.median(ratios),
        (min(ratios), max(ratios)),
        budget,
        bound,
        note,
        subject,
    )


def absent(what: str, subject: str, why: str) -> Figure:
    """A line that says why there is no figure."""
    return Figure(what, None, "", note=why, subject=subject)


def table(figures: Sequence[Figure]) -> str:
    """The figures as text."""
    rows = [("what", "measured", "beside", "ratio", "budget", "")]
    rows += [cells(figure) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    notes = [f"  {figure.title}: {figure.note}" for figure in figures if figure.note]
    return "\n".join([*lines, *(["", "Notes", *notes] if notes else [])])


def cells(figure: Figure) -> tuple[str, str, str, str, str, str]:
    """A figure's line of a table."""
    if figure.measured is None:
        return (figure.title, "not measured", "", "", "", "")
    other = "" if figure.beside_measured is None else f"{figure.beside} {number(figure.beside_measured)}"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}×"
    if figure.spread is not None:
        low, high = (f"{value:.2f}" if figure.ratio is not None else number(value) for value in figure.spread)
        ratio = f"{ratio} ({low}-{high})".strip()
    budget = "" if figure.budget is None else f"{figure.bound} {figure.budget:g}"
    verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
    return (figure.title, f"{number(figure.measured)} {figure.unit}", other, ratio, budget, verdict)


def number(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
