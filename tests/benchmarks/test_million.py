"""`make million` in small: the same phases with a few watchers; and that the kernel's settings are put back."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.million import MillionError, change, memory, phases, report, settings
from benchmarks.million.__main__ import check, main
from benchmarks.million.change import quantile, reached
from benchmarks.million.children import Node
from benchmarks.million.keeper import Keeper
from benchmarks.million.memory import Guard
from benchmarks.million.plan import RESERVED_DESCRIPTORS, largest, plan_for
from benchmarks.million.settings import Setting, lines, path_of, read
from tests.waiting import block_until

ROOT = Path(__file__).parents[2]
BUCKETS = path_of(settings.BUCKETS)
needs_cargo = pytest.mark.skipif(shutil.which("cargo") is None, reason="the load client is built with cargo")


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures mean nothing here, so nothing has to come to rest for them."""
    monkeypatch.setattr(phases, "SETTLE_S", 0.1)
    monkeypatch.setattr(phases, "PAUSE_S", 0.1)


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """Settings that look like the kernel's."""
    for name, value in {
        "fs.file-max": "1000",
        "fs.file-nr": "10\t0\t1000",
        "fs.epoll.max_user_watches": "9000000",
        "net.ipv4.tcp_mem": "100\t200\t9000000",
        "net.core.somaxconn": "4096",
        "net.ipv4.tcp_max_syn_backlog": "4096",
        "net.ipv4.ip_local_port_range": "32768\t60999",
        "net.netfilter.nf_conntrack_count": "0",
        "net.netfilter.nf_conntrack_max": "1",
    }.items():
        path = tmp_path / name.replace(".", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value)
    return tmp_path


@needs_cargo
def test_every_watcher_of_every_node_gets_every_change_and_that_is_written_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results" / "million.json"
    words = [
        "--watchers",
        "151",
        "--nodes",
        "3",
        "--changes",
        "2",
        "--kill",
        "--keep-free-gb",
        "0",
        "--json",
        str(path),
    ]
    assert main(words) == 0
    made = json.loads(path.read_text())
    assert (made["watchers"], made["nodes"]) == (151, 3)
    assert [found["watchers"] for found in made["changes"]] == [151, 151, 151]
    assert {made["killed"][name] for name in ("watchers", "back", "got")} == {51}
    for found in made["changes"]:
        assert 0 < found["first_s"] <= found["p50_s"] <= found["p99_s"] <= found["last_s"]
        assert 0 < found["told_s"] <= found["answered_s"]
    assert {"start the nodes", "connect", "changes"} <= set(made["seconds"])
    assert made["memory"]["held"]["nodes"] > 0
    assert made["memory"]["before"]["nodes"] > 0
    assert made["memory"]["held"]["clients"] > 0
    assert "151 of 151, in 3 changes" in capsys.readouterr().out

    page = tmp_path / "page.md"
    page.write_text(f"Before.\n{report.BEGIN}\nold\n{report.END}\nAfter.\n")
    report.document(made, page)
    report.document(made, page)
    text = page.read_text()
    assert text.startswith("Before.\n")
    assert text.endswith("After.\n")
    assert "old" not in text
    assert text.count("151 of 151, in 3 changes") == 1


@needs_cargo
def test_it_fails_and_names_the_node_whose_watchers_missed_a_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = change.change

    def untold(state: Path, score: int, nodes: Sequence[Node], *rest: Any) -> change.Reached:
        clients, _, tick = rest
        return whole(state, score, nodes[:-1], clients, 2.0, tick)

    monkeypatch.setattr(change, "change", untold)
    path = tmp_path / "million.json"
    words = ["--watchers", "90", "--nodes", "3", "--keep-free-gb", "0", "--json", str(path)]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "60 got it" in said
    assert re.search(r"node 2 \(127\.1\.0\.3:\d+\): 0 of 30 got it, 30 are connected", said)
    assert "node 1 (" not in said
    assert not path.exists()


def test_what_was_set_is_put_back_when_the_benchmark_ends(kernel: Path) -> None:
    needed = settings.settings(plan_for(100_000, 20_000), kernel)
    changed = {setting.name for setting in needed if not setting.enough}
    assert changed == {"fs.file-max", "net.ipv4.tcp_mem", "net.ipv4.ip_local_port_range"}
    with Keeper(needed, kernel):
        assert read("net.ipv4.tcp_mem", kernel) == "200000 200000 9000000"
        assert int(read("fs.file-max", kernel)) > 200_000
        assert read("net.ipv4.ip_local_port_range", kernel) == "10240 65535"
    assert read("net.ipv4.tcp_mem", kernel) == "100 200 9000000"
    assert read("fs.file-max", kernel) == "1000"
    assert read("net.ipv4.ip_local_port_range", kernel) == "32768 60999"


