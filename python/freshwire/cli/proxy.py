"""`freshwire proxy`: one node before an HTTP application in any language, until a signal ends it.

Signals and exit codes are those of `freshwire serve`, of which this has the flags that make sense here.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Annotated

import typer

from freshwire import config, running
from freshwire.cli import listeners
from freshwire.cli.flags import APPLICATION_FLAGS, PROXY_FLAGS, with_flags
from freshwire.cli.serve import (
    announce,
    configure_logging,
    public_addresses,
    until_signalled,
    warn_unknown,
)
from freshwire.exceptions import OptionError
from freshwire.proxy import Proxy

UpstreamArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="UPSTREAM...",
        help="Where the application is: http://host:port or unix:/path; several of the same share the work.",
        show_default=False,
    ),
]


@with_flags(without=APPLICATION_FLAGS, more=PROXY_FLAGS)
def proxy(*, upstream: UpstreamArgument = None, flags: dict[str, object]) -> None:
    """Stand before an HTTP application in any language, and keep every copy of what it answers fresh."""
    if upstream:
        flags["upstreams"] = upstream
    effective = config.resolve(flags)
    warn_unknown()
    run(effective)


def run(effective: config.Effective) -> None:
    """Listen and pass on. Raises OptionError, AddressError."""
    settings = effective.settings
    configure_logging(settings.log_level)
    upstreams = effective.texts("upstreams")
    if not upstreams:
        raise OptionError("say where the application is: `freshwire proxy http://127.0.0.1:3000`")
    opened = listeners.open_all(
        public_addresses(effective),
        settings.admin_socket,
        backlog=settings.backlog,
        allow_hosts=effective.texts("allow_hosts"),
    )
    try:
        try:
            server = Proxy(effective.engine(), opened.listeners, caches=effective.caches)
        except ValueError as error:
            raise OptionError(str(error)) from None
        started = functools.partial(announce, opened, f"proxies {' and '.join(upstreams)} at")
        with asyncio.Runner(loop_factory=running.loop_factory()) as runner:
            runner.run(until_signalled(server, started))
    finally:
        opened.remove()
