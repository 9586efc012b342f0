"""nginx: a file, its proxy cache, and nchan, the publish-subscribe module that Debian builds for it. One worker."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.application import CACHED_BODY, body_of
from benchmarks.peers import Peer, needs_programs, program
from benchmarks.peers.publisher import Publisher
from benchmarks.processes import Server, get, websocket
from benchmarks.station import Station
from tests.ports import free_port

NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
MISSING = needs_programs("nginx")


def caching(directory: Path, upstream_port: int) -> str:
    """A file of 200 B, and the cache of what a server answers."""
    (directory / "file").write_bytes(CACHED_BODY)
    return f"""
        location /file {{ }}
        location /proxied {{
            proxy_pass http://127.0.0.1:{upstream_port}/cached; proxy_cache all; proxy_cache_valid 200 1h;
        }}"""


def holding() -> str:
    """The origin that Pushpin asks: it has the request held open, and subscribed to a channel."""
    return f"""
        location /held {{
            default_type text/event-stream;
            add_header Grip-Hold stream; add_header Grip-Channel state;
            return 200 'data: {body_of(0).decode()}\n\n';
        }}"""


NCHAN = """
        location /publish { nchan_publisher http; nchan_channel_id state; nchan_message_buffer_length 1; }
        location /subscribe {
            nchan_subscriber eventsource websocket; nchan_channel_id state; nchan_subscriber_first_message oldest;
        }"""


@contextlib.contextmanager
def nginx(locations: str, *, cores: Sequence[int] = (), modules: Sequence[Path] = ()) -> Iterator[Server]:
    """nginx with these locations, in a directory of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="freshwire-nginx-") as name,
        serving(Path(name), locations, cores=cores, modules=modules) as server,
    ):
        yield server


@contextlib.contextmanager
def serving(
    directory: Path, locations: str, *, cores: Sequence[int] = (), modules: Sequence[Path] = ()
) -> Iterator[Server]:
    """The same with a directory that the caller has filled."""
    port = free_port()
    directory.chmod(0o755)
    (directory / "nginx.conf").write_text(_configuration(directory, port, locations, modules))
    words = [program("nginx") or "nginx", "-p", str(directory), "-c", f"{directory}/nginx.conf"]
    with Server("nginx", [*words, "-e", f"{directory}/error.log"], cores=cores) as server:
        server.port = port
        server.wait_for_port(port)
        yield server


def _configuration(directory: Path, port: int, locations: str, modules: Sequence[Path]) -> str:
    user = "user root;" if os.getuid() == 0 else ""
    load = " ".join(f"load_module {path};" for path in modules)
    return f"""
{load} {user} daemon off; worker_processes 1; pid {directory}/pid; error_log {directory}/error.log error;
worker_rlimit_nofile 20000;
events {{ worker_connections 19900; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;
    open_file_cache max=100; default_type text/plain; root {directory};
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    proxy_cache_path {directory}/cache keys_zone=all:1m;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        {locations}
    }}
}}
"""


@contextlib.contextmanager
def _station() -> Iterator[Station]:
    with nginx(NCHAN, modules=[NCHAN_MODULE]) as server:
        publisher = Publisher(server.port, "/publish")
        publisher.push(1000, 0.001)  # what a new subscriber gets
        requests = {
            "sse": get("/subscribe", "Accept: text/event-stream"),
            "websocket": websocket("/subscribe"),
        }
        yield Station(server, requests, publisher.push)


def _no_nchan() -> str:
    if why := MISSING():
        return why
    return "" if NCHAN_MODULE.exists() else "the module nchan of nginx: not installed (tools/setup peers)"


PEER = Peer("nchan", ("sse", "websocket"), _no_nchan, _station)
