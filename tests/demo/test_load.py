"""The data: all of it, as the package has it, without pandas."""

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from departures.load import FLIGHTS, clock, database
from departures.models import Airport, Flight, Plane, Weather
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker


def test_every_flight_of_2013_is_there(sessions: sessionmaker[Session]) -> None:
    with sessions() as session:
        assert session.scalar(select(func.count()).select_from(Flight)) == FLIGHTS == 336_776
        assert session.scalar(select(func.count()).where(Flight.departed.is_(None))) == 8_255
        assert session.scalar(select(func.count()).select_from(Plane)) == 3_322
        assert session.scalar(select(func.count()).select_from(Weather)) == 26_115 - 3


def test_the_first_flight_is_as_in_the_file(sessions: sessionmaker[Session]) -> None:
    with sessions() as session:
        first = session.get_one(Flight, 1)
        assert (first.airline_code, first.number, first.tail) == ("UA", 1545, "N14228")
        assert (first.origin_code, first.destination_code, first.distance_mi) == ("EWR", "IAH", 1400)
        assert (first.scheduled, first.departed) == (datetime(2013, 1, 1, 5, 15), datetime(2013, 1, 1, 5, 17))
        assert first.arrival == "08:19"


def test_every_flight_goes_to_an_airport_with_a_name(sessions: sessionmaker[Session]) -> None:
    with sessions() as session:
        named = select(Airport.code)
        nameless = select(func.count()).select_from(Flight).where(Flight.destination_code.not_in(named))
        assert session.scalar(nameless) == 0


def test_data_that_is_there_is_not_loaded_again(data: Path) -> None:
    before = [(file.name, file.stat().st_ino) for file in data.glob("*.sqlite")]
    database(data).dispose()
    assert [(file.name, file.stat().st_ino) for file in data.glob("*.sqlite")] == before


def test_an_interrupted_load_leaves_nothing_that_passes_for_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("departures.load.flights", interrupted)
    with pytest.raises(KeyboardInterrupt):
        database(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_loading_does_not_import_pandas() -> None:
    examples = Path(__file__).parents[2] / "examples"
    code = "import departures.load as l, sys; next(iter(l.flights())); sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=examples, check=False).returncode == 0


@pytest.mark.parametrize(
    ("digits", "shown"), [("5", "00:05"), ("45", "00:45"), ("1430", "14:30"), ("2400", "00:00")]
)
def test_a_clock_time_of_the_data_reads_as_one(digits: str, shown: str) -> None:
    assert clock(digits) == shown
