"""What `send` takes, and what becomes of it."""

import asyncio
import threading

import pytest

from .apps import respond
from .conftest import TIMEOUT_S, request


def sending(*messages):
    """An application that sends these; the error that it gets is its `errors`."""
    errors = []

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        try:
            for message in messages:
                await send(message)
        except Exception as error:
            errors.append(error)
            raise

    app.errors = errors
    return app


def start(*headers, status=200, **more):
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def body(data=b"", more=False):
    return {"type": "http.response.body", "body": data, "more_body": more}


def test_a_response_that_is_there_at_once_has_its_length(serve):
    reply = serve(sending(start((b"X-Mine", b"1"), (b"x-mine", b"2")), body(b"hello"))).get()
    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"hello", "5")
    assert reply.headers.get_all("x-mine") == ["1", "2"]


def test_pieces_are_joined_by_the_client_in_order(serve):
    pieces = [str(n).encode() * 1000 for n in range(50)]
    app = sending(start(), *(body(piece, True) for piece in pieces), body())
    assert serve(app).get().body == b"".join(pieces)


def test_a_body_may_be_any_bytes_like_object(serve):
    messages = [
        start(),
        body(bytearray(b"ab"), True),
        body(memoryview(b"cd"), True),
        {"type": "http.response.body"},
    ]
    assert serve(sending(*messages)).get().body == b"abcd"


def test_the_head_goes_out_when_the_application_suspends(serve):
    release = threading.Event()

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send(start((b"x-early", b"yes")))
        await asyncio.to_thread(release.wait, TIMEOUT_S)
        await send(body(b"late"))

    served = serve(app)
    with served.connect(request()) as client:
        head = client.recv(65536)
        assert b"x-early: yes" in head.lower()
        assert b"late" not in head
        release.set()
        assert b"late" in b"".join(iter(lambda: client.recv(65536), b""))


def test_a_head_request_keeps_the_content_length_and_has_no_body(serve):
    raw = serve(sending(start((b"content-length", b"5")), body(b"hello"))).raw(request(method="HEAD"))
    assert b"content-length: 5" in raw.lower()
    assert raw.endswith(b"\r\n\r\n")


def test_a_head_request_for_a_long_stream_is_answered(serve):
    finished = threading.Event()

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send(start())
        for _ in range(20):
            await send(body(b"x" * 65536, True))
        await send(body())
        finished.set()

    raw = serve(app).raw(request(method="HEAD"))
    assert raw.startswith(b"HTTP/1.1 200 ")
    assert raw.endswith(b"\r\n\r\n")
    assert finished.wait(TIMEOUT_S)


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_drops_what_is_sent_of_one(serve, status):
    raw = serve(sending(start(status=status), body(b"null"))).raw(request())
    assert raw.startswith(b"HTTP/1.1 %d" % status)
    assert raw.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("sent", [b"abc", b"a"])
def test_a_body_that_is_not_as_long_as_declared_is_an_error_and_a_500(serve, sent):
    served = serve(app := sending(start((b"content-length", b"2")), body(sent)))
    assert served.get().status == 500
    assert isinstance(app.errors[0], RuntimeError)
    assert "content-length says 2" in str(app.errors[0])
    assert served.errors.wait().exc_info[1] is app.errors[0]


@pytest.mark.parametrize("last", [b"xyz", b""])
def test_a_short_body_that_is_not_as_long_as_declared_is_a_500_also_when_it_comes_in_pieces(serve, last):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send(start((b"content-length", b"3")))
        await send(body(b"ab", True))
        await asyncio.sleep(0)
        await send(body(last))

    served = serve(app)
    assert served.get().status == 500
    assert "content-length says 3" in str(served.errors.wait().exc_info[1])


@pytest.mark.parametrize("last", [b"xyz", b""])
def test_a_streamed_body_that_is_not_as_long_as_declared_is_cut_short(serve, last):
    first = b"a" * 99_998

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send(start((b"content-length", b"100000")))
        await send(body(first, True))
        await asyncio.sleep(0)
        await send(body(last))

    served = serve(app)
    head, _, rest = served.raw(request()).partition(b"\r\n\r\n")
    assert head.lower().count(b"content-length: 100000") == 1
    assert first.startswith(rest)  # as far as the socket had taken it
    assert "content-length says 100000" in str(served.errors.wait().exc_info[1])


def test_a_short_body_that_dribbles_reaches_the_client_before_its_end(serve):
    seen = asyncio.Event()

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        if scope["path"] == "/seen":
            seen.set()
            return await respond(send)
        await send(start((b"content-length", b"3")))
        await send(body(b"ab", True))
        await seen.wait()
        return await send(body(b"c"))

    served = serve(app)
    with served.connect(request("/")) as client:
        got = b""
        while not got.endswith(b"\r\n\r\nab"):
            got += client.recv(4096)
        assert served.get("/seen").status == 200
        assert client.recv(10) == b"c"


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ((b"bad name", b"x"), "is not a header name"),
        ((b"", b"x"), "is not a header name"),
        ((b"x", b"a\r\nset-cookie: y=1"), "CR, LF or NUL"),
        ((b"x", b"a\0"), "CR, LF or NUL"),
        (("x", "y"), "must be bytes, not str"),
        ((b"x",), "a pair of name and value"),
        ((b"content-length", b"-1"), "must be a number"),
        ((b"content-length", b"1, 2"), "must be a number"),
    ],
)
def test_a_bad_header_is_an_error_for_the_application_and_a_500(serve, header, text):
    served = serve(app := sending(start(header), body(b"x")))
    assert served.get().status == 500
    assert isinstance(app.errors[0], (ValueError, TypeError))
    assert text in str(app.errors[0])


