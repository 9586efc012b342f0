"""A client that says exactly the bytes it is told to, and reads what comes back: a bare socket, HTTP/1.1 responses,
WebSocket frames and event streams, written for these tests alone so that no library repairs an attack on its way.
"""

import itertools
import json
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 20.0
"""Longest wait for any one thing. Nothing here takes as long; a test that reaches it has failed."""

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Closed(Exception):  # noqa: N818 - an event, often the one that a test waits for
    """The node has ended the connection."""


@dataclass
class Response:
    """One response."""

    status: int
    head: bytes
    headers: list[tuple[str, str]]
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.headers if known == name]

    def __getitem__(self, name: str) -> str:
        return ", ".join(self.all(name))

    @property
    def problem(self) -> str:
        """The detail of a problem document."""
        assert self["content-type"] == "application/problem+json", self
        said = json.loads(self.body)
        assert said["status"] == self.status
        return str(said["detail"])


@dataclass(frozen=True)
class Frame:
    """A frame from the node."""

    op: int
    payload: bytes
    first: int

    @property
    def code(self) -> int:
        assert self.op == CLOSE, self
        return int(struct.unpack("!H", self.payload[:2])[0])

    @property
    def reason(self) -> str:
        assert self.op == CLOSE, self
        return self.payload[2:].decode()


@dataclass(frozen=True)
class Event:
    """An event of a stream."""

    type: str
    data: str
    id: str


