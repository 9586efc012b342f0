"""The replay: each event is committed before it is said, and a round ends as the day did."""

import asyncio
from datetime import date, time
from typing import Any

import pytest
from departures import replay
from departures.models import Announcement, Clock, Flight, Progress, Status
from departures.replay import DAY_TAG, Replay, Round
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

SNOWSTORM = date(2013, 3, 8)

FAST = 10_000_000.0
"""So fast that a day is over as soon as it is committed."""


def ended_as_in_the_data(sessions: sessionmaker[Session]) -> bool:
    with sessions() as session:
        pairs = session.execute(
            select(Flight, Progress).join(Progress, Progress.flight_id == Flight.id)
        ).all()
        return len(pairs) == 979 and all(
            progress.status is (Status.CANCELLED if flight.departed is None else Status.DEPARTED)
            and progress.expected == (flight.departed or flight.scheduled)
            for flight, progress in pairs
        )


@pytest.mark.parametrize("begin", [time(0), time(14), time(23, 59)], ids=str)
async def test_a_whole_round_ends_with_every_flight_as_in_the_data(
    begin: time, sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[str, ...]] = []
    again = asyncio.Event()

    async def changed(*tags: str) -> None:
        said.append(tags)
        if tags == (DAY_TAG,) and len(said) > 1:
            again.set()
            await asyncio.Event().wait()

    at_the_end: list[bool] = []
    begin_a_round = replay.begin

    def watched(*args: Any) -> Any:
        at_the_end.append(ended_as_in_the_data(sessions))
        return begin_a_round(*args)

    monkeypatch.setattr(replay, "begin", watched)
    monkeypatch.setattr(replay, "PAUSE_S", 0.0)
    running = Replay(sessions, changed, Round(SNOWSTORM, FAST, begin))
    await running.start()
    await asyncio.wait_for(again.wait(), 60)
    await running.stop()
    assert at_the_end[-1]
    assert said[0] == said[-1] == (DAY_TAG,)
    assert all(len(tags) == 3 for tags in said[1:-1])


async def test_a_change_is_said_when_everybody_can_read_it(sessions: sessionmaker[Session]) -> None:
    enough = asyncio.Event()
    count = 0

    async def changed(*tags: str) -> None:
        nonlocal count
        if tags == (DAY_TAG,):
            return
        flight = int(tags[0].partition(":")[2])
        with sessions() as other:
            told = other.scalars(
                select(Announcement).where(Announcement.flight_id == flight).order_by(Announcement.id.desc())
            ).first()
            progress = other.get_one(Progress, flight)
            assert told is not None
            assert (told.status, told.expected) == (progress.status, progress.expected)
            assert other.scalars(select(Clock.now)).one() == told.at
        count += 1
        if count == 50:
            enough.set()

    running = Replay(sessions, changed, Round(SNOWSTORM, FAST, time(14)))
    await running.start()
    await asyncio.wait_for(enough.wait(), 60)
    await running.stop()


async def test_another_day_can_be_chosen_while_one_runs(sessions: sessionmaker[Session]) -> None:
    async def changed(*tags: str) -> None: ...

    running = Replay(sessions, changed, Round(SNOWSTORM, 1, time(14)))
    await running.start()
    await running.choose(Round(SNOWSTORM.replace(month=7, day=10), 1, time(0)))
    await running.stop()
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Progress)) == 1004
        assert session.scalar(select(func.count()).select_from(Announcement)) == 0
        assert session.scalars(select(Clock.day)).one() == SNOWSTORM.replace(month=7, day=10)
