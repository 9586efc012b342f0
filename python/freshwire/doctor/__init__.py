"""`freshwire doctor`: what stands in front of a node, looked at from outside, and what to change in it.

Each check is a function from a `Visit` (what is looked at, and how) to an `Outcome`; `advice` has the text of every
problem. Called by `freshwire.cli.doctor`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from freshwire.doctor import reading, streams, waits
from freshwire.doctor.report import Outcome, Report
from freshwire.doctor.visit import Visit

Check = Callable[[Visit], Awaitable[Outcome]]
CHECKS: dict[str, Check] = {
    "what is kept": reading.keeping,
    "event streams": streams.events,
    "WebSockets": streams.websocket,
    "long polls": streams.long_poll,
    "waits": waits.collapse,
}
"""What is done one after the other once the resource is there: each would disturb the others."""


async def examine(visit: Visit) -> Report:
    """Look at a resource. Raises OptionError if what was asked for cannot be done."""
    visit.say("reading it")
    outcomes = [await reading.resource(visit)]
    if visit.resource is not None:
        outcomes.append(await reading.fields(visit))
        for name, check in CHECKS.items():
            visit.say(name)
            outcomes.append(await check(visit))
        if visit.can_change:
            outcomes.append(await waits.change(visit))
        visit.say(f"idle streams, for {visit.idle_s:.0f} s")
        last = [streams.idle(visit)] + ([] if visit.can_change else [waits.change(visit)])
        outcomes += await asyncio.gather(*last)
    return Report(visit.url, visit.in_front, outcomes)
