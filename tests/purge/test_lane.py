"""What waits for a cache: put together, bounded, asked for again, and acknowledged in the order of changes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from freshwire.purge.cache import retry_after
from freshwire.purge.lane import Bucket, Lane

from ..waiting import until
from . import fake
from .conftest import keys

Start = Callable[..., Lane]
Fakes = Callable[[str], fake.Api]


async def test_what_changes_within_the_window_is_one_request_with_each_name_once(
    api: Fakes, lane: Start
) -> None:
    served = api("fastly")
    way = lane(served, coalesce_ms=10_000)
    for offset in range(1, 101):
        way.add(keys(5), everything=False, offset=offset)
        await asyncio.sleep(0)
    await way.close(10)
    assert way.acknowledged == 100
    assert [len(asked.json["surrogate_keys"]) for asked in served.asked] == [5]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "answer",
    [
        fake.of(429, {"msg": "Rate limit"}),
        fake.of(500),
        fake.of(503, None, retry_after="0"),
        fake.Answer(hang_up=True),
        fake.Answer(302, headers={"location": "http://127.0.0.1:1/"}),
        fake.of(404, {"msg": "Record not found"}),
    ],
    ids=["429", "500", "503", "nothing", "302", "404"],
)
async def test_what_fails_is_asked_for_again_until_it_is_understood(
    answer: fake.Answer, api: Fakes, lane: Start
) -> None:
    served = api("fastly")
    served.answers.extend([answer, answer, answer])
    way = lane(served)
    way.add(keys(3), everything=False, offset=4)
    await until(lambda: way.acknowledged == 4)
    assert (way.figures.purged, way.figures.failures) == (3, 3)
    assert served.purged == [key for _, key in keys(3)]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"\xff\xfe", b"{" * 100_000])
async def test_an_answer_that_makes_no_sense_is_no_acknowledgement(
    body: bytes, api: Fakes, lane: Start
) -> None:
    served = api("cloudflare")
    served.answers.append(fake.Answer(200, body))
    way = lane(served)
    way.add(keys(1), everything=False, offset=4)
    await until(lambda: way.acknowledged == 4)
    assert (way.figures.purged, way.figures.failures) == (1, 1)


async def test_an_api_that_is_too_slow_is_asked_again(api: Fakes, lane: Start) -> None:
    served, hold = api("fastly"), threading.Event()
    served.answers.append(fake.Answer(hold=hold))
    way = lane(served, timeout_s=0.2)
    way.add(keys(1), everything=False, offset=4)
    await until(lambda: way.acknowledged == 4)
    hold.set()
    assert (way.figures.purged, way.figures.failures) == (1, 1)


async def test_a_cache_that_is_down_is_asked_again_until_it_is_back(lane: Start) -> None:
    with fake.serve("fastly") as gone:
        way = lane(gone)
    way.add(keys(1), everything=False, offset=4)
    await until(lambda: way.figures.failures > 1)
    assert way.acknowledged == 0
    with fake.serve("fastly", int(gone.url.rpartition(":")[2])) as back:
        await until(lambda: way.acknowledged == 4)
        assert len(back.purged) == 1


async def test_a_change_during_the_request_is_asked_for_by_itself(api: Fakes, lane: Start) -> None:
    served, hold = api("fastly"), threading.Event()
    served.answers.append(fake.Answer(200, b"{}", hold=hold))
    way = lane(served)
    way.add(keys(1), everything=False, offset=1)
    await until(lambda: len(served.asked) == 1)
    way.add(keys(1), everything=False, offset=2)
    await until(lambda: way.acknowledged == 0 and len(served.asked) == 2)
    hold.set()
    await until(lambda: way.acknowledged == 2)


async def test_acknowledgements_are_in_the_order_of_changes(api: Fakes, lane: Start) -> None:
    served, hold = api("fastly"), threading.Event()
    served.answers.append(fake.Answer(200, b"{}", hold=hold))
    way = lane(served)
    way.add(keys(1), everything=False, offset=1)
    await until(lambda: len(served.asked) == 1)
    for offset in (2, 3):
        way.add(keys(1, first=offset), everything=False, offset=offset)
        await until(lambda offset=offset: way.figures.purged == offset - 1)  # type: ignore[misc]
        assert way.acknowledged == 0
    hold.set()
    await until(lambda: way.acknowledged == 3)


async def test_more_than_may_wait_is_purged_as_everything_and_said_aloud(
    api: Fakes, lane: Start, caplog: pytest.LogCaptureFixture
) -> None:
    served, hold = api("fastly"), threading.Event()
    served.answers.extend(fake.Answer(503, hold=hold) for _ in range(4))
    way = lane(served, max_names=300)
    for first in range(0, 2000, 100):
        way.add(keys(100, first=first), everything=False, offset=first + 100)
        assert way.waiting <= 300
        await asyncio.sleep(0)
    hold.set()
    await until(lambda: way.acknowledged == 2000)
    assert served.everything >= 1
    assert way.waiting == 0
    assert "max_purges" in caplog.text


async def test_one_name_that_is_refused_takes_no_other_with_it(
    api: Fakes, lane: Start, caplog: pytest.LogCaptureFixture
) -> None:
    served = api("fastly")
    way = lane(served)
    names = keys(40)
    names[17] = ("key", "with space")
    way.add(names, everything=False, offset=1)
    await until(lambda: way.acknowledged == 1)
    assert sorted(served.purged) == [key for _, key in keys(40) if key != keys(40)[17][1]]
    assert (way.figures.refused, way.figures.purged) == (1, 39)
    assert "with space" in caplog.text
    assert len(served.asked) < 20


async def test_the_end_asks_for_what_is_left(api: Fakes, lane: Start) -> None:
    served = api("fastly")
    way = lane(served, coalesce_ms=10_000)
    way.add(keys(3), everything=False, offset=1)
    await way.close(10)
    assert len(served.purged) == 3


async def test_the_end_says_what_it_could_not_purge(
    api: Fakes, lane: Start, caplog: pytest.LogCaptureFixture
) -> None:
    served, hold = api("fastly"), threading.Event()
    served.answers.extend(fake.Answer(hold=hold) for _ in range(9))
    way = lane(served)
    way.add(keys(3), everything=False, offset=1)
    await until(lambda: len(served.asked) == 1)
    await way.close(0.01)
    hold.set()
    assert "have not left fastly" in caplog.text


async def test_a_defect_costs_a_retry_and_not_the_lane(
    api: Fakes, lane: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = api("fastly")
    way = lane(served)
    purge, faults = type(way.cache).purge, iter([RuntimeError("boom")])

    async def once(*arguments: object, **named: object) -> None:
        for fault in faults:
            raise fault
        await purge(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(type(way.cache), "purge", once)
    way.add(keys(1), everything=False, offset=1)
    await until(lambda: way.acknowledged == 1)
    assert way.figures.failures == 1


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(per_s=2, burst=3, tokens=3, at=0.0)
    assert [bucket.take(0.0) for _ in range(5)] == [0, 0, 0, 0.5, 1.0]
    assert bucket.take(100.0) == 0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("7", 7),
        ("-7", 0),
        ("soon", 0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 0),
        ("9" * 400, 999_999_999_999),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float) -> None:
    assert retry_after(value, now=100.0) == seconds


async def test_retry_after_is_honoured_up_to_a_limit(
    api: Fakes, lane: Start, caplog: pytest.LogCaptureFixture
) -> None:
    served = api("bunny")
    served.answers.append(fake.of(429, None, retry_after="36000"))
    way = lane(served)
    way.add(keys(1), everything=False, offset=1)
    await until(lambda: way.figures.failures == 1)
    assert "again in 300.0 s" in caplog.text
