"""`make demo-edge` as a user would start it: the board behind nginx and Varnish, driven in headless Chromium."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from conformance.chromium import launch
from tests.demo.test_board import CHANGE_MS, ROOT

WATCHERS = "5"
"""Through each cache."""


@pytest.fixture(scope="module")
def edges(data: Path) -> Iterator[dict[str, str]]:
    """The URL of the board behind each cache."""
    environment = os.environ | {
        "DEPARTURES_DATA": str(data),
        "FRESHWIRE_ADMIN_SOCKET": "off",
        "WATCHERS": WATCHERS,
    }
    with subprocess.Popen(
        [ROOT / "tools" / "demo-edge"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said, found = [], {}
        for line in process.stdout:
            said.append(line)
            if url := re.search(r"behind (nginx|Varnish): +(http://\S+)", line):
                found[url[1]] = url[2]
            if "Ctrl-C" in line:
                break
        else:
            pytest.fail("the demo did not start:\n" + "".join(said))
        try:
            yield found
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)


@pytest.fixture
def page() -> Iterator[Page]:
    """A window in which nothing goes wrong unseen."""
    wrong: list[str] = []
    with sync_playwright() as playwright:
        browser = launch(playwright)
        opened = browser.new_page(viewport={"width": 1280, "height": 800})
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        yield opened
        browser.close()
    assert wrong == []


def figure(page: Page, name: str) -> list[int]:
    """The numbers that a figure shows."""
    return [
        int(number.replace(",", "")) for number in re.findall(r"[\d,]+", figures(page, name).inner_text())
    ]


def figures(page: Page, name: str) -> Locator:
    return page.locator(f"[data-figure={name}]")


@pytest.mark.parametrize("cache", ["nginx", "Varnish"])
def test_a_change_arrives_through_a_cache_and_the_figures_move(
    page: Page, edges: dict[str, str], cache: str
) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(edges[cache] + "#EWR")
    expect(page.locator("#connection")).to_have_text("live")
    expect(page.locator("#upcoming tr")).to_have_count(20)
    page.wait_for_selector("tr.changed", timeout=CHANGE_MS)
    assert page.locator("#latest li").count() >= 1
    assert any("/.fresh/watch/" in url for url in requests)
    assert any("?fresh=" in url for url in requests)
    expect(figures(page, "edge-name")).to_have_text(cache.lower())
    # Others watch the same board through this cache, so that what this page asks is mostly asked for already.
    page.wait_for_function(
        "() => parseInt(document.querySelector('[data-figure=edge-collapsed]').textContent) > 0",
        timeout=CHANGE_MS,
    )
    hits, answers = figure(page, "edge-hits")
    assert 0 < hits <= answers
    # However many wait, the node holds one wait for each cache; when one has just ended, none.
    assert figure(page, "waits_held")[0] <= 2
    before = figure(page, "waits")[0]
    page.wait_for_function(
        f"() => parseInt(document.querySelector('[data-figure=waits]').textContent.replace(',', '')) > {before}",
        timeout=CHANGE_MS,
    )
