"""Anything at any time, as the seed will have it."""

import asyncio
import contextlib
import signal
from pathlib import Path

import httpx

from conformance.faults.behaviour import FAILURES, ODDITIES
from conformance.faults.trial import Size, Trial, trial

from .clients import REQUESTS, connected, read, reset, send

STEPS = 4


async def anything(size: Size, seed: int, folder: Path) -> None:
    """Faults one upon the other, a calm, and again."""
    async with trial(size, seed, folder) as it:
        for _ in range(size.rounds):
            steps = [it.chance.choice(FAULTS) for _ in range(STEPS)]
            async with asyncio.TaskGroup() as group:
                group.create_task(_behave(it))
                for step in steps:
                    await step(it)
                    await asyncio.sleep(it.chance.uniform(0, size.span_s / 4))
            await it.calm()


async def _behave(it: Trial) -> None:
    """One behaviour after the other, of some resources."""
    for _ in range(STEPS):
        where = it.chance.choice(["*", *map(str, range(it.size.resources))])
        async with it.going_wrong({where: it.chance.choice([*FAILURES, *ODDITIES, "flaky"])}):
            await asyncio.sleep(it.chance.uniform(0, it.size.span_s / 2))


async def _reset(it: Trial) -> None:
    for _ in range(10):
        peer = await connected(it)
        request = it.chance.choice(REQUESTS)
        await send(peer, request[: it.chance.randrange(len(request) + 1)])
        if it.chance.random() < 0.5:
            await read(peer, it.chance.randrange(1, 1000)) if request.endswith(b"\r\n\r\n") else None
        reset(peer)


async def _kill(it: Trial) -> None:
    await it.node.end(it.chance.choice([signal.SIGKILL, signal.SIGTERM]))
    await it.node.start()


async def _stand_still(it: Trial) -> None:
    it.node.send(signal.SIGSTOP)
    await asyncio.sleep(it.chance.uniform(0, it.size.span_s))
    it.node.send(signal.SIGCONT)


async def _hog(it: Trial) -> None:
    how = it.chance.choice(["sleep", "spin"])
    async with it.http() as http:
        with contextlib.suppress(httpx.HTTPError):
            await http.post(f"/hog/{how}?seconds={it.chance.uniform(0, it.size.span_s)}")


async def _storm(it: Trial) -> None:
    """Announcements without a change."""
    for _ in range(50):
        await it.node.changed(*{f"r{it.chance.randrange(it.size.resources)}" for _ in range(3)})


FAULTS = (_reset, _kill, _stand_still, _hog, _storm)

SCENARIOS = (anything,)
