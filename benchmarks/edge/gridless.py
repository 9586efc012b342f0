"""The same resource on an ordinary server with a long-poll as many have written it: it ends so long after it began.

The position is in the URL, so a cache can collapse the waits, if the empty answer lets it: what that says is chosen by
the environment. `GET /counts` has the waits and reads that came through.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from benchmarks.edge.application import state

HOLD_S = 12.0
EMPTY = "EDGE_EMPTY_ANSWER"
"""The environment variable with the status and the `Cache-Control` of an answer that has nothing to say."""

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

counts = {"waits": 0, "reads": 0}
version = 1
changed_ns = time.time_ns()
change = asyncio.Event()


async def app(scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
    """`GET /x`, `GET /.fresh/watch/<version>`, `POST /change`, `GET /counts`."""
    global version, changed_ns, change
    path: str = scope["path"]
    if path == "/x":
        counts["reads"] += 1
        fields = {"cache-control": "public, max-age=60", "link": f'</.fresh/watch/{version}>; rel="monitor"'}
        return await answer(send, 200, state(changed_ns), fields | {"fresh-position": f"e-{version}"})
    if path.startswith("/.fresh/watch/"):
        counts["waits"] += 1
        return await poll(send, int(path.removeprefix("/.fresh/watch/")))
    if scope["method"] == "POST":
        version, changed_ns = version + 1, time.time_ns()
        change.set()
        change = asyncio.Event()
        return await answer(send, 200, b'{"at":"%020d"}' % changed_ns, {"fresh-position": f"e-{version}"})
    return await answer(send, 200, json.dumps(counts).encode(), {"cache-control": "no-store"})


async def poll(send: Send, known: int) -> None:
    """Wait for a version after this one."""
    if known >= version:
        try:
            await asyncio.wait_for(change.wait(), HOLD_S)
        except TimeoutError:
            status, control = os.environ.get(EMPTY, "200 max-age=1").split(" ", 1)
            said = {"changes": [], "next": f"/.fresh/watch/{known}"}
            body = b"" if status == "204" else json.dumps(said).encode()
            return await answer(send, int(status), body, {"cache-control": control})
    pinned = f"/x?fresh=e-{version}"
    news: dict[str, Any] = {
        "position": f"e-{version}",
        "changes": [{"url": "/x", "pinned": pinned}],
        "next": f"/.fresh/watch/{version}",
    }
    return await answer(send, 200, json.dumps(news).encode(), {"cache-control": "max-age=60"})


async def answer(send: Send, status: int, body: bytes, fields: dict[str, str]) -> None:
    if status != 204:
        fields = fields | {"content-type": "application/json", "content-length": str(len(body))}
    headers = [(name.encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
