"""`freshwire dev`: serve, and start anew on every change of the code without refusing a connection.

The supervisor owns the listening sockets for as long as it lives and passes them to one child after the
other. A new child imports the application and says "loaded" while the old one still serves; only then the old
one ends (its push sessions end with a short `retry`, so browsers come back at once and wait in the socket's
queue), and the new one gets its "go". An application that cannot be imported leaves the old one as it is,
with the traceback on the terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from watchfiles import PythonFilter, awatch

from freshwire import config
from freshwire.cli import listeners, loading
from freshwire.cli.flags import as_arguments, with_flags
from freshwire.cli.serve import AppArgument, public_addresses, warn_unknown
from freshwire.exceptions import OptionError

DEFAULTS: Mapping[str, object] = {
    "access_log": True,
    "drain_timeout_s": 0.5,
    "retry_min_ms": 100,
    "retry_max_ms": 300,
}
"""The options whose defaults are others than those of `serve`: seen by one person, and restarted often."""
PATIENCE_S = 3.0
"""How long a child may take to end beyond its drain timeout before it is killed, seconds."""


@with_flags()
def dev(
    *,
    app: AppArgument = None,
    reload_dir: Annotated[
        list[str] | None,
        typer.Option(
            "--reload-dir", help="Directory to watch instead of --app-dir. Repeatable.", show_default=False
        ),
    ] = None,
    flags: dict[str, object],
) -> None:
    """Serve an application and start it anew when its code changes; watchers come back without a gap."""
    if app is not None:
        flags["app"] = app
    if reload_dir:
        flags["reload_dirs"] = reload_dir
    effective = config.resolve(flags, defaults=DEFAULTS)
    warn_unknown()
    loading.parse(effective.settings.app)
    directories = [
        _directory(path) for path in effective.settings.reload_dirs or [effective.settings.app_dir]
    ]
    opened = listeners.open_all(
        public_addresses(effective),
        effective.settings.admin_socket,
        backlog=effective.settings.backlog,
        allow_hosts=effective.texts("allow_hosts"),
    )
    try:
        asyncio.run(Supervisor(effective, opened).run(directories))
    finally:
        opened.close()


def _directory(path: str) -> Path:
    """A directory to watch. Raises OptionError."""
    if not Path(path).is_dir():
        raise OptionError(f"{path} is not a directory, so it cannot be watched")
    return Path(path)


@dataclass(slots=True)
class Child:
    """One process that serves, or is about to."""

    process: asyncio.subprocess.Process
    wire: socket.socket
    """Our end of the handover; closing it tells the child to end."""
    patience_s: float
    """How long it may take to end, seconds."""
    ready: bool = False
    """Whether it has imported the application."""

    async def loaded(self) -> None:
        """Wait until it is ready, or has ended instead."""
        with contextlib.suppress(OSError):
            self.ready = await asyncio.get_running_loop().sock_recv(self.wire, 16) != b""

    async def go(self) -> None:
        """Let it listen."""
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().sock_sendall(self.wire, b"go\n")

    async def end(self) -> None:
        """End it: politely, then not."""
        self.wire.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                await asyncio.wait_for(self.process.wait(), self.patience_s)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self.process.send_signal(number)
        await self.process.wait()


@dataclass(slots=True)
class Supervisor:
    """Keeps the sockets, and one child that serves on them."""

    effective: config.Effective
    opened: listeners.Opened
    serving: Child | None = None
    """The child that had its "go"."""
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by a signal."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the code is not what the newest child has imported."""

    async def run(self, directories: list[Path]) -> None:
        """Serve until a signal."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.ending.set)
        watching = asyncio.create_task(self.watch(directories))
        try:
            while not self.ending.is_set():
                self.changed.clear()
                await self.replace()
                if self.serving is None:
                    await first_of(self.changed.wait(), self.ending.wait())
                elif (
                    await first_of(self.changed.wait(), self.ending.wait(), self.serving.process.wait()) == 2
                ):
                    code = self.serving.process.returncode
                    say(f"the application has ended with {code}; waiting for a change")
                    await self.serving.end()
                    self.serving = None
                    await first_of(self.changed.wait(), self.ending.wait())
        finally:
            self.ending.set()
            await watching
            if self.serving is not None:
                await self.serving.end()

    async def watch(self, directories: list[Path]) -> None:
        """Notice changes of the code."""
        async for changes in awatch(*directories, watch_filter=PythonFilter(), stop_event=self.ending):
            names = sorted({Path(path).name for _, path in changes})
            say(f"{', '.join(names[:3])}{' and others' if len(names) > 3 else ''} changed")
            self.changed.set()

    async def replace(self) -> None:
        """Start a new child and, once it has loaded the application, let it take the place of the old one."""
        child = await self.start()
        happened = await first_of(child.loaded(), self.ending.wait(), self.changed.wait())
        if happened == 0 and child.ready:
            if self.serving is not None:
                await self.serving.end()
            await child.go()
            self.serving = child
            return
        await child.end()
        if happened == 0:
            say("waiting for a change" + ("; the version before it keeps serving" if self.serving else ""))

    async def start(self) -> Child:
        """Start a process that inherits the sockets."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "freshwire",
                "serve",
                *as_arguments(dict(self.child_options())),
                f"--handover-fd={theirs.fileno()}",
                pass_fds=[theirs.fileno(), *(listener.socket.fileno() for listener in self.opened.listeners)],
            )
        settings = self.effective.engine()
        return Child(process, ours, PATIENCE_S + float(str(settings["drain_timeout_s"])))

    def child_options(self) -> Iterator[tuple[str, object]]:
        """What somebody chose, but with our sockets as addresses."""
        ours = {"host", "port", "bind", "admin_socket", "reload_dirs"}
        for value in self.effective.values():
            if value.name not in ours and self.effective.chosen(value.name):
                yield value.name, value.value
        public = [entry.socket.fileno() for entry in self.opened.listeners if entry.role == "public"]
        yield "bind", [f"fd://{descriptor}" for descriptor in public]
        administration = [entry.socket.fileno() for entry in self.opened.listeners if entry.role == "admin"]
        yield "admin_socket", f"fd://{administration[0]}" if administration else "off"


async def first_of(*waits: Coroutine[Any, Any, object]) -> int:
    """Wait until one of these is done; which one. The others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    return next(number for number, task in enumerate(tasks) if task.done() and not task.cancelled())


def say(text: str) -> None:
    """Tell whoever looks at the terminal."""
    print(f"freshwire dev: {text}", file=sys.stderr, flush=True)
