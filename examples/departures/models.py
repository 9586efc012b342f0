"""The tables: what is known about 2013, and how far the replay has told it.

The first five hold the data as it is and are never written again. The last three are the replay's: `Progress`
and `Announcement` have only what passengers know by now, so nothing that reads them can tell the future.

Times are wall-clock times of New York, without an offset, as in the data.
"""

from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Base(DeclarativeBase):
    """All tables of the demo."""


class Status(StrEnum):
    """Where a flight stands, as far as its passengers know."""

    SCHEDULED = "scheduled"
    DELAYED = "delayed"
    DEPARTED = "departed"
    CANCELLED = "cancelled"


class Airline(Base):
    __tablename__ = "airlines"

    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]


class Airport(Base):
    __tablename__ = "airports"

    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]


class Plane(Base):
    __tablename__ = "planes"

    tail: Mapped[str] = mapped_column(primary_key=True)
    built: Mapped[int | None]
    manufacturer: Mapped[str]
    model: Mapped[str]
    seats: Mapped[int]


class Weather(Base):
    """One hour at one airport."""

    __tablename__ = "weather"

    airport: Mapped[str] = mapped_column(primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    temperature_f: Mapped[float | None]
    wind_mph: Mapped[float | None]
    gust_mph: Mapped[float | None]
    precipitation_in: Mapped[float | None]
    visibility_mi: Mapped[float | None]


class Flight(Base):
    """One departure: what was planned and what became of it."""

    __tablename__ = "flights"
    __table_args__ = (Index("flights_by_day", "day"), Index("flights_by_airline", "airline_code", "day"))

    id: Mapped[int] = mapped_column(primary_key=True)
    day: Mapped[date]
    airline_code: Mapped[str] = mapped_column(ForeignKey("airlines.code"))
    number: Mapped[int]
    tail: Mapped[str | None]
    origin_code: Mapped[str] = mapped_column(ForeignKey("airports.code"))
    destination_code: Mapped[str] = mapped_column(ForeignKey("airports.code"))
    scheduled: Mapped[datetime]
    departed: Mapped[datetime | None]
    """When it left; None if it never did, which is how the data says cancelled."""
    arrival: Mapped[str]
    """The planned arrival as the destination's clock shows it, "HH:MM"."""
    distance_mi: Mapped[int]

    airline: Mapped[Airline] = relationship(lazy="joined", innerjoin=True)
    origin: Mapped[Airport] = relationship(lazy="joined", innerjoin=True, foreign_keys=[origin_code])
    destination: Mapped[Airport] = relationship(
        lazy="joined", innerjoin=True, foreign_keys=[destination_code]
    )
    progress: Mapped["Progress | None"] = relationship(lazy="joined", viewonly=True)


class Progress(Base):
    """Where a flight of the replayed day stands now. A flight of another day has none."""

    __tablename__ = "progress"
    __table_args__ = (Index("progress_by_origin", "origin_code", "expected"),)

    flight_id: Mapped[int] = mapped_column(ForeignKey("flights.id"), primary_key=True)
    origin_code: Mapped[str]
    status: Mapped[Status]
    expected: Mapped[datetime]
    """When it is to leave as far as known; when it left, once it has; when it should have, if cancelled."""
    told: Mapped[datetime | None]
    """When something was last said about it."""


class Announcement(Base):
    """One thing that became known about a flight of the replayed day."""

    __tablename__ = "announcements"

    id: Mapped[int] = mapped_column(primary_key=True)
    flight_id: Mapped[int] = mapped_column(ForeignKey("flights.id"), index=True)
    at: Mapped[datetime]
    status: Mapped[Status]
    expected: Mapped[datetime]


class Clock(Base):
    """The replay's only row: which day it is there, and what time."""

    __tablename__ = "clock"

    id: Mapped[int] = mapped_column(primary_key=True)
    day: Mapped[date]
    speed: Mapped[float]
    now: Mapped[datetime]
