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
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import freshwire._engine as engine
import pytest

from .command import Cli, Running
from .fakes import AdminSocket, Exchange


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current directory, and no options from the environment."""
    for name in list(os.environ):
        if name.startswith(("FRESHWIRE_", "LISTEN_")):
            monkeypatch.delenv(name)
    directory = tmp_path / "project"
    directory.mkdir()
    monkeypatch.chdir(directory)
    # The path of a Unix socket is short.
    with tempfile.TemporaryDirectory() as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        yield directory


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    """What a handler answers while the test runs."""
    made = Exchange()
    token = engine.current.set(made)  # type: ignore[arg-type]
    yield made
    with contextlib.suppress(ValueError):  # pytest-asyncio may end the test in another context
        engine.current.reset(token)


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
