"""`freshwire proxy` as an operator has it: how it starts, what it says, how it ends."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import Callable

import pytest
from freshwire.testing import proxy

from tests.proxy.upstream import Client, Request, ask, read_body, response, upstream
from tests.python.command import Cli, Running
from tests.python.conftest import cli, place, start  # noqa: F401 - fixtures
from tests.waiting import block_until

Start = Callable[..., Running]


def started(start: Start, *arguments: str) -> tuple[Running, str]:  # noqa: F811 - a fixture
    running = start("proxy", *arguments, "--port", "0", "--allow-host", "*")
    return running, running.line("proxies").split(" at ")[1].split()[0].rstrip("/")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "freshwire proxy http://127.0.0.1:3000"),
        (["https://a.example"], "TLS, which is not supported yet"),
        (["127.0.0.1:3000"], "http://127.0.0.1:3000?"),
        (["unix:app.sock"], "unix:/run/app.sock"),
        (["http://a", "--upstream-host", "a b"], "upstream_host"),
        (["http://a", "--health-path", "well"], "upstream_health_path"),
        (["http://a", "--max-upstream-connections", "0"], "max_upstream_connections"),
        (["http://a", "--connect-timeout", "0"], "upstream_connect_timeout_s"),
        (["http://a", "--bind", "0.0.0.0:0"], "--allow-host"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_do(cli: Cli, arguments: list[str], said: str) -> None:  # noqa: F811
    ended = cli("proxy", *arguments, *([] if "--bind" in arguments else ["--port", "0"]))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr


def test_flags_of_an_application_in_python_are_not_there(cli: Cli) -> None:  # noqa: F811
    shown = cli("proxy", "--help").stdout
    assert "--upstream-host" in shown
    assert "--admin-socket" in shown
    assert not any(flag in shown for flag in ("--factory", "--lifespan", "--root-path", "--app-dir"))


def test_it_says_where_it_is_and_when_an_upstream_goes_and_comes(start: Start) -> None:  # noqa: F811
    with upstream() as up:
        port = int(up.url.rsplit(":", 1)[1])
        running, url = started(start, up.url, "--access-log")
        assert ask(url, "POST", "/x").status == 200
        assert '"POST /x HTTP/1.1" 200' in running.line("POST /x")
    assert ask(url, "POST", "/x").status == 502
    assert "WARNING" in running.line(f"the upstream {up.url} cannot be reached: Connection refused")
    with upstream(port=port):
        assert ask(url, "POST", "/x").status == 200
        running.line(f"the upstream {up.url} can be reached again")
    running.signal(signal.SIGTERM)
    assert running.end() == 0


def test_a_drain_lets_what_is_under_way_finish(start: Start) -> None:  # noqa: F811
    go_on = threading.Event()

    async def slow(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = await read_body(request, reader)
        await asyncio.to_thread(go_on.wait)
        writer.write(response("200 OK", body))

    with upstream(slow) as up:
        running, url = started(start, up.url)
        with Client(url) as client:
            client.ask("POST", "/", "Content-Length: 3", body=b"abc")
            block_until(lambda: len(up.requests) == 1)
            running.signal(signal.SIGTERM)
            block_until(lambda: refuses(url))
            go_on.set()
            answer = client.answer()
            assert (answer.body, answer.get("connection")) == (b"abc", "close")
        assert running.end() == 0


def test_a_second_signal_ends_everything_at_once(start: Start) -> None:  # noqa: F811
    async def never(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    with upstream(never) as up:
        running, url = started(start, up.url)
        with Client(url) as client:
            client.ask("GET", "/")
            block_until(lambda: len(up.requests) == 1)
            running.signal(signal.SIGTERM)
            block_until(lambda: refuses(url))
            running.signal(signal.SIGTERM)
            assert running.end() == 0
        block_until(lambda: up.open == 0)


def refuses(url: str) -> bool:
    try:
        Client(url).__exit__()
    except ConnectionRefusedError:
        return True
    return False


def test_caches_in_front_are_purged_of_what_an_upstream_says_has_changed() -> None:
    purged: list[dict[str, object]] = []

    async def hook(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        purged.append(json.loads(await read_body(request, reader)))
        writer.write(response("204 No Content"))

    async def writes(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response("200 OK", b"", 'Cache-Group-Invalidation: "a", "b"'))

    with (
        upstream(hook) as cache,
        upstream(writes) as up,
        proxy(up.url, allow_hosts=["*"], purge=[f"webhook={cache.url}/purge"], tag_key="k" * 32) as live,
    ):
        assert ask(live.url, "POST", "/x").status == 200
        block_until(lambda: len(purged) == 1)
        tags = purged[0]["tags"]
        assert isinstance(tags, list)
        assert {"a", "b"} <= set(tags)
