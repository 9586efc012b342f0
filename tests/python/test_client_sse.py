from __future__ import annotations

from itertools import pairwise

import pytest
from freshwire import StreamTooLong
from freshwire.client.sse import Event, Parser
from hypothesis import given
from hypothesis import strategies as st


def events(*chunks: bytes) -> list[Event]:
    parser = Parser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\n", [Event("message", "a", "")]),
        (b"\xef\xbb\xbfdata: a\n\n", [Event("message", "a", "")]),
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [Event("message", "YHOO\n+2\n10", "")]),
        (
            b": comment\n\ndata: a\nid: 1\n\ndata:b\nid\n\ndata:  c\n\n",
            [
                Event("message", "a", "1"),
                Event("message", "b", ""),
                Event("message", " c", ""),
            ],
        ),
        (b"data\n\ndata\ndata\n\ndata:", [Event("message", "", ""), Event("message", "\n", "")]),
        (b"data:test\n\ndata: test\n\n", [Event("message", "test", "")] * 2),
        (
            b"event: gone\ndata: {}\n\nevent: x\n\ndata: y\n\n",
            [Event("gone", "{}", ""), Event("message", "y", "")],
        ),
        (b"id: 1\0\ndata: a\n\n", [Event("message", "a", "")]),
        (b"id: 7\n\ndata: a\n\n", [Event("message", "a", "7")]),
        (b"nonsense: x\nDATA: a\ndata : b\n\n", []),
        (b"data: a\r\rdata: b\r\n\r\n", [Event("message", "a", ""), Event("message", "b", "")]),
    ],
)
def test_a_stream_is_interpreted_as_the_standard_says(stream: bytes, expected: list[Event]) -> None:
    assert events(stream) == expected
    assert events(*(stream[i : i + 1] for i in range(len(stream)))) == expected


def test_retry_counts_only_when_it_is_digits() -> None:
    parser = Parser()
    list(parser.feed(b"retry: 1500\nretry: 1.5\nretry: -1\nretry: \n"))
    assert parser.retry_ms == 1500


def test_the_last_event_id_is_taken_when_its_event_is_complete_and_stays_over_a_reconnection() -> None:
    parser = Parser()
    list(parser.feed(b"id: 1\ndata: a\n\nid: 2\ndata: half"))
    assert parser.last_event_id == "1"
    parser.resume(parser.last_event_id)
    assert list(parser.feed(b"data: b\n\n")) == [Event("message", "b", "1")]


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 200, b"data: 123456789\n" * 20])
def test_an_event_without_an_end_is_refused(stream: bytes) -> None:
    with pytest.raises(StreamTooLong):
        list(Parser(max_event_bytes=100).feed(stream))


LINE_ENDS = ("\n", "\r", "\r\n")
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=20)


@given(
    st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=4), TEXT), max_size=5),
    st.sampled_from(LINE_ENDS),
    st.lists(st.integers(0, 400), max_size=10),
)
def test_what_is_written_is_read_at_any_cut_with_any_line_end(
    written: list[tuple[str, list[str], str]], end: str, cuts: list[int]
) -> None:
    stream = "".join(
        f"id: {name}{end}event: {kind}{end}" + "".join(f"data: {line}{end}" for line in lines) + end
        for name, lines, kind in written
    ).encode()
    places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(places)]
    assert events(*chunks) == [
        Event(kind or "message", "\n".join(lines), name) for name, lines, kind in written
    ]


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_bytes_are_read_the_same_at_any_cut(chunks: list[bytes]) -> None:
    assert events(*chunks) == events(b"".join(chunks))
