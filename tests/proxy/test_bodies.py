"""Bodies both ways: the same bytes, at the pace of the slower end."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

from freshwire.testing import proxy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.proxy.upstream import Client, Request, read_body, response, upstream
from tests.waiting import block_until

MIB = 2**20


def pieces(data: bytes, seed: int) -> list[bytes]:
    """Cut somewhere."""
    chance, cut = random.Random(seed), []
    while data:
        size = chance.choice([1, 2, 100, 5_000, 70_000, 200_000])
        cut.append(data[:size])
        data = data[size:]
    return cut


def chunked(parts: list[bytes]) -> list[bytes]:
    return [b"%x\r\n%s\r\n" % (len(part), part) for part in parts] + [b"0\r\n\r\n"]


async def mirror(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with the request's body, cut and framed as its target says."""
    body = await read_body(request, reader)
    framing, seed = request.target.strip("/").split("/")
    cut = pieces(body, int(seed))
    match framing:
        case "length":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        case "chunks":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            cut = chunked(cut)
        case "close":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for piece in cut:
        writer.write(piece)
        await writer.drain()
    if framing == "close":
        writer.close()


def test_random_bodies_in_random_pieces_arrive_as_they_were_sent() -> None:
    with upstream(mirror) as up, proxy(up.url, allow_hosts=["*"]) as live, Client(live.url) as client:

        @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(
            size=st.sampled_from([0, 1, 17, 4_096, 65_536, 65_537, 300_000, MIB]),
            sent=st.sampled_from(["length", "chunks"]),
            answered=st.sampled_from(["length", "chunks", "close"]),
            seed=st.integers(0, 2**30),
        )
        def identical(size: int, sent: str, answered: str, seed: int) -> None:
            body = random.Random(seed).randbytes(size)
            parts = pieces(body, seed)
            line = f"Content-Length: {size}" if sent == "length" else "Transfer-Encoding: chunked"

            def send() -> None:
                client.ask("POST", f"/{answered}/{seed}", line)
                for part in parts if sent == "length" else chunked(parts):
                    client.send(part)

            sender = threading.Thread(target=send)
            sender.start()
            answer = client.answer()
            sender.join()
            assert (answer.status, answer.body) == (200, body)

        identical()


def test_many_clients_at_once_get_each_their_own() -> None:
    def exchange(number: int) -> None:
        chance = random.Random(number)
        with Client(live.url) as client:
            for _ in range(10):
                body = chance.randbytes(chance.choice([1, 1_000, 100_000]))
                framing, seed = chance.choice(["length", "chunks", "close"]), chance.randrange(1_000)
                client.ask("PUT", f"/{framing}/{seed}", f"Content-Length: {len(body)}", body=body)
                assert client.answer().body == body

    options = {"allow_hosts": ["*"], "threads": 4, "max_upstream_connections": 8}
    with upstream(mirror) as up, upstream(mirror) as other, proxy(up.url, other.url, **options) as live:
        with ThreadPoolExecutor(24) as clients:
            list(clients.map(exchange, range(24)))
        assert up.open + other.open <= 16
        assert live.stats()["refusals"] == {}


def test_an_upstream_that_does_not_read_holds_back_the_client_and_then_gets_everything() -> None:
    go_on = threading.Event()
    seen = bytearray()

    async def slow(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(go_on.wait)
        seen.extend(await read_body(request, reader))
        writer.write(response("200 OK"))

    total = 64 * MIB
    options = {"allow_hosts": ["*"], "max_body_bytes": total}
    with upstream(slow) as up, proxy(up.url, **options) as live, Client(live.url) as client:
        client.ask("POST", "/", f"Content-Length: {total}")
        block_until(lambda: len(up.requests) == 1)
        client.socket.settimeout(1.0)
        sent = 0
        with contextlib.suppress(TimeoutError):  # nobody takes more
            while sent < total:
                sent += client.socket.send(bytes(256 * 1024))
        # What the kernels of three sockets hold, and a little in between.
        assert sent < total // 2
        go_on.set()
        client.socket.settimeout(30.0)
        client.send(bytes(total - sent))
        assert client.answer().status == 200
    assert len(seen) == total


def test_a_client_that_does_not_read_holds_back_the_upstream() -> None:
    total, written = 64 * MIB, []

    async def fast(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        for _ in range(total // MIB):
            writer.write(bytes(MIB))
            await writer.drain()
            written.append(MIB)

    options = {"allow_hosts": ["*"], "write_timeout_s": 60.0, "rate_grace_s": 60.0}
    with upstream(fast) as up, proxy(up.url, **options) as live, Client(live.url) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.ask("GET", "/")
        assert client.head().status == 200
        before = -1
        while before != len(written):  # until nothing moves
            before = len(written)
            threading.Event().wait(0.5)
        assert sum(written) < total // 2
        assert len(client.read(total)) == total


def test_an_answer_before_the_body_was_read_is_passed_on() -> None:
    async def early(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response("413 Too Large", b"no", "Connection: close"))

    with upstream(early) as up, proxy(up.url, allow_hosts=["*"]) as live:
        with Client(live.url) as client:
            client.ask("POST", "/", "Content-Length: 1000000")
            client.send(bytes(1000))
            answer = client.answer()
            assert (answer.status, answer.body) == (413, b"no")
        # The connection to the upstream, on which the body is missing, is used by nobody else.
        block_until(lambda: up.open == 0)


def test_a_client_that_expects_100_sends_its_body_when_the_upstream_wants_it() -> None:
    told: list[str] = []

    async def asks(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.append(request.get("expect") or "")
        if request.target == "/no":
            writer.write(response("401 Unauthorized", b"no"))
            return
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.write(response("200 OK", await read_body(request, reader)))

    with upstream(asks) as up, proxy(up.url, allow_hosts=["*"]) as live:
        with Client(live.url) as client:
            client.ask("POST", "/yes", "Content-Length: 3", "Expect: 100-continue")
            assert client.head().status == 100
            client.send(b"abc")
            assert client.answer().body == b"abc"
        with Client(live.url) as client:
            client.ask("POST", "/no", "Content-Length: 3", "Expect: 100-continue")
            assert client.answer().status == 401  # and no 100 before it
    assert told == ["100-continue"] * 2


def test_an_upstream_that_does_not_know_the_expectation_gets_the_body_after_a_moment() -> None:
    async def ignores(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response("200 OK", await read_body(request, reader)))

    with upstream(ignores) as up, proxy(up.url, allow_hosts=["*"]) as live, Client(live.url) as client:
        client.ask("POST", "/", "Content-Length: 3", "Expect: 100-continue")
        assert client.head().status == 100
        client.send(b"abc")
        assert client.answer().body == b"abc"
