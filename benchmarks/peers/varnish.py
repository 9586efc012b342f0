"""Varnish: its cache of what a server answers."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.application import CACHED_BODY
from benchmarks.peers import needs_programs, program
from benchmarks.processes import Server, first_bytes, get
from tests.ports import free_port

MISSING = needs_programs("varnishd")


@contextlib.contextmanager
def varnish(upstream_port: int, *, cores: Sequence[int] = ()) -> Iterator[Server]:
    """Varnish with the defaults of its package."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="freshwire-varnish-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        backend = f'backend default {{ .host = "127.0.0.1"; .port = "{upstream_port}"; }}'
        (directory / "default.vcl").write_text(f"vcl 4.1;\n{backend}\n")
        words = [program("varnishd") or "varnishd", "-F", "-j", "none", "-a", f"127.0.0.1:{port}"]
        words += ["-f", f"{name}/default.vcl", "-n", f"{name}/work", "-s", "malloc,64m", "-T", "none"]
        with Server("varnish", words, cores=cores) as server:
            server.port = port
            server.wait_for_port(port)
            first_bytes(port, get("/cached"), CACHED_BODY)
            yield server
