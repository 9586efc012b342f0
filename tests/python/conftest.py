"""What the tests of the Python side share: a clean environment, an admin socket that answers, the command
line.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import freshwire._engine as engine
import pytest


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory, and no options from the environment."""
    for name in list(os.environ):
        if name.startswith(("FRESHWIRE_", "LISTEN_")):
            monkeypatch.delenv(name)
    directory = tmp_path / "project"
    directory.mkdir()
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.chdir(directory)
    return directory


@dataclass
class Exchange:
    """Stands for the engine's exchange: keeps the tags it is given."""

    tags: list[str] = field(default_factory=list)
    refusal: Exception | None = None

    def depends_on(self, tags: list[str]) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.tags += tags


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    """What a handler answers while the test runs."""
    made = Exchange()
    token = engine.current.set(made)  # type: ignore[arg-type]
    yield made
    with contextlib.suppress(ValueError):  # pytest-asyncio may end the test in another context
        engine.current.reset(token)


@dataclass
class AdminSocket:
    """A node's admin socket, as far as changes go."""

    path: Path
    status: int = 200
    answer: object = field(default_factory=lambda: {"position": "e-1"})
    got: list[Any] = field(default_factory=list)


@pytest.fixture
def admin_socket(tmp_path: Path) -> Iterator[AdminSocket]:
    """An admin socket that answers as it is told to."""
    node = AdminSocket(tmp_path / "admin.sock")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            node.got.append((self.path, self.headers["content-type"], body))
            answer = node.answer if isinstance(node.answer, bytes) else json.dumps(node.answer).encode()
            self.send_response(node.status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def address_string(self) -> str:
            return "unix"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with socketserver.ThreadingUnixStreamServer(str(node.path), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield node
        server.shutdown()


Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def cli() -> Cli:
    """Run `freshwire` to its end."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "freshwire", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **environment},
            check=False,
        )

    return run


class Running:
    """A `freshwire` that runs, and what it has printed."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "freshwire", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._read = 0
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._lines.append("(the end)")
            self._changed.notify_all()

    def line(self, part: str, timeout: float = 60.0) -> str:
        """Wait for the next line that has this in it."""
        with self._changed:
            found = self._changed.wait_for(lambda: self._next(part), timeout)
            assert found, f"no {part!r} in:\n" + "\n".join(self._lines)
            return self._lines[self._read - 1]

    def _next(self, part: str) -> bool:
        for number in range(self._read, len(self._lines)):
            if part in self._lines[number]:
                self._read = number + 1
                return True
            assert self._lines[number] != "(the end)", f"no {part!r} in:\n" + "\n".join(self._lines)
        return False

    def url(self) -> str:
        """Wait until it serves; where."""
        return self.line("serves http").split("serves ")[1].split()[0].rstrip("/")

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for its end; the exit code."""
        return self.process.wait(30)


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Start `freshwire` commands that end with the test."""
    started: list[Running] = []

    def run(*arguments: str) -> Running:
        started.append(Running(*arguments))
        return started[-1]

    yield run
    for running in started:
        if running.process.poll() is None:
            running.process.terminate()
            try:
                running.process.wait(15)
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()
