"""What the demo's tests share: the data, loaded once, and the application on it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

from departures.load import database


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the loaded database."""
    folder = tmp_path_factory.mktemp("departures")
    database(folder).dispose()
    return folder


@pytest.fixture
def engine(data: Path) -> Iterator[Engine]:
    opened = database(data)
    yield opened
    opened.dispose()


@pytest.fixture
def sessions(engine: Engine) -> sessionmaker[Session]:
    return sessionmaker(engine)


@pytest.fixture
def client(data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The application under no node, at 15:00 of the default day, where time hardly passes."""
    monkeypatch.setenv("FRESHWIRE_ADMIN_SOCKET", "off")
    monkeypatch.setenv("DEPARTURES_DATA", str(data))
    monkeypatch.setenv("DEPARTURES_SPEED", "0.001")
    from departures.app import app

    with TestClient(app) as opened:
        yield opened
