"""`freshwire serve` in a process of its own, for as long as a `with` lasts."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
END_TIMEOUT_S = 20
START_TIMEOUT_S = 120.0
"""An application may load data at its first start."""


@dataclass
class Node:
    """A node that serves."""

    process: subprocess.Popen[str]
    url: str
    """Without a slash at the end."""
    admin_socket: Path
    errors: list[str] = field(default_factory=list)
    """What it printed after its first line."""

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def stats(self) -> dict[str, Any]:
        """Its figures, from the admin socket."""
        with self._admin() as client:
            figures: dict[str, Any] = client.get("http://admin/stats").json()
            return figures

    def changed(self, *tags: str) -> None:
        """Tell it of a change."""
        with self._admin() as client:
            client.post("http://admin/changes", json={"tags": tags}).raise_for_status()

    def _admin(self) -> httpx.Client:
        return httpx.Client(transport=httpx.HTTPTransport(uds=str(self.admin_socket)))


@contextlib.contextmanager
def serve(
    app: str,
    *,
    options: Mapping[str, object] | None = None,
    port: int = 0,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Node]:
    """Serve an application of this repository with the node's defaults, but for `options`.

    Raises RuntimeError if it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="freshwire-") as folder:
        admin_socket = Path(folder) / "admin.sock"
        chosen = [f"--set={name}={_text(value)}" for name, value in (options or {}).items()]
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "freshwire", "serve", app, "--app-dir", str(ROOT)),
                *("--port", str(port), "--admin-socket", str(admin_socket), "--drain-timeout", "0", *chosen),
            ],
            cwd=folder,  # no pyproject.toml there
            env={k: v for k, v in os.environ.items() if not k.startswith("FRESHWIRE_")}
            | {"PYTHONUNBUFFERED": "1"}
            | dict(environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        late = threading.Timer(START_TIMEOUT_S, process.kill)
        late.start()
        try:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                if found := re.search(r"serves (http://[\d.]+:\d+)/", line):
                    break
                said.append(line)
            else:
                raise RuntimeError(f"the node did not start:\n{''.join(said)}")
            late.cancel()
            node = Node(process, found[1], admin_socket)
            reader = threading.Thread(target=node.errors.extend, args=(process.stdout,), daemon=True)
            reader.start()
            httpx.get(node.url, timeout=START_TIMEOUT_S)  # it listens before the application has started
            yield node
        finally:
            late.cancel()
            process.terminate()
            try:
                process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
