"""The bad days of `clients` in `conformance.faults.scenarios`, small."""

import random
from pathlib import Path

import pytest

from conformance.faults.scenarios import LONG, SCENARIOS, clients, missing
from conformance.faults.trial import QUICK

DAYS = [day.__name__ for day in [*clients.SCENARIOS]]


@pytest.mark.parametrize("day", [day for day in DAYS if day not in LONG])
async def test_promises_are_kept_on_a_bad_day(day: str, tmp_path: Path) -> None:
    if lacking := missing(day):
        pytest.skip(f"needs {lacking}")
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    await SCENARIOS[day](QUICK, seed, tmp_path)
