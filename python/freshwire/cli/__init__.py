"""The command line: `freshwire serve`, `dev`, `proxy`, `watch`, `bench`, `config`. One module a command.

An error that is the operator's is a line on standard error: exit code 2 for wrong usage, 1 for an address
that cannot be had or a stream that cannot be followed.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from freshwire.exceptions import AddressError, FollowError, OptionError

EXIT_USAGE = 2


def _application() -> typer.Typer:
    """The commands, imported only when the command line runs."""
    from freshwire.cli import bench, config, dev, proxy, serve, watch

    application = typer.Typer(
        help="REST for the data, push for the change: every copy of a resource kept fresh.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    application.callback()(_root)
    for command in (serve.serve, dev.dev, proxy.proxy, watch.watch, bench.bench, config.config):
        application.command()(command)
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
        _application()()
    except OptionError as error:
        fail(str(error), EXIT_USAGE)
    except (AddressError, FollowError) as error:
        fail(str(error), 1)


def fail(text: str, code: int) -> None:
    """End with an error on standard error."""
    print(f"error: {text}", file=sys.stderr)
    raise SystemExit(code)
