"""One node for all of these tests, whose waits are short."""

from collections.abc import Iterator
from typing import Any

import pytest
from freshwire.testing import LiveNode, node

from tests.promises.conftest import OPTIONS
from tests.promises.site import Site

CYCLE_S = 1

IMPATIENT: dict[str, Any] = {**OPTIONS, "watch_cycle_s": CYCLE_S, "max_sets": 2}
"""So few sets that they are often gone when somebody waits on one."""


@pytest.fixture(scope="package")
def site() -> Site:
    return Site()


@pytest.fixture(scope="package")
def live(site: Site) -> Iterator[LiveNode]:
    with node(site, **IMPATIENT) as live:
        yield live
        assert live.stats()["panics"] == 0
