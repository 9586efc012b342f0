"""All rows at once: peers that mix everything that is allowed with much that is not, cut it anywhere, and leave in the
middle. Afterwards nothing is left of them: no connection, no watch, no place taken at the application, no panic.
"""

import os
import random
import socket
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from .conftest import TargetProcess, eventually
from .wire import CLOSE, PING, TEXT, frame, handshake, request

ROUNDS = int(os.environ.get("FRESHWIRE_HOSTILE_ROUNDS", "60"))
"""Connections of each of the peers; `make attacks` has more of them."""

SOURCE = """
import asyncio

async def app(scope, receive, send):
    kind = scope["path"].strip("/")
    if scope["type"] == "websocket":
        await receive()
        if kind == "refuses":
            return await send({"type": "websocket.close"})
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            if "large" in kind:
                await send({"type": "websocket.send", "bytes": b"x" * 300_000})
            elif (text := message.get("text")) is not None:
                await send({"type": "websocket.send", "text": text})
    if scope["type"] != "http":
        return
    body = b""
    if kind != "deaf":
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
    if kind == "slow":
        await asyncio.sleep(0.02)
    if kind == "hangs":
        await asyncio.sleep(3600)
    if kind == "raises":
        raise ValueError
    headers = [(b"cache-groups", b'"t"')]
    if kind == "vary":
        headers.append((b"vary", b"x-odd, accept-language"))
    if kind == "private":
        headers.append((b"cache-control", b"private"))
    if scope["method"] == "POST":
        headers = [(b"cache-group-invalidation", b'"t"')]
    await send({"type": "http.response.start", "status": 404 if kind == "missing" else 200, "headers": headers})
    if kind == "streams":
        for _ in range(5):
            await send({"type": "http.response.body", "body": b"x" * 20_000, "more_body": True})
    await send({"type": "http.response.body", "body": b"x" * 200_000 if kind == "large" else body + b"ok"})
"""

KINDS = [
    "plain",
    "slow",
    "hangs",
    "raises",
    "deaf",
    "vary",
    "private",
    "missing",
    "streams",
    "large",
    "refuses",
]
KINDS += [".fresh/stats"]


class Attacker:
    """One peer, whose doings follow from a seed."""

    def __init__(self, address: tuple[str, int], seed: int) -> None:
        self.address, self.random = address, random.Random(seed)

    def lines(self) -> list[str]:
        odd = [
            "Accept: text/event-stream",
            f"Prefer: wait={self.random.choice([0, 1, 60, 10**9])}",
            'If-None-Match: "x"',
            "If-None-Match: " + ", ".join(f'"{n}"' for n in range(self.random.choice([1, 3000]))),
            "Last-Event-ID: " + self.random.choice(["x", "0-0", "9" * 64, "y" * 20_000]),
            f"X-Odd: {self.random.random()}",
            f"Accept-Language: {self.random.randrange(50)}",
            f"Cookie: user={self.random.randrange(3)}",
            "Authorization: Bearer a.eyJleHAiOjF9.c",
            "Range: bytes=0-1,2-3",
            "Origin: http://localhost",
            "Expect: 100-continue",
            "Connection: close",
            "Connection: keep-alive, Upgrade, cookie",
            "X-Forwarded-Host: evil",
            "TE: trailers",
            "Accept-Encoding: " + "gzip;q=0.1," * 500,
        ]
        return self.random.sample(odd, self.random.randrange(5))

    def a_request(self) -> bytes:
        path = f"/{self.random.choice(KINDS)}"
        if self.random.random() < 0.3:
            path += f"?{self.random.randrange(1000)}"
        body = self.random.choice([b"", b"hello", b"GET / HTTP/1.1\r\n\r\n", b"z" * 70_000])
        match self.random.randrange(8):
            case 0 | 1 | 2:
                return request(path, *self.lines())
            case 3:
                return request(
                    path, *self.lines(), method=self.random.choice(["POST", "HEAD", "PUT"]), body=body
                )
            case 4:
                chunks = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
                end = self.random.choice([b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"g\r\n", b""])
                return (
                    request(path, *self.lines(), "Transfer-Encoding: chunked", method="POST") + chunks + end
                )
            case 5 | 6:
                protocol = self.random.choice(["", "freshwire.v1", "freshwire.v1, other"])
                deflate = ["Sec-WebSocket-Extensions: permessage-deflate"] * self.random.randrange(2)
                opened = handshake(path, *self.lines(), *deflate, subprotocol=protocol)
                return opened + b"".join(self.a_frame() for _ in range(self.random.randrange(30)))
            case _:
                broken = bytearray(request(path, *self.lines()))
                for _ in range(self.random.randrange(1, 6)):
                    broken[self.random.randrange(len(broken))] = self.random.randrange(256)
                return bytes(broken)

    def a_frame(self) -> bytes:
        data = self.random.choice([b"", b"hi", b"x" * 125, b"x" * 60_000, b"\xff"])
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        small = (deflate.compress(bytes(10_000)) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
        return self.random.choice(
            [
                frame(TEXT, data),
                frame(TEXT, data, last=False),
                frame(0, data),
                frame(TEXT, small, bits=64),
                frame(PING, data[:125]),
                frame(CLOSE, b"\x03\xe8"),
                frame(self.random.randrange(16), data, bits=self.random.choice([0, 16, 32, 64])),
                self.random.randbytes(20),
            ]
        )

    def attack(self) -> None:
        with socket.socket() as peer:
            if self.random.random() < 0.3:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.settimeout(0.2)
            try:
                peer.connect(self.address)
                sent = b"".join(self.a_request() for _ in range(self.random.randrange(1, 5)))
                while sent and self.random.random() > 0.02:
                    cut = self.random.choice([1, 7, 100, 5000, len(sent)])
                    peer.sendall(sent[:cut])
                    sent = sent[cut:]
                    if self.random.random() < 0.2:
                        peer.recv(self.random.choice([1, 100, 65536]))
                match self.random.randrange(4):
                    case 0:
                        # A reset instead of an end.
                        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    case 1:
                        peer.shutdown(socket.SHUT_WR)
                        peer.recv(65536)
                    case 2:
                        peer.recv(65536)
            except OSError:  # the node has ended it, or says nothing
                pass

    def rounds(self) -> None:
        for _ in range(ROUNDS):
            self.attack()


def test_nothing_is_left_of_peers_that_did_their_worst(attack_process: Callable[..., TargetProcess]) -> None:
    target = attack_process(SOURCE, app_timeout_s=2, keep_alive_timeout_s=5, max_cache_bytes=2**20, threads=2)
    seed = random.randrange(10**9)
    print(f"seed {seed}")

    def all_of_them(generation: int) -> None:
        with ThreadPoolExecutor(8) as pool:
            attackers = [Attacker(target.address, seed + 100 * generation + n) for n in range(8)]
            list(pool.map(Attacker.rounds, attackers))

    all_of_them(0)
    before = target.memory_kib()
    all_of_them(1)
    eventually(lambda: target.stats()["connections"] <= 1, "no connection is left but this one")
    stats = target.stats()
    assert (stats["watchers"], stats["watched"], stats["panics"]) == (0, 0, 0)
    assert target.memory_kib() - before < 16 * 1024
    peer = target.connect()
    for path in ("/plain", "/vary", "/large", "/streams"):
        assert peer.get(path).status == 200
    for n in range(600):  # more than may be read at once for watchers
        peer = target.connect()
        peer.send(request(f"/plain?w{n}", "Accept: text/event-stream"))
        assert peer.stream().status == 200
        peer.close()
    assert target.process.poll() is None
