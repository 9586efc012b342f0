"""Requests a second of a core, beside the servers that people use: uvicorn, granian, hypercorn, nginx and Varnish.

The server has one core and wrk the other. What counts is the server's CPU, since a fast one waits for wrk: it would be
wrk that is measured. With one connection both may use both cores, and what counts is the time of a request.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.application import CACHED_BODY, ORDER
from benchmarks.figure import Figure, Result, Series, absent, compared
from benchmarks.peers import asgi, nginx, varnish
from benchmarks.processes import BenchmarkError, Server, cores, file_of, first_bytes, freshwire, get
from benchmarks.sizes import Sizes

WRK = shutil.which("wrk")
FILE, CACHE = "nginx's file", "nginx's cache"
MISSING: dict[str, Callable[[], str]] = {
    **asgi.MISSING,
    FILE: nginx.MISSING,
    CACHE: nginx.MISSING,
    "varnish": varnish.MISSING,
}
MOST_SECONDS = 2.0
"""Enough for a rate."""


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


@dataclass(frozen=True, slots=True)
class Rate:
    """What a server did in a round."""

    requests: int
    seconds: float
    cpu_s: float
    """The server's own."""

    @property
    def of_a_core(self) -> float:
        """Requests for each second of the server's CPU."""
        return self.requests / self.cpu_s

    @property
    def busy(self) -> float:
        """The share of one core that the server used."""
        return self.cpu_s / self.seconds


ONE_CORE = (
    Case("hello world", "/hello", 32, {"uvicorn": 1.8, "granian": 2.0, "hypercorn": None}),
    Case("FastAPI GET", "/items/7?detail=1", 32, {"uvicorn": 1.25, "granian": 1.25, "hypercorn": None}),
    Case(
        "POST of 2 KB",
        "/orders",
        32,
        {"uvicorn": 1.3, "granian": 1.3, "hypercorn": None},
        post=ORDER.model_dump_json().encode(),
    ),
    Case(
        "cached GET of 200 B",
        "/cached",
        32,
        {FILE: 1.3, CACHE: None, "varnish": 2.0},
        paths={FILE: "/file", CACHE: "/proxied"},
    ),
)
ALONE = Case("hello world", "/hello", 1, {"uvicorn": None})
ALONE_WHAT = "hello world, 1 connection and 2 cores: slower than uvicorn by"
ALONE_BUDGET_US = 15.0


def figures(sizes: Sizes, progress: Callable[[str], None], peers: Sequence[str]) -> Iterator[Result]:
    """Every case on one core, then one connection with two."""
    if WRK is None:
        yield absent("requests a second", "freshwire", "there is no wrk (tools/setup test)")
        return
    server_cores, client_cores = cores()
    with contextlib.ExitStack() as stack:
        known, failed = servers(stack, server_cores, peers)
        for case in ONE_CORE:
            yield from _of_case(case, known, failed, client_cores, sizes, progress)
    with contextlib.ExitStack() as stack:
        known, _ = servers(stack, [], [name for name in peers if name == "uvicorn"])
        if "uvicorn" in known:
            yield _alone(known, sizes, progress)


def _alone(known: dict[str, Server], sizes: Sizes, progress: Callable[[str], None]) -> Figure:
    failed: dict[str, str] = {}
    rates = _rounds(ALONE, known, failed, [], sizes, progress)
    if failed:
        return absent(ALONE_WHAT, "freshwire", failed["uvicorn"])
    mine, theirs = (
        [1e6 * rate.seconds / rate.requests for rate in rates[name]] for name in ("freshwire", "uvicorn")
    )
    slower = [a - b for a, b in zip(mine, theirs, strict=True)]
    note = f"{statistics.median(mine):.1f} µs, uvicorn {statistics.median(theirs):.1f} µs"
    spread = (min(slower), max(slower))
    return Figure(
        ALONE_WHAT, statistics.median(slower), "µs", spread=spread, budget=ALONE_BUDGET_US, note=note
    )


