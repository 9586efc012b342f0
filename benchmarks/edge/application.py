"""The application behind the node: a resource whose state has the time of its last change, and a count of reads."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

TAG = "edge"
LIFETIME = "EDGE_MAX_AGE_S"
"""The environment variable with the resource's `max-age`, seconds."""
PADDING = "." * 400

Message = MutableMapping[str, Any]

reads = 0
changed_ns = time.time_ns()


def state(stamp_ns: int) -> bytes:
    """The resource's body: the load client knows the change by its stamp."""
    return b'{"at":"%020d","score":"%s"}' % (stamp_ns, PADDING.encode())


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """`GET /x`, `POST /change`, and `GET /counts` for the benchmark."""
    global reads, changed_ns
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    fields: dict[str, str] = {}
    if scope["path"] == "/x":
        reads += 1
        body = state(changed_ns)
        lifetime_s = os.environ.get(LIFETIME, "60")
        fields = {"cache-control": f"public, max-age={lifetime_s}", "cache-groups": f'"{TAG}"'}
    elif scope["method"] == "POST":
        changed_ns = time.time_ns()
        body = b'{"at":"%020d"}' % changed_ns
        fields = {"cache-group-invalidation": f'"{TAG}"'}
    else:
        body = json.dumps({"reads": reads}).encode()
        fields = {"cache-control": "no-store"}
    fields |= {"content-type": "application/json", "content-length": str(len(body))}
    headers = [(name.encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
    return None
