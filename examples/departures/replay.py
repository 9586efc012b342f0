"""Walks through a day: commits each event in its time, then says what changed. The lifespan starts it.

The order is the whole point: the commit first, then the change, so that whoever re-reads finds the new state.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime, time

from freshwire import NodeUnreachable
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session, sessionmaker

from .events import Event, events_of_day
from .models import Announcement, Clock, Flight, Progress, Status

PAUSE_S = 15.0
"""How long the finished day stays on the boards before the next round."""

DAY_TAG = "replay"
"""The tag of everything on the boards: it changes when a round begins."""

log = logging.getLogger(__name__)

Changed = Callable[..., Awaitable[object]]


@dataclass(frozen=True)
class Round:
    """A day, told from `begin` on."""

    day: date
    speed: float
    begin: time

    @property
    def start(self) -> datetime:
        return datetime.combine(self.day, self.begin)


class Replay:
    """The task that goes round after round, and the way to choose another day."""

    def __init__(self, sessions: sessionmaker[Session], changed: Changed, chosen: Round) -> None:
        self.chosen = chosen
        """The round that runs, and after it the next."""
        self._sessions = sessions
        self._changed = changed
        self._task: asyncio.Task[None] | None = None
        self._alone = False
        """Whether there is no node to tell, which is said once."""

    async def start(self) -> None:
        """Begin the first round; when this returns, there is something to read."""
        await self.choose(self.chosen)

    async def choose(self, chosen: Round) -> None:
        """Begin a round at once; when this returns, everything that is read is of that day."""
        await self.stop()
        self.chosen = chosen
        events = await self._begin()
        self._task = asyncio.create_task(self._run(events), name="replay")

    async def stop(self) -> None:
        """End, after the commit that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self, events: list[Event]) -> None:
        while True:
            await self._tell(events)
            await asyncio.sleep(PAUSE_S)
            events = await self._begin()

    async def _begin(self) -> list[Event]:
        events = await asyncio.to_thread(begin, self._sessions, self.chosen)
        await self._say(DAY_TAG)
        return events

    async def _tell(self, events: list[Event]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for event in events:
            due = began + (event.at - self.chosen.start).total_seconds() / self.chosen.speed
            await asyncio.sleep(max(0.0, due - loop.time()))
            await asyncio.to_thread(apply, self._sessions, event)
            await self._say(*event.tags)

    async def _say(self, *tags: str) -> None:
        try:
            await self._changed(*tags)
        except NodeUnreachable as error:  # plain uvicorn: the API answers all the same
            if not self._alone:
                log.warning("nobody follows the replay: %s", error)
            self._alone = True


def begin(sessions: sessionmaker[Session], chosen: Round) -> list[Event]:
    """Set the flights of the day to what was known when the round begins; returns the events to come."""
    with sessions.begin() as session:
        flights = session.scalars(select(Flight).where(Flight.day == chosen.day)).all()
        events = events_of_day(flights)
        told = [event for event in events if event.at <= chosen.start]
        latest = {event.flight_id: event for event in told}
        for table in (Announcement, Progress, Clock):
            session.execute(delete(table))
        session.execute(
            insert(Progress),
            [
                {
                    "flight_id": flight.id,
                    "origin_code": flight.origin_code,
                    "status": latest[flight.id].status if flight.id in latest else Status.SCHEDULED,
                    "expected": latest[flight.id].expected if flight.id in latest else flight.scheduled,
                    "told": latest[flight.id].at if flight.id in latest else None,
                }
                for flight in flights
            ],
        )
        if told:
            session.execute(insert(Announcement), [announcement(event) for event in told])
        session.add(Clock(id=1, day=chosen.day, speed=chosen.speed, now=chosen.start))
    return events[len(told) :]


def apply(sessions: sessionmaker[Session], event: Event) -> None:
    """Commit one event: where the flight stands, what was said, and what time it is."""
    with sessions.begin() as session:
        session.execute(
            update(Progress)
            .where(Progress.flight_id == event.flight_id)
            .values(status=event.status, expected=event.expected, told=event.at)
        )
        session.execute(insert(Announcement), announcement(event))
        session.execute(update(Clock).values(now=event.at))


def announcement(event: Event) -> dict[str, object]:
    return {"flight_id": event.flight_id, "at": event.at, "status": event.status, "expected": event.expected}
