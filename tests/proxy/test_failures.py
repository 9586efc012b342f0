"""An upstream that is hostile, broken or gone: what its clients see, and that nobody else sees anything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import threading

import pytest
from freshwire.testing import proxy

from tests.ports import free_port
from tests.proxy.upstream import Client, Request, ask, read_body, response, upstream
from tests.waiting import block_until

BAD = {
    "nothing": b"",
    "no HTTP": b"hello\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "two lengths to HEAD": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "no length": b"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\na",
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\na",
    "both framings": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    "a coding that is none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\na",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked in 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    "a CR in a value": b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 0\r\n\r\n",
    "a space in a name": b"HTTP/1.1 200 OK\r\nX Y: a\r\nContent-Length: 0\r\n\r\n",
    "a space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "a folded line": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a large head": b"HTTP/1.1 200 OK\r\n" + b"X: %s\r\n" % (b"x" * 9000) * 8 + b"Content-Length: 0\r\n\r\n",
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"Content-Length: 0\r\n\r\n",
    "a protocol nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    "a status below 100": b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n",
    "an interim response and the end": b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n",
    "another version": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_response_or_an_ambiguous_one_is_502(what: str) -> None:
    async def answers(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(BAD[what])
        await writer.drain()
        writer.close()

    method = "HEAD" if what.endswith("HEAD") else "POST"
    with upstream(answers) as up, proxy(up.url, allow_hosts=["*"]) as live, Client(live.url) as client:
        for _ in range(2):  # the client's connection goes on
            client.ask(method, "/")
            answer = client.head()
            while answer.status == 103:
                answer = client.head()
            assert answer.status == 502
            assert answer.get("content-type") == "application/problem+json"
            if method != "HEAD":
                problem = json.loads(client.read(int(answer.get("content-length") or 0)))
                assert problem["status"] == 502
                assert "upstream" in problem["detail"]
        reasons = live.stats()["refusals"]
    assert sum(reasons.values()) == 2
    assert all(reason.startswith("upstream_") for reason in reasons)


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_that_is_cut_anywhere_never_looks_whole(framing: str) -> None:
    body = random.Random(3).randbytes(150_000)
    whole = {
        "length": response("200 OK", body),
        "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"%x\r\n%s\r\n" % (50_000, body[i : i + 50_000]) for i in range(0, 150_000, 50_000))
        + b"0\r\n\r\n",
    }[framing]

    async def dies(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(whole[: int(request.target.strip("/"))])
        await writer.drain()
        writer.close()

    chance = random.Random(framing)
    cuts = {0, 1, 30, len(whole) - 1, len(whole) - 2, len(whole) - 5}
    cuts |= {chance.randrange(len(whole)) for _ in range(40)}
    with upstream(dies) as up, proxy(up.url, allow_hosts=["*"]) as live:
        for cut in sorted(cuts):
            try:
                answer = ask(live.url, "POST", f"/{cut}")
            except (EOFError, ConnectionResetError):
                continue
            assert answer.status == 502, cut
        assert ask(live.url, "POST", f"/{len(whole)}").body == body


def test_a_chunk_that_is_none_cuts_the_response() -> None:
    async def breaks(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await writer.drain()
        writer.write(b"zz\r\n")

    with upstream(breaks) as up, proxy(up.url, allow_hosts=["*"]) as live:
        for _ in range(3):
            with contextlib.suppress(EOFError):
                assert ask(live.url, "POST", "/").status == 502


def test_a_second_response_to_one_request_goes_to_nobody() -> None:
    async def twice(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = request.target.encode()
        writer.write(response("200 OK", name) + response("200 OK", b"stolen"))

    with upstream(twice) as up, proxy(up.url, allow_hosts=["*"]) as live, Client(live.url) as client:
        for number in range(50):
            client.ask("GET", f"/{number}")
            answer = client.answer()
            assert (answer.status, answer.body) in [(200, b"/%d" % number), (502, answer.body)]


def test_an_upstream_that_does_not_answer_in_time_is_504_and_hears_of_it() -> None:
    async def waits(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    with upstream(waits) as up, proxy(up.url, allow_hosts=["*"], app_timeout_s=0.3) as live:
        assert ask(live.url, "GET", "/").status == 504
        assert ask(live.url, "POST", "/", "Content-Length: 1", body=b"a").status == 504
        block_until(lambda: up.open == 0)
        assert len(up.requests) == 2  # nothing was sent again


def test_a_response_that_stops_is_cut() -> None:
    async def stops(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(100_000))
        await writer.drain()
        await reader.read()

    with upstream(stops) as up, proxy(up.url, allow_hosts=["*"], upstream_read_timeout_s=0.3) as live:
        with pytest.raises(EOFError):
            ask(live.url, "GET", "/")
        block_until(lambda: up.open == 0)


def test_a_client_that_leaves_takes_its_request_with_it() -> None:
    async def waits(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if request.target == "/stream":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            await writer.drain()
        await reader.read()

    with upstream(waits) as up, proxy(up.url, allow_hosts=["*"]) as live:
        for target in ("/stream", "/silent"):
            with Client(live.url) as client:
                client.ask("GET", target)
                if target == "/stream":
                    assert client.head().status == 200
                block_until(lambda: up.open == 1)
            block_until(lambda: up.open == 0)


def test_a_client_that_only_ends_its_side_still_gets_its_answer() -> None:
    async def answers(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(response("200 OK", b"late"))

    with upstream(answers) as up, proxy(up.url, allow_hosts=["*"]) as live, Client(live.url) as client:
        client.ask("GET", "/")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.answer().body == b"late"


def test_what_may_be_sent_twice_is_when_an_old_connection_ends_and_nothing_else_is() -> None:
    async def once(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_body(request, reader)
        used = sum(other.connection == request.connection for other in up.requests)
        if used == 1:
            writer.write(response("200 OK", b"a", "Cache-Control: no-store"))
            return
        if request.target == "/says":
            writer.write(b"HTTP/1.1 2")
            await writer.drain()
        writer.close()

    with upstream(once) as up, proxy(up.url, allow_hosts=["*"]) as live, Client(live.url) as client:

        def second(method: str, target: str, *lines: str, body: bytes = b"") -> tuple[int, int]:
            """The status of a request on a connection that is not new, and how often it was sent."""
            client.ask("GET", "/first")
            assert client.answer().status == 200
            before, retries = len(up.requests), live.stats()["upstream_retries"]
            client.ask(method, target, *lines, body=body)
            answer, sent = client.answer(), len(up.requests) - before
            assert live.stats()["upstream_retries"] - retries == sent - 1
            return answer.status, sent

        for method in ("GET", "PUT", "DELETE", "OPTIONS"):
            assert second(method, "/") == (200, 2), method
        assert second("POST", "/") == (502, 1)
        assert second("PATCH", "/") == (502, 1)
        assert second("PUT", "/", "Content-Length: 1", body=b"a") == (502, 1)
        assert second("GET", "/says") == (502, 1)


def test_a_new_connection_that_ends_is_not_tried_again() -> None:
    async def ends(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    with upstream(ends) as up, proxy(up.url, allow_hosts=["*"]) as live:
        assert ask(live.url, "GET", "/").status == 502
        assert len(up.requests) == 1


def test_above_the_limit_of_connections_requests_wait_for_one() -> None:
    go_on = threading.Event()

    async def waits(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.to_thread(go_on.wait)
        writer.write(response("200 OK", request.target.encode()))

    options = {"allow_hosts": ["*"], "max_upstream_connections": 2, "threads": 1}
    with upstream(waits) as up, proxy(up.url, **options) as live:
        clients = [Client(live.url) for _ in range(8)]
        for number, client in enumerate(clients):
            client.ask("GET", f"/{number}")
        block_until(lambda: len(up.requests) == 2 and live.stats()["requests"] == 8)
        go_on.set()
        assert [client.answer().body for client in clients] == [b"/%d" % n for n in range(8)]
        assert up.connections == 2
        for client in clients:
            client.__exit__()


def test_nobody_there_is_502_and_nobody_answering_the_phone_504() -> None:
    with proxy(f"http://127.0.0.1:{free_port()}", allow_hosts=["*"]) as live:
        assert ask(live.url, "POST", "/").status == 502
        assert live.stats()["upstreams_out"] == 1
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        callers = []
        for _ in range(4):  # the kernel takes one or two more than the backlog says
            caller = socket.socket()
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
            callers.append(caller)
        options = {"allow_hosts": ["*"], "upstream_connect_timeout_s": 0.2}
        with proxy(f"http://127.0.0.1:{full.getsockname()[1]}", **options) as live:
            assert ask(live.url, "GET", "/").status == 504
        for caller in callers:
            caller.close()
