"""Ending a server that was started in a session of its own, with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import Any


def end(process: subprocess.Popen[Any], *, patience_s: float) -> None:
    """Ask it to end, and after `patience_s` seconds do not ask; workers that outlive it are ended in any case."""
    process.terminate()
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
