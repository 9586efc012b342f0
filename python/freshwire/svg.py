"""A plot as SVG: lines over two axes, or bars. Its colours follow the reader's light or dark scheme."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 72, 226, 44, 52
COLOURS = ("#888888", "#1f77b4", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#17a2b8", "#b8860b", "#c2519b")
"""Of the others, in turn, legible on white and on black; what begins with NODE has HIGHLIGHT."""
NODE, HIGHLIGHT = "freshwire", "#e8590c"
DASHES = ("none", "7 3", "2 3", "10 3 2 3", "1 2")
"""Of the node's lines, if there are several."""
STYLE = """
svg { background: #ffffff; font: 12px system-ui, sans-serif; } text { fill: #333333; }
.grid { stroke: #dddddd; } .axis { stroke: #555555; } .title { font-size: 15px; font-weight: 600; }
@media (prefers-color-scheme: dark) {
 svg { background: #0d1117; } text { fill: #d0d7de; } .grid { stroke: #30363d; } .axis { stroke: #8b949e; }
}
"""


class Series(Protocol):
    """One line, or with its only point a bar."""

    @property
    def name(self) -> str:
        """What it is of."""

    @property
    def points(self) -> Sequence[tuple[float, float]]:
        """Across and up."""


@dataclass(frozen=True, slots=True)
class Axis:
    """What is on an axis."""

    label: str
    logarithmic: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a value stands."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool

    def at(self, value: float) -> float:
        """The place of a value."""
        value = max(value, self.low)
        share = (
            math.log(value / self.low) / math.log(self.high / self.low)
            if self.logarithmic
            else (value - self.low) / (self.high - self.low)
        )
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """The values to write on the axis."""
        if self.logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            return [10.0**power for power in powers if self.low <= 10.0**power <= self.high * 1.001]
        step = _round_step((self.high - self.low) / 5)
        first = math.ceil(self.low / step)
        return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _round_step(step: float) -> float:
    power: float = 10.0 ** math.floor(math.log10(step))
    return next(nice * power for nice in (1, 2, 5, 10) if nice * power >= step * 0.999)


def _scale(values: Sequence[float], axis: Axis, start: float, end: float) -> Scale:
    if axis.logarithmic:
        positive = [value for value in values if value > 0] or [1.0]
        low, high = (
            10.0**rounded
            for rounded in (math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive))))
        )
        return Scale(low, high if high > low else low * 10, start, end, logarithmic=True)
    high = max(values, default=1.0) or 1.0
    step = _round_step(high / 5)
    return Scale(0.0, step * math.ceil(high / step - 1e-9), start, end, logarithmic=False)


def lines(title: str, x: Axis, y: Axis, series: Sequence[Series]) -> str:
    """A line for each series, named at the right in the order in which the lines end there."""
    across = _scale([px for one in series for px, _ in one.points], x, LEFT, WIDTH - RIGHT)
    up = _scale([py for one in series for _, py in one.points], y, HEIGHT - BOTTOM, TOP)
    out = [f'<text class="title" x="{LEFT}" y="24">{escape(title)}</text>']
    for tick in up.ticks():
        out.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up.at(tick)}" y2="{up.at(tick)}"/>'
        )
        out.append(f'<text x="{LEFT - 8}" y="{up.at(tick) + 4}" text-anchor="end">{text_of(tick)}</text>')
    for tick in across.ticks():
        out.append(
            f'<line class="grid" x1="{across.at(tick)}" x2="{across.at(tick)}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        )
        out.append(
            f'<text x="{across.at(tick)}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{text_of(tick)}</text>'
        )
    out.append(f'<path class="axis" fill="none" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    out.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{escape(x.label)}</text>'
    )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    out.append(
        f'<text transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">{escape(y.label)}</text>'
    )
    strokes = _strokes([one.name for one in series])
    colours = _colours([one.name for one in series])
    for one in series:
        path = " ".join(f"{across.at(px)},{up.at(py)}" for px, py in one.points)
        out.append(f'<polyline fill="none" {strokes[one.name]} points="{path}"/>')
        if len(one.points) < 10:
            out += [
                f'<circle cx="{across.at(px)}" cy="{up.at(py)}" r="3" fill="{colours[one.name]}"/>'
                for px, py in one.points
            ]
    order = sorted((one for one in series if one.points), key=lambda one: -one.points[-1][1])
    left = WIDTH - RIGHT
    for row, one in enumerate(order):
        y_at = TOP + 10 + row * 18
        out.append(f'<path {strokes[one.name]} d="M{left + 12} {y_at - 4}h24"/>')
        out.append(f'<text x="{left + 42}" y="{y_at}">{escape(one.name)}</text>')
    return _svg(title, HEIGHT, out)


def bars(title: str, label: str, groups: Sequence[tuple[str, Sequence[Series]]]) -> str:
    """For each group a bar for each series."""
    rows = sum(len(series) + 1 for _, series in groups)
    height = TOP + 20 * rows + BOTTOM
    most = max((one.points[0][1] for _, series in groups for one in series), default=1.0)
    across = _scale([most], Axis(label), LEFT + 60, WIDTH - 90)
    out = [f'<text class="title" x="20" y="24">{escape(title)}</text>']
    names = list(dict.fromkeys(one.name for _, series in groups for one in series))
    colours = _colours(names)
    row = 0
    for group, series in groups:
        out.append(f'<text x="20" y="{TOP + 20 * row + 14}" font-weight="600">{escape(group)}</text>')
        row += 1
        for one in series:
            y_at, value = TOP + 20 * row, one.points[0][1]
            width = across.at(value) - across.start
            out.append(
                f'<text x="{across.start - 8}" y="{y_at + 13}" text-anchor="end">{escape(one.name)}</text>'
            )
            out.append(
                f'<rect x="{across.start}" y="{y_at + 2}" width="{width:.1f}" height="15" fill="{colours[one.name]}"/>'
            )
            out.append(f'<text x="{across.at(value) + 6}" y="{y_at + 13}">{value:,.0f}</text>')
            row += 1
    out.append(
        f'<text x="{(across.start + across.end) / 2}" y="{height - 16}" text-anchor="middle">{escape(label)}</text>'
    )
    return _svg(title, height, out)


def _colours(names: Sequence[str]) -> dict[str, str]:
    others = [name for name in sorted(names) if not name.startswith(NODE)]
    chosen = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(others)}
    return {name: chosen.get(name, HIGHLIGHT) for name in names}


def _strokes(names: Sequence[str]) -> dict[str, str]:
    """How the line of each is drawn."""
    own = [name for name in names if name.startswith(NODE)]
    strokes = {}
    for name, colour in _colours(names).items():
        dash = DASHES[own.index(name) % len(DASHES)] if name in own else "none"
        width = 3 if name in own else 1.6
        strokes[name] = f'stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dash}"'
    return strokes


def text_of(value: float) -> str:
    """A value as an axis has it."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:g}"


def _svg(title: str, height: int, content: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
    body = "\n".join(content)
    return f"{head}\n<title>{escape(title)}</title>\n<style>{STYLE}</style>\n{body}\n</svg>\n"
