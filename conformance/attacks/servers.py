"""The servers, each as it is when nothing is said but where to listen, and what /proc says about them."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from conformance.ending import end
from tests.security.wire import Peer

ROOT = Path(__file__).resolve().parents[2]
APP = "conformance.attacks.application:app"
PATIENCE_S = 30.0

NGINX = """
daemon off; worker_processes 1; error_log stderr; pid {place}/pid;
events {{}}
http {{
    access_log off; client_body_temp_path {place}/b; proxy_temp_path {place}/p; fastcgi_temp_path {place}/f;
    uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
    server {{ listen 127.0.0.1:{port}; root {place}; error_page 405 =200 /small; }}
}}
"""

PYTHON = {
    "freshwire": "freshwire serve {app} --port {port}",
    "uvicorn": "uvicorn {app} --port {port}",
    "granian": "granian --interface asgi --port {port} {app}",
    "hypercorn": "hypercorn --bind 127.0.0.1:{port} {app}",
    "aiohttp": "conformance.attacks.with_aiohttp {port}",
    "websockets": "conformance.attacks.with_websockets {port}",
}
SERVERS = [*PYTHON, "nginx"]
NO_WEBSOCKET, NO_APPLICATION, NO_HTTP = {"nginx"}, {"nginx"}, {"websockets"}
"""Servers that have none of their own."""


class Running:
    """A server that runs."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], port: int) -> None:
        self.name, self.process, self.address = name, process, ("127.0.0.1", port)

    def connect(self, *, receive_buffer: int = 0, timeout_s: float = 20.0) -> Peer:
        """A connection to it."""
        peer = Peer(self.address, receive_buffer=receive_buffer)
        peer.socket.settimeout(timeout_s)
        return peer

    @property
    def host(self) -> str:
        """What a friendly client says in `Host`."""
        return f"127.0.0.1:{self.address[1]}"

    def _processes(self) -> list[Path]:
        """It and its workers."""
        found, new = [], [self.process.pid]
        while new:
            pid = new.pop()
            found.append(Path(f"/proc/{pid}"))
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    new += [int(child) for child in (task / "children").read_text().split()]
        return found

    def _sum(self, file: str, pattern: str) -> int:
        total = 0
        for process in self._processes():
            with contextlib.suppress(OSError):
                if found := re.search(pattern, (process / file).read_text()):
                    total += int(found[1])
        return total

    def memory_kib(self) -> int:
        """Its private memory."""
        return self._sum("status", r"RssAnon:\s+(\d+) kB")

    def forget_peak(self) -> int:
        """Begin to look for the most memory it has; what it has now, KiB."""
        for process in self._processes():
            with contextlib.suppress(OSError):
                (process / "clear_refs").write_text("5")
        return self._sum("status", r"VmRSS:\s+(\d+) kB")

    def peak_kib(self) -> int:
        """The most it has had since."""
        return self._sum("status", r"VmHWM:\s+(\d+) kB")

    def terminate(self) -> None:
        """SIGTERM."""
        self.process.send_signal(signal.SIGTERM)


@contextlib.contextmanager
def running(name: str) -> Iterator[Running]:
    """One of `SERVERS`. Raises RuntimeError if it does not listen."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = int(unused.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="attacks") as place, open(f"{place}/said", "w+b") as said:
        if name == "nginx":
            Path(place, "conf").write_text(NGINX.format(place=place, port=port))
            for file, size in (("small", 2), ("client", 2), ("large", 16 * 2**20), ("index.html", 2)):
                Path(place, file).write_bytes(bytes(size))
            Path(place).chmod(0o755)
            words = [shutil.which("nginx") or "/usr/sbin/nginx", "-p", place, "-c", f"{place}/conf"]
        else:
            words = [sys.executable, "-m", *PYTHON[name].format(app=APP, port=port).split()]
        process = subprocess.Popen(
            words, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    said.seek(0)
                    raise RuntimeError(f"{name} does not listen: {said.read()[-1000:]!r}")
                time.sleep(0.05)
            yield Running(name, process, port)
        finally:
            end(process, patience_s=6)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False
