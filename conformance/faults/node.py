"""The node's process: started, told of changes, looked at, and ended in every way."""

import asyncio
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import httpx

from tests.ports import free_port

from .database import FOLDER_VARIABLE

START_TIMEOUT_S = 30.0
END_TIMEOUT_S = 20.0
ROOT = Path(__file__).resolve().parents[2]
OPTIONS: Mapping[str, object] = {
    "threads": 2,
    "app_timeout_s": 1.0,
    "heartbeat_s": 1.0,
    "reread_backoff_s": 0.05,
    "reread_backoff_max_s": 0.3,
    "retry_min_ms": 20,
    "retry_max_ms": 200,
    "drain_timeout_s": 1.0,
    "max_connections_per_address": 0,
}


class NodeProcess:
    """`freshwire serve conformance.faults.site:app`, again and again on the same port."""

    def __init__(self, folder: Path, options: Mapping[str, object] | None = None) -> None:
        """Do nothing yet.

        folder: the database, and where what the node says is kept.
        """
        self.folder = folder
        self.options = {**OPTIONS, **(options or {})}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # Not in the folder: a Unix socket's path is short.
        self._sockets = tempfile.TemporaryDirectory(prefix="fw-")
        self._admin_socket = Path(self._sockets.name) / "admin"
        self.environment: dict[str, str] = {}
        self.limits: dict[int, int] = {}
        """Of `resource.setrlimit`."""
        self.arguments: list[str] = []
        self.prefix: list[str] = []
        self.stdout: int | IO[bytes] | None = None
        self.stderr: int | IO[bytes] | None = None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self.process is not None
        return self.process.pid

    async def start(self) -> None:
        """Wait until it serves."""
        chosen = [f"--set={name}={value}" for name, value in self.options.items()]
        command = [
            *self.prefix,
            *(sys.executable, "-m", "freshwire", "serve", "conformance.faults.site:app"),
            *("--port", str(self.port), "--admin-socket", str(self._admin_socket), *chosen),
            *self.arguments,
        ]

        def limit() -> None:
            for kind, value in self.limits.items():
                resource.setrlimit(kind, (value, value))

        log = (self.folder / "node.log").open("ab")
        self.process = subprocess.Popen(  # noqa: ASYNC220 - it is quick
            command,
            cwd=ROOT,
            env={**os.environ, FOLDER_VARIABLE: str(self.folder), **self.environment},
            stdout=log if self.stdout is None else self.stdout,
            stderr=log if self.stderr is None else self.stderr,
            preexec_fn=limit if self.limits else None,
        )
        log.close()
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await self.is_up():
                if self.process.poll() is not None:
                    raise RuntimeError(f"the node ended with {self.process.returncode}: {self.said()}")
                await asyncio.sleep(0.05)

    async def is_up(self) -> bool:
        """Whether it answers."""
        try:
            await self.stats()
        except (httpx.HTTPError, OSError):
            return False
        return True

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    async def end(self, number: int = signal.SIGKILL) -> int:
        """Send a signal, and wait for the end; the exit code."""
        assert self.process is not None
        self.send(number)
        return await self.ended()

    async def ended(self) -> int:
        """Wait for the end; the exit code."""
        assert self.process is not None
        return await asyncio.to_thread(self.process.wait, END_TIMEOUT_S)

    def close(self) -> None:
        """End it, if it runs, and wait."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._sockets.cleanup()

    def said(self) -> str:
        """The end of what it has said."""
        return (self.folder / "node.log").read_text(errors="replace")[-2000:]

    def _admin(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(self._admin_socket)),
            base_url="http://localhost",
            timeout=5.0,
        )

    async def changed(self, *tags: str) -> None:
        """Announce a change from outside. Raises httpx.HTTPError."""
        async with self._admin() as http:
            (await http.post("/changes", json={"tags": tags})).raise_for_status()

    async def stats(self) -> dict[str, Any]:
        """Its figures. Raises httpx.HTTPError."""
        async with self._admin() as http:
            figures: dict[str, Any] = json.loads((await http.get("/stats")).raise_for_status().content)
            return figures

    def memory_kib(self) -> int:
        """Memory of its own, KiB."""
        found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found
        return int(found[1])

    def cpu_s(self) -> float:
        """Processor time that it has used, seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
