"""A bar on a terminal; a line now and then in a file."""

from __future__ import annotations

import sys
import time

BAR = 30
PAUSE_S = 10.0
"""Between two lines where there is no terminal."""


class Progress:
    """How far each phase is, on standard error."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._printed_at = float("-inf")

    def begin(self, what: str) -> None:
        """Say what begins."""
        self._printed_at = float("-inf")
        self(what, 0, 1)

    def __call__(self, what: str, done: int, of: int) -> None:
        """Show how much is done."""
        now = time.monotonic()
        share = min(done / of, 1.0) if of else 1.0
        if self._terminal:
            bar = "#" * round(share * BAR)
            print(f"\r\x1b[K[{bar:{BAR}}] {share:4.0%}  {what}", end="", file=sys.stderr, flush=True)
        elif now - self._printed_at >= PAUSE_S:
            self._printed_at = now
            print(f"{now - self._start:5.0f} s  {share:4.0%}  {what}", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr)
        print(f"{time.monotonic() - self._start:5.0f} s  {text}", file=sys.stderr, flush=True)
