"""The command `freshwire doctor`: what it says of what is no node, and how it ends."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from freshwire.testing import node

from tests.ports import free_port

from . import site
from .fronts import front

QUICK = ("--idle-s", "0.5", "--waits", "3")
SIDE_BY_SIDE = 8
WRONG_USAGE = [
    (("nonsense",), "is not an HTTP URL"),
    (("{url}", "--change", "false"), "ended with exit code 1"),
    (("{url}", "--change-url", "/nothing"), "was answered with 404"),
    (("{url}", "--change-url", "/a", "--change", "b"), "two ways to do one thing"),
    (("{url}", "--admin-socket", "/nonexistent"), "no node's figures are there"),
    (("{url}", "-H", "nonsense"), "write 'Name: value'"),
]
RUNS: dict[str, tuple[str, ...]] = {
    "no node": ("{stranger}", "--json"),
    "a redirect": ("{redirect}",),
    "nothing": ("{nobody}",),
    "an error": ("{node}/nothing", "--json"),
    "a certificate of nobody's": ("{tls}/scores/x", "--json"),
    "no TLS": ("{plain}", "--json"),
    "a certificate": ("{tls}/scores/x", "--json", *QUICK),
    "a command": ("{node}/scores/c", "--change", "curl -sf -X POST {node}/scores/c/goal", *QUICK),
    "a URL": ("{node}/scores/u", "--change-url", "/scores/u/goal", *QUICK),
    "figures": ("{node}/scores/f", "--admin-socket", "{admin}", *QUICK),
    "credentials": ("{node}/me", "-H", "Cookie: user=ann", *QUICK),
    "something else": ("{node}/scores/mine", "--change-url", "/scores/other/goal", *QUICK),
} | {said: (*arguments, *QUICK) for arguments, said in WRONG_USAGE}

Ended = subprocess.CompletedProcess[str]


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


def doctor(arguments: list[str], **environment: str) -> Ended:
    return subprocess.run(
        [sys.executable, "-m", "freshwire", "doctor", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "NO_COLOR": "1", **environment},
        check=False,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Ended]]]:
    """All runs of the command, side by side, as they mostly wait."""
    place = tmp_path_factory.mktemp("front")
    tls = {"http://127.0.0.1": "https://127.0.0.1", "\treverse_proxy": "\ttls internal\n\treverse_proxy"}
    root = {"SSL_CERT_FILE": str(place / "data/pki/authorities/local/root.crt")}
    with ExitStack() as stack:
        live = stack.enter_context(node(site.app, trusted_proxies=["127.0.0.1"], watch_cycle_s=2.0))
        host, port = stack.enter_context(front("caddy", place, int(live.url.rpartition(":")[2]), changes=tls))
        names = {
            "node": live.url,
            "url": f"{live.url}/scores/w",
            "admin": str(live.admin_socket),
            "plain": live.url.replace("http", "https"),
            "tls": f"https://{host}:{port}",
            "nobody": f"http://127.0.0.1:{free_port()}/",
            "stranger": stack.enter_context(http_server(200)),
            "redirect": stack.enter_context(http_server(308, Location="https://example.org/")),
        }
        pool = stack.enter_context(ThreadPoolExecutor(SIDE_BY_SIDE))
        yield {
            name: pool.submit(
                doctor,
                [argument.format(**names) for argument in arguments],
                **(root if name == "a certificate" else {}),
            )
            for name, arguments in RUNS.items()
        }


Runs = dict[str, "Future[Ended]"]


def problems(ended: Ended) -> list[str]:
    report = json.loads(ended.stdout)
    return [finding["problem"] for check in report["checks"] for finding in check["findings"]]


@pytest.mark.parametrize(
    ("run", "problem"),
    [
        ("no node", "not-freshwire"),
        ("an error", "bad-status"),
        ("a certificate of nobody's", "tls"),
        ("no TLS", "tls"),
    ],
)
def test_what_cannot_be_looked_at_is_said(run: str, problem: str, runs: Runs) -> None:
    ended = runs[run].result(100)
    assert (ended.returncode, problems(ended), ended.stderr) == (1, [problem], "")


def test_a_redirect_is_not_followed(runs: Runs) -> None:
    ended = runs["a redirect"].result(100)
    assert ended.returncode == 1
    assert "redirect: 308 to https://example.org/" in ended.stdout
    assert "give the URL that it leads to" in ended.stdout


def test_nothing_there_is_said(runs: Runs) -> None:
    ended = runs["nothing"].result(100)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "error unreachable" in ended.stdout


def test_it_looks_through_tls(runs: Runs) -> None:
    ended = runs["a certificate"].result(100)
    assert ended.returncode == 0, ended.stdout
    assert json.loads(ended.stdout)["in_front"] == ["Caddy"]


@pytest.mark.parametrize("run", ["a command", "a URL"])
def test_a_change_is_made_as_it_is_told(run: str, runs: Runs) -> None:
    ended = runs[run].result(100)
    assert ended.returncode == 0, ended.stdout
    assert "ok          change: told after" in ended.stdout


def test_the_node_is_asked_for_its_figures(runs: Runs) -> None:
    ended = runs["figures"].result(100)
    assert ended.returncode == 0, ended.stdout
    assert "at the node, as the node counts" in ended.stdout


def test_without_a_change_that_is_said_and_credentials_go_along(runs: Runs) -> None:
    ended = runs["credentials"].result(100)
    assert ended.returncode == 0, ended.stdout
    said = " ".join(ended.stdout.split())
    assert "not checked change: nothing changed in 0 s (--change-url, --change or --admin-socket" in said


def test_a_change_to_something_else_is_no_finding(runs: Runs) -> None:
    ended = runs["something else"].result(100)
    assert ended.returncode == 0, ended.stdout
    assert "not checked change: what was done did not change this resource" in ended.stdout


@pytest.mark.parametrize("said", [said for _, said in WRONG_USAGE])
def test_wrong_usage_is_said(said: str, runs: Runs) -> None:
    ended = runs[said].result(100)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
