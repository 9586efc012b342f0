"""The example: with a script tag, and as a React page that is made with the package as npm would install it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from freshwire.testing import LiveNode

from tests.browser.conftest import Open
from tests.waiting import block_until

from .site import CLIENT

EXAMPLE = CLIENT / "examples" / "scoreboard"
MODULES = CLIENT / "node_modules"
ROWS = "[...document.querySelectorAll('li')].map((row) => row.textContent)"


@pytest.fixture
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scoreboard", EXAMPLE / "main.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def live(example: ModuleType, freshwire_node: Callable[..., LiveNode]) -> LiveNode:
    return freshwire_node(example.app, watch_cycle_s=1)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has installed the package, React beside it."""
    project = tmp_path_factory.mktemp("project")
    pack = ["npm", "pack", "--ignore-scripts", "--silent", "--pack-destination", str(project)]
    subprocess.run(pack, cwd=CLIENT, check=True, stdout=subprocess.DEVNULL)
    (archive,) = project.glob("*.tgz")
    with tarfile.open(archive) as packed:
        packed.extractall(project, filter="data")
    modules = project / "node_modules"
    modules.mkdir()
    (project / "package").rename(modules / "freshwire")
    for name in ("react", "react-dom", "scheduler", "@types", "csstype"):
        (modules / name).symlink_to(MODULES / name)
    return project


def test_the_page_with_a_script_tag_follows_what_changes(live: LiveNode, tab: Open) -> None:
    page = tab(live.url)  # any page, to have a tab
    page.goto(live.url)
    page.wait_for_function(f"{ROWS}.join() === 'Ada: 0,Grace: 0,Linus: 0'")
    page.click("li >> nth=1")
    page.wait_for_function(f"{ROWS}.join() === 'Ada: 0,Grace: 1,Linus: 0'")
    httpx.delete(f"{live.url}/scores/Ada")
    page.wait_for_function("document.querySelector('li').className === 'gone'")


def test_a_react_page_renders_what_the_hook_gives(
    example: ModuleType,
    live: LiveNode,
    tab: Open,
    package: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (package / "board.jsx").write_text((EXAMPLE / "board.jsx").read_text())
    esbuild = [str(MODULES / ".bin" / "esbuild"), "board.jsx", "--bundle", "--jsx=automatic"]
    subprocess.run(
        [*esbuild, f"--outfile={tmp_path / 'board.js'}", "--log-level=error"], cwd=package, check=True
    )
    monkeypatch.setattr(example, "DIST", tmp_path)
    page = tab(live.url)
    page.goto(f"{live.url}/?react=1")
    page.wait_for_function(f"{ROWS}.join() === 'Ada: 0,Grace: 0'")
    httpx.post(f"{live.url}/scores/Ada/point")
    page.wait_for_function(f"{ROWS}.join() === 'Ada: 1,Grace: 0'")
    httpx.delete(f"{live.url}/scores/Grace")
    page.wait_for_function(f"{ROWS}.join() === 'Ada: 1,Grace has left (404)'")
    page.click("button")
    page.wait_for_function(f"{ROWS}.join() === 'Linus: 0'")
    httpx.post(f"{live.url}/scores/Linus/point")
    page.wait_for_function(f"{ROWS}.join() === 'Linus: 1'")
    block_until(lambda: live.stats()["watchers"] == 1)


def test_the_package_has_types_and_nothing_that_runs_when_it_is_installed(package: Path) -> None:
    (package / "use.tsx").write_text(
        """
        import { watch, type Gone } from "freshwire";
        import { useFresh } from "freshwire/react";
        interface Score { points: number }
        const score = watch<Score>("/scores/Ada", { signal: new AbortController().signal });
        score.addEventListener("change", ({ detail }) => detail.points.toFixed());
        score.addEventListener("gone", ({ detail }) => detail.status?.toFixed());
        export async function first(): Promise<Score | undefined> {
          for await (const value of score) return value;
        }
        export const isGone = (error: Error): error is Gone => error.name === "Gone";
        export const Points = () => <b>{useFresh<Score>("/scores/Ada").value?.points}</b>;
        // @ts-expect-error: there is no such option
        watch("/x", { interval: 1 });
        """
    )
    options = {
        "strict": True,
        "noEmit": True,
        "jsx": "react-jsx",
        "target": "es2022",
        "module": "nodenext",
        "types": [],
    }
    (package / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "include": ["use.tsx"]}))
    tsc = subprocess.run(
        [str(MODULES / ".bin" / "tsc"), "-p", "."], cwd=package, capture_output=True, text=True
    )
    assert tsc.returncode == 0, tsc.stdout
    manifest = json.loads((package / "node_modules" / "freshwire" / "package.json").read_text())
    assert "dependencies" not in manifest
    assert not {"preinstall", "install", "postinstall"} & set(manifest["scripts"])


def test_the_module_can_be_imported_where_there_is_no_browser(package: Path) -> None:
    script = "import('freshwire').then(({watch}) => console.log(typeof watch))"
    said = subprocess.run(
        ["node", "-e", script], cwd=package, capture_output=True, text=True, env=dict(os.environ)
    )
    assert said.stdout == "function\n", said.stderr
