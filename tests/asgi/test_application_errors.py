"""What becomes of a request whose application fails, and of everybody else."""

import asyncio
import logging

import pytest

from .apps import respond
from .conftest import request


def test_an_exception_before_the_head_is_a_500_and_logged_with_its_traceback(serve):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        raise ZeroDivisionError("mine")

    served = serve(app)
    assert served.get().status == 500
    record = served.errors.wait()
    assert record.levelno == logging.ERROR
    assert "ZeroDivisionError: mine" in logging.Formatter().format(record)
    assert "test_application_errors.py" in logging.Formatter().format(record)


def test_an_exception_while_the_head_is_held_is_a_500(serve):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200})
        raise ZeroDivisionError

    assert serve(app).get().status == 500


def test_an_exception_in_the_middle_of_a_body_ends_the_connection_so_that_the_client_sees_it(serve):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ZeroDivisionError

    served = serve(app)
    raw = served.raw(request())
    assert b"half" in raw
    assert not raw.endswith(b"0\r\n\r\n")
    assert isinstance(served.errors.wait().exc_info[1], ZeroDivisionError)


def test_an_exception_after_the_response_is_only_logged(serve):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await respond(send)
        raise ZeroDivisionError

    served = serve(app)
    assert served.get().body == b"ok"
    assert isinstance(served.errors.wait().exc_info[1], ZeroDivisionError)


@pytest.mark.parametrize(
    ("messages", "status", "text"),
    [
        ([], 500, "without starting a response"),
        ([{"type": "http.response.start", "status": 200}], 500, "without completing the response body"),
    ],
)
def test_returning_without_a_whole_response_is_an_error(serve, messages, status, text):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        for message in messages:
            await send(message)

    served = serve(app)
    assert served.get().status == status
    assert text in served.errors.wait().getMessage()


@pytest.mark.parametrize("error", [SystemExit(3), BaseException("odd")])
def test_a_handler_does_not_end_the_server(serve, error):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        if scope["path"] == "/exit":
            raise error
        await respond(send)

    served = serve(app)
    assert served.get("/exit").status == 500
    assert served.errors.wait().exc_info[1] is error
    assert served.get().status == 200


def test_a_task_that_is_cancelled_from_inside_is_a_500(serve):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    assert serve(app).get().status == 500


@pytest.mark.parametrize("app", [lambda scope, receive, send: None, lambda scope: None])
def test_something_that_is_not_an_asgi_3_application_is_a_500(serve, app):
    served = serve(app, lifespan="off")
    assert served.get().status == 500
    assert isinstance(served.errors.wait().exc_info[1], TypeError)


def test_any_awaitable_is_an_application(serve):
    class Awaitable:
        def __init__(self, send):
            self.send = send

        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            yield from respond(self.send).__await__()

    served = serve(lambda scope, receive, send: Awaitable(send), lifespan="off")
    assert served.get().body == b"ok"
