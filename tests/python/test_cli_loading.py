from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from freshwire import LoadError, OptionError
from freshwire.cli.loading import explain, load, parse

from .command import Cli

MODULE = """
async def app(scope, receive, send): ...

class Space:
    inner = app

def make():
    return app

def broken():
    raise RuntimeError("no database")

class Flask:
    wsgi_app = None
    def __call__(self, environ, start_response): ...

flask = Flask()
number = 7
"""


@pytest.fixture(autouse=True)
def module(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (place / "loadable.py").write_text(MODULE)
    (place / "raising.py").write_text("import loadable\nraise ValueError('at import')\n")
    (place / "needing.py").write_text("import nothing_like_it\n")
    monkeypatch.setattr(sys, "path", [str(place), *sys.path])
    yield
    for name in ("loadable", "raising", "needing"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("text", "factory"), [("loadable:app", False), ("loadable:Space.inner", False), ("loadable:make", True)]
)
def test_an_application_is_found(text: str, factory: bool) -> None:
    assert load(text, factory=factory).__name__ == "app"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "say which application"),
        ("main", "main:app"),
        ("main:", "main:app"),
        (":app", "main:app"),
        ("main.py", "main:app"),
        ("./src/main.py:api", "src.main:api"),
    ],
)
def test_text_that_is_no_application_is_wrong_usage_with_what_was_meant(text: str, hint: str) -> None:
    with pytest.raises(OptionError, match=hint):
        parse(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nothing_here:app", "no module 'nothing_here'"),
        ("loadable:nope", "'loadable' has no 'nope'"),
        ("loadable:Space.nope", "has no 'Space.nope'"),
        ("loadable:number", "is a int, not an ASGI application"),
        ("loadable:flask", "a2wsgi"),
        ("loadable:make", "add --factory"),
    ],
)
def test_what_is_not_there_or_no_application_is_named(text: str, reason: str) -> None:
    with pytest.raises(LoadError, match=reason):
        load(text)


@pytest.mark.parametrize(
    ("text", "factory", "line"),
    [
        ("raising:app", False, "raise ValueError('at import')"),
        ("needing:app", False, "import nothing_like_it"),
        ("loadable:broken", True, 'raise RuntimeError("no database")'),
    ],
)
def test_what_the_applications_code_raises_is_shown_with_its_lines_and_none_of_ours(
    text: str, factory: bool, line: str
) -> None:
    with pytest.raises(LoadError) as failed:
        load(text, factory=factory)
    shown = explain(failed.value, "load")
    assert line in shown
    assert "loading.py" not in shown
    assert "importlib" not in shown
    assert shown.splitlines()[-1].startswith("cannot load the application")


@pytest.mark.parametrize(
    "arguments", [["raising:app"], ["nothing_here:app"], ["loadable:nope"], ["loadable:broken", "--factory"]]
)
def test_the_command_ends_with_3_when_the_application_cannot_be_loaded(
    cli: Cli, arguments: list[str]
) -> None:
    ended = cli("serve", *arguments, "--port", "0")
    assert ended.returncode == 3
    assert "cannot load the application" in ended.stderr


def test_another_directory_is_imported_from_with_app_dir(cli: Cli, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "far.py").write_text("raise ValueError('far away')")
    assert "far away" in cli("serve", "far:app", "--app-dir", str(elsewhere)).stderr
