"""Security row 7: pages that open sockets without end get as many as one address may have, and nobody else's."""

from __future__ import annotations

import time

from freshwire.testing import LiveNode
from playwright.sync_api import Browser

from .conftest import Open

ASK_FOR_300 = """
() => {
  window.sockets = Array.from({length: 300}, () => new WebSocket(`ws://${location.host}/match`, "freshwire.v1"))
  window.opened = window.ended = 0
  for (const socket of sockets) {
    socket.onopen = () => window.opened++
    socket.onclose = () => window.ended++
  }
}
"""


def test_two_pages_that_open_300_sockets_each_get_256_in_all(
    chromium: Browser, live: LiveNode, tab: Open
) -> None:
    # A browser has a limit of its own for each profile, so there are two.
    other = chromium.new_context()
    pages = [tab(live.url), tab(live.url, other)]
    for page in pages:
        page.evaluate(ASK_FOR_300)
    deadline = time.monotonic() + 60
    while not (refused := live.stats()["refusals"].get("max_connections_per_address", 0)) or refused < 50:
        assert time.monotonic() < deadline, live.stats()
        time.sleep(0.2)
    stats = live.stats()
    assert stats["connections"] <= 256 + 1  # and the admin's
    assert 200 < sum(page.evaluate("opened - ended") for page in pages) <= 256
    # When the first page goes, there is room again: a refused page may come back.
    pages[0].close()
    pages[1].evaluate("sockets.forEach((socket) => socket.close())")
    while live.stats()["connections"] > 50:
        assert time.monotonic() < deadline, live.stats()
        time.sleep(0.2)
    page = tab(live.url)
    page.evaluate("talk('/match', 'freshwire.v1')")
    page.wait_for_function("of('message').length == 1")
    other.close()