class Peer:
    """One connection."""

    def __init__(self, address: tuple[str, int] | str, *, receive_buffer: int = 0) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(address)
        if family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._had = b""
        self._events: Iterator[Event] | None = None

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def try_send(self, data: bytes) -> bool:
        """Whether the node still took it."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    # Reading

    def _more(self) -> None:
        try:
            data = self.socket.recv(256 * 1024)
        except ConnectionResetError as error:
            raise Closed from error
        if not data:
            raise Closed
        self._had += data

    def exactly(self, n: int) -> bytes:
        while len(self._had) < n:
            self._more()
        data, self._had = self._had[:n], self._had[n:]
        return data

    def until(self, mark: bytes) -> bytes:
        while mark not in self._had:
            self._more()
        data, self._had = self._had.split(mark, 1)
        return data + mark

    def rest(self) -> bytes:
        """Everything until the node ends the connection."""
        try:
            while True:
                self._more()
        except Closed:
            data, self._had = self._had, b""
            return data

    def available(self) -> bytes:
        """What has come, without waiting for more."""
        self.socket.setblocking(False)
        try:
            while True:
                self._more()
        except BlockingIOError:
            data, self._had = self._had, b""
            return data
        finally:
            self.socket.settimeout(TIMEOUT_S)

    def response(self, method: str = "GET") -> Response:
        """The next response, interim ones left out."""
        while True:
            head = self.until(b"\r\n\r\n")
            first, *lines = head[:-4].split(b"\r\n")
            assert first.startswith(b"HTTP/1.1 "), head
            pairs = [line.split(b":", 1) for line in lines]
            headers = [(name.decode().lower(), value.strip().decode("latin-1")) for name, value in pairs]
            answer = Response(int(first[9:12]), head, headers)
            if answer.status >= 200 or answer.status == 101:
                break
        if method == "HEAD" or answer.status in (101, 204, 304):
            return answer
        if answer["transfer-encoding"] == "chunked":
            answer.body = b"".join(iter(self.chunk, b""))
        elif length := answer["content-length"]:
            answer.body = self.exactly(int(length))
        else:
            answer.body = self.rest()
        return answer

    def stream(self) -> Response:
        """The head of a response whose body is read by `event` or `chunk`."""
        head = self.until(b"\r\n\r\n")
        pairs = [line.split(b":", 1) for line in head[:-4].split(b"\r\n")[1:]]
        return Response(
            int(head[9:12]), head, [(name.decode().lower(), value.strip().decode()) for name, value in pairs]
        )

    def chunk(self) -> bytes:
        size = int(self.until(b"\r\n"), 16)
        data = self.exactly(size)
        assert self.exactly(2) == b"\r\n"
        return data

    def event(self) -> Event:
        """The next event of a chunked event stream. Raises Closed at its end."""
        if self._events is None:
            self._events = interpret(iter(self.chunk, b""))
        try:
            return next(self._events)
        except StopIteration:
            raise Closed from None

    def frame(self) -> Frame:
        """The next frame."""
        first, second = self.exactly(2)
        assert second < 128, "a server does not mask"
        size = second
        if second == 126:
            (size,) = struct.unpack("!H", self.exactly(2))
        elif second == 127:
            (size,) = struct.unpack("!Q", self.exactly(8))
        return Frame(first & 15, self.exactly(size), first)

    def message(self) -> Frame:
        """The next frame that is no heartbeat."""
        return next(f for f in iter(self.frame, None) if f.op not in (PING, PONG))

    # Saying

    def get(self, target: str = "/", *lines: str, method: str = "GET", host: str | None = None) -> Response:
        """A request, and its response."""
        self.send(request(target, *lines, method=method, host=self.host if host is None else host))
        return self.response(method)

    @property
    def host(self) -> str:
        name = self.socket.getpeername()
        return "localhost" if isinstance(name, str) else f"{name[0]}:{name[1]}"

    def upgrade(self, target: str = "/", *lines: str, subprotocol: str = "") -> Response:
        """A WebSocket handshake, and its response."""
        self.send(handshake(target, *lines, host=self.host, subprotocol=subprotocol))
        return self.response()


def request(
    target: str = "/", *lines: str, method: str = "GET", host: str = "localhost", body: bytes | None = None
) -> bytes:
    """The bytes of a request."""
    length = [] if body is None else [f"Content-Length: {len(body)}"]
    head = [f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, *length, "", ""]
    return "\r\n".join(head).encode("utf-8") + (body or b"")


def handshake(target: str = "/", *lines: str, host: str = "localhost", subprotocol: str = "") -> bytes:
    """The bytes of a WebSocket handshake."""
    return request(
        target,
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *([f"Sec-WebSocket-Protocol: {subprotocol}"] if subprotocol else []),
        *lines,
        host=host,
    )


def frame(
    op: int,
    payload: bytes = b"",
    *,
    last: bool = True,
    bits: int = 0,
    mask: bool = True,
    size: int | None = None,
) -> bytes:
    """A client's frame; `size`: what the length field says, if not the truth; `bits`: the reserved ones."""
    size = len(payload) if size is None else size
    head = bytes([(128 if last else 0) | bits | op])
    masked = 128 if mask else 0
    if size < 126:
        head += bytes([masked | size])
    elif size < 65536:
        head += struct.pack("!BH", masked | 126, size)
    else:
        head += struct.pack("!BQ", masked | 127, size)
    # A mask of zeros is a mask.
    return head + (bytes(4) if mask else b"") + payload


def interpret(chunks: Iterator[bytes]) -> Iterator[Event]:
    """HTML Living Standard §9.2.6, for a stream that is cut anywhere."""
    kind, last_id, pending_id = "", "", ""
    data: list[str] = []
    for line in _lines(chunks):
        if not line:
            last_id = pending_id
            if data:
                yield Event(kind or "message", "\n".join(data), last_id)
            kind, data = "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            pending_id = value


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """Lines that end with CR, LF or CRLF."""
    had = b""
    for chunk in itertools.chain(chunks, [b""]):
        had += chunk
        while True:
            ends = [at for at in (had.find(b"\r"), had.find(b"\n")) if at >= 0]
            # A CR at the very end may be half of a CRLF.
            if not ends or (min(ends) == len(had) - 1 and had.endswith(b"\r")):
                break
            line, after = had[: min(ends)], min(ends) + 1
            after += had[after - 1 : after + 1] == b"\r\n"
            had = had[after:]
            yield line.decode("utf-8")


def json_of(answer: Response) -> Any:
    return json.loads(answer.body)
