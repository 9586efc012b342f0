"""`watch` and `dev` beside a real node, as on two terminals."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from freshwire.client.sse import Parser

from tests.python.command import Running

Start = Callable[..., Running]


def test_watch_shows_the_whole_then_what_changed_and_ends_with_1_when_it_is_gone(start: Start) -> None:
    url = start("serve", "main:app", "--port", "0").url()
    watching = start("watch", f"{url}/fruits/apple")
    watching.line('"left": 3')
    httpx.post(f"{url}/fruits/apple/eaten")
    watching.line("left: 3 → 2")
    httpx.delete(f"{url}/fruits/apple")
    watching.line("404")
    assert watching.end() == 1


def test_watch_comes_back_to_a_node_that_was_started_again(start: Start) -> None:
    first = start("serve", "main:app", "--port", "0", "--drain-timeout", "0.1", "--set", "retry_max_ms=1000")
    url = first.url()
    watching = start("watch", f"{url}/fruits/apple", "--json", "--once", "3")
    watching.line('"left": 3')
    httpx.post(f"{url}/fruits/apple/eaten")
    watching.line('"left": 2')
    first.signal(15)
    assert first.end() == 0
    watching.line("again in")
    start("serve", "main:app", "--port", url.rsplit(":", 1)[1]).url()
    watching.line('"left": 3')
    assert watching.end() == 0


def test_watch_goes_on_from_a_position(start: Start) -> None:
    url = start("serve", "main:app", "--port", "0").url()
    first = start("watch", f"{url}/fruits/apple", "--json", "--once", "1")
    position = json.loads(first.line("position"))["position"]
    assert first.end() == 0
    second = start("watch", f"{url}/fruits/apple", "--json", "--once", "1", "--since", position)
    httpx.post(f"{url}/fruits/apple/eaten")
    assert json.loads(second.line("position"))["body"] == {"left": 2}
    assert second.end() == 0


class Source:
    """Follows a resource as an EventSource does: it connects again whenever the stream ends, and never gives up."""

    def __init__(self, url: str) -> None:
        self.bodies: list[str] = []
        self.errors: list[Exception] = []
        self._url = url
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        parser = Parser()
        while not self._ended.is_set():
            headers = {"accept": "text/event-stream", "last-event-id": parser.last_event_id}
            parser.resume(parser.last_event_id)
            try:
                with httpx.stream("GET", self._url, headers=headers, timeout=30) as stream:
                    assert stream.status_code == 200
                    for chunk in stream.iter_bytes():
                        for event in parser.feed(chunk):
                            with self._changed:
                                self.bodies.append(event.data)
                                self._changed.notify_all()
                        if self._ended.is_set():
                            return
            except Exception as error:
                self.errors.append(error)
            self._ended.wait((parser.retry_ms or 0) / 1000)

    def wait_for(self, body: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: body in self.bodies, 30), (body, self.bodies, self.errors)

    def close(self) -> None:
        self._ended.set()


@contextmanager
def hammer(url: str) -> Iterator[list[str]]:
    """Ask again and again, each time over a new connection; what went wrong."""
    wrong: list[str] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                answer = httpx.get(url, timeout=30)
                if answer.status_code != 200:
                    wrong.append(str(answer.status_code))
            except httpx.HTTPError as error:
                wrong.append(repr(error))

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    try:
        yield wrong
    finally:
        done.set()
        for thread in asking:
            thread.join()


def edit(application: Path, version: int) -> None:
    code = application.read_text().partition("# version")[0]
    application.write_text(
        f'{code}# version\n@app.get("/version")\n@fresh.tags("version")\nasync def version() -> int:\n'
        f"    return {version}\n"
    )


@pytest.fixture
def source() -> Iterator[Callable[[str], Source]]:
    opened: list[Source] = []

    def follow(url: str) -> Source:
        opened.append(Source(url))
        return opened[-1]

    yield follow
    for one in opened:
        one.close()


def test_dev_serves_each_version_and_no_request_or_watcher_is_lost(
    start: Start, application: Path, source: Callable[[str], Source]
) -> None:
    edit(application, 1)
    running = start("dev", "main:app", "--port", "0")
    url = running.url()
    sources = [source(f"{url}/version") for _ in range(10)]
    with hammer(f"{url}/version") as wrong:
        for version in (1, 2, 3):
            edit(application, version)
            for one in sources:
                one.wait_for(str(version))
    assert wrong == []
    for one in sources:
        assert [body for body in one.bodies if body in "123"] == sorted(one.bodies)
        assert one.errors == []
    for one in sources:
        one.close()
    running.signal(15)
    assert running.end() == 0


def test_dev_keeps_serving_over_a_syntax_error_and_takes_the_version_after_it(
    start: Start, application: Path, source: Callable[[str], Source]
) -> None:
    edit(application, 1)
    running = start("dev", "main:app", "--port", "0")
    url = running.url()
    one = source(f"{url}/version")
    one.wait_for("1")
    good = application.read_text()
    application.write_text(good + "def oops(:\n")
    running.line("SyntaxError")
    running.line("the version before it keeps serving")
    assert httpx.get(f"{url}/version").json() == 1
    application.write_text(good.replace("return 1", "return 2"))
    one.wait_for("2")
    assert one.errors == []
    assert one.bodies == ["1", "2"]
    one.close()
    running.signal(2)
    assert running.end() == 0


def test_dev_lets_a_request_that_runs_finish_with_the_old_code(start: Start, application: Path) -> None:
    running = start("dev", "main:app", "--port", "0", "--drain-timeout", "20")
    url = running.url()
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(httpx.get(f"{url}/slow/go", timeout=30).json()))
    asking.start()
    running.line("go has begun")
    edit(application, 2)
    running.line("main.py changed")
    (application.parent / "go").touch()
    asking.join(30)
    assert answers == ["done"]
    assert running.url() == url
    assert httpx.get(f"{url}/version", timeout=30).json() == 2
