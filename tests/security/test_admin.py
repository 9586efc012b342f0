"""Rows 28 and 33: changes and figures are for who may open the node's Unix socket, and for nobody over TCP; what
is said there is held to limits too.
"""

import json
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from freshwire.asgi.server import Listener, Server

from .conftest import Target, TargetProcess
from .wire import Peer, Response, handshake, request

SOURCE = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-groups", b'"t"')]})
        await send({"type": "http.response.body", "body": b"the application"})
"""
namespace: dict[str, Any] = {}
exec(SOURCE, namespace)
app = namespace["app"]


@pytest.fixture(scope="module")
def shared(attack_all: Callable[..., Target]) -> Target:
    return attack_all(app)


def post(peer: Peer, target: str, body: bytes) -> Response:
    peer.send(request(target, method="POST", body=body))
    return peer.response("POST")


def test_the_socket_is_for_its_user_alone(
    attack_process: Callable[..., TargetProcess], tmp_path: Path
) -> None:
    attack_process(SOURCE)
    mode = (tmp_path / "admin.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_the_default_socket_is_in_a_directory_of_its_user_alone(tmp_path: Path) -> None:
    (tmp_path / "attacked.py").write_text(SOURCE)
    with tempfile.TemporaryDirectory(prefix="fw") as runtime:
        process = subprocess.Popen(
            [sys.executable, "-m", "freshwire", "serve", "attacked:app", "--port", "0"],
            cwd=tmp_path,
            env={"PATH": "/usr/bin", "XDG_RUNTIME_DIR": runtime},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            assert "admin socket" in process.stdout.readline()
            (path,) = (Path(runtime) / "freshwire").iterdir()
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("address", ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "localhost:0", ":0"])
def test_no_admin_listener_opens_on_tcp(address: str, tmp_path: Path) -> None:
    (tmp_path / "attacked.py").write_text(SOURCE)
    command = [
        sys.executable,
        "-m",
        "freshwire",
        "serve",
        "attacked:app",
        "--port",
        "0",
        "--admin-socket",
        address,
    ]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2
    assert "TCP" in ran.stderr


def test_no_admin_listener_opens_on_an_inherited_tcp_socket(tmp_path: Path) -> None:
    (tmp_path / "attacked.py").write_text(SOURCE)
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        number = inherited.fileno()
        command = [sys.executable, "-m", "freshwire", "serve", "attacked:app", "--port", "0"]
        ran = subprocess.run(
            [*command, "--admin-socket", f"fd://{number}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            pass_fds=[number],
        )
    assert ran.returncode == 2
    assert "Unix socket" in ran.stderr


def test_the_engine_itself_refuses_an_admin_listener_on_tcp() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        pytest.raises(ValueError, match="must be a Unix socket"),
    ):
        Server(app, {}, [Listener(listening, "admin")])


@pytest.mark.parametrize(
    "path", ["/stats", "/metrics", "/position", "/changes", "/.fresh/changes", "/.fresh/metrics"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_the_operators_is_not_on_the_public_listener(method: str, path: str, target: Target) -> None:
    before = target.stats()["changes"]
    peer = target.connect()
    body = json.dumps({"tags": ["t"]}).encode()
    peer.send(request(path, method=method, body=body if method == "POST" else None))
    answer = peer.response()
    if path.startswith("/.fresh/"):
        assert answer.status == 404
    else:
        assert answer.body == b"the application"
    # An unsafe request that succeeds changes its own resource, and no tag that a client names.
    named_by_the_request = 1 if method == "POST" and answer.status == 200 else 0
    assert target.stats()["changes"] - before == named_by_the_request


@pytest.mark.parametrize(
    "spelling", ["/.fresh/stats", "/%2efresh/stats", "/x/../.fresh/stats", "/./.fresh/stats"]
)
def test_figures_are_public_only_if_that_was_said(
    spelling: str, target: Target, attack: Callable[..., Target]
) -> None:
    assert target.connect().get(spelling).status == 404
    assert target.connect().get("/.fresh/stats", "Accept: text/event-stream").status == 404


def test_public_figures_are_only_figures(attack: Callable[..., Target]) -> None:
    target = attack(app, public_stats=True)
    assert "refusals" in json.loads(target.connect().get("/.fresh/stats").body)
    assert post(target.connect(), "/.fresh/changes", b'{"tags": ["t"]}').status == 404
    assert post(target.connect(), "/.fresh/stats", b'{"tags": ["t"]}').status in (404, 405)


@pytest.mark.parametrize(
    "line", ['Cache-Group-Invalidation: "t"', 'Cache-Groups: "t"', "Fresh-Tags: t", "X-Tags: t"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_client_names_no_tag(method: str, line: str, target: Target) -> None:
    watcher = target.connect()
    watcher.send(request("/watched", "Accept: text/event-stream"))
    watcher.stream()
    watcher.event()
    rereads = target.stats()["rereads"]
    assert target.connect().get("/other", line, "Content-Length: 0", method=method).status == 200
    assert target.stats()["rereads"] == rereads


def test_the_application_is_not_on_the_admin_listener(target: Target) -> None:
    for path in ("/", "/public", "/.fresh/stats"):
        assert target.admin().get(path).status == 404
    peer = target.admin()
    peer.send(handshake("/"))
    assert peer.response().status in (403, 404)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("DELETE", "/changes", 405),
        ("GET", "/changes", 405),
        ("POST", "/stats", 405),
        ("HEAD", "/metrics", 405),
    ],
)
def test_a_wrong_method_does_nothing(method: str, path: str, status: int, target: Target) -> None:
    before = target.stats()["changes"]
    peer = target.admin()
    assert peer.get(path, method=method).status == status
    assert peer.get("/position").status == 200, "and the connection is in step"
    assert target.stats()["changes"] == before


NONSENSE = {
    "nothing": b"",
    "no JSON": b"{",
    "not UTF-8": b'{"tags": ["\xff"]}',
    "a list": b"[]",
    "no tags": b"{}",
    "empty tags": b'{"tags": []}',
    "tags that are no list": b'{"tags": "t"}',
    "a tag that is a number": b'{"tags": [7]}',
    "another key": b'{"tags": ["t"], "evil": 1}',
    "a key twice": b'{"tags": ["t"], "tags": ["u"]}',
    "deep lists": b'{"tags": ' + b"[" * 100_000,
    "deep objects": b'{"tags": ' + b'{"a":' * 100_000,
    "deeper than 64": b'{"tags": [' + b"[" * 70 + b"]" * 70 + b"]}",
    "deep and closed": b'{"tags": ' + b"[" * 200 + b"]" * 200 + b"}",
    "a huge number": b'{"tags": [' + b"9" * 500_000 + b"]}",
    "a huge exponent": b'{"tags": [1e999999999]}',
    "a long tag": json.dumps({"tags": ["x" * 256]}).encode(),
    "many tags": json.dumps({"tags": [str(n) for n in range(129)]}).encode(),
    "a control byte": b'{"tags": ["\\u0000"]}',
    "half a surrogate": b'{"tags": ["\\ud800"]}',
    "something behind it": b'{"tags": ["t"]} {"tags": ["t"]}',
}


@pytest.mark.parametrize("body", NONSENSE.values(), ids=NONSENSE)
def test_a_change_that_is_none_is_refused(body: bytes, target: Target) -> None:
    before = target.stats()["changes"]
    answer = post(target.admin(), "/changes", body)
    assert answer.status == 422
    assert answer.problem
    assert target.refused() == {"bad_change": 1}
    assert target.stats()["changes"] == before


def test_a_change_that_is_too_large_is_refused(target: Target) -> None:
    peer = target.admin()
    peer.send(request("/changes", f"Content-Length: {2**20 + 1}", method="POST"))
    assert peer.response().status == 413
    assert target.refused() == {"body_too_large": 1}
