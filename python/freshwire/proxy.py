"""A node before an HTTP application: what `freshwire proxy` and the test kit run. No request comes to Python.

As `freshwire.asgi.server` for an ASGI application, with the same way to be served (`freshwire.running`).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from freshwire._engine import ProxyNode
from freshwire.asgi.server import Listener, described, purging

if TYPE_CHECKING:
    from freshwire.purge import Cache


class Proxy:
    """Stands before one application; `serve` may be called once."""

    def __init__(
        self,
        options: Mapping[str, Any],
        listeners: Sequence[Listener],
        *,
        caches: Sequence[Cache] = (),
        log: logging.Logger | None = None,
    ) -> None:
        """Take over the listeners; nothing runs yet.

        options: the engine's options, `upstreams` among them.
        caches: those in front that are purged of what changes (`freshwire.purge`).
        log: what becomes of the upstreams goes there; default "freshwire.error".

        Raises ValueError for an option that is unknown, out of range or not safe.
        """
        self.started = asyncio.Event()
        """Set when connections are accepted."""
        self._log = log or logging.getLogger("freshwire.error")
        self.node = ProxyNode(json.dumps(dict(options)), described(listeners))
        self._purging = purging(self.node, caches, options)

    async def serve(self, stop: asyncio.Event) -> None:
        """Pass requests on until `stop` is set and every connection has ended."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self.node.fileno(), self._report)
        ended: asyncio.Future[None] | None = None
        try:
            if self._purging is not None:
                self._purging.start()
            self.node.start()
            self.started.set()
            await stop.wait()
            self.node.shutdown()
            ended = asyncio.ensure_future(asyncio.to_thread(self.node.join))
            await asyncio.shield(ended)
        except BaseException:
            self.abort()
            raise
        finally:
            if self._purging is not None:
                await self._purging.close()
            await (ended or asyncio.to_thread(self.node.join))
            loop.remove_reader(self.node.fileno())
            self._report()

    def abort(self) -> None:
        """End every connection at once."""
        # The first call of `shutdown` is the patient one.
        for _ in range(2):
            self.node.shutdown()

    def _report(self) -> None:
        for report in self.node.reports():
            self._log.warning("%s", report)
