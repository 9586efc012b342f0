from __future__ import annotations

import http.server
import json
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from freshwire.client import follow

from tests.ports import free_port

from .command import Cli, Running


class Streams:
    """An HTTP server that answers one prepared response after the other, and keeps the requests."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str, bytes]] = []
        self.requests: list[dict[str, str]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append({name.lower(): value for name, value in self.headers.items()})
                status, kind, body = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                self.send_response(status)
                self.send_header("content-type", kind)
                if status == 307:
                    self.send_header("location", "/elsewhere")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/matches/7"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def stream(self, *events: tuple[str, Any], then: bytes = b"") -> None:
        body = b"retry: 1\n" + b"".join(
            b"id: %s\ndata: %s\n\n"
            % (position.encode(), data.encode() if isinstance(data, str) else json.dumps(data).encode())
            for position, data in events
        )
        self.answers.append((200, "text/event-stream", body + then))


@pytest.fixture
def streams() -> Iterator[Streams]:
    made = Streams()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_the_first_representation_is_shown_whole_and_then_what_changed(streams: Streams, cli: Cli) -> None:
    streams.stream(("e-1", {"home": 0, "away": 0}), ("e-2", {"home": 1, "away": 0}))
    ended = cli("watch", streams.url, "--once", "2")
    assert ended.returncode == 0
    lines = ended.stdout.splitlines()
    assert lines[0].endswith("e-1")
    assert '    "home": 0,' in lines
    assert lines[-2].endswith("e-2")
    assert lines[-1] == "  home: 0 → 1"


def test_with_json_each_representation_is_a_line(streams: Streams, cli: Cli) -> None:
    streams.stream(("e-1", {"home": 0}), ("e-2", "plain text"))
    lines = cli("watch", streams.url, "--json", "--once", "2").stdout.splitlines()
    assert list(map(json.loads, lines)) == [
        {"position": "e-1", "body": {"home": 0}},
        {"position": "e-2", "body": "plain text"},
    ]


def test_it_comes_back_with_its_position_and_its_headers(streams: Streams, cli: Cli) -> None:
    streams.stream(("e-1", 1))
    streams.answers.append((503, "application/problem+json", b'{"status": 503, "title": "Draining"}'))
    streams.stream(("e-2", 2))
    ended = cli("watch", streams.url, "--json", "--once", "2", "-H", "Authorization: Bearer x")
    assert [json.loads(line)["body"] for line in ended.stdout.splitlines()] == [1, 2]
    assert [request.get("last-event-id") for request in streams.requests] == [None, "e-1", "e-1"]
    assert {request["authorization"] for request in streams.requests} == {"Bearer x"}
    assert {request["accept"] for request in streams.requests} == {"text/event-stream"}
    assert "Draining" in ended.stderr


def test_gone_ends_it_with_1_and_the_status(streams: Streams, cli: Cli) -> None:
    gone = b'event: gone\ndata: {"status": 404, "title": "Not Found", "detail": "no such match"}\n\n'
    streams.stream(("e-1", 1), then=gone)
    ended = cli("watch", streams.url)
    assert ended.returncode == 1
    assert "ended with 404: no such match" in ended.stderr


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((404, "application/problem+json", b'{"status": 404, "title": "Not Found"}'), "404: Not Found"),
        ((503, "text/plain", b"down"), "503"),
        ((307, "text/plain", b""), "it redirects to /elsewhere"),
        ((200, "application/json", b"{}"), "answers with application/json, not with an event stream"),
    ],
)
def test_an_answer_that_is_no_event_stream_is_said_at_once(
    streams: Streams, cli: Cli, answer: tuple[int, str, bytes], text: str
) -> None:
    streams.answers.append(answer)
    ended = cli("watch", streams.url)
    assert ended.returncode == 1
    assert text in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_refused_connection_is_said_at_once(cli: Cli) -> None:
    ended = cli("watch", f"http://127.0.0.1:{free_port()}/")
    assert ended.returncode == 1
    assert "cannot be reached" in ended.stderr


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["ftp://a/"], ["http://"], ["http://a:b/"], ["http://a/", "-H", "x"]]
)
def test_wrong_usage_ends_with_2(cli: Cli, arguments: list[str]) -> None:
    ended = cli("watch", *arguments)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


def test_what_the_server_sends_cannot_steer_the_terminal(streams: Streams, cli: Cli) -> None:
    streams.stream(("e-\x1b[2J", "plain \x1b]0;title\x07"))
    assert "\x1b" not in cli("watch", streams.url, "--once", "1").stdout


def test_interrupting_it_ends_with_0(streams: Streams, start: Callable[..., Running]) -> None:
    streams.stream(("e-1", 1))
    running = start("watch", streams.url, "--json")
    running.line("e-1")
    running.signal(signal.SIGINT)
    assert running.end() == 0


def test_pauses_grow_with_failures_stay_bounded_and_never_line_up() -> None:
    for failures in range(40):
        assert 0 < follow.pause(failures, 1000) <= follow.MAX_PAUSE_S
    assert follow.pause(0, 0) == 0
    assert len({follow.pause(3, 1000) for _ in range(10)}) > 1
