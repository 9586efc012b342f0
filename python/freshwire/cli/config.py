"""`freshwire config`: every option, its value, where the value comes from and what it means."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from freshwire import config as options
from freshwire.cli.flags import with_flags
from freshwire.cli.serve import warn_unknown


@with_flags()
def config(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    flags: dict[str, object],
) -> None:
    """Print every option: its value, where the value comes from, and what it means.

    Takes the flags of `serve`, to try what they would do.
    """
    values = options.resolve(flags).values()
    warn_unknown()
    if as_json:
        table = {v.name: {"value": v.value, "source": v.source, "meaning": v.meaning} for v in values}
        print(json.dumps(table, indent=2))
        return
    print("\n".join(lines(values, colour=sys.stdout.isatty())))


def lines(values: list[options.Value], *, colour: bool) -> list[str]:
    """The options as a table: `name = value`, source, meaning; with `colour`, chosen ones stand out."""
    rows = [(f"{v.name} = {json.dumps(v.value, ensure_ascii=False)}", v.source, v.meaning) for v in values]
    widths = [min(48, max(len(row[column]) for row in rows)) for column in (0, 1)]
    printed = []
    for setting, source, meaning in rows:
        chosen = colour and source != options.DEFAULT
        line = f"{setting:{widths[0]}}  {source:{widths[1]}}"
        printed.append(f"{f'{BOLD}{line}{PLAIN}' if chosen else line}  {meaning}")
    return printed


BOLD, PLAIN = "\x1b[1m", "\x1b[0m"
