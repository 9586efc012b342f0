"""§9.2.2 and §9.2.3, on a stream of the application's own: how it is asked for, when it comes back, and when not."""

from __future__ import annotations

from collections.abc import Callable

from .application import Answer
from .bench import Bench

STAYS = Answer([b"data: back\n\n"], then="stays")
ONE = Answer([b"id: 1\ndata: a\n\n"])


def it_is_asked_for_as_an_event_stream(bench: Bench) -> None:
    """`Accept` has text/event-stream, and no cache may answer."""
    bench.listen(bench.stream("/stream/a", STAYS))
    bench.wait("log.length === 2")
    fields = bench.application.asked("/stream/a")[0]
    assert "text/event-stream" in fields["accept"]
    assert fields["cache-control"] == "no-cache"
    assert "last-event-id" not in fields
    assert bench.log() == [["open"], ["message", "back", ""]]


def it_opens_before_the_first_event(bench: Bench) -> None:
    """The head alone opens it."""
    bench.listen(bench.stream("/stream/a", Answer(then="stays")))
    bench.wait("of('open').length === 1")
    assert bench.page.evaluate("source.readyState") == 1


def an_event_comes_before_the_stream_ends(bench: Bench) -> None:
    """Nothing is held back."""
    bench.listen(bench.stream("/stream/a", Answer([b"data: a\n\n"], then="stays")))
    bench.wait("of('message').length === 1")
    assert not bench.application.left.is_set()


def the_end_brings_it_back(bench: Bench) -> None:
    """With the last id, and what was not finished is dropped."""
    bench.listen(bench.stream("/stream/a", Answer([b"id: 1\ndata: a\n\nid: 2\n\nid: 3\ndata: never"]), STAYS))
    bench.wait("of('message').includes('back')")
    assert bench.log() == [["open"], ["message", "a", "1"], ["error", 0], ["open"], ["message", "back", "2"]]
    assert bench.application.asked("/stream/a")[1]["last-event-id"] == "2"


def a_declared_length_ends_it_too(bench: Bench) -> None:
    """Not chunked."""
    data = b"data: a\n\n"
    ended = Answer([data], headers=[("content-length", str(len(data)))])
    bench.listen(bench.stream("/stream/a", ended, STAYS))
    bench.wait("of('message').includes('back')")
    assert bench.page.evaluate("of('message')") == ["a", "back"]


def a_broken_connection_brings_it_back(bench: Bench) -> None:
    """Also in the middle of an event."""
    bench.listen(bench.stream("/stream/a", Answer([b"id: 1\ndata: a\n\ndata: b\n"], then="breaks"), STAYS))
    bench.wait("of('message').includes('back')")
    assert bench.page.evaluate("of('message')") == ["a", "back"]
    assert bench.application.asked("/stream/a")[1]["last-event-id"] == "1"


def a_last_id_of_any_text_comes_back(bench: Bench) -> None:
    """In UTF-8."""
    bench.listen(bench.stream("/stream/a", Answer(["id: …é 🎈\ndata: a\n\n".encode()]), STAYS))
    bench.wait("of('message').includes('back')")
    assert bench.application.asked("/stream/a")[1]["last-event-id"] == "…é 🎈"


def no_id_is_not_sent(bench: Bench) -> None:
    """Neither one that was taken back."""
    bench.listen(bench.stream("/stream/a", Answer([b"id: 1\ndata: a\n\nid:\ndata: b\n\n"]), STAYS))
    bench.wait("of('message').includes('back')")
    assert "last-event-id" not in bench.application.asked("/stream/a")[1]


def a_retry_that_is_no_number_is_ignored(bench: Bench) -> None:
    """It would come back in a day if one of them counted."""
    bogus = b"retry: 10\nretry: 86400000x\nretry: -86400000\nretry: 86400000.0\nretry: 8 6400000\nretry:\ndata: a\n\n"
    bench.listen(bench.stream("/stream/a", Answer([bogus]), STAYS))
    bench.wait("of('message').includes('back')")


def a_retry_is_obeyed(bench: Bench) -> None:
    """A second stream, ended after the first, is back before it."""
    bench.stream("/stream/late", Answer([b"retry: 86400000\ndata: a\n\n"]), STAYS)
    bench.listen("/stream/late")
    bench.wait("of('error').length === 1")
    bench.listen(bench.stream("/stream/soon", Answer([b"retry: 10\ndata: a\n\n"]), STAYS))
    bench.wait("of('message').includes('back')")
    assert len(bench.application.asked("/stream/late")) == 1


def no_content_ends_it(bench: Bench) -> None:
    """204 is how a server says that it should not come back."""
    bench.listen(bench.stream("/stream/a", ONE, Answer(status=204, content_type="")))
    bench.wait("source.readyState === 2")
    assert bench.log() == [["open"], ["message", "a", "1"], ["error", 0], ["error", 2]]


