"""The application under test, run by `freshwire serve`: `/r/<n>` is resource n, and it reads as `behaviour` says.

There are five kinds of resource, by n modulo 5: shared with a tag; chosen by `Accept-Language`, with a lifetime;
private; streamed with a validator of its own; large. A PUT commits the version in its query.
"""

import asyncio
import json
import os
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from .behaviour import BEHAVIOUR, Fields, Receive, Scope, Send, answer
from .database import FOLDER_VARIABLE, Database, kind, tag

LARGE_BYTES = 60_000

database = Database(Path(os.environ[FOLDER_VARIABLE]), "application")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve."""
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return
    _, place, name = scope["path"].split("/")
    query = {key: values[0] for key, values in parse_qs(scope["query_string"].decode()).items()}
    if place == "hog":
        await hog(name, float(query["seconds"]), send)
    elif scope["method"] == "PUT":
        database.write(int(name), int(query["version"]))
        groups = f'"{tag(int(name))}"'.encode()
        await answer(send, 204, [(b"cache-group-invalidation", groups)], b"")
    else:
        await read(int(name), scope, receive, send)


async def hog(how: str, seconds: float, send: Send) -> None:
    """Keep from everybody else the interpreter, asleep or at work, or all descriptors."""
    end = time.monotonic() + seconds
    if how == "descriptors":
        await hold_descriptors(seconds)
    elif how == "sleep":
        time.sleep(seconds)  # noqa: ASYNC251 - that is the fault
    elif how == "spin":
        while time.monotonic() < end:
            sum(range(1000))
    await answer(send, 204, [], b"")


async def hold_descriptors(seconds: float) -> None:
    """Have all that there are, for a while."""
    held = []
    try:
        with suppress(OSError):
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        await asyncio.sleep(seconds)
    finally:
        for fd in held:
            os.close(fd)


async def read(resource: int, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a GET, as well as it goes."""
    request = {name.decode(): value.decode() for name, value in scope["headers"]}
    shown: dict[str, Any] = {"resource": resource, "version": database.version(resource)}
    fields: Fields = [
        (b"content-type", b"application/json"),
        (b"cache-groups", f'"{tag(resource)}"'.encode()),
    ]
    match kind(resource):
        case "varied":
            shown["language"] = request.get("accept-language")
            fields += [(b"vary", b"accept-language"), (b"cache-control", b"public, max-age=2")]
        case "private":
            shown["user"] = request.get("authorization", "").removeprefix("Bearer ") or None
            fields += [(b"cache-control", b"private")]
            if shown["user"] is None:
                await answer(send, 401, fields, b"{}")
                return
        case "streamed":
            fields += [(b"etag", f'"v{shown["version"]}"'.encode())]
        case "large":
            shown["padding"] = "x" * LARGE_BYTES
    body = json.dumps(shown).encode()
    how = database.behaviour(resource)
    if how == "flaky":
        how = random.choice(["well", "well", "500", "raise", "abort", "late"])
    await BEHAVIOUR[how](fields, body, receive, send, kind(resource) == "streamed")
