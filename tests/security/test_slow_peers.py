"""Rows 9, 10 and 11: peers that send slowly, read slowly, or stop reading. They lose their connection, or (a watcher)
cost one representation, and nobody else notices.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .conftest import Target, TargetProcess, eventually
from .wire import Peer, handshake, request

LARGE = b"x" * 4_000_000
HUGE = b"x" * 16_000_000  # more than the kernel takes at once


class App:
    """Counts bodies that came whole; /large is large, /huge more so, /stream goes on until its reader has gone."""

    def __init__(self) -> None:
        self.bodies = 0
        self.left = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] == "POST":
            while (message := await receive())["type"] == "http.request":
                if not message["more_body"]:
                    self.bodies += 1
                    break
            else:
                self.left.set()
                return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/stream":
            try:
                while True:
                    await send({"type": "http.response.body", "body": LARGE[:10_000], "more_body": True})
            except OSError:
                self.left.set()
            return
        body = {"/large": LARGE, "/huge": HUGE}.get(scope["path"], b"ok")
        await send({"type": "http.response.body", "body": body})


@contextmanager
def dripping(peer: Peer, data: bytes, pause_s: float) -> Iterator[None]:
    """Send byte by byte for as long as the block lasts, or the node lets us."""
    stop = threading.Event()

    def drip() -> None:
        for n in range(len(data)):
            if stop.wait(pause_s) or not peer.try_send(data[n : n + 1]):
                return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_head_that_comes_byte_by_byte_has_one_time_for_all_of_it(attack: Callable[..., Target]) -> None:
    target = attack(App(), header_timeout_s=1)
    peer = target.connect()
    peer.send(b"G")
    with dripping(peer, b"ET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: b\r\n" * 100, 0.05):
        answer = peer.response()
    assert (answer.status, answer["connection"]) == (408, "close")
    assert "header_timeout_s" in answer.problem
    assert target.refused() == {"header_timeout": 1}


def test_a_slow_head_on_a_connection_in_use_has_no_more_time(attack: Callable[..., Target]) -> None:
    target = attack(App(), header_timeout_s=1)
    peer = target.connect()
    assert peer.get("/").status == 200
    with dripping(peer, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: b\r\n" * 100, 0.05):
        assert peer.response().status == 408
    assert target.refused() == {"header_timeout": 1}


def test_a_connection_that_says_nothing_ends(attack: Callable[..., Target]) -> None:
    target = attack(App(), header_timeout_s=0.5)
    assert target.connect().rest() == b""
    assert target.refused() == {"header_timeout": 1}


def test_a_head_in_two_pieces_is_served_after_a_long_rest(attack: Callable[..., Target]) -> None:
    peer = attack(App(), header_timeout_s=1).connect()
    assert peer.get("/").status == 200
    time.sleep(1.5)  # longer than a head may take; an idle connection has more time
    peer.send(b"GET / HTTP/1.1\r\n")
    time.sleep(0.5)  # longer than the node's clock ticks
    peer.send(b"Host: localhost\r\n\r\n")
    assert peer.response().status == 200


def test_an_idle_connection_ends(attack: Callable[..., Target]) -> None:
    peer = attack(App(), keep_alive_timeout_s=0.5).connect()
    assert peer.get("/").status == 200
    assert peer.rest() == b""


@pytest.mark.parametrize("framing", ["declared", "chunked"])
def test_a_body_that_comes_slowly_is_refused(framing: str, attack: Callable[..., Target]) -> None:
    app = App()
    target = attack(app, rate_grace_s=0.5)
    peer = target.connect()
    if framing == "declared":
        peer.send(request("/", "Content-Length: 100000", method="POST"))
        drops = b"x" * 1000
    else:
        peer.send(request("/", "Transfer-Encoding: chunked", method="POST"))
        drops = b"1\r\nx\r\n" * 1000
    with dripping(peer, drops, 0.02):  # 50 B/s at most
        answer = peer.response()
    assert (answer.status, answer["connection"]) == (408, "close")
    assert "240 B/s (min_rate_bytes_per_s)" in answer.problem
    assert target.refused() == {"slow_body": 1}
    assert app.left.wait(10), "the application hears that its client has gone"
    assert not app.bodies


def test_a_body_that_comes_fast_enough_arrives(attack: Callable[..., Target]) -> None:
    app = App()
    target = attack(app, rate_grace_s=0.5)
    peer = target.connect()
    peer.send(request("/", "Content-Length: 3000", method="POST"))
    for _ in range(30):
        time.sleep(0.05)  # 2,000 B/s, for longer than the grace
        peer.send(b"x" * 100)
    assert peer.response().status == 200
    assert (app.bodies, target.refused()) == (1, {})


@pytest.mark.parametrize("path", ["/huge", "/stream"])
def test_a_reader_that_stops_loses_its_response(path: str, attack: Callable[..., Target]) -> None:
    app = App()
    target = attack(app, write_timeout_s=1)
    peer = target.connect(receive_buffer=4096)
    peer.send(request(path))
    peer.until(b"\r\n\r\n")
    eventually(lambda: target.refused() == {"slow_reader": 1}, "the node has enough")
    assert len(peer.rest()) < len(HUGE)
    if path == "/stream":
        assert app.left.wait(10), "the application hears that its client has gone"


def test_a_reader_that_is_too_slow_loses_its_response(attack: Callable[..., Target]) -> None:
    target = attack(App(), rate_grace_s=0.5, min_rate_bytes_per_s=1_000_000)
    peer = target.connect(receive_buffer=4096)
    peer.send(request("/huge"))
    got = 0
    while not target.refused():
        got += len(peer.exactly(1000))
        time.sleep(0.01)  # 100,000 B/s at most: there is always progress
    assert target.refused() == {"slow_reader": 1}
    assert got + len(peer.rest()) < len(HUGE)


def test_a_reader_that_is_slow_and_not_too_slow_gets_all_of_it(attack: Callable[..., Target]) -> None:
    target = attack(App(), rate_grace_s=0.5, write_timeout_s=1, min_rate_bytes_per_s=10_000)
    peer = target.connect(receive_buffer=16_384)
    peer.send(request("/large"))
    peer.until(b"\r\n\r\n")
    got = 0
    while got < len(LARGE):
        got += len(peer.exactly(min(20_000, len(LARGE) - got)))
        time.sleep(0.01)
    assert not target.refused()


def test_slow_peers_hold_nobody_else_up(attack: Callable[..., Target]) -> None:
    target = attack(App(), threads=1)
    peers = [target.connect(receive_buffer=4096) for _ in range(60)]
    for n, peer in enumerate(peers):
        peer.send([b"GET / HT", request("/", "Content-Length: 9", method="POST"), request("/huge")][n % 3])
    for _ in range(20):
        assert target.connect().get("/").body == b"ok"


RESOURCE = """
version = 0

