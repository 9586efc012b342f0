"""A WSGI application through a2wsgi: its threads, uploads, downloads, sessions and generators."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from io import BytesIO

import httpx
from a2wsgi import WSGIMiddleware
from flask import Flask, Response, jsonify, request, send_file, session
from freshwire import Fresh
from freshwire.testing import LiveNode

Start = Callable[..., LiveNode]


def test_a_form_with_a_file_is_uploaded_and_a_file_downloaded(freshwire_node: Start) -> None:
    app, kept = Flask(__name__), {}

    @app.post("/files")
    def upload() -> str:
        kept["file"] = request.files["file"].read()
        return request.form["name"]

    @app.get("/files")
    def download() -> Response:
        return send_file(BytesIO(kept["file"]), mimetype="application/octet-stream", etag="v1")

    live = freshwire_node(WSGIMiddleware(app))
    content = bytes(range(256)) * 2000
    answer = httpx.post(f"{live.url}/files", data={"name": "plan"}, files={"file": content})
    assert answer.text == "plan"
    assert httpx.get(f"{live.url}/files").content == content


def test_a_generator_streams_and_is_closed(freshwire_node: Start) -> None:
    app = Flask(__name__)
    more, closed = threading.Event(), threading.Event()

    @app.get("/lines")
    def lines() -> Response:
        def make() -> Iterator[str]:
            try:
                yield "one\n"
                more.wait(10)
                yield "two\n"
            finally:
                closed.set()

        return Response(make(), mimetype="text/plain")

    live = freshwire_node(WSGIMiddleware(app))
    with httpx.stream("GET", f"{live.url}/lines") as response:
        pieces = response.iter_text()
        assert next(pieces) == "one\n"
        more.set()
        assert next(pieces) == "two\n"
        assert list(pieces) == []
    assert closed.wait(10)


def test_a_session_is_private(freshwire_node: Start) -> None:
    app, fresh = Flask(__name__), Fresh()
    app.secret_key = "not a secret"

    @app.post("/login/<name>")
    def login(name: str) -> str:
        session["name"] = name
        return "welcome"

    @app.get("/me")
    @fresh.tags("me")
    def me() -> Response:
        return jsonify(session.get("name"))

    live = freshwire_node(WSGIMiddleware(app))
    with httpx.Client(base_url=live.url) as ada, httpx.Client(base_url=live.url) as eve:
        ada.post("/login/ada")
        assert ada.get("/me").json() == "ada"
        assert eve.get("/me").json() is None
        watch = live.watch("/me", headers={"cookie": f"session={ada.cookies['session']}"})
        assert watch.next().json() == "ada"


def test_an_error_is_flasks_own_page(freshwire_node: Start) -> None:
    app = Flask(__name__)

    @app.get("/raises")
    def raises() -> str:
        raise ValueError("broken")

    answer = httpx.get(f"{freshwire_node(WSGIMiddleware(app)).url}/raises")
    assert answer.status_code == 500
    assert "Internal Server Error" in answer.text


async def test_fifty_requests_at_once_keep_their_contexts(freshwire_node: Start) -> None:
    app, fresh = Flask(__name__), Fresh()

    @app.get("/numbers/<int:number>")
    @fresh.tags("number:{number}")
    def read(number: int) -> list[int]:
        fresh.depends_on(f"twice:{2 * number}")
        return [number]

    live = freshwire_node(WSGIMiddleware(app))
    async with httpx.AsyncClient(base_url=live.url, timeout=30) as http:
        answers = await asyncio.gather(*(http.get(f"/numbers/{number}") for number in range(50)))
    for number, answer in enumerate(answers):
        assert answer.json() == [number]
        assert set(answer.headers["cache-groups"].split(", ")) == {
            f'"number:{number}"',
            f'"twice:{2 * number}"',
        }
