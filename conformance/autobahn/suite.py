"""Where the suite comes from: it runs on CPython 2.7 only, in a virtualenv of its own beside this one's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from conformance.verdict import CannotRunError

VERSION = "25.10.1"
VIRTUALENV = "20.21.1"
"""The last virtualenv that makes environments for 2.7."""
HOME = Path(sys.prefix) / ".autobahn"
WSTEST = HOME / "suite" / "bin" / "wstest"
MISSING = """autobahn: CPython 2.7 is needed and was not found. Any of these gives one:
  apt-get install python2.7      on Debian up to 11 and Ubuntu up to 22.04
  pyenv install 2.7.18           elsewhere; it builds from source
  PYTHON27=/path/to/python2.7    if it is neither on PATH nor pyenv's"""


def install() -> Path:
    """Install the suite if it is not there; returns its command. Raises CannotRunError."""
    stamp = HOME / f"{VERSION}.installed"
    if stamp.exists() and WSTEST.exists():
        return WSTEST
    python = _python27()
    shutil.rmtree(HOME, ignore_errors=True)
    maker = HOME / "maker"
    _run(sys.executable, "-m", "venv", str(maker))
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(str(maker / "bin" / "python"), *pip, f"virtualenv=={VIRTUALENV}")
    suite = WSTEST.parent.parent
    _run(str(maker / "bin" / "virtualenv"), "--quiet", "--python", python, str(suite))
    _run(str(suite / "bin" / "python"), *pip, f"autobahntestsuite=={VERSION}")
    stamp.touch()
    return WSTEST


def _python27() -> str:
    """A CPython 2.7 that works; a pyenv shim may exist without one behind it. Raises CannotRunError."""
    probe = "import sys, ssl; sys.exit(sys.version_info[:2] != (2, 7))"
    for candidate in _candidates():
        try:
            if subprocess.run([candidate, "-c", probe], capture_output=True).returncode == 0:
                return candidate
        except OSError:
            continue
    raise CannotRunError(MISSING)


def _candidates() -> Iterator[str]:
    if named := os.environ.get("PYTHON27"):
        yield named
    yield "python2.7"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from map(str, sorted((pyenv / "versions").glob("2.7*/bin/python2.7")))


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""})
    if done.returncode != 0:
        raise CannotRunError(f"autobahn: {' '.join(words)} failed:\n{done.stdout}{done.stderr}")
