"""A node with long cycles, for the tests that do not wait for one to end."""

from collections.abc import Iterator

import pytest

from .site import Edge, edge


@pytest.fixture
def long() -> Iterator[Edge]:
    """A node whose cycles do not end while a test lasts."""
    with edge(watch_cycle_s=3600.0) as live:
        yield live


@pytest.fixture
def short() -> Iterator[Edge]:
    """A node whose cycles last a second."""
    with edge(watch_cycle_s=1.0) as live:
        yield live
