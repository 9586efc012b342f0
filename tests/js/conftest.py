"""Pages with the JavaScript client in headless Chromium, and what they are shown by."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from freshwire.testing import LiveNode

from tests.browser.conftest import chromium, profile, tab

from .site import DIST, Site

__all__ = ["chromium", "profile", "tab"]


@pytest.fixture(scope="session", autouse=True)
def built() -> None:
    assert (DIST / "freshwire.min.js").exists(), "`make client` builds what these tests are of"


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def live(site: Site, freshwire_node: Callable[..., LiveNode]) -> LiveNode:
    return freshwire_node(site.app)
