"""The node as an object, and the end of a server."""

import asyncio
import json
import socket
import threading

import pytest
from freshwire._engine import Node, default_options, option_meanings
from freshwire.asgi.server import Listener, current_node

from .apps import respond
from .conftest import TIMEOUT_S, request


async def ok(scope, receive, send):
    assert scope["type"] == "http"
    await respond(send)


def test_every_option_has_a_default_and_a_meaning():
    options = json.loads(default_options())
    meanings = dict(option_meanings())
    assert list(options) == list(meanings)
    assert options["max_tags"] == 128
    assert all(meaning.endswith(".") for meaning in meanings.values())


def test_an_unknown_option_or_role_or_descriptor_is_refused():
    with pytest.raises(ValueError, match="max_feilds"):
        Node('{"max_feilds": 1}', [])
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(ValueError, match="public"):
        Node("{}", [(listener.fileno(), "private", "127.0.0.1:1")])
    with pytest.raises(ValueError, match="listener 9999"):
        Node("{}", [(9999, "public", "127.0.0.1:1")])


def test_a_listener_writes_its_address_as_people_do(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as v4:
        assert Listener(v4).address == f"127.0.0.1:{v4.getsockname()[1]}"
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as v6:
        assert Listener(v6).address == f"[::1]:{v6.getsockname()[1]}"
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "a.sock"))
        assert Listener(unix).address == f"unix:{tmp_path}/a.sock"


def test_the_node_of_the_process_is_known_while_it_serves(serve):
    served = serve(ok)
    node = current_node()
    assert node is served.server.node
    position = node.changed(["a", "b"])
    assert "-" in position
    for bad in ([""], ["a\n"], ["x" * 256], "text"):
        with pytest.raises((ValueError, TypeError)):
            node.changed(bad)
    assert isinstance(json.loads(node.stats()), dict)


def test_two_requests_may_follow_one_another_on_a_connection(serve):
    served = serve(ok)
    with served.connect(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") as client:
        assert served.reply(client).body == b"ok"
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert served.reply(client).body == b"ok"


def test_many_requests_at_once_are_all_answered(serve):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await asyncio.sleep(0)
        await respond(send, scope["query_string"])

    served = serve(app, {"max_connections_per_address": 0})
    clients = [served.connect(request(f"/?{n}")) for n in range(600)]
    assert [served.reply(client).body for client in clients] == [str(n).encode() for n in range(600)]
    for client in clients:
        client.close()


def test_a_request_in_flight_is_finished_before_the_server_ends(serve):
    inside = threading.Event()
    release = asyncio.Event()

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        inside.set()
        await release.wait()
        await respond(send, b"late")

    served = serve(app)
    with served.connect(request()) as client:
        assert inside.wait(TIMEOUT_S)
        served.begin_stop()
        served.loop.call_soon_threadsafe(release.set)
        assert served.reply(client).body == b"late"
    served.thread.join(TIMEOUT_S)
    assert not served.thread.is_alive()


def test_work_after_the_response_is_finished_before_the_server_ends(serve):
    inside, finished = threading.Event(), []
    release = asyncio.Event()

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await respond(send)
        inside.set()
        await release.wait()
        finished.append(True)

    served = serve(app)
    assert served.get().body == b"ok"
    assert inside.wait(TIMEOUT_S)
    served.begin_stop()
    served.loop.call_soon_threadsafe(release.set)
    served.thread.join(TIMEOUT_S)
    assert finished == [True]


def test_a_second_signal_ends_a_handler_that_will_not(serve):
    inside, cancelled = threading.Event(), []

    async def app(scope, receive, send):
        assert scope["type"] == "http"
        inside.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    served = serve(app)
    with served.connect(request()):
        assert inside.wait(TIMEOUT_S)
        served.begin_stop()
        served.loop.call_soon_threadsafe(served.server.abort)
        served.thread.join(TIMEOUT_S)
    assert not served.thread.is_alive()
    assert cancelled == [True]
