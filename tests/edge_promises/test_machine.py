"""Everything in any order, through caches: reads, waits, changes, late fills, evictions, purges, steps of time.

`pytest tests/edge_promises --hypothesis-profile=long` goes on for hours; without, it is a sample.
"""

import gc
import sys
from typing import Any

from freshwire.testing import LiveNode
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test

from tests.promises.application import Application, indices, languages, users
from tests.promises.site import Site
from tests.promises.test_machine import QUICK

from .cache import TEMPERS, Cache
from .follower import Doing, Follower
from .origin import Line
from .world import EdgeWorld

MOST_FOLLOWERS = 8
MOST_PAGES = 2
SOME = 8
"""Of how many examples waits end in one: that takes a second, and nothing makes it shorter."""

tempers = st.sampled_from(sorted(TEMPERS))
kinds = st.fixed_dictionaries(
    {
        "tags": st.sampled_from([("a",), ("b",), ("a", "b"), ()]),
        "sharing": st.sampled_from(["public", "public", "shared", "private"]),
        "max_age_s": st.sampled_from([600, 60, None, 1]),
    },
    optional={
        "varies": st.booleans(),
        "moves": st.booleans(),
        "stale_s": st.sampled_from([None, 300]),
        "own_etag": st.booleans(),
        "tagged_errors": st.booleans(),
        "delay_s": st.sampled_from([0.0, 0.003]),
    },
)


