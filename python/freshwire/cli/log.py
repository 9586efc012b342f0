"""Freshwire's own log: to standard error, by a thread of its own, so that nobody waits for who reads it."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading

STDERR = 2
MOST_LINES = 10_000
"""Kept for a reader that is slow; further ones are lost, and how many is said when there is room again."""
LAST_WORDS_S = 1.0
"""How long a reader may take for the last of it."""


class Handler(logging.Handler):
    """Hands lines to a thread."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: queue.Queue[str | None] = queue.Queue(MOST_LINES)
        self._lost = 0
        self._thread: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Never wait."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="freshwire log", daemon=True)
            self._thread.start()
        try:
            if self._lost:
                self._lines.put_nowait(f"{self._lost} lines of this log are lost: nobody read it")
                self._lost = 0
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Wait a little until all is written."""
        if self._thread is not None:
            with contextlib.suppress(queue.Full):
                self._lines.put_nowait(None)
                self._thread.join(LAST_WORDS_S)
        super().close()

    def _write(self) -> None:
        # Not through sys.stderr: the interpreter does not end while a thread holds its lock.
        while (line := self._lines.get()) is not None:
            left = f"{line}\n".encode(errors="backslashreplace")
            with contextlib.suppress(OSError):
                while left:
                    left = left[os.write(STDERR, left) :]
