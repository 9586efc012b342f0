"""Between the node and the caches in front of it: what the node says must leave goes into a lane for each cache,
and when it has left all of them, the node is told.

Nothing here raises into the application, and no write waits for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from freshwire._engine import Purges, default_options, surrogate_keys
from freshwire.purge.cache import Cache
from freshwire.purge.lane import Lane, Name

Keys = Callable[[Sequence[str]], list[str]]
"""Gives the surrogate keys of tags and URIs that changed."""


class Purging:
    """Purges caches of what changes in one node, from before the node starts until it has ended."""

    def __init__(
        self,
        purges: Purges,
        caches: Sequence[Cache],
        keys: Keys,
        *,
        pin: bool,
        max_purges: int,
        timeout_s: float,
        log: logging.Logger | None = None,
    ) -> None:
        """Nothing is purged before `start`.

        purges: what the node collects.
        pin, max_purges: the node's options of these names.
        timeout_s: how long `close` goes on (`purge_timeout_s`).
        """
        self._purges = purges
        self._keys = keys
        self._log = log or logging.getLogger("freshwire.purge")
        self._lanes = [
            Lane(
                cache,
                settled=not pin,
                max_names=max_purges,
                on_progress=self._progressed,
                log=self._log,
            )
            for cache in caches
        ]
        self._timeout_s = timeout_s
        self._purged = 0

    def start(self) -> None:
        """Begin. On the event loop."""
        asyncio.get_running_loop().add_reader(self._purges.fileno(), self._due)
        for lane in self._lanes:
            lane.start()

    async def close(self) -> None:
        """Purge what is left, but not for long; what does not work out is said in the log."""
        asyncio.get_running_loop().remove_reader(self._purges.fileno())
        self._due()
        await asyncio.gather(*(lane.close(self._timeout_s) for lane in self._lanes))
        self._purges.purged(2**64 - 1)

    def _due(self) -> None:
        """Something must leave the caches."""
        tags, uris, everything, offset = self._purges.due()
        names: list[Name] = [("key", key) for key in self._keys([*tags, *uris])]
        named: list[Name] = [("tag", tag) for tag in tags] + [("uri", uri) for uri in uris]
        for lane in self._lanes:
            lane.add(names + named if lane.cache.NAMES else names, everything=everything, offset=offset)
        self._progressed()

    def _progressed(self) -> None:
        """A cache has answered."""
        purged = min(lane.acknowledged for lane in self._lanes)
        if purged > self._purged:
            self._purged = purged
            self._purges.purged(purged)
        self._report()

    def _report(self) -> None:
        """Make the figures visible among the node's."""
        figures = [lane.figures for lane in self._lanes]
        self._purges.report(
            sum(figure.purged for figure in figures),
            sum(figure.failures for figure in figures),
            sum(figure.everything for figure in figures),
            sum(lane.waiting for lane in self._lanes),
        )


def of(purges: Purges, caches: Sequence[Cache], options: Mapping[str, Any]) -> Purging:
    """What purges caches of what changes in a node with these options, or the defaults."""
    chosen = {**json.loads(default_options()), **options}
    secret = str(chosen["tag_key"])

    def keys(changed: Sequence[str]) -> list[str]:
        return surrogate_keys(secret, changed) if secret else []

    return Purging(
        purges,
        caches,
        keys,
        pin=bool(chosen["pin"]),
        max_purges=int(chosen["max_purges"]),
        timeout_s=float(chosen["purge_timeout_s"]),
    )
