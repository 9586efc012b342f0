"""Row 19: exactly one `Host`, and one that is ours, so that no name of somebody else's (DNS rebinding) reaches us."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Target
from .wire import Peer, handshake, request

asked: list[str] = []


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    asked.append(dict(scope["headers"])[b"host"].decode())
    await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-groups", b'"t"')]})
    await send({"type": "http.response.body", "body": b"secret"})


@pytest.fixture(scope="module")
def shared(attack_all: Callable[..., Target]) -> Target:
    return attack_all(app)


@pytest.fixture
def target(shared: Target) -> Iterator[Target]:
    asked.clear()
    with shared.one_test():
        yield shared


FOREIGN = [
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil-localhost",
    "a.localhost",
    "127.0.0.2",
    "0.0.0.0",
    "2130706433",
    "127.1",
    "0x7f.0.0.1",
    "[::2]",
    "[::ffff:127.0.0.1]",
]

NO_HOSTS = {
    "none": "",
    "empty": "Host:",
    "two": "Host: localhost\r\nHost: localhost",
    "two different ones": "Host: localhost\r\nHost: evil.example",
    "a list": "Host: localhost, evil.example",
    "a scheme": "Host: http://localhost",
    "user information": "Host: localhost@evil.example",
    "a path": "Host: localhost/evil",
    "a space": "Host: localhost evil.example",
    "an empty port": "Host: localhost:",
    "a port that is none": "Host: localhost:80evil",
    "a port too high": "Host: localhost:65536",
    "another script": "Host: l\u043ecalhost",
    "an escape": "Host: localhos%74",
    "an empty label": "Host: localhost..",
    "a comma at the end": "Host: localhost,",
}


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("kind", ["plain", "watch", "websocket"])
def test_a_foreign_host_is_misdirected(kind: str, host: str, target: Target) -> None:
    host = host.format(port=target.address[1])
    sent = {
        "plain": request("/", host=host),
        "watch": request("/", "Accept: text/event-stream", host=host),
        "websocket": handshake("/", host=host, subprotocol="freshwire.v1"),
    }
    peer = target.connect()
    peer.send(sent[kind] + request("/"))
    answer = peer.response()
    assert (answer.status, answer["connection"]) == (421, "close")
    assert "allow_hosts" in answer.problem
    assert peer.rest() == b""
    assert not asked
    assert target.refused() == {"host": 1}


def test_a_page_whose_name_was_rebound_reads_nothing(target: Target) -> None:
    # Same origin as far as the browser knows: Origin and Host agree.
    lines = ["Origin: http://evil.example", "Cookie: session=1"]
    peer = target.connect()
    peer.send(handshake("/", *lines, host="evil.example", subprotocol="freshwire.v1"))
    assert peer.response().status == 421
    assert not asked


@pytest.mark.parametrize("lines", NO_HOSTS.values(), ids=NO_HOSTS)
def test_what_is_no_host_is_refused(lines: str, target: Target) -> None:
    peer = target.connect()
    peer.send(f"GET / HTTP/1.1\r\n{lines + chr(13) + chr(10) if lines else ''}\r\n".encode() + request("/"))
    answer = peer.response()
    assert (answer.status, answer["connection"]) == (400, "close")
    assert peer.rest() == b""
    assert not asked
    assert target.refused() == {"host": 1}


def test_the_target_and_the_host_name_one_host(target: Target) -> None:
    for authority, status in [("localhost", 200), ("evil.example", 400), ("localhost:81", 400)]:
        peer = target.connect()
        peer.send(f"GET http://{authority}/ HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert peer.response().status == status, authority


def test_a_host_of_an_old_version_is_held_to_the_same_list(target: Target) -> None:
    peer = target.connect()
    peer.send(b"GET / HTTP/1.0\r\nHost: evil.example\r\n\r\n")
    assert peer.response().status == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "127.0.0.1:9", "[::1]:9"])
def test_a_loopback_name_is_answered(host: str, target: Target) -> None:
    assert target.connect().get("/", host=host).body == b"secret"


def test_listed_hosts_are_answered_and_no_others(attack: Callable[..., Target]) -> None:
    target = attack(app, allow_hosts=["app.example", "*.shop.example"])
    for host, status in [
        ("app.example", 200),
        ("a.b.shop.example:8000", 200),
        ("shop.example", 421),
        ("evilshop.example", 421),
        ("app.example.evil", 421),
    ]:
        assert target.connect().get("/", host=host).status == status, host


def test_a_node_that_others_reach_does_not_start_without_a_list(tmp_path: Path) -> None:
    (tmp_path / "attacked.py").write_text("async def app(scope, receive, send): ...")
    command = [sys.executable, "-m", "freshwire", "serve", "attacked:app", "--admin-socket", "off"]
    ran = subprocess.run(
        [*command, "--host", "0.0.0.0", "--port", "0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 2
    assert "--allow-host" in ran.stderr


def test_one_host_is_not_shown_what_was_kept_for_another(attack: Callable[..., Target]) -> None:
    async def names_its_host(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = [(b"cache-control", b"public, max-age=60")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": dict(scope["headers"])[b"host"]})

    target = attack(names_its_host, allow_hosts=["*"])
    peer: Peer = target.connect()
    for host in ["a.example", "b.example", "a.example:81", "a.example"]:
        assert peer.get("/", host=host).body.decode() == host