def test_an_application_may_recover_from_a_bad_header(serve):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        try:
            await send(start((b"x", b"\n")))
        except ValueError:
            await respond(send, b"recovered", 502)

    reply = serve(app).get()
    assert (reply.status, reply.body) == (502, b"recovered")


def test_what_frames_the_connection_is_not_the_applications(serve):
    app = sending(start((b"Transfer-Encoding", b"gzip"), (b"Connection", b"x-thing")), body(b"x"))
    raw = serve(app).raw(request()).lower()
    assert b"gzip" not in raw
    assert b"x-thing" not in raw


@pytest.mark.parametrize(
    ("messages", "error", "text"),
    [
        (["nonsense"], TypeError, "an ASGI message is a dict, not str"),
        ([None], TypeError, "an ASGI message is a dict, not NoneType"),
        ([{}], ValueError, "has a 'type'"),
        ([{"type": 7}], TypeError, "'type' of an ASGI message is a str"),
        ([{"type": "http.response.foo"}], ValueError, "unknown ASGI message type 'http.response.foo'"),
        (
            [body()],
            RuntimeError,
            "unexpected ASGI message 'http.response.body', expected http.response.start",
        ),
        ([start(), start()], RuntimeError, "expected http.response.body"),
        ([{"type": "websocket.accept"}], RuntimeError, "expected http.response.start"),
        ([{"type": "http.response.start"}], ValueError, "'status' is missing"),
        ([start(status="200")], TypeError, "'status' of 'http.response.start' must be an int, not str"),
        ([start(status=99)], ValueError, "must be 200 to 999, not 99"),
        ([start(), {"type": "http.response.body", "body": "text"}], TypeError, "must be bytes, not str"),
        ([{"type": "http.response.start", "status": 200, "headers": 3}], TypeError, "a list of pairs"),
    ],
)
def test_a_nonsense_message_is_an_error_that_says_why(serve, messages, error, text):
    served = serve(app := sending(*messages))
    assert served.get().status == 500
    assert type(app.errors[0]) is error
    assert text in str(app.errors[0])


def test_a_message_after_the_response_is_complete_is_an_error(serve):
    served = serve(app := sending(start(), body(b"all"), body(b"more")))
    assert served.get().body == b"all"
    assert isinstance(served.errors.wait().exc_info[1], RuntimeError)
    assert "the response is complete" in str(app.errors[0])


def test_trailers_follow_the_body_where_they_were_promised(serve):
    trailers = {"type": "http.response.trailers", "headers": [(b"x-sum", b"42")]}
    raw = serve(sending(start(trailers=True), body(b"ab"), trailers)).raw(request("/", "TE: trailers"))
    assert raw.lower().endswith(b"0\r\nx-sum: 42\r\n\r\n")


def test_early_hints_come_before_the_response(serve):
    hints = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]}
    raw = serve(sending(hints, start(), body(b"ok"))).raw(request())
    first, _, rest = raw.partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 103 ")
    assert first.lower().count(b"link: ") == 2
    assert rest.startswith(b"HTTP/1.1 200 ")


def test_send_raises_an_os_error_once_the_peer_has_gone(serve):
    raised = []
    done = threading.Event()

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send(start())
        try:
            while True:
                await send(body(b"tick", True))
                await asyncio.sleep(0.001)
        except OSError as error:
            raised.append(error)
            done.set()
            raise

    served = serve(app)
    client = served.connect(request())
    assert client.recv(100)
    client.close()
    assert done.wait(TIMEOUT_S)
    assert "the client has gone" in str(raised[0])
    assert served.errors.records == []


def test_a_slow_reader_makes_send_wait_and_loses_nothing(serve):
    piece, count = b"x" * 65536, 400
    sent = []
    waiting = threading.Event()

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send(start())
        for n in range(count):
            sending = asyncio.ensure_future(send(body(piece, True)))
            await asyncio.sleep(0)
            if not sending.done():
                waiting.set()
            await sending
            sent.append(n)
        await send(body())

    served = serve(app)
    with served.connect(request()) as client:
        assert waiting.wait(TIMEOUT_S), "26 MB were taken without a reader"
        assert len(sent) < count
        assert len(served.reply(client).body) == count * len(piece)


def test_a_client_that_leaves_ends_the_wait_of_a_slow_send(serve):
    waiting, raised = threading.Event(), threading.Event()

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send(start())
        try:
            while True:
                sending = asyncio.ensure_future(send(body(b"x" * 65536, True)))
                await asyncio.sleep(0)
                if not sending.done():
                    waiting.set()
                await sending
        except OSError:
            raised.set()

    client = serve(app).connect(request())
    assert waiting.wait(TIMEOUT_S)
    client.close()
    assert raised.wait(TIMEOUT_S)
