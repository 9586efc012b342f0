"""A real Varnish with the configuration of docs/behind in front of a node that purges it."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx
import pytest
from freshwire import admin
from freshwire.testing import LiveNode, node

from tests.ports import free_port

from ..behind.fronts import front
from ..waiting import block_until
from . import fake, site

BAN = r'ban("obj.http.xkey ~ (^|\s)(" + regsuball(req.http.xkey, "[^A-Za-z0-9_-]+", "|") + ")(\s|$)");'
INDEX = {"import std;": "import std;\nimport xkey;", BAN: "set req.http.n = xkey.purge(req.http.xkey);"}
SOFT = INDEX | {
    "if (req.http.xkey) {": "if (req.http.xkey-soft) {\n set req.http.n = xkey.softpurge(req.http.xkey-soft);\n"
    'return (synth(200, "Purged"));\n}\nif (req.http.xkey) {'
}
VCLS: dict[str, tuple[dict[str, str], dict[str, object]]] = {
    "ban": ({}, {}),
    "index": (INDEX, {}),
    "soft": (SOFT, {"soft": True}),
}
names = count()


class Site:
    """A node with Varnish in front."""

    def __init__(self, live: LiveNode, varnish: str, http: httpx.Client) -> None:
        self.live, self.varnish, self.http = live, varnish, http

    def read(self, path: str) -> int:
        """Through Varnish."""
        return int(self.http.get(self.varnish + path).raise_for_status().text)

    def write(self, path: str) -> None:
        """Past Varnish, as a task or another process would."""
        self.http.post(self.live.url + path).raise_for_status()


@contextmanager
def behind_varnish(
    place: Path, vcl: str = "ban", purger: str | None = None, **options: object
) -> Iterator[Site]:
    """purger: where to purge, if not at Varnish itself."""
    changes, settings = VCLS[vcl]
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    said = {
        "cache": "varnish",
        "url": purger or url,
        "host": "127.0.0.1",
        "retry_s": 0.01,
        "retry_max_s": 0.02,
    }
    with (
        node(site.app, purge=[said | settings], tag_key=fake.ZONE, **options) as live,
        front("varnish", place, int(live.url.rpartition(":")[2]), changes=changes, port=port),
        httpx.Client(timeout=30, trust_env=False) as http,
    ):
        yield Site(live, url, http)


@pytest.fixture
def name() -> str:
    """Something that nobody has read yet."""
    return f"n{next(names)}"


@pytest.mark.parametrize("vcl", VCLS)
def test_a_reader_after_the_notice_never_gets_the_old_copy(vcl: str, tmp_path: Path, name: str) -> None:
    with behind_varnish(tmp_path, vcl, pin=False) as behind:
        path = f"/tagged/{name}"
        with behind.live.watch(path) as watch:
            assert watch.next().text == "0"
            for number in range(1, 16):
                assert [behind.read(path), behind.read(path)] == [number - 1] * 2
                before = site.reads[name]
                behind.read(path)
                assert site.reads[name] == before, "Varnish has a copy"
                behind.write(f"/count/{name}")
                assert watch.next().text == str(number)
                assert behind.read(path) == number
        figures = behind.live.stats()
        assert (figures["purge_failures"], figures["purges_overdue"]) == (0, 0)


def test_changes_from_everywhere_are_purged(tmp_path: Path, name: str) -> None:
    with behind_varnish(tmp_path, "index") as behind:
        tagged, plain, other = f"/tagged/{name}", f"/plain/{name}", f"/tagged/{name}-other"
        assert [behind.read(path) for path in (tagged, plain, other)] == [0, 0, 0]
        # The application.
        behind.write(f"/count/{name}")
        block_until(lambda: behind.read(tagged) == 1)
        assert behind.read(plain) == 0
        # An unsafe request that says nothing of tags: its target, as the node knows it.
        behind.http.post(behind.varnish + plain).raise_for_status()
        block_until(lambda: behind.read(plain) == 2)
        assert behind.read(tagged) == 1
        # Another process, on the admin socket.
        site.numbers[name] = 7
        admin.post_changes(admin.find(behind.live.admin_socket), [f"number:{name}"])
        block_until(lambda: behind.read(tagged) == 7)
        behind.read(other)
        assert site.reads[f"{name}-other"] == 1, "what did not change is still in Varnish"


def test_more_than_may_wait_empties_varnish(tmp_path: Path, name: str) -> None:
    with behind_varnish(tmp_path, max_purges=3) as behind:
        assert behind.read(f"/tagged/{name}") == 0
        site.numbers[name] = 1
        behind.live.changed(f"number:{name}", *(f"another:{number}" for number in range(9)))
        block_until(lambda: behind.read(f"/tagged/{name}") == 1)
        block_until(lambda: behind.live.stats()["purges_of_everything"] == 1)


class Flaky:
    """Stands between the node and Varnish's purging, and has a bad day before it lets a purge through."""

    def __init__(self) -> None:
        self.varnish = ""
        self.bad = [fake.of(503), fake.Answer(hang_up=True), fake.of(429)]
        self.asked = 0
        self.let_through = threading.Event()

    def __call__(self, asked: fake.Asked) -> fake.Answer:
        self.asked += 1
        if self.asked <= len(self.bad):
            return self.bad[self.asked - 1]
        self.let_through.wait(30)
        connection = http.client.HTTPConnection(self.varnish.removeprefix("http://"))
        connection.request(asked.method, asked.path, headers=asked.headers)
        response = connection.getresponse()
        return fake.Answer(response.status, response.read())


def test_while_the_purge_fails_nobody_is_told_and_then_nobody_reads_the_old_copy(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flaky = Flaky()
    monkeypatch.setattr(fake.Api, "_varnish", lambda _, asked: flaky(asked), raising=False)
    path = f"/tagged/{name}"
    with (
        fake.serve("varnish") as between,
        behind_varnish(tmp_path, purger=between.url, pin=False, purge_timeout_s=600) as behind,
    ):
        flaky.varnish = behind.varnish
        with behind.live.watch(path) as watch:
            assert (watch.next().text, behind.read(path)) == ("0", 0)
            delivered = behind.live.stats()["messages"]
            behind.write(f"/count/{name}")
            block_until(lambda: flaky.asked > len(flaky.bad))
            assert behind.read(path) == 0, "it is not purged"
            assert int(behind.http.get(behind.live.url + path).text) == 1, (
                "the node's own copy is new at once"
            )
            assert behind.live.stats()["messages"] == delivered, "nobody has been told"
            flaky.let_through.set()
            assert watch.next().text == "1"
            assert behind.read(path) == 1
        assert behind.live.stats()["purge_failures"] == 3


def test_a_purge_that_never_works_out_holds_nobody_back_for_longer_than_the_option_says(
    tmp_path: Path, name: str
) -> None:
    with behind_varnish(
        tmp_path, purger=f"http://127.0.0.1:{free_port()}", pin=False, purge_timeout_s=0.1
    ) as behind:
        with behind.live.watch(f"/tagged/{name}") as watch:
            assert watch.next().text == "0"
            behind.write(f"/count/{name}")
            assert watch.next().text == "1"

        figures = behind.live.stats()
        assert figures["purges_overdue"] == 2
        assert figures["purge_failures"] >= 1
        assert figures["purges"] == 0
