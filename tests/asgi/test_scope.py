"""What an application is told of a request."""

import asyncio
import json
import socket

from freshwire.asgi.server import Listener, Server

from .apps import respond
from .conftest import request


async def describe(scope, receive, send):
    """Answers with its scope."""
    assert scope["type"] != "lifespan"
    plain = {
        key: value.decode("latin-1") if isinstance(value, bytes) else value for key, value in scope.items()
    }
    plain["headers"] = [[name.decode(), value.decode()] for name, value in scope["headers"]]
    plain["kinds"] = [type(scope["client"]).__name__, type(scope["headers"][0]).__name__]
    await respond(send, json.dumps(plain).encode())


def test_the_scope_has_every_key_of_the_specification(serve):
    served = serve(describe)
    with served.connect(request("/a/b?x=1&y=%20", "X-Thing: One", "x-thing: two")) as client:
        port = client.getsockname()[1]
        scope = json.loads(served.reply(client).body)
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.3"}
    assert (scope["http_version"], scope["method"], scope["scheme"]) == ("1.1", "GET", "http")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a/b", "/a/b", "x=1&y=%20")
    assert scope["root_path"] == ""
    assert scope["client"] == ["127.0.0.1", port]
    assert scope["server"] == ["127.0.0.1", served.port]
    assert scope["kinds"] == ["tuple", "tuple"]
    assert scope["state"] == {}
    assert set(scope["extensions"]) == {"http.response.trailers", "http.response.early_hint"}
    assert [h for h in scope["headers"] if h[0] == "x-thing"] == [["x-thing", "One"], ["x-thing", "two"]]


def test_the_path_is_decoded_and_the_raw_path_is_not(serve):
    scope = json.loads(serve(describe).get("/caf%C3%A9/a%2Fb/%FF").body)
    assert scope["path"] == "/café/a/b/\ufffd"
    assert scope["raw_path"] == "/caf%C3%A9/a%2Fb/%FF"


def test_the_path_includes_the_root_path(serve):
    scope = json.loads(serve(describe, root_path="/api é/").get("/x").body)
    assert (scope["root_path"], scope["path"]) == ("/api é", "/api é/x")
    assert scope["raw_path"] == "/api%20%C3%A9/x"


def test_an_http_1_0_request_says_so(serve):
    served = serve(describe)
    with served.connect(request("/", version="1.0")) as client:
        assert json.loads(served.reply(client).body)["http_version"] == "1.0"


def test_requests_do_not_share_what_they_may_change(serve):
    async def app(scope, receive, send):
        assert scope["type"] != "lifespan"
        seen = [scope["state"], scope["extensions"]]
        body = json.dumps(seen).encode()
        scope["state"]["mine"] = scope["extensions"]["mine"] = {}
        await respond(send, body)

    served = serve(app)
    first, second = served.get().body, served.get().body
    assert first == second
    assert b"mine" not in second


def test_the_state_of_the_lifespan_is_shared_by_shallow_copy(serve):
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            scope["state"]["list"] = []
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        scope["state"]["list"].append(1)
        scope["state"]["own"] = True
        await respond(send, str(len(scope["state"]["list"])).encode())

    served = serve(app)
    assert [served.get().body for _ in range(3)] == [b"1", b"2", b"3"]


def test_a_unix_listener_has_its_path_as_the_server_and_no_client(serve, tmp_path, loop_factory):
    path = str(tmp_path / "app.sock")

    async def main():
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        server = Server(describe, {"threads": 1}, [Listener(listener)])
        stop = asyncio.Event()
        task = asyncio.create_task(server.serve(stop))
        await server.started.wait()
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(request())
        answer = await reader.read()
        writer.close()
        stop.set()
        await task
        return answer

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        body = runner.run(main()).partition(b"\r\n\r\n")[2]
    scope = json.loads(body)
    assert scope["server"] == [path, None]
    assert scope["client"] is None
