"""What the tests of purging share: fakes of the APIs, and a lane that is in a hurry."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from freshwire.purge import Cache, caches
from freshwire.purge.lane import Lane, Name

from . import fake


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that this machine says of caches."""
    for name in list(os.environ):
        if name.startswith(("FRESHWIRE_", "AWS_", "AKAMAI_", "FASTLY_", "CLOUDFLARE_", "BUNNY_")):
            monkeypatch.delenv(name)


@pytest.fixture
def api() -> Iterator[Callable[[str], fake.Api]]:
    """Start fakes that end with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda name: stack.enter_context(fake.serve(name))


QUICK: dict[str, Any] = {"coalesce_ms": 0, "retry_s": 0.01, "retry_max_s": 0.02}


def cache_of(api: fake.Api, **settings: object) -> Cache:
    """The cache whose API a fake is."""
    said = {"cache": api.name, "url": api.url, **fake.SETTINGS[api.name], **QUICK, **settings}
    (cache,) = caches([said])
    return cache


def keys(count: int, first: int = 0) -> list[Name]:
    """As many keys, as a node has them."""
    return [("key", f"key-{number:012d}") for number in range(first, first + count)]


@pytest.fixture
async def lane() -> AsyncIterator[Callable[..., Lane]]:
    """Start lanes that end with the test."""
    started: list[Lane] = []

    def start(api: fake.Api, *, settled: bool = False, max_names: int = 10_000, **settings: object) -> Lane:
        made = Lane(
            cache_of(api, **settings),
            settled=settled,
            max_names=max_names,
            on_progress=lambda: None,
            log=logging.getLogger("freshwire.purge"),
        )
        made.start()
        started.append(made)
        return made

    yield start
    for made in started:
        await made.close(0)
