"""The node's process ends, is ended, or stands still; its successor has the same port and another epoch."""

import asyncio
import itertools
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from conformance.faults.trial import Size, trial

from .clients import REQUESTS

EVENTS, POLL, SOCKET = REQUESTS[1], REQUESTS[2], REQUESTS[5].partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
CLOSED_1012 = re.compile(rb"\x88.\x03\xf4[^\x88]*$", re.DOTALL)
MOST = 1.5
"""Clients that come back in the worst second, against the mean."""


async def it_is_killed(size: Size, seed: int, folder: Path) -> None:
    """SIGKILL, and a start on the same port: everybody comes back, and an id of before is worth nothing."""
    async with trial(size, seed, folder) as it:
        for _ in range(size.rounds):
            await asyncio.sleep(size.span_s)
            old = await _current_id(it.node.url, "")
            await it.node.end(signal.SIGKILL)
            await asyncio.sleep(0.3)
            await it.node.start()
            new = await _current_id(it.node.url, old)
            assert new.partition("-")[0] != old.partition("-")[0], "the epoch is the same"
            await asyncio.sleep(size.span_s)
            await it.calm()


async def _current_id(url: str, last_id: str) -> str:
    """The id of the first event of /r/1, after this one. Raises TimeoutError if there is none."""
    fields = {"accept": "text/event-stream", **({"last-event-id": last_id} if last_id else {})}
    async with (
        asyncio.timeout(10.0),
        httpx.AsyncClient(base_url=url, trust_env=False) as http,
        http.stream("GET", "/r/1", headers=fields) as stream,
    ):
        came = ""
        async for piece in stream.aiter_text():
            came += piece
            if found := re.search(r"^id: ?(\S+)", came, re.MULTILINE):
                return found[1]
    raise AssertionError(f"the stream ended: {came}")


async def its_application_ends_it(size: Size, seed: int, folder: Path) -> None:
    """`os._exit` in a read, and a start by whoever watches over it."""
    async with trial(size, seed, folder) as it:
        for _ in range(size.rounds):
            async with it.going_wrong({"*": "die"}):
                assert await it.node.ended() == 3
            await it.node.start()
            await asyncio.sleep(size.span_s)
            await it.calm()


async def it_stands_still(size: Size, seed: int, folder: Path) -> None:
    """SIGSTOP, and SIGCONT a while after."""
    async with trial(size, seed, folder) as it:
        for _ in range(size.rounds):
            it.node.send(signal.SIGSTOP)
            await asyncio.sleep(1.5 * size.span_s)
            it.node.send(signal.SIGCONT)
            await asyncio.sleep(size.span_s / 2)


async def it_is_replaced(size: Size, seed: int, folder: Path) -> None:
    """SIGTERM while everybody reads, writes and follows, and a start when it has gone."""
    async with trial(size, seed, folder) as it:
        for _ in range(size.rounds):
            await asyncio.sleep(size.span_s / 2)
            assert await it.node.end(signal.SIGTERM) == 0
            await it.node.start()
            await asyncio.sleep(size.span_s)


@dataclass
class Herded:
    """One of many watchers."""

    request: bytes
    first: bytes = b""
    rest: bytes = b""
    ended_at: float = 0.0
    cut: str = ""

    @property
    def back_at(self) -> float:
        """When it comes back: an event stream says how long to wait before."""
        retry = re.search(rb"retry: ?(\d+)", self.rest)
        return self.ended_at + (int(retry[1]) / 1000 if retry else 0.0)

    def is_clean(self) -> bool:
        """Whether its end was a proper one of its kind."""
        if self.cut or not self.first.startswith(b"HTTP/1.1 "):
            return False
        if self.request is EVENTS:
            return self.rest.endswith(b"0\r\n\r\n") and b"retry:" in self.rest
        if self.request is SOCKET:
            return CLOSED_1012.search(self.rest) is not None
        return self.rest.startswith(b"HTTP/1.1 304")


async def a_herd_is_sent_away(size: Size, seed: int, folder: Path) -> None:
    """SIGTERM with many watchers: each is told properly, and they come back spread out."""
    options = {
        "drain_timeout_s": size.drain_s,
        "retry_min_ms": 1000,
        "retry_max_ms": 3000,
        "max_wait_s": 60.0,
    }
    async with trial(size, seed, folder, options, clients=False) as it:
        herd = [Herded((EVENTS, EVENTS, EVENTS, SOCKET)[n % 4]) for n in range(size.herd)]
        peers = await _gather_herd(it.node.port, herd)
        assert (await it.node.stats())["watchers"] == size.herd
        lag = asyncio.create_task(_worst_lag())
        it.node.send(signal.SIGTERM)
        await asyncio.gather(*(_until_end(*peer, one) for peer, one in zip(peers, herd, strict=True)))
        lag.cancel()
        assert await it.node.ended() == 0
        await it.node.start()  # for the end of the trial
        bad = [one for one in herd if not one.is_clean()]
        assert not bad, f"{len(bad)} ends were abnormal, such as {bad[0].rest[-200:]!r} {bad[0].cut}"
        times = sorted(one.back_at for one in herd)
        worst = max(
            sum(at <= other < at + 1.0 for other in times) for at in times[:: max(1, len(times) // 100)]
        )
        mean = size.herd / size.drain_s
        # What this process could not look at in time, it saw at once.
        allowed = MOST * mean * (1.0 + _worst[0])
        print(
            f"{size.herd} watchers over {size.drain_s} s: {worst} in the worst second, {mean:.0f} in the mean"
        )
        assert worst <= allowed, f"{worst} in the worst second, {mean} in the mean"


_worst = [0.0]


async def _worst_lag() -> None:
    """Note how late this process was at worst."""
    _worst[0] = 0.0
    for _ in itertools.count():
        before = time.monotonic()
        await asyncio.sleep(0.05)
        _worst[0] = max(_worst[0], time.monotonic() - before - 0.05)


async def _gather_herd(
    port: int, herd: list[Herded]
) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect them all, and see the beginning of each."""
    some = asyncio.Semaphore(100)

    async def one(each: Herded) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with some:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(each.request)
            each.first = await reader.readuntil(b"\r\n\r\n")
            return reader, writer

    return await asyncio.gather(*map(one, herd))


async def _until_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, one: Herded) -> None:
    """Read a connection to its end."""
    try:
        while piece := await reader.read(65_536):
            one.rest = (one.rest + piece)[-4096:]
            if one.request is SOCKET and b"\x88" in piece and b"restarts" in piece:
                writer.write(b"\x88\x82\0\0\0\0\x03\xf4")  # the closing handshake
    except OSError as error:
        one.cut = repr(error)
    one.ended_at = time.monotonic()
    writer.close()


SCENARIOS = (it_is_killed, its_application_ends_it, it_stands_still, it_is_replaced, a_herd_is_sent_away)
