"""The command line: `freshwire serve`, `proxy`, `dev`, `watch`, `bench`, `doctor`, `config`. One module a command.

An error that is the operator's is a line on standard error: exit code 2 for wrong usage, 1 for an address
that cannot be had or a stream that cannot be followed.
"""

from __future__ import annotations

import importlib
import sys
from typing import Annotated

import typer

from freshwire.exceptions import AddressError, FollowError, OptionError

EXIT_USAGE = 2


COMMANDS = ("serve", "proxy", "dev", "watch", "bench", "doctor", "config")
"""Each is a function of the module of that name."""


def _application(first: str) -> typer.Typer:
    """The command that the first argument names, or all for whoever did not name one: importing the others takes
    longer than all else that a node does before its first answer.
    """
    application = typer.Typer(
        help="REST for the data, push for the change: every copy of a resource kept fresh.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    application.callback()(_root)
    for name in [first] if first in COMMANDS else COMMANDS:
        application.command()(getattr(importlib.import_module(f"freshwire.cli.{name}"), name))
    return application


def _version(asked: bool) -> None:
    """Print the version and end."""
    if asked:
        import freshwire

        print(f"freshwire {freshwire.__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line."""
    try:
        _application(sys.argv[1] if len(sys.argv) > 1 else "")()
    except OptionError as error:
        fail(str(error), EXIT_USAGE)
    except (AddressError, FollowError) as error:
        fail(str(error), 1)


def fail(text: str, code: int) -> None:
    """End with an error on standard error."""
    print(f"error: {text}", file=sys.stderr)
    raise SystemExit(code)
