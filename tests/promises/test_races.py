"""One test for each race that could break a promise, made to happen: reads wait at gates that the test opens."""

import itertools
import time
from typing import Literal

import pytest

from .clients import TRANSPORTS, Client, Get, Transport, Watcher
from .model import World
from .site import Resource

numbers = itertools.count()


@pytest.fixture
def path() -> str:
    return f"/race{next(numbers)}"


@pytest.fixture
def tag(path: str) -> str:
    return f"tag of {path}"


def answered(world: World, get: Get) -> None:
    """Wait for the end of a plain request."""
    world.until(lambda: get not in world.gets, "no answer")


def anybody(world: World, resource: Resource) -> Client:
    return Client(world.add(resource), None, None)


def reads(world: World, client: Client, count: int) -> None:
    world.site.wait_for_reads(client.resource.path, count)


def refused(world: World, watcher: Watcher, status: int) -> None:
    world.until(lambda: watcher.ended is not None, f"{watcher} did not end")
    assert watcher.ended is not None
    assert watcher.ended.status == status


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


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_watch_opened_while_the_application_fails_is_refused_and_opens_later(
    world: World, path: str, tag: str, transport: Transport
) -> None:
    client = anybody(world, Resource(path, (tag,)))
    world.behave(client.resource, "500")
    watcher = world.watch(client, transport)
    refused(world, watcher, 500)
    world.behave(client.resource, "ok")
    world.quiet()
    world.change(tag)
    world.quiet()


@pytest.mark.parametrize("mode", ["500", "abort", "hang"])
@pytest.mark.parametrize("user", [None, "alice"])
def test_watchers_keep_what_they_have_while_re_reads_fail_and_then_catch_up(
    world: World, path: str, tag: str, mode: str, user: str | None
) -> None:
    client = Client(world.add(Resource(path, (tag,))), user, None)
    watchers = [world.watch(client, transport) for transport in TRANSPORTS]
    world.quiet()
    world.behave(client.resource, mode)  # type: ignore[arg-type]
    world.change(tag)
    before = world.site.reads[path]
    reads(world, client, before + 1)
    world.pump()
    assert all(w.connection is not None for w in watchers if w.transport != "poll")
    world.behave(client.resource, "ok")
    world.quiet()
    assert world.site.most_at_once[path, user, None] == 1


def test_a_watch_joined_while_re_reads_fail_is_answered_as_the_application_answers(
    world: World, path: str, tag: str
) -> None:
    client = anybody(world, Resource(path, (tag,)))
    world.watch(client)
    world.quiet()
    world.behave(client.resource, "500")
    world.change(tag)
    refused(world, world.watch(client), 500)
    world.behave(client.resource, "ok")
    world.quiet()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("status", [404, 410])
def test_a_refusal_that_is_kept_opens_no_watch(
    world: World, path: str, tag: str, transport: Transport, status: int
) -> None:
    resource = world.add(Resource(path, (tag,), tagged_errors=True))
    client = Client(resource, None, None)
    world.refuse(resource, None, status)
    answered(world, world.get(client))
    before = world.site.reads[path]
    watcher = world.watch(client, transport)
    refused(world, watcher, status)
    assert world.site.reads[path] == before
    world.refuse(resource, None, 200)
    world.quiet()
    assert watcher.got == 1


@pytest.mark.parametrize("status", [404, 410])
def test_a_refusal_that_may_be_kept_is_no_representation(
    world: World, path: str, tag: str, status: int
) -> None:
    resource = world.add(Resource(path, (tag,), tagged_errors=True, max_age_s=60))
    watcher = world.watch(Client(resource, None, None))
    world.quiet()
    # A re-read is under way, from before; a client asks meanwhile, and is refused.
    world.hold(resource)
    world.change(tag)
    reads(world, watcher.client, 2)
    world.pass_by(resource)
    resource.refused = {None: status}
    world.refusals[resource, None].become(world.now, status)
    # A Range of what is not fresh asks the application, whatever is under way.
    answered(world, world.get(Client(resource, None, None), ("range", "bytes=0-")))
    answered(world, world.get(Client(resource, "alice", None)))
    world.refuse(resource, None, status)
    world.release(resource)
    refused(world, watcher, status)


def test_a_head_that_says_nothing_of_the_content_is_no_representation(world: World, path: str) -> None:
    resource = world.add(Resource(path, empty_head=True))
    watcher = world.watch(Client(resource, None, None))
    world.quiet()
    answered(world, world.get(Client(resource, None, None), method="HEAD"))
    world.quiet()
    world.change(resource.uri)
    world.quiet()
    assert watcher.got == 2


def test_an_old_refusal_does_not_end_a_watch_that_was_let_in_since(world: World, path: str, tag: str) -> None:
    resource = world.add(Resource(path, (tag,), sharing="private"))
    alice = Client(resource, "alice", None)
    world.watch(alice)
    world.quiet()
    world.hold(resource)
    world.refuse(resource, "alice", 403)
    reads(world, alice, world.site.reads[path] if world.site.rereads[path] else world.site.reads[path] + 1)
    world.pass_by(resource)
    resource.refused = {}
    world.refusals[resource, "alice"].become(world.now, 200)
    # Her second watch is let in by an answer that is newer than the refusal under way.
    second = world.watch(alice)
    world.until(lambda: second.got == 1, "the second watch did not open")
    world.announce(tag)
    world.release(resource)
    world.change(tag)
    world.quiet()
    assert second.ended is None
    assert second.got == 2


