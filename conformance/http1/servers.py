"""The servers of the table, each with the same application, on free ports of 127.0.0.1, as their packages have them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from conformance.http1 import fronts
from conformance.http1.starter import Server, Starter, first_line_of, version_of
from tests.ports import free_port

APPLICATION = "conformance.http1.application:app"


@contextmanager
def start(name: str) -> Iterator[Server]:
    """Run the server of this name; one that is a URL runs already. Raises MissingError."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="conformance-")))
        if name in SERVERS:
            yield SERVERS[name](Starter(stack, directory, name))
        else:
            url = urlsplit(name)
            yield Server(name, (url.hostname or "", url.port or 80), directory / "none", is_foreign=True)


def node_command(port: int, *options: str) -> list[str]:
    """`freshwire serve` with the application."""
    words = ["freshwire", "serve", APPLICATION, "--port", str(port), "--admin-socket", "off"]
    return [*words, "--max-connections-per-address", "0", *options]


def freshwire(start: Starter) -> Server:
    port = free_port()
    start.python(port, *node_command(port))
    return start.server(port, version_of("freshwire"), is_cache=True)


def uvicorn(start: Starter, http: str) -> Server:
    port = free_port()
    start.python(port, "uvicorn", APPLICATION, "--port", str(port), "--http", http, "--log-level", "critical")
    return start.server(port, version_of("uvicorn", http))


def granian(start: Starter) -> Server:
    port = free_port()
    start.python(port, "granian", "--interface", "asgi", "--port", str(port), "--no-log", APPLICATION)
    return start.server(port, version_of("granian"))


def hypercorn(start: Starter) -> Server:
    port = free_port()
    start.python(port, "hypercorn", "--bind", f"127.0.0.1:{port}", "--log-level", "CRITICAL", APPLICATION)
    return start.server(port, version_of("hypercorn", "h11"))


def nodejs(start: Starter) -> Server:
    port = free_port()
    start.run(["node", str(Path(__file__).with_name("node.js")), str(port)], port)
    return start.server(port, f"node {first_line_of('node', '--version')}")


def nginx(start: Starter) -> Server:
    """nginx before uvicorn, since it has no application of its own: what uvicorn gets is what nginx made of it."""
    port = fronts.nginx(start, uvicorn(start, "httptools").address[1])
    return start.server(port, first_line_of("nginx", "-v").removeprefix("nginx version: "))


def varnish(start: Starter) -> Server:
    """Varnish before uvicorn, for what a cache does."""
    port = fronts.varnish(start, uvicorn(start, "httptools").address[1], cache=True)
    version = re.search(r"varnish-[0-9.]+", first_line_of("varnishd", "-V"))
    return start.server(port, version[0] if version else "", is_cache=True)


SERVERS: dict[str, Callable[[Starter], Server]] = {
    "freshwire": freshwire,
    "uvicorn-h11": lambda start: uvicorn(start, "h11"),
    "uvicorn-httptools": lambda start: uvicorn(start, "httptools"),
    "granian": granian,
    "hypercorn": hypercorn,
    "nginx": nginx,
    "varnish": varnish,
    "node": nodejs,
}
