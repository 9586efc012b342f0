"""Corners of reading and watching that the state machine seldom gets to."""

import itertools
from typing import Any

import pytest

from .model import Client, World
from .site import Resource

numbers = itertools.count()


@pytest.mark.parametrize("padding", [0, 200_000])
@pytest.mark.parametrize("user", [None, "alice"])
def test_what_a_client_was_given_in_pieces_its_watchers_get_too(
    world: World, user: str | None, padding: int
) -> None:
    path = f"/pieces{next(numbers)}"
    kind: Any = {"sharing": "private" if user else "shared", "streamed": True, "own_etag": True}
    resource = world.add(Resource(path, padding=padding, **kind))
    client = Client(resource, user, None)
    watcher = world.watch(client)
    world.quiet()
    world.commit(resource.uri)  # nobody is told
    get = world.get(client)
    world.until(lambda: get not in world.gets, "no answer")
    world.until(lambda: world.is_settled(watcher), "a client has it, and who watches does not")
