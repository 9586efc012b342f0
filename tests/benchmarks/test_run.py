"""`make bench` in small: every benchmark runs and says what it should; never how fast anything was."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import figure, report, run

pytestmark = pytest.mark.skipif(shutil.which("cargo") is None, reason="the floor is built with cargo")


@pytest.mark.parametrize("name", run.BENCHMARKS)
def test_a_quick_run_prints_every_figure_with_its_budget_and_writes_them(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results" / "latest.json"
    assert run.main(["--quick", "--only", name, "--peers", PEERS.get(name, "none"), "--json", str(path)]) == 0
    written = report.Report.read(path)
    assert written.quick
    assert written.machine["cores"] >= 1
    printed = capsys.readouterr().out
    assert all(line.title in printed for line in written.parts[name].figures)
    figures = {line.what: line for line in written.parts[name].figures if line.subject == figure.NODE}
    for what, about in EXPECTED[name].items():
        found = figures[what]
        assert found.measured is not None, found.note
        assert (found.beside, found.budget) == about
        assert found.ratio is None or found.ratio > 0
    if name == "memory":
        assert not any("ended" in line.note or "messages came" in line.note for line in figures.values())
    if name in ("fanout", "big", "storm", "stall"):
        assert not any(
            "connections ended" in line.note or "did not" in line.note for line in figures.values()
        )


PEERS = {"requests": "uvicorn,nginx's file,nginx's cache"}
"""Whom `make test` has installed."""
EXPECTED: dict[str, dict[str, tuple[str, float | None]]] = {
    "memory": {
        "idle watch by SSE": ("", 256),
        "idle watch by WebSocket": ("", 256),
        "idle long-poll": ("", 256),
        "idle keep-alive after one GET": ("", 256),
        "idle watch by SSE, each of a resource of its own": ("", None),
        "one of 1,000 resources kept": ("", None),
        "one of 1,000 tags whose change is remembered": ("", None),
    },
    "connect": {"CPU to connect and watch": ("floor", 1.3)},
    "fanout": {
        "CPU a message at 10/s by SSE": ("floor", 1.1),
        "CPU a message at 100/s by SSE": ("floor", 0.4),
        "CPU a message at 10/s by WebSocket": ("floor", 1.1),
        "CPU a message at 100/s by WebSocket": ("floor", 0.4),
        "watchers with the newest state at the end at 100/s by SSE": ("", 100),
        "watchers with the newest state at the end at 100/s by WebSocket": ("", 100),
    },
    "delay": {"change to last of 300 watchers, p99": ("floor", 1.2)},
    "big": {"a change of 100 KB to 300 watchers: CPU a message": ("floor", None)},
    "stall": {
        "30 of 300 stop reading: the others' p99": ("without", 1.1),
        "30 of 300 stop reading: user memory for each of them": ("", 16 * 1024),
        "30 of 300 stop reading: have the newest state once they read again": ("", 100),
    },
    "storm": {
        "300 watchers cut off at once: until all are back": ("", None),
        "300 watchers cut off at once: application calls": ("", 1),
    },
    "requests": {"cached GET of 200 B, one core": ("nginx's cache", None)},
    "start": {"start to the first answer, beyond importing the application": ("", 100)},
}


def test_a_ratio_is_the_median_of_the_rounds_and_is_judged_by_its_bound() -> None:
    line = figure.compared("x", "/s", [30.0, 10.0, 20.0], "peer", [10.0, 10.0, 10.0], budget=1.8, bound="≥")
    assert (line.measured, line.ratio, line.spread, line.met) == (20.0, 2.0, (1.0, 3.0), True)
    assert figure.compared("x", "B", [2.0], "floor", [1.0], budget=1.1).met is False
    assert figure.Figure("x", 200.0, "B", budget=256).met is True
    assert figure.Figure("x", 200.0, "B").met is None


def test_an_unknown_benchmark_is_named_and_the_known_ones_are_listed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        run.main(["--only", "memory,speed"])
    said = capsys.readouterr().err
    assert "speed" in said
    assert "fanout" in said
    with pytest.raises(SystemExit):
        run.main(["--peers", "uvicorn,apache"])
    said = capsys.readouterr().err
    assert "apache" in said
    assert "nchan" in said


def test_a_benchmark_that_breaks_off_is_a_line_and_an_exit_code_and_the_others_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Iterator[figure.Result]:
        yield figure.Figure("something", 1.0, "B")
        raise OSError("no descriptors left")

    def whole(*_: object) -> Iterator[figure.Result]:
        yield figure.Figure("another thing", 2.0, "B")

    monkeypatch.setattr(run, "BENCHMARKS", {"one": broken, "two": whole})
    path = tmp_path / "latest.json"
    assert run.main(["--quick", "--only", "one,two", "--json", str(path)]) == 1
    printed = capsys.readouterr().out
    assert "no descriptors left" in printed
    parts = report.Report.read(path).parts
    assert [line.what for line in parts["one"].figures] == ["something", "one"]
    assert [line.what for line in parts["two"].figures] == ["another thing"]
    assert (parts["one"].failed, parts["two"].failed) == (True, False)
