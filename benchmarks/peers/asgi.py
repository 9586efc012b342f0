"""uvicorn, granian and hypercorn, each with one worker, uvloop and the application of this benchmark."""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Sequence

from benchmarks.peers import Peer, needs_modules
from benchmarks.processes import APPLICATION, Server, get, listening
from benchmarks.station import Station, told
from tests.ports import free_port


def uvicorn(*, cores: Sequence[int] = ()) -> Server:
    """uvicorn as its documentation has it for speed."""
    port = free_port()
    options = ["--no-access-log", "--log-level", "warning", "--http", "httptools", "--loop", "uvloop"]
    return _python("uvicorn", [APPLICATION, "--port", str(port), *options], port, cores)


def granian(*, cores: Sequence[int] = ()) -> Server:
    port = free_port()
    options = ["--no-access-log", "--log-level", "warning", "--loop", "uvloop"]
    return _python(
        "granian", ["--interface", "asgi", "--port", str(port), *options, APPLICATION], port, cores
    )


def hypercorn(*, cores: Sequence[int] = ()) -> Server:
    port = free_port()
    options = ["--log-level", "warning", "--worker-class", "uvloop", "--backlog", "2048"]
    return _python("hypercorn", ["--bind", f"127.0.0.1:{port}", *options, APPLICATION], port, cores)


SERVERS: dict[str, Callable[..., Server]] = {"uvicorn": uvicorn, "granian": granian, "hypercorn": hypercorn}
MISSING = {
    "uvicorn": needs_modules("uvicorn", "httptools", "uvloop"),
    "granian": needs_modules("granian", "uvloop"),
    "hypercorn": needs_modules("hypercorn", "uvloop"),
}


@contextlib.contextmanager
def _station(name: str) -> Iterator[Station]:
    with SERVERS[name]() as server:
        yield Station(server, {"sse": get("/stream")}, functools.partial(told, server.port, "/broadcast"))


def _python(module: str, words: Sequence[str], port: int, cores: Sequence[int]) -> Server:
    return listening(module, [sys.executable, "-m", module, *words], port, cores)


PEERS = tuple(Peer(name, ("sse",), MISSING[name], functools.partial(_station, name)) for name in SERVERS)
