"""What happens on a day and when it becomes known: pure functions of the flights, called by the replay.

The data says how each flight ended. It does not say when its passengers were told; that is inferred here, by
rules that are the same for all flights (see README.md).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby

from .models import Flight, Status

LATE = timedelta(minutes=15)
"""From here on a flight counts as late, as it does for the U.S. Department of Transportation."""

DELAY_TOLD = timedelta(minutes=30)
"""A delay is announced so long before the planned departure, and extended so long before the promised one."""

TOLD_AT_ONCE = timedelta(minutes=60)
"""No announcement adds more than this: long delays grow, as they do for those who wait."""

CANCELLATION_TOLD = timedelta(minutes=45)
"""A cancellation is announced so long before the planned departure."""


@dataclass(frozen=True)
class Event:
    """One thing that becomes known about one flight."""

    at: datetime
    flight_id: int
    origin: str
    airline: str
    status: Status
    expected: datetime

    @property
    def tags(self) -> tuple[str, str, str]:
        """What changes when this happens."""
        return f"flight:{self.flight_id}", f"airport:{self.origin}", f"airline:{self.airline}"


def events_of_day(flights: Iterable[Flight]) -> list[Event]:
    """All events of these flights in the order in which they become known."""
    events = sorted(
        (event for flight in flights for event in events_of_flight(flight)),
        key=lambda event: (event.at, event.flight_id),
    )
    return [
        spread for _, minute in groupby(events, key=lambda event: event.at) for spread in evenly(list(minute))
    ]


def events_of_flight(flight: Flight) -> Iterator[Event]:
    """A cancellation; or a departure, after the announcements of its delay if it was late."""

    def event(at: datetime, status: Status, expected: datetime) -> Event:
        return Event(at, flight.id, flight.origin_code, flight.airline_code, status, expected)

    if flight.departed is None:
        yield event(flight.scheduled - CANCELLATION_TOLD, Status.CANCELLED, flight.scheduled)
        return
    if flight.departed - flight.scheduled >= LATE:
        promised = flight.scheduled
        while promised < flight.departed:
            told = promised - DELAY_TOLD
            promised = min(promised + TOLD_AT_ONCE, flight.departed)
            yield event(told, Status.DELAYED, promised)
    yield event(flight.departed, Status.DEPARTED, flight.departed)


def evenly(minute: list[Event]) -> list[Event]:
    """Spread what has the same time over its minute, which is as exact as the data is."""
    return [
        replace(event, at=event.at + timedelta(minutes=1) * place / len(minute))
        for place, event in enumerate(minute)
    ]