def test_what_was_set_is_put_back_after_an_exception(kernel: Path) -> None:
    with pytest.raises(ZeroDivisionError), Keeper([Setting("fs.file-max", "1000", "7", "")], kernel):
        assert read("fs.file-max", kernel) == "7"
        raise ZeroDivisionError
    assert read("fs.file-max", kernel) == "1000"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_was_set_is_put_back_and_all_processes_end_when_the_benchmark_is_killed(
    kernel: Path, how: signal.Signals
) -> None:
    program = f"""
import subprocess, time
from pathlib import Path
from benchmarks.million.keeper import Keeper
from benchmarks.million.settings import Setting
with Keeper([Setting("fs.file-max", "1000", "7", "")], Path({str(kernel)!r})) as keeper:
    child = subprocess.Popen(["sleep", "60"], process_group=keeper.group)
    print(child.pid, flush=True)
    for _ in range(600):
        time.sleep(0.1)  # a signal that comes just before a sleep is seen after it
"""
    benchmark = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with benchmark:
        assert benchmark.stdout is not None
        child = int(benchmark.stdout.readline())
        assert read("fs.file-max", kernel) == "7"
        benchmark.send_signal(how)
        benchmark.wait(30)
    block_until(lambda: read("fs.file-max", kernel) == "1000")
    block_until(lambda: not is_running(child))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_setting_that_cannot_be_changed_is_named_and_the_others_are_put_back(kernel: Path) -> None:
    first = Setting("fs.file-max", "1000", "7", "")
    with (
        pytest.raises(MillionError, match="no/such"),
        Keeper([first, Setting("no/such", "1", "2", "")], kernel),
    ):
        pass
    assert read("fs.file-max", kernel) == "1000"


def test_a_setting_that_cannot_be_put_back_is_named_with_its_value(kernel: Path) -> None:
    path = kernel / "fs" / "file-max"
    with (
        pytest.raises(MillionError, match="file-max was 1000"),
        Keeper([Setting("fs.file-max", "1000", "7", "")], kernel),
    ):
        path.unlink()
        path.mkdir()


def test_connections_that_are_tracked_need_room_in_the_table(kernel: Path) -> None:
    (kernel / "net/netfilter/nf_conntrack_count").write_text("3")
    found = {setting.name: setting for setting in settings.settings(plan_for(100_000, 20_000), kernel)}
    assert int(found["net.netfilter.nf_conntrack_max"].needed) >= 100_000
    assert "nf_conntrack_max" in "\n".join(lines(list(found.values())))


def test_a_node_has_no_more_watchers_than_descriptors() -> None:
    plan = plan_for(1_000_000, 20_000)
    assert plan.nodes == 51
    assert sum(plan.shares) == 1_000_000
    assert max(plan.shares) <= 20_000 - RESERVED_DESCRIPTORS
    assert len({plan.address(node) for node in range(plan.nodes)}) == plan.nodes
    with pytest.raises(MillionError, match="51 can"):
        plan_for(1_000_000, 20_000, 50)
    with pytest.raises(MillionError, match="not enough"):
        plan_for(10, 100)


@needs_cargo
@pytest.mark.skipif(bool(os.geteuid()) or not BUCKETS.exists(), reason="needs root, and Linux 6.1")
def test_a_crowd_gets_a_network_of_its_own_with_a_larger_table_of_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "CROWDED", 0)
    before, seen = BUCKETS.read_text(), []
    measure = memory.measure

    def measured(nodes: Any, clients: Any, network: Path) -> memory.Memory:
        seen.append(memory.sockets_in_use(network))
        return measure(nodes, clients, network)

    monkeypatch.setattr(memory, "measure", measured)
    path = tmp_path / "million.json"
    words = ["--watchers", "40", "--nodes", "2", "--changes", "1", "--keep-free-gb", "0", "--json", str(path)]
    assert main(words) == 0
    made = json.loads(path.read_text())
    assert [found["watchers"] for found in made["changes"]] == [40]
    assert settings.BUCKETS in {setting["name"] for setting in made["settings"]}
    # Both ends and the two listeners, and nobody else's.
    assert seen[1] == 82
    assert BUCKETS.read_text() == before


def test_it_refuses_what_the_memory_does_not_hold_and_says_what_it_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = 4 << 30
    monkeypatch.setattr(memory, "available", lambda: free)
    with pytest.raises(MillionError, match=f"--watchers {largest(20_000, free)} would do"):
        check(plan_for(1_000_000, 20_000), [], 20_000, 0)
    check(plan_for(largest(20_000, free), 20_000), [], 20_000, 0)
    with pytest.raises(MillionError):
        check(plan_for(largest(20_000, free), 20_000), [], 20_000, 1 << 30)


def test_who_is_not_root_is_told_to_what_settings_it_comes_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    plan = plan_for(10, 20_000)
    check(plan, [Setting("a", "1", "1", "")], 20_000, 0)
    with pytest.raises(MillionError, match="root"):
        check(plan, [Setting("a", "1", "2", "")], 20_000, 0)


def test_the_guard_ends_it_when_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    left, ended = [100], []
    monkeypatch.setattr(memory, "available", lambda: left[0])
    with Guard(50, lambda: ended.append(True)) as guard:
        time.sleep(0.5)
        assert not ended
        left[0] = 49
        block_until(lambda: bool(ended))
    assert guard.struck
    assert guard.lowest == 49


def mark(delays_us: list[float], **more: int) -> dict[str, Any]:
    """What a load client says of one change."""
    return {
        "changes": 1,
        "reached_all": 1,
        "backward": 0,
        "each_us": {"count": len(delays_us), "buckets": [[delay, 1] for delay in delays_us]},
        "first_us": {"max": min(delays_us)},
        "last_us": {"max": max(delays_us)},
        **more,
    }


def test_delays_are_put_together_over_all_clients() -> None:
    found = reached([mark([1_000.0, 10_000.0]), mark([100_000.0])], 1000, 2000)
    assert (found.watchers, found.first_s, found.p50_s, found.last_s) == (3, 0.001, 0.01, 0.1)
    assert found.first_of_each_node_s == (0.001, 0.1)
    assert quantile(Counter(), 0.5) == 0
    for more in ({"changes": 2}, {"reached_all": 0}, {"backward": 1}):
        with pytest.raises(MillionError, match="another change"):
            reached([mark([1.0], **more)], 0, 0)
