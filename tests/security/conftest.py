"""Nodes to attack: `attack(app, …)` in this process, `attack_process(source, …)` in one of its own."""

import json
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from freshwire.testing import LiveNode, node

from .wire import TIMEOUT_S, Peer


class Target:
    """A node under attack, in this process."""

    def __init__(self, live: LiveNode, stack: ExitStack) -> None:
        self.live = live
        host, port = live.url.removeprefix("http://").split(":")
        self.address = (host, int(port))
        self.authority = f"{host}:{port}"
        self._peers = stack
        self._before: dict[str, int] = {}

    def connect(self, **options: Any) -> Peer:
        """A connection that ends with the test."""
        return self._peers.enter_context(Peer(self.address, **options))

    def admin(self) -> Peer:
        """A connection to the admin socket."""
        return self._peers.enter_context(Peer(str(self.live.admin_socket)))

    def stats(self) -> dict[str, Any]:
        return self.live.stats()

    def refused(self) -> dict[str, int]:
        """What the node has refused in this test: how often for each reason."""
        now: dict[str, int] = self.stats()["refusals"]
        return {
            reason: n - self._before.get(reason, 0)
            for reason, n in now.items()
            if n > self._before.get(reason, 0)
        }

    @contextmanager
    def one_test(self) -> Iterator["Target"]:
        """Begin to count, and end the connections afterwards: for a node that several tests share."""
        self._before = self.stats()["refusals"]
        with ExitStack() as self._peers:
            yield self


class TargetProcess:
    """A node under attack, in a process of its own, so that its memory can be read."""

    def __init__(self, process: subprocess.Popen[str], admin_socket: Path, stack: ExitStack) -> None:
        self.process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://(127\.0\.0\.1):(\d+)/", line)
        assert found, f"the node did not start: {line!r}"
        self.address = (found[1], int(found[2]))
        self._admin_socket = admin_socket
        self._stack = stack

    def connect(self, **options: Any) -> Peer:
        """A connection that ends with the test."""
        return self._stack.enter_context(Peer(self.address, **options))

    def stats(self) -> dict[str, Any]:
        with Peer(str(self._admin_socket)) as peer:
            return dict(json.loads(peer.get("/stats").body))

    def refused(self) -> dict[str, int]:
        return dict(self.stats()["refusals"])

    def changed(self, tag: str) -> None:
        body = json.dumps({"tags": [tag]}).encode()
        with Peer(str(self._admin_socket)) as peer:
            peer.send(
                b"POST /changes HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            assert peer.response("POST").status == 200

    def memory_kib(self) -> int:
        """Resident memory of its own (files mapped by it left out), KiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1])  # type: ignore[index]


@pytest.fixture
def attack() -> Iterator[Callable[..., Target]]:
    """Start nodes: `target = attack(app, header_timeout_s=1)`; they and their connections end with the test."""
    with ExitStack() as stack:
        yield lambda app, **options: Target(stack.enter_context(node(app, **options)), stack)


@pytest.fixture(scope="module")
def attack_all() -> Iterator[Callable[..., Target]]:
    """Like `attack`, for a node that the tests of a module share (see `Target.one_test`)."""
    with ExitStack() as stack:
        yield lambda app, **options: Target(stack.enter_context(node(app, **options)), stack)


@pytest.fixture
def target(shared: Target) -> Iterator[Target]:
    """The node that the tests of a module share, for one of them; `shared` is the module's own fixture."""
    with shared.one_test():
        yield shared


@pytest.fixture
def attack_process(tmp_path: Path) -> Iterator[Callable[..., TargetProcess]]:
    """Start nodes in processes: `target = attack_process("source of a module with an app", option=value)`."""
    with ExitStack() as stack:

        def start(source: str, **options: object) -> TargetProcess:
            (tmp_path / "attacked.py").write_text(textwrap.dedent(source))
            admin_socket = tmp_path / "admin.sock"
            chosen = [f"--set={name}={value}" for name, value in options.items()]
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "freshwire", "serve", "attacked:app", "--port", "0"),
                    *("--admin-socket", str(admin_socket), "--app-dir", str(tmp_path), *chosen),
                ],
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                text=True,
            )

            def end() -> None:
                process.kill()
                process.communicate()

            stack.callback(end)
            return TargetProcess(process, admin_socket, stack)

        yield start


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until something that nobody announces has happened."""
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)
