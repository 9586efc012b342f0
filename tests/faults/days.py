"""The scenarios of `conformance.faults`, small: several modules test some each, so that they run side by side."""

import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType

import pytest

from conformance.faults.scenarios import LONG, SCENARIOS, missing
from conformance.faults.trial import QUICK


def small(*modules: ModuleType) -> Callable[[str, Path], Awaitable[None]]:
    """A test of every scenario in these modules that is not a long one."""
    days = [day.__name__ for module in modules for day in module.SCENARIOS]

    @pytest.mark.parametrize("day", [day for day in days if day not in LONG])
    async def test(day: str, tmp_path: Path) -> None:
        if lacking := missing(day):
            pytest.skip(f"needs {lacking}")
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        await SCENARIOS[day](QUICK, seed, tmp_path)

    return test
