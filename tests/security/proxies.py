"""Proxies in front of a node: nginx, HAProxy and Varnish, each with connections to it that are used again, tunnels for
WebSockets, and a path that it lets nobody reach.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port

FORBIDDEN = "/internal"

NGINX = """
daemon off; worker_processes 1; error_log {place}/error.log; pid {place}/nginx.pid;
events {{}}
http {{
    access_log off; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
    upstream node {{ server 127.0.0.1:{origin}; keepalive 4; }}
    map $http_upgrade $connection_up {{ default upgrade; '' ''; }}
    server {{
        listen 127.0.0.1:{port};
        location {forbidden} {{ return 403; }}
        location / {{
            proxy_pass http://node; proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_up;
        }}
    }}
}}
"""

HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    timeout tunnel 20s
    http-reuse always
frontend public
    bind 127.0.0.1:{port}
    http-request deny if {{ path_beg {forbidden} }}
    default_backend node
backend node
    server one 127.0.0.1:{origin}
"""

# `pipe` connects both ends for good, whatever the node answers: what follows comes to it as it is.
VARNISH = """
vcl 4.1;
backend node {{ .host = "127.0.0.1"; .port = "{origin}"; }}
sub vcl_recv {{
    if (req.url ~ "^{forbidden}") {{ return (synth(403)); }}
    if (req.http.Upgrade) {{ return (pipe); }}
    return (pass);
}}
sub vcl_pipe {{
    set bereq.http.Upgrade = req.http.Upgrade;
    set bereq.http.Connection = req.http.Connection;
}}
"""


def _command(name: str, place: Path, port: int, origin: int) -> list[str]:
    config = place / f"{name}.conf"
    template = {"nginx": NGINX, "haproxy": HAPROXY, "varnish": VARNISH}[name]
    config.write_text(template.format(place=place, port=port, origin=origin, forbidden=FORBIDDEN))
    if name == "nginx":
        return [PROGRAMS[name], "-p", str(place), "-c", str(config)]
    if name == "haproxy":
        return [PROGRAMS[name], "-f", str(config)]
    return [
        *(PROGRAMS[name], "-F", "-n", str(place / "work"), "-f", str(config), "-s", "malloc,16m"),
        *("-a", f"127.0.0.1:{port}", "-p", "feature=-http2", "-j", "none"),
    ]


PROGRAMS = {
    "nginx": shutil.which("nginx") or "/usr/sbin/nginx",
    "haproxy": shutil.which("haproxy") or "/usr/sbin/haproxy",
    "varnish": shutil.which("varnishd") or "/usr/sbin/varnishd",
}


@contextmanager
def in_front(name: str, place: Path, origin: int) -> Iterator[tuple[str, int]]:
    """The address of a proxy in front of the node at port `origin`."""
    place.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with running(_command(name, place, port, origin), place, port) as address:
        yield address


@contextmanager
def running(command: list[str], place: Path, port: int) -> Iterator[tuple[str, int]]:
    """The address of a program that listens on a port, from when it does."""
    with (place / "said").open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, cwd=place)
    try:
        _until(lambda: _answers(port), process, place)
        yield "127.0.0.1", port
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _until(ready: Callable[[], bool], process: subprocess.Popen[bytes], place: Path) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        alive = process.poll() is None and time.monotonic() < deadline
        assert alive, (place / "said").read_text()
        time.sleep(0.05)
