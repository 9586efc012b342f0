"""What a run found, as it stands in the JSON file: for each benchmark its figures, series, sizes and when it was."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from benchmarks.figure import Figure, Series
from benchmarks.processes import ROOT
from benchmarks.sizes import Sizes


@dataclass(slots=True)
class Part:
    """One benchmark."""

    made_at: str
    load_at_start: float
    sizes: dict[str, Any]
    seconds: float = 0.0
    failed: bool = False
    """Whether it broke off."""
    figures: list[Figure] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)

    @classmethod
    def begun(cls, sizes: Sizes) -> Self:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        part = cls(now, os.getloadavg()[0], sizes.as_json())
        part.seconds = -time.monotonic()
        return part

    def ended(self) -> None:
        self.seconds = round(self.seconds + time.monotonic(), 1)

    def as_json(self) -> dict[str, object]:
        return {
            "made_at": self.made_at,
            "seconds": self.seconds,
            "failed": self.failed,
            "load_at_start": self.load_at_start,
            "sizes": self.sizes,
            "figures": [figure.as_json() for figure in self.figures],
            "series": [series.as_json() for series in self.series],
        }

    @classmethod
    def of_json(cls, said: dict[str, Any]) -> Self:
        figures = [Figure.of_json(fields) for fields in said["figures"]]
        series = [Series(s["plot"], s["name"], [(x, y) for x, y in s["points"]]) for s in said["series"]]
        about = {name: said[name] for name in ("made_at", "load_at_start", "sizes", "seconds", "failed")}
        return cls(**about, figures=figures, series=series)


@dataclass(slots=True)
class Report:
    """A run, or several of one commit on one machine."""

    commit: str
    quick: bool
    machine: dict[str, Any]
    parts: dict[str, Part] = field(default_factory=dict)

    @classmethod
    def begun(cls, *, quick: bool) -> Self:
        return cls(commit(), quick, machine())

    def adopt(self, path: Path) -> None:
        """Take over what a file has, if it is of the same commit and machine."""
        if not path.exists():
            return
        other = Report.read(path)
        if (other.commit, other.machine, other.quick) == (self.commit, self.machine, self.quick):
            self.parts = other.parts

    def series(self, plot: str) -> list[Series]:
        """The lines of a plot."""
        return [series for part in self.parts.values() for series in part.series if series.plot == plot]

    def write(self, path: Path) -> None:
        said = {
            "commit": self.commit,
            "quick": self.quick,
            "machine": self.machine,
            "benchmarks": {name: part.as_json() for name, part in self.parts.items()},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Report:
        said = json.loads(path.read_text())
        parts = {name: Part.of_json(part) for name, part in said["benchmarks"].items()}
        return Report(said["commit"], said["quick"], said["machine"], parts)


def machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def commit() -> str:
    """The commit that was measured; `-dirty` if anything but what a run writes differs from it."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    pages = [f":!docs/{name}.md" for name in ("benchmarks", "edge", "million", "security")]
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results", *pages)
    return git("rev-parse", "--short=12", "HEAD") + ("-dirty" if changed else "")


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
