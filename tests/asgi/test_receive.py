"""What `receive` gives, and when."""

import asyncio
import socket
import threading

import pytest

from .apps import respond
from .conftest import TIMEOUT_S, request


async def echo(scope, receive, send):
    assert scope["type"] == "http"
    body, more = b"", True
    while more:
        message = await receive()
        assert message["type"] == "http.request"
        body += message["body"]
        more = message["more_body"]
    await respond(send, body)


def test_a_request_without_a_body_is_one_empty_message(serve):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await respond(send, repr(await receive()).encode())

    assert serve(app).get().body == b"{'type': 'http.request', 'body': b'', 'more_body': False}"


def test_a_body_arrives_whole_whatever_its_pieces(serve):
    body = bytes(range(256)) * 3000
    served = serve(echo)
    assert served.get(method="POST", body=body).body == body
    with served.connect(request("/", f"Content-Length: {len(body)}", method="POST")) as client:
        for start in range(0, len(body), 100_000):
            client.sendall(body[start : start + 100_000])
        assert served.reply(client, "POST").body == body


def test_an_unread_body_does_not_keep_the_response_back(serve):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await respond(send, b"no thanks", 403)

    served = serve(app)
    with served.connect(request("/", "Content-Length: 500000", method="POST")) as client:
        assert served.reply(client, "POST").status == 403


def test_receive_says_disconnect_once_the_response_is_complete(serve):
    seen = []
    done = threading.Event()

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await receive()
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        await respond(send)
        seen.extend([await waiting, await receive()])
        done.set()

    assert serve(app).get().body == b"ok"
    assert done.wait(TIMEOUT_S)
    assert seen == [{"type": "http.disconnect"}] * 2


def test_a_cancelled_receive_loses_nothing(serve):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        never_run = asyncio.create_task(receive())
        never_run.cancel()
        pieces = []
        while b"".join(pieces) != b"hello":
            try:
                async with asyncio.timeout(0.001):
                    pieces.append((await receive())["body"])
            except TimeoutError:
                pass
        await respond(send, b"".join(pieces))

    served = serve(app)
    with served.connect(request("/", "Content-Length: 5", method="POST") + b"he") as client:
        client.sendall(b"l")
        client.sendall(b"lo")
        assert served.reply(client, "POST").body == b"hello"


def test_an_idle_stream_hears_of_the_disconnect_at_once(serve):
    gone = threading.Event()

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        gone.set()

    client = serve(app).connect(request())
    assert client.recv(65536)
    client.close()
    assert gone.wait(TIMEOUT_S)


@pytest.mark.parametrize("hard", [False, True])
def test_a_receive_after_the_client_left_says_disconnect(serve, hard):
    inside, left, seen = threading.Event(), threading.Event(), []
    done = threading.Event()

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await receive()
        inside.set()
        await asyncio.to_thread(left.wait, TIMEOUT_S)
        seen.append(await receive())
        done.set()

    served = serve(app)
    client = served.connect(request(method="POST", body=b""))
    assert inside.wait(TIMEOUT_S)
    served.reset(client) if hard else client.close()
    left.set()
    assert done.wait(TIMEOUT_S)
    assert seen == [{"type": "http.disconnect"}]


def test_a_client_that_only_ends_its_side_has_its_body_read_and_its_answer_sent(serve):
    inside, left, heard = threading.Event(), threading.Event(), []

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        inside.set()
        await asyncio.to_thread(left.wait, TIMEOUT_S)
        while not heard or heard[-1]["type"] != "http.disconnect":
            heard.append(await receive())
        await respond(send, b"all the same")

    served = serve(app)
    with served.connect(request(method="POST", body=b"hello")) as client:
        assert inside.wait(TIMEOUT_S)
        client.shutdown(socket.SHUT_WR)
        left.set()
        assert served.reply(client).body == b"all the same"
    assert heard[0] == {"type": "http.request", "body": b"hello", "more_body": False}


def test_the_task_of_a_request_is_not_cancelled_when_its_client_leaves(serve):
    inside, finished = threading.Event(), threading.Event()

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await receive()
        inside.set()
        await receive()
        await asyncio.sleep(0.01)
        finished.set()

    client = serve(app).connect(request())
    assert inside.wait(TIMEOUT_S)
    client.close()
    assert finished.wait(TIMEOUT_S)


def test_a_get_whose_client_left_before_it_began_is_not_run(serve):
    ran = []
    blocked, go = threading.Event(), threading.Event()

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        ran.append(scope["path"])
        if scope["path"] == "/block":
            blocked.set()
            go.wait(TIMEOUT_S)  # the whole loop stands
        await respond(send)

    served = serve(app)
    with served.connect(request("/block")) as first:
        assert blocked.wait(TIMEOUT_S)
        served.reset(served.connect(request("/left")))
        # The node answers these itself, on the one shard there is: it has seen the reset before the second.
        for _ in range(2):
            assert served.get("/.fresh/none").status == 404
        go.set()
        assert served.reply(first).status == 200
    assert served.get("/last").status == 200
    assert ran == ["/block", "/last"]
