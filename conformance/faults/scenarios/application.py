"""The application fails, in every way that it can: watchers keep what they have, and catch up when it is well again."""

import asyncio
import resource
import time
from pathlib import Path

import httpx

from conformance.faults.behaviour import FAILURES, ODDITIES
from conformance.faults.trial import CATCH_UP_S, Size, Trial, trial

PAUSE_S = 0.25


async def one_after_the_other(size: Size, seed: int, folder: Path) -> None:
    """Ways to fail and to be odd, each of all resources or of one."""
    async with trial(size, seed, folder) as it:
        ways = [*FAILURES, *ODDITIES]
        it.chance.shuffle(ways)
        for how in ways[: size.ways]:
            where = it.chance.choice(["*", str(it.chance.randrange(size.resources))])
            async with it.going_wrong({where: how}):
                await asyncio.sleep(size.span_s / 2)
            await asyncio.sleep(PAUSE_S)
        assert it.node.process is not None
        assert it.node.process.poll() is None


async def a_handler_hangs(size: Size, seed: int, folder: Path) -> None:
    """One handler, then all of them, for longer than the node waits."""
    async with trial(size, seed, folder) as it:
        for where in ("0", "*"):
            async with it.going_wrong({where: "hang"}):
                await asyncio.sleep(size.span_s + 1.0)
            await it.calm()


async def it_recovers_in_fits(size: Size, seed: int, folder: Path) -> None:
    """Reads fail by chance, then always, then by chance, and then no more."""
    async with trial(size, seed, folder) as it:
        for how in ("flaky", "503", "flaky"):
            async with it.going_wrong({"*": how}):
                await asyncio.sleep(size.span_s)


async def a_body_without_end(size: Size, seed: int, folder: Path) -> None:
    """Watchers are told that there is too much of it, and the node holds no more than a representation may have."""
    async with trial(size, seed, folder, {"max_representation_bytes": 1024 * 1024}) as it:
        before_kib = it.node.memory_kib()
        async with it.going_wrong({"0": "endless", "1": "endless"}):
            await asyncio.sleep(size.span_s + 0.5)
            for _ in range(round(CATCH_UP_S / PAUSE_S)):
                if (await it.node.stats())["refusals"].get("representation_too_large"):
                    break
                await asyncio.sleep(PAUSE_S)
            else:
                raise AssertionError("no body was too large")
        await it.calm()
        assert it.node.memory_kib() - before_kib < 256 * 1024


async def it_leaks(size: Size, seed: int, folder: Path) -> None:
    """Until there is no memory left for the application: what it cannot answer fails, and all else goes on."""
    async with trial(size, seed, folder) as it:
        limit = size.leak_mib * 1024 * 1024
        resource.prlimit(it.node.pid, resource.RLIMIT_DATA, (limit, limit))
        async with it.going_wrong({"*": "leak"}):
            with_limit = time.monotonic() + 60.0
            while not (await it.node.stats())["refusals"].get("application_failed"):
                assert time.monotonic() < with_limit, "it never ran out of memory"
                await _read_all(it)
        assert it.node.process is not None
        assert it.node.process.poll() is None


async def _read_all(it: Trial) -> None:
    """Have everything read again."""
    async with it.http() as http:
        for _ in range(5):
            await http.get("/r/2", headers={"authorization": "Bearer alice"})


async def it_hogs_the_interpreter(size: Size, seed: int, folder: Path) -> None:
    """Asleep or at work, it answers nobody: connections stay, what is cached is answered, heartbeats go on."""
    async with trial(size, seed, folder, {"app_timeout_s": 30.0}, clients=False) as it:
        for how in ("sleep", "spin"):
            await _hogged(it, it.http(), how, size.hog_s)


async def _hogged(it: Trial, http: httpx.AsyncClient, how: str, hog_s: float) -> None:
    beats: list[float] = []

    async def follow() -> None:
        async with http.stream("GET", "/r/0", headers={"accept": "text/event-stream"}) as stream:
            async for piece in stream.aiter_raw():
                if piece.startswith(b":"):
                    beats.append(time.monotonic())

    following = asyncio.create_task(follow())
    (await http.get("/r/0")).raise_for_status()
    hogging = asyncio.create_task(http.post(f"/hog/{how}?seconds={hog_s}"))
    # It has begun when a read that needs the application is not answered.
    probe = asyncio.create_task(http.get("/r/4?once"))
    begun = time.monotonic()
    await asyncio.sleep(0.2)
    hits = 0
    while not hogging.done():
        answer = await http.get("/r/0")
        if not hogging.done():
            assert "hit" in answer.headers["cache-status"], answer.headers
            hits += 1
        await asyncio.sleep(0.02)
    ended = time.monotonic()
    assert hits > 5, "cached GETs were not answered meanwhile"
    assert (await probe).status_code == 200
    assert not following.done(), "the watch ended"
    meanwhile = sum(begun < at < ended for at in beats)
    assert meanwhile >= int(hog_s) - 1, f"{meanwhile} heartbeats in {hog_s} s"
    assert (await it.node.stats())["watchers"] == 1
    following.cancel()
    await asyncio.wait([following])
    await http.aclose()


async def it_hogs_under_load(size: Size, seed: int, folder: Path) -> None:
    """The same while everybody reads, writes and follows."""
    async with trial(size, seed, folder, {"app_timeout_s": 30.0}) as it:
        for how in ("sleep", "spin"):
            async with it.http() as http:
                await http.post(f"/hog/{how}?seconds={min(size.hog_s, 4.0)}")
            await asyncio.sleep(PAUSE_S)


SCENARIOS = (
    one_after_the_other,
    a_handler_hangs,
    it_recovers_in_fits,
    a_body_without_end,
    it_leaks,
    it_hogs_the_interpreter,
    it_hogs_under_load,
)
