"""The WebSocket cycle, with a client that nobody here wrote."""

import asyncio
import threading
from contextlib import contextmanager

import pytest
import websockets
from websockets.sync.client import connect

from .conftest import TIMEOUT_S


def accepting(handler):
    """An application that accepts and goes on with `handler(receive, send)`."""

    async def app(scope, receive, send):
        assert scope["type"] == "websocket"
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.accept"})
        await handler(receive, send)

    return app


@contextmanager
def opened(served, path="/", **more):
    with connect(f"ws://127.0.0.1:{served.port}{path}", **more) as client:
        yield client


def refused(served, **more):
    with pytest.raises(websockets.InvalidStatus) as error, opened(served, **more):
        pass
    return error.value.response


def test_text_and_bytes_go_both_ways_as_what_they_are(serve):
    async def echo(receive, send):
        while (message := await receive())["type"] == "websocket.receive":
            if message.get("text") is not None:
                await send({"type": "websocket.send", "text": message["text"].upper()})
            else:
                await send({"type": "websocket.send", "bytes": message["bytes"][::-1]})

    with opened(serve(accepting(echo))) as client:
        client.send("grüße")
        assert client.recv(TIMEOUT_S) == "GRÜSSE"
        client.send(b"\x00\x01\xff")
        assert client.recv(TIMEOUT_S) == b"\xff\x01\x00"
        client.send("")
        assert client.recv(TIMEOUT_S) == ""


def test_the_scope_says_what_the_client_offers(serve):
    scopes = []

    async def app(scope, receive, send):
        assert scope["type"] == "websocket"
        scopes.append(scope)
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "b", "headers": [(b"x-mine", b"1")]})

    served = serve(app)
    with opened(served, "/chat%20room?x=1", subprotocols=["a", "b"]) as client:
        assert client.subprotocol == "b"
        assert client.response.headers["x-mine"] == "1"
    scope = scopes[0]
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert (scope["scheme"], scope["path"], scope["query_string"]) == ("ws", "/chat room", b"x=1")
    assert scope["subprotocols"] == ["a", "b"]
    assert scope["extensions"] == {"websocket.http.response": {}}
    assert scope["server"] == ("127.0.0.1", served.port)
    assert "method" not in scope


def test_a_subprotocol_that_was_not_offered_cannot_be_chosen(serve):
    async def app(scope, receive, send):
        assert scope["type"] == "websocket"
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "other"})

    served = serve(app)
    assert refused(served, subprotocols=["a"]).status_code == 500
    assert "the client offers" in str(served.errors.wait().exc_info[1])


def test_a_close_before_the_accept_is_a_403(serve):
    seen = []

    async def app(scope, receive, send):
        assert scope["type"] == "websocket"
        await receive()
        await send({"type": "websocket.close", "code": 4000})
        seen.append(await receive())

    served = serve(app)
    assert refused(served).status_code == 403
    assert seen[0]["type"] == "websocket.disconnect"


def test_a_denial_is_any_response(serve):
    async def app(scope, receive, send):
        assert scope["type"] == "websocket"
        await receive()
        await send(
            {
                "type": "websocket.http.response.start",
                "status": 401,
                "headers": [(b"www-authenticate", b"Basic")],
            }
        )
        await send({"type": "websocket.http.response.body", "body": b"who ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"are you"})

    response = refused(serve(app))
    assert (response.status_code, response.body) == (401, b"who are you")
    assert response.headers["www-authenticate"] == "Basic"


def test_the_client_hears_the_applications_code_and_reason(serve):
    async def close(receive, send):
        await send({"type": "websocket.close", "code": 4001, "reason": "enough"})
        seen.append(await receive())
        try:
            await send({"type": "websocket.send", "text": "more"})
        except OSError as error:
            seen.append(error)
        done.set()

    seen, done = [], threading.Event()
    served = serve(accepting(close))
    with opened(served) as client, pytest.raises(websockets.ConnectionClosed) as closed:
        client.recv(TIMEOUT_S)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "enough")
    assert done.wait(TIMEOUT_S)
    assert seen[0] == {"type": "websocket.disconnect", "code": 4001, "reason": "enough"}
    assert isinstance(seen[1], OSError)
    assert served.errors.records == []


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (4444, "bye"), (1001, "going")])
def test_the_application_hears_the_clients_code_and_reason(serve, code, reason):
    seen, done = [], threading.Event()

    async def listen(receive, send):
        seen.extend([await receive(), await receive(), await receive()])
        with pytest.raises(OSError, match="closed"):
            await send({"type": "websocket.send", "text": "anybody?"})
        await send({"type": "websocket.close"})
        done.set()

    with opened(serve(accepting(listen))) as client:
        client.send("last words")
        client.close(code, reason)
    assert done.wait(TIMEOUT_S)
    disconnect = {"type": "websocket.disconnect", "code": code, "reason": reason}
    assert seen == [{"type": "websocket.receive", "text": "last words"}, disconnect, disconnect]


