"""One node for all of these tests: each has resources of its own. What they wait for, and the profile for a soak."""

import itertools
from collections.abc import Iterator

import pytest
from freshwire.testing import LiveNode, node
from hypothesis import HealthCheck, settings

from .clients import Client, Get, Watcher
from .model import APP_TIMEOUT_S, World
from .site import Resource, Site

settings.register_profile(
    "long",
    max_examples=3000,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)

numbers = itertools.count()

OPTIONS = {
    "threads": 2,
    "app_timeout_s": APP_TIMEOUT_S,
    "reread_backoff_s": 0.05,
    "reread_backoff_max_s": 0.2,
    "max_wait_s": 30.0,
    # Clients here stop reading on purpose, for as long as a busy machine makes of it; security row 10 is not asked.
    "rate_grace_s": 120.0,
    "write_timeout_s": 120.0,
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


@pytest.fixture
def path() -> str:
    return f"/race{next(numbers)}"


@pytest.fixture
def tag(path: str) -> str:
    return f"tag of {path}"


def answered(world: World, get: Get) -> None:
    """Wait for the end of a plain request."""
    world.until(lambda: get not in world.gets, "no answer")


def anybody(world: World, resource: Resource) -> Client:
    return Client(world.add(resource), None, None)


def reads(world: World, client: Client, count: int) -> None:
    world.site.wait_for_reads(client.resource.path, count)


def refused(world: World, watcher: Watcher, status: int) -> None:
    world.until(lambda: watcher.ended is not None, f"{watcher} did not end")
    assert watcher.ended is not None
    assert watcher.ended.status == status
