"""The attacks: what each does, what is seen, and whether that is how it should be.

Each is a function of a server that has just been started. Its docstring is its line in the table; `row` is the number
in docs/security.md. Nothing is measured but what is certain on a busy machine: what was answered, how often, how much
memory it took.
"""

from __future__ import annotations

import contextlib
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.security.ambiguous import BODIES, HEADS
from tests.security.wire import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Closed,
    Frame,
    Peer,
    frame,
    handshake,
    request,
)

from .servers import NO_APPLICATION, NO_HTTP, NO_WEBSOCKET, Running

MIB = 1024  # KiB
WAIT_S = 15.0
"""How long a slow peer is watched."""


@dataclass(frozen=True)
class Seen:
    """What came of an attack."""

    says: str
    holds: bool


@dataclass(frozen=True)
class Attack:
    """An attack, and what it needs of a server."""

    row: int
    what: str
    run: Callable[[Running], Seen]
    without: set[str]


ATTACKS: list[Attack] = []


def attack(row: int, needs: str) -> Callable[[Callable[[Running], Seen]], Callable[[Running], Seen]]:
    """Put a function into the table."""
    without = {
        "websocket": NO_WEBSOCKET,
        "http": NO_HTTP,
        "application": NO_HTTP | NO_APPLICATION,
        "either": set[str](),
    }[needs]

    def add(run: Callable[[Running], Seen]) -> Callable[[Running], Seen]:
        ATTACKS.append(Attack(row, (run.__doc__ or "").strip(), run, without))
        return run

    return add


def opened(server: Running, target: str = "/", *lines: str, receive_buffer: int = 0) -> Peer:
    """A WebSocket."""
    peer = server.connect(receive_buffer=receive_buffer)
    peer.send(handshake(target, *lines, host=server.host))
    assert peer.stream().status == 101
    return peer


def status(server: Running, sent: bytes, timeout_s: float = 20.0) -> int:
    """Of the answer; 0 if the connection just ends, 1 if nothing comes."""
    with server.connect(timeout_s=timeout_s) as peer:
        peer.try_send(sent)
        try:
            return peer.stream().status
        except Closed:
            return 0
        except (TimeoutError, IndexError, ValueError):
            return 1


def named(code: int) -> str:
    """A status as the table has it."""
    return {0: "closes", 1: "waits"}.get(code, f"answers {code}" if code < 400 else f"{code}")


def closing(said: Frame) -> str:
    """A close frame as the table has it."""
    return f"close {said.code}" if said.payload else "close without a code"


def ending(peer: Peer) -> tuple[str, Counter[int]]:
    """How a WebSocket ends, and what came before, by opcode."""
    came: Counter[int] = Counter()
    try:
        while True:
            said = peer.frame()
            came[said.op] += 1
            if said.op == CLOSE:
                return closing(said), came
    except Closed:
        return "closes", came
    except TimeoutError:
        return "goes on", came


def grown(kib: int) -> str:
    """Memory as the table has it."""
    return f"+{max(kib, 0) / MIB:.0f} MiB"


@attack(1, "websocket")
def another_origin(server: Running) -> Seen:
    """A page of `https://evil.example` opens a WebSocket with a cookie"""
    lines = ["Origin: https://evil.example", "Cookie: session=1"]
    code = status(server, handshake("/", *lines, host=server.host))
    return Seen("accepts" if code == 101 else named(code), code == 403)


@attack(2, "websocket")
def behind_an_upgrade(server: Running) -> Seen:
    """A request behind an upgrade that is refused (version 8)"""
    refused = handshake("/", host=server.host).replace(b"Version: 13", b"Version: 8")
    with server.connect(timeout_s=2) as peer:
        peer.send(refused + request("/client", host=server.host))
        try:
            came = peer.rest()
        except TimeoutError:
            came = peer.available()
    answers = came.count(b"HTTP/1.1 ")
    return Seen({0: "closes", 1: "is not read"}.get(answers, "is answered"), answers <= 1)


@attack(3, "websocket")
def unmasked(server: Running) -> Seen:
    """A frame without a mask"""
    with opened(server) as peer:
        peer.send(frame(TEXT, b"hello", mask=False))
        peer.socket.settimeout(3)
        end, came = ending(peer)
    return Seen("accepts" if came[TEXT] else end, end == "close 1002")


@attack(4, "websocket")
def huge_frame(server: Running) -> Seen:
    """A frame that says 2^62 bytes, and 32 MiB of it"""
    with opened(server) as peer:
        before = server.memory_kib()
        taken = peer.try_send(frame(BINARY, b"", size=2**62))
        for _ in range(32):
            taken = taken and peer.try_send(bytes(2**20))
        peer.socket.settimeout(2)
        end, _ = ending(peer)
        cost = server.memory_kib() - before
    return Seen(f"{end}, {grown(cost)}", end in ("close 1009", "closes") and cost < 2 * MIB)


