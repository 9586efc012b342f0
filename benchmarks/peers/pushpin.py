"""Pushpin: it asks an origin (nginx here), which says to hold the request, and is published to over its HTTP API."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers import Peer, needs_programs, nginx, program
from benchmarks.peers.publisher import Publisher
from benchmarks.processes import PATIENCE_S, BenchmarkError, Server, first_bytes, get
from benchmarks.station import Station
from tests.ports import free_port

SHARED = Path("/usr/lib/pushpin")
"""Where Debian has the settings that every Pushpin includes."""

ENOUGH = 20
"""Answers after which it can be taken for ready."""


@contextlib.contextmanager
def _station() -> Iterator[Station]:
    port, publish_port = free_port(), free_port()
    with (
        tempfile.TemporaryDirectory(prefix="freshwire-pushpin-") as name,
        nginx.nginx(nginx.holding()) as origin,
    ):
        directory = Path(name)
        (directory / "routes").write_text(f"* 127.0.0.1:{origin.port}\n")
        (directory / "pushpin.conf").write_text(configuration(directory, port, publish_port))
        words = [program("pushpin") or "pushpin", "--config", f"{name}/pushpin.conf", "--merge-output"]
        with Server("pushpin", words) as server:
            server.port = port
            server.wait_for_port(port)
            server.wait_for_port(publish_port)
            request = get("/held", "Accept: text/event-stream")
            _wait_for_answers(port, request)
            push = Publisher(publish_port, "/publish/", wrapped).push
            yield Station(server, {"sse": request}, push, window=4, enough=0.9)


def _wait_for_answers(port: int, request: bytes) -> None:
    """Its processes find each other after the first of them listens; what comes before is lost."""
    deadline = time.monotonic() + PATIENCE_S
    answered = 0
    while answered < ENOUGH and time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError, BenchmarkError):
            first_bytes(port, request, b'"at":', patience_s=1.0)
            answered += 1


def configuration(directory: Path, port: int, publish_port: int) -> str:
    """Its settings: everything in a folder of its own, and no limit on messages below what is offered."""
    return f"""
[global]
include={SHARED}/internal.conf
rundir={directory}
ipc_prefix=bench-
port_offset=0
[runner]
services=condure,zurl,pushpin-proxy,pushpin-handler
http_port=127.0.0.1:{port}
logdir={directory}
log_level=1
client_buffer_size=8192
client_maxconn=16000
[proxy]
routesfile={directory}/routes
zurl_out_specs=ipc://{directory}/bench-zurl-in
zurl_out_stream_specs=ipc://{directory}/bench-zurl-in-stream
zurl_in_specs=ipc://{directory}/bench-zurl-out
[handler]
push_in_spec=ipc://{directory}/push-in
push_in_sub_specs=ipc://{directory}/push-in-sub
push_in_http_addr=127.0.0.1
push_in_http_port={publish_port}
command_spec=ipc://{directory}/command
message_rate=10000000
message_hwm=10000000
"""


def wrapped(state: bytes) -> bytes:
    """A message of the channel, which goes out as an event."""
    content = f"data: {state.decode()}\n\n"
    item = {"channel": "state", "formats": {"http-stream": {"content": content}}}
    return json.dumps({"items": [item]}).encode()


PEER = Peer("pushpin", ("sse",), needs_programs("pushpin", "condure", "nginx"), _station)
