"""Event streams (HTML Living Standard, §9.2.6 "Interpreting an event stream"), read from chunks of bytes; no
I/O.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

from freshwire.exceptions import StreamTooLong

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""The default limit of an event: larger than any representation that a node pushes by default."""


@dataclass(frozen=True, slots=True)
class Event:
    """One dispatched event."""

    event: str
    """Its type; "message" when the stream gives none."""
    data: str
    id: str
    """The stream's last event id when the event was dispatched; it stays from one event to the next."""


class Parser:
    """Turns chunks of a stream into events, as an EventSource does."""

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        """Start at the beginning of a stream.

        max_event_bytes: the longest event, and the longest line, that is accepted.
        """
        self.last_event_id = ""
        """What to send as Last-Event-ID when reconnecting."""
        self.retry_ms: int | None = None
        """The newest reconnection time that the stream has set, milliseconds."""
        self._max_event_bytes = max_event_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._line = ""  # the beginning of a line whose end has not arrived
        self._after_cr = False  # a CR ended the last line, so a LF now belongs to it
        self._type = ""
        self._data: list[str] = []
        self._size = 0  # of the event so far
        self._id = ""  # becomes the last event id when an empty line ends the event

    def resume(self, last_event_id: str) -> None:
        """Go on after an event of another connection: a new stream starts, and the last event id stays."""
        self.last_event_id = self._id = last_event_id
        self._decoder.reset()
        self._line, self._after_cr, self._type, self._data, self._size = "", False, "", [], 0

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that this chunk completes. Raises StreamTooLong."""
        for line in self._lines(self._decoder.decode(chunk)):
            event = self._take(line)
            if event is not None:
                yield event

    def _lines(self, text: str) -> Iterator[str]:
        """The lines that this text completes: each ends with CR, LF or both."""
        start = 0
        if text and self._after_cr:
            start = int(text[0] == "\n")
            self._after_cr = False
        while True:
            ends = [end for end in (text.find("\n", start), text.find("\r", start)) if end >= 0]
            if not ends:
                break
            end = min(ends)
            line, self._line = self._line + text[start:end], ""
            start = end + 1
            if text[end] == "\r":
                if start == len(text):
                    self._after_cr = True
                elif text[start] == "\n":
                    start += 1
            yield line
        self._line += text[start:]
        self._check(len(self._line))

    def _take(self, line: str) -> Event | None:
        """Process one line; the event that it ends."""
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._size += len(value) + 1
                self._check(self._size)
                self._data.append(value)
            case "event":
                self._type = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_ms = int(value[:9])
        return None

    def _dispatch(self) -> Event | None:
        """End an event; one without data is none."""
        self.last_event_id = self._id
        lines, kind = self._data, self._type
        self._data, self._type, self._size = [], "", 0
        return Event(kind or "message", "\n".join(lines), self._id) if lines else None

    def _check(self, size: int) -> None:
        """Refuse what is longer than the limit; characters stand for bytes, of which each has at least
        one.
        """
        if size > self._max_event_bytes:
            raise StreamTooLong(f"an event is longer than {self._max_event_bytes} bytes")
