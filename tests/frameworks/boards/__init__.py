"""The same score board in each framework, as its own users would write it.

`/plain` is a text, `/scores/{code}` a tagged resource (404 if there is none), `POST /scores/{code}/goal` changes
one, `POST /echo` answers with its body, `/numbers` streams; a WebSocket at `/socket` says "echo: " and what it
heard, where the framework has WebSockets.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

FRAMEWORKS = ("fastapi", "starlette", "django", "litestar", "quart", "raw", "flask")
NUMBERS = [f"{number}\n".encode() for number in range(1000)]


@dataclass
class Board:
    """An application, and what it knows."""

    framework: str
    app: Any
    scores: dict[str, int]

    @property
    def has_websockets(self) -> bool:
        return self.framework not in ("django", "flask")


@contextlib.contextmanager
def board(framework: str) -> Iterator[Board]:
    """The board of a framework, for as long as the block lasts."""
    scores = {"a": 0, "b": 0}
    with importlib.import_module(f"{__name__}.{framework}_board").application(scores) as app:
        yield Board(framework, app, scores)
