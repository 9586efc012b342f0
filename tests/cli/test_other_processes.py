"""Changes from a management command, a task worker, a shell."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from freshwire import admin
from freshwire.testing.watch import Watch, events

from tests.python.command import Running

Start = Callable[..., Running]

CHANGE = """
import asyncio
from freshwire import Fresh
print(asyncio.run(Fresh().changed("fruit:apple")))
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run another process in the same directory."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("how", ["same directory", "variable", "project"])
def test_another_process_finds_the_node_and_its_change_is_pushed(
    start: Start, place: Path, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    somewhere = str(tmp_path / "node.sock")
    if how == "project":
        (place / "pyproject.toml").write_text(f'[tool.freshwire]\nadmin_socket = "{somewhere}"\n')
    arguments = ["--admin-socket", somewhere] if how == "variable" else []
    url = start("serve", "main:app", "--port", "0", *arguments).url()
    with Watch(events("sse", f"{url}/fruits/apple", {})) as watch:
        before = watch.next()
        reads = admin_get(somewhere if arguments or how == "project" else None)["rereads"]
        told = run(CHANGE, **({"FRESHWIRE_ADMIN_SOCKET": somewhere} if how == "variable" else {}))
        assert told.returncode == 0, told.stderr
        epoch, offset = told.stdout.strip().split("-")
        assert before.position.startswith(epoch)
        assert int(offset) > int(before.position.rsplit("-", 1)[1])
        httpx.post(f"{url}/fruits/apple/eaten")
        assert watch.next().json() == {"left": 2}
        assert admin_get(somewhere if arguments or how == "project" else None)["rereads"] >= reads + 2


def admin_get(path: str | None) -> dict[str, int]:
    transport = httpx.HTTPTransport(uds=path or str(admin.default_path()))
    with httpx.Client(transport=transport, base_url="http://node") as http:
        figures: dict[str, int] = http.get("/stats").json()
        return figures


def test_without_a_node_the_error_says_where_it_was_looked_for_and_what_to_do() -> None:
    told = run(CHANGE)
    assert told.returncode == 1
    assert "NodeUnreachable" in told.stderr
    assert str(admin.default_path()) in told.stderr
    assert "freshwire serve" in told.stderr
    assert run(CHANGE, FRESHWIRE_ADMIN_SOCKET="off").returncode == 0


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_a_shell_can_say_it_with_curl_and_read_the_figures(start: Start) -> None:
    running = start("serve", "main:app", "--port", "0")
    url = running.url()
    httpx.get(f"{url}/fruits/apple")
    path = str(admin.default_path())
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600

    def curl(*arguments: str) -> str:
        command = ["curl", "-sS", "--unix-socket", path, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    position = curl(
        "http://node/changes", "-H", "Content-Type: application/json", "-d", '{"tags": ["fruit:apple"]}'
    )
    assert "position" in position
    assert "hit" not in httpx.get(f"{url}/fruits/apple").headers["cache-status"]
    assert '"watchers":0' in curl("http://node/stats").replace(" ", "")
    assert "# TYPE" in curl("http://node/metrics")


def test_a_process_that_the_application_starts_finds_the_node_from_anywhere(
    start: Start, application: Path
) -> None:
    application.write_text(
        application.read_text()
        + f"""
@app.post("/work")
async def work() -> str:
    import sys
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", {CHANGE!r}, cwd="/", stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return said.decode().strip()
"""
    )
    url = start("serve", "main:app", "--port", "0").url()
    epoch = httpx.get(f"{url}/fruits/apple").headers["fresh-position"].split("-")[0]
    assert httpx.post(f"{url}/work", timeout=30).json().startswith(epoch)
