"""`freshwire bench URL`: how a live endpoint behaves with many who watch it. Any server's, not only a node's.

Standard output has the report, standard error how far it is. Exit codes: 0 when there was something to measure (also
after an interrupt, with what had been measured by then), 1 when no connection came to be, 2 for wrong usage.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, quote, urlsplit

import typer

from freshwire import svg
from freshwire.exceptions import OptionError

Report = dict[str, Any]
Row = tuple[str, str]
Rows = list[Row]
PATH_CHARACTERS = "/%:@!$&'()*+,;=~{}?"
"""What a path and its query may have unquoted; braces stand for the number of the connection."""
LIMITED = 0.9
"""The share of its core from which on the client, and not the server, is what was measured."""
WINDOW = 256
"""Connections that may be under way at once: fewer than a listener's queue usually holds."""
MIB = 1 << 20


class Transport(StrEnum):
    """How a connection watches."""

    sse = "sse"
    websocket = "websocket"
    long_poll = "long-poll"
    get = "get"
    wait = "wait"


NAMES = {"sse": "SSE", "websocket": "WebSocket", "long-poll": "long-poll", "get": "GET", "wait": "waits"}


def bench(
    url: Annotated[
        str,
        typer.Argument(
            help="What to watch: http://127.0.0.1:8000/matches/7. {n} is the connection's number."
        ),
    ],
    connections: Annotated[
        int, typer.Option("--connections", "-c", min=1, metavar="N", help="How many watch at once.")
    ] = 100,
    transport: Annotated[
        Transport, typer.Option("--transport", "-t", help="How they watch; get: GETs without watching.")
    ] = Transport.sse,
    seconds: Annotated[
        float, typer.Option("--seconds", "-s", min=0.1, help="How long to measure once everybody is there.")
    ] = 10.0,
    changes: Annotated[
        str,
        typer.Option(
            "--changes", metavar="URL", help="POST this at --rate, so that there is something to see."
        ),
    ] = "",
    rate: Annotated[
        float,
        typer.Option(
            "--rate", min=0, help="POSTs a second (1); with get: GETs in all, 0: as fast as answered."
        ),
    ] = 0.0,
    body: Annotated[str, typer.Option("--body", metavar="TEXT", help="The body of the POSTs.")] = "",
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header", "-H", metavar="'NAME: VALUE'", help="A header of every request. Repeatable."
        ),
    ] = None,
    stall: Annotated[int, typer.Option("--stall", min=0, metavar="K", help="K of them never read.")] = 0,
    connect_rate: Annotated[
        float, typer.Option("--connect-rate", min=0, help="Connects a second; 0: 256 at a time.")
    ] = 0.0,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds that a connection and its answer may take.")
    ] = 10.0,
    subprotocol: Annotated[
        str, typer.Option("--subprotocol", help="What a WebSocket offers; empty: nothing.")
    ] = "freshwire.v1",
    wait: Annotated[int, typer.Option("--wait", min=1, help="Seconds that a long-poll may wait.")] = 25,
    pid: Annotated[
        list[int] | None,
        typer.Option(
            "--pid", help="A process of the server, to measure its CPU time and memory. Repeatable."
        ),
    ] = None,
    as_json: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write all figures here, as JSON; -: print them."),
    ] = None,
    as_svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Write a plot of the delays here.")
    ] = None,
) -> None:
    """Hold many connections to a live endpoint, and report what reached them and how late."""
    from freshwire import _engine

    parts = _split(url)
    options = {
        "targets": [_address(parts)],
        "host": parts.netloc,
        "path": _path(parts),
        "connections": connections,
        "transport": transport.value,
        "seconds": seconds,
        "headers": header or [],
        "stall": stall,
        "connect_rate": connect_rate,
        "window": WINDOW,
        "timeout_s": timeout,
        "subprotocol": subprotocol,
        "wait_s": wait,
        "pids": pid or [],
    }
    if transport is Transport.get:
        options["rate"] = rate
    if changes:
        options |= {"changes": _changes(changes, parts), "change_body": body, "change_headers": header or []}
        options["change_rate"] = rate or 1.0
    if changes and transport is Transport.get:
        raise OptionError("--changes is for those who watch, and --transport get does not")
    if body and not changes:
        raise OptionError("--body is the body of the POSTs to --changes, which is missing")
    try:
        report: Report = json.loads(_engine.load(json.dumps(options)))
    except ValueError as error:
        raise OptionError(str(error)) from None
    report = {"url": url, **report}
    text = json.dumps(report, indent=2, ensure_ascii=False)
    if as_json == Path("-"):
        print(text)
    else:
        print("\n".join(f"{name:<13} {said}".rstrip() for name, said in rows(report)))
        if as_json is not None:
            as_json.write_text(f"{text}\n")
    if as_svg is not None:
        as_svg.write_text(plot(report))
    if limited(report):
        print(f"warning: {CLIENT_LIMITED}", file=sys.stderr)
    if report["connected"] == 0:
        raise typer.Exit(1)