def test_a_client_that_vanishes_is_a_disconnect_with_1006(serve):
    seen, done = [], threading.Event()

    async def listen(receive, send):
        seen.append(await receive())
        done.set()

    with opened(serve(accepting(listen))) as client:
        client.socket.shutdown(2)
        assert done.wait(TIMEOUT_S)
    assert (seen[0]["type"], seen[0]["code"]) == ("websocket.disconnect", 1006)


def test_returning_closes_normally(serve):
    async def leave(receive, send):
        await send({"type": "websocket.send", "text": "bye"})

    with opened(serve(accepting(leave))) as client:
        assert client.recv(TIMEOUT_S) == "bye"
        with pytest.raises(websockets.ConnectionClosedOK):
            client.recv(TIMEOUT_S)


def test_raising_closes_with_1011_and_is_logged(serve):
    async def fail(receive, send):
        raise ZeroDivisionError

    served = serve(accepting(fail))
    with opened(served) as client, pytest.raises(websockets.ConnectionClosedError) as closed:
        client.recv(TIMEOUT_S)
    assert closed.value.rcvd.code == 1011
    assert isinstance(served.errors.wait().exc_info[1], ZeroDivisionError)


def test_returning_or_raising_before_the_accept_is_a_500(serve):
    async def app(scope, receive, send):
        assert scope["type"] == "websocket"
        if scope["path"] == "/raise":
            raise ZeroDivisionError

    served = serve(app)
    for path in ["/raise", "/return"]:
        with pytest.raises(websockets.InvalidStatus) as error, opened(served, path):
            pass
        assert error.value.response.status_code == 500


@pytest.mark.parametrize(
    ("message", "error", "text"),
    [
        ({"type": "websocket.send"}, ValueError, "neither 'text' nor 'bytes'"),
        ({"type": "websocket.send", "text": "a", "bytes": b"a"}, ValueError, "both 'text' and 'bytes'"),
        ({"type": "websocket.send", "text": b"a"}, TypeError, "must be a str, not bytes"),
        ({"type": "websocket.accept"}, RuntimeError, "expected websocket.send or websocket.close"),
        ({"type": "http.response.start", "status": 200}, RuntimeError, "expected websocket.send"),
        ({"type": "websocket.close", "code": 1006}, ValueError, "not a close code that can be sent"),
        ({"type": "websocket.close", "reason": "x" * 124}, ValueError, "123 fit"),
    ],
)
def test_a_nonsense_message_is_an_error_that_says_why(serve, message, error, text):
    raised = []

    async def say(receive, send):
        try:
            await send(message)
        except Exception as problem:
            raised.append(problem)
        await send({"type": "websocket.send", "text": "still here"})

    with opened(serve(accepting(say))) as client:
        assert client.recv(TIMEOUT_S) == "still here"
    assert type(raised[0]) is error
    assert text in str(raised[0])


def test_the_handshake_is_the_servers_to_speak(serve):
    async def app(scope, receive, send):
        assert scope["type"] == "websocket"
        await receive()
        await send({"type": "websocket.accept", "headers": [(b"Sec-WebSocket-Protocol", b"a")]})

    served = serve(app)
    assert refused(served).status_code == 500
    assert "use 'subprotocol'" in str(served.errors.wait().exc_info[1])


def test_a_cancelled_receive_loses_no_message(serve):
    async def listen(receive, send):
        texts = []
        while len(texts) < 20:
            try:
                async with asyncio.timeout(0.0005):
                    texts.append((await receive())["text"])
            except TimeoutError:
                pass
        await send({"type": "websocket.send", "text": " ".join(texts)})

    with opened(serve(accepting(listen))) as client:
        for n in range(20):
            client.send(str(n))
        assert client.recv(TIMEOUT_S) == " ".join(map(str, range(20)))


def test_a_peer_that_says_more_than_is_received_is_held_back_and_loses_nothing(serve):
    inside, go = threading.Event(), threading.Event()

    async def listen(receive, send):
        inside.set()
        await asyncio.to_thread(go.wait, TIMEOUT_S)
        texts = [(await receive())["text"] for _ in range(300)]
        await send({"type": "websocket.send", "text": " ".join(texts)})

    served = serve(accepting(listen), {"max_messages_per_s": 0})
    with opened(served) as client:
        assert inside.wait(TIMEOUT_S)
        for n in range(300):
            client.send(str(n))
        go.set()
        assert client.recv(TIMEOUT_S) == " ".join(map(str, range(300)))


def test_a_slow_reader_makes_send_wait_and_loses_nothing(serve):
    piece, count = b"x" * 60_000, 400
    waiting = threading.Event()

    async def pour(receive, send):
        for _ in range(count):
            sending = asyncio.ensure_future(send({"type": "websocket.send", "bytes": piece}))
            await asyncio.sleep(0)
            if not sending.done():
                waiting.set()
            await sending

    with opened(serve(accepting(pour)), max_queue=1) as client:
        assert waiting.wait(TIMEOUT_S), "24 MB were taken without a reader"
        received = list(client)
    assert received == [piece] * count
