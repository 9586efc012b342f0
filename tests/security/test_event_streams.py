"""Rows 16 and 17: what a representation says cannot become an event of its own, and an id names nobody else's."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from .conftest import Target, eventually
from .wire import Peer, request


class App:
    """Answers with whatever a test wants it to."""

    body = b""
    content_type = b"text/plain; charset=utf-8"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = dict(scope["headers"])
        private = scope["path"] == "/me"
        body = b"for " + request.get(b"authorization", b"nobody") if private else self.body
        if private and request.get(b"authorization") == b"Bearer eve":
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b"no"})
            return
        headers = [(b"content-type", self.content_type), (b"cache-groups", b'"t"')]
        if scope["path"] == "/varies":
            headers.append((b"vary", b"accept-language"))
            body = b"in " + request.get(b"accept-language", b"none")
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


app = App()


@pytest.fixture(scope="module")
def shared(attack_all: Callable[..., Target]) -> Target:
    return attack_all(app)


def watch(target: Target, path: str, *lines: str) -> Peer:
    peer = target.connect()
    peer.send(request(path, "Accept: text/event-stream", *lines))
    assert peer.stream().status == 200
    return peer


def test_a_watcher_that_talks_is_not_listened_to(attack: Callable[..., Target]) -> None:
    app.body = b"one"
    target = attack(app)
    peer = target.connect()
    peer.send(request("/", "Accept: text/event-stream") + request("/me") + b"x" * 10_000)
    assert peer.stream().status == 200
    assert peer.event().data == "one"
    for _ in range(100):
        peer.send(request("/me"))
    app.body = b"two"
    target.live.changed("t")
    assert peer.event().data == "two"
    peer.close()
    eventually(lambda: target.stats()["watchers"] == 0, "it has gone")


def test_a_watcher_that_talks_without_end_does_not_stay(attack: Callable[..., Target]) -> None:
    target = attack(app, heartbeat_s=600)
    peer = watch(target, "/")
    chunk = b"x" * 256 * 1024
    while peer.try_send(chunk):
        pass
    assert target.refused() == {"stream_input": 1}
    eventually(lambda: target.stats()["watchers"] == 0, "it has gone")


def lines_of(text: str) -> str:
    """What an event stream can say of line ends: that there are some."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


breaking_out = st.lists(
    st.one_of(
        st.text(max_size=20),
        st.sampled_from(
            [
                "\r",
                "\n",
                "\r\n",
                "\0",
                ":",
                " ",
                "data:",
                "data",
                "event: gone",
                "id: 1",
                "retry: 1",
                "\ufeff",
            ]
            + ["\x85", "\u2028", "\u2029", "\n\n", "0\r\n\r\n", "\r\n0\r\n\r\n", "\nevent: gone\ndata: x\n\n"]
        ),
    ),
    max_size=12,
).map("".join)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(breaking_out, min_size=1, max_size=6))
@example(texts=["", "\n", "\n\n", "\r", "a\n", "\na"])
@example(texts=["x\n\nevent: gone\nid: evil\ndata: {}\n\n"])
def test_any_text_comes_out_of_a_stream_as_it_went_in(texts: list[str], target: Target) -> None:
    app.body = b"before"
    target.live.changed("t")
    with Peer(target.address) as peer:
        peer.send(request("/text", "Accept: text/event-stream"))
        peer.stream()
        assert peer.event().data == "before"
        for n, text in enumerate(texts):
            # Each differs from the one before, so each is pushed.
            app.body = f"{text}{n}{text}".encode()
            target.live.changed("t")
            event = peer.event()
            assert event.data == lines_of(f"{text}{n}{text}")
            assert event.type == "message"
            assert "evil" not in event.id


def test_what_is_no_text_is_not_pretended_to_be(target: Target) -> None:
    for body in (b"\xff\xfe", b"\xed\xa0\x80", b"a\xc3"):
        app.body = body
        target.live.changed("t")
        assert watch(target, "/bytes").event().type == "stale"


def test_a_field_of_a_request_does_not_reach_the_stream(target: Target) -> None:
    app.body = b"quiet"
    peer = watch(target, "/quiet", "Last-Event-ID: 1: x", "X-Event: gone")
    first = peer.event()
    assert (first.type, first.data) == ("message", "quiet")


AS = "Authorization: Bearer "


def test_somebody_elses_id_is_nobodys(target: Target) -> None:
    mine = watch(target, "/me", AS + "ann").event()
    assert mine.data == "for Bearer ann"
    for name in ("bob", "ann2", "Ann"):
        got = watch(target, "/me", AS + name, f"Last-Event-ID: {mine.id}").event()
        assert got.data == f"for Bearer {name}"
        assert got.id != mine.id
    # It is hers, and nothing has changed.
    again = watch(target, "/me", AS + "ann", f"Last-Event-ID: {mine.id}")
    assert again.available().count(b"data:") == 0


def test_an_id_opens_nothing(target: Target) -> None:
    mine = watch(target, "/me", AS + "ann").event()
    peer = target.connect()
    answer = peer.get("/me", "Accept: text/event-stream", AS + "eve", f"Last-Event-ID: {mine.id}")
    assert (answer.status, answer.body) == (403, b"no")
    nobody = watch(target, "/me", f"Last-Event-ID: {mine.id}")
    assert nobody.event().data == "for nobody"


def test_an_id_of_another_variant_is_not_taken_for_this_ones(target: Target) -> None:
    german = watch(target, "/varies", "Accept-Language: de").event()
    assert german.data == "in de"
    assert (
        watch(target, "/varies", "Accept-Language: en", f"Last-Event-ID: {german.id}").event().data == "in en"
    )


def test_an_id_of_another_resource_does_not_hide_this_one(target: Target) -> None:
    mine = watch(target, "/me", AS + "ann").event()
    app.body = b"here"
    target.live.changed("t")
    assert watch(target, "/one", AS + "ann", f"Last-Event-ID: {mine.id}").event().data == "here"


UNKNOWN = [
    "1",
    "x",
    "zzzzzzzz-1",
    "00000000-1",
    "00000000-18446744073709551615",
    "-",
    "<script>",
    "é",
    "x" * 5000,
]


@pytest.mark.parametrize("unknown", UNKNOWN)
@pytest.mark.parametrize("path", ["/known", "/me"])
def test_an_unknown_id_is_not_echoed(path: str, unknown: str, target: Target) -> None:
    app.body = b"representation"
    target.live.changed("t")
    peer = target.connect()
    peer.send(request(path, "Accept: text/event-stream", f"Last-Event-ID: {unknown}", AS + "ann"))
    head = peer.stream()
    event = peer.event()
    assert event.data in ("representation", "for Bearer ann")
    assert event.id
    assert event.id != unknown
    if len(unknown) > 2:
        assert unknown.encode() not in head.head
