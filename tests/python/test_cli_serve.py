from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from freshwire import Fresh, admin

from .command import Cli, Running

Start = Callable[..., Running]

APP = """
import asyncio, os
from fastapi import FastAPI
from freshwire import Fresh

app, fresh = FastAPI(), Fresh()
scores = {"a": 0}

@app.get("/scores/{code}")
@fresh.tags("score:{code}")
async def score(code: str) -> int:
    return scores[code]

@app.post("/scores/{code}")
async def goal(code: str) -> str:
    scores[code] += 1
    return await fresh.changed(f"score:{code}")

@app.get("/socket")
async def where() -> str:
    return os.environ["FRESHWIRE_ADMIN_SOCKET"]

@app.get("/hang")
async def hang() -> None:
    print("hanging", flush=True)
    await asyncio.sleep(3600)
"""

FAILING = """
from contextlib import asynccontextmanager
from fastapi import FastAPI

@asynccontextmanager
async def lifespan(app):
    raise RuntimeError("no database")
    yield

app = FastAPI(lifespan=lifespan)
"""


@pytest.fixture(autouse=True)
def application(place: Path) -> None:
    (place / "main.py").write_text(APP)
    (place / "failing.py").write_text(FAILING)


def test_it_says_where_it_serves_and_serves_there(start: Start) -> None:
    running = start("serve", "main:app", "--port", "0")
    line = running.line("serves http://127.0.0.1:")
    assert f"(admin socket {admin.default_path()})" in line
    url = line.split("serves ")[1].split()[0]
    assert url.endswith("/")
    assert not url.endswith(":0/")
    assert httpx.get(f"{url}scores/a").json() == 0
    assert httpx.get(f"{url}socket").json() == str(admin.default_path())


def test_a_process_in_the_same_directory_tells_it_of_changes_without_being_told_where(start: Start) -> None:
    url = start("serve", "main:app", "--port", "0").url()
    epoch = httpx.get(f"{url}/scores/a").headers["fresh-position"].split("-")[0]
    assert Fresh().changed_sync("score:a").startswith(epoch)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_and_removes_its_sockets(start: Start, number: int, tmp_path: Path) -> None:
    running = start("serve", "main:app", "--bind", f"unix:{tmp_path}/a.sock", "--drain-timeout", "0.1")
    running.line("serves unix:")
    transport = httpx.HTTPTransport(uds=f"{tmp_path}/a.sock")
    with httpx.Client(transport=transport, base_url="http://localhost") as http:
        assert http.get("/scores/a").json() == 0
    running.signal(number)
    assert running.end() == 0
    assert not (tmp_path / "a.sock").exists()
    assert not admin.default_path().exists()


def test_a_second_signal_is_immediate(start: Start) -> None:
    running = start("serve", "main:app", "--port", "0", "--drain-timeout", "600")
    url = running.url()
    with socket.create_connection(tuple(url.removeprefix("http://").split(":"))) as peer:  # type: ignore[arg-type]
        peer.sendall(b"GET /hang HTTP/1.1\r\nHost: localhost\r\n\r\n")
        running.line("hanging")
        running.signal(signal.SIGTERM)
        time.sleep(0.3)  # two signals at once are one
        assert running.process.poll() is None
        running.signal(signal.SIGTERM)
        running.end()


def test_several_addresses_are_served_at_once(start: Start, tmp_path: Path) -> None:
    line = start("serve", "main:app", "--bind", "127.0.0.1:0", "--bind", f"unix:{tmp_path}/a.sock").line(
        "serves"
    )
    assert f" and unix:{tmp_path}/a.sock" in line
    assert httpx.get(line.split("serves ")[1].split()[0] + "scores/a").json() == 0


def test_sockets_of_systemd_are_used_when_nothing_else_was_asked_for(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        code = (
            "import os, sys\n"
            f"os.dup2({listening.fileno()}, 3)\n"
            "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n"
            "os.execv(sys.executable, [sys.executable, '-m', 'freshwire', 'serve', 'main:app'])\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            pass_fds=[listening.fileno(), 3],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ,
        )
    assert process.stdout is not None
    assert f"http://127.0.0.1:{port}/" in process.stdout.readline()
    assert httpx.get(f"http://127.0.0.1:{port}/scores/a").json() == 0
    process.terminate()
    process.wait(40)
    process.stdout.close()


def test_a_lifespan_that_fails_ends_it_with_3_and_the_reason(cli: Cli) -> None:
    ended = cli("serve", "failing:app", "--port", "0")
    assert ended.returncode == 3
    assert "no database" in ended.stdout + ended.stderr
    assert "serves" not in ended.stdout


def test_an_option_that_the_engine_refuses_is_wrong_usage(cli: Cli) -> None:
    ended = cli("serve", "main:app", "--port", "0", "--set", "prefix=nonsense")
    assert ended.returncode == 2
    assert "prefix" in ended.stderr


def test_the_application_can_be_named_in_the_project(place: Path, start: Start) -> None:
    (place / "pyproject.toml").write_text('[tool.freshwire]\napp = "main:app"\nport = 0\n')
    assert httpx.get(f"{start('serve').url()}/scores/a").json() == 0


def test_a_resource_is_followed_in_the_terminal(start: Start) -> None:
    url = start("serve", "main:app", "--port", "0").url()
    watching = start("watch", f"{url}/scores/a", "--json", "--once", "2")
    watching.line('"body": 0')
    httpx.post(f"{url}/scores/a")
    watching.line('"body": 1')
    assert watching.end() == 0