async def app(scope, receive, send):
    global version
    if scope["type"] != "http":
        return
    if scope["method"] == "POST":
        version += 1
        headers, body = [(b"cache-group-invalidation", b'"t"')], b"%d" % version
    else:
        headers, body = [(b"cache-groups", b'"t"')], (b"%08d" % version) * 8192
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""


def version_of(data: str | bytes) -> int:
    assert len(data) == 8 * 8192
    return int(data[:8])


@pytest.mark.parametrize("transport", ["sse", "websocket"])
def test_watchers_that_stop_reading_cost_one_message_each_and_get_the_newest_when_they_read_again(
    transport: str, attack_process: Callable[..., TargetProcess]
) -> None:
    target = attack_process(RESOURCE, max_connections_per_address=0, threads=1)

    def watch(**options: Any) -> Peer:
        peer = target.connect(**options)
        if transport == "sse":
            peer.send(request("/", "Accept: text/event-stream", host=peer.host))
            assert peer.stream().status == 200
        else:
            peer.send(handshake("/", host=peer.host, subprotocol="freshwire.v1"))
            assert peer.stream().status == 101
        return peer

    def read(peer: Peer) -> int:
        return version_of(peer.event().data if transport == "sse" else peer.message().payload)

    stopped = [watch(receive_buffer=4096) for _ in range(1000)]
    reader, writer = watch(), target.connect()
    assert read(reader) == 0

    def change() -> int:
        return int(writer.get("/", "Content-Length: 0", method="POST").body)

    def follow(version: int) -> None:
        while read(reader) < version:
            pass

    for _ in range(5):
        follow(change())
    before = target.memory_kib()
    for _ in range(200):
        follow(change())
    # 200 versions of 64 KiB were 12.8 MiB; a queue for each watcher would be 12.5 GiB.
    assert target.memory_kib() - before < 6 * 1024
    newest = change()
    follow(newest)
    for peer in stopped[:20]:
        got = [read(peer)]
        while got[-1] < newest:
            got.append(read(peer))
        assert got == sorted(set(got)), "never backwards"
        assert got[-1] == newest
        # What was on its way when it stopped, and the newest: nothing of what came between.
        assert len(got) <= 4, got
    assert target.stats()["watchers"] == 1001


def test_a_watcher_that_stops_for_good_is_disconnected(attack: Callable[..., Target]) -> None:
    version = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = [(b"cache-groups", b'"t"')]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": (b"%08d" % version) * 100_000})

    target = attack(app, push_timeout_s=1)
    peer = target.connect(receive_buffer=4096)
    peer.send(request("/", "Accept: text/event-stream"))
    assert peer.stream().status == 200
    while not target.refused():
        version += 1
        target.live.changed("t")
        time.sleep(0.05)
    assert target.refused() == {"slow_reader": 1}
    assert target.stats()["watchers"] == 0


def unsent_in_the_kernel(port: int) -> int:
    """Bytes that the kernel holds for the peers of this port (proc_net_tcp(5): tx_queue)."""
    total = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, queues = line.split()[1], line.split()[4]
        if int(local.split(":")[1], 16) == port:
            total += int(queues.split(":")[0], 16)
    return total


@pytest.mark.parametrize("path", ["/huge", "/stream"])
@pytest.mark.parametrize("receive_buffer", [4096, 0], ids=["a small window", "a usual window"])
def test_the_kernel_holds_little_for_a_reader_that_stops(
    receive_buffer: int, path: str, attack: Callable[..., Target]
) -> None:
    target = attack(App())
    peers = [target.connect(receive_buffer=receive_buffer) for _ in range(8)]
    for peer in peers:
        peer.send(request(path))
        peer.until(b"\r\n\r\n")
        peer.exactly(100_000)  # so that windows have opened
    eventually(lambda: unsent_in_the_kernel(target.address[1]) > 0, "they are stuck")
    # Without a limit the kernel takes 4 MiB for each.
    assert unsent_in_the_kernel(target.address[1]) < len(peers) * 256 * 1024
