"""`freshwire watch URL`: follow a live resource in the terminal.

Standard output has the representations, standard error what happens to the connection. Exit codes: 0 after
`--once` or a signal, 1 when the resource may not be read (any more) or does not answer as an event stream, 2
for wrong usage.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Annotated, Any

import httpx
import typer

from freshwire.client import diff, follow
from freshwire.client.sse import Event, Parser
from freshwire.exceptions import OptionError, WatchEnded

COLOURS = {"+": "\x1b[32m", "-": "\x1b[31m", " ": "\x1b[33m"}
DIM, PLAIN = "\x1b[2m", "\x1b[0m"


def watch(
    url: Annotated[str, typer.Argument(help="The resource: http://127.0.0.1:8000/matches/7")],
    header: Annotated[
        list[str] | None,
        typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="A header of the request. Repeatable."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each representation as one line of JSON: position, body.")
    ] = False,
    once: Annotated[
        int | None, typer.Option("--once", min=1, metavar="N", help="End after N representations.")
    ] = None,
    since: Annotated[
        str, typer.Option("--since", metavar="POSITION", help="Print only what is newer than a position.")
    ] = "",
) -> None:
    """Follow a live resource: print it, then what changes, until it is gone."""
    if not is_http(url):
        raise OptionError(f"{url!r} is not an HTTP URL: http://127.0.0.1:8000/matches/7")
    show = as_lines() if as_json else Screen(colour=sys.stdout.isatty()).show
    parser = Parser()
    parser.resume(since)
    try:
        asyncio.run(_watch(url, headers_of(header or []), parser, show, once))
    except WatchEnded as error:
        _say(f"{url}: {error}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def is_http(url: str) -> bool:
    """Whether this can be an HTTP URL at all."""
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parts.scheme in ("http", "https") and bool(parts.host)


def headers_of(lines: list[str]) -> dict[str, str]:
    """The headers of the request. Raises OptionError."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise OptionError(f"-H {line!r}: write 'Name: value'")
        headers[name.strip()] = value.strip()
    return headers


async def _watch(
    url: str, headers: dict[str, str], parser: Parser, show: Callable[[Event], None], once: int | None
) -> None:
    """Print representations until there were `once` of them."""
    async with (
        follow.client(headers=headers) as http,
        contextlib.aclosing(follow.follow(http, url, parser, say=_say)) as events,
    ):
        seen = 0
        async for event in events:
            show(event)
            seen += 1
            if seen == once:
                return


def _say(text: str) -> None:
    """Tell about the connection."""
    print(diff.printable(text), file=sys.stderr, flush=True)


def as_lines() -> Callable[[Event], None]:
    """Print each event as one line of JSON."""

    def show(event: Event) -> None:
        line: dict[str, Any] = {"position": event.id}
        if event.event != "message":
            line["event"] = event.event
        print(json.dumps({**line, "body": parsed(event.data)}), flush=True)

    return show


class Screen:
    """Prints the first representation whole and of each later one what changed."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour
        self._before: str | None = None

    def show(self, event: Event) -> None:
        """Print one event."""
        time = datetime.now().strftime("%H:%M:%S")
        self._print(f"{time}  {event.id or 'no position'}", DIM)
        for line in self.lines(event):
            self._print(f"  {line}", COLOURS.get(line[:1], "") or (COLOURS[" "] if " → " in line else ""))
        sys.stdout.flush()

    def lines(self, event: Event) -> Iterator[str]:
        """What there is to say about an event, as lines."""
        if event.event == "stale":
            yield "changed; it is not text, so read it again"
            return
        before, self._before = self._before, event.data
        if before is None:
            body = parsed(event.data)
            pretty = (
                json.dumps(body, indent=2, ensure_ascii=False)
                if isinstance(body, dict | list)
                else event.data
            )
            yield from pretty.splitlines()
            return
        old, new = parsed(before), parsed(event.data)
        if isinstance(old, str) and isinstance(new, str):
            yield from diff.text_changes(before, event.data)
        else:
            yield from map(str, diff.changes(old, new))

    def _print(self, line: str, colour: str) -> None:
        """Print a line, coloured if the terminal is one."""
        line = diff.printable(line)
        print(f"{colour}{line}{PLAIN}" if self._colour and colour else line)


def parsed(data: str) -> Any:
    """The JSON value of a body, or the body as it is."""
    try:
        return json.loads(data)
    except ValueError:
        return data
