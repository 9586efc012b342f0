"""Clients as the test needs them: nothing is read from a socket but when the test says so.

Each connection turns what has come into events: [`Opened`][], [`Got`][], [`Ended`][]. [`wait`][] waits for them.
"""

import select
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import h11
from freshwire.client.sse import Parser
from freshwire.testing.watch import SUBPROTOCOL
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

RECEIVE_BUFFER = 4096
"""Bytes that the kernel holds for a client that does not read (it doubles them)."""
TIMEOUT_S = 15.0
Fields = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Opened:
    """The head of a stream has come."""

    position: str


@dataclass(frozen=True)
class Got:
    """A representation."""

    body: bytes
    position: str
    etag: str = ""


@dataclass(frozen=True)
class Ended:
    """It is over: with the status of a refusal or of a `gone`, or with none."""

    status: int | None
    reason: str = ""


Event = Opened | Got | Ended


class Connection:
    """A socket, and what was made of what it gave."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host = f"{parts.hostname}:{parts.port}"
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect((parts.hostname, parts.port))
        self.socket.setblocking(False)
        self.ended = False

    def pump(self) -> list[Event]:
        """What has come by now."""
        events: list[Event] = []
        while not self.ended:
            try:
                data = self.socket.recv(65536)
            except BlockingIOError:
                break
            except OSError as error:
                self.close()
                return [*events, Ended(None, repr(error))]
            try:
                come = self.feed(data)
            except Exception as error:  # what the node sent is wrong, or ends too early
                come = [Ended(None, repr(error))]
            if not data:
                come.append(Ended(None, "the connection ended"))
            for event in come:
                events.append(event)
                if isinstance(event, Ended):
                    self.close()
                    return events
        return events

    def feed(self, data: bytes) -> list[Event]:
        """Interpret what has come; nothing at the end."""
        raise NotImplementedError

    def send(self, data: bytes) -> None:
        """Send a little."""
        try:
            self.socket.setblocking(True)
            self.socket.sendall(data)
            self.socket.setblocking(False)
        except OSError:
            pass  # reading says what has happened

    def close(self) -> None:
        """Disconnect."""
        self.ended = True
        self.socket.close()


class Exchange(Connection):
    """One request and its response, over HTTP/1.1."""

    def __init__(
        self, url: str, target: str, fields: Fields = (), method: str = "GET", body: bytes = b""
    ) -> None:
        super().__init__(url)
        self.http = h11.Connection(h11.CLIENT)
        self.head: h11.Response | None = None
        self.body = b""
        self.ask(target, fields, method, body)

    def ask(self, target: str, fields: Fields, method: str = "GET", body: bytes = b"") -> None:
        """Send a request."""
        if body:
            fields = [*fields, ("content-length", str(len(body)))]
        request = h11.Request(method=method, target=target, headers=[("host", self.host), *fields])
        data = self.http.send(request) or b""
        if body:
            data += self.http.send(h11.Data(body)) or b""
        self.send(data + (self.http.send(h11.EndOfMessage()) or b""))

    def field(self, name: str) -> str:
        """A field of the response."""
        assert self.head is not None
        return next((value.decode() for key, value in self.head.headers if key == name.encode()), "")

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        self.http.receive_data(data)
        while True:
            match self.http.next_event():
                case h11.NEED_DATA | h11.PAUSED | h11.ConnectionClosed():
                    return events
                case h11.Response() as head:
                    self.head, self.body = head, b""
                    events += self.headed()
                case h11.Data(data=piece):
                    events += self.more(bytes(piece))
                case h11.EndOfMessage():
                    events += self.whole()

    def headed(self) -> list[Event]:
        return []

    def more(self, piece: bytes) -> list[Event]:
        self.body += piece
        return []

    def whole(self) -> list[Event]:
        assert self.head is not None
        return [Ended(self.head.status_code)]


class EventStream(Exchange):
    """Server-sent events."""

    def __init__(self, url: str, target: str, fields: Fields, last_id: str) -> None:
        self.parser = Parser()
        resume = [("last-event-id", last_id)] if last_id else []
        super().__init__(url, target, [*fields, *resume, ("accept", "text/event-stream")])

    def headed(self) -> list[Event]:
        assert self.head is not None
        return [Opened(self.field("fresh-position"))] if self.head.status_code == 200 else []

    def more(self, piece: bytes) -> list[Event]:
        assert self.head is not None
        if self.head.status_code != 200:
            return super().more(piece)
        events: list[Event] = []
        for event in self.parser.feed(piece):
            if event.event == "gone":
                status = int(event.data.split('"status":')[1].split(",")[0].rstrip("}"))
                return [*events, Ended(status, "gone")]
            assert event.event == "message", event
            events.append(Got(event.data.encode(), event.id))
        return events

    def whole(self) -> list[Event]:
        assert self.head is not None
        status = self.head.status_code
        return [Ended(status if status != 200 else None, "the stream ended")]


class WebSocket(Connection):
    """WebSocket messages."""

    def __init__(self, url: str, target: str, fields: Fields, last_id: str, deflate: bool) -> None:
        super().__init__(url)
        self.protocol = ClientProtocol(
            parse_uri(url.replace("http", "ws", 1) + target),
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            extensions=[ClientPerMessageDeflateFactory()] if deflate else None,
            max_size=None,
        )
        request = self.protocol.connect()
        request.headers["Origin"] = url
        for name, value in [*fields, *([("last-event-id", last_id)] if last_id else [])]:
            request.headers[name] = value
        self.protocol.send_request(request)
        self.send(b"".join(self.protocol.data_to_send()))

    def feed(self, data: bytes) -> list[Event]:
        if data:
            self.protocol.receive_data(data)
        else:
            self.protocol.receive_eof()
        events: list[Event] = []
        for received in self.protocol.events_received():
            match received:
                case Response(status_code=101, headers=headers):
                    events.append(Opened(headers.get("fresh-position", "")))
                case Response(status_code=status):
                    events.append(Ended(status))
                case Frame(opcode=Opcode.TEXT, data=body, fin=True):
                    events.append(Got(bytes(body), ""))
                case Frame(opcode=Opcode.CLOSE, data=body):
                    close = Close.parse(body)
                    status = close.code - 4000 if 4100 <= close.code < 4600 else None
                    events.append(Ended(status, f"close code {close.code}"))
                case Frame(opcode=Opcode.PING | Opcode.PONG):
                    pass
                case other:
                    raise AssertionError(f"not expected: {other}")
        self.send(b"".join(self.protocol.data_to_send()))
        return events


class LongPoll(Exchange):
    """GET, and again with the validator of what came."""

    def __init__(self, url: str, target: str, fields: Fields, etag: str) -> None:
        self.target, self.fields, self.etag = target, fields, etag
        super().__init__(url, target, self._fields())

    def _fields(self) -> Fields:
        wait = [("if-none-match", self.etag), ("prefer", "wait=20")] if self.etag else []
        return [*self.fields, *wait]

    def whole(self) -> list[Event]:
        assert self.head is not None
        status = self.head.status_code
        if status not in {200, 304}:
            return [Ended(status, "poll")]
        position = self.field("fresh-position")
        events: list[Event] = [Opened(position)]
        if status == 200:
            # A response that was streamed may have none; then any will do: it differs.
            self.etag = self.field("etag") or '"none"'
            events.append(Got(self.body, position, self.etag))
        self.http.start_next_cycle()
        self.ask(self.target, self._fields())
        return events


def wait(
    connections: Callable[[], Iterable[Connection]], done: Callable[[], bool], timeout_s: float = TIMEOUT_S
) -> bool:
    """Wait until `done`, which is asked whenever one of the connections has something to read."""
    until = time.monotonic() + timeout_s
    while not done():
        left_s = until - time.monotonic()
        if left_s <= 0:
            return False
        poller = select.poll()
        for connection in connections():
            if not connection.ended:
                poller.register(connection.socket, select.POLLIN)
        poller.poll(min(left_s, 0.05) * 1000)
    return True
