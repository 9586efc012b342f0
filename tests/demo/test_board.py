"""The board in a browser: a real node, the real application, and headless Chromium.

It also takes the screenshots of the documentation: SCREENSHOTS=1 puts them into docs/images, so that no other run
changes a file of the repository.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from conformance.chromium import launch

ROOT = Path(__file__).parents[2]
MAX_IMAGE_BYTES = 300_000
GREY_EDGES = "--disable-lcd-text"
"""Of letters: the same picture everywhere, and a smaller file."""

CHANGE_MS = 30_000
"""How long a change may take. At the default speed each airport has one every few seconds."""


@contextmanager
def started(data: Path, port: int = 0) -> Iterator[str]:
    """The URL of a node that serves the demo as a user would start it."""
    program = str(Path(sys.executable).with_name("freshwire"))
    options = ["--port", str(port), "--set", "public_stats=true"]
    command = [program, "serve", *options, "examples.departures.app:app"]
    environment = os.environ | {"DEPARTURES_DATA": str(data), "FRESHWIRE_ADMIN_SOCKET": "off"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if url := re.search(r"http://[\d.]+:\d+", line):
                break
        else:
            pytest.fail("the node did not start:\n" + "".join(said))
        try:
            yield url[0]
        finally:
            process.terminate()
            process.communicate(timeout=30)


@pytest.fixture(scope="module")
def node(data: Path) -> Iterator[str]:
    with started(data) as url:
        yield url


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch(playwright, GREY_EDGES)
        yield browser
        browser.close()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Where the screenshots go."""
    if not os.environ.get("SCREENSHOTS"):
        return tmp_path
    folder = ROOT / "docs" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A window of the screenshot's size, in which nothing goes wrong unseen."""
    wrong: list[str] = []
    opened = chromium.new_page(viewport={"width": 1280, "height": 800})
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    yield opened
    opened.close()
    assert wrong == []


def open_board(page: Page, node: str, code: str) -> None:
    page.goto(f"{node}/#{code}")
    expect(page.locator("#connection")).to_have_text("live")
    expect(page.locator("#upcoming tr")).to_have_count(20)


AT_REST = """
    document.getAnimations().every((animation) => animation instanceof CSSAnimation) &&
    [...document.querySelectorAll("[data-text]")].every((flaps) => flaps.textContent === flaps.dataset.text)
"""
"""Nothing moves: no row slides, no flap falls. (What is lit up may be: that is what it looks like.)"""


def take(page: Page, name: str, folder: Path) -> None:
    file = folder / f"{name}.png"
    page.wait_for_function(AT_REST)
    page.screenshot(path=file)
    assert file.stat().st_size < MAX_IMAGE_BYTES


def test_a_change_arrives_on_the_board_by_itself(page: Page, node: str) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.resource_type))
    open_board(page, node, "EWR")
    before = len(requests)
    page.wait_for_selector("tr.changed", timeout=CHANGE_MS)
    assert page.locator("#latest li").count() >= 1
    assert len(requests) == before
    assert not {"fetch", "xhr", "websocket"} & set(requests)
    assert requests.count("eventsource") == 2


def test_the_board_shows_what_the_api_answers(page: Page, node: str) -> None:
    open_board(page, node, "JFK")
    shown = page.locator("tbody tr td:nth-child(4) a")

    def agree() -> bool:
        board = httpx.get(f"{node}/airports/JFK/departures").json()
        return [line["flight"] for line in board["departed"] + board["upcoming"]] == shown.all_inner_texts()

    assert any(agree() for _ in range(20))


def test_the_figures_of_the_node_move(page: Page, node: str) -> None:
    open_board(page, node, "EWR")
    messages = page.locator("[data-figure=messages]")
    expect(messages).to_have_text(re.compile(r"\d"))
    first = messages.inner_text()
    expect(messages).not_to_have_text(first, timeout=CHANGE_MS)
    for figure in ("watchers", "changes", "bytes", "p50", "p99", "per-change"):
        expect(page.locator(f"[data-figure={figure}]")).to_have_text(re.compile(r"\d"))


def test_a_tab_shows_another_airport(page: Page, node: str) -> None:
    open_board(page, node, "EWR")
    page.get_by_role("link", name="LGA").click()
    expect(page.get_by_role("table", name="Departures from La Guardia")).to_be_visible()
    expect(page.locator("nav a[aria-current=page]")).to_contain_text("LGA")
    expect(page.locator("#upcoming tr")).to_have_count(20)


def test_a_row_leads_to_its_flight_which_is_live_too(page: Page, node: str) -> None:
    open_board(page, node, "EWR")
    row = page.locator("#upcoming tr[data-status=delayed]").first
    flight = row.locator("a").inner_text()
    row.click()
    expect(page.locator("#number")).to_have_text(flight)
    expect(page.locator("#connection")).to_have_text("live")
    announced = page.locator("#announced li").count()
    assert announced >= 1
    # The first delayed flight of the board is the next to leave: something happens to it soon.
    expect(page.locator("#announced li")).not_to_have_count(announced, timeout=2 * CHANGE_MS)


def test_a_board_that_has_lost_its_node_says_so_and_comes_back(page: Page, data: Path) -> None:
    with started(data) as url:
        open_board(page, url, "EWR")
    expect(page.locator("#connection")).to_have_text("reconnecting…")
    stood_still = page.locator("#clock").inner_text()
    page.wait_for_timeout(2000)  # some minutes of the board
    assert page.locator("#clock").inner_text() == stood_still
    with started(data, port=int(url.rpartition(":")[2])):
        expect(page.locator("#connection")).to_have_text("live", timeout=CHANGE_MS)
        page.wait_for_selector("tr.changed", timeout=CHANGE_MS)


def test_a_flight_that_is_not_there_is_said_to_be_so(page: Page, node: str) -> None:
    page.goto(f"{node}/flight.html?id=0")
    expect(page.locator("#connection")).not_to_have_text(re.compile("live$|connecting"))


def test_who_wants_no_motion_gets_none(chromium: Browser, node: str) -> None:
    page = chromium.new_page(reduced_motion="reduce")
    page.add_init_script("window.moved = 0; Element.prototype.animate = () => { window.moved += 1; };")
    open_board(page, node, "EWR")
    page.wait_for_selector("tr.changed", timeout=CHANGE_MS)
    assert page.evaluate("window.moved") == 0
    page.close()


def test_the_board_fits_a_phone(chromium: Browser, node: str, images: Path) -> None:
    page = chromium.new_page(viewport={"width": 390, "height": 844}, device_scale_factor=2)
    open_board(page, node, "EWR")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    expect(page.get_by_role("row").nth(5)).to_be_visible()
    take(page, "departures-phone", images)
    page.close()


def test_screenshots_of_the_board_and_a_flight(page: Page, node: str, images: Path) -> None:
    open_board(page, node, "EWR")
    expect(page.locator("#latest li")).to_have_count(6, timeout=4 * CHANGE_MS)
    expect(page.locator("[data-figure=p99]")).to_have_text(re.compile(r"\d"))
    take(page, "departures", images)
    page.locator("#upcoming tr[data-status=delayed] a").last.click()
    expect(page.locator("#announced li").first).to_be_visible()
    take(page, "departures-flight", images)
