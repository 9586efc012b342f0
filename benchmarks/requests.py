"""Requests a second on one core, beside the servers that people use: uvicorn, granian and nginx.

wrk has the other core. With one connection both may use both cores, and what counts is the time of a request.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from benchmarks.application import CACHED_BODY, ORDER
from benchmarks.figure import Figure, compared
from benchmarks.processes import (
    Server,
    cores,
    file_of,
    first_bytes,
    free_port,
    freshwire,
    get,
    granian,
    uvicorn,
)
from benchmarks.sizes import Sizes

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
WRK = shutil.which("wrk")


@dataclass(frozen=True, slots=True)
class Case:
    """A request, whom it is sent to, and what the node should reach beside each."""

    name: str
    path: str
    connections: int
    budgets: dict[str, float | None]
    """By peer: the budget for the ratio."""
    post: bytes = b""
    paths: dict[str, str] = field(default_factory=dict)
    """Where a peer has something else in that place."""


ONE_CORE = (
    Case("hello world", "/hello", 32, {"uvicorn": 1.8, "granian": 2.0}),
    Case("FastAPI GET", "/items/7?detail=1", 32, {"uvicorn": 1.25, "granian": 1.25}),
    Case(
        "POST of 2 KB", "/orders", 32, {"uvicorn": 1.3, "granian": 1.3}, post=ORDER.model_dump_json().encode()
    ),
    Case(
        "cached GET of 200 B",
        "/cached",
        32,
        {"nginx's file": 1.3, "nginx's cache": None},
        paths={"nginx's file": "/file", "nginx's cache": "/proxied"},
    ),
)
ALONE = Case("hello world", "/hello", 1, {"uvicorn": None})
ALONE_BUDGET_US = 15.0


def figures(sizes: Sizes, progress: Callable[[str], None]) -> Iterator[Figure]:
    """Every case on one core, then one connection with two."""
    if WRK is None:
        return progress("requests: left out, for there is no wrk (make setup)")
    server_cores, client_cores = cores()
    with servers(server_cores) as known:
        for case in ONE_CORE:
            yield from _of_case(case, known, client_cores, sizes, progress)
    with servers([]) as known:
        if "uvicorn" in known:
            rates = _rounds(ALONE, known, [], sizes, progress)
            mine, theirs = ([1e6 / rate for rate in rates[name]] for name in ("freshwire", "uvicorn"))
            slower = statistics.median(a - b for a, b in zip(mine, theirs, strict=True))
            note = f"{statistics.median(mine):.1f} µs, uvicorn {statistics.median(theirs):.1f} µs"
            what = "hello world, 1 connection and 2 cores: slower than uvicorn by"
            yield Figure(what, slower, "µs", budget=ALONE_BUDGET_US, note=note)
    return None


def _of_case(
    case: Case,
    known: dict[str, Server],
    client_cores: list[int],
    sizes: Sizes,
    progress: Callable[[str], None],
) -> Iterator[Figure]:
    for peer in case.budgets.keys() - known.keys():
        progress(f"requests: {case.name} without {peer}, which is not installed (make bench installs it)")
    if not case.budgets.keys() & known.keys():
        return
    rates = _rounds(case, known, client_cores, sizes, progress)
    for peer, budget in case.budgets.items():
        if peer in rates:
            mine, theirs = rates["freshwire"], rates[peer]
            yield compared(f"{case.name}, one core", "/s", mine, peer, theirs, budget=budget, bound="≥")


def _rounds(
    case: Case,
    known: dict[str, Server],
    client_cores: list[int],
    sizes: Sizes,
    progress: Callable[[str], None],
) -> dict[str, list[float]]:
    """Requests a second by server, in rounds that ask each server once."""
    names = [name for name in ("freshwire", *case.budgets) if name in known]
    rates: dict[str, list[float]] = {name: [] for name in names}
    for number in range(sizes.rounds + 1):
        turn = number % len(names)
        for name in (*names[turn:], *names[:turn]):
            progress(f"requests: {case.name} × {case.connections}, {name}, round {number} of {sizes.rounds}")
            url = f"http://127.0.0.1:{known[name].port}{case.paths.get(name, case.path)}"
            # Round 0 is for what is slow once only.
            seconds = sizes.seconds if number else min(1.0, sizes.seconds)
            rate = wrk(url, case.connections, seconds, client_cores, case.post)
            if number:
                rates[name].append(rate)
    return rates


def wrk(url: str, connections: int, seconds: float, client_cores: list[int], post: bytes) -> float:
    """Requests a second. Raises RuntimeError if any was not answered with success."""
    pinned = ["taskset", "--cpu-list", ",".join(map(str, client_cores))] if client_cores else []
    script = f'wrk.method = "POST"\nwrk.body = [==[{post.decode()}]==]\n'
    script += 'wrk.headers["Content-Type"] = "application/json"\n'
    with file_of(script.encode()) as path:
        words = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
        words += ["-s", path] if post else []
        out = subprocess.run([*pinned, *words, url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise RuntimeError(f"wrk {url}:\n{out}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", out)
    if found is None:
        raise RuntimeError(f"wrk {url}:\n{out}")
    return float(found[1])


@contextlib.contextmanager
def servers(server_cores: list[int]) -> Iterator[dict[str, Server]]:
    """Every server that is installed, by name."""
    with contextlib.ExitStack() as stack:
        node = stack.enter_context(freshwire(cores=server_cores))
        known = {"freshwire": node}
        if find_spec("uvicorn") and find_spec("httptools"):
            known["uvicorn"] = stack.enter_context(uvicorn(cores=server_cores))
        if find_spec("granian"):
            known["granian"] = stack.enter_context(granian(cores=server_cores))
        if NGINX is not None:
            web = stack.enter_context(nginx(node.port, server_cores))
            known["nginx's file"] = known["nginx's cache"] = web
        yield known


@contextlib.contextmanager
def nginx(upstream_port: int, server_cores: list[int]) -> Iterator[Server]:
    """nginx with one worker: a file of 200 B, and its cache of what the node answers."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="freshwire-nginx-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "file").write_bytes(CACHED_BODY)
        (directory / "nginx.conf").write_text(_configuration(directory, port, upstream_port))
        words = [NGINX or "nginx", "-p", name, "-c", f"{name}/nginx.conf", "-e", f"{name}/error.log"]
        with Server("nginx", words, cores=server_cores) as server:
            server.port = port
            server.wait_for_port(port)
            first_bytes(port, get("/proxied"), CACHED_BODY)
            yield server


def _configuration(directory: Path, port: int, upstream_port: int) -> str:
    user = "user root;" if os.getuid() == 0 else ""
    return f"""
{user} daemon off; worker_processes 1; pid {directory}/pid; error_log {directory}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
    open_file_cache max=100; default_type text/plain; root {directory};
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    proxy_cache_path {directory}/cache keys_zone=all:1m;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location /file {{ }}
        location /proxied {{
            proxy_pass http://127.0.0.1:{upstream_port}/cached; proxy_cache all; proxy_cache_valid 200 1h;
        }}
    }}
}}
"""
