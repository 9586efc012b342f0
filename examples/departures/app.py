"""The demo: an ordinary FastAPI application. What makes it live is `Fresh`, in three places.

A handler names what its answer depends on (`fresh.tags`, `fresh.depends_on`), and the replay says what it
has changed (`fresh.changed`, handed to it below). Start it: `freshwire serve examples.departures.app:app`.
"""

import asyncio
import pathlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Path, Query, Request
from fastapi.staticfiles import StaticFiles
from freshwire import Fresh
from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from . import boards
from .load import database
from .models import Airline, Announcement, Clock, Flight, Plane
from .replay import DAY_TAG, Replay, Round
from .representations import Board, Found, Named
from .representations import Flight as Telling
from .settings import Day, Settings, Speed

ORIGINS = ("EWR", "JFK", "LGA")
MAX_ID = 2**63 - 1
"""The database's."""

fresh = Fresh()


class Refused(BaseModel):
    """Why not."""

    detail: str


NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": Refused}}
NOT_READABLE: dict[int | str, dict[str, Any]] = {400: {"model": Refused}}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the data if it is not there yet, then replay the chosen day while the application runs."""
    settings = Settings()
    engine = await asyncio.to_thread(database, settings.data)
    app.state.sessions = sessionmaker(engine)
    app.state.replay = Replay(
        app.state.sessions, fresh.changed, Round(settings.day, settings.speed, settings.begin)
    )
    await app.state.replay.start()
    yield
    await app.state.replay.stop()
    engine.dispose()


app = FastAPI(title="Departures", lifespan=lifespan)


def session(request: Request) -> Iterator[Session]:
    with request.app.state.sessions() as opened:
        yield opened


Database = Annotated[Session, Depends(session)]


@app.get("/airports/{code}/departures", responses=NOT_FOUND)
@fresh.tags("airport:{code}", DAY_TAG)
def departures(code: Annotated[str, Path(examples=["JFK"])], database: Database) -> Board:
    """The board of one of New York's airports: what just left, then the next twenty."""
    if code not in ORIGINS:
        raise HTTPException(404, f"there are departures from {', '.join(ORIGINS)}, not from {code}")
    return boards.board(database, code)


@app.get("/flights/{id}", responses=NOT_FOUND)
@fresh.tags("flight:{id}", DAY_TAG)
def flight(
    id: Annotated[int, Path(ge=0, le=MAX_ID)],  # noqa: A002 (the word of the route)
    database: Database,
) -> Telling:
    """One flight: as far as the replay has told it, or as it ended if it was on another day."""
    found = database.get(Flight, id)
    if found is None:
        raise HTTPException(404, f"there is no flight {id}")
    return Telling.telling(
        found,
        clock=database.scalars(select(Clock)).one(),
        plane=database.get(Plane, found.tail) if found.tail else None,
        announcements=database.scalars(
            select(Announcement).where(Announcement.flight_id == id).order_by(Announcement.id)
        ),
    )


@app.get("/flights", responses=NOT_FOUND)
def search(
    airline: Annotated[str, Query(examples=["UA"])],
    database: Database,
    day: Annotated[Day | None, Query(description="the replayed day if not given")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=MAX_ID)] = 0,
) -> Found:
    """An airline's flights from all three airports on a day, by planned departure."""
    carrier = database.get(Airline, airline)
    if carrier is None:
        raise HTTPException(404, f"there is no airline {airline}")
    fresh.depends_on(f"airline:{airline}", DAY_TAG)
    of = day or database.scalars(select(Clock.day)).one()
    mine = select(Flight).where(Flight.airline_code == airline, Flight.day == of)
    page = mine.order_by(Flight.scheduled, Flight.id).limit(limit).offset(offset)
    return Found(
        airline=Named.model_validate(carrier),
        day=of,
        total=database.scalar(select(func.count()).select_from(mine.subquery())) or 0,
        flights=boards.lines(database, page),
    )


class Choice(BaseModel):
    """Which day is replayed, and how fast."""

    day: Day
    speed: Speed


@app.get("/replay")
@fresh.tags(DAY_TAG)
def replayed(request: Request) -> Choice:
    """What is being replayed."""
    chosen: Round = request.app.state.replay.chosen
    return Choice(day=chosen.day, speed=chosen.speed)


@app.post("/replay", responses=NOT_READABLE)
async def replay(choice: Choice, request: Request) -> Choice:
    """Replay another day, or at another speed, from the round's beginning."""
    running: Replay = request.app.state.replay
    await running.choose(Round(choice.day, choice.speed, running.chosen.begin))
    return choice


app.mount("/", StaticFiles(directory=pathlib.Path(__file__).parent / "static", html=True))
