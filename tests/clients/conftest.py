"""A node that serves the site."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from freshwire.testing import LiveNode

from .site import Site


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def live(site: Site, freshwire_node: Callable[..., LiveNode]) -> LiveNode:
    """A node with limits that a fast test does not meet."""
    return freshwire_node(
        site.app, max_messages_per_s=0, max_message_bytes=4_000_000, max_body_bytes=4_000_000
    )
