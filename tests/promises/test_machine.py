"""Everything at once, in any order: reads, writes, watches, and what goes wrong, on a real node beside the model.

`pytest tests/promises --hypothesis-profile=long` goes on for hours; without, it is a minute's sample.
"""

import gc
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from freshwire.testing import LiveNode, node
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from .conftest import OPTIONS
from .model import APP_TIMEOUT_S, TRANSPORTS, Client, Transport, Watcher, World
from .site import Resource, Site

QUICK = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
LARGE_BYTES = 60_000
MOST_WATCHERS = 8

numbers = itertools.count()
# Which one of those that there are: the first if it does not matter.
indices = st.integers(0, 7)
users = st.sampled_from([None, "alice", "bob"])
languages = st.sampled_from([None, "de", "en"])
transports = st.sampled_from(TRANSPORTS)
refusals = st.sampled_from([401, 403, 404, 410])
kinds = st.fixed_dictionaries(
    {
        "tags": st.sampled_from([(), ("a",), ("b",), ("a", "b")]),
        "sharing": st.sampled_from(["shared", "public", "private"]),
    },
    optional={
        "varies": st.booleans(),
        "moves": st.booleans(),
        "toggles": st.booleans(),
        "max_age_s": st.sampled_from([None, None, None, 60, 1]),
        "padding": st.sampled_from([0, LARGE_BYTES]),
        "streamed": st.booleans(),
        "own_etag": st.booleans(),
        "tagged_errors": st.booleans(),
        "empty_head": st.booleans(),
        "delay_s": st.sampled_from([0.0, 0.003]),
    },
)


