"""What is said to somebody who gets it wrong, and with which exit code."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.python.command import Cli, Running

Start = Callable[..., Running]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["main:app", "--workers", "2"], "more than one application process does not exist yet"),
        (["main:app", "--port", "99999"], "port = 99999 (from flag)"),
        (["main:app", "--port", "many"], "'--port'"),
        (["main:app", "--prot", "1"], "--port"),
        (["main:app", "--bind", "nowhere"], "'nowhere' is no address"),
        (["main:app", "--bind", "127.0.0.1:0", "--port", "1"], "not both"),
        (["main:app", "--host", "0.0.0.0", "--port", "0"], "--allow-host"),
        (["main:app", "--admin-socket", "127.0.0.1:9000"], "not offered on TCP"),
        (["main:app", "--set", "no_such=1"], "no_such"),
        (["main:app", "--set", "ws_max_size=1"], "max_message_bytes?"),
        (["main:app", "--log-level", "loud"], "loud"),
        (["main"], "did you mean main:app?"),
        ([], "main:app"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_to_do(cli: Cli, arguments: list[str], said: str) -> None:
    ended = cli("serve", *arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_a_node_starts_without_what_only_other_commands_need() -> None:
    code = (
        "import sys; sys.argv = ['freshwire', 'serve']\n"
        "from freshwire.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(sorted({'httpx', 'watchfiles', 'pydantic_settings'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("app = 1", "not an ASGI application"),
        ("application = lambda scope, receive, send: None", "no 'app'"),
        ("def broken(:", "SyntaxError"),
        ("import no_such_library", "no_such_library"),
        ("raise SystemExit(0)", "SystemExit"),
        ("from flask import Flask; app = Flask(__name__)", "a2wsgi"),
        ("def app(): return print", "--factory"),
    ],
)
def test_an_application_that_cannot_be_loaded_ends_with_3(
    cli: Cli, application: Path, code: str, said: str
) -> None:
    application.write_text(code)
    ended = cli("serve", "main:app", "--port", "0")
    assert ended.returncode == 3
    assert said in ended.stderr
    assert "serves" not in ended.stdout


def test_without_a_command_there_is_help_and_every_command_has_its_own(cli: Cli) -> None:
    assert all(command in cli().stdout for command in ("serve", "dev", "proxy", "watch", "bench", "config"))
    for command in ("serve", "dev", "proxy", "watch", "bench", "config"):
        ended = cli(command, "--help")
        assert ended.returncode == 0
        assert "Usage: " in ended.stdout
    shown = cli("serve", "--help").stdout
    flags = (
        "--host --port --workers --factory --app-dir --root-path --log-level --access-log --proxy-headers "
        "--forwarded-allow-ips --timeout-keep-alive --limit-concurrency --bind --max-connections-per-address "
        "--drain-timeout"
    )
    assert [flag for flag in flags.split() if flag not in shown] == []
    assert "--handover-fd" not in shown


def test_a_factory_under_a_root_path_in_another_directory(start: Start, place: Path) -> None:
    (place / "code").mkdir()
    (place / "main.py").rename(place / "code" / "service.py")
    options = ("--app-dir", "code", "--root-path", "/api", "--port", "0")
    url = start("serve", "service:make", "--factory", *options).url()
    assert httpx.get(f"{url}/where").json() == {
        "root_path": "/api",
        "path": "/api/where",
        "url": f"{url}/api/where",
    }


def test_an_inherited_descriptor_is_served(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        command = [
            sys.executable,
            "-m",
            "freshwire",
            "serve",
            "main:app",
            "--bind",
            f"fd://{listening.fileno()}",
        ]
        process = subprocess.Popen(
            command, pass_fds=[listening.fileno()], stdout=subprocess.PIPE, text=True, env=os.environ
        )
    # Whoever connects before it serves waits in the socket's queue.
    assert httpx.get(f"{url}/fruits/apple", timeout=30).json() == {"left": 3}
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    assert f"serves {url}/" in said
    assert process.returncode == 0


def test_ipv6_and_two_ports_are_served_and_said(start: Start) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    line = start("serve", "main:app", "--bind", "[::1]:0", "--bind", "127.0.0.1:0").line("serves")
    urls = line.split("serves ")[1].split(" (")[0].split(" and ")
    assert len(urls) == 2
    assert urls[0].startswith("http://[::1]:")
    for url in urls:
        assert httpx.get(f"{url}fruits/apple").json() == {"left": 3}


def test_the_environment_and_the_project_say_what_flags_do_not(
    cli: Cli, start: Start, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "pyproject.toml").write_text(
        '[tool.freshwire]\napp = "main:app"\nport = 1\nmax_fields = 20\naccess-log = true\n'
    )
    monkeypatch.setenv("FRESHWIRE_PORT", "0")
    monkeypatch.setenv("FRESHWIRE_MAX_FIELDS", "30")
    values = json.loads(cli("config", "--json", "--max-body", "7").stdout)
    said = {name: (values[name]["value"], values[name]["source"]) for name in values}
    assert said["app"] == ("main:app", "pyproject.toml")
    assert said["port"] == (0, "FRESHWIRE_PORT")
    assert said["max_fields"] == (30, "FRESHWIRE_MAX_FIELDS")
    assert said["access_log"] == (True, "pyproject.toml")
    assert said["max_body_bytes"] == (7, "flag")
    assert said["host"] == ("127.0.0.1", "default")
    assert all(values[name]["meaning"] for name in values)
    running = start("serve", "--max-body", "7")
    url = running.url()
    assert httpx.post(f"{url}/later", content=b"12345678").status_code == 413
    assert httpx.get(url, headers={f"x-{n}": "1" for n in range(30)}).status_code == 431
    running.line('"POST /later HTTP/1.1" 413')
