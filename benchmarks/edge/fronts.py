"""The caches in between: nginx and Varnish with the very files of docs/behind, and room for ten thousand clients."""

from __future__ import annotations

import contextlib
import getpass
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.peers import program
from benchmarks.processes import Server, listening
from tests.behind.fronts import FILES, adapted
from tests.ports import free_port

MAIN = """
user {user}; daemon off; worker_processes {workers}; worker_rlimit_nofile 20000; pid {place}/pid;
error_log {place}/error.log error;
events {{ worker_connections 19900; }}
http {{
    access_log off; keepalive_requests 100000000;
    client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
    include {place}/nginx.conf;
}}
"""
WORKERS = 2
"""Of nginx: each may have 20,000 descriptors, and an answer from the cache is a second one for its client."""
QUEUE = 20_000
"""Requests that may wait for a thread of Varnish: above (20 by default) it disconnects those that come at once."""
BACKLOG = 1024
"""Connections that may wait to be accepted: all clients come at once."""


@contextlib.contextmanager
def front(
    name: str, upstream_port: int, changes: Mapping[str, str] | None = None, port: int = 0
) -> Iterator[Server]:
    """One of them, before what listens on a port.

    changes: texts of its configuration, and what stands in their place.
    port: where it listens itself; a free one if not given.
    """
    with tempfile.TemporaryDirectory(prefix="freshwire-edge-") as folder:
        place, port = Path(folder), port or free_port()
        place.chmod(0o755)
        text = adapted(name, place, port, upstream_port)
        for there, wanted in (changes or {}).items():
            assert there in text, f"{FILES[name]} does not have {there!r}"
            text = text.replace(there, wanted)
        if name == "nginx":
            text = text.replace(
                f"listen 127.0.0.1:{port} default_server",
                f"listen 127.0.0.1:{port} default_server backlog={BACKLOG}",
            )
        (place / FILES[name]).write_text(text)
        (place / "main.conf").write_text(MAIN.format(place=place, user=getpass.getuser(), workers=WORKERS))
        with listening(name, command(name, place, port), port) as server:
            yield server
        log = place / "error.log"
        if log.exists() and (said := log.read_text()):
            print(f"  {name} says: {said[:500]}", file=sys.stderr)


def command(name: str, place: Path, port: int) -> list[str]:
    if name == "nginx":
        words = [program("nginx") or "nginx", "-p", str(place), "-c", f"{place}/main.conf"]
        return [*words, "-e", f"{place}/error.log"]
    words = [program("varnishd") or "varnishd", "-F", "-j", "none", "-a", f"127.0.0.1:{port}"]
    words += ["-f", f"{place}/{FILES[name]}", "-n", f"{place}/work", "-s", "malloc,128m"]
    return [
        *words,
        "-p",
        f"listen_depth={BACKLOG}",
        "-p",
        "timeout_idle=60",
        "-p",
        f"thread_queue_limit={QUEUE}",
    ]
