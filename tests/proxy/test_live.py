"""What a proxy is for: any GET of an application in another language is live, by each transport.

Each test runs before both examples, as they stand.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from freshwire.exceptions import WatchEnded
from freshwire.testing import LiveNode, Transport, proxy

from tests.waiting import block_until

EXAMPLES = Path(__file__).parents[2] / "examples"
GO = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")


@dataclass
class Program:
    """An example, to be started again and again at the same port."""

    command: list[str]
    directory: Path
    port: int = 0
    process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Where it is, once it says so."""
        environment = {**os.environ, "PORT": str(self.port)}
        self.process = subprocess.Popen(
            self.command, cwd=self.directory, env=environment, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        url = self.process.stdout.readline().strip()
        self.port = int(url.rsplit(":", 1)[1])
        return url

    def stop(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """How each example is started."""
    assert GO is not None, "Go is missing: tools/setup test"
    built = tmp_path_factory.mktemp("go") / "poll"
    subprocess.run([GO, "build", "-o", built, "."], cwd=EXAMPLES / "go", check=True, timeout=110)
    return {"node": ["node", "server.js"], "go": [str(built)]}


@pytest.fixture(params=["node", "go"])
def program(request: pytest.FixtureRequest, commands: dict[str, list[str]]) -> Iterator[Program]:
    program = Program(commands[request.param], EXAMPLES / request.param)
    with contextlib.ExitStack() as stack:
        program.start()
        stack.callback(program.stop)
        yield program


@pytest.fixture
def live(program: Program) -> Iterator[LiveNode]:
    options = {"reread_backoff_s": 0.05, "reread_backoff_max_s": 0.1}
    with proxy(f"http://127.0.0.1:{program.port}", **options) as live:
        yield live


def vote(live: LiveNode, choice: str, user: str | None = None) -> int:
    request = urllib.request.Request(live.url + "/polls/lunch/votes", choice.encode())
    if user is not None:
        request.add_header("Authorization", f"Bearer {user}")
    with urllib.request.urlopen(request) as response:
        status: int = response.status
        return status


def get(live: LiveNode, path: str) -> tuple[dict[str, Any], str]:
    """A representation, and what the cache says of it."""
    with urllib.request.urlopen(live.url + path) as response:
        return json.load(response), response.headers["Cache-Status"]


def test_what_the_application_answers_is_kept_until_it_says_that_it_changed(live: LiveNode) -> None:
    assert get(live, "/polls/lunch") == ({"soup": 0, "salad": 0}, "freshwire; fwd=miss; stored")
    assert get(live, "/polls/lunch") == ({"soup": 0, "salad": 0}, "freshwire; hit")
    assert vote(live, "soup") == 201
    assert get(live, "/polls/lunch") == ({"soup": 1, "salad": 0}, "freshwire; fwd=miss; stored")


@pytest.mark.parametrize("transport", ["sse", "websocket", "poll"])
def test_a_watcher_sees_each_change(live: LiveNode, transport: Transport) -> None:
    with live.watch("/polls/lunch", transport=transport) as watch, live.watch("/polls/lunch") as other:
        assert watch.next().json() == other.next().json() == {"soup": 0, "salad": 0}
        for count in range(1, 4):
            vote(live, "salad")
            assert watch.next().json() == other.next().json() == {"soup": 0, "salad": count}
    # One read for the first of them, and one a change, however many watch.
    assert live.stats()["rereads"] <= 3


def test_the_wait_that_a_cache_can_collapse_and_the_pinned_read_after_it(live: LiveNode) -> None:
    with urllib.request.urlopen(live.url + "/polls/lunch") as response:
        monitor = re.match(r'<([^>]+)>; rel="monitor"', response.headers["Link"])
    assert monitor is not None
    with ThreadPoolExecutor(1) as waiting:
        waits = waiting.submit(get, live, monitor[1])
        block_until(lambda: live.stats()["waits_held"] == 1)
        vote(live, "soup")
        told, _ = waits.result(30)
    (change,) = told["changes"]
    assert change["url"] == "/polls/lunch"
    assert get(live, change["pinned"])[0] == {"soup": 1, "salad": 0}


@pytest.mark.parametrize("transport", ["sse", "websocket", "poll"])
def test_what_is_private_is_watched_with_its_readers_credentials(
    live: LiveNode, transport: Transport
) -> None:
    def mine(user: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {user}"}

    with pytest.raises(WatchEnded) as refused:
        live.watch("/mine", transport=transport).next()
    assert refused.value.status == 401
    with (
        live.watch("/mine", transport=transport, headers=mine("ada")) as ada,
        live.watch("/mine", transport=transport, headers=mine("bob")) as bob,
    ):
        assert ada.next().json() == bob.next().json() == []
        vote(live, "soup", "ada")
        assert ada.next().json() == ["soup"]
        vote(live, "salad", "bob")
        assert bob.next().json() == ["salad"]


def test_a_change_from_elsewhere_comes_through_the_admin_socket(live: LiveNode, program: Program) -> None:
    with live.watch("/polls/lunch") as watch:
        watch.next()
        # Past the node, which cannot know of it.
        directly = urllib.request.Request(f"http://127.0.0.1:{program.port}/polls/lunch/votes", b"soup")
        urllib.request.urlopen(directly).close()
        script = "from freshwire import Fresh; Fresh().changed_sync('poll:lunch')"
        environment = {**os.environ, "FRESHWIRE_ADMIN_SOCKET": str(live.admin_socket)}
        subprocess.run([sys.executable, "-c", script], check=True, env=environment, timeout=60)
        assert watch.next().json() == {"soup": 1, "salad": 0}


def test_watchers_stay_while_the_upstream_restarts_and_catch_up(live: LiveNode, program: Program) -> None:
    with live.watch("/polls/lunch") as watch, live.watch("/polls/lunch", transport="websocket") as other:
        for _ in range(2):
            watch.next()
            other.next()
            vote(live, "soup")
        assert watch.next().json() == other.next().json() == {"soup": 2, "salad": 0}
        program.stop()
        live.changed("poll:lunch")
        # It is read again and again; nobody is told anything meanwhile.
        block_until(lambda: live.stats()["rereads"] >= 2 and live.stats()["upstream_failures"] >= 1)
        program.start()
        assert watch.next().json() == other.next().json() == {"soup": 0, "salad": 0}
        assert live.stats()["watchers"] == 2
