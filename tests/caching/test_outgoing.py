"""What leaves the node for the caches in front: tags as keys, lifetimes, and of a late answer hardly any."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from freshwire import _engine

from .site import Answer, Headers, running

SECRET = "0123456789abcdef0123456789abcdef"
FIELDS = {"Surrogate-Key": " ", "Cache-Tag": ",", "xkey": " ", "Edge-Cache-Tag": ",", "CDN-Tag": ","}


def groups(tags: Sequence[str]) -> str:
    return ", ".join(f'"{tag}"' for tag in tags)


@pytest.mark.parametrize("count", [1, 128])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_purge_of_a_tag_reaches_a_response_with_it_in_every_field(count: int, *, streamed: bool) -> None:
    tags = [f"tag:{n}" for n in range(count)]

    def answer(_: Headers) -> Answer:
        # What is not kept is passed on as it comes.
        control = "no-store" if streamed else "public"
        return 200, {"cache-groups": groups(tags), "cache-control": control, "xkey": "own"}, "body"

    with running(answer, tag_fields=list(FIELDS), tag_key=SECRET) as run:
        for response in (run.get(), run.get()):
            for tag in [*tags, f"{run.live.url}/x"]:
                purge = _engine.surrogate_keys(SECRET, [tag])
                for field, separator in FIELDS.items():
                    keys = response.headers[field].split(separator)
                    assert set(purge) & set(keys), (tag, field)
            assert "own" not in response.headers["xkey"]
            assert len(response.headers["CDN-Tag"]) <= 1000
            assert response.headers["cache-groups"].count('"') <= 64
            assert "tag:" not in str(response.headers)


def test_what_is_for_one_user_names_no_keys_and_nothing_names_its_tags() -> None:
    def answer(_: Headers) -> Answer:
        return 200, {"cache-groups": '"user:7"', "cache-control": "private"}, "body"

    with running(answer, tag_fields=list(FIELDS), tag_key=SECRET) as run:
        response = run.get(cookie="a=b")
        assert not [field for field in FIELDS if field in response.headers]
        assert "user:7" not in str(response.headers)


def test_a_write_invalidates_the_groups_as_they_are_called_outside() -> None:
    def answer(_: Headers) -> Answer:
        return 200, {"cache-groups": '"a"', "cache-group-invalidation": '"a"'}, "body"

    with running(answer, tag_key=SECRET) as run:
        group = run.get().headers["cache-groups"]
        assert group in run.client.post("/y").headers["cache-group-invalidation"]


def test_caches_that_are_purged_keep_what_browsers_ask_for_each_time() -> None:
    def answer(_: Headers) -> Answer:
        return (
            200,
            {"cache-groups": '"a"', "cache-control": "public", "date": "Sun, 06 Nov 1994 08:49:37 GMT"},
            "body",
        )

    with running(answer, cdn_max_age_s=300, cdn_stale_if_error_s=60) as run:
        for response in (run.get(), run.get(), run.get(if_none_match="*")):
            assert response.headers["cdn-cache-control"] == "max-age=300, stale-if-error=60"
            assert response.headers["cache-control"] == "public, no-cache"
            # It is known to be good now, whenever it was made: a cache in front counts from now.
            assert response.headers.get("age", "0") == "0"
            assert "1994" not in response.headers["date"]
        assert len(run.site.asked) == 1


def test_a_field_for_this_cache_goes_no_further_and_one_for_all_does() -> None:
    def answer(_: Headers) -> Answer:
        said = {
            "freshwire-cache-control": "max-age=600",
            "cdn-cache-control": "no-store",
            "cache-control": "no-store",
        }
        return 200, said, "body"

    with running(answer) as run:
        for response in (run.get(), run.get()):
            assert "freshwire-cache-control" not in response.headers
            assert response.headers["cdn-cache-control"] == "no-store"
        assert len(run.site.asked) == 1


def test_a_late_answer_says_in_no_field_that_it_may_be_kept_for_long() -> None:
    said = {
        "cache-control": "public, max-age=600, stale-while-revalidate=600",
        "cdn-cache-control": "max-age=600",
        "surrogate-control": "max-age=600",
        "x-accel-expires": "600",
        "expires": "Sun, 06 Nov 2044 08:49:37 GMT",
    }

    def answer(_: Headers) -> Answer:
        return 200, {"cache-groups": '"a"', **said}, "body"

    with running(answer, cdn_max_age_s=600) as run, ThreadPoolExecutor() as pool:
        run.site.open.clear()
        late = pool.submit(run.get)
        run.site.was_asked(1)
        run.live.changed("a")
        run.site.open.set()
        headers = late.result().headers
        assert headers["cache-control"] == "public, max-age=1"
        assert headers["cdn-cache-control"] == headers["surrogate-control"] == "max-age=1"
        assert "expires" not in headers
        assert "x-accel-expires" not in headers
        run.get()
        assert len(run.site.asked) == 2


def test_a_late_answer_that_said_nothing_says_a_second() -> None:
    def answer(_: Headers) -> Answer:
        return 200, {"cache-groups": '"a"'}, "body"

    with running(answer, cdn_max_age_s=600) as run, ThreadPoolExecutor() as pool:
        run.site.open.clear()
        late = pool.submit(run.get)
        run.site.was_asked(1)
        run.live.changed("a")
        run.site.open.set()
        assert late.result().headers["cache-control"] == "max-age=1"
        assert "cdn-cache-control" not in late.result().headers
