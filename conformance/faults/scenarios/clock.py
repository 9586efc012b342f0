"""The wall clock jumps: what is fresh stays fresh, nobody is cut off, and only what is a date shows it."""

import asyncio
import os
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path

from conformance.faults.history import Ended
from conformance.faults.node import NodeProcess
from conformance.faults.trial import Size, Trial, trial

LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
JUMPS = ("+1h", "+0", "-1h", "+400d", "-400d", "+0")


def can_fake() -> bool:
    """Whether there is a library that gives a process another time (Debian: libfaketime)."""
    return LIBRARY.exists()


async def the_clock_jumps(size: Size, seed: int, folder: Path) -> None:
    """By hours and by years, forwards and backwards, under load and at rest."""
    clock = folder / "clock"

    def set_clock(to: str) -> None:
        new = clock.with_suffix(".new")
        new.write_text(to)
        os.replace(new, clock)

    def arrange(node: NodeProcess) -> None:
        set_clock("+0")
        node.environment = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    async with trial(size, seed, folder, arrange=arrange) as it:
        for jump in JUMPS:
            await asyncio.sleep(size.span_s / 4)
            set_clock(jump)
        async with it.at_rest():
            await _at_rest(it, set_clock)


async def _at_rest(it: Trial, set_clock: Callable[[str], None]) -> None:
    """Nobody writes: nothing is read again, and nobody's connection ends."""
    steady = {f.name for f in it.followers if not f.habits.restless and "poll" not in f.habits.transports}
    async with it.http() as http:
        (await http.get("/r/0")).raise_for_status()
        before = len(it.history)
        for jump in JUMPS:
            set_clock(jump)
            answer = await http.get("/r/0")
            assert "hit" in answer.headers["cache-status"], f"{jump}: {answer.headers}"
            assert int(answer.headers["age"]) < 3600, f"{jump}: {answer.headers}"
            ahead_s = parsedate_to_datetime(answer.headers["date"]).timestamp() - time.time()
            assert abs(ahead_s - AHEAD_S[jump]) < 60, f"the clock did not jump by {jump}: {ahead_s}"
    ended = [r for r in it.history[before:] if isinstance(r, Ended) and r.client in steady]
    assert not ended, ended


AHEAD_S = {"+0": 0, "+1h": 3600, "-1h": -3600, "+400d": 400 * 86_400, "-400d": -400 * 86_400}

SCENARIOS = (the_clock_jumps,)
