"""The processes of a benchmark: servers, crowds of clients, and what /proc says about them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
NATIVE = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
PATIENCE_S = 30.0
"""How long a process may take to be ready or to end."""
CONNECT_S = 120.0
"""How long all members of a crowd together may take to connect: one that is never answered waits `PATIENCE_S`, and the
next ones with it.
"""
APPLICATION = "benchmarks.application:app"


class BenchmarkError(Exception):
    """A process of a benchmark does not do what it should."""


class Process:
    """A process that this benchmark started, and alone ends."""

    def __init__(self, name: str, words: Sequence[str], *, cores: Sequence[int] = ()) -> None:
        """Start it.

        cores: the only ones it may run on; none: all.
        """
        self.name = name
        pinned = ["taskset", "--cpu-list", ",".join(map(str, cores))] if cores else []
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._popen = subprocess.Popen(
            [*pinned, *words],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
        )
        self.pid = self._popen.pid

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(f"{line}\n")
        self._popen.stdin.flush()

    def hear(self, *, within_s: float | None = None, lest: str = "") -> str:
        """The next line of its standard output.

        within_s: after that it is killed; None: as long as it takes.
        lest: what it means that nothing came.

        Raises BenchmarkError at the end of its output.
        """
        assert self._popen.stdout is not None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._popen.kill()

        timer = threading.Timer(within_s or 0, give_up)
        if within_s is not None:
            timer.start()
        try:
            line = self._popen.stdout.readline()
        finally:
            timer.cancel()
        if late.is_set():
            raise BenchmarkError(f"{lest or self.name + ' says nothing'} within {within_s:.0f} s")
        if not line:
            self._errors.seek(0)
            raise BenchmarkError(f"{self.name} has ended: {self._errors.read()[-2000:]}")
        return line.strip()

    def ask(self, line: str) -> dict[str, Any]:
        """Say a line and hear JSON."""
        self.say(line)
        answer: dict[str, Any] = json.loads(self.hear())
        return answer

    def wait_for_port(self, port: int) -> None:
        """Wait until it accepts connections. Raises BenchmarkError."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if self._popen.poll() is not None:
                self.hear()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.002)
        raise BenchmarkError(f"{self.name} does not listen on {port}")

    def family(self) -> list[int]:
        """Itself and the processes that it started, and theirs: many servers are more than one."""
        parents = parents_of_processes()
        found = [self.pid]
        for parent in found:
            found += [pid for pid, its_parent in parents.items() if its_parent == parent]
        return found

    def cpu_ns(self, thread: str = "") -> int:
        """CPU time of the family's living threads whose name begins so, nanoseconds."""
        total = 0
        for pid in self.family():
            for task in tasks(pid):
                with contextlib.suppress(OSError):  # it has just ended
                    if not thread or (task / "comm").read_text().startswith(thread):
                        total += int((task / "schedstat").read_text().split()[0])
        return total

    def private_bytes(self) -> int:
        """Memory that is the family's own and in use: private pages that were written to."""
        total = 0
        for pid in self.family():
            with contextlib.suppress(OSError):  # it has just ended
                total += private_dirty(Path(f"/proc/{pid}/smaps_rollup").read_text())
        return total

    def stop(self) -> None:
        """Have it do nothing, not even read."""
        self._popen.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on after `stop`."""
        self._popen.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it."""
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)
            self.resume()
            try:
                self._popen.wait(PATIENCE_S / 3)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        # Workers that outlive who started them.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for stream in (self._popen.stdin, self._popen.stdout, self._errors):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Server(Process):
    """A process that serves `application.py`, or the floor, on a port of 127.0.0.1."""

    port: int


def freshwire(*options: str, cores: Sequence[int] = ()) -> Server:
    """A node."""
    port = free_port()
    limits = ["--max-connections-per-address", "0", "--drain-timeout", "0", "--admin-socket", "off"]
    # A WebSocket of the crowd is raw bytes and does not answer pings.
    words = ["freshwire", "serve", APPLICATION, "--port", str(port), *limits, "--set", "heartbeat_s=600"]
    return listening("freshwire", [sys.executable, "-m", *words, *options], port, cores)