CLIENT_LIMITED = (
    "the client's own thread was busy all the time, so these figures are its limit and not the server's: "
    "use fewer connections or a lower rate, or run it in several processes"
)


def _split(url: str) -> SplitResult:
    """The parts of an HTTP URL. Raises OptionError."""
    parts = urlsplit(url)
    try:
        fine = parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        fine = False
    if parts.scheme == "https":
        raise OptionError(f"{url}: bench speaks plain HTTP only; measure behind what ends TLS")
    if parts.scheme != "http" or not fine:
        raise OptionError(f"{url!r} is not an HTTP URL: http://127.0.0.1:8000/matches/7")
    if "@" in parts.netloc:
        raise OptionError(f"{url}: say who you are with -H 'Authorization: ...'")
    return parts


def _address(parts: SplitResult) -> str:
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or 80}"


def _path(parts: SplitResult) -> str:
    return quote(parts.path or "/", PATH_CHARACTERS) + (
        f"?{quote(parts.query, PATH_CHARACTERS)}" if parts.query else ""
    )


def _changes(changes: str, watched: SplitResult) -> str:
    """The path to POST to. Raises OptionError."""
    if changes.startswith("/"):
        return _path(urlsplit(changes))
    parts = _split(changes)
    if _address(parts) != _address(watched):
        raise OptionError(f"--changes {changes}: it must be on the server that is watched, {watched.netloc}")
    return _path(parts)


def limited(report: Report) -> bool:
    """Whether the client is what was measured."""
    return bool(report["client"]["cpu_share"] > LIMITED)


def rows(report: Report) -> Rows:
    """The report as lines: a name, and what there is to say; a line without a name goes on with the one before."""
    table = list(_connections(report))
    if report["connected"]:
        table += [*_messages(report), *_delays(report), *_costs(report)]
    return table


def _connections(report: Report) -> Iterator[Row]:
    there = f"{report['connected']:,} of {report['connections']:,} by {NAMES[report['transport']]}"
    yield "connected", f"{there}, in {report['connect_s']:.2f} s"
    for name, reasons in (("failed", report["failed"]), ("ended early", report["ended"])):
        ordered = sorted(reasons.items(), key=lambda item: -item[1])
        yield from _named(name, [f"{count:,} × {reason}" for reason, count in ordered])
    if report["interrupted"]:
        yield "interrupted", f"after {report['seconds']:.1f} s"


