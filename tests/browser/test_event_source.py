from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from freshwire.testing import LiveNode
from playwright.sync_api import Browser

from tests.waiting import block_until

from .conftest import Open
from .pages import PAGE, Pages
from .restart import Start, restartable
from .wire import Wire


def test_it_gets_what_is_there_and_each_change_with_positions(live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    page.evaluate("listen('/match')")
    for goals in range(1, 4):
        page.wait_for_function(f"of('message').length == {goals}")
        page.evaluate("fetch('/goal', {method: 'POST'})")
    page.wait_for_function("of('message').length == 4")
    entries = [entry for entry in page.evaluate("log") if entry[0] == "message"]
    assert [json.loads(data) for _, data, _ in entries] == [{"goals": goals} for goals in range(4)]
    epochs, offsets = zip(*(position.rsplit("-", 1) for *_, position in entries), strict=True)
    assert len(set(epochs)) == 1
    assert sorted(map(int, offsets)) == list(map(int, offsets))
    assert page.evaluate("log[0]") == ["open"]


def test_after_a_broken_connection_it_goes_on_from_its_last_event_id_without_a_gap_or_a_repetition(
    live: LiveNode, tab: Open
) -> None:
    wire = Wire(int(live.url.rsplit(":", 1)[1]))
    try:
        page = tab(wire.url)
        page.evaluate("listen('/match')")
        page.wait_for_function("of('message').length == 1")
        last = page.evaluate("log.at(-1)[2]")

        wire.cut()
        page.wait_for_function("of('error').length > 0")
        wire.mend()
        page.wait_for_function("of('open').length == 2")
        assert any(f"last-event-id: {last}\r\n" in asked.lower() for asked in wire.requests[1:])
        httpx.post(f"{live.url}/goal")
        page.wait_for_function("of('message').length == 2")

        wire.cut()
        httpx.post(f"{live.url}/goal")
        httpx.post(f"{live.url}/goal")
        wire.mend()
        page.wait_for_function("of('message').length == 3")
        assert [json.loads(data)["goals"] for data in page.evaluate("of('message')")] == [0, 1, 3]
    finally:
        wire.close()


APP = f"""
from pathlib import Path
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from freshwire import Fresh

app, fresh = FastAPI(), Fresh()

@app.get("/page")
async def page() -> HTMLResponse:
    return HTMLResponse({PAGE!r})

@app.get("/match")
@fresh.tags("match")
async def match() -> int:
    return int(Path("goals").read_text())

@app.post("/goal")
async def goal() -> None:
    Path("goals").write_text(str(1 + await match()))
    await fresh.changed("match")
"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    options = ("retry_min_ms=20", "retry_max_ms=60", "drain_timeout_s=0.3")
    with restartable(tmp_path, monkeypatch, APP, *options) as start:
        yield start


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_comes_back_to_a_node_that_was_started_again_and_misses_nothing(
    start: Start, tab: Open, tmp_path: Path, number: int
) -> None:
    first = start(0)
    url = first.url()
    page = tab(url)
    page.evaluate("listen('/match'); for (let i = 0; i < 4; i++) listen('/match?' + i)")
    page.wait_for_function("of('message').length == 5")
    first.signal(number)
    first.end()
    (tmp_path / "goals").write_text("7")  # while nobody serves
    start(int(url.rsplit(":", 1)[1])).url()
    page.wait_for_function("of('message').filter((data) => data === '7').length == 5")
    httpx.post(f"{url}/goal")
    page.wait_for_function("of('message').filter((data) => data === '8').length == 5")
    assert set(page.evaluate("of('message')")) == {"0", "7", "8"}


def test_gone_is_an_event_and_the_end(site: Pages, live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    page.evaluate("listen('/match', ['message', 'gone'])")
    page.wait_for_function("of('message').length == 1")
    site.over = True
    live.changed("match")
    page.wait_for_function("source.readyState === EventSource.CLOSED")
    assert json.loads(page.evaluate("of('gone')[0]"))["status"] == 404
    assert page.evaluate("of('gone').length") == 1
    assert page.evaluate("of('message').length") == 1


def test_what_cannot_be_read_is_an_error_at_once(live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    page.evaluate("listen('/nowhere')")
    page.wait_for_function("log.length == 1")
    assert page.evaluate("log[0]") == ["error", 2]


def test_several_tabs_follow_and_leave(live: LiveNode, tab: Open) -> None:
    tabs = [tab(live.url) for _ in range(4)]
    for page in tabs:
        page.evaluate("listen('/match')")
        page.wait_for_function("of('message').length == 1")
    assert live.stats()["watchers"] == 4
    httpx.post(f"{live.url}/goal")
    for page in tabs:
        page.wait_for_function("of('message').length == 2")
    tabs[0].close()
    tabs[1].reload()
    tabs[2].evaluate("source.close()")
    block_until(lambda: live.stats()["watchers"] == 1)
    httpx.post(f"{live.url}/goal")
    tabs[3].wait_for_function("of('message').length == 3")
    assert tabs[2].evaluate("of('message').length") == 2


def test_two_people_watch_the_same_url_and_see_each_their_own(
    live: LiveNode, tab: Open, chromium: Browser
) -> None:
    pages = []
    for name in ("ada", "eve"):
        profile = chromium.new_context()
        profile.add_cookies([{"name": "name", "value": name, "url": live.url}])
        pages.append(tab(live.url, profile))
        pages[-1].evaluate("listen('/me')")
    httpx.post(f"{live.url}/goal")
    for name, page in zip(("ada", "eve"), pages, strict=True):
        page.wait_for_function("of('message').some((data) => JSON.parse(data).goals === 1)")
        assert {json.loads(data)["name"] for data in page.evaluate("of('message')")} == {name}
        page.context.close()


def test_another_origin_may_follow_only_if_it_was_allowed(
    site: Pages, live: LiveNode, freshwire_node: Callable[..., LiveNode], tab: Open
) -> None:
    page = tab(live.url)
    open_node = freshwire_node(site.app, allow_origins=[live.url])
    closed_node = freshwire_node(site.app)
    page.evaluate(f"listen('{closed_node.url}/match')")
    page.wait_for_function("log.length == 1")
    assert page.evaluate("log[0]") == ["error", 2]
    page.evaluate(f"listen('{open_node.url}/match')")
    page.wait_for_function("of('message').length == 1")
    open_node.changed("match")
    site.goals = 5
    open_node.changed("match")
    page.wait_for_function("of('message').includes('{\"goals\":5}')")


def test_a_stream_of_the_applications_own_arrives_as_it_is_and_hears_of_the_end(
    site: Pages, live: LiveNode, tab: Open
) -> None:
    page = tab(live.url)
    page.evaluate("listen('/clock', ['message', 'tick'])")
    page.wait_for_function("of('tick').length == 3")
    assert page.evaluate("log") == [["open"], *(["tick", str(n), f"mine-{n}"] for n in range(3))]
    assert not site.left.is_set()
    page.close()
    assert site.left.wait(10)