class BehindCaches(Application):
    """Clients behind caches, before a node whose application is not always well."""

    world: EdgeWorld

    def __init__(self) -> None:
        super().__init__(EdgeWorld(self.live, self.site))

    @initialize(
        kinds=st.lists(kinds, min_size=1, max_size=3),
        edges=st.lists(tempers, min_size=1, max_size=3),
        shield=st.none() | tempers,
        followers=st.lists(
            st.tuples(indices, users, languages, indices, st.booleans()), min_size=2, max_size=4
        ),
    )
    def publish(
        self, kinds: list[dict[str, Any]], edges: list[str], shield: str | None, followers: list[Any]
    ) -> None:
        super().publish(kinds)
        self.world.build(edges, shield)
        for each in followers:
            self.follow(*each)
        self.world.arrive()

    # Which one.

    def edge(self, index: int) -> Cache:
        return self.world.edges[index % len(self.world.edges)]

    def cache(self, index: int) -> Cache:
        return self.world.caches[index % len(self.world.caches)]

    def line(self, index: int) -> Line:
        return self.world.lines[index % len(self.world.lines)]

    def follower(self, index: int) -> Follower:
        return self.world.followers[index % len(self.world.followers)]

    # A read that hangs is one that is held until the node gives it up, which takes seconds each time.

    @rule(index=indices, mode=st.sampled_from(["500", "abort"]))
    def fail(self, index: int, mode: Any) -> None:
        self.world.behave(self.resource(index), mode)

    # What clients do.

    @rule(index=indices, user=users, language=languages, edge=indices, conditional=st.booleans())
    def read(self, index: int, user: str | None, language: str | None, edge: int, conditional: bool) -> None:
        self.world.read(self.client(index, user, language), self.edge(edge), conditional=conditional)

    @precondition(lambda self: len(self.world.followers) < MOST_FOLLOWERS)
    @rule(index=indices, user=users, language=languages, edge=indices, bodies=st.booleans())
    def somebody_comes(
        self, index: int, user: str | None, language: str | None, edge: int, bodies: bool
    ) -> None:
        self.follow(index, user, language, edge, bodies)

    def follow(self, index: int, user: str | None, language: str | None, edge: int, bodies: bool) -> None:
        client = self.client(index, user, language)
        self.world.come(client, self.edge(edge), cookies=user == "bob", bodies=bodies)

    @precondition(lambda self: len(self.world.pages) < MOST_PAGES)
    @rule(of=st.lists(st.tuples(indices, users, languages), min_size=1, max_size=3), edge=indices)
    def open_page(self, of: list[Any], edge: int) -> None:
        clients = {client.resource: client for client in (self.client(*each) for each in of)}
        self.world.open_page(list(clients.values()), self.edge(edge))

    @rule()
    def pages_go_on(self) -> None:
        self.world.pages_go_on()

    @precondition(lambda self: self.world.followers)
    @rule(index=indices)
    def leave(self, index: int) -> None:
        self.follower(index).leave()

    @precondition(lambda self: self.world.followers)
    @rule(index=indices, edge=indices)
    def come_back_elsewhere(self, index: int, edge: int) -> None:
        follower = self.follower(index)
        if follower.doing is not Doing.ENDED:
            follower.leave()
            follower.edge = self.edge(edge)
            follower.come()

    # What a follower can do depends on what it has heard: it does it if it can.

    @rule()
    def try_again(self) -> None:
        self.world.wake(lambda follower: follower.doing is Doing.RESTING)

    @precondition(lambda self: self.world.followers)
    @rule(index=indices, edge=indices)
    def read_what_another_was_told_to(self, index: int, edge: int) -> None:
        """Late, or by another way."""
        follower = self.follower(index)
        if follower.notice:
            self.world.read(follower.client, self.edge(edge), target=follower.pinned)

    @precondition(lambda self: any(resource.tags for resource in self.world.resources))
    @rule(index=indices)
    def revoke_sets(self, index: int) -> None:
        tags = sorted({tag for resource in self.world.resources for tag in resource.tags})
        self.world.revoke_sets(tags[index % len(tags)])

    # What caches do.

    @rule(index=indices, which=st.none() | indices)
    def evict(self, index: int, which: int | None) -> None:
        if which is None:
            self.cache(index).evict()
        else:
            self.cache(index).evict(lambda targets: targets[which % len(targets)] if targets else None)

    @rule(name=indices)
    def purge(self, name: int) -> None:
        self.world.purge(self.name(name))

    @rule(name=indices)
    def change_and_purge(self, name: int) -> None:
        self.world.change(self.name(name))
        self.world.purge(self.name(name))

    @rule(index=indices, seconds=st.sampled_from([0.5, 1, 5, 30, 120, 1000, -1, -100]))
    def step(self, index: int, seconds: float) -> None:
        self.cache(index).step(seconds)

    @rule(index=indices)
    def be_slow(self, index: int) -> None:
        """What the node answers now arrives later, maybe after the change that comes next."""
        self.world.pump()
        self.line(index).slow = True

    @precondition(lambda self: any(line.slow for line in self.world.lines))
    @rule()
    def deliver(self) -> None:
        for line in self.world.lines:
            line.slow = False

    @rule()
    def arrive(self) -> None:
        self.world.arrive()

    @precondition(lambda self: self.world.followers)
    @rule(index=indices)
    def a_wait_ends(self, index: int) -> None:
        if self.number % SOME == 0:
            self.world.wait_ends(self.follower(index))

    @rule(name=indices)
    def change_and_tell(self, name: int) -> None:
        self.world.change(self.name(name))
        self.world.arrive()

    @rule()
    def settle(self) -> None:
        self.world.settle()

    # What must hold.

    @invariant()
    def what_came_is_right(self) -> None:
        self.world.pump()
        self.world.check_caches()

    def teardown(self) -> None:
        try:
            # What has failed before is what is to be seen.
            if self.world.resources and sys.exception() is None:
                self.world.settle()
                self.world.check_caches()
                assert self.live.stats()["panics"] == 0
        finally:
            note(f"{len(self.world.followers)} followers")
            super().teardown()


def test_the_promises_hold_behind_caches(live: LiveNode, site: Site) -> None:
    gc.disable()
    machine = type("Machine", (BehindCaches,), {"live": live, "site": site})
    long = settings.get_current_profile_name() == "long"
    try:
        run_state_machine_as_test(machine, settings=settings.get_profile("long") if long else QUICK)
    finally:
        gc.enable()
