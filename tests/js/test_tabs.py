"""Several tabs and several people: who holds the connection, and who takes over."""

from __future__ import annotations

import httpx
import pytest
from freshwire.testing import LiveNode
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Open
from tests.waiting import block_until

from .site import Site

SSE = "{transports: ['sse']}"
GOALS = "of('change').map((value) => value.goals)"


@pytest.fixture
def tabs(live: LiveNode, tab: Open) -> list[Page]:
    """Three tabs that watch the same, the first of which leads."""
    pages = [tab(live.url) for _ in range(3)]
    for page in pages:
        page.evaluate(f"void follow('/match', {SSE})")
        page.wait_for_function("last.status === 'live'")
    return pages


def watchers(live: LiveNode) -> int:
    return int(live.stats()["watchers"])


def test_tabs_share_one_connection_and_one_read(site: Site, live: LiveNode, tabs: list[Page]) -> None:
    assert watchers(live) == 1
    for goals in range(1, 3):
        httpx.post(f"{live.url}/goal")
        for page in tabs:
            page.wait_for_function(f"last.value.goals === {goals}")
    assert [page.evaluate(GOALS) for page in tabs] == [[0, 1, 2]] * 3
    assert watchers(live) == 1


def test_resources_of_several_tabs_share_one_wait(live: LiveNode, tab: Open) -> None:
    first, second = tab(live.url), tab(live.url)
    first.evaluate("window.all = ['/n/1', '/n/2', '/match'].map((url) => follow(url))")
    second.evaluate("window.all = ['/n/3', '/match'].map((url) => follow(url))")
    waits = "all.every((one) => one.status === 'live' && one.transport === 'wait')"
    for page in (first, second):
        page.wait_for_function(waits)
    block_until(lambda: live.stats()["waits_held"] == 1 and watchers(live) == 0)
    httpx.post(f"{live.url}/goal")
    for page in (first, second):
        page.wait_for_function("all.every((one) => one.value.goals === 1)")
    first.close()
    httpx.post(f"{live.url}/goal")
    second.wait_for_function("all.every((one) => one.value.goals === 2)")
    second.wait_for_function(waits)
    block_until(lambda: live.stats()["waits_held"] == 1)


@pytest.mark.parametrize("leave", ["page.close()", "page.goto('about:blank')"])
def test_when_the_leading_tab_closes_another_goes_on_without_a_gap(
    live: LiveNode, tabs: list[Page], leave: str
) -> None:
    leader, *others = tabs
    eval(leave, {"page": leader})
    httpx.post(f"{live.url}/goal")  # whoever leads now, or nobody yet
    for page in others:
        page.wait_for_function("last.value.goals === 1")
    httpx.post(f"{live.url}/goal")
    for page in others:
        page.wait_for_function("last.value.goals === 2 && last.status === 'live'")
        assert page.evaluate(GOALS) == [0, 1, 2]
    assert watchers(live) == 1


def test_a_tab_that_closes_is_dropped_by_the_one_that_leads(live: LiveNode, tabs: list[Page]) -> None:
    leader, other, third = tabs
    other.evaluate(f"void follow('/text', {SSE})")
    other.wait_for_function("last.value === '0' && last.status === 'live'")
    assert watchers(live) == 2
    other.close()
    block_until(lambda: watchers(live) == 1)
    third.evaluate("last.close()")
    leader.evaluate("last.close()")
    block_until(lambda: watchers(live) == 0)


def test_a_leading_tab_that_is_frozen_hands_over(live: LiveNode, tabs: list[Page]) -> None:
    leader, *others = tabs
    devtools = leader.context.new_cdp_session(leader)
    devtools.send("Page.setWebLifecycleState", {"state": "frozen"})
    httpx.post(f"{live.url}/goal")
    for page in others:
        page.wait_for_function("last.value.goals === 1 && last.status === 'live'")
    devtools.send("Page.setWebLifecycleState", {"state": "active"})
    leader.wait_for_function("last.value.goals === 1 && last.status === 'live'")
    assert leader.evaluate(GOALS) == [0, 1]
    assert watchers(live) == 1


