"""What becomes known when: for any flight, and for whole days of the data."""

from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest
from departures.events import TOLD_AT_ONCE, Event, events_of_day, events_of_flight
from departures.models import Flight, Status
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

DAYS = [date(2013, 3, 8), date(2013, 2, 9), *(date(2013, month, 3) for month in range(1, 13))]
"""Two snowstorms, and a day of each month; that of November is an hour longer."""

minutes = st.integers(min_value=-43, max_value=1301).map(lambda late: timedelta(minutes=late))


def flight(late: timedelta | None) -> Flight:
    scheduled = datetime(2013, 3, 8, 17, 5)
    return Flight(
        id=7,
        airline_code="UA",
        origin_code="EWR",
        scheduled=scheduled,
        departed=None if late is None else scheduled + late,
    )


@given(minutes)
def test_announcements_come_before_what_they_promise_and_the_last_one_is_true(late: timedelta) -> None:
    *told, left = events_of_flight(flight(late))
    assert left.status is Status.DEPARTED
    assert left.at == left.expected == flight(late).departed
    assert bool(told) == (late >= timedelta(minutes=15))
    assert all(event.status is Status.DELAYED and event.at < event.expected for event in told)
    assert [event.at for event in told] == sorted({event.at for event in told})
    promised = [flight(late).scheduled, *(event.expected for event in told)]
    assert all(timedelta() < b - a <= TOLD_AT_ONCE for a, b in pairwise(promised))
    assert not told or told[-1].expected == left.at


def test_a_flight_that_never_left_is_cancelled_and_nothing_else() -> None:
    (only,) = events_of_flight(flight(None))
    assert (only.status, only.expected) == (Status.CANCELLED, datetime(2013, 3, 8, 17, 5))
    assert only.at < only.expected


def test_an_event_names_the_flight_the_airport_and_the_airline() -> None:
    (only,) = events_of_flight(flight(None))
    assert only.tags == ("flight:7", "airport:EWR", "airline:UA")


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_a_day_ends_with_every_flight_as_in_the_data(day: date, sessions: sessionmaker[Session]) -> None:
    with sessions() as session:
        flights = session.scalars(select(Flight).where(Flight.day == day)).all()
    events = events_of_day(flights)
    assert [event.at for event in events] == sorted(event.at for event in events)
    last: dict[int, Event] = {event.flight_id: event for event in events}
    assert len(last) == len(flights) > 0
    for one in flights:
        ended = last[one.id]
        assert ended.status is (Status.CANCELLED if one.departed is None else Status.DEPARTED)
        assert ended.expected == (one.departed or one.scheduled)


def test_what_has_the_same_minute_is_spread_within_it(sessions: sessionmaker[Session]) -> None:
    with sessions() as session:
        flights = session.scalars(select(Flight).where(Flight.day == date(2013, 3, 8))).all()
    events = events_of_day(flights)
    assert len({event.at for event in events}) == len(events)
    unspread = sorted(event.at for flight in flights for event in events_of_flight(flight))
    assert [event.at.replace(second=0, microsecond=0) for event in events] == unspread
