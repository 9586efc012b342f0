"""Each peer that is installed does what its adapter says; one that is not, or fails, is a line of the table."""

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import memory, peers, processes
from benchmarks.application import body_of
from benchmarks.crowd import subscribers
from benchmarks.figure import Figure
from benchmarks.peers import centrifugo, nginx, pushpin
from benchmarks.sizes import QUICK
from benchmarks.station import Station

pytestmark = pytest.mark.skipif(shutil.which("cargo") is None, reason="the load client is built with cargo")
WAYS = [(name, transport) for name, peer in peers.known().items() for transport in peer.transports]


@pytest.mark.parametrize(("name", "transport"), WAYS)
def test_every_subscriber_of_a_peer_gets_every_message_that_it_pushes(name: str, transport: str) -> None:
    peer = peers.known()[name]
    if why := peer.missing():
        pytest.skip(why)
    processes.build()
    with peer.open() as station, subscribers(station, transport, 20) as crowd:
        crowd.mark()
        pushed = station.push(20, 0.5)
        assert pushed.changes == 10
        messages, changes = 0, 0
        deadline = time.monotonic() + 30
        while messages < 10 * crowd.size and time.monotonic() < deadline:
            time.sleep(0.1)
            mark = crowd.mark()
            messages, changes = messages + mark.messages, max(changes, mark.changes)
        assert messages == 10 * crowd.size
        assert mark.newest == crowd.size
        assert station.server.cpu_ns() > 0
        assert station.server.private_bytes() > 0


def test_who_says_nothing_is_not_waited_for_without_end() -> None:
    with processes.Process("mute", [sys.executable, "-c", "input()"]) as mute:
        with pytest.raises(processes.BenchmarkError, match="20 connections did not connect within 0 s"):
            mute.hear(within_s=0.1, lest="20 connections did not connect")
        with pytest.raises(processes.BenchmarkError, match="mute has ended"):
            mute.hear(within_s=30)


@contextlib.contextmanager
def _failing() -> Iterator[Station]:
    raise processes.BenchmarkError("it has ended: no such option")
    yield


def test_a_peer_that_is_missing_or_fails_is_a_line_with_the_reason() -> None:
    missing = peers.Peer("x", ("sse",), lambda: "x: not installed", _failing)
    failing = peers.Peer("x", ("sse",), lambda: "", _failing)
    for peer, why in (
        (missing, "x: not installed"),
        (failing, "failed: BenchmarkError('it has ended: no such option')"),
    ):
        [line] = memory._of_peer(peer, "sse", QUICK)
        assert isinstance(line, Figure)
        assert (line.subject, line.measured, line.note) == ("x", None, why)


def test_what_is_not_installed_is_named() -> None:
    assert peers.needs_programs("sh")() == ""
    assert "no-such-program" in peers.needs_programs("sh", "no-such-program")()
    assert peers.needs_modules("json")() == ""
    assert "no_such_module" in peers.needs_modules("json", "no_such_module")()


def test_messages_are_wrapped_as_each_publishing_api_wants_them() -> None:
    state = body_of(7)
    assert json.loads(centrifugo.wrapped(state)) == {"channel": "state", "data": json.loads(state)}
    [item] = json.loads(pushpin.wrapped(state))["items"]
    assert item["formats"]["http-stream"]["content"] == f"data: {state.decode()}\n\n"
    assert body_of(0).decode() in nginx.holding()


def test_a_family_is_all_that_a_process_started_and_its_memory_and_time_are_summed() -> None:
    work = "sum(range(10**6)); print(flush=True); input()"
    script = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {work!r}]).wait()"
    with processes.Process("parent", [sys.executable, "-c", script]) as parent:
        parent.hear()
        family = parent.family()
        assert len(family) == 2
        own = processes.private_dirty(Path(f"/proc/{parent.pid}/smaps_rollup").read_text())
        assert parent.private_bytes() > own
        assert parent.cpu_ns() > 0
        assert parent.cpu_ns("no-such-thread") == 0
        parent.say("")


def test_a_process_that_was_stopped_can_be_closed() -> None:
    with processes.Process("sleeper", ["sleep", "60"]) as sleeper:
        sleeper.stop()
        state = Path(f"/proc/{sleeper.pid}/stat")
        while state.read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.01)
    assert subprocess.run(["kill", "-0", str(sleeper.pid)], capture_output=True, check=False).returncode
