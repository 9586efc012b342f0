"""One node for all of these tests: each has resources of its own. And the profile for a soak."""

from collections.abc import Iterator

import pytest
from freshwire.testing import LiveNode, node
from hypothesis import HealthCheck, settings

from .model import APP_TIMEOUT_S, World
from .site import Site

settings.register_profile(
    "long",
    max_examples=3000,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)

OPTIONS = {
    "threads": 2,
    "app_timeout_s": APP_TIMEOUT_S,
    "reread_backoff_s": 0.05,
    "reread_backoff_max_s": 0.2,
    "max_wait_s": 30.0,
}


@pytest.fixture(scope="package")
def site() -> Site:
    return Site()


@pytest.fixture(scope="package")
def live(site: Site) -> Iterator[LiveNode]:
    with node(site, **OPTIONS) as live:
        yield live
        assert live.stats()["panics"] == 0


@pytest.fixture
def world(live: LiveNode, site: Site, request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(live, site)
    yield world
    world.close()