def _messages(report: Report) -> Iterator[Row]:
    seconds, get = max(report["seconds"], 1e-9), report["transport"] == "get"
    what = f"{report['messages']:,} in {seconds:.1f} s, {report['messages'] / seconds:,.0f}/s"
    yield "answers" if get else "messages", f"{what}, {report['bytes'] / seconds / MIB:.2f} MiB/s"
    bad = {status: count for status, count in report["statuses"].items() if int(status) >= 400}
    for status, count in bad.items():
        yield "", f"{count:,} × status {status}, not counted above"
    lines = []
    if report["post_statuses"]:
        statuses = ", ".join(f"{count:,} × {status}" for status, count in report["post_statuses"].items())
        lines.append(f"POSTs: {statuses}, answered in {_quantiles(report['posts_us'])}")
    if report["changes"]:
        whole = f", of which {report['reached_all']:,} reached everybody who reads"
        lines.append(f"{report['changes']:,} seen{'' if _each_its_own(report) else whole}")
    if report["backward"]:
        lines.append(f"{report['backward']:,} messages were of an older change than one before them")
    if report["unanswered"]:
        lines.append(f"{report['unanswered']:,} requests were due and had no answer at the end")
    yield from _named("" if get else "changes", lines)


def _delays(report: Report) -> Iterator[Row]:
    if report["each_us"]["count"]:
        yield "time" if report["transport"] == "get" else "delay", _quantiles(report["each_us"])
    elif report["messages"]:
        yield (
            "delay",
            "not known: "
            + (
                "each POST came before the last had reached everybody (--rate)"
                if report["post_statuses"]
                else "the messages carry no time, and nobody made --changes"
            ),
        )
    if report["last_us"]["count"] and not _each_its_own(report):
        yield "to the last", _quantiles(report["last_us"])
    if report["unattributed"] and report["each_us"]["count"]:
        yield (
            "",
            f"{report['unattributed']:,} messages are not in it: another POST came too soon before or after",
        )


def _costs(report: Report) -> Iterator[Row]:
    if server := report["server"]:
        each, memory = server["cpu_us_per_message"], server["private_bytes_per_connection"]
        cpu = f"CPU {server['cpu_s']:.2f} s" if server["cpu_s"] is not None else "it has ended"
        per_message = "" if each is None else f", {each:.1f} µs a message"
        yield (
            "server",
            cpu + per_message + ("" if memory is None else f"; memory {memory:,.0f} B a connection"),
        )
    busy = ": ITS LIMIT, NOT THE SERVER'S" if limited(report) else ""
    yield "client", f"CPU {report['client']['cpu_share']:.0%} of a core{busy}"


def _named(name: str, lines: Iterable[str]) -> Iterator[Row]:
    """The first line with the name, the others below."""
    for line in lines:
        yield name, line
        name = ""


def _each_its_own(report: Report) -> bool:
    return "{n}" in report["url"]


@dataclass(frozen=True, slots=True)
class Distribution:
    """A line of the plot."""

    name: str
    points: list[tuple[float, float]]


def plot(report: Report) -> str:
    """The delays, as SVG: how many percent took no longer than so many milliseconds."""
    get, named = report["transport"] == "get", {"each_us": "each", "last_us": "to the last"}
    lines = []
    for key, name in named.items():
        buckets, seen = report[key]["buckets"], 0
        points: list[tuple[float, float]] = []
        for most_us, count in buckets:
            seen += count
            points.append((most_us / 1000, 100 * seen / report[key]["count"]))
        lines += [Distribution(name, points)] if points else []
    what = "Time of an answer" if get else f"Delay of a message to {report['connections']:,} connections"
    across = svg.Axis("ms", logarithmic=True)
    return svg.lines(f"{what}: {report['url']}", across, svg.Axis("percent that took no longer"), lines)


def _quantiles(histogram: dict[str, Any]) -> str:
    """Its quantiles, each with a unit that suits it."""
    return "  ".join(f"{name} {_duration(histogram[name])}" for name in ("p50", "p90", "p99", "max"))


def _duration(us: float) -> str:
    value, unit = (us, "µs") if us < 1000 else (us / 1000, "ms") if us < 1e6 else (us / 1e6, "s")
    return f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"
