"""`freshwire serve`: one node, until a signal ends it.

The first SIGTERM or SIGINT drains (`drain_timeout_s`), the second ends everything at once. Exit codes: 0
after a signal, 1 when an address cannot be had, 2 for wrong usage, 3 when the application cannot be loaded or
started.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import typer

import freshwire
from freshwire import admin, config, running
from freshwire.asgi.lifespan import LifespanError
from freshwire.asgi.server import Server
from freshwire.cli import listeners, loading
from freshwire.cli.flags import with_flags
from freshwire.cli.log import Handler
from freshwire.exceptions import LoadError, OptionError

EXIT_APPLICATION = 3
"""The exit code when the application cannot be loaded or started, as uvicorn's."""

AppArgument = Annotated[
    str | None,
    typer.Argument(metavar="APP", help="The application, as module:attribute.", show_default=False),
]


@dataclass(frozen=True, slots=True)
class Handover:
    """The child's end of the supervisor's wire (`freshwire dev`): "loaded" goes up, "go" comes down, its end
    means stop.
    """

    wire: socket.socket

    def wait(self) -> bool:
        """Say that the application is loaded and wait for the turn; False: the supervisor has changed its
        mind.
        """
        try:
            self.wire.sendall(b"loaded\n")
            return self.wire.recv(16) == b"go\n"
        except OSError:
            return False


@with_flags()
def serve(
    *,
    app: AppArgument = None,
    handover_fd: Annotated[int | None, typer.Option("--handover-fd", hidden=True)] = None,
    flags: dict[str, object],
) -> None:
    """Serve an ASGI application, and keep every copy of what it answers fresh."""
    if app is not None:
        flags["app"] = app
    effective = config.resolve(flags)
    warn_unknown()
    handover = None if handover_fd is None else Handover(socket.socket(fileno=handover_fd))
    raise typer.Exit(run(effective, handover))


def warn_unknown() -> None:
    """Warn of environment variables that look like options and are none."""
    for name in config.unknown_variables():
        print(f"warning: {name} is set, and there is no such option; see `freshwire config`", file=sys.stderr)


def run(effective: config.Effective, handover: Handover | None = None) -> int:
    """Load, listen, serve; the exit code. Raises OptionError, AddressError."""
    settings = effective.settings
    configure_logging(settings.log_level)
    addresses = public_addresses(effective)
    try:
        application = loading.load(settings.app, factory=settings.factory, app_dir=settings.app_dir)
    except LoadError as error:
        print(loading.explain(error, "load"), file=sys.stderr)
        return EXIT_APPLICATION
    if handover is not None and not handover.wait():
        return 0
    opened = listeners.open_all(
        addresses, settings.admin_socket, backlog=settings.backlog, allow_hosts=effective.texts("allow_hosts")
    )
    admin_path = opened.admin_path
    if admin_path is not None:
        os.environ[admin.VARIABLE] = admin_path  # for the processes that the application starts
    try:
        server = _server(application, effective, opened)
        with asyncio.Runner(loop_factory=running.loop_factory()) as runner:
            started = functools.partial(announce, opened, dev=handover is not None)
            runner.run(until_signalled(server, started, handover))
    except LifespanError as error:
        print(loading.explain(error, "start"), file=sys.stderr)
        return EXIT_APPLICATION
    finally:
        opened.remove()
    return 0


def _server(
    application: loading.Application, effective: config.Effective, opened: listeners.Opened
) -> Server:
    """The server, which takes the sockets over. Raises OptionError."""
    settings = effective.settings
    try:
        return Server(
            application,
            effective.engine(),
            opened.listeners,
            root_path=settings.root_path,
            lifespan=settings.lifespan,
            caches=effective.caches,
        )
    except ValueError as error:
        raise OptionError(str(error)) from None


def public_addresses(effective: config.Effective) -> list[str]:
    """Where the application listens: as asked for, else what systemd passed. Raises OptionError."""
    if any(effective.chosen(name) for name in ("host", "port", "bind")):
        return effective.addresses()
    return listeners.systemd() or effective.addresses()


async def until_signalled(
    server: running.Serves, on_started: Callable[[], None], handover: Handover | None = None
) -> None:
    """Serve until a signal or the supervisor says stop."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal() -> None:
        if not stop.is_set():
            stop.set()
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, os._exit, 1)  # a third one finds nobody to be polite to
        server.abort()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    if handover is not None:
        wire = handover.wire

        def on_end() -> None:  # nothing more is said on the wire, so this is its end
            loop.remove_reader(wire)
            stop.set()

        loop.add_reader(wire, on_end)
    await running.serve(server, stop, on_started)


def announce(opened: listeners.Opened, doing: str = "serves", *, dev: bool = False) -> None:
    """Say where the node is, as an address that a terminal makes clickable."""
    public = map(url, opened.public)
    path = opened.admin_path
    name = f"freshwire {freshwire.__version__}{' dev' if dev else ''}"
    print(f"{name} {doing} {' and '.join(public)}{f' (admin socket {path})' if path else ''}", flush=True)


def url(address: str) -> str:
    """What a person opens for an address; a wildcard one is opened at this machine's own name."""
    if address.startswith("unix:"):
        return address
    host, _, port = address.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    return f"http://{host}:{port}/"


def configure_logging(level: str) -> None:
    """Log what is Freshwire's to standard error, whatever the application does with its own."""
    logger = logging.getLogger("freshwire")
    logger.setLevel(level.upper())
    if not logger.handlers:
        handler = Handler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-8s %(message)s"))
        logger.addHandler(handler)
        logger.propagate = False
