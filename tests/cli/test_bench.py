"""`freshwire bench` against servers that behave and servers that do not. What it counts is exact."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from freshwire.cli.bench import rows

from tests.ports import free_port
from tests.python.command import Cli, Running

Start = Callable[..., Running]
WATCHING = ("sse", "websocket", "long-poll")
CONNECTIONS, POSTS = 30, 3
SPACED_OUT = ("--rate", "2", "--seconds", "1.5")  # so that every watcher gets every state

LIVE = '''
import asyncio

version, changed = 0, asyncio.Event()

async def next_version(seen, seconds=None):
    """Wait for a version after this one; the newest, which is `seen` when the time is over."""
    try:
        async with asyncio.timeout(seconds):
            while version == seen:
                await changed.wait()
    except TimeoutError:
        pass
    return version

async def app(scope, receive, send):
    global version, changed
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][0]})
        seen = version
        while True:
            seen = await next_version(seen)
            await send({"type": "websocket.send", "text": str(seen)})
    headers = {name: value.decode() for name, value in scope["headers"]}

    async def respond(status, body, *fields):
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    if scope["method"] == "POST":
        version += 1
        woken, changed = changed, asyncio.Event()
        woken.set()
        await respond(204, b"")
    elif headers.get(b"accept") == "text/event-stream":
        fields = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b": nobody is greeted\\n\\n", "more_body": True})
        seen = version
        while True:
            seen = await next_version(seen)
            await send({"type": "http.response.body", "body": b"data: %d\\n\\n" % seen, "more_body": True})
    else:
        known = headers.get(b"if-none-match", "").strip('"')
        if known == str(version):
            await next_version(version, int(headers[b"prefer"].removeprefix("wait=")))
        tag = (b"etag", b'"%d"' % version)
        if known == str(version):
            await respond(304, b"", tag)
        else:
            body = b"%d" % version
            await respond(200, body, tag, (b"content-length", b"%d" % len(body)))
'''


@pytest.fixture
def node(start: Start) -> str:
    """A node's URL."""
    return start("serve", "main:app", "--port", "0", "--max-connections-per-address", "0").url()


