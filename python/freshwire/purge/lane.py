"""The way to one cache: what must leave it waits here, is put together into requests, and is asked for until
the cache has understood.

Names wait at most once. What fails goes back and is asked for again, together with what has come meanwhile,
after a pause for the whole lane. When more waits than `max_names`, everything is purged instead. Nothing is
raised: what cannot be done is counted, and said in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import httpx

from freshwire.purge.cache import Cache, Names, PurgeError

Name = tuple[Literal["key", "tag", "uri"], str]
"""A surrogate key, or a tag or URI for a cache that is told names."""


@dataclass
class Figures:
    """What has come of it so far."""

    purged: int = 0
    """Names that the cache has purged."""
    failures: int = 0
    """Requests that failed."""
    refused: int = 0
    """Names that the cache refuses for good."""
    everything: int = 0
    """Times that everything was purged."""


@dataclass(frozen=True)
class Batch:
    """One request."""

    names: Mapping[Name, int]
    """With the offset of the oldest change that each stands for."""
    everything: int | None = None
    """Everything instead of names; with the oldest offset."""

    @property
    def oldest(self) -> int:
        """The oldest change that is not known to be purged before this one has succeeded."""
        return min(itertools.chain(self.names.values(), [] if self.everything is None else [self.everything]))


@dataclass
class Bucket:
    """Tokens that refill (see `Rate`)."""

    per_s: float
    burst: int
    tokens: float
    at: float

    def take(self, now: float) -> float:
        """Take a token; how long to wait until it is there, seconds."""
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.per_s) - 1
        self.at = now
        return max(0.0, -self.tokens / self.per_s)


@dataclass
class Waiting:
    """What has to be asked for."""

    names: dict[Name, int] = field(default_factory=dict)
    """Oldest change first."""
    everything: int | None = None
    since: float = 0.0
    """When it began to wait."""

    def __bool__(self) -> bool:
        return bool(self.names) or self.everything is not None

    def oldest(self) -> int | None:
        """The oldest change among it."""
        offsets = list(itertools.islice(self.names.values(), 1))
        if self.everything is not None:
            offsets.append(self.everything)
        return min(offsets, default=None)

    def all_at_once(self) -> None:
        """Forget the names: everything it is."""
        self.everything = self.oldest()
        self.names.clear()

    def take(self, count: int) -> Batch:
        """The next request."""
        if self.everything is not None:
            batch = Batch({}, self.oldest())
            self.everything = None
            self.names.clear()
            return batch
        taken = dict(itertools.islice(self.names.items(), count))
        for name in taken:
            del self.names[name]
        return Batch(taken)

    def put_back(self, batch: Batch) -> None:
        """It has failed."""
        if batch.everything is not None:
            self.everything = min(batch.everything, self.everything or batch.everything)
        for name, offset in batch.names.items():
            self.names[name] = min(offset, self.names.get(name, offset))
        self.names = dict(sorted(self.names.items(), key=lambda item: item[1]))


class Lane:
    """What must leave one cache, and the tasks that see to it. Only on one event loop."""

    def __init__(
        self,
        cache: Cache,
        *,
        settled: bool,
        max_names: int,
        on_progress: Callable[[], None],
        log: logging.Logger,
    ) -> None:
        """Do nothing yet.

        settled: what is asked for counts as purged when it has left everywhere (see `Cache.purge`).
        max_names: more that wait are everything.
        on_progress: called when `acknowledged` or `figures` have changed.
        """
        self.cache = cache
        self.figures = Figures()
        self._settled = settled
        self._max_names = max_names
        self._on_progress = on_progress
        self._log = log
        self._waiting = Waiting()
        self._newest = 0
        self._oldest_under_way: dict[int, int] = {}
        self._numbers = itertools.count()
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._hurry = asyncio.Event()
        self._turn = asyncio.Lock()
        self._attempts = 0
        self._paused_until = 0.0
        rate = cache.rate
        self._bucket = rate and Bucket(rate.per_s, rate.burst, rate.burst, 0.0)
        self._tasks: list[asyncio.Task[None]] = []
        self._http = httpx.AsyncClient(timeout=cache.timeout_s, follow_redirects=False)

    @property
    def waiting(self) -> int:
        """Names that wait."""
        return len(self._waiting.names) + (self._waiting.everything is not None)

    @property
    def acknowledged(self) -> int:
        """All changes up to this offset have left the cache, or will not for all waiting."""
        oldest = [*self._oldest_under_way.values()]
        if (waiting := self._waiting.oldest()) is not None:
            oldest.append(waiting)
        return min(oldest, default=self._newest + 1) - 1

    def start(self) -> None:
        """Begin to work."""
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self.cache.AT_ONCE)]

    def add(self, names: Iterable[Name], *, everything: bool, offset: int) -> None:
        """Something must leave the cache: the changes up to `offset` that are not known here yet."""
        waiting, before = self._waiting, self._newest
        if not waiting:
            waiting.since = asyncio.get_running_loop().time()
        self._newest = max(before, offset)
        if everything or waiting.everything is not None:
            waiting.everything = min(before + 1, waiting.everything or before + 1)
            waiting.names.clear()
        else:
            for name in names:
                waiting.names.setdefault(name, before + 1)
            if len(waiting.names) > self._max_names:
                self._log.error(
                    "purge: more than %d names wait for %s (max_purges): it is purged of everything",
                    self._max_names,
                    self.cache.label,
                )
                waiting.all_at_once()
        if waiting:
            self._some.set()
            self._idle.clear()

    async def close(self, timeout_s: float) -> None:
        """Ask for what is left, for so long."""
        self._hurry.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            self._log.error(
                "purge: the node ends while %d names have not left %s: old copies of them stay until their "
                "lifetime ends",
                self.waiting + len(self._oldest_under_way),
                self.cache.label,
            )
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.aclose()

    async def _work(self) -> None:
        """Make one request after the other."""
        while True:
            async with self._turn:
                number, batch = await self._next()
            try:
                await self._send(batch)
            finally:
                del self._oldest_under_way[number]
            if not self._waiting and not self._oldest_under_way:
                self._idle.set()
            self._on_progress()

    async def _next(self) -> tuple[int, Batch]:
        """Wait for the next request: for something to purge, for more that may come, and for the API."""
        loop = asyncio.get_running_loop()
        await self._some.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(
                max(0.0, self._waiting.since + self.cache.coalesce_ms / 1000 - loop.time())
            ):
                await self._hurry.wait()
        if self._bucket is not None:
            await asyncio.sleep(self._bucket.take(loop.time()))
        while self._paused_until > loop.time():  # noqa: ASYNC110 - it moves when another request fails
            await asyncio.sleep(self._paused_until - loop.time())
        batch, number = self._waiting.take(self.cache.MAX_NAMES), next(self._numbers)
        self._oldest_under_way[number] = batch.oldest
        if not self._waiting:
            self._some.clear()
        return number, batch

    async def _send(self, batch: Batch) -> None:
        """Make a request, and take note of what comes of it. Raises nothing."""
        figures = self.figures
        try:
            if batch.everything is not None:
                await self.cache.purge_everything(self._http, settled=self._settled)
                figures.everything += 1
            else:
                await self.cache.purge(self._http, _names(batch.names), settled=self._settled)
                figures.purged += len(batch.names)
        except PurgeError as error:
            figures.failures += 1
            if error.lasting:
                await self._refused(batch, error)
            else:
                self._failed(batch, error, error.retry_after_s)
        except Exception as error:
            figures.failures += 1
            self._log.exception("purge: a defect in the way to %s", self.cache.label)
            self._failed(batch, error, 0.0)
        else:
            if self._attempts:
                self._log.warning("purge: %s is reached again", self.cache.label)
            self._attempts = 0

    def _failed(self, batch: Batch, error: Exception, retry_after_s: float) -> None:
        """Ask again, after a pause for all."""
        cache, self._attempts = self.cache, self._attempts + 1
        longest = min(cache.retry_max_s, cache.retry_s * 2.0 ** min(self._attempts - 1, 30))
        pause_s = max(retry_after_s, longest * random.uniform(0.5, 1.0))
        self._paused_until = asyncio.get_running_loop().time() + pause_s
        if not self._waiting:
            self._waiting.since = self._paused_until
        self._waiting.put_back(batch)
        if self._waiting.everything is not None:
            self._waiting.all_at_once()
        self._some.set()
        if self._attempts & (self._attempts - 1) == 0:
            level = logging.ERROR if self._attempts > 1 else logging.WARNING
            self._log.log(
                level,
                "purge: %s fails (attempt %d): %s; again in %.1f s",
                cache.label,
                self._attempts,
                error,
                pause_s,
            )

    async def _refused(self, batch: Batch, error: PurgeError) -> None:
        """Part the names until the one is found that is at fault."""
        names = list(batch.names.items())
        if len(names) > 1:
            middle = len(names) // 2
            for half in (names[:middle], names[middle:]):
                await self._send(Batch(dict(half)))
            return
        self.figures.refused += 1
        self._log.error(
            "purge: %s refuses to purge %s: %s; old copies stay until their lifetime ends",
            self.cache.label,
            names[0][0][1] if names else "everything",
            error,
        )


def _names(names: Iterable[Name]) -> Names:
    """Sort names by what they are."""
    sorted_out: dict[str, list[str]] = {"key": [], "tag": [], "uri": []}
    for what, text in names:
        sorted_out[what].append(text)
    return Names(sorted_out["key"], sorted_out["tag"], sorted_out["uri"])
