"""Headless Chromium, and pages of the node that it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from freshwire.testing import LiveNode
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from conformance.chromium import launch

from .pages import Pages

Open = Callable[..., Page]


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def profile(chromium: Browser) -> Iterator[BrowserContext]:
    """One person's browser: cookies and cache of its own."""
    context = chromium.new_context()
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.fixture
def tab(profile: BrowserContext) -> Open:
    """Open a tab at a page of an origin: `tab(live.url)`. There, `log` is what `listen` and `talk` have seen."""

    def open_tab(origin: str, context: BrowserContext = profile) -> Page:
        page = context.new_page()
        page.goto(f"{origin}/page")
        return page

    return open_tab


@pytest.fixture
def site() -> Pages:
    return Pages()


@pytest.fixture
def live(site: Pages, freshwire_node: Callable[..., LiveNode]) -> LiveNode:
    return freshwire_node(site.app)
