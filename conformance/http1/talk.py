"""A client that says exactly the bytes of a case, cut as told, and hears everything that comes back."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from conformance.http1.answers import Answer, BrokenError, MoreError, parse

PROBE = "/probe"
"""What the client asks for when it wants to know whether the connection still works."""
TIMEOUT_S = 10.0
"""For an answer that must come."""
QUIET_S = 0.4
"""After so long without a byte there is nothing more to hear."""
_PROBE_REQUEST = f"GET {PROBE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


@dataclass
class Heard:
    """What a server answered."""

    answers: list[Answer] = field(default_factory=list)
    """Interim ones too, without the probe's."""
    end: str = "open"
    """`keep` (the probe was answered), `close`, or `open` (neither)."""
    broken: str = ""
    """What cannot be read as HTTP."""

    @property
    def text(self) -> str:
        """Statuses and end, as in `200 400 close`."""
        words = [str(answer.status) for answer in self.answers] + ([self.end] if self.end != "keep" else [])
        return " ".join(words) + (f" broken ({self.broken})" if self.broken else "")


class Talk:
    """One connection."""

    def __init__(
        self, address: tuple[str, int], requests: Sequence[tuple[str, int]], *, foreign: bool = False
    ) -> None:
        """Connect.

        requests: method and minor version of each request that will be sent, for the framing of the answers.
        foreign: the server has another application, whose answer to the probe cannot be told from others.
        """
        self._socket = socket.create_connection(address, TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._requests = requests
        self._foreign = foreign
        self._data = b""
        self._ended = False
        self._final = 0
        self.heard = Heard()

    def hold(self, parts: Sequence[bytes], *, cut: bool, then: str, most: int) -> Heard:
        """Send the parts, each whole or byte by byte; hear the answers, at most so many final ones before the end.

        then: `probe` or `eof`.
        """
        try:
            with self._socket:
                for n, part in enumerate(parts):
                    self._send(part, cut=cut)
                    if n + 1 < len(parts):
                        self._hear(len(self.heard.answers) + 1, QUIET_S)
                self._finish(then, most)
        except BrokenError as error:
            self.heard.broken = str(error)
        return self.heard

    def _finish(self, then: str, most: int) -> None:
        if then == "eof":
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
            self._hear(None, 2 * QUIET_S)
        else:
            self._hear_final(most)
            if not self._ended:
                last = self.heard.answers[-1:]
                if last and last[0].status == 101:
                    self.heard.end = "keep"
                    return
                said_close = bool(last) and last[0].says_close
                if said_close:
                    self._hear(None, QUIET_S)
                if not self._ended:
                    self._probe()
                # It may read on for a while, so that its answer is read (RFC 9112 §9.6).
                self._ended |= said_close and self.heard.end != "keep"
        if self._ended:
            self.heard.end = "close"

    def _probe(self) -> None:
        before = len(self.heard.answers)
        self._send(_PROBE_REQUEST, cut=False)
        deadline = time.monotonic() + 2 * QUIET_S
        while time.monotonic() < deadline and not self._ended:
            self._hear(len(self.heard.answers) + 1, 2 * QUIET_S)
            new = self.heard.answers[before:]
            if new and (self._foreign or new[-1]["x-target"] == PROBE):
                self.heard.answers.pop()
                self.heard.end = "keep"
                return

    def _hear_final(self, most: int) -> None:
        """Until there are so many final answers, or nothing comes."""
        while self._final < most and self._hear(len(self.heard.answers) + 1, QUIET_S):
            pass
        if self._ended:
            self._read_answers(None)

    def _hear(self, until: int | None, quiet_s: float) -> bool:
        """Until there are so many answers, the connection ends, or nothing comes for so long; whether one came."""
        before = len(self.heard.answers)
        while True:
            self._read_answers(until)
            if self._ended or (until is not None and len(self.heard.answers) >= until):
                break
            if not self._receive(quiet_s):
                break
        return len(self.heard.answers) > before

    def _read_answers(self, until: int | None) -> None:
        while self._data and (until is None or len(self.heard.answers) < until):
            if self.heard.answers and self.heard.answers[-1].status == 101:
                return
            method, minor = self._requests[self._final] if self._final < len(self._requests) else ("GET", 1)
            try:
                answer, used = parse(self._data, method, minor, ended=self._ended)
            except MoreError:
                if self._ended:
                    raise BrokenError(f"cut short: {self._data[-60:]!r}") from None
                return
            self._data = self._data[used:]
            self.heard.answers.append(answer)
            self._final += answer.status >= 200

    def _receive(self, quiet_s: float) -> bool:
        if not select.select([self._socket], [], [], quiet_s)[0]:
            return False
        try:
            data = self._socket.recv(1 << 16)
        except OSError:
            data = b""
        self._data += data
        self._ended |= not data
        return True

    def _send(self, data: bytes, *, cut: bool) -> None:
        """Send, but stop when the server ends the connection."""
        pieces = [data[i : i + 1] for i in range(len(data))] if cut else [data]
        for n, piece in enumerate(pieces):
            if self._ended:
                return
            if cut and (n < 1024 or n % 256 == 0):
                # Long enough for the server to see the byte alone, mostly.
                self._receive(0.00002) if n else None
            try:
                self._socket.sendall(piece)
            except OSError:
                # What it had to say before may still be there.
                while not self._ended and self._receive(QUIET_S):
                    pass
                self._ended = True
                return