@pytest.fixture
def uvicorn(place: Path) -> Iterator[str]:
    """The URL of a live application that knows nothing of freshwire. Its WebSockets want their pings answered."""
    (place / "live.py").write_text(LIVE)
    port = free_port()
    pings = ["--ws-ping-interval", "0.4", "--ws-ping-timeout", "0.4"]
    words = [sys.executable, "-m", "uvicorn", "live:app", "--port", str(port), "--log-level", "error", *pings]
    with subprocess.Popen([*words, "--timeout-graceful-shutdown", "1"]) as process:
        try:
            wait_for(lambda: connects(port))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def connects(port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def measured(cli: Cli, url: str, *words: str, code: int = 0) -> dict[str, Any]:
    """The report of a bench that is expected to end with this exit code."""
    ended = cli("bench", url, "--connections", str(CONNECTIONS), "--json", "-", *words)
    assert ended.returncode == code, ended.stderr
    report: dict[str, Any] = json.loads(ended.stdout)
    return report


def every_watcher_got_every_change(report: dict[str, Any]) -> bool:
    assert (report["failed"], report["ended"]) == ({}, {})
    assert (report["connected"], report["there"]) == (CONNECTIONS, CONNECTIONS)
    assert sum(report["post_statuses"].values()) == POSTS
    assert report["messages"] == CONNECTIONS * POSTS
    assert (report["changes"], report["reached_all"]) == (POSTS, POSTS)
    assert (report["repeated"], report["backward"], report["unanswered"]) == (0, 0, 0)
    assert report["each_us"]["count"] == CONNECTIONS * POSTS
    assert report["last_us"]["count"] == POSTS
    return 0 < report["each_us"]["p50"] <= report["each_us"]["max"] == report["last_us"]["max"]


@pytest.mark.parametrize("transport", WATCHING)
def test_every_message_of_a_node_is_counted_once(cli: Cli, node: str, transport: str) -> None:
    words = ("--transport", transport, "--changes", "/fruits/apple/eaten", *SPACED_OUT)
    report = measured(cli, f"{node}/fruits/apple", *words)
    assert every_watcher_got_every_change(report)
    assert report["greetings"] == CONNECTIONS


@pytest.mark.parametrize("transport", WATCHING)
def test_every_message_of_another_server_is_counted_once(cli: Cli, uvicorn: str, transport: str) -> None:
    words = ("--transport", transport, "--changes", f"{uvicorn}/", *SPACED_OUT)
    report = measured(cli, f"{uvicorn}/", *words)
    assert every_watcher_got_every_change(report)
    assert report["greetings"] == (CONNECTIONS if transport == "long-poll" else 0)


@pytest.mark.parametrize("server", ["node", "uvicorn"])
def test_gets_are_answered_as_often_as_the_rate_says(
    cli: Cli, server: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(server) + {"node": "/fruits/apple", "uvicorn": "/"}[server]
    report = measured(cli, url, "--transport", "get", "--rate", "50", "--seconds", "1")
    assert (report["messages"], report["statuses"]) == (50, {"200": 50})
    assert report["each_us"]["count"] == 50
    fast = measured(cli, url, "--transport", "get", "--seconds", "0.5")
    assert fast["messages"] == fast["statuses"]["200"] == fast["each_us"]["count"] >= CONNECTIONS


def test_each_watches_its_own_and_only_those_who_are_told_count(cli: Cli, node: str) -> None:
    httpx.delete(f"{node}/fruits/apple")
    report = measured(cli, f"{node}/fruits/{{n}}", code=1)
    assert report["failed"] == {"status 404": CONNECTIONS}


def test_those_who_never_read_are_not_waited_for(cli: Cli, node: str) -> None:
    words = ("--stall", "10", "--changes", "/fruits/apple/eaten", *SPACED_OUT)
    report = measured(cli, f"{node}/fruits/apple", *words)
    assert report["there"] == CONNECTIONS
    assert report["messages"] == (CONNECTIONS - 10) * POSTS
    assert report["reached_all"] == POSTS


@pytest.mark.parametrize(
    ("transport", "reason"), [("sse", "gone"), ("websocket", "close 4404"), ("long-poll", "status 404")]
)
def test_a_resource_that_goes_away_ends_its_watches_with_the_reason(
    start: Start, node: str, transport: str, reason: str
) -> None:
    url = f"{node}/fruits/apple"
    bench = start("bench", url, "--connections", "20", "--transport", transport, "--seconds", "600")
    bench.line("connected: 20 there")
    httpx.delete(url)
    assert bench.end() == 0, "there is nothing to wait for"
    bench.line(f"ended early   20 × {reason}")


@pytest.fixture
def says(request: pytest.FixtureRequest) -> Iterator[Callable[[bytes], str]]:
    """Start a server that says this to whoever connects, whatever they want, and closes."""
    with contextlib.ExitStack() as stack:

        def start(answer: bytes) -> str:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100))

            def serve() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        peer, _ = listener.accept()
                        peer.recv(65536)
                        peer.sendall(answer)
                        peer.close()

            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            threading.Thread(target=serve, daemon=True).start()
            return f"http://127.0.0.1:{listener.getsockname()[1]}/"

        yield start


STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "closed"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no HTTP"),
        (b"\x00\xff" * 500, "no HTTP"),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", "status 500"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "no event stream"),
        (b"HTTP/1.1 307 Elsewhere\r\nlocation: /x\r\n\r\n", "status 307"),
        (STREAM[:40], "closed"),
    ],
)
def test_what_is_no_event_stream_fails_with_what_it_is(
    cli: Cli, says: Callable[[bytes], str], answer: bytes, reason: str
) -> None:
    report = measured(cli, says(answer), code=1)
    assert report["failed"] == {reason: CONNECTIONS}
    assert (report["connected"], report["messages"]) == (0, 0)


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        (b"\r\ndata: x\n\n", "closed"),
        (b"transfer-encoding: chunked\r\n\r\n9\r\ndata: x\n\n\r\n0\r\n\r\n", "closed"),
        (b"transfer-encoding: chunked\r\n\r\n9\r\ndata: x\n\n\r\nrubbish", "a broken chunk"),
    ],
)
def test_a_stream_that_ends_has_ended_early(
    cli: Cli, says: Callable[[bytes], str], rest: bytes, reason: str
) -> None:
    report = measured(cli, says(STREAM + rest), "--seconds", "600")
    assert (report["connected"], report["there"], report["failed"]) == (CONNECTIONS, 0, {})
    assert report["ended"] == {reason: CONNECTIONS}
    assert report["greetings"] + report["messages"] == CONNECTIONS


