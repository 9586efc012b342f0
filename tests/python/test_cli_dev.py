from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from freshwire import Fresh

from .command import Running

Start = Callable[..., Running]

APP = """
from fastapi import FastAPI
from freshwire import Fresh

app, fresh = FastAPI(), Fresh()

@app.get("/version")
@fresh.tags("version")
async def version() -> int:
    return 1
"""


@pytest.fixture
def module(place: Path) -> Path:
    (place / "main.py").write_text(APP)
    return place / "main.py"


def test_a_change_is_served_without_a_refused_connection_and_watchers_come_back(
    module: Path, start: Start
) -> None:
    running = start("dev", "main:app", "--port", "0")
    url = running.url()
    watching = start("watch", f"{url}/version", "--json", "--once", "2")
    watching.line('"body": 1')

    refused: list[Exception] = []
    done = threading.Event()

    def knock() -> None:
        host, port = url.removeprefix("http://").split(":")
        while not done.wait(0.01):
            try:
                socket.create_connection((host, int(port))).close()
            except OSError as error:
                refused.append(error)

    knocking = threading.Thread(target=knock)
    knocking.start()
    module.write_text(APP.replace("return 1", "return 2"))
    running.line("main.py changed")
    assert running.url() == url
    watching.line('"body": 2')
    done.set()
    knocking.join()
    assert httpx.get(f"{url}/version").json() == 2
    assert watching.end() == 0
    assert refused == []
    Fresh().changed_sync("version")  # its admin socket is the supervisor's too


def test_a_broken_import_shows_its_traceback_and_the_version_before_keeps_serving(
    module: Path, start: Start
) -> None:
    running = start("dev", "main:app", "--port", "0")
    url = running.url()
    module.write_text("raise ValueError('broken')")
    running.line("ValueError: broken")
    running.line("the version before it keeps serving")
    assert httpx.get(f"{url}/version").json() == 1
    module.write_text(APP.replace("return 1", "return 3"))
    assert running.url() == url
    assert httpx.get(f"{url}/version").json() == 3


def test_it_waits_for_a_change_when_the_first_import_is_broken(module: Path, start: Start) -> None:
    module.write_text("raise ValueError('broken')")
    running = start("dev", "main:app", "--port", "0")
    running.line("waiting for a change")
    module.write_text(APP)
    assert httpx.get(f"{running.url()}/version").json() == 1


def test_it_waits_for_a_change_when_the_application_does_not_start(module: Path, start: Start) -> None:
    module.write_text(APP.replace("FastAPI()", "FastAPI(lifespan=lambda app: 1 / 0)"))
    running = start("dev", "main:app", "--port", "0")
    running.line("the application has ended with 3")
    module.write_text(APP)
    assert httpx.get(f"{running.url()}/version").json() == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_its_child(module: Path, start: Start, number: int) -> None:
    running = start("dev", "main:app", "--port", "0")
    url = running.url()
    running.signal(number)
    assert running.end() == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