@attack(5, "websocket")
def fragments(server: Running) -> Seen:
    """65,000 fragments of 64 B"""
    with opened(server) as peer:
        peer.try_send(frame(TEXT, b"x" * 64, last=False) + frame(0, b"x" * 64, last=False) * 64_998)
        peer.try_send(frame(0, b"x" * 64))
        peer.socket.settimeout(5)
        try:
            said = peer.message()
            end = closing(said) if said.op == CLOSE else f"takes all, {len(said.payload) >> 20} MiB"
        except Closed:
            end = "closes"
        except TimeoutError:
            end = "goes on"
    return Seen(end, end.startswith("close"))


@attack(6, "websocket")
def bomb(server: Running) -> Seen:
    """100 MiB in a message of 100 KB, 10 times"""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    sent = (deflate.compress(bytes(100 * 2**20)) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
    opened(server).close()
    before, ends = server.forget_peak(), Counter[str]()
    for _ in range(10):
        with opened(server, "/", "Sec-WebSocket-Extensions: permessage-deflate") as peer:
            peer.try_send(frame(BINARY, sent, bits=64))
            peer.socket.settimeout(5)
            try:
                said = peer.message()
                ends[closing(said) if said.op == CLOSE else "inflates it"] += 1
            except Closed:
                ends["closes"] += 1
            except TimeoutError:
                ends["goes on"] += 1
    cost = server.peak_kib() - before
    end = ends.most_common(1)[0][0]
    return Seen(f"{end}, {grown(cost)}", end in ("close 1009", "closes") and cost < 2 * MIB)


@attack(7, "either")
def connections(server: Running) -> Seen:
    """300 connections from one address"""
    peers, served = [], 0
    kind = handshake if server.name in NO_HTTP else request
    for _ in range(300):
        peer = server.connect(timeout_s=5)
        peers.append(peer)
        peer.try_send(kind("/client", host=server.host))
        with contextlib.suppress(Closed, TimeoutError):
            served += peer.stream().status in (101, 200)
    for peer in peers:
        peer.close()
    return Seen(f"serves {served}", served <= 256)


def watched(server: Running, peer: Peer, drop: bytes) -> str:
    """Say a byte a second; what comes, and when, if it comes soon enough."""
    began = time.monotonic()
    peer.socket.settimeout(1)
    while time.monotonic() < began + WAIT_S:
        if not peer.try_send(drop):
            return f"closes after {time.monotonic() - began:.0f} s"
        try:
            code = peer.stream().status
        except TimeoutError:
            continue
        except Closed:
            return f"closes after {time.monotonic() - began:.0f} s"
        return f"{code} after {time.monotonic() - began:.0f} s"
    return f"waits after {WAIT_S:.0f} s"


@attack(9, "either")
def slow_head(server: Running) -> Seen:
    """A head that comes at a byte a second"""
    with server.connect() as peer:
        peer.send(f"GET / HTTP/1.1\r\nHost: {server.host}\r\nX-Slow: ".encode())
        says = watched(server, peer, b"x")
    return Seen(says, not says.startswith("waits"))


@attack(10, "application")
def slow_body(server: Running) -> Seen:
    """A body that comes at a byte a second"""
    with server.connect() as peer:
        peer.send(request("/", "Content-Length: 1000", method="POST", host=server.host))
        says = watched(server, peer, b"x")
    return Seen(says, not says.startswith("waits"))


@attack(10, "http")
def stopped_reader(server: Running) -> Seen:
    """20 readers that stop in a response of 16 MiB, after 15 s"""
    peers = [server.connect(receive_buffer=4096) for _ in range(20)]
    before = server.memory_kib()
    for peer in peers:
        peer.send(request("/large", host=server.host))
        peer.until(b"\r\n\r\n")
    deadline, cost = time.monotonic() + WAIT_S, 0
    while time.monotonic() < deadline:
        time.sleep(0.5)
        cost = max(cost, server.memory_kib() - before)
    kept = 0
    for peer in peers:
        peer.socket.settimeout(5)
        with contextlib.suppress(Closed):
            kept += len(peer.exactly(4 * 2**20)) > 0
        peer.close()
    return Seen(f"{kept or 'none'} still served, at most {grown(cost)}", kept == 0)


@attack(11, "websocket")
def firehose(server: Running) -> Seen:
    """20 WebSockets that do not read what the application sends without end, for 3 s"""
    before = server.memory_kib()
    peers = [opened(server, "/firehose", receive_buffer=4096) for _ in range(20)]
    time.sleep(3)
    cost = server.memory_kib() - before
    for peer in peers:
        peer.close()
    return Seen(grown(cost), cost < 20 * MIB)


@attack(12, "websocket")
def pings(server: Running) -> Seen:
    """20,000 pings"""
    with opened(server) as peer:
        peer.socket.settimeout(3)
        # The pongs are few enough to wait in the kernel until all is said: 14 B each.
        for n in range(200):
            if not peer.try_send(b"".join(frame(PING, b"%06d" % (n * 100 + m)) for m in range(100))):
                break
        end, came = ending(peer)
    return Seen(f"{came[PONG]:,} pongs, {end}", came[PONG] <= 60)


@attack(13, "websocket")
def flood(server: Running) -> Seen:
    """20,000 messages as fast as they go, for 3 s"""
    with opened(server) as peer:
        sent, echoed, deadline = frame(TEXT, b"x" * 10) * 20_000, 0, time.monotonic() + 3
        peer.socket.settimeout(0.05)
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError, OSError):
                peer.socket.setblocking(False)
                sent = sent[peer.socket.send(sent[:65536]) :] if sent else sent
            peer.socket.settimeout(0.05)
            with contextlib.suppress(Closed):
                echoed += len(peer.available()) // 12
    return Seen(f"answers {echoed:,}", echoed < 1000)


