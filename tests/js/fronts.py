"""Caches and proxies in front of a node, with hardly a line of configuration: what the client has to cope with, rather
than what is recommended.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port
from tests.security.proxies import PROGRAMS
from tests.waiting import block_until

NGINX = """
{user} daemon off; worker_processes 1; error_log {place}/error.log; pid {place}/nginx.pid;
events {{}}
http {{
    log_format short '$request_method $request_uri $status $upstream_cache_status';
    access_log {place}/access.log short;
    client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
    proxy_cache_path {place}/cache keys_zone=cache:1m;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{origin}; proxy_http_version 1.1;
            proxy_set_header Host $http_host; proxy_set_header Connection {connection};
            {more}
        }}
    }}
}}
"""
# Nothing of a stream gets through before it ends, or has filled the buffer of the compression.
BUFFERING = (
    "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;"
    " gzip on; gzip_proxied any; gzip_types text/event-stream;"
)
# A lock that lasts longer than a wait, so that one request of many goes through.
CACHING = "proxy_cache cache; proxy_cache_lock on; proxy_cache_lock_timeout 60s; proxy_cache_lock_age 60s;"
# With `$http_connection`: a tunnel for WebSockets.
UPGRADING = "proxy_set_header Upgrade $http_upgrade;"
# Nobody learns where to wait.
LINKLESS = "proxy_hide_header Link;"
VARNISH = 'vcl 4.1; backend node {{ .host = "127.0.0.1"; .port = "{origin}"; }}'


@contextmanager
def nginx(place: Path, origin: int, more: str, connection: str = '""') -> Iterator[str]:
    """Its address. connection: what it says in `Connection`; with `$http_connection`, WebSockets get through."""
    port = free_port()
    config = place / "nginx.conf"
    # Whoever runs the tests owns the cache.
    user = "user root;" if os.getuid() == 0 else ""
    config.write_text(
        NGINX.format(user=user, place=place, port=port, origin=origin, more=more, connection=connection)
    )
    with _running([PROGRAMS["nginx"], "-p", str(place), "-c", str(config)], place, port) as url:
        yield url


@contextmanager
def varnish(place: Path, origin: int) -> Iterator[str]:
    """Its address."""
    port = free_port()
    config = place / "default.vcl"
    config.write_text(VARNISH.format(origin=origin))
    command = [
        *(PROGRAMS["varnish"], "-F", "-n", str(place / "work"), "-f", str(config), "-s", "malloc,16m"),
        *("-a", f"127.0.0.1:{port}", "-j", "none"),
    ]
    with _running(command, place, port) as url:
        yield url


@contextmanager
def _running(command: list[str], place: Path, port: int) -> Iterator[str]:
    with (place / "said").open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, cwd=place)

    def answers() -> bool:
        assert process.poll() is None, (place / "said").read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    try:
        block_until(answers)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def reload_nginx(place: Path) -> None:
    """Let it take its changed configuration, and end every connection of the old one."""
    config = ["-p", str(place), "-c", str(place / "nginx.conf")]
    subprocess.run([PROGRAMS["nginx"], *config, "-s", "reload"], check=True)
