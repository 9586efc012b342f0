"""What the application refuses or fails at: who is told, who keeps what they have, and who gets nothing."""

import pytest

from .clients import TRANSPORTS, Client, Transport
from .conftest import answered, anybody, reads, refused
from .model import World
from .site import Resource


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
