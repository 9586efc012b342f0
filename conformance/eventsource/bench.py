"""Where a case runs: a node with the application, and a tab of Chromium at its page."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from freshwire.testing import LiveNode, node
from playwright.sync_api import Browser, Page, sync_playwright

from ..chromium import launch
from .application import Answer, Application

PATIENCE_S = 30.0
END = b"\n\ndata: the end\n\n"
"""Behind a stream that is judged: what was not dispatched before it never will be."""


@dataclass
class Bench:
    """What a case has."""

    application: Application
    live: LiveNode
    page: Page
    start: Callable[..., LiveNode]
    """Starts another node of the same application."""

    def stream(self, path: str, *answers: Answer) -> str:
        """Write the answers of a stream; returns its path."""
        self.application.streams[path] = list(answers)
        return path

    def listen(self, url: str, names: Sequence[str] = ("message",), *, credentials: bool = False) -> None:
        """Open an EventSource."""
        self.page.evaluate(
            "([url, names, withCredentials]) => void listen(url, names, {withCredentials})",
            [url, names, credentials],
        )

    def wait(self, condition: str) -> None:
        """Wait for a JavaScript expression to be true."""
        self.page.wait_for_function(condition, timeout=PATIENCE_S * 1000)

    def log(self) -> list[list[Any]]:
        """What the page has seen."""
        entries: list[list[Any]] = self.page.evaluate("log")
        return entries

    def events(
        self, *pieces: bytes, names: Sequence[str] = ("message",), content_type: str = ""
    ) -> list[list[Any]]:
        """The events that a stream of these pieces dispatches, each with type, data and last event id."""
        answer = Answer([*pieces, END], then="stays")
        if content_type:
            answer = Answer(answer.pieces, content_type=content_type, then="stays")
        self.listen(self.stream("/stream/judged", answer), names)
        self.wait("of('message').includes('the end') || source.readyState === 2")
        assert self.page.evaluate("source.readyState") == 1, "it was refused"
        seen = [entry for entry in self.log() if entry[0] not in ("open", "error")]
        assert seen.pop()[1] == "the end"
        return seen

    def fails(self, url: str, *, credentials: bool = False) -> None:
        """Open an EventSource that must fail for good: one error, closed, and no event."""
        self.listen(url, credentials=credentials)
        self.wait("log.length > 0")
        assert self.log() == [["error", 2]], self.log()

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that nobody announces."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, "it never happened"
            self.page.wait_for_timeout(20)


class Floor:
    """Chromium, for all cases."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    @contextlib.contextmanager
    def bench(self) -> Iterator[Bench]:
        """A bench of its own for a case: nothing is left of the case before."""
        application = Application()
        with contextlib.ExitStack() as stack:

            def start(**options: Any) -> LiveNode:
                return stack.enter_context(node(application, **options))

            live = start()
            context = self._browser.new_context()
            stack.callback(context.close)
            page = context.new_page()
            page.goto(f"{live.url}/page")
            yield Bench(application, live, page, start)


@contextlib.contextmanager
def floor() -> Iterator[Floor]:
    """Start Chromium."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        try:
            yield Floor(browser)
        finally:
            browser.close()


def version() -> str:
    """Chromium's."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        try:
            return str(browser.version)
        finally:
            browser.close()