def test_a_leading_tab_that_says_nothing_any_more_loses_the_lead(live: LiveNode, tab: Open) -> None:
    leader = tab(live.url)
    follower = leader.context.new_page()
    follower.clock.install()
    follower.goto(f"{live.url}/page")
    for page in (leader, follower):
        page.evaluate(f"void follow('/match', {SSE})")
        page.wait_for_function("last.status === 'live'")
    leader.evaluate("BroadcastChannel.prototype.postMessage = () => {}")
    httpx.post(f"{live.url}/goal")
    leader.wait_for_function("last.value.goals === 1")
    assert follower.evaluate("last.value.goals") == 0
    follower.clock.fast_forward(11_000)
    follower.wait_for_function("last.value.goals === 1 && last.status === 'live'")
    httpx.post(f"{live.url}/goal")
    for page in (leader, follower):
        page.wait_for_function("last.value.goals === 2")
        assert page.evaluate(GOALS) == [0, 1, 2]
    block_until(lambda: watchers(live) == 1)


HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", {value: hidden, configurable: true})
  document.dispatchEvent(new Event("visibilitychange", {bubbles: true}))
}"""


def test_a_tab_that_nobody_sees_sleeps_and_catches_up_at_once_when_it_is_seen(
    live: LiveNode, tab: Open
) -> None:
    page = tab(live.url)
    page.evaluate("void follow('/match', {sleepMs: 10})")
    page.wait_for_function("last.status === 'live'")
    page.evaluate(HIDE, True)
    block_until(lambda: watchers(live) == 0)
    assert page.evaluate("last.status") == "stale"
    httpx.post(f"{live.url}/goal")
    httpx.post(f"{live.url}/goal")
    page.evaluate(HIDE, False)
    page.wait_for_function("last.status === 'live' && last.value.goals === 2")
    assert page.evaluate(GOALS) == [0, 2]


def test_a_leading_tab_in_the_background_hands_over_to_one_that_is_seen(live: LiveNode, tab: Open) -> None:
    first, second = pages = [tab(live.url) for _ in range(2)]
    for page in pages:
        page.evaluate("void follow('/match', {sleepMs: 10})")
        page.wait_for_function("last.status === 'live'")
    first.evaluate(HIDE, True)
    first.wait_for_function("last.status === 'stale'")
    httpx.post(f"{live.url}/goal")
    second.wait_for_function("last.status === 'live' && last.value.goals === 1")
    assert watchers(live) == 1
    first.evaluate(HIDE, False)
    first.wait_for_function("last.status === 'live' && last.value.goals === 1")
    assert watchers(live) == 1


def test_a_page_from_the_back_forward_cache_catches_up(live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    page.evaluate(f"void follow('/match', {SSE})")
    page.wait_for_function("last.status === 'live'")
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
    block_until(lambda: watchers(live) == 0)
    httpx.post(f"{live.url}/goal")
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    page.wait_for_function("last.status === 'live' && last.value.goals === 1")


def test_when_the_network_is_back_it_does_not_wait(live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    page.evaluate(f"void follow('/match', {SSE})")
    page.wait_for_function("last.status === 'live'")
    page.context.set_offline(True)
    page.wait_for_function("last.status === 'stale' || !navigator.onLine")
    httpx.post(f"{live.url}/goal")
    page.context.set_offline(False)
    page.wait_for_function("last.status === 'live' && last.value.goals === 1")


def test_people_who_share_a_browser_are_kept_apart_by_name(
    live: LiveNode, tab: Open, chromium: Browser
) -> None:
    pages = []
    for name in ("ada", "eve"):
        context = chromium.new_context()
        context.add_cookies([{"name": "name", "value": name, "url": live.url}])
        pages.append(tab(live.url, context))
        pages[-1].evaluate("void follow('/me')")
    for name, page in zip(("ada", "eve"), pages, strict=True):
        page.wait_for_function("last.status === 'live'")
        assert page.evaluate("last.value.name") == name
    # The same browser, and somebody else signs in: the page says so by `share`.
    ada = pages[0]
    ada.context.add_cookies([{"name": "name", "value": "bob", "url": live.url}])
    other = tab(live.url, ada.context)
    other.evaluate("void follow('/me', {share: 'bob'})")
    other.wait_for_function("last.status === 'live'")
    httpx.post(f"{live.url}/goal")
    other.wait_for_function("last.value.goals === 1")
    ada.wait_for_function("last.value.goals === 1")
    assert other.evaluate("of('change').map((value) => value.name)") == ["bob", "bob"]
    assert ada.evaluate("of('change').map((value) => value.name)") == ["ada", "ada"]
    for page in pages:
        page.context.close()


def test_tabs_that_do_not_share_have_a_connection_each(live: LiveNode, tab: Open) -> None:
    pages = [tab(live.url) for _ in range(2)]
    for page in pages:
        page.evaluate("void follow('/match', {share: false})")
        page.wait_for_function("last.status === 'live'")
    assert watchers(live) == 2
