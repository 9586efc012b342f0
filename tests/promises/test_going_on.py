"""Watching on from what a client has, from a plain request or over another transport: no gap, and nothing twice."""

from typing import Literal

import pytest

from .clients import TRANSPORTS, Client, Transport
from .conftest import answered, anybody, reads
from .model import World
from .site import Resource


def test_a_head_that_says_nothing_of_the_content_is_no_representation(world: World, path: str) -> None:
    resource = world.add(Resource(path, empty_head=True))
    watcher = world.watch(Client(resource, None, None))
    world.quiet()
    answered(world, world.get(Client(resource, None, None), method="HEAD"))
    world.quiet()
    world.change(resource.uri)
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
