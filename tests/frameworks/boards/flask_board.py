"""A WSGI application, wrapped for ASGI."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from a2wsgi import WSGIMiddleware
from flask import Flask, Response, abort, request
from freshwire import Fresh

from . import NUMBERS


@contextmanager
def application(scores: dict[str, int]) -> Iterator[Any]:
    app, fresh = Flask(__name__), Fresh()

    @app.get("/plain")
    def plain() -> Response:
        return Response("hello", content_type="text/plain")

    @app.get("/scores/<code>")
    @fresh.tags("score:{code}")
    def score(code: str) -> dict[str, int]:
        if code not in scores:
            abort(404)
        return {"score": scores[code]}

    @app.post("/scores/<code>/goal")
    def goal(code: str) -> tuple[str, int]:
        scores[code] += 1
        fresh.changed_sync(f"score:{code}")
        return "", 204

    @app.post("/echo")
    def echo() -> Response:
        return Response(request.get_data())

    @app.get("/numbers")
    def numbers() -> Response:
        return Response(iter(NUMBERS))

    yield WSGIMiddleware(app)
