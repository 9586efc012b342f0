"""A parser of HTTP/1.1 responses that forgives nothing, so that a wrong framing is noticed (RFC 9112 §4, §6, §7)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2}) ([\t \x21-\x7e\x80-\xff]*)")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t \x21-\x7e\x80-\xff]*?)[ \t]*")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\t \x21-\x7e]*)?")


class BrokenError(Exception):
    """The server's bytes are no response."""


class MoreError(Exception):
    """More bytes are needed."""


@dataclass
class Answer:
    """One response."""

    status: int
    fields: list[tuple[str, str]]
    content: bytes = b""
    until_close: bool = False
    """Only the end of the connection ends it."""
    remarks: list[str] = field(default_factory=list)
    """What is wrong with it, though it can be read."""

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.fields if known == name]

    def __getitem__(self, name: str) -> str:
        return ", ".join(self.all(name))

    @property
    def says_close(self) -> bool:
        return "close" in re.split(r"[,\s]+", self["connection"].lower())


def parse(data: bytes, method: str, minor: int, *, ended: bool) -> tuple[Answer, int]:
    """The first response in the data to a request of this method and version, and where it ends.

    Raises MoreError or BrokenError.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if ended or len(data) > 65536:
            raise BrokenError(f"no whole head: {data[:80]!r}")
        if not b"HTTP/1.1 ".startswith(data[:9]) and not data.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")):
            raise BrokenError(f"not a status line: {data[:80]!r}")
        raise MoreError
    first, *lines = data[:end].split(b"\r\n")
    if not (status_line := _STATUS.fullmatch(first)):
        raise BrokenError(f"not a status line: {first[:80]!r}")
    fields = []
    for line in lines:
        if not (found := _FIELD.fullmatch(line)):
            raise BrokenError(f"not a field line: {line[:80]!r}")
        fields.append((found[1].decode().lower(), found[2].decode("latin-1")))
    answer = Answer(int(status_line[2]), fields)
    lengths, codings = answer.all("content-length"), answer.all("transfer-encoding")
    _check_framing(answer, lengths, codings, method, minor)
    at = end + 4
    tunnel = method == "CONNECT" and answer.status < 300
    if answer.status < 200 or answer.status in (204, 304) or method == "HEAD" or tunnel:
        return answer, at
    if codings:
        pieces = []
        for piece, after in _chunks(data, at):
            pieces.append(piece)
            at = after
        answer.content = b"".join(pieces)
    elif lengths:
        length = int(lengths[0])
        if len(data) < at + length:
            if ended:
                raise BrokenError(f"{len(data) - at} of {length} bytes of content")
            raise MoreError
        answer.content, at = data[at : at + length], at + length
    else:
        if not ended:
            raise MoreError
        answer.content, answer.until_close, at = data[at:], True, len(data)
    return answer, at


def _check_framing(answer: Answer, lengths: list[str], codings: list[str], method: str, minor: int) -> None:
    if len(lengths) > 1 or (lengths and not re.fullmatch(r"[0-9]+", lengths[0])):
        raise BrokenError(f"content-length: {lengths}")
    if codings and codings != ["chunked"]:
        raise BrokenError(f"transfer-encoding: {codings}")
    if lengths and codings:
        raise BrokenError("content-length and transfer-encoding")
    if codings and minor == 0:
        answer.remarks.append("Transfer-Encoding to HTTP/1.0")
    if (lengths or codings) and (answer.status < 200 or answer.status == 204):
        answer.remarks.append(f"{answer.status} with Content-Length or Transfer-Encoding")
    if answer.status < 200 and minor == 0:
        answer.remarks.append(f"{answer.status} to HTTP/1.0")
    if answer.status == 205 and (codings or (lengths and lengths != ["0"])) and method != "HEAD":
        answer.remarks.append("205 with content")


def _chunks(data: bytes, at: int) -> Iterator[tuple[bytes, int]]:
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            raise MoreError
        if not (size_line := _CHUNK.fullmatch(data[at:end])):
            raise BrokenError(f"not a chunk size: {data[at : end + 2][:40]!r}")
        size, at = int(size_line[1], 16), end + 2
        if size == 0:
            break
        if len(data) < at + size + 2:
            raise MoreError
        if data[at + size : at + size + 2] != b"\r\n":
            raise BrokenError("a chunk does not end with CRLF")
        yield data[at : at + size], at + size + 2
        at += size + 2
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            raise MoreError
        if end == at:
            yield b"", end + 2
            return
        if not _FIELD.fullmatch(data[at:end]):
            raise BrokenError(f"not a trailer field: {data[at:end][:80]!r}")
        at = end + 2
