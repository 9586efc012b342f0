"""Nodes of a process each, so that one can be killed and another take its place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.python.command import Running

Start = Callable[[int], Running]
"""Start a node on a port."""


@contextmanager
def restartable(directory: Path, monkeypatch: pytest.MonkeyPatch, app: str, *options: str) -> Iterator[Start]:
    """Nodes with these options and an application that keeps its state in the file `goals`.

    app: its source.
    options: as `--set` takes them.
    """
    monkeypatch.chdir(directory)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    os.chmod(directory, 0o700)
    (directory / "main.py").write_text(app)
    (directory / "goals").write_text("0")
    sets = [word for option in options for word in ("--set", option)]
    started = []

    def run(port: int) -> Running:
        started.append(Running("serve", "main:app", "--port", str(port), *sets))
        return started[-1]

    yield run
    for running in started:
        running.process.kill()
        running.process.wait()
