"""Waiting for what nothing tells of, such as a figure of the node."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable

PATIENCE_S = 10.0
PAUSE_S = 0.005


async def until(condition: Callable[[], bool]) -> None:
    """Wait on the loop. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_S):
        for pause_s in itertools.repeat(PAUSE_S):
            if condition():
                return
            await asyncio.sleep(pause_s)


def block_until(condition: Callable[[], bool]) -> None:
    """The same in a thread. Raises TimeoutError."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {PATIENCE_S} s")
        time.sleep(PAUSE_S)
