"""The command line as a process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


class Running:
    """A `freshwire` that runs, and what it has printed."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "freshwire", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._read = 0
        threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._lines.append("(the end)")
            self._changed.notify_all()

    def line(self, part: str, timeout: float = 60.0) -> str:
        """Wait for the next line that has this in it."""
        with self._changed:
            found = self._changed.wait_for(lambda: self._next(part), timeout)
            assert found, f"no {part!r} in:\n" + "\n".join(self._lines)
            return self._lines[self._read - 1]

    def _next(self, part: str) -> bool:
        for number in range(self._read, len(self._lines)):
            if part in self._lines[number]:
                self._read = number + 1
                return True
            assert self._lines[number] != "(the end)", f"no {part!r} in:\n" + "\n".join(self._lines)
        return False

    def printed(self) -> list[str]:
        """Every line so far."""
        with self._changed:
            return list(self._lines)

    def url(self) -> str:
        """Wait until it serves; where."""
        return self.line("serves http").split("serves ")[1].split()[0].rstrip("/")

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self) -> int:
        """Wait for its end; the exit code."""
        return self.process.wait(30)
