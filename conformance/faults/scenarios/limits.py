"""What the machine gives runs out: descriptors, room on the disk, somebody who reads the log."""

import asyncio
import os
import resource
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO

import httpx

from conformance.faults.node import NodeProcess
from conformance.faults.trial import Size, Trial, trial

from .clients import GET, connected, read, send

DESCRIPTORS = 400
WATCH_S = 1.0


async def connections_without_end(size: Size, seed: int, folder: Path) -> None:
    """Who is one too many is refused, and who is connected does not notice."""

    def arrange(node: NodeProcess) -> None:
        node.limits[resource.RLIMIT_NOFILE] = DESCRIPTORS

    async with trial(size, seed, folder, arrange=arrange) as it:
        for _ in range(size.rounds):
            peers, refused = [], 0
            for _ in range(DESCRIPTORS):
                peer = await connected(it)
                peers.append(peer)
                await send(peer, GET)
            for peer in peers:
                came = await read(peer, 65_536)
                assert came.startswith((b"HTTP/1.1 200", b"HTTP/1.1 503")), came[:100]
                if came.startswith(b"HTTP/1.1 503"):
                    refused += 1
                    assert b"max_connections" in came
                    assert b"retry-after" in came.lower()
            assert refused > 0
            await asyncio.sleep(size.span_s)
            for peer in peers:
                peer.close()
            await it.calm()
            with closing(await connected(it)) as peer:
                await send(peer, GET)
                assert (await read(peer, 65_536)).startswith(b"HTTP/1.1 200")


async def no_descriptor_is_left(size: Size, seed: int, folder: Path) -> None:
    """The application has them all: nobody can come in, and the node does not turn in circles over it."""

    def arrange(node: NodeProcess) -> None:
        node.limits[resource.RLIMIT_NOFILE] = DESCRIPTORS

    options = {"app_timeout_s": 30.0}
    async with trial(size, seed, folder, options, clients=False, arrange=arrange) as it, it.http() as http:
        inside = await connected(it)
        await send(inside, GET)
        assert await read(inside, 65_536)
        holding = asyncio.create_task(http.post(f"/hog/descriptors?seconds={WATCH_S + 2.0}"))
        await asyncio.sleep(0.5)
        outside = [await connected(it) for _ in range(20)]
        for peer in outside:
            await send(peer, GET)
        await asyncio.sleep(0.2)
        cpu_s, memory_kib = it.node.cpu_s(), it.node.memory_kib()
        await asyncio.sleep(WATCH_S)
        await send(inside, GET)
        assert b"hit" in (await read(inside, 65_536)).partition(b"\r\n\r\n")[0]
        assert not holding.done()
        assert it.node.cpu_s() - cpu_s < WATCH_S / 2, "it spins"
        assert it.node.memory_kib() - memory_kib < 4096
        assert (await holding).status_code == 204
        inside.close()
        for peer in outside:  # they were waiting at the door
            with closing(peer):
                assert (await read(peer, 65_536)).startswith(b"HTTP/1.1 200")
        assert (await it.node.stats())["refusals"]["accept_failed"] > 0


async def _with_logs(size: Size, seed: int, folder: Path, arrange: Callable[[NodeProcess], None]) -> None:
    """Log more than a pipe holds, of both kinds."""

    def logging(node: NodeProcess) -> None:
        node.arguments.append("--access-log")
        arrange(node)

    async with trial(size, seed, folder, arrange=logging) as it:
        async with it.http() as http:
            for _ in range(size.rounds):
                await _flood(it, http)
            async with it.going_wrong({"*": "raise"}):
                for _ in range(100):
                    # No two of them are one flight.
                    assert (await http.get(f"/r/0?{it.chance.random()}")).status_code == 500
        await it.calm()


async def _flood(it: Trial, http: httpx.AsyncClient) -> None:
    """Requests whose lines are long."""
    for _ in range(60):
        answer = await http.get(f"/r/0?{'x' * 4000}{it.chance.random()}")
        assert answer.status_code == 200


async def nobody_reads_the_logs(size: Size, seed: int, folder: Path) -> None:
    """Standard output and standard error are pipes that are full: the node serves, and says less."""
    ends: list[int] = []

    def arrange(node: NodeProcess) -> None:
        for name in ("stdout", "stderr"):
            ours, theirs = os.pipe()
            ends.append(ours)
            setattr(node, name, os.fdopen(theirs, "wb"))

    try:
        await _with_logs(size, seed, folder, arrange)
    finally:
        for end in ends:
            os.close(end)


async def the_disk_is_full(size: Size, seed: int, folder: Path) -> None:
    """Logs cannot be written."""

    def arrange(node: NodeProcess) -> None:
        full: IO[bytes] = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - the node's
        node.stderr = full
        # What it says when it has started must be said, so the disk is full only for what comes later.
        node.prefix = ["sh", "-c", 'exec "$@" 2>/dev/full', "sh"]

    await _with_logs(size, seed, folder, arrange)


SCENARIOS = (connections_without_end, no_descriptor_is_left, nobody_reads_the_logs, the_disk_is_full)
