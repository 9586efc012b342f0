"""The unit tests of the client, in the runner of node: its parts, its size, and all of it with a `fetch` of our own."""

from __future__ import annotations

import subprocess

from .site import CLIENT


def test_they_pass() -> None:
    tests = sorted(str(path) for path in (CLIENT / "dist" / "test").glob("*.test.mjs"))
    assert len(tests) == 3, "`make client` builds them"
    ran = subprocess.run(["node", "--test", *tests], cwd=CLIENT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
