"""docs/benchmarks.md is generated from a report: every marker is known, and what it gets says what was measured."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import page, run
from benchmarks.figure import Figure, Series, absent, compared
from benchmarks.plots import write_plots
from benchmarks.report import Part, Report
from benchmarks.sizes import FULL


def a_report(*, quick: bool = False) -> Report:
    report = Report("0123456789ab", quick, {**dict.fromkeys(("kernel", "python"), "1"), "processor": "P"})
    report.machine |= {"cores": 2, "memory_gib": 24}
    fanout = Part.begun(FULL)
    fanout.figures = [
        compared("CPU a message", "µs", [2.0, 3.0], "floor", [2.0, 2.0], budget=1.1, note="10 | lost"),
        compared("CPU a message", "µs", [8.0], "floor", [2.0], subject="nchan"),
        absent("CPU a message", "mercure", "no package"),
    ]
    fanout.series = [
        Series("cpu-sse", "freshwire", [(10, 5.0), (100, 2.0)]),
        Series("cpu-sse", "a <peer>", [(10, 50.0), (100, 200.0)]),
        Series("delay at 10/s by SSE", "freshwire", [(0.5, 0.1), (3.0, 0.99), (700.0, 1.0)]),
    ]
    memory = Part.begun(FULL)
    memory.figures = [Figure("idle watch", 100.0, "B", budget=256)]
    memory.series = [Series("memory", "freshwire, SSE", [(3000, 0.3), (15000, 1.5)])]
    requests = Part.begun(FULL)
    requests.series = [
        Series("gets hello", "freshwire", [(0.0, 90_000.0)]),
        Series("gets hello", "uvicorn", [(0.0, 45_000.0)]),
    ]
    report.parts = {"fanout": fanout, "memory": memory, "requests": requests}
    return report


def test_a_report_is_the_same_after_it_was_written_and_read(tmp_path: Path) -> None:
    report = a_report()
    report.write(tmp_path / "x.json")
    assert Report.read(tmp_path / "x.json") == report


def test_the_page_gets_each_figure_with_its_budget_verdict_and_note_and_stays_so() -> None:
    report = a_report()
    text = "before\n<!-- figures: fanout -->\nold\n<!-- end -->\n<!-- figures: budgets -->\n<!-- end -->\nafter\n"
    new = page.filled(text, report)
    assert new.startswith("before\n")
    assert new.endswith("\nafter\n")
    assert "old" not in new
    assert "| CPU a message | 2.5 µs | floor 2 | 1.25× (1.00-1.50) | ≤ 1.1 | **MISSED** |" in new
    assert "| nchan: CPU a message | 8 µs | floor 2 | 4.00× (4.00-4.00) |  |  |" in new
    assert "| mercure: CPU a message | not measured |" in new
    assert "* mercure: CPU a message: no package." in new
    assert "* CPU a message: 10 | lost." in new
    assert "| idle watch | ≤ 256 B | 100 B | met |" in new
    assert "| CPU a message | ≤ 1.1× floor | 1.25× (1.00-1.50) | **MISSED** |" in new
    assert page.filled(new, report) == new


def test_every_marker_of_the_real_page_is_known_and_every_benchmark_has_one() -> None:
    markers = {found[2] for found in page.SECTION.finditer(page.PAGE.read_text())}
    assert page.PAGE.read_text().count("<!-- figures:") == len(markers), (
        "each is closed, and none stands twice"
    )
    plots = {name for name in markers if name.startswith("plot ")}
    assert markers - plots == {*run.BENCHMARKS, "machine", "budgets"}
    report = a_report()
    for name in ("machine", "budgets", "fanout", *plots):
        assert page.content_of(name, report)


def test_a_page_that_is_not_what_the_report_makes_of_it_is_told_and_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results, text = tmp_path / "latest.json", tmp_path / "page.md"
    a_report().write(results)
    text.write_text("<!-- figures: memory -->\n<!-- end -->\n")
    words = [str(results), "--page", str(text)]
    assert page.main([*words, "--check"]) == 1
    assert "make page" in capsys.readouterr().err
    assert page.main(words) == 0
    assert page.main([*words, "--check"]) == 0
    a_report(quick=True).write(results)
    with pytest.raises(SystemExit):
        page.main(words)


def test_plots_are_well_formed_and_have_a_line_or_a_bar_for_each_series(tmp_path: Path) -> None:
    paths = {path.stem: path for path in write_plots(a_report(), tmp_path)}
    assert paths.keys() == {"cpu-sse", "delay-10-sse", "memory", "requests"}
    for path in paths.values():
        text = path.read_text()
        ElementTree.fromstring(text)
        assert "prefers-color-scheme: dark" in text
        assert len(text) < 100_000
    assert paths["cpu-sse"].read_text().count("<polyline") == 2
    assert "a &lt;peer&gt;" in paths["cpu-sse"].read_text()
    assert paths["requests"].read_text().count("<rect") == 2


def test_a_report_adopts_only_what_is_of_its_own_commit(tmp_path: Path) -> None:
    path = tmp_path / "latest.json"
    old = a_report()
    old.write(path)
    same, other = (Report(commit, False, old.machine) for commit in ("0123456789ab", "ba9876543210"))
    same.adopt(path)
    other.adopt(path)
    assert same.parts.keys() == old.parts.keys()
    assert not other.parts
    same.adopt(tmp_path / "there is none")
    assert json.loads(path.read_text())["benchmarks"].keys() == old.parts.keys()
