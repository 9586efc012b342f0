"""The processes: nodes and load clients, many at once, each of which says a line when it has something to say."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.million import MillionError
from benchmarks.million.application import PATH, VARIABLE
from benchmarks.million.keeper import Keeper
from benchmarks.processes import NATIVE, ROOT

APPLICATION = "benchmarks.million.application:app"
TICK_S = 0.5
C = TypeVar("C", bound="Child")


class Child:
    """A process in the keeper's group and network."""

    def __init__(
        self, name: str, words: Sequence[str], keeper: Keeper, variables: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._popen = subprocess.Popen(
            [*keeper.enter, *words],
            cwd=ROOT,
            env={**os.environ, **(variables or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            process_group=keeper.group,
        )
        self.pid = self._popen.pid
        self._heard = b""

    def fileno(self) -> int:
        """Its standard output, for a selector."""
        assert self._popen.stdout is not None
        return self._popen.stdout.fileno()

    def say(self, line: str) -> None:
        """Write a line to its standard input. Raises MillionError."""
        assert self._popen.stdin is not None
        try:
            self._popen.stdin.write(f"{line}\n".encode())
            self._popen.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def take(self) -> str | None:
        """A line that has come; None: not all of it has. Raises MillionError at the end of its output.

        Whatever comes with it or after it is an answer to another order.
        """
        if b"\n" not in self._heard:
            more = os.read(self.fileno(), 1 << 16)
            if not more:
                raise self._ended()
            self._heard += more
        line, end, rest = self._heard.partition(b"\n")
        self._heard = rest if end else line
        return line.decode().strip() if end else None

    @property
    def has_line(self) -> bool:
        """Whether a line has come already, of which a selector knows nothing."""
        return b"\n" in self._heard

    def _ended(self) -> MillionError:
        self._errors.seek(0)
        said = self._errors.read()[-2000:].strip()
        return MillionError(f"{self.name} has ended{f': {said}' if said else ''}")

    def private_bytes(self) -> int:
        """Memory that is its own and in use."""
        found = re.search(
            r"^Private_Dirty: +(\d+) kB", Path(f"/proc/{self.pid}/smaps_rollup").read_text(), re.M
        )
        return int(found[1]) * 1024 if found else 0

    def cpu_ns(self) -> int:
        """CPU time of its living threads, nanoseconds."""
        return sum(
            int((task / "schedstat").read_text().split()[0])
            for task in Path(f"/proc/{self.pid}/task").iterdir()
        )

    def kill(self) -> None:
        """Have it end: nothing of it is to be kept."""
        self._popen.kill()

    def close(self) -> None:
        """End it and wait for its end."""
        self.kill()
        self._popen.wait()
        for stream in (self._popen.stdin, self._popen.stdout, self._errors):
            assert stream is not None
            with contextlib.suppress(OSError):  # what was not flushed has nowhere to go
                stream.close()


class Node(Child):
    """`freshwire serve`, as anybody would start it, with an address and an admin socket of its own."""

    def __init__(self, number: int, address: str, folder: Path, state: Path, keeper: Keeper) -> None:
        self.address, self.admin = address, folder / f"{number}.sock"
        words = [sys.executable, "-m", "freshwire", "serve", APPLICATION, "--bind", address]
        words += ["--admin-socket", str(self.admin), "--max-connections-per-address", "0", "--threads", "1"]
        # Heartbeats of a million, every 25 s, are 40,000 messages a second: a load of their own.
        words += ["--drain-timeout", "0", "--set", "heartbeat_s=3600"]
        super().__init__(f"node {number}", words, keeper, {VARIABLE: str(state)})

    def announced(self, line: str) -> None:
        """Take its address from what it says when it serves. Raises MillionError."""
        found = re.search(r" serves http://([\d.]+:\d+)/", line)
        if found is None:
            raise MillionError(f"{self.name} says {line!r}")
        self.address = found[1]


class Client(Child):
    """A load client, with the watchers of one node."""

    def __init__(self, node: Node, watchers: int, keeper: Keeper) -> None:
        self.node, self.watchers = node, watchers
        words = [str(NATIVE / "freshwire-load"), node.address, "--connections", str(watchers), "--path", PATH]
        # A node on loopback answers to the loopback names, not to 127.1.0.1.
        words += ["--host", "localhost", "--ready", "greeted", "--timeout-s", "60", "--progress", "false"]
        super().__init__(f"the client of {node.name}", words, keeper)


def hear_each(
    children: Sequence[C],
    patience_s: float,
    on_line: Callable[[C, str], C | None],
    tick: Callable[[], None] = lambda: None,
) -> list[C]:
    """Give a line of each to `on_line`, as they come; whoever it returns is to be heard too.

    patience_s: how long nothing may be said by anybody.

    Returns those that have said nothing. Raises MillionError when one has ended.
    """
    silent = {child.fileno(): child for child in children}
    heard_at = time.monotonic()
    with selectors.DefaultSelector() as selector:
        for child in children:
            selector.register(child, selectors.EVENT_READ)
        while silent and time.monotonic() - heard_at < patience_s:
            told = [child for child in silent.values() if child.has_line]
            for child in told or [silent[key.fd] for key, _ in selector.select(TICK_S)]:
                if (line := child.take()) is None:
                    continue
                heard_at = time.monotonic()
                selector.unregister(child)
                del silent[child.fileno()]
                if (more := on_line(child, line)) is not None:
                    selector.register(more, selectors.EVENT_READ)
                    silent[more.fileno()] = more
            tick()
    return list(silent.values())
