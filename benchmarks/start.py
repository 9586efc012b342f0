"""From the start of the process to the first answer, less what importing the application takes, in turns."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from benchmarks.application import HELLO_BODY
from benchmarks.figure import Figure, Result
from benchmarks.peers import asgi
from benchmarks.processes import ROOT, BenchmarkError, Server, first_bytes, freshwire, get
from benchmarks.sizes import Sizes

BUDGET_MS = 100.0
IMPORT = "import benchmarks.application; print(flush=True)"


def figures(sizes: Sizes, progress: Callable[[str], None]) -> Iterator[Result]:
    """The node beside uvicorn."""
    servers: dict[str, Callable[[], Server]] = {"freshwire": freshwire}
    if not asgi.MISSING["uvicorn"]():
        servers["uvicorn"] = asgi.uvicorn
    times: dict[str, list[float]] = {name: [] for name in servers}
    imports = []
    importing_ms()  # compiles what is not compiled yet
    for number in range(2 * sizes.rounds):
        progress(f"start: round {number + 1} of {2 * sizes.rounds}")
        imports.append(importing_ms())
        for name, start in servers.items():
            times[name].append(answering_ms(start))
    importing = statistics.median(imports)
    note = f"importing the application takes {importing:.0f} ms"
    for name, values in times.items():
        beyond = [total - needed for total, needed in zip(values, imports, strict=True)]
        spread = (min(beyond), max(beyond))
        budget = BUDGET_MS if name == "freshwire" else None
        what = "start to the first answer, beyond importing the application"
        yield Figure(
            what, statistics.median(beyond), "ms", spread=spread, budget=budget, note=note, subject=name
        )


def importing_ms() -> float:
    """How long a Python takes that only imports the application."""
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", IMPORT], cwd=ROOT, stdout=subprocess.PIPE) as python:
        assert python.stdout is not None
        if not python.stdout.readline():
            raise BenchmarkError("the application cannot be imported")
        return (time.perf_counter() - start) * 1000


def answering_ms(start: Callable[[], Server]) -> float:
    """How long a server takes until it has answered."""
    began = time.perf_counter()
    with start() as server:
        first_bytes(server.port, get("/hello"), HELLO_BODY)
        return (time.perf_counter() - began) * 1000
