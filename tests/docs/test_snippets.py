"""Runs every snippet of the README and of docs/, so that what they show is what happens.

A page is read from top to bottom, in an empty directory of its own. What a fenced block does depends on its
language:

``python``   is executed in the page's scope, one for all its blocks. When it binds `app`, the page's node
             serves that.
``console``  `$ ` begins a command, the lines below it are its output; `...` stands for any text, and as a
             line for any lines or none. A command ends with exit code 0 and exactly this output. One whose output ends
             in a line `...` is left running, and a block without any `$ ` is what that command prints next.
             `freshwire serve`, `dev` and `proxy` become the page's node. `$ADMIN_SOCKET` is the admin socket
             of a node that a `python` block started.
``js``       runs in a tab of headless Chromium at the node's `/`; `until(condition)` waits there.
``text``     is shown and not run.
``toml``     must parse.
``sh``       is for the reader's own machine: its syntax is checked, and `make` has each target that it
             names.

A block whose first line is a comment with a file name (`# main.py`, `<!-- index.html -->`) is saved under
that name instead. A block inside an HTML comment (`<!-- js` to `-->`) is one that only this test sees.
`127.0.0.1:8000` stands for the page's node, wherever it is, and `127.0.0.1:3000` for the application that
`freshwire proxy` stands before; $PORT is its port.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PATIENCE_S = 30.0
WRITTEN_ADDRESS, WRITTEN_UPSTREAM = "127.0.0.1:8000", "127.0.0.1:3000"

FENCE = re.compile(r"^(?P<open>```|<!-- )(?P<language>\w+)\n(?P<text>.*?)^(?:```|-->)$", re.M | re.S)
FILE_NAME = re.compile(r"(?:# |// |<!-- )(?P<name>[\w./-]+\.\w+)(?: -->)?\n")


@dataclass
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found["language"], found["text"])
        for found in FENCE.finditer(text)
    ]


def pattern(expected: str) -> str:
    """The regular expression for an expected output: `...` is any text, and a line of it any lines or none."""
    return "".join(
        r"(?:.*\n)*?" if line == "...\n" else re.escape(line).replace(re.escape("..."), "(?s:.*?)")
        for line in expected.splitlines(keepends=True)
    )


@dataclass
class Command:
    """A running command and what it has printed."""

    process: subprocess.Popen[str]
    output: str = ""
    seen: int = 0
    more: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self.more:
                self.output += line.rstrip() + "\n"
                self.more.notify()
        with self.more:
            self.process.wait()
            self.more.notify()

    def prints(self, expected: str) -> bool:
        """Wait until it has printed this next."""
        wanted = re.compile(pattern(expected.rstrip().removesuffix("...")))

        def match() -> re.Match[str] | None:
            return wanted.match(self.output, self.seen)

        with self.more:
            self.more.wait_for(lambda: match() or self.process.returncode is not None, PATIENCE_S)
            if found := match():
                self.seen = found.end()
            return found is not None

    def ends_with(self, expected: str) -> bool:
        """Wait until it has ended well, having printed this and nothing else."""
        self.process.wait(PATIENCE_S)
        self.reader.join(PATIENCE_S)
        return self.process.returncode == 0 and bool(re.fullmatch(pattern(expected), self.output))

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Reader:
    """Somebody who follows a page to the letter."""

    def __init__(self, directory: Path, open_things: contextlib.ExitStack) -> None:
        self.directory = directory
        self.open_things = open_things
        self.scope: dict[str, Any] = {"__name__": "page"}
        self.admin_socket = ""
        self.node = contextlib.ExitStack()
        self.open_things.enter_context(self.node)
        self.address = WRITTEN_ADDRESS
        self.upstream_port = free_port()
        self.running: Command | None = None
        self.tab: Callable[[str], Any] | None = None

    def here(self, text: str) -> str:
        """The text with the node's real address."""
        text = text.replace(WRITTEN_ADDRESS, self.address)
        return text.replace(WRITTEN_UPSTREAM, f"127.0.0.1:{self.upstream_port}")

    def follow(self, block: Block) -> None:
        named = FILE_NAME.match(block.text)
        if named:
            path = self.directory / named["name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.here(block.text))
        else:
            getattr(self, f"do_{block.language}")(block)

    def do_text(self, block: Block) -> None:
        pass

    def do_toml(self, block: Block) -> None:
        tomllib.loads(block.text)

    def do_sh(self, block: Block) -> None:
        subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
        for target in re.findall(r"^make (\w+)", block.text, re.M):
            subprocess.run(["make", "-n", target], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)

    def do_python(self, block: Block) -> None:
        app = self.scope.get("app")
        source = "\n" * block.line + self.here(block.text)
        exec(compile(source, str(block.page), "exec"), self.scope)
        if self.scope.get("app") is not app:
            import freshwire.testing

            self.node.close()
            node = self.node.enter_context(freshwire.testing.node(self.scope["app"]))
            self.admin_socket = str(node.admin_socket)
            self.address = node.url.removeprefix("http://")

    def do_console(self, block: Block) -> None:
        before, *commands = re.split(r"^\$ ", block.text, flags=re.M)
        if before:
            assert self.running, "nothing was left running"
            assert self.running.prints(self.here(before)), f"it printed:\n{self.running.output}"
        for text in commands:
            command, expected = self.command_and_output(text)
            if re.match(r"freshwire (serve|dev|proxy)\b", command):
                self.serve(command, expected)
                continue
            started = self.start(self.here(command))
            if f"\n{expected}".endswith("\n...\n"):
                self.running = started
                fine = started.prints(self.here(expected))
            else:
                fine = started.ends_with(self.here(expected))
            assert fine, f"$ {command}\nprinted:\n{started.output}"

    @staticmethod
    def command_and_output(text: str) -> tuple[str, str]:
        """Split after the command, which a backslash continues."""
        lines = text.splitlines(keepends=True)
        last = next(i for i, line in enumerate(lines) if not line.endswith("\\\n"))
        return "".join(lines[: last + 1]).rstrip(), "".join(
            line.rstrip() + "\n" for line in lines[last + 1 :]
        )

    def start(self, command: str) -> Command:
        binaries = str(Path(sys.executable).parent)
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}" if re.match(r"curl|freshwire", command) else command],
            cwd=self.directory,
            env={
                **os.environ,
                "PATH": f"{binaries}:{os.environ['PATH']}",
                "NO_COLOR": "1",
                "COLUMNS": "100",
                "ADMIN_SOCKET": self.admin_socket,
                "PORT": str(self.upstream_port),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started = Command(process)
        self.open_things.callback(started.end)
        return started

    def serve(self, command: str, expected: str) -> None:
        """Start the page's node from the command line."""
        self.node.close()
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        node = self.start(f"{self.here(command)} --port {port}")
        self.node.callback(node.end)
        assert node.prints(self.here(expected)), f"$ {command}\nprinted:\n{node.output}"
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                return
            assert node.process.poll() is None, node.output
            assert time.monotonic() < deadline, node.output
            time.sleep(0.05)

    def do_js(self, block: Block) -> None:
        if self.tab is None:
            self.tab = self.open_things.enter_context(tab(f"http://{self.address}/"))
        self.tab(self.here(block.text))


UNTIL = """
    self.until = async (condition) => {
        const end = Date.now() + PATIENCE_MS;
        while (!condition()) {
            if (Date.now() > end) throw new Error(`never: ${condition}`);
            await new Promise((resolve) => setTimeout(resolve, 20));
        }
    };
""".replace("PATIENCE_MS", str(int(PATIENCE_S * 1000)))


@contextlib.contextmanager
def tab(url: str) -> Iterator[Callable[[str], Any]]:
    """A browser's tab that runs JavaScript; in a thread of its own, for playwright's event loop."""
    from playwright.sync_api import sync_playwright

    from conformance.chromium import launch

    def open_tab(stack: contextlib.ExitStack) -> Any:
        chromium = launch(stack.enter_context(sync_playwright()))
        stack.callback(chromium.close)
        page = chromium.new_page()
        page.add_init_script(UNTIL)
        page.goto(url)
        return page

    with ThreadPoolExecutor(1) as thread:
        stack = contextlib.ExitStack()
        try:
            page = thread.submit(open_tab, stack).result()
            yield lambda code: thread.submit(page.evaluate, f"async () => {{ {code} }}").result()
        finally:
            thread.submit(stack.close).result()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_snippet_of_a_page_does_what_it_shows(page: Path, tmp_path: Path) -> None:
    with contextlib.ExitStack() as open_things:
        reader = Reader(tmp_path, open_things)
        for block in blocks(page):
            try:
                reader.follow(block)
            except Exception as error:
                error.add_note(f"in the block at {block.place}")
                raise


def option_row(name: str, default: object, meaning: str) -> str:
    """The line of docs/options.md about an option."""
    shown = "none" if default in ([], "") else default if isinstance(default, str) else json.dumps(default)
    return f"| `{name}` | {shown} | {meaning} |".replace("<", r"\<")


def test_every_option_is_explained_as_freshwire_config_does() -> None:
    from freshwire import config

    expected = [
        option_row(name, option.default, option.description or "")
        for name, option in config.model().model_fields.items()
    ]
    rows = re.findall(r"^\| `[a-z_]+` \|.*$", (ROOT / "docs" / "options.md").read_text(), re.M)
    assert sorted(rows) == sorted(expected)


def test_every_fence_names_its_language() -> None:
    for page in PAGES:
        fences = len(re.findall(r"^ *```", page.read_text(), re.M))
        assert fences == 2 * sum(found["open"] == "```" for found in FENCE.finditer(page.read_text())), (
            page.name
        )


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
