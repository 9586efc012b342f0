"""One node for all of these tests, whose waits are short."""

from collections.abc import Iterator
from typing import Any

import pytest
from freshwire.testing import LiveNode, node

from tests.promises.conftest import OPTIONS
from tests.promises.site import Site

CYCLE_S = 1


@pytest.fixture(scope="package")
def site() -> Site:
    return Site()


@pytest.fixture(scope="package")
def live(site: Site) -> Iterator[LiveNode]:
    options: dict[str, Any] = {**OPTIONS, "app_timeout_s": 1.0}
    with node(site, **options) as live:
        yield live
        assert live.stats()["panics"] == 0
