"""What stands on an airport's board: the queries behind `GET /airports/{code}/departures`."""

from datetime import datetime, timedelta

from sqlalchemy import Select, and_, case, func, or_, select
from sqlalchemy.orm import Session

from . import models
from .models import Airport, Clock, Flight, Progress, Status
from .representations import Board, Day, Line, Named, Weather

UPCOMING = 20
"""Flights shown that have not left."""

DEPARTED = 4
"""Flights shown that have just left."""

TOLD_SHOWN = timedelta(minutes=6)
"""How long a flight stays among them after an announcement, however late it is to leave."""

CANCELLED_SHOWN = timedelta(minutes=20)
"""How long a cancelled flight stays after its planned departure."""


def board(session: Session, code: str) -> Board:
    """The board of an airport at the replay's time."""
    clock = session.scalars(select(Clock)).one()
    return Board(
        airport=Named.model_validate(session.get_one(Airport, code)),
        day=clock.day,
        now=clock.now,
        speed=clock.speed,
        weather=weather(session, code, clock.now),
        so_far=so_far(session, code),
        departed=lines(session, departed(code))[::-1],
        upcoming=sorted(lines(session, upcoming(code, clock.now)), key=lambda line: (line.expected, line.id)),
    )


def lines(session: Session, flights: Select[Flight]) -> list[Line]:
    return [Line.of(flight) for flight in session.scalars(flights)]


def departed(code: str) -> Select[Flight]:
    """The newest first."""
    return (
        from_airport(code)
        .where(Progress.status == Status.DEPARTED)
        .order_by(Progress.expected.desc(), Flight.id.desc())
        .limit(DEPARTED)
    )


def upcoming(code: str, now: datetime) -> Select[Flight]:
    """Those of which something was just said, then by expected time, or planned if cancelled."""
    return (
        from_airport(code)
        .where(
            or_(
                Progress.status.in_((Status.SCHEDULED, Status.DELAYED)),
                and_(Progress.status == Status.CANCELLED, Progress.expected > now - CANCELLED_SHOWN),
            )
        )
        .order_by(case((Progress.told > now - TOLD_SHOWN, 0), else_=1), Progress.expected, Flight.id)
        .limit(UPCOMING)
    )


def from_airport(code: str) -> Select[Flight]:
    return select(Flight).join(Progress, Progress.flight_id == Flight.id).where(Progress.origin_code == code)


def weather(session: Session, code: str, at: datetime) -> Weather | None:
    """The airport's weather in that hour, if it was recorded."""
    hour = session.get(models.Weather, (code, at.replace(minute=0, second=0, microsecond=0)))
    return None if hour is None else Weather.model_validate(hour)


def so_far(session: Session, code: str) -> Day:
    """The day's figures as far as they are known."""
    counts = (
        select(Progress.status, func.count()).where(Progress.origin_code == code).group_by(Progress.status)
    )
    how_many = {row[0]: row[1] for row in session.execute(counts)}
    late_days = session.scalar(
        select(func.avg(func.julianday(Progress.expected) - func.julianday(Flight.scheduled)))
        .join(Flight, Flight.id == Progress.flight_id)
        .where(Progress.origin_code == code, Progress.status == Status.DEPARTED)
    )
    return Day(
        flights=sum(how_many.values()),
        departed=how_many.get(Status.DEPARTED, 0),
        cancelled=how_many.get(Status.CANCELLED, 0),
        delayed=how_many.get(Status.DELAYED, 0),
        late_min=round((late_days or 0) * 24 * 60),
    )
