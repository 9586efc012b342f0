"""Promise 6: nothing piles up however fast a resource changes and slowly it is read, and the last state comes."""

import itertools
import threading
import time

import pytest

from .clients import TRANSPORTS, Client, Transport
from .model import World
from .site import Resource

numbers = itertools.count()


@pytest.mark.parametrize("user", [None, "alice"])
def test_a_hundred_changes_a_second_of_what_takes_20_ms_to_read_make_one_read_at_a_time(
    world: World, user: str | None
) -> None:
    path = f"/busy{next(numbers)}"
    resource = world.add(Resource(path, (tag := f"tag of {path}",), delay_s=0.02))
    client = Client(resource, user, None)
    watchers = [world.watch(client, transport) for transport in TRANSPORTS]
    world.quiet()
    before = world.site.reads[path]
    started = time.monotonic()
    for n in range(200):
        world.change(tag)
        world.pump()
        time.sleep(max(0.0, started + n / 100 - time.monotonic()))
    elapsed_s = time.monotonic() - started
    world.quiet()
    assert world.site.most_at_once[path, user, None] == 1
    # A poll's own requests are reads too, if it has credentials.
    if user is None:
        assert world.site.reads[path] - before <= elapsed_s / 0.02 + 3
    assert all(watcher.got >= 2 for watcher in watchers)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_who_does_not_read_gets_the_newest_state_and_no_backlog(world: World, transport: Transport) -> None:
    path = f"/slow{next(numbers)}"
    resource = world.add(Resource(path, (tag := f"tag of {path}",), padding=200_000, noisy=True))
    client = Client(resource, None, None)
    slow, fast = world.watch(client, transport), world.watch(client)
    world.quiet()
    slow.reading = False
    got = slow.got
    for _ in range(30):
        world.change(tag)
        world.until(lambda: world.is_settled(fast), "lost")
    slow.reading = True
    world.quiet()
    # What it was in the middle of, perhaps what the kernel had already taken, and the newest.
    assert slow.got - got <= 3


def test_changes_without_a_difference_are_read_and_not_told(world: World) -> None:
    path = f"/same{next(numbers)}"
    resource = world.add(Resource(path, (tag := f"tag of {path}",)))
    watchers = [world.watch(Client(resource, None, None), transport) for transport in TRANSPORTS]
    world.quiet()
    before = world.site.rereads[path]
    for n in range(1, 6):
        world.announce(tag)
        world.until(lambda n=n: world.site.rereads[path] >= before + n, "not read again")
    world.change(tag)
    world.quiet()
    assert [watcher.got for watcher in watchers] == [2] * len(watchers)


def test_changes_from_many_threads_are_all_seen(world: World) -> None:
    path = f"/threads{next(numbers)}"
    tags = tuple(f"tag {n} of {path}" for n in range(4))
    resource = world.add(Resource(path, tags))
    for transport in TRANSPORTS:
        world.watch(Client(resource, None, None), transport)
    world.quiet()

    def change(tag: str) -> None:
        for _ in range(100):
            world.site.commit(tag)  # each thread has a tag of its own
            world.live.changed(tag)

    threads = [threading.Thread(target=change, args=(tag,)) for tag in tags]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        world.pump()
    world.now += 1
    world.quiet()
    assert world.site.most_at_once[path, None, None] == 1
