"""curl, and requests as only a hand writes them."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from freshwire.testing import LiveNode

from .site import Site

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


@pytest.fixture
def curl(live: LiveNode) -> Callable[..., str]:
    """Run curl for a path; what it prints."""

    def run(path: str, *arguments: str) -> str:
        ended = subprocess.run(
            ["curl", "-sS", *arguments, live.url + path],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return ended.stdout

    return run


@pytest.fixture
def following(live: LiveNode) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start curl without buffering."""
    started = []

    def run(path: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            ["curl", "-sN", *arguments, live.url + path], stdout=subprocess.PIPE, text=True, bufsize=1
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def events(process: subprocess.Popen[str]) -> Iterator[dict[str, str]]:
    """The fields of each event."""
    assert process.stdout is not None
    fields: dict[str, str] = {}
    for line in process.stdout:
        name, _, value = line.rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif "data" in fields:
            yield fields
            fields = {}


def raw(live: LiveNode, request: bytes) -> bytes:
    """Everything that comes back until the node closes."""
    host, port = live.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.mark.parametrize("version", ["--http1.1", "--http1.0", "--http2"])
def test_a_stream_is_followed_until_it_is_gone(
    following: Callable[..., subprocess.Popen[str]], curl: Callable[..., str], version: str
) -> None:
    process = following("/match", "-H", "Accept: text/event-stream", version)
    stream = events(process)
    assert json.loads(next(stream)["data"]) == {"match": 0}
    assert curl("/goal", "-X", "POST", version) == "1"
    event = next(stream)
    assert json.loads(event["data"]) == {"match": 1}
    assert re.fullmatch(r"[0-9a-f]{8,16}-\d+", event["id"])
    curl("/end", "-X", "POST")
    gone = next(stream)
    assert gone["event"] == "gone"
    assert json.loads(gone["data"])["status"] == 404
    assert process.wait(10) == 0  # the stream has ended, and as it should


@pytest.mark.parametrize("version", ["--http1.1", "--http1.0", "--http2"])
def test_every_version_gets_the_same_and_http_1_1_is_what_is_spoken(
    curl: Callable[..., str], version: str
) -> None:
    form = "%{http_version} %{response_code} %{num_connects}"
    spoken = "1.0" if version == "--http1.0" else "1.1"
    assert curl("/match", version) == '{"match":0}'
    assert curl("/match", version, "-o", "/dev/null", "-w", form) in ("1.1 200 1", f"{spoken} 200 1")
    assert curl("/lines/3", version) == "line 0\nline 1\nline 2\n"
    assert curl("/echo", version, "-d", "a=b") == "a=b"


def test_one_curl_reuses_its_connection(live: LiveNode) -> None:
    urls = [f"{live.url}/match", f"{live.url}/lines/10", f"{live.url}/nowhere", f"{live.url}/match"]
    ended = subprocess.run(
        [
            "curl",
            "-s",
            "-w",
            "%{num_connects}\n",
            *(part for url in urls for part in ("-o", "/dev/null", url)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.split() == ["1", "0", "0", "0"]


def test_a_large_upload_waits_for_100_continue(curl: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"0123456789" * 200_000)
    got = f"{tmp_path}/got"
    heads = curl(
        "/echo", "--data-binary", f"@{tmp_path}/body", "-H", "Expect: 100-continue", "-o", got, "-D", "-"
    )
    assert re.findall(r"HTTP/1.1 (\d+)", heads) == ["100", "200"]
    assert (tmp_path / "got").read_bytes() == (tmp_path / "body").read_bytes()


def test_a_chunked_upload_and_a_form_are_taken(curl: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"0123456789" * 20_000)
    sent = curl("/echo", "-T", f"{tmp_path}/body", "-H", "Transfer-Encoding: chunked")
    assert sent == "0123456789" * 20_000
    assert 'name="file"; filename="body"' in curl("/echo", "-F", f"file=@{tmp_path}/body")


def test_a_slow_reader_gets_everything(curl: Callable[..., str], tmp_path: Path) -> None:
    curl("/bytes/600000", "--limit-rate", "600k", "-o", f"{tmp_path}/got")
    assert (tmp_path / "got").stat().st_size == 600_000


def test_etags_are_kept_and_compared_by_curl(curl: Callable[..., str], tmp_path: Path) -> None:
    form = "%{response_code}"
    arguments = (
        "--etag-save",
        f"{tmp_path}/etag",
        "--etag-compare",
        f"{tmp_path}/etag",
        "-w",
        form,
        "-o",
        "/dev/null",
    )
    assert [curl("/match", *arguments) for _ in range(2)] == ["200", "304"]
    curl("/goal", "-X", "POST")
    assert curl("/match", *arguments) == "200"


def test_pipelined_requests_are_answered_in_order_across_hits_and_the_application(
    site: Site, live: LiveNode
) -> None:
    httpx.get(f"{live.url}/match")
    host = live.url.removeprefix("http://").encode()
    ask = b"%s HTTP/1.1\r\nHost: " + host + b"\r\n"
    one = (
        ask % b"GET /match"
        + b"\r\n"
        + ask % b"GET /lines/2"
        + b"\r\n"
        + ask % b"POST /echo"
        + b"Content-Length: 3\r\n\r\nabc"
        + ask % b"HEAD /match"
        + b"\r\n"
        + ask % b"POST /echo"
        + b"Transfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n"
    )
    answer = raw(live, one * 40 + ask % b"GET /nowhere" + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 200
    assert answer.count(b'{"match":0}') == 40
    bodies = re.findall(rb'\r\n\r\n(\{"match":0\}|7\r\nline 0\n|abc|de)', answer)
    assert bodies == [b'{"match":0}', b"7\r\nline 0\n", b"abc", b"de"] * 40
    assert b"HTTP/1.1 404 Not Found\r\n" in answer[answer.rindex(b"HTTP/1.1") :]


def test_http_1_0_gets_a_body_that_ends_with_the_connection_unless_it_asks_to_keep_it(live: LiveNode) -> None:
    head, _, body = raw(live, b"GET /lines/3 HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert body == b"line 0\nline 1\nline 2\n"
    assert b"chunked" not in head.lower()
    kept = raw(
        live,
        b"GET /match HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2 + b"GET /match HTTP/1.0\r\n\r\n",
    )
    assert kept.count(b'{"match":0}') == 3


def test_who_sends_far_too_much_still_reads_why_it_was_refused(live: LiveNode) -> None:
    host, port = live.url.removeprefix("http://").split(":")
    for _ in range(10):
        with socket.create_connection((host, int(port)), 10) as connection:
            connection.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000000\r\n\r\n")
            for _ in range(100):
                connection.sendall(b"x" * 200_000)  # a connection that was reset would raise here
            assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_a_head_that_comes_byte_by_byte_is_a_request(live: LiveNode) -> None:
    host, port = live.url.removeprefix("http://").split(":")
    request = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(len(request)):
            connection.send(request[place : place + 1])
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.endswith(b"\r\n\r\nhello")
