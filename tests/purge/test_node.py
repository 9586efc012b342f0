"""What a node tells the caches in front of it, of both kinds of node, and when."""

from __future__ import annotations

import threading
from collections.abc import Callable

import httpx
import pytest
from freshwire import OptionError, admin
from freshwire.testing import LiveNode, node, proxy

from ..waiting import block_until
from . import fake, site

Fakes = Callable[[str], fake.Api]


def said(served: fake.Api, **settings: object) -> dict[str, object]:
    """The cache whose API a fake is, as an option names it."""
    return {"cache": served.name, "url": served.url, **fake.SETTINGS[served.name], **settings}


def everything_that_changes_is_told(live: LiveNode, served: fake.Api, name: str) -> None:
    httpx.post(f"{live.url}/plain/{name}").raise_for_status()
    block_until(lambda: f"urls:{live.url}/plain/{name}" in served.purged)
    admin.post_changes(admin.find(live.admin_socket), [f"number:{name}"])
    block_until(lambda: f"tags:number:{name}" in served.purged)
    assert sum(purged.startswith("keys:") for purged in served.purged) in (3, 4)
    block_until(lambda: live.stats()["purges"] == len(served.purged))
    assert live.stats()["purges_waiting"] == 0


def test_an_asgi_node_tells_all_that_changes(api: Fakes) -> None:
    served = api("webhook")
    with node(site.app, purge=[said(served)], tag_key=fake.ZONE) as live:
        everything_that_changes_is_told(live, served, "asgi")
        httpx.post(f"{live.url}/count/asgi2").raise_for_status()
        block_until(lambda: {"tags:number:asgi2", f"urls:{live.url}/count/asgi2"} <= set(served.purged))


def test_a_proxy_tells_all_that_changes(api: Fakes) -> None:
    served = api("webhook")
    with node(site.app) as upstream, proxy(upstream.url, purge=[said(served)], tag_key=fake.ZONE) as live:
        everything_that_changes_is_told(live, served, "proxied")


def test_several_caches_are_told_and_one_that_is_down_does_not_keep_it_from_the_others(api: Fakes) -> None:
    served, down = api("fastly"), api("bunny")
    down.answers.extend(fake.of(503) for _ in range(1000))
    caches = [said(served), said(down, retry_s=0.01, retry_max_s=0.01)]
    with node(site.app, purge=caches, tag_key=fake.ZONE, purge_timeout_s=0.1) as live:
        live.changed("a")
        block_until(lambda: len(served.purged) == 2)
        live.changed("b")
        block_until(lambda: len(served.purged) == 4)
        block_until(lambda: live.stats()["purge_failures"] > 0)


def test_nobody_is_told_before_the_last_of_several_caches_has_purged(api: Fakes) -> None:
    served, slow, hold = api("fastly"), api("bunny"), threading.Event()
    slow.answers.extend(fake.Answer(204, hold=hold) for _ in range(2))
    with (
        node(
            site.app, purge=[said(served), said(slow)], tag_key=fake.ZONE, pin=False, purge_timeout_s=600
        ) as live,
        live.watch("/tagged/slow") as watch,
    ):
        assert watch.next().text == "0"
        delivered = live.stats()["messages"]
        site.numbers["slow"] = 1
        live.changed("number:slow")
        block_until(lambda: live.stats()["purges"] == 2)
        block_until(lambda: len(slow.asked) == 2)
        assert live.stats()["messages"] == delivered
        hold.set()
        assert watch.next().text == "1"


def test_a_node_that_ends_purges_what_waits(api: Fakes) -> None:
    served = api("fastly")
    with node(site.app, purge=[said(served, coalesce_ms=10_000)], tag_key=fake.ZONE) as live:
        live.changed("a", "b")
    assert len(served.purged) == 4


def test_what_cannot_be_meant_stops_the_start() -> None:
    with pytest.raises(OptionError, match="FRESHWIRE_TAG_KEY"), node(site.app, purge=["varnish=http://h"]):
        pass
    with pytest.raises(OptionError, match="needs token"), node(site.app, purge=["fastly=a"]):
        pass
