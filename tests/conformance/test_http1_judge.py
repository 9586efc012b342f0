"""What judges HTTP/1.1 servers notices what is wrong: a parser that forgives nothing, and verdicts that can be bad."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from conformance.http1.answers import BrokenError, MoreError, parse
from conformance.http1.cases import Case, load
from conformance.http1.judge import run

CASES = {case.id: case for case in load()}
OK = b"HTTP/1.1 200 OK\r\nx-app: 1\r\ncontent-length: 0\r\n\r\n"
REFUSED = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na: b\nc: d\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
        b"hello\r\n\r\n",
    ],
)
def test_what_is_no_response_is_broken(data: bytes) -> None:
    with pytest.raises(BrokenError):
        parse(data, "GET", 1, ended=True)


@pytest.mark.parametrize("end", range(len(OK)))
def test_a_response_that_is_not_whole_is_waited_for(end: int) -> None:
    with pytest.raises(MoreError):
        parse(OK[:end], "GET", 1, ended=False)


@pytest.mark.parametrize(
    ("data", "minor"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 0),
        (b"HTTP/1.1 100 Continue\r\n\r\n", 0),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", 1),
        (b"HTTP/1.1 205 Reset Content\r\ncontent-length: 1\r\n\r\nx", 1),
    ],
)
def test_what_must_not_be_sent_is_remarked_on(data: bytes, minor: int) -> None:
    assert parse(data, "GET", minor, ended=False)[0].remarks


@contextmanager
def answering(data: bytes) -> Iterator[tuple[str, int]]:
    """A server that says this to whatever comes first, and ends the connection."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1)
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)


def faults(case: Case, data: bytes, *given: dict[str, object], own: bool = False) -> tuple[str, ...]:
    calls = iter([[], list(given)] * 2)
    with answering(data) as address:
        return run(case, address, lambda: next(calls), own=own).faults


REQUEST = {"method": "GET", "target": "/", "version": "1.1", "fields": [["x-a", "b c"]], "body": ""}


def test_a_refusal_is_what_two_hosts_get() -> None:
    assert faults(CASES["host/twice-the-same"], REFUSED) == ()


def test_an_answer_to_two_hosts_is_a_fault() -> None:
    assert "200 close instead of 400" in faults(CASES["host/twice-the-same"], OK, REQUEST)


def test_what_is_refused_and_reaches_the_application_is_a_fault() -> None:
    assert any("was given GET /" in fault for fault in faults(CASES["host/twice-the-same"], REFUSED, REQUEST))


def test_another_request_than_was_sent_is_a_fault() -> None:
    folded = CASES["fields/fold"]
    assert faults(folded, OK, REQUEST) == ()
    assert any("x-a" in fault for fault in faults(folded, OK, {**REQUEST, "fields": [["x-a", "b"]]}))


def test_more_bytes_than_the_response_has_are_a_fault() -> None:
    assert any(
        "not a status line" in fault
        for fault in faults(CASES["host/twice-the-same"], REFUSED + b"xx\r\n\r\n")
    )


def test_ours_may_be_stricter() -> None:
    folded = replace(CASES["fields/fold"], given=None)
    assert any("Freshwire answers 400" in fault for fault in faults(folded, OK, REQUEST, own=True))
