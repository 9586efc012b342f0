"""Starting and stopping an application."""

import logging

import pytest
from freshwire.asgi.lifespan import Lifespan, LifespanError

from .apps import respond

quiet = logging.Logger("quiet")


def speaking(*after_startup, after_shutdown=({"type": "lifespan.shutdown.complete"},)):
    """An application that answers the startup and the shutdown with these messages."""
    heard = []

    async def app(scope, receive, send):
        assert scope["type"] == "lifespan"
        heard.append(await receive())
        for message in after_startup:
            await send(message)
        heard.append(await receive())
        for message in after_shutdown:
            await send(message)

    app.heard = heard
    return app


COMPLETE = {"type": "lifespan.startup.complete"}


async def test_an_application_is_started_and_stopped_once():
    app = speaking(COMPLETE)
    lifespan = Lifespan(app, log=quiet)
    await lifespan.startup()
    assert app.heard == [{"type": "lifespan.startup"}]
    await lifespan.shutdown()
    assert app.heard == [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    await lifespan.shutdown()


async def test_the_scope_carries_the_state():
    async def app(scope, receive, send):
        scope["state"]["made"] = scope["asgi"]["version"]
        await receive()
        await send(COMPLETE)
        await receive()

    lifespan = Lifespan(app, log=quiet)
    await lifespan.startup()
    assert lifespan.state == {"made": "3.0"}
    await lifespan.shutdown()


@pytest.mark.parametrize("mode", ["auto", "on"])
async def test_an_application_that_says_it_cannot_start_does_not_run(mode):
    app = speaking({"type": "lifespan.startup.failed", "message": "no database"})
    with pytest.raises(LifespanError, match="failed to start: no database"):
        await Lifespan(app, mode, log=quiet).startup()


async def unaware(scope, receive, send):
    raise ValueError(f"what is {scope['type']}?")


async def returning(scope, receive, send):
    pass


@pytest.mark.parametrize("app", [unaware, returning])
async def test_an_application_that_does_not_know_lifespan_runs_without_it(app):
    lifespan = Lifespan(app, log=quiet)
    await lifespan.startup()
    assert not lifespan.supported
    await lifespan.shutdown()


async def test_in_mode_on_an_application_must_know_lifespan():
    with pytest.raises(LifespanError, match="does not support") as error:
        await Lifespan(unaware, "on", log=quiet).startup()
    assert isinstance(error.value.__cause__, ValueError)


async def test_in_mode_off_the_application_is_not_called():
    lifespan = Lifespan(unaware, "off", log=quiet)
    await lifespan.startup()
    await lifespan.shutdown()


async def test_a_startup_that_raises_after_taking_the_message_is_not_passed_over_in_silence(caplog):
    async def app(scope, receive, send):
        await receive()
        raise ZeroDivisionError

    with caplog.at_level(logging.WARNING, "freshwire.error"):
        await Lifespan(app).startup()
    assert "ZeroDivisionError" in caplog.text


async def test_starting_and_stopping_have_a_time_limit():
    with pytest.raises(LifespanError, match=r"did not start within 0\.01 s"):
        await Lifespan(speaking(), startup_timeout_s=0.01, log=quiet).startup()
    lifespan = Lifespan(speaking(COMPLETE, after_shutdown=[]), shutdown_timeout_s=0.01, log=quiet)
    await lifespan.startup()
    await lifespan.shutdown()  # it returned without a word: that is an end too

    async def stuck(scope, receive, send):
        await receive()
        await send(COMPLETE)
        while True:
            await receive()

    lifespan = Lifespan(stuck, shutdown_timeout_s=0.01, log=quiet)
    await lifespan.startup()
    with pytest.raises(LifespanError, match=r"did not stop within 0\.01 s"):
        await lifespan.shutdown()


async def test_a_shutdown_that_fails_says_why():
    failed = {"type": "lifespan.shutdown.failed", "message": "stuck"}
    lifespan = Lifespan(speaking(COMPLETE, after_shutdown=[failed]), log=quiet)
    await lifespan.startup()
    with pytest.raises(LifespanError, match="failed to stop: stuck"):
        await lifespan.shutdown()


async def test_messages_out_of_order_are_an_error_for_the_application():
    errors = []

    async def app(scope, receive, send):
        await receive()
        await send(COMPLETE)
        try:
            await send(COMPLETE)
        except RuntimeError as error:
            errors.append(str(error))
        await receive()

    lifespan = Lifespan(app, log=quiet)
    await lifespan.startup()
    await lifespan.shutdown()
    assert errors == ["unexpected ASGI message 'lifespan.startup.complete' while running"]


def test_a_server_does_not_accept_before_its_application_has_started(serve):
    started = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            started.append(True)
            await send(COMPLETE)
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await respond(send, repr(started).encode())

    assert serve(app).get().body == b"[True]"


def test_a_server_whose_application_fails_to_start_fails(serve):
    with pytest.raises(LifespanError, match="no database"):
        serve(speaking({"type": "lifespan.startup.failed", "message": "no database"}))
