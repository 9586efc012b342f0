"""The command `freshwire doctor`: what it says of what is no node, and how it ends."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from freshwire.testing import LiveNode, node

from tests.python.command import Cli
from tests.python.conftest import cli  # noqa: F401 - a fixture
from tests.security.proxies import free_port

from . import site
from .fronts import front

QUICK = ("--idle-s", "0.5", "--waits", "3")


@pytest.fixture(scope="module")
def live() -> Iterator[LiveNode]:
    with node(site.app, trusted_proxies=["127.0.0.1"], watch_cycle_s=1.0) as live:
        yield live


@contextmanager
def http_server(status: int, **headers: str) -> Iterator[str]:
    """Something that speaks HTTP and is no node."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def problems(said: str) -> list[str]:
    report = json.loads(said)
    return [finding["problem"] for check in report["checks"] for finding in check["findings"]]


def test_what_is_no_node_is_said_to_be_none(cli: Cli) -> None:  # noqa: F811
    with http_server(200) as url:
        ended = cli("doctor", url, "--json")
    assert (ended.returncode, problems(ended.stdout), ended.stderr) == (1, ["not-freshwire"], "")


def test_a_redirect_is_not_followed(cli: Cli) -> None:  # noqa: F811
    with http_server(308, Location="https://example.org/") as url:
        ended = cli("doctor", url)
    assert ended.returncode == 1
    assert "redirect: 308 to https://example.org/" in ended.stdout
    assert "give the URL that it leads to" in ended.stdout


def test_nothing_there_is_said(cli: Cli) -> None:  # noqa: F811
    ended = cli("doctor", f"http://127.0.0.1:{free_port()}/")
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "unreachable" in ended.stdout


def test_an_error_of_the_resource_is_said(cli: Cli, live: LiveNode) -> None:  # noqa: F811
    ended = cli("doctor", f"{live.url}/nothing", "--json")
    assert (ended.returncode, problems(ended.stdout)) == (1, ["bad-status"])


def test_a_certificate_must_be_good(
    cli: Cli,  # noqa: F811
    live: LiveNode,
    tmp_path: Path,
) -> None:
    origin = int(live.url.rpartition(":")[2])
    tls = {"http://127.0.0.1": "https://127.0.0.1", "\treverse_proxy": "\ttls internal\n\treverse_proxy"}
    with front("caddy", tmp_path, origin, changes=tls) as (host, port):
        url = f"https://{host}:{port}/scores/x"
        unknown = cli("doctor", url, "--json")
        plain = cli("doctor", live.url.replace("http", "https"), "--json")
        known = cli(
            *("doctor", url, "--json", *QUICK),
            SSL_CERT_FILE=str(tmp_path / "data/pki/authorities/local/root.crt"),
        )
    assert (unknown.returncode, problems(unknown.stdout)) == (1, ["tls"])
    assert (plain.returncode, problems(plain.stdout)) == (1, ["tls"])
    assert known.returncode == 0, known.stdout
    assert json.loads(known.stdout)["in_front"] == ["Caddy"]


def test_a_change_is_made_as_it_is_told(cli: Cli, live: LiveNode) -> None:  # noqa: F811
    url = f"{live.url}/scores/told"
    for how in (("--change", f"curl -sf -X POST {url}/goal"), ("--change-url", "/scores/told/goal")):
        ended = cli("doctor", url, *how, *QUICK)
        assert ended.returncode == 0, ended.stdout
        assert "ok          change: told after" in ended.stdout
    asked = cli("doctor", url, "--admin-socket", str(live.admin_socket), *QUICK)
    assert "3 waits on one URL were 3 requests at the node, as the node counts" in asked.stdout


def test_without_a_change_that_is_said_and_credentials_go_along(cli: Cli, live: LiveNode) -> None:  # noqa: F811
    ended = cli("doctor", f"{live.url}/me", "-H", "Cookie: user=ann", *QUICK)
    assert ended.returncode == 0, ended.stdout
    said = " ".join(ended.stdout.split())
    assert "not checked change: nothing changed in 0 s (--change-url, --change or --admin-socket" in said


def test_a_change_to_something_else_is_no_finding(cli: Cli, live: LiveNode) -> None:  # noqa: F811
    ended = cli("doctor", f"{live.url}/scores/mine", "--change-url", "/scores/other/goal", *QUICK)
    assert ended.returncode == 0
    assert "not checked change: what was done did not change this resource" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "is not an HTTP URL"),
        (["{url}", "--change", "false"], "ended with exit code 1"),
        (["{url}", "--change-url", "/nothing"], "was answered with 404"),
        (["{url}", "--change-url", "/a", "--change", "b"], "two ways to do one thing"),
        (["{url}", "--admin-socket", "/nonexistent"], "no node's figures are there"),
        (["{url}", "-H", "nonsense"], "write 'Name: value'"),
    ],
)
def test_wrong_usage_is_said(
    arguments: list[str],
    said: str,
    cli: Cli,  # noqa: F811
    live: LiveNode,
) -> None:
    ended = cli("doctor", *(argument.format(url=f"{live.url}/scores/u") for argument in arguments), *QUICK)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
