"""The plots of a report."""

from __future__ import annotations

from pathlib import Path

from freshwire.svg import Axis, bars, lines

from benchmarks.figure import Series
from benchmarks.report import Report

DELAYS = {
    "delay-10-sse": ("delay at 10/s by SSE", "Delay of a message, 10 a second by SSE"),
    "delay-100-sse": ("delay at 100/s by SSE", "Delay of a message, 100 a second by SSE"),
    "delay-10-websocket": ("delay at 10/s by WebSocket", "Delay of a message, 10 a second by WebSocket"),
    "delay-many": ("delay", "Delay of a change to many watchers"),
}


def write_plots(report: Report, directory: Path) -> list[Path]:
    """Write those that the report has something for."""
    plots = {}
    for name, (plot, title) in DELAYS.items():
        if series := report.series(plot):
            x = Axis("delay, ms", logarithmic=True)
            plots[name] = lines(title, x, Axis("share of the messages that took no longer"), series)
    if series := report.series("memory"):
        y = Axis("user memory, MB", logarithmic=True)
        plots["memory"] = lines("Memory against connections", Axis("idle connections"), y, series)
    for transport, called in (("sse", "SSE"), ("websocket", "WebSocket")):
        if series := report.series(f"cpu-{transport}"):
            x = Axis("messages a second to each subscriber", logarithmic=True)
            y = Axis("CPU a message, µs", logarithmic=True)
            plots[f"cpu-{transport}"] = lines(f"Server CPU of a message by {called}", x, y, series)
    part = report.parts.get("requests")
    gets: dict[str, list[Series]] = {}
    for one in part.series if part else []:
        gets.setdefault(one.plot.removeprefix("gets "), []).append(one)
    if gets:
        plots["requests"] = bars("Requests a second on one core", "requests a second", list(gets.items()))
    paths = []
    for name, svg in plots.items():
        path = directory / f"{name}.svg"
        path.write_text(svg)
        paths.append(path)
    return paths