def no_content_at_once(bench: Bench) -> None:
    """204 to the first request."""
    bench.fails(bench.stream("/stream/a", Answer(status=204, content_type="")))
    assert len(bench.application.asked("/stream/a")) == 1


def another_content_type_fails(bench: Bench) -> None:
    """A response that is neither a stream nor to be watched."""
    unwatchable = [("vary", "*")]
    bench.fails(
        bench.stream("/stream/a", Answer([b"data: a\n\n"], content_type="text/plain", headers=unwatchable))
    )


def closing_is_final(bench: Bench) -> None:
    """The application hears of it, and nobody comes back."""
    bench.listen(bench.stream("/stream/a", STAYS))
    bench.wait("of('message').length === 1")
    bench.page.evaluate("source.close()")
    assert bench.application.left.wait(30)
    assert bench.page.evaluate("source.readyState") == 2
    assert len(bench.application.asked("/stream/a")) == 1


def leaving_the_page_ends_it(bench: Bench) -> None:
    """The application hears of it."""
    bench.listen(bench.stream("/stream/a", STAYS))
    bench.wait("of('message').length === 1")
    bench.page.goto("about:blank")
    assert bench.application.left.wait(30)


def in_a_worker(bench: Bench) -> None:
    """As in a page."""
    bench.stream("/stream/worker", Answer([b"id: 1\ndata: a\n\n"], then="stays"))
    said = "new Promise((done) => { new Worker('/worker').onmessage = (event) => done(event.data) })"
    assert bench.page.evaluate(said) == ["a", "1"]


def failing(status: int) -> Callable[[Bench], None]:
    def case(bench: Bench) -> None:
        bench.fails(bench.stream("/stream/a", Answer([b"data: never\n\n"], status=status)))
        assert len(bench.application.asked("/stream/a")) == 1

    return case


def failing_later(bench: Bench) -> None:
    """Also when it comes back."""
    bench.listen(bench.stream("/stream/a", ONE, Answer(status=503)))
    bench.wait("source.readyState === 2")
    assert bench.log()[-2:] == [["error", 0], ["error", 2]]


def redirecting(status: int) -> Callable[[Bench], None]:
    def case(bench: Bench) -> None:
        moved = Answer(status=status, content_type="", headers=[("location", "/stream/b")])
        bench.stream("/stream/b", ONE, STAYS)
        bench.listen(bench.stream("/stream/a", moved))
        bench.wait("of('message').includes('back')")
        assert bench.application.asked("/stream/b")[1]["last-event-id"] == "1"

    return case


def another_origin(bench: Bench, headers: list[tuple[str, str]]) -> str:
    other = bench.start(allow_origins=[bench.live.url])
    bench.page.context.add_cookies([{"name": "who", "value": "ada", "url": other.url}])
    return other.url + bench.stream("/stream/a", Answer([b"data: back\n\n"], headers=headers, then="stays"))


def another_origin_that_says_yes(bench: Bench) -> None:
    """By an `Access-Control-Allow-Origin` of the application's; cookies stay at home."""
    bench.listen(another_origin(bench, [("access-control-allow-origin", "*")]))
    bench.wait("of('message').length === 1")
    assert "cookie" not in bench.application.asked("/stream/a")[0]


def another_origin_that_says_no(bench: Bench) -> None:
    """By the name of somebody else."""
    bench.fails(another_origin(bench, [("access-control-allow-origin", "http://else.example")]))


def credentials_that_nobody_allows(bench: Bench) -> None:
    """A `*` is not for credentials."""
    bench.fails(another_origin(bench, [("access-control-allow-origin", "*")]), credentials=True)


def credentials_that_are_allowed(bench: Bench) -> None:
    """Cookies are sent (of another port: the same site)."""
    allowed = [("access-control-allow-origin", bench.live.url), ("access-control-allow-credentials", "true")]
    bench.listen(another_origin(bench, allowed), credentials=True)
    bench.wait("of('message').length === 1")
    assert bench.application.asked("/stream/a")[0]["cookie"] == "who=ada"


CASES = (
    it_is_asked_for_as_an_event_stream,
    it_opens_before_the_first_event,
    an_event_comes_before_the_stream_ends,
    the_end_brings_it_back,
    a_declared_length_ends_it_too,
    a_broken_connection_brings_it_back,
    a_last_id_of_any_text_comes_back,
    no_id_is_not_sent,
    a_retry_that_is_no_number_is_ignored,
    a_retry_is_obeyed,
    no_content_ends_it,
    no_content_at_once,
    another_content_type_fails,
    closing_is_final,
    leaving_the_page_ends_it,
    in_a_worker,
    failing_later,
    another_origin_that_says_yes,
    another_origin_that_says_no,
    credentials_that_nobody_allows,
    credentials_that_are_allowed,
)
FAILING = (205, 400, 401, 403, 404, 410, 429, 500, 502, 503, 504)
REDIRECTING = (301, 302, 303, 307, 308)
