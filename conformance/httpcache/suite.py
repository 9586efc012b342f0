"""Where the suite comes from, and the caches that it is run against."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.http1.starter import Starter
from conformance.verdict import CannotRunError
from tests.ports import free_port

HERE = Path(__file__).resolve().parent
PACKAGE = HERE / "node_modules" / "http-cache-tests"
NODE_MIN = 18
RUN_S = 300
"""How long one run may take at most; 20 s is usual."""


@dataclass(frozen=True)
class Result:
    """What the suite says of one test."""

    kind: str
    """`required` by the RFC; `optimal` in a cache that does all it may; `check`: there is no right answer."""
    passed: bool
    detail: str


def install() -> Path:
    """The suite's folder, installed by npm if it is not there. Raises CannotRunError."""
    node = shutil.which("node")
    if not node or not shutil.which("npm"):
        raise CannotRunError("httpcache: not installed: apt-get install nodejs npm")
    found = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(found.removeprefix("v").partition(".")[0]) < NODE_MIN:
        raise CannotRunError(f"httpcache: Node {NODE_MIN} or newer is needed, and this is {found}")
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]["http-cache-tests"]
    if version(PACKAGE) != wanted:
        words = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run([*words, "--prefix", str(HERE)], capture_output=True, text=True, cwd=HERE)
        if done.returncode:
            raise CannotRunError(f"httpcache: npm could not install the suite:\n{done.stderr[-2000:]}")
    return PACKAGE


def version(suite: Path) -> str:
    """The version of the suite that is there."""
    with contextlib.suppress(OSError):
        return str(json.loads((suite / "package.json").read_text())["version"])
    return ""


class Bench:
    """Servers in a row, each before the one that was started before it; all end with the `with`."""

    def __init__(self, stack: contextlib.ExitStack, suite: Path) -> None:
        self._stack, self._suite = stack, suite
        self.port = self._origin()

    def _starter(self, name: str) -> Starter:
        directory = self._stack.enter_context(tempfile.TemporaryDirectory(prefix=f"httpcache-{name}-"))
        return Starter(self._stack, Path(directory), name)

    def _origin(self) -> int:
        """The suite's own server."""
        port = free_port()
        start = self._starter("origin")
        newer = self._suite / "test-engine" / "server" / "server.mjs"
        server = newer if newer.exists() else self._suite / "server" / "server.mjs"
        settings = {"protocol": "http", "port": port, "pidfile": start.directory / "origin.pid"}
        words = ["env", *(f"npm_config_{name}={value}" for name, value in settings.items())]
        start.run([*words, "node", "--no-warnings", str(server)], port)
        return port

    def freshwire(self) -> None:
        """`freshwire proxy` with its defaults."""
        port = free_port()
        words = [sys.executable, "-m", "freshwire", "proxy", f"http://127.0.0.1:{self.port}"]
        settings = ["--port", str(port), "--admin-socket", "off", "--drain-timeout", "0"]
        self._starter("freshwire").run([*words, *settings], port)
        self.port = port

    def nginx(self) -> None:
        """nginx as a cache, with what it does not do by itself turned on."""
        port, start = free_port(), self._starter("nginx")
        here = start.directory
        temporary = "".join(
            f"  {kind}_temp_path {here}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
        config = f"""
{user} daemon off; worker_processes 1; pid {here}/nginx.pid; error_log {here}/nginx.log;
events {{}}
http {{
{temporary}  access_log off;
  proxy_cache_path {here}/cache keys_zone=pages:8m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{self.port};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Connection "";
      proxy_cache pages;
      proxy_cache_revalidate on;
    }}
  }}
}}
"""
        start.run(["nginx", "-c", start.file("nginx.conf", config), "-e", f"{here}/nginx.log"], port)
        self.port = port

    def varnish(self) -> None:
        """Varnish with its built-in rules, which alone would keep for two minutes what says no lifetime."""
        port, start = free_port(), self._starter("varnish")
        vcl = f'vcl 4.1;\nbackend default {{ .host = "127.0.0.1"; .port = "{self.port}"; }}\n'
        words = ["varnishd", "-F", "-j", "none", "-n", str(start.directory / "varnish")]
        words += ["-a", f"127.0.0.1:{port}", "-f", start.file("front.vcl", vcl)]
        words += ["-s", "malloc,16m", "-t", "0", "-p", "default_grace=0"]
        start.run(words, port)
        self.port = port

    def run(self, only: Sequence[str] = ()) -> dict[str, Result]:
        """Run the suite against the server that was started last. Raises RuntimeError if it does not get through."""
        words = ["node", "--no-warnings", str(HERE / "run.mjs"), str(self._suite)]
        done = subprocess.run(
            [*words, f"http://127.0.0.1:{self.port}", *only],
            capture_output=True,
            text=True,
            timeout=RUN_S,
            env={k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")},
        )
        if done.returncode:
            raise RuntimeError(f"the suite failed:\n{done.stderr[-2000:]}")
        report: Mapping[str, dict[str, object]] = json.loads(done.stdout)
        return {
            case: Result(str(said["kind"]), bool(said["passed"]), str(said["detail"]))
            for case, said in report.items()
        }

    def run_twice(self, expected: Sequence[str]) -> dict[str, Result]:
        """The same, and once more for what failed unexpectedly: some tests count on two requests within a second."""
        results = self.run()
        again = [case for case, result in results.items() if not result.passed and case not in expected]
        return results | self.run(again) if again else results


@contextlib.contextmanager
def bench(suite: Path) -> Iterator[Bench]:
    """The suite's origin, and nothing before it yet."""
    with contextlib.ExitStack() as stack:
        yield Bench(stack, suite)
