"""The proxies of docs/behind with the very files of docs/behind; only lines that these mark as `yours` are adapted."""

import getpass
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_port
from tests.security.proxies import PROGRAMS, running

BEHIND = Path(__file__).parents[2] / "docs" / "behind"
FILES = {"nginx": "nginx.conf", "varnish": "varnish.vcl", "haproxy": "haproxy.cfg", "caddy": "Caddyfile"}
CACHES = ["nginx", "varnish"]
"""Those that hold copies, and so make one request to the node of many."""

NGINX = """
user {user}; daemon off; worker_processes 1; error_log {place}/error.log; pid {place}/nginx.pid;
events {{}}
http {{
    access_log off; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;
    include {place}/nginx.conf;
}}
"""
CADDY = """
{{
    admin off
    skip_install_trust
    auto_https disable_redirects
    storage file_system {place}/data
}}
import {place}/Caddyfile
"""
YOURS = re.compile(r"^.*# yours$", re.M)


def yours(name: str, place: Path, port: int, origin: int) -> Mapping[str, str]:
    """What an operator would write into the marked lines: from the text that is there to the text that should be."""
    return {
        "nginx": {
            "/var/cache/nginx/freshwire": f"{place}/cache",
            "127.0.0.1:8000": f"127.0.0.1:{origin}",
            "listen 80": f"listen 127.0.0.1:{port}",
            "example.org": "127.0.0.1",
        },
        "varnish": {
            '"127.0.0.1"': '"127.0.0.1"',
            '"8000"': f'"{origin}"',
            r"example\.org": r"127\.0\.0\.1",
        },
        "haproxy": {
            "bind :80": f"bind 127.0.0.1:{port}",
            "example.org": "127.0.0.1",
            "127.0.0.1:8000": f"127.0.0.1:{origin}",
        },
        "caddy": {
            "example.org": f"http://127.0.0.1:{port}",
            "127.0.0.1:8000": f"127.0.0.1:{origin}",
        },
    }[name]


def adapted(name: str, place: Path, port: int, origin: int) -> str:
    """The file of docs/behind for a proxy, with its marked lines changed. Each of them must be, and no other is."""
    chosen = yours(name, place, port, origin)
    used = set()

    def change(line: re.Match[str]) -> str:
        for there, wanted in chosen.items():
            if there in line[0]:
                used.add(there)
                return line[0].replace(there, wanted)
        raise AssertionError(f"{FILES[name]} marks a line that the tests do not know: {line[0]}")

    text = YOURS.sub(change, (BEHIND / FILES[name]).read_text())
    assert used == set(chosen), f"{FILES[name]} does not mark {set(chosen) - used}"
    return text


@contextmanager
def front(
    name: str, place: Path, origin: int, *, changes: Mapping[str, str] | None = None, port: int = 0
) -> Iterator[tuple[str, int]]:
    """The address of a proxy of docs/behind in front of the node at a port.

    changes: texts of its file, and what stands in their place: for a configuration that is wrong on purpose.
    port: where it listens; 0: on a free one.
    """
    place.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    text = adapted(name, place, port, origin)
    for there, wanted in (changes or {}).items():
        assert there in text, f"{FILES[name]} does not have {there!r}"
        text = text.replace(there, wanted)
    (place / FILES[name]).write_text(text)
    with running(_command(name, place, port), place, port) as address:
        yield address


def _command(name: str, place: Path, port: int) -> list[str]:
    file = place / FILES[name]
    match name:
        case "nginx":
            (place / "main.conf").write_text(NGINX.format(place=place, user=getpass.getuser()))
            return [PROGRAMS[name], "-p", str(place), "-c", str(place / "main.conf")]
        case "haproxy":
            return [PROGRAMS[name], "-f", str(file)]
        case "varnish":
            return [
                *(PROGRAMS[name], "-F", "-n", str(place / "work"), "-f", str(file), "-s", "malloc,16m"),
                *("-a", f"127.0.0.1:{port}", "-j", "none"),
            ]
        case _:
            (place / "main").write_text(CADDY.format(place=place))
            caddy = shutil.which("caddy") or "/usr/bin/caddy"
            return [caddy, "run", "--adapter", "caddyfile", "--config", str(place / "main")]
