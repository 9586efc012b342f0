"""Starting the processes of one server, and ending them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from conformance.ending import end
from conformance.http1.judge import Given

ROOT = Path(__file__).resolve().parents[2]
READY_S = 30.0


class MissingError(Exception):
    """A server is not installed."""


@dataclass
class Server:
    """A server that runs."""

    name: str
    address: tuple[str, int]
    seen_file: Path
    is_cache: bool = False
    is_foreign: bool = False
    """It has another application."""
    version: str = ""
    _read: int = field(default=0, repr=False)

    def seen(self) -> Given:
        """What the application was given since this was last asked."""
        if not self.seen_file.exists():
            return []
        with self.seen_file.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        self._read += len(data)
        return [json.loads(line) for line in data.splitlines()]


class Starter:
    """Starts the processes of one server, and ends them with its stack."""

    def __init__(self, stack: ExitStack, directory: Path, name: str) -> None:
        self.stack, self.directory, self.name = stack, directory, name
        self.seen_file = directory / "seen.jsonl"

    def run(self, words: list[str], port: int) -> None:
        """Start a process, and wait until it listens. Raises MissingError or RuntimeError."""
        program = shutil.which(words[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if program is None:
            raise MissingError(words[0])
        log = self.stack.enter_context((self.directory / f"{port}.log").open("w+"))
        environment = {**os.environ, "CONFORMANCE_SEEN": str(self.seen_file)}
        process = subprocess.Popen(
            [program, *words[1:]], cwd=ROOT, stdout=log, stderr=log, env=environment, start_new_session=True
        )
        self.stack.callback(end, process, patience_s=5)
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                log.seek(0)
                said = log.read()[-2000:]
                raise (MissingError if "No module named" in said else RuntimeError)(f"{self.name}: {said}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} does not listen")

    def python(self, port: int, *words: str) -> int:
        """Start `python -m …`."""
        self.run([sys.executable, "-m", *words], port)
        return port

    def file(self, name: str, text: str) -> str:
        """Write a file of this server's, and say where it is."""
        path = self.directory / name
        path.write_text(text)
        return str(path)

    def server(self, port: int, version: str, **options: Any) -> Server:
        return Server(self.name, ("127.0.0.1", port), self.seen_file, version=version, **options)


def version_of(*packages: str) -> str:
    with contextlib.suppress(PackageNotFoundError):
        return ", ".join(f"{package} {version(package)}" for package in packages)
    return ""


def first_line_of(*words: str) -> str:
    program = shutil.which(words[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise MissingError(words[0])
    done = subprocess.run([program, *words[1:]], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]
