"""One test for each race of changes and reads that could break a promise, made to happen: reads wait at gates."""

import time
from typing import Literal

import pytest

from .clients import TRANSPORTS, Client, Transport
from .conftest import answered, anybody, reads
from .model import World
from .site import Resource


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_change_between_the_first_read_and_the_subscription_arrives(
    world: World, path: str, tag: str, transport: Transport
) -> None:
    client = anybody(world, Resource(path, (tag,)))
    world.hold(client.resource)
    watcher = world.watch(client, transport)
    reads(world, client, 1)
    world.change(tag)
    world.release(client.resource)
    world.quiet()
    assert watcher.got <= 2


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("user", [None, "alice", "bob"])
def test_a_change_during_a_re_read_is_read_once_more(
    world: World, path: str, tag: str, transport: Transport, user: str | None
) -> None:
    resource = world.add(Resource(path, (tag,)))
    client = Client(resource, user, None)
    world.watch(client, transport)
    world.quiet()
    world.hold(resource)
    world.change(tag)
    before = world.site.reads[path]
    reads(world, client, before)
    for _ in range(5):
        world.change(tag)
    world.release(resource)
    world.quiet()
    assert world.site.most_at_once[path, user, None] <= 1
    assert world.site.rereads[path] <= 3


@pytest.mark.parametrize("user", [None, "alice"])
def test_a_tag_that_a_re_read_brought_along_and_that_changed_meanwhile_is_not_missed(
    world: World, path: str, user: str | None
) -> None:
    tags = (f"even {path}", f"odd {path}")
    resource = world.add(Resource(path, tags, moves=True))
    client = Client(resource, user, None)
    world.watch(client)
    world.quiet()
    before = world.site.rereads[path]
    world.hold(resource)
    world.change(resource.uri)
    world.site.wait_for_reads(path, world.site.reads[path] + 1 if world.site.rereads[path] == before else 0)
    world.change(tags[1])
    world.release(resource)
    world.quiet()


def test_a_reconnect_storm_costs_two_reads_at_most(world: World, path: str, tag: str) -> None:
    client = anybody(world, Resource(path, (tag,), delay_s=0.02))
    for _ in range(200):
        world.watch(client)
    world.quiet()
    assert world.site.reads[path] <= 2
    before = world.site.reads[path]
    for watcher in world.watchers:
        world.disconnect(watcher)
    world.change(tag)
    for watcher in world.watchers:
        world.watch(client, "sse", watcher, resume=True)
    world.quiet()
    assert world.site.reads[path] - before <= 2
    assert all(watcher.got == 1 for watcher in world.watchers)


def test_a_storm_on_a_resource_without_tags_or_lifetime_costs_two_reads_at_most(
    world: World, path: str
) -> None:
    client = anybody(world, Resource(path, delay_s=0.02))
    for _ in range(200):
        world.watch(client)
    world.quiet()
    assert world.site.reads[path] <= 2


def test_a_lifetime_ends_also_after_it_was_read_for_another_watch_in_between(world: World, path: str) -> None:
    resource = world.add(Resource(path, max_age_s=1))
    client = Client(resource, "alice", None)
    watcher = world.watch(client)
    world.quiet()
    # A read that the first watch hears of, with a lifetime of its own, in the middle of the first one's.
    time.sleep(0.6)
    other = world.watch(client)
    world.until(lambda: other.got == 1, "the other watch did not open")
    world.commit(resource.uri)
    world.quiet()
    assert watcher.got == 2


@pytest.mark.parametrize("user", [None, "alice"])
def test_who_comes_back_during_a_re_read_does_not_have_it_read_twice_at_a_time(
    world: World, path: str, tag: str, user: str | None
) -> None:
    resource = world.add(Resource(path, (tag,)))
    client = Client(resource, user, None)
    watcher = world.watch(client)
    world.quiet()
    world.hold(resource)
    world.change(tag)
    reads(world, client, 2)
    world.disconnect(watcher)
    world.pass_by(resource)
    world.watch(client, "sse", watcher, resume=True)
    if user is not None:  # opened by an answer of her own, whatever is under way
        world.quiet()
    world.change(tag)
    world.release(resource)
    world.quiet()
    assert world.site.most_at_once[path, user, None] == 1
    for mode in ("500", "ok"):
        world.disconnect(watcher)
        world.behave(resource, mode)
    world.watch(client, "sse", watcher, resume=True)
    world.change(tag)
    world.quiet()


def test_a_write_is_announced_before_it_is_answered(world: World, path: str) -> None:
    resource, other = world.add(Resource(path)), world.add(Resource(f"{path}/other", ("group of " + path,)))
    watchers = [world.watch(Client(r, None, None), t) for r in (resource, other) for t in TRANSPORTS]
    world.quiet()
    world.write(resource, commit=[resource.uri, other.uri], location=other)
    for r in (resource, other):
        answered(world, world.get(Client(r, None, None)))
    world.quiet()
    world.write(resource, commit=other.tags, groups=other.tags, status=303)
    world.quiet()
    assert all(watcher.got >= 2 for watcher in watchers)


@pytest.mark.parametrize(("sharing", "user"), [("shared", None), ("public", "alice"), ("private", "bob")])
def test_what_changed_while_it_was_read_is_not_for_long_and_not_for_others(
    world: World, path: str, tag: str, sharing: Literal["shared", "public", "private"], user: str | None
) -> None:
    resource = world.add(Resource(path, (tag,), sharing=sharing, max_age_s=60))
    for name in (tag, resource.uri):
        world.hold(resource)
        before = world.site.reads[path]
        get = world.get(Client(resource, user, None))
        world.site.wait_for_reads(path, before + 1)
        world.change(name)
        world.release(resource)
        answered(world, get)
        said = get.exchange.field("cache-control").split(", ")
        assert "max-age=1" in said
        assert ("private" in said) == (sharing == "private")
        world.change(name)


def test_what_has_no_tags_and_was_written_to_while_it_was_read_is_not_for_long(
    world: World, path: str
) -> None:
    resource = world.add(Resource(path, max_age_s=60))
    world.hold(resource)
    get = world.get(Client(resource, None, None))
    world.site.wait_for_reads(path, 1)
    world.change(resource.uri)
    world.release(resource)
    answered(world, get)
    assert get.exchange.field("cache-control") == "max-age=1"
