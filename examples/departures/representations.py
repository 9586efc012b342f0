"""What the API answers: the tables as JSON, with times that carry New York's offset.

A flight of the replayed day is shown as far as the replay has told it; one of any other day as it ended.
"""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, PlainSerializer

from . import models
from .models import Status

NEW_YORK = ZoneInfo("America/New_York")

Local = Annotated[
    datetime, PlainSerializer(lambda at: at.replace(tzinfo=NEW_YORK).isoformat(timespec="seconds"))
]
"""Wall-clock time in the database; ISO 8601 with the offset of that day in JSON."""


class FromRow(BaseModel):
    """Made from a row by its attributes."""

    model_config = ConfigDict(from_attributes=True)


class Named(FromRow):
    """An airline or an airport."""

    code: str
    name: str


class Line(BaseModel):
    """A flight as a board shows it."""

    id: int
    flight: str
    airline: Named
    origin: Named
    destination: Named
    tail: str | None
    scheduled: Local
    expected: Local
    status: Status
    delay_min: int
    told: Local | None

    @classmethod
    def of(cls, flight: models.Flight) -> "Line":
        return cls.model_validate(line(flight))


class Weather(FromRow):
    """The hour's weather at an airport."""

    temperature_f: float | None
    wind_mph: float | None
    gust_mph: float | None
    precipitation_in: float | None
    visibility_mi: float | None


class Day(BaseModel):
    """How the day goes at an airport so far."""

    flights: int
    departed: int
    cancelled: int
    delayed: int
    late_min: int


class Board(BaseModel):
    """An airport's board: what just left, then what is next."""

    airport: Named
    day: date
    now: Local
    speed: float
    weather: Weather | None
    so_far: Day
    departed: list[Line]
    upcoming: list[Line]


class Announcement(FromRow):
    """Something that was said about a flight."""

    at: Local
    status: Status
    expected: Local


class Plane(FromRow):
    """The aircraft with that tail number."""

    manufacturer: str
    model: str
    built: int | None
    seats: int


class Flight(Line):
    """All that is known about a flight."""

    now: Local
    speed: float
    arrival: str
    distance_mi: int
    plane: Plane | None
    announcements: list[Announcement]

    @classmethod
    def telling(
        cls,
        flight: models.Flight,
        clock: models.Clock,
        plane: models.Plane | None,
        announcements: Iterable[models.Announcement],
    ) -> "Flight":
        return cls.model_validate(
            line(flight)
            | {
                "now": clock.now,
                "speed": clock.speed,
                "arrival": flight.arrival,
                "distance_mi": flight.distance_mi,
                "plane": plane,
                "announcements": list(announcements),
            },
            from_attributes=True,
        )


class Found(BaseModel):
    """A page of an airline's flights."""

    airline: Named
    day: date
    total: int
    flights: list[Line]


def line(flight: models.Flight) -> dict[str, object]:
    status, expected = standing(flight)
    return {
        "id": flight.id,
        "flight": f"{flight.airline_code} {flight.number}",
        "airline": Named.model_validate(flight.airline),
        "origin": Named.model_validate(flight.origin),
        "destination": Named.model_validate(flight.destination),
        "tail": flight.tail,
        "scheduled": flight.scheduled,
        "expected": expected,
        "status": status,
        "delay_min": round((expected - flight.scheduled).total_seconds() / 60),
        "told": flight.progress.told if flight.progress is not None else None,
    }


def standing(flight: models.Flight) -> tuple[Status, datetime]:
    """Where it stands: in the replay if that has it, else how it ended."""
    if flight.progress is not None:
        return flight.progress.status, flight.progress.expected
    if flight.departed is None:
        return Status.CANCELLED, flight.scheduled
    return Status.DEPARTED, flight.departed
