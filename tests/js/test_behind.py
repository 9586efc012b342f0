"""The client behind proxies and caches: what does not deliver is given up, what does is found, nothing is missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from freshwire.testing import LiveNode
from playwright.sync_api import Browser

from tests.browser.conftest import Open
from tests.waiting import block_until

from . import fronts
from .site import Site

GOALS = "of('change').map((value) => value.goals)"
CYCLE_S = 1
IMPATIENT = "{patienceMs: 300, promoteMs: 100000}"


@pytest.fixture
def live(site: Site, freshwire_node: Callable[..., LiveNode]) -> LiveNode:
    return freshwire_node(site.app, watch_cycle_s=CYCLE_S)


Front = Callable[..., str]


@pytest.fixture
def front(live: LiveNode, tmp_path: Path) -> Iterator[Front]:
    """Put something in front of the node: `front("nginx", fronts.BUFFERING)`; its address."""
    with ExitStack() as stack:

        def start(name: str, *more: str) -> str:
            origin = int(live.url.rsplit(":", 1)[1])
            return stack.enter_context(getattr(fronts, name)(tmp_path, origin, *more))

        yield start


def test_a_stream_that_opens_and_brings_nothing_makes_way_for_a_wait(
    site: Site, live: LiveNode, front: Front, tab: Open
) -> None:
    page = tab(front("nginx", fronts.BUFFERING))
    page.evaluate(f"void follow('/match', {IMPATIENT})")
    page.wait_for_function("last.status === 'live' && last.transport === 'wait'")
    assert {"detail": "sse: silence"} in page.evaluate("of('error')")
    for goals in range(1, 4):
        httpx.post(f"{live.url}/goal")
        page.wait_for_function(f"last.value.goals === {goals}")
    assert page.evaluate(GOALS) == [0, 1, 2, 3]


def test_it_is_promoted_when_the_better_transport_delivers_again(
    live: LiveNode, front: Front, tab: Open, tmp_path: Path
) -> None:
    url = front("nginx", fronts.BUFFERING)
    page = tab(url)
    page.evaluate("void follow('/match', {patienceMs: 300, promoteMs: 500, transports: ['sse', 'wait']})")
    page.wait_for_function("last.transport === 'wait'")
    httpx.post(f"{live.url}/goal")
    page.wait_for_function("last.value.goals === 1")
    # Somebody repairs the proxy.
    config = tmp_path / "nginx.conf"
    config.write_text(config.read_text().replace(fronts.BUFFERING, "proxy_buffering off;"))
    fronts.reload_nginx(tmp_path)
    page.wait_for_function("last.status === 'live' && last.transport === 'sse'")
    httpx.post(f"{live.url}/goal")
    page.wait_for_function("last.value.goals === 2")
    assert page.evaluate(GOALS) == [0, 1, 2]


def test_without_a_stream_and_without_a_link_it_polls(live: LiveNode, front: Front, tab: Open) -> None:
    page = tab(front("nginx", fronts.BUFFERING + fronts.LINKLESS))
    page.evaluate("void follow('/match', {patienceMs: 300, pollMs: 50})")
    page.wait_for_function("last.status === 'live' && last.transport === 'poll'")
    httpx.post(f"{live.url}/goal")
    page.wait_for_function("last.value.goals === 1")
    assert page.evaluate(GOALS) == [0, 1]


@pytest.mark.parametrize(("name", "more"), [("nginx", [fronts.CACHING]), ("varnish", [])])
def test_behind_a_cache_that_keeps_the_resource_each_change_comes_at_once(
    site: Site, live: LiveNode, front: Front, tab: Open, name: str, more: list[str]
) -> None:
    site.lifetime = "public, s-maxage=600"
    url = front(name, *more)
    httpx.get(f"{url}/match")  # it has a copy now, and would hand that to an event stream, too
    page = tab(url)
    page.evaluate(f"void follow('/match', {IMPATIENT})")
    page.wait_for_function("last.status === 'live' && last.transport === 'wait'")
    for goals in range(1, 4):
        httpx.post(f"{live.url}/goal")
        page.wait_for_function(f"last.value.goals === {goals}")
    assert page.evaluate(GOALS) == [0, 1, 2, 3]
    assert httpx.get(f"{url}/match").json() == {"goals": 0}, "the ordinary URL still has the old copy"


@pytest.mark.parametrize(("name", "more"), [("nginx", [fronts.CACHING]), ("varnish", [])])
def test_many_browsers_behind_a_cache_cost_the_node_what_one_does(
    site: Site, live: LiveNode, front: Front, tab: Open, chromium: Browser, name: str, more: list[str]
) -> None:
    site.lifetime = "public, s-maxage=600"
    url = front(name, *more)
    contexts = [chromium.new_context() for _ in range(4)]
    pages = [tab(url, context) for context in contexts]
    for page in pages:
        page.evaluate("void follow('/match', {transports: ['wait']})")
        page.wait_for_function("last.status === 'live'")
    reads = site.reads
    for goals in range(1, 4):
        httpx.post(f"{live.url}/goal")
        for page in pages:
            page.wait_for_function(f"last.value.goals === {goals}")
    assert site.reads == reads + 3
    assert int(live.stats()["waits_held"]) <= 1
    for page in pages:
        assert page.evaluate(GOALS) == [0, 1, 2, 3]
    for context in contexts:
        context.close()


def test_all_resources_of_a_page_share_one_wait(live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    page.evaluate("window.all = Array.from({length: 12}, (_, k) => follow(`/n/${k}`))")
    page.wait_for_function("all.every((one) => one.status === 'live' && one.transport === 'wait')")
    block_until(lambda: live.stats()["watchers"] == 0 and live.stats()["waits_held"] == 1)
    httpx.post(f"{live.url}/goal")
    page.wait_for_function("all.every((one) => one.value.goals === 1)")
    page.evaluate("follow('/match')")
    page.wait_for_function("last.transport === 'wait' && last.value.goals === 1")
    page.evaluate("all.forEach((one) => one.close())")
    page.wait_for_function("last.transport === 'sse' && last.status === 'live'")
    httpx.post(f"{live.url}/goal")
    page.wait_for_function("last.value.goals === 2")
    assert page.evaluate("last.status") == "live"


def test_many_resources_without_a_wait_leave_connections_free(live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    page.evaluate(
        "window.all = Array.from({length: 8}, (_, k) => follow(`/n/${k}`, {transports: ['sse', 'websocket']}))"
    )
    page.wait_for_function("all.every((one) => one.status === 'live')")
    assert page.evaluate("all.filter((one) => one.transport === 'sse').length") == 3
    httpx.post(f"{live.url}/goal")
    page.wait_for_function("all.every((one) => one.value.goals === 1)")
    assert page.evaluate("fetch('/text').then((answer) => answer.text())") == "1"


def test_in_a_wait_what_can_no_longer_be_read_is_gone_and_the_rest_goes_on(
    site: Site, live: LiveNode, tab: Open
) -> None:
    page = tab(live.url)
    page.evaluate("window.all = ['/match', '/n/1', '/n/2'].map((url) => follow(url))")
    page.wait_for_function("all.every((one) => one.transport === 'wait' && one.status === 'live')")
    site.status = 404
    httpx.post(f"{live.url}/goal")
    page.wait_for_function("all[0].status === 'gone'")
    assert page.evaluate("all[0].problem.status") == 404
    page.wait_for_function("all[1].value.goals === 1 && all[2].value.goals === 1")
    httpx.post(f"{live.url}/goal")
    page.wait_for_function("all[1].value.goals === 2 && all[2].value.goals === 2")


def test_a_change_is_read_unless_it_rides_in_the_answer_to_the_wait(live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    pinned, told = [], []
    page.on("request", lambda request: pinned.append(request.url) if "fresh=" in request.url else None)
    page.on("response", lambda response: told.append(response) if "/.fresh/watch/" in response.url else None)
    page.evaluate("void follow('/big', {transports: ['wait']})")
    page.wait_for_function("last.status === 'live'")
    for goals in range(1, 4):
        block_until(lambda: live.stats()["waits_held"] == 1)
        httpx.post(f"{live.url}/goal")
        page.wait_for_function(f"last.value.goals === {goals}")
    assert page.evaluate(GOALS) == [0, 1, 2, 3]
    assert page.evaluate("last.value.players.length") == 100
    changes = [change for response in told for change in response.json()["changes"]]
    # The node lets a body ride if it has it in time.
    rode = [change for change in changes if "body" in change or "patch" in change]
    assert len(changes) == 3
    assert len(pinned) == 3 - len(rode)


def test_what_is_private_is_waited_on_and_read_by_who_may(
    live: LiveNode, tab: Open, chromium: Browser
) -> None:
    contexts = [chromium.new_context() for _ in range(2)]
    pages = []
    for name, context in zip(("ada", "eve"), contexts, strict=True):
        context.add_cookies([{"name": "name", "value": name, "url": live.url}])
        pages.append(tab(live.url, context))
        pages[-1].evaluate("void follow('/me', {transports: ['wait']})")
        pages[-1].wait_for_function("last.status === 'live'")
    httpx.post(f"{live.url}/goal")
    for name, page in zip(("ada", "eve"), pages, strict=True):
        page.wait_for_function("last.value.goals === 1")
        assert page.evaluate("of('change').map((value) => value.name)") == [name, name]
    for context in contexts:
        context.close()


BREAKABLE = """() => {
  const Socket = WebSocket
  window.WebSocket = class extends Socket {
    constructor(url, protocol) {
      super(window.broken ? "ws://127.0.0.1:1/" : url, protocol)
      window.socket = this
    }
  }
}"""


def test_a_socket_that_breaks_goes_over_to_a_wait_without_going_back(
    site: Site, freshwire_node: Callable[..., LiveNode], tab: Open, tmp_path: Path, chromium: Browser
) -> None:
    """A socket's messages have no positions; and here the cache has an older answer for the one that is known."""
    site.lifetime = "public, s-maxage=600"
    live = freshwire_node(site.app, watch_cycle_s=30)
    origin = int(live.url.rsplit(":", 1)[1])
    more = fronts.CACHING + fronts.UPGRADING
    with fronts.nginx(tmp_path, origin, more, "$http_connection") as url:
        page = tab(url)
        page.evaluate(BREAKABLE)
        page.evaluate("void follow('/match', {transports: ['websocket', 'wait']})")
        page.wait_for_function("last.transport === 'websocket' && last.status === 'live'")

        other = tab(url, context := chromium.new_context())
        other.evaluate("void follow('/match', {transports: ['wait']})")
        other.wait_for_function("last.status === 'live'")
        block_until(lambda: live.stats()["waits_held"] == 1)
        httpx.post(f"{live.url}/goal")
        other.wait_for_function("last.value.goals === 1")
        context.close()
        for goals in range(2, 4):
            httpx.post(f"{live.url}/goal")
            page.wait_for_function(f"last.value.goals === {goals}")

        page.evaluate("window.broken = true; socket.close()")
        page.wait_for_function("last.transport === 'wait' && last.status === 'live'")
        httpx.post(f"{live.url}/goal")
        page.wait_for_function("last.value.goals === 4")
        assert page.evaluate(GOALS) == [0, 1, 2, 3, 4]


def test_a_wait_that_is_answered_without_end_is_slowed_down_and_said_once(live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    asked = []

    def repeat(route, request) -> None:  # type: ignore[no-untyped-def]
        asked.append(request.url)
        path = request.url.removeprefix(live.url)
        route.fulfill(json={"position": "00000000-0", "changes": [], "next": path})

    page.route("**/.fresh/watch/*/*", repeat)
    page.evaluate("void follow('/match', {transports: ['wait']})")
    page.wait_for_function("warned.length === 1")
    before = len(asked)
    assert before < 10
    # While it asks again now and then, the page does nothing but wait.
    page.wait_for_function("new Promise((go) => setTimeout(() => go(true), 1500))")
    assert len(asked) - before < 20
    assert page.evaluate("warned.length") == 1
