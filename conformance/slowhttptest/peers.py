"""The other servers, as they are without options, with the same application."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from conformance.ending import end
from conformance.node import ROOT
from tests.ports import free_port

APPLICATION = "conformance.slowhttptest.application:app"
START_TIMEOUT_S = 30.0
NGINX = "/usr/sbin/nginx"
NGINX_CONF = """
pid nginx.pid;
error_log error.log;
events {{}}
http {{
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://127.0.0.1:{upstream}; }}
    }}
}}
"""
"""As a proxy, which is how it stands before an application; its upstream is uvicorn."""


@contextlib.contextmanager
def process(words: list[str], port: int) -> Iterator[None]:
    """A server, until the block ends. Raises RuntimeError if it does not listen."""
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(
            words, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                if server.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(f"{' '.join(words)} does not listen:\n{log.read()[-2000:]}")
                time.sleep(0.05)
            yield
        finally:
            end(server, patience_s=10)


def _module(name: str, *flags: str) -> Callable[[int], contextlib.AbstractContextManager[None]]:
    return lambda port: process(
        [sys.executable, "-m", name, *(flag.format(port=port) for flag in flags), APPLICATION], port
    )


uvicorn = _module("uvicorn", "--port={port}", "--no-access-log")
granian = _module("granian", "--interface=asgi", "--port={port}")
hypercorn = _module("hypercorn", "--bind=127.0.0.1:{port}")


@contextlib.contextmanager
def nginx(port: int) -> Iterator[None]:
    """nginx as a proxy of uvicorn."""
    with tempfile.TemporaryDirectory(prefix="freshwire-") as folder:
        upstream = free_port()
        configuration = Path(folder) / "nginx.conf"
        configuration.write_text(NGINX_CONF.format(port=port, upstream=upstream))
        words = [NGINX, "-p", folder, "-e", "error.log", "-c", str(configuration), "-g", "daemon off;"]
        with uvicorn(upstream), process(words, port):
            yield


PEERS = {"uvicorn": uvicorn, "granian": granian, "hypercorn": hypercorn, "nginx": nginx}


def version(peer: str) -> str:
    """The version that was attacked."""
    if peer != "nginx":
        return metadata.version(peer)
    said = subprocess.run([NGINX, "-v"], capture_output=True, text=True).stderr
    return said.strip().rpartition("/")[2]