@attack(18, "http")
def ambiguous_heads(server: Running) -> Seen:
    """Ambiguous heads (of 30): accepted"""
    accepted = []
    for name, lines in HEADS.items():
        sent = request("/client", *lines, method="POST", host=server.host) + b"0\r\n\r\n"
        if status(server, sent, 1) < 400:
            accepted.append(name)
    refused = [name for name in accepted if name != "an underscore is no hyphen"]
    return Seen(f"{len(refused)}", not refused)


@attack(18, "application")
def ambiguous_bodies(server: Running) -> Seen:
    """Ambiguous chunked bodies (of 15): accepted"""
    accepted = 0
    for body in BODIES.values():
        sent = request("/client", "Transfer-Encoding: chunked", method="POST", host=server.host) + body
        accepted += status(server, sent, 1) in range(100, 400)
    return Seen(f"{accepted}", not accepted)


@attack(19, "http")
def foreign_host(server: Running) -> Seen:
    """`Host: evil.example` on 127.0.0.1"""
    code = status(server, request("/client", host="evil.example"))
    return Seen(named(code), code == 421)


@attack(20, "either")
def large_head(server: Running) -> Seen:
    """A head of 16 MiB"""
    before = server.forget_peak()
    code = status(server, request("/", "X: " + "x" * (16 * 2**20), host=server.host), 5)
    cost = server.peak_kib() - before
    return Seen(f"{named(code)}, {grown(cost)}", code in (0, 431) and cost < 4 * MIB)


@attack(20, "either")
def many_fields(server: Running) -> Seen:
    """1,000 fields"""
    kind = handshake if server.name in NO_HTTP else request
    code = status(server, kind("/client", *["X: y"] * 1000, host=server.host), 5)
    return Seen(named(code), code in (0, 431))


@attack(21, "http")
def large_body(server: Running) -> Seen:
    """A body of 64 MiB"""
    with server.connect(timeout_s=15) as peer:
        taken = peer.try_send(request("/", f"Content-Length: {64 * 2**20}", method="POST", host=server.host))
        for _ in range(64):
            taken = taken and peer.try_send(bytes(2**20))
        try:
            code = peer.stream().status
        except Closed:
            code = 0
    return Seen("takes it" if 200 <= code < 400 else named(code), code == 413)


@attack(26, "application")
def split(server: Running) -> Seen:
    """The application puts CR LF into a field"""
    with server.connect(timeout_s=5) as peer:
        peer.send(request("/injected", "Connection: close", host=server.host))
        came = peer.rest()
    head = came.partition(b"\r\n\r\n")[0]
    if b"\ninjected:" in head:
        return Seen("sends another field", False)
    return Seen(named(int(head[9:12]) if head else 0), b"injected" not in head)


@attack(27, "application")
def forged_client(server: Running) -> Seen:
    """`X-Forwarded-For: 6.6.6.6` from 127.0.0.1"""
    with server.connect() as peer:
        believed = peer.get("/client", "X-Forwarded-For: 6.6.6.6", host=server.host).body == b"6.6.6.6"
    return Seen("believes it" if believed else "does not believe it", not believed)


@attack(37, "websocket")
def sigterm(server: Running) -> Seen:
    """SIGTERM with 20 WebSockets"""
    peers = [opened(server) for _ in range(20)]
    server.terminate()
    ends: Counter[str] = Counter()
    deadline = time.monotonic() + 40
    for peer in peers:
        peer.socket.settimeout(max(0.1, deadline - time.monotonic()))
        end, _ = ending(peer)
        ends[{"closes": "cut", "goes on": "nothing for 40 s"}.get(end, end)] += 1
        if end[6:].isdigit():
            peer.try_send(frame(CLOSE, struct.pack("!H", int(end[6:]))))
        peer.close()
    return Seen(", ".join(f"{n} x {end}" for end, n in ends.items()), set(ends) == {"close 1012"})
