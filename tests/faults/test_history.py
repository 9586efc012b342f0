"""The checker finds each kind of broken promise, in histories made for it and in a real one that was tampered with."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.faults.database import Database
from conformance.faults.history import (
    Acknowledged,
    Asked,
    Begun,
    Calm,
    Ended,
    Got,
    Left,
    Record,
    Unchanged,
    Variant,
    check,
)
from conformance.faults.trial import QUICK, trial, until

SHARED, GERMAN = Variant(0), Variant(0, language="de")
ALICE, BOB = Variant(0, user="alice"), Variant(0, user="bob")


def written(at: float, version: int) -> list[Record]:
    return [Begun(at, 0, version), Acknowledged(at + 0.1, 0, version)]


def follows(at: float, variant: Variant = SHARED, name: str = "f") -> Asked:
    return Asked(at, name, variant, "sse")


BROKEN: dict[str, tuple[str, list[Record]]] = {
    "the newest never comes": (
        "lost",
        [*written(1, 1), follows(2), Got(3, "f", SHARED, 1), *written(4, 2), Calm(9)],
    ),
    "nothing ever comes": ("lost", [*written(1, 1), follows(2), Calm(9)]),
    "a client cannot come back": (
        "lost",
        [*written(1, 1), follows(2), Got(3, "f", SHARED, 1), Ended(4, "f", 503), Calm(9)],
    ),
    "an older one after a newer one": (
        "backward",
        [Begun(1, 0, 1), Begun(2, 0, 2), follows(3), Got(4, "f", SHARED, 2), Got(5, "f", SHARED, 1)],
    ),
    "an older one over the next connection": (
        "backward",
        [
            *(Begun(1, 0, 1), Begun(2, 0, 2), follows(3), Got(4, "f", SHARED, 2), Ended(5, "f")),
            *(Asked(6, "f", SHARED, "websocket"), Got(7, "f", SHARED, 1)),
        ],
    ),
    "a version that nobody wrote": ("phantom", [*written(1, 1), follows(2), Got(3, "f", SHARED, 7)]),
    "a version before its write began": (
        "phantom",
        [*written(1, 1), follows(2), Got(3, "f", SHARED, 2), *written(4, 2)],
    ),
    "a read of what was overwritten": (
        "stale",
        [*written(1, 1), *written(2, 2), Asked(3, "r", SHARED, "get"), Got(4, "r", SHARED, 1)],
    ),
    "a watch that begins with what was overwritten": (
        "stale",
        [*written(1, 1), *written(2, 2), follows(3), Got(4, "f", SHARED, 1)],
    ),
    "no change, though there was one": (
        "stale",
        [
            *(*written(1, 1), Asked(2, "r", SHARED, "get"), Got(3, "r", SHARED, 1), Ended(3, "r", 200)),
            *(*written(4, 2), Asked(5, "r", SHARED, "get"), Unchanged(6, "r")),
        ],
    ),
    "a read of less than somebody was told of": (
        "stale",
        [
            *(*written(1, 1), Begun(2, 0, 2), follows(3), Got(4, "f", SHARED, 2)),
            *(Asked(5, "r", SHARED, "get"), Got(6, "r", SHARED, 1)),
        ],
    ),
    "somebody else's": ("foreign", [*written(1, 1), follows(2, ALICE), Got(3, "f", BOB, 1)]),
    "another language": ("foreign", [*written(1, 1), follows(2, GERMAN), Got(3, "f", SHARED, 1)]),
}

KEPT: dict[str, list[Record]] = {
    "a read that began before the write was done may miss it": [
        *(*written(1, 1), Begun(2, 0, 2), Asked(3, "r", SHARED, "get"), Acknowledged(4, 0, 2)),
        Got(5, "r", SHARED, 1),
    ],
    "a write that failed may show": [
        *(
            *written(1, 1),
            Begun(2, 0, 2),
            follows(3),
            Got(4, "f", SHARED, 1),
            Got(5, "f", SHARED, 2),
            Calm(9),
        ),
    ],
    "and need not": [*written(1, 1), Begun(2, 0, 2), follows(3), Got(4, "f", SHARED, 1), Calm(9)],
    "versions may be skipped": [
        *(*written(1, 1), follows(2), Got(3, "f", SHARED, 1), *written(4, 2), *written(5, 3)),
        *(Got(6, "f", SHARED, 3), Calm(9)),
    ],
    "who has left hears nothing": [
        *(*written(1, 1), follows(2), Got(3, "f", SHARED, 1), Left(4, "f"), *written(5, 2), Calm(9)),
    ],
    "who resumes with the newest is sent nothing": [
        *(*written(1, 1), follows(2), Got(3, "f", SHARED, 1), Ended(4, "f"), follows(5), Calm(9)),
    ],
    "what a poll is answered between polls is no end": [
        *(*written(1, 1), Asked(2, "f", SHARED, "poll"), Got(3, "f", SHARED, 1), Ended(4, "f", 200), Calm(9)),
    ],
    "what one variant shows, another may not yet": [
        *(*written(1, 1), Begun(2, 0, 2), follows(3, GERMAN), Got(4, "f", GERMAN, 2)),
        *(Asked(5, "r", SHARED, "get"), Got(6, "r", SHARED, 1)),
    ],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_promise_is_found(name: str) -> None:
    kind, history = BROKEN[name]
    assert kind in {finding.kind for finding in check(history)}


@pytest.mark.parametrize("name", KEPT)
def test_what_is_allowed_is_not(name: str) -> None:
    assert check(KEPT[name]) == []


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """What was written down in a trial in which nothing went wrong."""

    async def record() -> list[Record]:
        async with trial(QUICK, random.randrange(2**32), tmp_path_factory.mktemp("real")) as it:
            await asyncio.sleep(1.0)
        return it.history

    history = asyncio.run(record())
    assert check(history) == []
    return history


def _the(history: list[Record], wanted: Callable[[Record], bool], which: int = -1) -> int:
    """Where the last such record is."""
    return [at for at, record in enumerate(history) if wanted(record)][which]


def _lose(history: list[Record]) -> list[Record]:
    """Take the last thing that the first follower was told."""
    return [
        r
        for r in history
        if not (isinstance(r, Got) and r.client == "follower 0" and r.version == _last(history))
    ]


def _last(history: list[Record]) -> int:
    return max(r.version for r in history if isinstance(r, Got) and r.client == "follower 0")


def _turn_back(history: list[Record]) -> list[Record]:
    at = _the(history, lambda r: isinstance(r, Got) and r.client == "follower 0")
    told = history[at]
    assert isinstance(told, Got)
    return [*history[: at + 1], replace(told, version=told.version - 1), *history[at + 1 :]]


def _invent(history: list[Record]) -> list[Record]:
    at = _the(history, lambda r: isinstance(r, Got), 0)
    told = history[at]
    assert isinstance(told, Got)
    return [*history[:at], replace(told, version=told.version + 1000), *history[at + 1 :]]


def _postdate(history: list[Record]) -> list[Record]:
    """A version is begun after it was seen, while there was no newer one."""

    def begun(resource: int, before: int) -> dict[int, int]:
        """When each version of a resource was begun."""
        records = enumerate(history[:before])
        return {r.version: at for at, r in records if isinstance(r, Begun) and r.resource == resource}

    last, at = next(
        (last, versions[r.version])
        for last, r in enumerate(history)
        if isinstance(r, Got) and (versions := begun(r.variant.resource, last)) and r.version == max(versions)
    )
    return [*history[:at], *history[at + 1 : last + 1], history[at], *history[last + 1 :]]


def _age(history: list[Record]) -> list[Record]:
    """The last read is answered with what was there before all writes."""
    at = _the(history, lambda r: isinstance(r, Got) and r.client.startswith("reader") and r.version > 0)
    told = history[at]
    assert isinstance(told, Got)
    return [*history[:at], replace(told, version=0), *history[at + 1 :]]


def _mix_up(history: list[Record]) -> list[Record]:
    at = _the(history, lambda r: isinstance(r, Got) and r.variant.user is not None)
    told = history[at]
    assert isinstance(told, Got)
    other = replace(told.variant, user="mallory")
    return [*history[:at], replace(told, variant=other), *history[at + 1 :]]


@pytest.mark.parametrize(
    ("kind", "tamper"),
    [
        ("lost", _lose),
        ("backward", _turn_back),
        ("phantom", _invent),
        ("phantom", _postdate),
        ("stale", _age),
        ("foreign", _mix_up),
    ],
)
def test_a_real_history_that_was_tampered_with_does_not_pass(
    kind: str, tamper: Callable[[list[Record]], list[Record]], real: list[Record]
) -> None:
    assert kind in {finding.kind for finding in check(tamper(real))}


def test_a_history_is_kept_where_something_was_found(tmp_path: Path) -> None:
    async def lie() -> None:
        async with trial(QUICK, 1, tmp_path) as it:
            it.history.append(Got(0.0, "follower 0", Variant(0), 10**6))

    with pytest.raises(AssertionError, match="phantom: follower 0"):
        try:
            asyncio.run(lie())
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
    assert (tmp_path / "history.jsonl").stat().st_size > 0


def test_an_application_that_lies_is_found_out(tmp_path: Path) -> None:
    async def lie() -> None:
        async with trial(QUICK, 1, tmp_path) as it:
            await until(lambda: it.acknowledged >= 10)
            async with it.going_wrong({"*": "lie"}):
                before = it.acknowledged
                await until(lambda: it.acknowledged >= before + 10)
            findings.update(finding.kind for finding in check(it.history))
            raise EnoughError

    findings = set[str]()
    with pytest.raises(BaseExceptionGroup, match="unhandled"):
        asyncio.run(lie())
    assert findings == {"backward", "stale"}


class EnoughError(Exception):
    """The trial need not come to its end."""


def test_a_commit_that_was_held_up_undoes_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    application, writers = Database(tmp_path, "application"), Database(tmp_path, "writers")
    monkeypatch.setattr(writers, "_committed", lambda *_: 0)  # it looked before the other committed
    application.write(1, 2)
    writers.write(1, 1)
    assert application.version(1) == 2
    monkeypatch.undo()
    writers.write(1, 3)
    assert application.version(1) == writers.version(1) == 3