class Promises(RuleBasedStateMachine):
    """Clients, an application that is not always well, and a node between them."""

    live: LiveNode
    site: Site

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.live, self.site)
        self.number = next(numbers)
        if self.number % 50 == 0:
            gc.collect()  # now, and not when the node waits for its application: they share an interpreter

    @initialize(kinds=st.lists(kinds, min_size=1, max_size=3))
    def publish(self, kinds: list[dict[str, Any]]) -> None:
        for at, kind in enumerate(kinds):
            tags = tuple(f"{tag} of {self.number}" for tag in kind["tags"])
            self.world.add(Resource(f"/machine{self.number}/{at}", **{**kind, "tags": tags}))

    # Which one.

    def resource(self, index: int) -> Resource:
        return self.world.resources[index % len(self.world.resources)]

    def client(self, index: int, user: str | None, language: str | None) -> Client:
        """The same object for the same client, since it has a cache of its own."""
        resource = self.resource(index)
        language = language if resource.varies else None
        for client in self.world.clients:
            if (client.resource, client.user, client.language) == (resource, user, language):
                return client
        client = Client(resource, user, language)
        self.world.clients.append(client)
        return client

    def watcher(self, index: int) -> Watcher:
        return self.world.watchers[index % len(self.world.watchers)]

    def name(self, index: int) -> str:
        """Something that a representation depends on."""
        names = sorted({name for r in self.world.resources for name in [r.uri, *r.tags]})
        return names[index % len(names)]

    # What the application does.

    @rule(name=indices, times=st.integers(1, 3))
    def change(self, name: int, times: int) -> None:
        for _ in range(times):
            self.world.change(self.name(name))

    @rule(name=indices)
    def commit(self, name: int) -> None:
        self.world.commit(self.name(name))

    @rule(names=st.lists(indices, min_size=1, max_size=2))
    def announce(self, names: list[int]) -> None:
        self.world.announce(*{self.name(name): None for name in names})

    @rule(
        index=indices,
        other=st.none() | indices,
        names=st.lists(indices, max_size=2),
        method=st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]),
        status=st.sampled_from([200, 201, 204, 303, 409, 500]),
    )
    def write(self, index: int, other: int | None, names: list[int], method: str, status: int) -> None:
        target = self.resource(index)
        location = None if other is None else self.resource(other)
        groups = sorted({n for n in map(self.name, names) if not n.startswith("uri ")})
        commit = [target.uri, *([location.uri] if location and location is not target else []), *groups]
        self.world.write(
            target, commit=commit, method=method, status=status, location=location, groups=groups
        )

    @rule(index=indices, user=st.sampled_from(["alice", "bob"]), status=refusals)
    def revoke(self, index: int, user: str, status: int) -> None:
        resource = self.resource(index)
        self.world.refuse(resource, user if resource.sharing == "private" else None, status)

    @precondition(lambda self: self.refused())
    @rule(index=indices)
    def grant(self, index: int) -> None:
        refused = self.refused()
        resource, owner = refused[index % len(refused)]
        self.world.refuse(resource, owner, 200)

    def refused(self) -> list[tuple[Resource, str | None]]:
        return [
            (r, user) for r in self.world.resources for user, status in r.refused.items() if status != 200
        ]

    @rule(index=indices, mode=st.sampled_from(["500", "abort", "hang"]))
    def fail(self, index: int, mode: Any) -> None:
        self.world.behave(self.resource(index), mode)

    @precondition(lambda self: any(resource.mode != "ok" for resource in self.world.resources))
    @rule()
    def heal(self) -> None:
        for resource in self.world.resources:
            if resource.mode != "ok":
                self.world.behave(resource, "ok")

    @rule(index=indices)
    def hold(self, index: int) -> None:
        self.world.hold(self.resource(index))

    @precondition(lambda self: any(resource.gate for resource in self.world.resources))
    @rule()
    def pass_by(self) -> None:
        for resource in self.world.resources:
            if resource.gate:
                self.world.pass_by(resource)

    @precondition(lambda self: self.world.gates)
    @rule(index=indices)
    def release(self, index: int) -> None:
        held = list(self.world.gates)
        self.world.release(held[index % len(held)])

    # What clients do.

    @rule(
        index=indices,
        user=users,
        language=languages,
        how=st.sampled_from(["plain", "plain", "conditional", "range", "head"]),
    )
    def get(self, index: int, user: str | None, language: str | None, how: str) -> None:
        client = self.client(index, user, language)
        fields = [("range", "bytes=0-")] if how == "range" else []
        method = "HEAD" if how == "head" else "GET"
        self.world.get(client, *fields, method=method, conditional=how == "conditional")

    @precondition(lambda self: len(self.world.watchers) < MOST_WATCHERS)
    @rule(index=indices, user=users, language=languages, transport=transports)
    def watch(self, index: int, user: str | None, language: str | None, transport: Transport) -> None:
        self.world.watch(self.client(index, user, language), transport)

    @precondition(lambda self: len(self.world.watchers) < MOST_WATCHERS)
    @rule(index=indices, user=users, language=languages, streams=st.booleans())
    def get_and_follow(self, index: int, user: str | None, language: str | None, streams: bool) -> None:
        self.world.get_and_follow(self.client(index, user, language), "sse" if streams else "websocket")

    # What a watcher can do depends on what it has heard: it does it if it can.

    @precondition(lambda self: self.world.watchers)
    @rule(index=indices)
    def disconnect(self, index: int) -> None:
        self.world.disconnect(self.watcher(index))

    @precondition(lambda self: self.world.watchers)
    @rule(index=indices, transport=transports, resume=st.sampled_from([True, True, False]))
    def reconnect(self, index: int, transport: Transport, resume: bool) -> None:
        watcher = self.watcher(index)
        self.world.disconnect(watcher)
        self.world.watch(watcher.client, transport, watcher, resume=resume)

    @precondition(lambda self: self.world.watchers)
    @rule(index=indices)
    def stop_reading(self, index: int) -> None:
        self.world.now += 1
        self.watcher(index).reading = False

    @precondition(lambda self: self.world.watchers)
    @rule(index=indices)
    def read_on(self, index: int) -> None:
        self.world.now += 1
        self.watcher(index).reading = True

    @rule()
    def settle(self) -> None:
        self.world.settle()

    # What must hold.

    @invariant()
    def what_came_is_right(self) -> None:
        self.world.pump()
        for variant, most in self.site.most_at_once.copy().items():
            assert most <= 1, f"{most} re-reads of {variant} at once"

    def teardown(self) -> None:
        try:
            if self.world.resources:
                self.world.settle()
                assert self.live.stats()["panics"] == 0
        finally:
            note(f"{len(self.world.watchers)} watchers")
            self.world.close()
            self.site.most_at_once.clear()
            for resource in self.world.resources:
                del self.site.resources[resource.path]


@pytest.fixture
def impatient(site: Site) -> Iterator[LiveNode]:
    """A node that gives up soon, since the model knows what may come of it; a soak meets a machine at its busiest."""
    long = settings.get_current_profile_name() == "long"
    with node(site, **{**OPTIONS, "app_timeout_s": APP_TIMEOUT_S if long else 1.0}) as live:
        yield live


def test_the_promises_hold_whatever_happens(impatient: LiveNode, site: Site) -> None:
    gc.disable()
    machine = type("Machine", (Promises,), {"live": impatient, "site": site})
    long = settings.get_current_profile_name() == "long"
    try:
        run_state_machine_as_test(machine, settings=settings.get_profile("long") if long else QUICK)
    finally:
        gc.enable()


@pytest.fixture(autouse=True)
def _unmix(site: Site) -> None:
    site.most_at_once.clear()
