"""Everything at once, in any order: reads, writes, watches, and what goes wrong, on a real node beside the model.

`pytest tests/promises --hypothesis-profile=long` goes on for hours; without, it is a minute's sample.
"""

import gc
import sys
from collections.abc import Iterator

import pytest
from freshwire.testing import LiveNode, node
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from .application import Application, indices, languages, users
from .clients import TRANSPORTS, Transport, Watcher
from .conftest import OPTIONS
from .model import APP_TIMEOUT_S, World
from .site import Site

QUICK = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
MOST_WATCHERS = 8

transports = st.sampled_from(TRANSPORTS)


class Promises(Application):
    """Clients, an application that is not always well, and a node between them."""

    def __init__(self) -> None:
        super().__init__(World(self.live, self.site))
        if self.number % 50 == 0:
            gc.collect()  # now, and not when the node waits for its application: they share an interpreter

    def watcher(self, index: int) -> Watcher:
        return self.world.watchers[index % len(self.world.watchers)]

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
            # What has failed before is what is to be seen.
            if self.world.resources and sys.exception() is None:
                self.world.settle()
                assert self.live.stats()["panics"] == 0
        finally:
            note(f"{len(self.world.watchers)} watchers")
            super().teardown()
            self.site.most_at_once.clear()


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
