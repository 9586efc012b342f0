from __future__ import annotations

import json

import httpx
from freshwire.testing import LiveNode

from .conftest import Open
from .pages import Pages


def test_a_watch_gets_messages_and_ends_with_4404(site: Pages, live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    page.evaluate("talk('/match', 'freshwire.v1')")
    for goals in range(1, 4):
        page.wait_for_function(f"of('message').length == {goals}")
        httpx.post(f"{live.url}/goal")
    page.wait_for_function("of('message').length == 4")
    assert [json.loads(data)["goals"] for data in page.evaluate("of('message')")] == [0, 1, 2, 3]
    assert page.evaluate("log[0]") == ["open", "freshwire.v1"]
    site.over = True
    live.changed("match")
    page.wait_for_function("of('close').length == 1")
    assert page.evaluate("log.at(-1)") == ["close", 4404, True]


def test_a_watch_of_what_is_not_there_never_opens(live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    page.evaluate("talk('/nowhere', 'freshwire.v1')")
    page.wait_for_function("log.length == 1")
    assert page.evaluate("log[0]") == ["close", 1006, False]


def test_a_socket_without_the_subprotocol_is_the_applications(live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    page.evaluate("talk('/echo')")
    page.wait_for_function("of('open').length == 1")
    page.evaluate("for (const n of [1, 2, 3]) socket.send('n' + n)")
    page.wait_for_function("of('message').length == 3")
    assert page.evaluate("of('message')") == ["echo: n1", "echo: n2", "echo: n3"]
    page.evaluate("socket.close(4001, 'done')")
    page.wait_for_function("of('close').length == 1")
    assert page.evaluate("log.at(-1)") == ["close", 4001, True]


def test_a_node_that_ends_says_so(live: LiveNode, tab: Open) -> None:
    page = tab(live.url)
    page.evaluate("talk('/match', 'freshwire.v1')")
    page.wait_for_function("of('message').length == 1")
    live.close()
    page.wait_for_function("of('close').length == 1")
    assert page.evaluate("log.at(-1)") == ["close", 1012, True]
