"""What many clients behind caches cost the node: a wait for each cache, a call of the application for each change."""

import itertools
from typing import Any

import pytest
from freshwire.testing import LiveNode

from tests.promises.clients import Client
from tests.promises.site import Resource, Site

from .follower import Doing
from .world import EdgeWorld

FOLLOWERS = 12
CHANGES = 4

numbers = itertools.count()
topologies = pytest.mark.parametrize(
    ("edges", "shield", "asking"),
    [
        (["honest"], None, 1),
        (["honest", "deaf", "miserly"], None, 3),
        (["deaf", "deaf", "honest"], "deaf", 1),
    ],
)


class Ground:
    """Followers of one resource, spread over edges, all of whom wait."""

    def __init__(
        self,
        live: LiveNode,
        site: Site,
        edges: list[str],
        shield: str | None,
        users: Any = (None,),
        **kind: Any,
    ) -> None:
        self.world = EdgeWorld(live, site)
        # The few sets that there are may be waited on by who is just leaving.
        self.world.until(lambda: live.stats()["waits_held"] == 0, "the test before has not left")
        self.world.build(edges, shield)
        number = next(numbers)
        self.tag = f"tag of collapse {number}"
        self.resource = self.world.add(Resource(f"/collapse{number}", (self.tag,), **kind))
        for at, user in zip(range(FOLLOWERS), itertools.cycle(users), strict=False):
            self.world.come(Client(self.resource, user, None), self.world.edges[at % len(edges)])
        self.world.until(self.all_wait, "not all wait")

    def all_wait(self) -> bool:
        return all(follower.doing is Doing.WAITING for follower in self.world.followers)

    def change(self) -> None:
        """Change it, and see everybody get it."""
        self.world.change(self.tag)
        self.world.quiet()


@topologies
def test_a_change_costs_one_call_of_the_application_and_a_wait_for_each_cache(
    live: LiveNode, site: Site, edges: list[str], shield: str | None, asking: int
) -> None:
    ground = Ground(live, site, edges, shield, sharing="public", max_age_s=600)
    path, before = ground.resource.path, live.stats()
    assert site.reads[path] == 1
    for _ in range(CHANGES):
        # Who comes with a wait after the change is told at once, perhaps with the body, and reads nothing.
        ground.world.until(lambda: live.stats()["waits_held"] == asking, "not all are held")
        ground.change()
    after = live.stats()
    assert site.reads[path] == 1 + CHANGES
    ended_by_the_grid = sum(follower.notices for follower in ground.world.followers) == FOLLOWERS * CHANGES
    assert ended_by_the_grid, "everybody heard of every change"
    assert after["pinned_reads"] - before["pinned_reads"] == asking * CHANGES
    assert after["wait_changes"] - before["wait_changes"] == asking * CHANGES
    ground.world.close()


def test_private_readers_share_the_wait_and_nothing_else(live: LiveNode, site: Site) -> None:
    ground = Ground(live, site, ["honest"], None, ("alice", "bob"), sharing="private")
    monitors = {follower.monitor.partition("?")[0] for follower in ground.world.followers}
    ground.change()
    ground.world.check_caches()
    shown = {(f.client.user, f.body) for f in ground.world.followers}
    assert len(shown) == 2
    assert len(monitors) <= 2
    ground.world.close()


def test_a_wait_that_ends_with_nothing_ends_once_for_all(live: LiveNode, site: Site) -> None:
    ground = Ground(live, site, ["deaf", "deaf"], None, sharing="public", max_age_s=600)
    world = ground.world

    def cycles() -> set[int]:
        return {int(follower.monitor.rpartition("=")[2]) for follower in world.followers}

    waits = live.stats()["waits"]
    (first,) = cycles()

    def next_cycle() -> bool:
        return len(cycles()) == 1 and first not in cycles() and ground.all_wait()

    world.until(next_cycle, "endless")
    (last,) = cycles()
    # One of each edge in each cycle; the node may have one more that is just coming.
    assert 0 <= live.stats()["waits"] - waits <= 2 * (last - first + 1)
    world.close()