def test_whoever_gets_no_answer_is_not_waited_for_for_ever(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        report = measured(cli, url, "--timeout", "0.3", code=1)
    assert report["failed"] == {"no answer in time": CONNECTIONS}


def test_a_client_that_was_the_limit_says_so(cli: Cli, node: str) -> None:
    report = measured(cli, f"{node}/fruits/apple", "--transport", "get", "--seconds", "0.2")
    said = {share: dict(rows(report | {"client": {"cpu_share": share}}))["client"] for share in (0.2, 0.97)}
    assert said == {0.2: "CPU 20% of a core", 0.97: "CPU 97% of a core: ITS LIMIT, NOT THE SERVER'S"}


def test_where_nobody_listens_nothing_is_measured(cli: Cli) -> None:
    ended = cli("bench", f"http://127.0.0.1:{free_port()}/", "--connections", "7")
    assert ended.returncode == 1
    assert "7 × connection refused" in ended.stdout
    assert "Traceback" not in ended.stderr


def test_an_interrupt_prints_what_was_measured(start: Start, node: str) -> None:
    url = f"{node}/fruits/apple"
    changes = ("--changes", "/fruits/apple/eaten", "--rate", "20")
    bench = start("bench", url, "--connections", "20", "--seconds", "600", *changes)
    wait_for(lambda: httpx.get(url).json()["left"] < -5)
    bench.signal(signal.SIGINT)
    assert bench.end() == 0
    bench.line("connected     20 of 20 by SSE")
    assert bench.line("interrupted").endswith(" s")
    messages = int(bench.line("messages").split()[1].replace(",", ""))
    assert messages >= 20
    bench.line("client")


def test_the_table_says_what_the_server_spent(cli: Cli, start: Start, tmp_path: Path) -> None:
    server = start("serve", "main:app", "--port", "0")
    url, file = f"{server.url()}/fruits/apple", tmp_path / "report.json"
    words = ["--changes", "/fruits/apple/eaten", "--pid", str(server.process.pid), "--json", str(file)]
    words += ["--svg", str(tmp_path / "delay.svg")]
    ended = cli("bench", url, "--connections", "20", *SPACED_OUT, *words)
    assert ended.returncode == 0
    lines = dict(line.split(maxsplit=1) for line in ended.stdout.splitlines())
    assert lines["connected"].startswith("20 of 20 by SSE, in ")
    assert lines["messages"].startswith("60 in 1.5 s, 40/s, ")
    assert lines["changes"].startswith("POSTs: 3 × 200, answered in p50 ")
    assert " µs a message; memory " in lines["server"]
    report = json.loads(file.read_text())
    assert report["url"] == url
    assert report["server"]["cpu_s"] > 0
    assert "connected: 20 there" in ended.stderr
    drawn = ElementTree.parse(tmp_path / "delay.svg")
    assert len(drawn.findall("{http://www.w3.org/2000/svg}polyline")) == 2
    assert url in (drawn.findtext("{http://www.w3.org/2000/svg}title") or "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["https://127.0.0.1/"], "plain HTTP only"),
        (["127.0.0.1:8000"], "not an HTTP URL"),
        (["http://me:secret@127.0.0.1/"], "-H 'Authorization"),
        (["http://127.0.0.1:1/", "--connections", "1000000000"], "do not fit"),
        (["http://127.0.0.1:1/", "--changes", "http://127.0.0.1:2/"], "on the server that is watched"),
        (["http://127.0.0.1:1/", "--changes", "/x", "-t", "get"], "does not"),
        (["http://127.0.0.1:1/", "--body", "x"], "--changes"),
        (["http://127.0.0.1:1/", "-H", "a b"], "Name: value"),
        (["http://127.0.0.1:1/", "--pid", "999999999"], "no process"),
        (["http://no-such-host.invalid/"], "no-such-host.invalid"),
        (["http://127.0.0.1:1/", "-t", "smoke-signals"], "smoke-signals"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_to_do(cli: Cli, words: list[str], said: str) -> None:
    ended = cli("bench", *words)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
