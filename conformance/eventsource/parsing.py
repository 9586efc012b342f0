"""§9.2.5 and §9.2.6, on a stream of the application's own: bytes that an EventSource must read like this come through
the node unchanged, however they are cut.
"""

from __future__ import annotations

from collections.abc import Iterator

from .bench import Bench

BOM = "\ufeff"

# Name, stream, and the events: data; or type, data and last event id.
Events = list[str] | list[tuple[str, str, str]]
STREAMS: dict[str, tuple[str, Events]] = {
    "a byte order mark at the beginning is dropped": (BOM + "data: a\n\n", ["a"]),
    "only one, and only there": (f"{BOM}{BOM}data: a\n\n{BOM}data: b\n\ndata: c\n\n", ["c"]),
    "in data it is data": (f"data: {BOM}a\n\n", [BOM + "a"]),
    "lines end with LF": ("data: a\ndata: b\n\n", ["a\nb"]),
    "lines end with CR": ("data: a\rdata: b\r\r", ["a\nb"]),
    "lines end with CRLF": ("data: a\r\ndata: b\r\n\r\n", ["a\nb"]),
    "lines end as they like": ("data: a\rdata: b\r\ndata: c\n\r\ndata: d\n\r", ["a\nb\nc", "d"]),
    "no other character ends a line": (
        "data: a\x0b\x0c\x85\u2028\u2029b\n\n",
        ["a\x0b\x0c\x85\u2028\u2029b"],
    ),
    "data lines are joined by LF": ("data: a\ndata:\ndata: b\ndata:\n\n", ["a\n\nb\n"]),
    "an empty data field is an event": ("data\n\ndata:\n\ndata: \n\n", ["", "", ""]),
    "two empty ones are a line end": ("data\ndata\n\n", ["\n"]),
    "one space behind the colon is dropped": (
        "data:a\n\ndata: a\n\ndata:  a\n\ndata:\ta\n\n",
        ["a", "a", " a", "\ta"],
    ),
    "a value may have colons": ("data: a:b: c\n\ndata::\n\n", ["a:b: c", ":"]),
    "names are case-sensitive and exact": ("Data: a\n data: b\ndata : c\ndatax: d\nx\ndata: e\n\n", ["e"]),
    "unknown fields are ignored": ("foo: a\nbar\ndata: b\n:\nbaz:\n\n", ["b"]),
    "comments are ignored": (":\n: a\n::\ndata: b\n:data: c\n\n: d\n\n", ["b"]),
    "a block without data is no event": (
        "event: x\n\nid: 7\n\nretry: 10\n\n: a\n\n\n\ndata: b\n\n",
        [("message", "b", "7")],
    ),
    "an event field names the next event only": (
        "event: x\ndata: a\n\ndata: b\n\n",
        [("x", "a", ""), ("message", "b", "")],
    ),
    "a name without data is forgotten": ("event: x\n\ndata: a\n\n", [("message", "a", "")]),
    "an empty name is message": ("event: x\nevent:\ndata: a\n\n", [("message", "a", "")]),
    "the last name counts": ("event: y\nevent: x\ndata: a\n\n", [("x", "a", "")]),
    "a name is not trimmed": (
        "event: x \ndata: a\n\nevent:  x\ndata: b\n\nevent: x\ndata: c\n\n",
        [("x", "c", "")],
    ),
    "an id stays until the next": (
        "id: 1\ndata: a\n\ndata: b\n\nid: 2\ndata: c\n\n",
        [("message", "a", "1"), ("message", "b", "1"), ("message", "c", "2")],
    ),
    "an empty id takes it back": (
        "id: 1\ndata: a\n\nid\ndata: b\n\n",
        [("message", "a", "1"), ("message", "b", "")],
    ),
    "an id with NUL is ignored": (
        "id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n",
        [("message", "a", "1"), ("message", "b", "1")],
    ),
    "an id may be any text": ("id: …🎈 é\ndata: a\n\n", [("message", "a", "…🎈 é")]),
    "NUL in data is data": ("data: a\0b\n\n", ["a\0b"]),
    "NUL in a name is part of it": ("data\0: a\n\ndata: b\n\n", ["b"]),
    "text is UTF-8": ("data: é…🎈עִברִית\u0301\n\n", ["é…🎈עִברִית\u0301"]),
    "text is not normalised": ("data: e\u0301 \u00e9 \u212b\n\n", ["e\u0301 \u00e9 \u212b"]),
}


def streams() -> Iterator[tuple[str, str, Events]]:
    for name, (stream, events) in STREAMS.items():
        yield name, stream, events


def whole(bench: Bench, stream: str, expected: Events) -> None:
    """The stream leaves the application at once."""
    judge(bench, [stream.encode()], expected)


def byte_by_byte(bench: Bench, stream: str, expected: Events) -> None:
    """The stream leaves the application in bytes."""
    data = stream.encode()
    judge(bench, [data[at : at + 1] for at in range(len(data))], expected)


def judge(bench: Bench, pieces: list[bytes], expected: Events) -> None:
    seen = bench.events(*pieces, names=("message", "x"))
    wanted = [list(each) for each in expected if not isinstance(each, str)]
    if wanted:
        assert seen == wanted, f"{seen} instead of {wanted}"
    else:
        assert [data for _, data, _ in seen] == expected, f"{seen} instead of {expected}"


def invalid_utf_8(bench: Bench) -> None:
    """What is not UTF-8 is replaced, and the rest is there."""
    assert bench.events(b"data: a\xff\xc3(\xe2\x82\n\n")[0][1] == "a\ufffd\ufffd(\ufffd"


def other_charset(bench: Bench) -> None:
    """Whatever the content type says, it is UTF-8."""
    assert (
        bench.events("data: ž\n\n".encode(), content_type="text/event-stream;charset=windows-1250")[0][1]
        == "ž"
    )


def parameters(bench: Bench) -> None:
    """The content type may have parameters and any case."""
    assert bench.events(b"data: a\n\n", content_type="TEXT/Event-Stream; foo=bar")[0][1] == "a"


def many_lines(bench: Bench) -> None:
    """An event of 20,000 lines."""
    assert bench.events(b"data: line\n" * 20_000 + b"\n")[0][1] == "\n".join(["line"] * 20_000)


def huge_line(bench: Bench) -> None:
    """A line of 8 MB in pieces."""
    (event,) = bench.events(b"data: ", *[b"0123456789abcdef" * 4096] * 128)
    assert event[1] == "0123456789abcdef" * 4096 * 128


def huge_comment(bench: Bench) -> None:
    """A comment of 4 MB, then an event."""
    assert [data for _, data, _ in bench.events(b":", b"x" * 4_000_000, b"\ndata: a\n\n")] == ["a"]


def many_events(bench: Bench) -> None:
    """20,000 events in order."""
    seen = bench.events(
        *[b"".join(b"data: %d\n\n" % n for n in range(at, at + 100)) for at in range(0, 20_000, 100)]
    )
    assert [data for _, data, _ in seen] == [str(n) for n in range(20_000)]


CASES = (invalid_utf_8, other_charset, parameters, many_lines, huge_line, huge_comment, many_events)
