"""What the node streams of a watched resource: one event each, whose data is the representation whatever is in it."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from .application import Answer
from .bench import Bench

SEPARATORS = "\n\r\0\ufeff:\x0b\x0c\x85\u2028\u2029 \t"
FIELDS = (
    "data: x",
    "data",
    "event: gone",
    "id: 1",
    "id: \0",
    "retry: 1",
    ": comment",
    "data:",
    "\r\n\r\n",
    "\n\n",
)
TEXTS = st.lists(
    st.one_of(st.text(max_size=12), st.sampled_from(FIELDS), st.text(SEPARATORS, max_size=4)), max_size=12
).map("".join)
EXAMPLES = 300


def as_data(text: str) -> str:
    """What an event can say of a text: every line end is LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def watched(bench: Bench, first: bytes) -> None:
    bench.application.representation = first
    bench.listen("/watched", ["message", "stale", "gone", "x"])
    bench.wait("log.length >= 2")


def becomes(bench: Bench, body: bytes) -> list[str]:
    """Change the resource; the event that comes."""
    before = len(bench.log())
    bench.application.representation = body
    bench.live.changed("watched")
    bench.wait(f"log.length > {before}")
    entries = bench.log()[before:]
    assert len(entries) == 1, entries
    return entries[0]


def any_text_is_one_event(bench: Bench) -> None:
    """Generated texts, full of what means something in an event stream."""
    watched(bench, b"the first")

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(TEXTS)
    @example("")
    @example("\n")
    @example("\r\n\r\r\n")
    @example("\ufeff")
    @example("data: a\n\nevent: gone\ndata: {}\n\n")
    def follows(text: str) -> None:
        if text.encode() == bench.application.representation:
            return
        kind, data, position = becomes(bench, text.encode())
        assert (kind, data) == ("message", as_data(text)), (kind, data, text)
        assert position
        assert not set("\r\n\0") & set(position)

    follows()


def the_first_text_too(bench: Bench) -> None:
    """A byte order mark at the beginning of a representation is not at the beginning of the stream."""
    watched(bench, "\ufeffa\r\nb\n".encode())
    assert bench.log()[1][:2] == ["message", "\ufeffa\nb\n"]


def an_empty_representation_is_an_event(bench: Bench) -> None:
    """With no data."""
    watched(bench, b"")
    assert bench.log()[1][:2] == ["message", ""]


def a_huge_line(bench: Bench) -> None:
    """Four million characters, the most that is watched by default."""
    watched(bench, b"a")
    assert becomes(bench, b"x" * 4_000_000)[1] == "x" * 4_000_000


def many_lines(bench: Bench) -> None:
    """200,000 of them."""
    watched(bench, b"a")
    assert becomes(bench, b"line\n" * 200_000)[1] == "line\n" * 200_000


def what_is_no_text_is_named(bench: Bench) -> None:
    """An event `stale` with the entity tag: what a GET would get."""
    watched(bench, b"a")
    kind, data, position = becomes(bench, b"\xff\xfe\x00")
    tag = bench.page.evaluate("fetch('/watched').then((answer) => answer.headers.get('etag'))")
    assert (kind, data) == ("stale", tag)
    assert position


def a_heartbeat_is_no_event(bench: Bench) -> None:
    """Only comments."""
    other = bench.start(heartbeat_s=0.25)
    bench.page.goto(f"{other.url}/page")
    watched(bench, b"a")
    sent = other.stats()["bytes"]
    bench.until(lambda: other.stats()["bytes"] >= sent + 4 * len(b"3\r\n:\n\n\r\n"))
    bench.application.representation = b"b"
    other.changed("watched")
    bench.wait("of('message').length === 2")
    assert [entry[0] for entry in bench.log()] == ["open", "message", "message"]


def the_head_is_that_of_a_stream(bench: Bench) -> None:
    """Content type, nothing that a cache would keep, and `retry` first."""
    asked = """async () => {
      const answer = await fetch("/watched", {headers: {"Accept": "text/event-stream"}})
      const reader = answer.body.getReader()
      let text = ""
      while (!text.includes("data:")) text += new TextDecoder().decode((await reader.read()).value)
      await reader.cancel()
      return [answer.status, answer.headers.get("content-type"), answer.headers.get("cache-control"), text]
    }"""
    status, content_type, cache_control, text = bench.page.evaluate(asked)
    assert (status, content_type, cache_control) == (200, "text/event-stream", "no-store")
    retry = text.split("\n\n")[0]
    assert retry.removeprefix("retry: ").isdigit(), text


def names_are_the_nodes_own(bench: Bench) -> None:
    """A representation cannot be `gone`; the end of the resource is, and its data is problem+json."""
    watched(bench, b"event: gone\ndata: no\n\n")
    assert bench.log()[1][0] == "message"
    bench.stream("/watched", Answer(status=410, content_type=""))
    bench.live.changed("watched")
    bench.wait("of('gone').length === 1")
    assert json.loads(bench.page.evaluate("of('gone')[0]"))["status"] == 410
    bench.wait("source.readyState === 2")
    assert len(bench.page.evaluate("of('gone')")) == 1


def credentials_of_an_allowed_origin(bench: Bench) -> None:
    """The node says yes where the application says nothing, with credentials and without."""
    other = bench.start(allow_origins=[bench.live.url])
    for credentials in (False, True):
        bench.page.goto(f"{bench.live.url}/page")
        bench.listen(f"{other.url}/watched", credentials=credentials)
        bench.wait("of('message').length === 1")


def another_origin_is_refused(bench: Bench) -> None:
    """Where nobody allows it."""
    bench.fails(f"{bench.start().url}/watched")


def coming_back_repeats_nothing(bench: Bench) -> None:
    """The id of the last event says what is there."""
    short = bench.start(drain_timeout_s=0.1)
    bench.page.goto(f"{short.url}/page")
    watched(bench, b"a")
    position = bench.log()[1][2]
    bench.page.evaluate("source.close()")
    again = """([position]) => fetch("/watched", {headers: {"Accept": "text/event-stream", "Last-Event-ID": position}})
      .then(async (answer) => {
        const reader = answer.body.getReader()
        window.heard = ""
        for (;;) {
          const {value, done} = await reader.read()
          if (done) return
          window.heard += new TextDecoder().decode(value)
        }
      }) && 0"""
    bench.page.evaluate(again, [position])
    bench.until(lambda: short.stats()["watchers"] == 1)
    bench.application.representation = b"b"
    short.changed("watched")
    bench.wait("window.heard.includes('data: b')")
    assert "data: a" not in bench.page.evaluate("window.heard")


CASES = (
    any_text_is_one_event,
    the_first_text_too,
    an_empty_representation_is_an_event,
    a_huge_line,
    many_lines,
    what_is_no_text_is_named,
    a_heartbeat_is_no_event,
    the_head_is_that_of_a_stream,
    names_are_the_nodes_own,
    credentials_of_an_allowed_origin,
    another_origin_is_refused,
    coming_back_repeats_nothing,
)
