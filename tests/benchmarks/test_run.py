"""`make bench` in small: every benchmark runs and says what it should; never how fast anything was."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks import figure, run

pytestmark = pytest.mark.skipif(shutil.which("cargo") is None, reason="the floor is built with cargo")


def test_a_quick_run_prints_every_figure_with_its_budget_and_writes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results" / "latest.json"
    assert run.main(["--quick", "--json", str(path)]) == 0
    report = json.loads(path.read_text())
    assert report["quick"]
    assert report["machine"]["cores"] >= 1
    figures = {line["what"]: line for line in report["figures"]}
    printed = capsys.readouterr().out
    assert all(what in printed for what in figures)
    for what in (
        "idle watch by SSE",
        "idle watch by WebSocket",
        "idle long-poll",
        "idle keep-alive after one GET",
    ):
        assert figures[what]["unit"] == "B"
        assert figures[what]["budget"] == 256
        assert figures[what]["note"] == "", "all of them stayed"
    for what in ("CPU to connect and watch", "CPU a message at 10/s", "CPU a message at 100/s"):
        assert figures[what]["beside"] == "floor"
        assert figures[what]["measured"] > 0
        assert figures[what]["ratio"] > 0
    delays = [line for what, line in figures.items() if what.startswith("change to last of")]
    assert [line["beside"] for line in delays] == ["floor", "floor"]


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