def _of_case(
    case: Case,
    known: dict[str, Server],
    failed: dict[str, str],
    client_cores: list[int],
    sizes: Sizes,
    progress: Callable[[str], None],
) -> Iterator[Result]:
    what = f"{case.name}, one core"
    failed = dict(failed)
    rates = _rounds(case, known, failed, client_cores, sizes, progress)

    def busy(name: str) -> str:
        share = statistics.median(rate.busy for rate in rates[name])
        return f"{share:.0%} busy"

    for peer, budget in case.budgets.items():
        if peer in rates:
            mine, theirs = ([rate.of_a_core for rate in rates[name]] for name in ("freshwire", peer))
            note = f"the core of the node was {busy('freshwire')}, that of {peer} {busy(peer)}"
            yield compared(what, "/s", mine, peer, theirs, budget=budget, bound="≥", note=note)
        elif peer in failed:
            yield absent(what, peer, failed[peer])
    for name, values in rates.items():
        yield Series(f"gets {case.name}", name, [(0.0, statistics.median(rate.of_a_core for rate in values))])


def _rounds(
    case: Case,
    known: dict[str, Server],
    failed: dict[str, str],
    client_cores: list[int],
    sizes: Sizes,
    progress: Callable[[str], None],
) -> dict[str, list[Rate]]:
    """What each server did, in rounds that ask each server once; `failed` is told of who does not answer."""
    names = [name for name in ("freshwire", *case.budgets) if name in known]
    rates: dict[str, list[Rate]] = {name: [] for name in names}
    for number in range(sizes.rounds + 1):
        turn = number % len(names)
        for name in (*names[turn:], *names[:turn]):
            progress(f"requests: {case.name} × {case.connections}, {name}, round {number} of {sizes.rounds}")
            url = f"http://127.0.0.1:{known[name].port}{case.paths.get(name, case.path)}"
            # Round 0 is for what is slow once only.
            seconds = min(MOST_SECONDS, sizes.seconds) if number else min(1.0, sizes.seconds)
            before_ns = known[name].cpu_ns()
            try:
                requests, took_s = wrk(url, case.connections, seconds, client_cores, case.post)
            except BenchmarkError as error:
                failed.setdefault(name, f"failed: {error}")
                continue
            if number:
                rates[name].append(Rate(requests, took_s, (known[name].cpu_ns() - before_ns) / 1e9))
    if "freshwire" in failed:
        raise BenchmarkError(failed["freshwire"])
    return {name: values for name, values in rates.items() if name not in failed}


def wrk(
    url: str, connections: int, seconds: float, client_cores: list[int], post: bytes
) -> tuple[int, float]:
    """How many requests were answered in how many seconds. Raises BenchmarkError if one was not, or without success."""
    pinned = ["taskset", "--cpu-list", ",".join(map(str, client_cores))] if client_cores else []
    script = f'wrk.method = "POST"\nwrk.body = [==[{post.decode()}]==]\n'
    script += 'wrk.headers["Content-Type"] = "application/json"\n'
    with file_of(script.encode()) as path:
        words = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
        words += ["-s", path] if post else []
        out = subprocess.run([*pinned, *words, url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise BenchmarkError(f"wrk {url}:\n{out}")
    found = re.search(r"(\d+) requests in ([\d.]+)s", out)
    if found is None or not int(found[1]):
        raise BenchmarkError(f"wrk {url}:\n{out}")
    return int(found[1]), float(found[2])


def servers(
    stack: contextlib.ExitStack, server_cores: list[int], peers: Sequence[str]
) -> tuple[dict[str, Server], dict[str, str]]:
    """Every server by name, as far as it was asked for, and why one is not there."""
    node = stack.enter_context(freshwire(cores=server_cores))
    known, failed = {"freshwire": node}, {}
    openers: dict[str, Callable[[], contextlib.AbstractContextManager[Server]]] = {
        **{name: _opener(start, server_cores) for name, start in asgi.SERVERS.items()},
        FILE: lambda: _caching_nginx(node.port, server_cores),
        CACHE: lambda: contextlib.nullcontext(known[FILE]),
        "varnish": lambda: varnish.varnish(node.port, cores=server_cores),
    }
    for name, opener in openers.items():
        if name not in peers:
            continue
        if why := MISSING[name]():
            failed[name] = why
            continue
        try:
            known[name] = stack.enter_context(opener())
        except (BenchmarkError, OSError, KeyError) as error:
            failed[name] = f"failed: {error}"
    return known, failed


def _opener(start: Callable[..., Server], server_cores: list[int]) -> Callable[[], Server]:
    return lambda: start(cores=server_cores)


@contextlib.contextmanager
def _caching_nginx(upstream_port: int, server_cores: list[int]) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="freshwire-nginx-") as name:
        locations = nginx.caching(Path(name), upstream_port)
        with nginx.serving(Path(name), locations, cores=server_cores) as server:
            first_bytes(server.port, get("/proxied"), CACHED_BODY)
            yield server
