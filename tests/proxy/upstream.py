"""An upstream of which a test decides every byte, and a client that sees every byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

PATIENCE_S = 10.0
Handler = Callable[["Request", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Request:
    """A request as it came."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    connection: int = 0
    """Which connection of the upstream it came on, from 0."""

    def get(self, name: str) -> str | None:
        return next((value for known, value in self.fields if known == name), None)

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.fields if known == name]


async def read_head(reader: asyncio.StreamReader) -> Request | None:
    """The next head; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    method, target, version = first.split(" ")
    assert version == "HTTP/1.1"
    pairs = [line.split(": ", 1) for line in lines]
    return Request(method, target, [(name.lower(), value) for name, value in pairs])


async def read_body(request: Request, reader: asyncio.StreamReader) -> bytes:
    """All of a request's body, whichever framing it has."""
    if request.get("transfer-encoding") == "chunked":
        body = bytearray()
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readexactly(2) == b"\r\n"
        return bytes(body)
    return await reader.readexactly(int(request.get("content-length") or 0))


def response(status: str, body: bytes = b"", *lines: str) -> bytes:
    """A response with a declared length."""
    head = [f"HTTP/1.1 {status}", *lines, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(head).encode() + body


async def echo(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with what was asked: target and fields as JSON, or the body if there is one."""
    body = await read_body(request, reader)
    said = body or json.dumps([request.method, request.target, request.fields]).encode()
    writer.write(
        response("200 OK", said, "Content-Type: application/octet-stream", "Cache-Control: no-store")
    )


@dataclass
class Upstream:
    """A server in a thread; each head that comes is given to the handler."""

    handler: Handler
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    """Accepted so far."""
    open: int = 0
    """Open now."""
    errors: list[BaseException] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.connections, self.open = self.connections, self.connections + 1, self.open + 1
        try:
            while (request := await read_head(reader)) is not None:
                request.connection = number
                self.requests.append(request)
                await self.handler(request, reader, writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except Exception as error:  # the test sees it at the end
            self.errors.append(error)
        finally:
            self.open -= 1
            writer.close()


@contextlib.contextmanager
def upstream(handler: Handler = echo, *, port: int = 0, path: str | None = None) -> Iterator[Upstream]:
    """Run an upstream. `path`: on a Unix socket there."""
    running = Upstream(handler)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> asyncio.Server:
        if path is not None:
            return await asyncio.start_unix_server(running.serve, path, limit=2**20)
        return await asyncio.start_server(running.serve, "127.0.0.1", port, limit=2**20)

    async def stop() -> None:
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(PATIENCE_S)
    running.url = f"unix:{path}" if path else f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield running
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(PATIENCE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()
    assert not running.errors, running.errors


class Client:
    """A connection to the node."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)), PATIENCE_S)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, method: str, target: str, *lines: str, body: bytes = b"") -> None:
        """Send a request."""
        self.send(
            "\r\n".join([f"{method} {target} HTTP/1.1", "Host: a.localhost", *lines, "", ""]).encode() + body
        )

    def head(self) -> Answer:
        """The next head."""
        status = self.file.readline().decode()
        if not status:
            raise EOFError
        fields: list[tuple[str, str]] = []
        while (line := self.file.readline().decode("latin-1").rstrip("\r\n")) != "":
            name, _, value = line.partition(": ")
            fields.append((name, value))
        return Answer(int(status.split(" ")[1]), fields)

    def answer(self, *, to_head: bool = False) -> Answer:
        """The next whole response. Raises EOFError if it is cut short."""
        answer = self.head()
        if to_head or answer.status in (204, 304) or answer.status < 200:
            return answer
        if answer.get("transfer-encoding") == "chunked":
            body = bytearray()
            while True:
                line = self.file.readline()
                if not line.endswith(b"\r\n"):
                    raise EOFError
                size = int(line, 16)
                if size == 0:
                    break
                body += self.read(size)
                self.read(2)
            while (line := self.file.readline().decode("latin-1")) != "\r\n":
                if not line:
                    raise EOFError
                name, _, value = line.rstrip("\r\n").partition(": ")
                answer.trailers.append((name, value))
            answer.body = bytes(body)
        elif (length := answer.get("content-length")) is not None:
            answer.body = self.read(int(length))
        else:
            raise AssertionError("a response without framing")
        return answer

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        if len(data) < size:
            raise EOFError
        return data


@dataclass
class Answer:
    """A response as it came."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)

    def get(self, name: str) -> str | None:
        return next((value for known, value in self.fields if known == name), None)

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.fields if known == name]


def ask(url: str, method: str, target: str, *lines: str, body: bytes = b"") -> Answer:
    """One request on a connection of its own."""
    with Client(url) as client:
        client.ask(method, target, *lines, body=body)
        return client.answer(to_head=method == "HEAD")


def asked(url: str, *lines: str, method: str = "GET", target: str = "/") -> Request:
    """What an `echo` upstream sees of a request."""
    method, target, fields = json.loads(ask(url, method, target, *lines).body)
    return Request(method, target, [(name, value) for name, value in fields])
