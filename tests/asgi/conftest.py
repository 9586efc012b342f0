"""A real node with a real application, in a thread with an event loop of its own, on any free port."""

import asyncio
import http.client
import logging
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import uvloop
from freshwire.asgi.server import Listener, Server
from freshwire.asgi.types import Application

TIMEOUT_S = 10.0


class Records(logging.Handler):
    """Keeps what is logged, and lets a test wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self._changed = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._changed:
            self.records.append(record)
            self._changed.notify_all()

    def wait(self) -> logging.LogRecord:
        """The first record."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.records, TIMEOUT_S), "nothing was logged"
            return self.records[0]


class Reply:
    """A response, read to its end."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()


class Served:
    """A running server, as a client sees it."""

    def __init__(
        self,
        server: Server,
        port: int,
        loop: asyncio.AbstractEventLoop,
        stop: asyncio.Event,
        thread: threading.Thread,
        errors: Records,
    ) -> None:
        self.server = server
        self.port = port
        self.loop = loop
        self.stop = stop
        self.thread = thread
        self.errors = errors

    def connect(self, request: bytes = b"") -> socket.socket:
        """A connection that has sent `request`."""
        client = socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S)
        client.sendall(request)
        return client

    def raw(self, request: bytes) -> bytes:
        """Everything that comes back until the server closes."""
        with self.connect(request) as client:
            return b"".join(iter(lambda: client.recv(65536), b""))

    def reset(self, client: socket.socket) -> None:
        """Leave without a goodbye."""
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

    def reply(self, client: socket.socket, method: str = "GET") -> Reply:
        """The next response on a connection."""
        response = http.client.HTTPResponse(client, method=method)
        response.begin()
        return Reply(response)

    def get(self, target: str = "/", *lines: str, method: str = "GET", body: bytes | None = None) -> Reply:
        """One request on a connection of its own."""
        with self.connect(request(target, *lines, method=method, body=body)) as client:
            return self.reply(client, method)

    def begin_stop(self) -> None:
        """Ask the server to end, and wait until it has begun to."""
        self.loop.call_soon_threadsafe(self.stop.set)
        self.run(self.server.stopping.wait())

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run something on the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(TIMEOUT_S)


def request(
    target: str = "/", *lines: str, method: str = "GET", body: bytes | None = None, version: str = "1.1"
) -> bytes:
    """The bytes of a request whose connection is closed after it."""
    head = [f"{method} {target} HTTP/{version}", "Host: localhost", "Connection: close", *lines]
    if body is not None:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + (body or b"")


@contextmanager
def serving(
    app: Application, factory: Callable[[], asyncio.AbstractEventLoop], options: dict[str, Any], **more: Any
) -> Iterator[Served]:
    """Serve `app` until the block ends."""
    errors = Records()
    log = logging.Logger("errors under test", logging.WARNING)
    log.addHandler(errors)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    ready: threading.Event = threading.Event()
    running: list[tuple[Server, asyncio.AbstractEventLoop, asyncio.Event]] = []
    failures: list[BaseException] = []

    async def main() -> None:
        server = Server(app, {"threads": 1, **options}, [Listener(listener)], log=log, **more)
        stop = asyncio.Event()
        running.append((server, asyncio.get_running_loop(), stop))
        task = asyncio.create_task(server.serve(stop))
        started = asyncio.create_task(server.started.wait())
        await asyncio.wait([task, started], return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        if server.started.is_set():
            ready.set()
        await task

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(main())
        except BaseException as error:
            failures.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(TIMEOUT_S), "the server did not start"
    server, loop, stop = running[0]
    try:
        if server.started.is_set():
            yield Served(server, port, loop, stop, thread, errors)
    finally:
        with suppress(RuntimeError):  # the loop is closed already
            loop.call_soon_threadsafe(stop.set)
        thread.join(3 * TIMEOUT_S)
        assert not thread.is_alive(), "the server did not stop"
    if failures:
        raise failures[0]


Serve = Callable[..., Served]


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_factory(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}[request.param]


@pytest.fixture
def serve(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[Serve]:
    """Start a server: `serve(app, root_path=…, options={…})`."""
    running = []

    def start(app: Application, options: dict[str, Any] | None = None, **more: Any) -> Served:
        context = serving(app, loop_factory, options or {}, **more)
        served = context.__enter__()
        running.append(context)
        return served

    yield start
    for context in running:
        context.__exit__(None, None, None)
