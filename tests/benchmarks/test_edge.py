"""`make edge` in small: the same ways with a few clients."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.edge import report
from benchmarks.edge.__main__ import main
from benchmarks.edge.measure import Outcome
from benchmarks.edge.ways import WAYS

needs_cargo = pytest.mark.skipif(shutil.which("cargo") is None, reason="the load client is built with cargo")


MANY = 1100
"""More than nginx counts in the bits that it has for who wants the same answer."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run of two ways found: through nginx as it should be, and through Varnish without pins."""
    file = tmp_path_factory.mktemp("edge") / "edge.json"
    few = ["--clients", str(MANY), "--seconds", "3", "--changes", "1", "--json", str(file)]
    assert main([*few, "--only", "nginx,varnish-plain"]) == 0
    said: dict[str, Any] = json.loads(file.read_text())
    return said


@needs_cargo
def test_what_is_promised_is_kept_and_what_is_not_is_seen(made: dict[str, Any]) -> None:
    pinned, plain = made["outcomes"]
    assert (pinned["way"], pinned["there"], pinned["changes"]) == ("nginx", MANY, 3)
    assert (pinned["stale"], pinned["missed"], pinned["failed"]) == (0, 0, 0)
    assert 1 <= pinned["origin_waits"] <= pinned["waits_allowed"]
    assert pinned["origin_reads"] == 4
    assert (plain["way"], plain["failed"]) == ("varnish-plain", 0)
    assert plain["stale"] == plain["reads"] > 0
    assert plain["missed"] == MANY


@needs_cargo
def test_the_page_shows_every_way_between_its_marks(made: dict[str, Any], tmp_path: Path) -> None:
    page = tmp_path / "edge.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.document(made, page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert len(re.findall(r"^\| (nginx|Varnish)", text, re.M)) == 2
    assert report.text(made).count("\n") == 2


def test_a_way_that_loses_something_is_not_as_promised() -> None:
    fine: dict[str, Any] = {
        "way": "nginx", "clients": 1, "there": 1, "seconds": 1.0, "edges": 1, "changes": 1, "cycles": 2, "waits": 3,
        "origin_waits": 3, "reads": 1, "origin_reads": 2, "stale": 0, "early": 0, "missed": 0, "failed": 0, "left": {},
        "delay_ms": {"p50": 1.0, "p99": 1.0, "max": 1.0},
    }  # fmt: skip
    assert Outcome(**fine).kept
    for name, value in [("origin_waits", 4), ("origin_reads", 3), ("stale", 1), ("missed", 1), ("there", 0)]:
        assert not Outcome(**(fine | {name: value})).kept, name


def test_every_way_has_a_name_of_its_own() -> None:
    assert len({way.name for way in WAYS}) == len({way.title for way in WAYS}) == len(WAYS)
