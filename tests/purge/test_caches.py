"""Each cache against a fake of its API that checks method, path, headers, signature and limits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from freshwire.purge import CACHES
from freshwire.purge.lane import Lane

from ..waiting import until
from . import fake
from .conftest import keys

LIMITS = {"fastly": 256, "cloudflare": 100, "cloudfront": 1000, "akamai": 1000, "bunny": 1, "webhook": 1000}


def test_each_cache_has_a_fake_or_the_real_one() -> None:
    assert set(CACHES) == {*LIMITS, "varnish"} == {*fake.SETTINGS, "varnish"}


@pytest.mark.parametrize("name", LIMITS)
async def test_all_keys_are_purged_in_requests_of_as_many_as_the_api_takes(
    name: str, api: Callable[[str], fake.Api], lane: Callable[..., Lane]
) -> None:
    served = api(name)
    limit, count = LIMITS[name], 2 * LIMITS[name] + 1
    way = lane(served, settled=True)
    way.add(keys(count), everything=False, offset=7)
    await until(lambda: way.acknowledged == 7)
    wanted = [key for _, key in keys(count)]
    assert sorted(name.removeprefix("keys:") for name in served.purged) == wanted
    assert len(served.asked) == 3 == -(-count // limit)
    assert (way.figures.purged, way.figures.failures, way.waiting) == (count, 0, 0)


@pytest.mark.parametrize("name", LIMITS)
async def test_everything_is_purged_with_one_request(
    name: str, api: Callable[[str], fake.Api], lane: Callable[..., Lane]
) -> None:
    served = api(name)
    way = lane(served, settled=True)
    way.add([], everything=True, offset=7)
    await until(lambda: way.acknowledged == 7)
    assert (served.everything, served.purged, len(served.asked)) == (1, [], 1)


@pytest.mark.parametrize("name", LIMITS)
async def test_wrong_credentials_are_an_error_in_the_log_that_does_not_name_them(
    name: str, api: Callable[[str], fake.Api], lane: Callable[..., Lane], caplog: pytest.LogCaptureFixture
) -> None:
    served = api(name)
    wrong = {"akamai": "client_secret", "cloudfront": "secret_key"}.get(name, "token")
    way = lane(served, **{wrong: "not-the-secret"})
    way.add(keys(1), everything=False, offset=7)
    await until(lambda: way.figures.failures >= 2)
    assert served.purged == []
    assert way.acknowledged == 0
    assert "401" in caplog.text or "403" in caplog.text
    assert "ERROR" in caplog.text
    assert "not-the-secret" not in caplog.text + repr(way.cache)


async def test_a_soft_purge_says_so(api: Callable[[str], fake.Api], lane: Callable[..., Lane]) -> None:
    served = api("fastly")
    way = lane(served, soft=True)
    way.add(keys(1), everything=False, offset=1)
    await until(lambda: way.acknowledged == 1)
    assert served.asked[0].headers["fastly-soft-purge"] == "1"


async def test_success_is_what_the_body_says(
    api: Callable[[str], fake.Api], lane: Callable[..., Lane]
) -> None:
    served = api("cloudflare")
    served.answers.append(fake.of(200, {"success": False, "errors": [{"code": 1, "message": "no such tag"}]}))
    way = lane(served)
    way.add(keys(1), everything=False, offset=1)
    await until(lambda: way.figures.refused == 1)
    assert served.purged == []


async def test_an_invalidation_that_must_have_settled_is_looked_at_until_it_is_complete(
    api: Callable[[str], fake.Api], lane: Callable[..., Lane], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("freshwire.purge.cloudfront.LOOK_AGAIN_S", 0.001)
    served = api("cloudfront")
    served.looks = 3
    way = lane(served, settled=True)
    way.add(keys(2), everything=False, offset=1)
    await until(lambda: way.acknowledged == 1)
    assert [asked.method for asked in served.asked] == ["POST", "GET", "GET", "GET"]
    served.looks = 3
    hasty = lane(served)
    hasty.add(keys(2), everything=False, offset=1)
    await until(lambda: hasty.acknowledged == 1)
    assert [asked.method for asked in served.asked[4:]] == ["POST"]


async def test_too_many_invalidations_in_progress_are_waited_for(
    api: Callable[[str], fake.Api], lane: Callable[..., Lane], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("freshwire.purge.cloudfront.TOO_MANY_PAUSE_S", 0.001)
    served = api("cloudfront")
    body = b"<ErrorResponse><Error><Code>TooManyInvalidationsInProgress</Code></Error></ErrorResponse>"
    served.answers.append(fake.Answer(400, body))
    way = lane(served)
    way.add(keys(2), everything=False, offset=1)
    await until(lambda: way.acknowledged == 1)
    assert (way.figures.failures, way.figures.refused, way.figures.purged) == (1, 0, 2)


async def test_everything_that_akamai_cannot_purge_is_said_aloud(
    api: Callable[[str], fake.Api], lane: Callable[..., Lane], caplog: pytest.LogCaptureFixture
) -> None:
    way = lane(api("akamai"), cp_codes=[])
    way.add([], everything=True, offset=1)
    await until(lambda: way.figures.refused == 1)
    assert "cp_codes" in caplog.text


async def test_a_webhook_is_told_the_names_behind_the_keys(
    api: Callable[[str], fake.Api], lane: Callable[..., Lane]
) -> None:
    served = api("webhook")
    way = lane(served)
    way.add([("key", "k"), ("tag", "score:7"), ("uri", "http://h/x")], everything=False, offset=1)
    await until(lambda: way.acknowledged == 1)
    assert served.purged == ["keys:k", "tags:score:7", "urls:http://h/x"]