def test_a_slow_reader_hears_that_the_resource_is_gone(world: World, path: str, tag: str) -> None:
    resource = world.add(Resource(path, (tag,), padding=300_000))
    watcher = world.watch(Client(resource, None, None))
    other = world.watch(Client(resource, None, None))
    world.quiet()
    watcher.reading = False
    for _ in range(3):
        world.change(tag)
        world.until(lambda: world.is_settled(other), "lost")
    world.refuse(resource, None, 410)
    refused(world, other, 410)
    watcher.reading = True
    refused(world, watcher, 410)


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


def test_a_representation_that_came_and_went_is_not_taken_for_the_one_before_and_after(
    world: World, path: str
) -> None:
    resource = world.add(Resource(path, toggles=True))
    client = anybody(world, resource)
    world.watch(client)
    world.quiet()
    world.commit(resource.uri)
    # This client reads what came, and gets it late.
    world.hold(resource)
    late = world.get(client)
    reads(world, client, 2)
    world.pass_by(resource)
    world.change(resource.uri)
    reads(world, client, 3)
    world.announce(resource.uri)  # when the next re-read has begun, the one that was under way is over
    reads(world, client, 4)
    world.release(resource)
    answered(world, late)
    assert late.exchange.body != world.current(client)
    assert late.exchange.field("fresh-position")
    world.follow(late)
    world.quiet()


@pytest.mark.parametrize("kind", [{"streamed": True}, {"own_etag": True}, {}])
@pytest.mark.parametrize("watched", [True, False])
def test_what_a_client_was_given_in_between_is_not_taken_for_what_came_after(
    world: World, path: str, kind: dict[str, bool], watched: bool
) -> None:
    resource = world.add(Resource(path, toggles=True, **kind))
    client = anybody(world, resource)
    watcher = world.watch(client)
    world.quiet()
    if not watched:
        world.disconnect(watcher)
    world.commit(resource.uri)
    get = world.get(client)
    answered(world, get)
    world.change(resource.uri)
    answered(world, world.get(client))
    world.follow(get)
    world.quiet()


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


@pytest.mark.parametrize("kind", [{"own_etag": True}, {}])
@pytest.mark.parametrize("user", [None, "alice"])
@pytest.mark.parametrize("sharing", ["shared", "public", "private"])
def test_who_watches_on_from_what_a_get_gave_is_sent_nothing_if_nothing_changed(
    world: World,
    path: str,
    kind: dict[str, bool],
    sharing: Literal["shared", "public", "private"],
    user: str | None,
) -> None:
    resource = world.add(Resource(path, sharing=sharing, **kind))
    client = Client(resource, user or ("bob" if sharing == "private" else None), None)
    world.watch(client)
    world.quiet()
    get = world.get(client)
    answered(world, get)
    follower = world.follow(get)
    world.quiet()
    assert follower.got == 0
    world.change(resource.uri)
    world.quiet()
    assert follower.got == 1


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


@pytest.mark.parametrize("before", TRANSPORTS)
@pytest.mark.parametrize("after", ["sse", "websocket"])
def test_a_watch_moves_to_another_transport_without_a_gap(
    world: World, path: str, tag: str, before: Transport, after: Transport
) -> None:
    client = anybody(world, Resource(path, (tag,)))
    watcher = world.watch(client, before)
    world.quiet()
    world.disconnect(watcher)
    world.watch(client, after, watcher, resume=True)
    world.quiet()
    assert watcher.got <= (0 if watcher.silent else 1)
    world.disconnect(watcher)
    world.change(tag)
    world.watch(client, after, watcher, resume=True)
    world.quiet()
    assert watcher.got == 1


def test_nothing_private_is_given_to_another_user(world: World, path: str, tag: str) -> None:
    resource = world.add(Resource(path, (tag,), sharing="private"))
    users = [Client(resource, user, None) for user in ("alice", "bob")]
    watchers = [world.watch(client, transport) for client in users for transport in TRANSPORTS]
    world.quiet()
    for n in range(5):
        world.change(tag)
        for client in users:
            world.get(client, conditional=n % 2 == 1)
        stolen = watchers[0].position
        thief = world.watch(users[1])
        world.disconnect(thief)
        thief.position = stolen
        thief.body = None
        world.watch(users[1], "sse", thief, resume=True)
        world.quiet()
    refused(world, world.watch(Client(resource, None, None)), 401)
    world.refuse(resource, "alice", 403)
    for watcher in watchers[: len(TRANSPORTS)]:
        refused(world, watcher, 403)
    world.change(tag)
    world.quiet()


def test_unsafe_requests_that_fail_change_nothing(world: World, path: str) -> None:
    client = anybody(world, Resource(path))
    watcher = world.watch(client)
    world.quiet()
    world.write(client.resource, status=409)
    world.change(client.resource.uri)
    world.quiet()
    assert watcher.got == 2
    assert world.site.rereads[path] == 1


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
