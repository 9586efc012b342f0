"""Row 7, in Chromium: a page that opens more connections than one address may have harms its own address only."""

from collections.abc import Callable

from playwright.sync_api import sync_playwright

from conformance.chromium import launch

from .conftest import TargetProcess

SOURCE = """
PAGE = b'''<!doctype html>
<link rel="icon" href="data:,">
<script>
const open = [], closed = []
function flood(count) {
  for (let n = 0; n < count; n++) {
    const socket = new WebSocket(`ws://${location.host}/socket`)
    socket.onopen = () => open.push(socket)
    socket.onclose = (event) => closed.push(event.code)
  }
}
const settled = (count) => open.length + closed.length == count
</script>'''

async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": PAGE})
"""
SOCKETS = 300
MOST = 200
"""Fewer than the sockets that Chromium opens at once at all (255 WebSockets), so that it is the node that refuses."""


def test_a_page_gets_as_many_sockets_as_its_address_may_have_and_no_more(
    attack_process: Callable[..., TargetProcess],
) -> None:
    target = attack_process(SOURCE, max_connections_per_address=MOST)
    url = "http://{}:{}/".format(*target.address)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page()
        page.goto(url)
        page.evaluate(f"flood({SOCKETS})")
        page.wait_for_function(f"settled({SOCKETS})", timeout=60_000)
        opened, codes = page.evaluate("[open.length, [...new Set(closed)]]")
        # The page's own connection is one of its address, and the browser may have made another beforehand.
        assert MOST - 2 <= opened < MOST
        assert codes == [1006]
        refused = target.refused()
        assert refused.keys() == {"max_connections_per_address"}
        assert 0 < refused["max_connections_per_address"] <= SOCKETS - opened
        assert target.stats()["connections"] <= MOST + 1  # and the admin's
        # Nobody who has one loses it, and who leaves makes room.
        assert page.evaluate("open.every((socket) => socket.readyState == WebSocket.OPEN)")
        page.evaluate("open.forEach((socket) => socket.close())")
        page.wait_for_function(f"closed.length == {SOCKETS}")
        page.evaluate("open.length = closed.length = 0; flood(10)")
        page.wait_for_function("settled(10)")
        assert page.evaluate("open.length") == 10
        browser.close()
    assert target.stats()["panics"] == 0
