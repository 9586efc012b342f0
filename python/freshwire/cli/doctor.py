"""`freshwire doctor URL`: what is in front of a node, and what to change in it.

Standard output has the report, standard error (on a terminal) what is being done. Exit codes: 0 when nothing is wrong,
1 when something is, 2 for wrong usage.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from freshwire.cli.watch import headers_of, is_http
from freshwire.exceptions import OptionError


def doctor(
    url: Annotated[str, typer.Argument(help="A resource that can be watched: https://example.org/matches/7")],
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header", "-H", metavar="'NAME: VALUE'", help="A header of every request. Repeatable."
        ),
    ] = None,
    change_url: Annotated[
        str, typer.Option("--change-url", metavar="URL", help="POST this to have the resource changed.")
    ] = "",
    change: Annotated[
        str, typer.Option("--change", metavar="COMMAND", help="Run this to have the resource changed.")
    ] = "",
    admin_socket: Annotated[
        Path | None,
        typer.Option(
            "--admin-socket",
            metavar="PATH",
            help="The node's admin socket: for its figures, and to say that the resource changed.",
        ),
    ] = None,
    waits: Annotated[
        int, typer.Option("--waits", min=2, max=1000, metavar="N", help="How many wait on one URL.")
    ] = 20,
    idle_s: Annotated[
        float, typer.Option("--idle-s", min=0, help="Seconds for which idle streams are looked at.")
    ] = 40.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Look from outside at what stands in front of a node, and say what to change in it."""
    from freshwire.doctor import examine
    from freshwire.doctor.visit import Visit, client

    if not is_http(url):
        raise OptionError(f"{url!r} is not an HTTP URL: http://127.0.0.1:8000/matches/7")
    if change and change_url:
        raise OptionError("--change and --change-url are two ways to do one thing: say one")
    headers, progress = headers_of(header or []), Progress(shown=sys.stderr.isatty())

    async def look() -> bool:
        async with client(waits) as http:
            visit = Visit(
                url,
                headers,
                http,
                progress.say,
                idle_s,
                waits,
                admin_socket=admin_socket,
                change_url=change_url,
                change_command=change,
            )
            report = await examine(visit)
        progress.end()
        if as_json:
            print(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
        else:
            print("\n".join(report.lines()))
        return report.healthy

    try:
        healthy = asyncio.run(look())
    except KeyboardInterrupt:
        raise typer.Exit(1) from None
    finally:
        progress.end()
    if not healthy:
        raise typer.Exit(1)


class Progress:
    """What is being done, on one line of a terminal."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown

    def say(self, text: str) -> None:
        """Show it in place of what was shown before."""
        if self._shown:
            print(f"\r\x1b[K{text} ...", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Show nothing any more."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
