"""The application's half of a state machine: what it publishes, what happens to it, and what goes wrong with it.

Whoever reads and watches comes with the machine that builds on this: through a node (`test_machine`), or through caches
in front of one (`tests/edge_promises`).
"""

import itertools
from typing import Any

from freshwire.testing import LiveNode
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from .clients import Client
from .model import World
from .site import Resource, Site

LARGE_BYTES = 60_000

numbers = itertools.count()
# Which one of those that there are: the first if it does not matter.
indices = st.integers(0, 7)
users = st.sampled_from([None, "alice", "bob"])
languages = st.sampled_from([None, "de", "en"])
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


class Application(RuleBasedStateMachine):
    """See the module. `live` and `site` come from the test."""

    live: LiveNode
    site: Site

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.number = next(numbers)

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

    def teardown(self) -> None:
        self.world.close()
        for resource in self.world.resources:
            del self.site.resources[resource.path]
