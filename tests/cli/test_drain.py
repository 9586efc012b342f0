"""SIGTERM: what a client sees of it, and when the process is gone."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.python.command import Running

Start = Callable[..., Running]


def serve(start: Start, *arguments: str) -> tuple[Running, str]:
    running = start("serve", "main:app", "--port", "0", *arguments)
    return running, running.url()


def connection(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), 15)


def test_event_streams_end_cleanly_with_a_retry_that_is_spread(start: Start) -> None:
    running, url = serve(start, "--drain-timeout", "0.5")
    ends: list[bytes] = []
    opened = threading.Barrier(21)

    def follow() -> None:
        with httpx.stream("GET", f"{url}/fruits/apple", headers={"accept": "text/event-stream"}) as stream:
            pieces = stream.iter_bytes()
            came = next(pieces)
            while b"data: " not in came:
                came += next(pieces)
            opened.wait(10)
            ends.append(b"".join(pieces))  # raises if the last chunk is missing

    watchers = [threading.Thread(target=follow) for _ in range(20)]
    for watcher in watchers:
        watcher.start()
    opened.wait(10)
    running.signal(signal.SIGTERM)
    for watcher in watchers:
        watcher.join(10)
    assert running.end() == 0
    assert len(ends) == 20
    retries = [int(end.decode().removeprefix("retry: ").strip()) for end in ends]
    assert all(1000 <= retry_ms <= 3000 for retry_ms in retries)
    assert len(set(retries)) > 5


def test_websockets_of_both_kinds_are_told_1012(start: Start) -> None:
    running, url = serve(start, "--drain-timeout", "0.5")
    ws = url.replace("http", "ws")
    with (
        connect(f"{ws}/fruits/apple", subprotocols=[Subprotocol("freshwire.v1")]) as watch,
        connect(f"{ws}/socket") as own,
    ):
        watch.recv(10)
        own.send("hello")
        own.recv(10)
        running.signal(signal.SIGTERM)
        for peer in (watch, own):
            with pytest.raises(ConnectionClosed) as closed:
                peer.recv(10)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
    assert running.end() == 0


async def test_requests_that_run_finish_and_new_connections_are_refused(start: Start, place: Path) -> None:
    running, url = serve(start, "--drain-timeout", "5")
    begun = time.monotonic()
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        have = await http.get("/fruits/apple")
        wait = {"if-none-match": have.headers["etag"], "prefer": "wait=20"}
        polling = asyncio.create_task(http.get("/fruits/apple", headers=wait))
        asking = asyncio.create_task(http.get("/slow/go"))
        await asyncio.to_thread(running.line, "go has begun")
        running.signal(signal.SIGTERM)
        await asyncio.to_thread(refused, url)
        assert not asking.done()
        (place / "go").touch()
        answer = await asking
        assert (answer.status_code, answer.json()) == (200, "done")
        assert answer.headers["connection"] == "close"
        assert (await polling).status_code == 304
    running.line("the application has stopped")
    assert running.end() == 0
    assert time.monotonic() - begun < 20


def refused(url: str) -> None:
    """Wait until connections are refused."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            connection(url).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:  # it was in the queue when the listener closed
            pass
    raise AssertionError("connections are still accepted")


def test_who_has_just_connected_is_answered(start: Start) -> None:
    running, url = serve(start, "--drain-timeout", "600")
    peers = [connection(url) for _ in range(50)]
    running.signal(signal.SIGTERM)
    for peer in peers:
        peer.sendall(b"GET /fruits/apple HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for peer in peers:
        answer = b"".join(iter(lambda: peer.recv(65_536), b""))  # noqa: B023 - used at once
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b'{"left":3}')
        peer.close()
    assert running.end() == 0


def test_connections_that_wait_for_nothing_are_closed_and_the_node_ends_at_once(start: Start) -> None:
    running, url = serve(start, "--drain-timeout", "600")
    idle = []
    for _ in range(10):
        peer = connection(url)
        peer.sendall(b"GET /fruits/apple HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert peer.recv(65_536).startswith(b"HTTP/1.1 200")
        idle.append(peer)
    running.signal(signal.SIGTERM)
    for peer in idle:
        assert peer.recv(1) == b""
        peer.close()
    assert running.end() == 0


def test_work_after_an_answer_is_waited_for(start: Start, place: Path) -> None:
    running, url = serve(start, "--drain-timeout", "20")
    assert httpx.post(f"{url}/later").json() == "begun"
    running.line("later has begun")
    running.signal(signal.SIGTERM)
    refused(url)
    (place / "later").touch()
    running.line("the work is done")
    running.line("the application has stopped")
    assert running.end() == 0


def test_what_does_not_finish_ends_when_the_time_is_over(start: Start) -> None:
    running, url = serve(start, "--drain-timeout", "0.5")
    with connection(url) as hanging, connection(url) as own:
        hanging.sendall(b"GET /slow/never HTTP/1.1\r\nHost: localhost\r\n\r\n")
        running.line("never has begun")
        own.sendall(b"GET /own HTTP/1.1\r\nHost: localhost\r\n\r\n")
        came = b""
        while b"data: mine" not in came:
            came += own.recv(65_536)
        begun = time.monotonic()
        running.signal(signal.SIGTERM)
        running.line("the application has stopped")
        assert running.end() == 0
        assert time.monotonic() - begun < 10  # and not the hour that they would take
        assert hanging.recv(1) == b""


def test_the_second_signal_does_not_wait(start: Start) -> None:
    running, url = serve(start, "--drain-timeout", "600")
    headers = {"accept": "text/event-stream"}
    with (
        connection(url) as hanging,
        httpx.stream("GET", f"{url}/fruits/apple", headers=headers),
    ):
        hanging.sendall(b"GET /slow/never HTTP/1.1\r\nHost: localhost\r\n\r\n")
        running.line("never has begun")
        running.signal(signal.SIGTERM)
        refused(url)
        running.signal(signal.SIGTERM)
        running.end()


def test_ctrl_c_ends_it_as_sigterm_does(start: Start) -> None:
    running, url = serve(start, "--drain-timeout", "0.2")
    with httpx.stream("GET", f"{url}/fruits/apple", headers={"accept": "text/event-stream"}) as stream:
        lines = stream.iter_lines()
        assert json.loads(next(line for line in lines if line.startswith("data: "))[6:]) == {"left": 3}
        running.signal(signal.SIGINT)
        assert any(line.startswith("retry: ") for line in lines)
    assert running.end() == 0
