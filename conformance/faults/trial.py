"""A node, writers and clients, and what they all say about it."""

import asyncio
import itertools
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
from freshwire.client.follow import tls

from .clients import Follower, Reader, crowd
from .database import Database, tag
from .history import Acknowledged, Begun, Calm, Finding, Record, check
from .node import NodeProcess

CATCH_UP_S = 30.0
"""Watchers have what is newest so long after all is well, on a machine that is busy."""


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    resources: int = 5
    followers: int = 10
    readers: int = 2
    writes_per_s: float = 20.0
    span_s: float = 0.5
    """How long something goes wrong, each time."""
    rounds: int = 1
    """How often."""
    herd: int = 500
    """Watchers that are many."""
    hog_s: float = 1.5
    drain_s: float = 3.0
    ways: int = 8
    """To fail, chosen by chance."""
    leak_mib: int = 500
    """Memory that the application may have."""


QUICK = Size()
FULL = Size(
    resources=15,
    followers=60,
    readers=10,
    writes_per_s=60.0,
    span_s=4.0,
    rounds=3,
    herd=5000,
    hog_s=5.0,
    drain_s=10.0,
    ways=99,
    leak_mib=1500,
)


async def until(condition: Callable[[], bool], timeout_s: float = CATCH_UP_S) -> None:
    """Wait. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        for pause_s in itertools.repeat(0.01):
            if condition():
                return
            await asyncio.sleep(pause_s)


class BrokenPromiseError(AssertionError):
    """The checker found something."""


class Trial:
    """Use as `async with trial(size, seed, folder) as it`."""

    def __init__(self, size: Size, seed: int, folder: Path, options: Mapping[str, object]) -> None:
        self.size, self.seed, self.folder = size, seed, folder
        self.chance = random.Random(seed)
        self.history: list[Record] = []
        self.database = Database(folder, "writers")
        self.node = NodeProcess(folder, options)
        self.followers: list[Follower] = []
        self.readers: list[Reader] = []
        self._newest = dict.fromkeys(range(size.resources), 0)
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._writing = 0
        self.acknowledged = 0

    def crowd(self) -> list[Follower | Reader]:
        """The clients, made."""
        self.followers, self.readers = crowd(
            self.node.url,
            self.size.resources,
            self.size.followers,
            self.size.readers,
            self.history,
            self.chance,
        )
        return [*self.followers, *self.readers]

    def http(self) -> httpx.AsyncClient:
        """A client that is patient."""
        return httpx.AsyncClient(base_url=self.node.url, timeout=30.0, verify=tls(), trust_env=False)

    async def write_on(self) -> None:
        """Write to all resources in turn, by each way there is, and never mind what goes wrong."""
        async with self.http() as http:
            while True:
                await self._may_write.wait()
                await self.write(http, self.chance.randrange(self.size.resources))
                await asyncio.sleep(self.chance.expovariate(self.size.writes_per_s / WRITERS))

    async def write(self, http: httpx.AsyncClient, resource: int) -> None:
        """One write."""
        self._newest[resource] += 1
        version = self._newest[resource]
        self.history.append(Begun(time.monotonic(), resource, version))
        self._writing += 1
        try:
            if self.chance.random() < 0.5:
                answer = await http.put(f"/r/{resource}?version={version}")
                if answer.status_code != 204:
                    return
            else:
                self.database.write(resource, version)
                await self.node.changed(tag(resource))
        except (httpx.HTTPError, OSError):
            return
        finally:
            self._writing -= 1
        self.acknowledged += 1
        self.history.append(Acknowledged(time.monotonic(), resource, version))

    @asynccontextmanager
    async def going_wrong(self, behaviour: Mapping[str, str]) -> AsyncIterator[None]:
        """Reads go like this meanwhile."""
        self.database.behave(behaviour)
        try:
            yield
        finally:
            self.database.behave({})

    async def calm(self) -> None:
        """Stop writing, let everybody catch up, and have that checked."""
        async with self.at_rest():
            pass

    @asynccontextmanager
    async def at_rest(self) -> AsyncIterator[None]:
        """The same, and write again only afterwards."""
        self._may_write.clear()
        for follower in self.followers:
            follower.restless = False
        await until(lambda: not self._writing)
        # Of each resource the last write is one that was announced.
        async with self.http() as http:
            for resource in range(self.size.resources):
                await self.write(http, resource)
        with suppress(TimeoutError):  # what is wrong then is in the histories
            await until(self._is_settled)
        self.history.append(Calm(time.monotonic()))
        self.check()
        yield
        for follower in self.followers:
            follower.restless = follower.habits.restless
        self._may_write.set()

    def _is_settled(self) -> bool:
        return all(f.open and f.last >= self._newest[f.variant.resource] for f in self.followers)

    def check(self) -> None:
        """Raise BrokenPromiseError if the histories show that something was not kept."""
        if findings := check(self.history):
            self.keep()
            raise BrokenPromiseError(self.report(findings))

    def keep(self) -> None:
        """Leave the history for whoever wants to know."""
        with (self.folder / "history.jsonl").open("w") as file:
            for record in self.history:
                file.write(json.dumps({"is": type(record).__name__, **asdict(record)}) + "\n")

    def report(self, findings: list[Finding]) -> str:
        """What was found."""
        lines = [str(finding) for finding in findings[:10]]
        more = f" and {len(findings) - 10} more" if len(findings) > 10 else ""
        return "\n".join([f"seed {self.seed}, history in {self.folder}:", *lines]) + more

    async def until_followed(self) -> None:
        """Wait until every follower has something."""
        await until(lambda: all(follower.open and follower.last >= 0 for follower in self.followers))


WRITERS = 3


@asynccontextmanager
async def trial(
    size: Size,
    seed: int,
    folder: Path,
    options: Mapping[str, object] | None = None,
    *,
    clients: bool = True,
    arrange: Callable[[NodeProcess], None] = lambda _: None,
) -> AsyncIterator[Trial]:
    """A node that is read and written from beginning to end, and checked at the end.

    clients: False leaves all that to the scenario.
    arrange: is told of the node before it starts.
    """
    it = Trial(size, seed, folder, options or {})
    arrange(it.node)
    try:
        await it.node.start()
        async with asyncio.TaskGroup() as group:
            tasks = []
            if clients:
                tasks += [group.create_task(client.run()) for client in it.crowd()]
                await it.until_followed()
                tasks += [group.create_task(it.write_on()) for _ in range(WRITERS)]
            yield it
            if clients:
                await it.calm()
            for task in tasks:
                task.cancel()
        it.check()
        figures = await it.node.stats()
        assert figures["panics"] == 0, figures
    finally:
        it.node.close()
