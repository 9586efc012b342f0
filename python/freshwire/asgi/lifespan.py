"""The ASGI lifespan protocol: tell an application that the server starts and stops; keep the state it makes.

An application that does not speak it raises when it is called with the scope; in mode "auto" it then runs
without, as the specification asks. One that says `lifespan.startup.failed` must not run, whatever the mode.
"""

import asyncio
import logging
from enum import Enum
from typing import Any, Literal

from freshwire.asgi.types import Application, Message, Scope

Mode = Literal["auto", "on", "off"]

STARTUP_TIMEOUT_S = 60.0
SHUTDOWN_TIMEOUT_S = 30.0


class LifespanError(Exception):
    """The application did not start, or did not stop as it should."""


class Phase(Enum):
    """Where the application stands, as its own messages say."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"


# What an application may say, when, and where it leads.
_NEXT = {
    (Phase.STARTING, "lifespan.startup.complete"): Phase.RUNNING,
    (Phase.STARTING, "lifespan.startup.failed"): Phase.STOPPED,
    (Phase.STOPPING, "lifespan.shutdown.complete"): Phase.STOPPED,
    (Phase.STOPPING, "lifespan.shutdown.failed"): Phase.STOPPED,
}


class Lifespan:
    """One application's life."""

    def __init__(
        self,
        app: Application,
        mode: Mode = "auto",
        *,
        startup_timeout_s: float = STARTUP_TIMEOUT_S,
        shutdown_timeout_s: float = SHUTDOWN_TIMEOUT_S,
        log: logging.Logger | None = None,
    ) -> None:
        self.state: dict[str, Any] = {}
        """What the application keeps for its requests; each scope gets a shallow copy."""
        self.supported = mode != "off"
        """Whether the application speaks the protocol, as far as is known."""
        self._app = app
        self._mode = mode
        self._startup_timeout_s = startup_timeout_s
        self._shutdown_timeout_s = shutdown_timeout_s
        self._log = log or logging.getLogger("freshwire.error")
        self._phase = Phase.STARTING
        self._failure: str | None = None
        # A queue and not two events: an application may wait for both messages in any way it likes.
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._asked = False
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Tell the application to start and wait until it has.

        Raises LifespanError if it says that it cannot, does not answer in time, or (in mode "on") does not
        speak the protocol.
        """
        if not self.supported:
            return
        self._messages.put_nowait({"type": "lifespan.startup"})
        self._task = asyncio.create_task(self._run(), name="freshwire lifespan")
        if not await self._answered(self._startup_timeout_s):
            await self._cancel()
            raise LifespanError(f"the application did not start within {self._startup_timeout_s:g} s")
        if self._failure is not None:
            await self._cancel()
            raise LifespanError(f"the application failed to start: {self._failure}")
        if self._phase is Phase.RUNNING:
            return
        error = self._error()
        if self._mode == "on":
            raise LifespanError("the application does not support the lifespan protocol") from error
        self.supported = False
        if error is not None and self._asked:
            # It took the message and then failed, which looks more like a broken start than like ignorance.
            self._log.warning("Lifespan startup raised: running without lifespan events", exc_info=error)
        else:
            self._log.debug("The application does not support the lifespan protocol", exc_info=error)

    async def shutdown(self) -> None:
        """Tell the application to stop and wait until it has. Raises LifespanError if that fails."""
        if not self.supported or self._task is None or self._phase is not Phase.RUNNING:
            return
        self._phase = Phase.STOPPING
        self._moved.clear()
        if self._task.done():
            # It left early, with an error or without: there is nobody to tell.
            self._raise_end()
            return
        self._messages.put_nowait({"type": "lifespan.shutdown"})
        if not await self._answered(self._shutdown_timeout_s):
            await self._cancel()
            raise LifespanError(f"the application did not stop within {self._shutdown_timeout_s:g} s")
        if self._failure is not None:
            await self._cancel()
            raise LifespanError(f"the application failed to stop: {self._failure}")
        # What follows the message is its own clean-up.
        await asyncio.wait([self._task], timeout=self._shutdown_timeout_s)
        await self._cancel()
        self._raise_end()

    async def _run(self) -> None:
        scope: Scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        await self._app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        message = await self._messages.get()
        self._asked = True
        return message

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        try:
            self._phase = _NEXT[self._phase, kind]
        except KeyError:
            raise RuntimeError(f"unexpected ASGI message {kind!r} while {self._phase.value}") from None
        if kind.endswith(".failed"):
            self._failure = message.get("message") or "it does not say why"
        self._moved.set()

    async def _answered(self, timeout_s: float) -> bool:
        """Wait until the application has answered or left. False: neither, in time."""
        assert self._task is not None
        moved = asyncio.ensure_future(self._moved.wait())
        done, _ = await asyncio.wait(
            [moved, self._task], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        moved.cancel()
        return bool(done)

    async def _cancel(self) -> None:
        """End the application's task, whatever it does."""
        assert self._task is not None
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=1.0)

    def _error(self) -> BaseException | None:
        """What the application's task ended with."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        return self._task.exception()

    def _raise_end(self) -> None:
        error = self._error()
        if error is not None:
            raise LifespanError("the application raised in its lifespan") from error
