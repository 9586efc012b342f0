"""What can be chosen from outside: where the data lies, and which day is replayed how fast.

Read from the environment (`DEPARTURES_DAY=2013-02-08`); `POST /replay` chooses day and speed while it runs.
"""

from datetime import date, time
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_settings import BaseSettings, SettingsConfigDict


def of_2013(day: date) -> date:
    """Refuse a day that the data does not have."""
    if day.year != 2013:
        raise ValueError("the data is of 2013: choose a day from 2013-01-01 to 2013-12-31")
    return day


DAYS = (
    r"^2013-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)|02-(0[1-9]|1\d|2[0-8]))$"
)
Day = Annotated[
    date,
    AfterValidator(of_2013),
    WithJsonSchema({"type": "string", "format": "date", "pattern": DAYS, "examples": ["2013-03-08"]}),
]
Speed = Annotated[float, Field(gt=0, le=3600, description="seconds of 2013 that pass in one second")]


class Settings(BaseSettings):
    """The demo's options, each from the environment variable `DEPARTURES_` and its name."""

    model_config = SettingsConfigDict(env_prefix="DEPARTURES_")

    data: Path = Path(__file__).parent / "data"
    """The folder of the SQLite file, which is made at the first start."""

    day: Day = date(2013, 3, 8)
    """The day to replay. The default is the day with the longest delays of the year: a snowstorm."""

    speed: Speed = 20
    """Seconds of that day in one second. At 20 the default day brings a change every second or two."""

    begin: time = time(15, 0)
    """When a round begins: what was known by then is there at once, so that the board is never empty."""
