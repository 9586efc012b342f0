"""Rows 4 to 6, 10 to 12 and 24: what peers can make a node keep for them. Each attack is one that a single address can
carry out with the defaults; the bound on the node's private memory is a small part of what it would cost unbounded.
"""

from collections.abc import Callable

import pytest

from .conftest import TargetProcess, eventually
from .wire import BINARY, PING, TEXT, Peer, frame, handshake, request

MIB = 1024  # KiB

SOURCE = """
import asyncio

MEBIBYTE = b"x" * 2**20

async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        if scope["path"] == "/deaf":
            await asyncio.Event().wait()
        for _ in range(8):
            await send({"type": "websocket.send", "bytes": MEBIBYTE})
        while (await receive())["type"] != "websocket.disconnect":
            pass
    if scope["type"] != "http":
        return
    headers, body = [(b"cache-groups", b'"t"')], b"ok"
    if scope["path"] == "/kept":
        headers, body = [(b"cache-control", b"public, max-age=60")], MEBIBYTE
    elif scope["path"] == "/varies":
        headers.append((b"vary", b"accept-language"))
    elif scope["path"] == "/private":
        headers.append((b"cache-control", b"private"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""


def answered(target: TargetProcess, count: int = 20) -> None:
    """Others are served meanwhile."""
    peer = target.connect()
    for n in range(count):
        assert peer.get(f"/other?{n}").body == b"ok"


def test_who_does_not_read_a_kept_representation_costs_no_copy_of_it(
    attack_process: Callable[..., TargetProcess],
) -> None:
    target = attack_process(SOURCE, write_timeout_s=100, rate_grace_s=100, header_timeout_s=100)
    assert len(target.connect().get("/kept").body) == 2**20
    stuck = [target.connect(receive_buffer=4096) for _ in range(200)]
    for peer in stuck[:20]:
        peer.send(request("/kept"))
        peer.until(b"\r\n\r\n")
    before = target.memory_kib()
    for peer in stuck:
        peer.send(request("/kept") * 10)
        peer.until(b"\r\n\r\n")
    answered(target)
    # A copy for each were 180 MiB.
    assert target.memory_kib() - before < 16 * MIB
    # And nothing is lost on the way to one that reads after all.
    patient = stuck[-1]
    for _ in range(9):
        assert len(patient.exactly(2**20)) == 2**20
        patient.until(b"\r\n\r\n")


def unread(target: TargetProcess) -> Peer:
    """A WebSocket whose client does not read what comes."""
    peer = target.connect(receive_buffer=4096)
    peer.send(handshake("/"))
    peer.until(b"\r\n\r\n")
    return peer


def test_a_reader_that_stops_is_disconnected_however_often_it_pings(
    attack_process: Callable[..., TargetProcess],
) -> None:
    target = attack_process(SOURCE, push_timeout_s=1)
    peer = unread(target)
    eventually(
        lambda: not peer.try_send(frame(PING, b"x")) or bool(target.refused().get("slow_reader")),
        "the node has enough",
    )
    assert target.refused() == {"slow_reader": 1}


def test_pings_of_who_does_not_read_are_owed_one_pong(
    attack_process: Callable[..., TargetProcess],
) -> None:
    target = attack_process(SOURCE, max_pings_per_s=0, max_frames_per_s=0)
    peers = [unread(target) for _ in range(4)]
    for peer in peers:
        peer.send(frame(PING, b"y" * 125) * 1000)
    before = target.memory_kib()
    for n in range(60):
        for peer in peers:
            peer.send(b"".join(frame(PING, b"%0125d" % (n * 1000 + m)) for m in range(1000)))
    answered(target)
    # A pong for each were 30 MiB.
    assert target.memory_kib() - before < 4 * MIB
    peer = peers[0]
    pongs = []
    while not pongs or int(pongs[-1]) < 59_999:
        message = peer.frame()
        if message.op == 10:
            pongs.append(message.payload)
    assert len(pongs) < 1000


def test_messages_that_the_application_does_not_take_wait_at_the_client(
    attack_process: Callable[..., TargetProcess],
) -> None:
    target = attack_process(SOURCE)
    peers = [target.connect() for _ in range(60)]
    before = target.memory_kib()
    for peer in peers:
        peer.upgrade("/deaf")
        peer.socket.setblocking(False)
        try:
            for _ in range(40):
                peer.socket.send(frame(BINARY, b"x" * 65_000))
        except BlockingIOError:
            pass
    for peer in peers:
        peer.socket.setblocking(True)
        peer.socket.settimeout(0.05)
        try:
            for _ in range(400):
                peer.socket.sendall(b"\0" * 65_000)
        except TimeoutError:
            pass
    answered(target)
    # Every message taken in were more than 100 MiB.
    assert target.memory_kib() - before < 24 * MIB


@pytest.mark.parametrize("path", ["/private", "/varies"])
def test_watchers_that_come_and_go_leave_little_behind(
    path: str, attack_process: Callable[..., TargetProcess]
) -> None:
    target = attack_process(SOURCE, max_cache_bytes=2**20)
    line = "Cookie: x=" if path == "/private" else "Accept-Language: x"

    def come_and_go(n: int) -> None:
        peer = target.connect()
        peer.send(request(f"{path}?{n}", "Accept: text/event-stream", f"{line}{n}{'y' * 28_000}"))
        assert peer.stream().status == 200
        peer.event()
        peer.close()

    for n in range(100):
        come_and_go(n)
    before = target.memory_kib()
    for n in range(100, 1600):
        come_and_go(n)
    eventually(lambda: target.stats()["watchers"] == 0, "all have gone")
    # What names them were 40 MiB.
    assert target.memory_kib() - before < 20 * MIB


def test_the_endless_queries_of_one_address_are_forgotten(
    attack_process: Callable[..., TargetProcess],
) -> None:
    target = attack_process(SOURCE, max_cache_bytes=4 * 2**20, max_set_bytes=2**20)
    peer = target.connect()
    long = "y" * 4000

    def ask(numbers: range) -> None:
        for n in numbers:
            peer.send(
                request(f"/x?{n}{long}")
                + request("/varies", f"Accept-Language: {n}{long}")
                + request(f"/other?{n}{long}", "Cache-Control: no-cache", f"Cookie: a={n}")
                + request(f"/other?{n}{long}", "Content-Length: 0", method="POST")
            )
            for _ in range(4):
                assert peer.response().status == 200

    ask(range(2000))
    before = target.memory_kib()
    ask(range(2000, 6000))
    assert target.memory_kib() - before < 8 * MIB
    assert target.stats()["panics"] == 0


def test_a_message_in_pieces_that_never_ends_is_held_once(
    attack_process: Callable[..., TargetProcess],
) -> None:
    target = attack_process(SOURCE)
    peers = [target.connect() for _ in range(200)]
    for peer in peers:
        assert peer.upgrade("/deaf").status == 101
    before = target.memory_kib()
    for peer in peers:
        peer.send(frame(TEXT, b"x" * 64, last=False) + frame(0, b"x" * 64, last=False) * 200)
        peer.send(frame(0, b"x" * 40_000, size=50_000, last=False))
    answered(target)
    # 200 of at most max_message_bytes.
    assert target.memory_kib() - before < 32 * MIB
