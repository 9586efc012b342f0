"""The client directly against a node."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from freshwire.testing import LiveNode

from tests.browser.conftest import Open
from tests.browser.wire import Wire
from tests.waiting import block_until

from .site import Site

GOALS = "of('change').map((value) => value.goals)"


@pytest.mark.parametrize("transport", ["sse", "websocket"])
def test_it_gives_what_is_there_and_each_change(live: LiveNode, tab: Open, transport: str) -> None:
    page = tab(live.url)
    page.evaluate("(transport) => void follow('/match', {transports: [transport]})", transport)
    page.wait_for_function("last.status === 'live'")
    assert page.evaluate("[last.transport, last.value]") == [transport, {"goals": 0}]
    for goals in range(1, 4):
        httpx.post(f"{live.url}/goal")
        page.wait_for_function(f"last.value.goals === {goals}")
    assert page.evaluate(GOALS) == [0, 1, 2, 3]
    assert page.evaluate("last.position").count("-") == 1
    page.evaluate("last.close()")
    block_until(lambda: live.stats()["watchers"] == 0)
    assert page.evaluate("last.status") == "closed"


def test_it_can_be_iterated_and_leaving_the_loop_closes_it(live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    seen = page.evaluate(
        """async () => {
          const seen = []
          for await (const {goals} of freshwire.watch("/match")) {
            seen.push(goals)
            if (goals === 3) break
            await fetch("/goal", {method: "POST"})
          }
          return seen
        }"""
    )
    assert seen == [0, 1, 2, 3]
    block_until(lambda: live.stats()["watchers"] == 0)


def test_a_function_is_called_with_each_value_and_a_signal_ends_it(live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    page.evaluate(
        """() => {
          window.seen = []
          window.abort = new AbortController()
          window.last = freshwire.watch("/match", ({goals}) => seen.push(goals), {signal: abort.signal})
        }"""
    )
    page.wait_for_function("last.status === 'live'")
    httpx.post(f"{live.url}/goal")
    page.wait_for_function("seen.length === 2")
    page.evaluate("abort.abort()")
    block_until(lambda: live.stats()["watchers"] == 0)
    assert page.evaluate("[seen, last.status]") == [[0, 1], "closed"]


def test_text_is_a_string_bytes_are_a_blob_and_the_response_is_there(live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    page.evaluate("window.text = follow('/text'); window.flag = follow('/flag.bin')")
    page.wait_for_function("text.status === 'live' && flag.status === 'live'")
    assert page.evaluate("text.value") == "0"
    bytes_of_flag = "flag.value.arrayBuffer().then((all) => [...new Uint8Array(all)])"
    assert page.evaluate(bytes_of_flag) == [0x89, 0xFF, 0]
    assert page.evaluate("flag.response().headers.get('content-type')") == "application/octet-stream"
    assert page.evaluate("text.response().text()") == "0"
    httpx.post(f"{live.url}/goal")
    page.wait_for_function("text.value === '1'")
    page.wait_for_function(f"{bytes_of_flag}.then((all) => all[2] === 1)")


@pytest.mark.parametrize("transport", ["sse", "websocket"])
@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_what_can_no_longer_be_read_is_gone(
    site: Site, live: LiveNode, tab: Open, status: int, transport: str
) -> None:
    page = tab(live.url)
    page.evaluate("(transport) => void follow('/match', {transports: [transport]})", transport)
    page.wait_for_function("last.status === 'live'")
    site.status = status
    live.changed("match")
    page.wait_for_function("last.status === 'gone'")
    assert page.evaluate("last.problem.status") == status
    assert page.evaluate("of('gone').length") == 1
    block_until(lambda: live.stats()["watchers"] == 0)


def test_what_cannot_be_read_from_the_start_is_gone_and_an_iteration_throws(
    site: Site, live: LiveNode, tab: Open
) -> None:
    page = tab(live.url)
    error = page.evaluate(
        """async () => {
          try {
            for await (const value of freshwire.watch("/bearer")) return value
          } catch (error) {
            return [error instanceof Error, error.name, error.problem.status]
          }
        }"""
    )
    assert error == [True, "Gone", 401]


def test_fields_of_the_caller_go_with_every_request(live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    page.evaluate("void follow('/bearer', {headers: {authorization: 'Bearer it'}})")
    page.wait_for_function("last.status === 'live'")
    httpx.post(f"{live.url}/goal")
    page.wait_for_function("last.value.goals === 1")
    assert page.evaluate("last.value.said") == "Bearer it"


def test_a_fetch_of_the_caller_makes_the_requests(live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    page.evaluate(
        """() => void follow("/bearer", {
          fetch: (url, init) => fetch(url, {...init, headers: {...init.headers, authorization: "mine"}}),
        })"""
    )
    page.wait_for_function("last.status === 'live' && last.value.said === 'mine'")


def test_a_failing_server_is_an_error_and_is_asked_again(site: Site, live: LiveNode, tab: Open) -> None:
    site.status, site.retry_after = 503, "1"
    page = tab(live.url)
    page.evaluate("void follow('/match')")
    page.wait_for_function("of('error').length > 0")
    assert page.evaluate("[last.status, last.problem.status]") == ["connecting", 503]
    site.status = 200
    page.wait_for_function("last.status === 'live'")
    assert page.evaluate("last.problem ?? null") is None


def test_after_a_broken_connection_it_goes_on_from_its_position(live: LiveNode, tab: Open) -> None:
    wire = Wire(int(live.url.rsplit(":", 1)[1]))
    try:
        page = tab(wire.url)
        page.evaluate("void follow('/match', {transports: ['sse']})")
        page.wait_for_function("last.status === 'live'")
        httpx.post(f"{live.url}/goal")
        page.wait_for_function("last.value.goals === 1")
        position = page.evaluate("last.position")
        wire.cut()
        page.wait_for_function("last.status === 'stale'")
        httpx.post(f"{live.url}/goal")
        wire.mend()
        page.wait_for_function("last.status === 'live' && last.value.goals === 2")
        assert any(f"last-event-id: {position}\r\n" in asked.lower() for asked in wire.requests)
        assert page.evaluate(GOALS) == [0, 1, 2]
    finally:
        wire.close()


def test_a_socket_that_comes_again_repeats_nothing(live: LiveNode, tab: Open) -> None:
    wire = Wire(int(live.url.rsplit(":", 1)[1]))
    try:
        page = tab(wire.url)
        page.evaluate("void follow('/match', {transports: ['websocket']})")
        page.wait_for_function("last.status === 'live'")
        wire.cut()
        page.wait_for_function("last.status === 'stale'")
        wire.mend()
        page.wait_for_function("last.status === 'live'")
        httpx.post(f"{live.url}/goal")
        page.wait_for_function("last.value.goals === 1")
        assert page.evaluate(GOALS) == [0, 1]
    finally:
        wire.close()


def test_what_cannot_be_watched_is_polled(site: Site, live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    page.evaluate("void follow('/unwatchable', {pollMs: 50, transports: ['sse', 'websocket']})")
    page.wait_for_function("last.transport === 'poll'")
    site.goals = 5
    page.wait_for_function("last.value.goals === 5")
    assert page.evaluate(GOALS) == [0, 5]


def test_another_origin_is_watched_as_it_allows(
    site: Site, live: LiveNode, freshwire_node: Callable[..., LiveNode], tab: Open
) -> None:
    page = tab(live.url)
    far = freshwire_node(site.app, allow_origins=[live.url])
    page.evaluate("(url) => void follow(url)", f"{far.url}/match")
    page.wait_for_function("last.status === 'live'")
    site.goals = 7
    far.changed("match")
    page.wait_for_function("last.value.goals === 7")
    assert page.evaluate(GOALS) == [0, 7]
    assert page.evaluate("last.transport") == "sse"


def test_what_was_gone_can_be_watched_again_at_once(site: Site, live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    site.status = 404
    live.changed("match")
    page.evaluate("follow('/match').addEventListener('gone', () => (window.again = follow('/match')))")
    page.wait_for_function("window.again?.status === 'gone'")
    site.status = 200
    page.evaluate("void follow('/match')")
    page.wait_for_function("last.status === 'live'")
    httpx.post(f"{live.url}/goal")
    page.wait_for_function("last.value.goals === 1")
