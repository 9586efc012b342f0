"""A figure: what was measured, beside what, and the budget it should keep (docs/benchmarks.md)."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    what: str
    measured: float
    unit: str
    beside: str = ""
    """What it is compared with, if anything."""
    beside_measured: float | None = None
    ratio: float | None = None
    """Median of the ratios of the rounds, which need not be the ratio of the medians."""
    spread: tuple[float, float] | None = None
    """The smallest and the largest ratio of a round."""
    budget: float | None = None
    """For the ratio if there is one, else for what was measured."""
    bound: Literal["≤", "≥"] = "≤"
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the budget is kept; None: there is none."""
        if self.budget is None:
            return None
        value = self.measured if self.ratio is None else self.ratio
        return value <= self.budget if self.bound == "≤" else value >= self.budget

    def as_json(self) -> dict[str, object]:
        return {**dataclasses.asdict(self), "met": self.met}


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
) -> Figure:
    """A figure from interleaved rounds, which are paired: what disturbs the machine disturbs both of a pair."""
    ratios = [mine / theirs for mine, theirs in zip(measured, beside_measured, strict=True) if theirs]
    if not ratios:
        return Figure(
            what, statistics.median(measured), unit, beside, note=f"{beside} measured nothing; {note}"
        )
    return Figure(
        what,
        statistics.median(measured),
        unit,
        beside,
        statistics.median(beside_measured),
        statistics.median(ratios),
        (min(ratios), max(ratios)),
        budget,
        bound,
        note,
    )


def table(figures: Sequence[Figure]) -> str:
    """The figures as text."""
    rows = [("what", "measured", "beside", "ratio", "budget", "")]
    for figure in figures:
        other = "" if figure.beside_measured is None else f"{figure.beside} {number(figure.beside_measured)}"
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}×"
        if figure.spread is not None:
            ratio += f" ({figure.spread[0]:.2f}-{figure.spread[1]:.2f})"
        budget = "" if figure.budget is None else f"{figure.bound} {figure.budget:g}"
        verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
        rows.append((figure.what, f"{number(figure.measured)} {figure.unit}", other, ratio, budget, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    notes = [f"  {figure.what}: {figure.note}" for figure in figures if figure.note]
    return "\n".join([*lines, *(["", "Notes", *notes] if notes else [])])


def number(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