def listening(name: str, words: Sequence[str], port: int, cores: Sequence[int] = ()) -> Server:
    """A server that listens on this port of 127.0.0.1."""
    server = Server(name, words, cores=cores)
    server.port = port
    try:
        server.wait_for_port(port)
    except BaseException:
        server.close()
        raise
    return server


@contextlib.contextmanager
def floor(message: bytes, cores: Sequence[int] = ()) -> Iterator[Server]:
    """The floor (native/src/bin/floor.rs), which pushes this message."""
    with file_of(message) as path:
        server = Server("floor", [str(NATIVE / "floor"), path], cores=cores)
        with server:
            server.port = int(server.hear())
            yield server


@contextlib.contextmanager
def load(
    targets: str, size: int, *words: str, enough: float = 1.0, cores: Sequence[int] = ()
) -> Iterator[Process]:
    """The load client (`freshwire-load --help`) with so many members that are there, waiting for orders.

    Raises BenchmarkError if fewer than `enough` of them, a share, are.
    """
    command = [str(NATIVE / "freshwire-load"), targets, "--connections", str(size), "--progress", "false"]
    with Process("freshwire-load", [*command, *words], cores=cores) as process:
        said = json.loads(process.hear(within_s=CONNECT_S, lest=f"{size} connections did not connect"))
        if said["ready"] < size * enough:
            raise BenchmarkError(
                f"of {size} connections the load client has {said['ready']}: {said['failed']}"
            )
        yield process


@contextlib.contextmanager
def file_of(content: bytes) -> Iterator[str]:
    """A file with this content."""
    with tempfile.NamedTemporaryFile(prefix="freshwire-bench-") as file:
        file.write(content)
        file.flush()
        yield file.name


def get(path: str, *fields: str) -> bytes:
    """The bytes of a GET."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *fields, "", ""]).encode()


def websocket(path: str, *fields: str) -> bytes:
    """The bytes of a WebSocket's opening."""
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", key)
    return get(path, *upgrade, *fields)


def first_bytes(port: int, request: bytes, until: bytes, *, patience_s: float = PATIENCE_S) -> bytes:
    """What a server says to a request, up to and with what comes after `until`. Raises BenchmarkError."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), patience_s) as connection:
        connection.sendall(request)
        while until not in said:
            if not (more := connection.recv(65536)):
                raise BenchmarkError(f"the server said {said!r}")
            said += more
    return said


def parents_of_processes() -> dict[int, int]:
    """The parent of every process."""
    parents = {}
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            with contextlib.suppress(OSError):
                # The name, in parentheses, may hold anything.
                parents[int(directory.name)] = int(
                    (directory / "stat").read_text().rpartition(")")[2].split()[1]
                )
    return parents


def tasks(pid: int) -> list[Path]:
    """The threads of a process, none if it has ended."""
    with contextlib.suppress(OSError):
        return list(Path(f"/proc/{pid}/task").iterdir())
    return []


def private_dirty(smaps_rollup: str) -> int:
    """Bytes of private pages that were written to, from a process's smaps_rollup."""
    for line in smaps_rollup.splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) * 1024
    raise BenchmarkError("the kernel does not say how much memory a process has")


def kernel_bytes() -> int:
    """Memory that the kernel holds for itself, sockets for the most part, machine-wide."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    slab = int(fields["Slab"].split()[0]) * 1024
    sockets = re.search(r"TCP: .* mem (\d+)", Path("/proc/net/sockstat").read_text())
    return slab + (int(sockets[1]) if sockets else 0) * os.sysconf("SC_PAGE_SIZE")


def cores() -> tuple[list[int], list[int]]:
    """A core for the server and another for its clients; none are chosen if there is one only."""
    mine = sorted(os.sched_getaffinity(0))
    return ([mine[0]], [mine[-1]]) if len(mine) > 1 and shutil.which("taskset") else ([], [])


def build() -> None:
    """Build the floor and the load client."""
    packages = ["--package", "freshwire-benchmarks", "--package", "freshwire-load"]
    words = ["cargo", "build", "--quiet", "--locked", "--release", *packages]
    subprocess.run(words, cwd=ROOT, check=True)
