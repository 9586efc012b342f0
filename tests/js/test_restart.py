"""A node that is started again: another log, other positions, and caches that still have copies of the old one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.browser.conftest import Open
from tests.browser.restart import Start, restartable

from . import fronts
from .site import DIST, PAGE

APP = f"""
from pathlib import Path
from fastapi import FastAPI, Response
from fastapi.responses import FileResponse, HTMLResponse
from freshwire import Fresh

app, fresh = FastAPI(), Fresh()

@app.get("/page")
async def page() -> HTMLResponse:
    return HTMLResponse({PAGE!r})

@app.get("/dist/{{name}}")
async def dist(name: str) -> FileResponse:
    return FileResponse(Path({str(DIST)!r}) / name)

@app.get("/match")
@fresh.tags("match")
async def match(response: Response) -> int:
    response.headers["cache-control"] = "public, s-maxage=600"
    return int(Path("goals").read_text())

@app.post("/goal")
async def goal() -> None:
    Path("goals").write_text(str(1 + int(Path("goals").read_text())))
    await fresh.changed("match")
"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    options = ("retry_min_ms=20", "retry_max_ms=60", "watch_cycle_s=1", "drain_timeout_s=0.3")
    with restartable(tmp_path, monkeypatch, APP, *options) as start:
        yield start


@pytest.mark.parametrize(
    ("number", "transport", "front"),
    [
        (signal.SIGTERM, "sse", ""),
        (signal.SIGKILL, "websocket", ""),
        (signal.SIGKILL, "wait", "varnish"),
    ],
)
def test_it_comes_back_and_misses_nothing(
    start: Start, tab: Open, tmp_path: Path, number: int, transport: str, front: str
) -> None:
    first = start(0)
    node = url = first.url()
    port = int(node.rsplit(":", 1)[1])
    with ExitStack() as stack:
        if front:
            url = stack.enter_context(getattr(fronts, front)(tmp_path, port))
        page = tab(url)
        page.evaluate("(transport) => void follow('/match', {transports: [transport]})", transport)
        page.wait_for_function("last.status === 'live'")
        httpx.post(f"{node}/goal")
        page.wait_for_function("last.value === 1")
        first.signal(number)
        first.end()
        (tmp_path / "goals").write_text("7")  # while nobody serves
        start(port).url()
        page.wait_for_function("last.value === 7")
        httpx.post(f"{node}/goal")
        page.wait_for_function("last.value === 8 && last.status === 'live'")
        assert page.evaluate("of('change')") == [0, 1, 7, 8]
        assert page.evaluate("last.transport") == transport
        page.close()
