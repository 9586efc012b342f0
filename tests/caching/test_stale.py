"""Copies whose lifetime has ended: asked about (RFC 9111 §4.3), used meanwhile or if asking fails (RFC 5861)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from .site import Answer, Headers, running, status

WHILE, ON_ERROR = "stale-while-revalidate=60", "stale-if-error=60"


def test_a_stale_copy_is_used_while_one_request_asks_about_it() -> None:
    version = 1

    def answer(_: Headers) -> Answer:
        return 200, {"cache-control": f"max-age=1, {WHILE}", "etag": f'"{version}"'}, str(version)

    with running(answer) as run:
        assert run.get(accept_language="de", x_client="a").text == "1"
        run.site.open.clear()
        version = 2
        stale = run.until(lambda response: status(response).startswith("hit; ttl=-"))
        assert (stale.text, stale.headers["age"]) == ("1", "1")
        run.site.was_asked(2)
        assert [run.get().text for _ in range(5)] == ["1"] * 5
        assert len(run.site.asked) == 2
        asked = run.site.asked[1]
        assert asked["if-none-match"] == '"1"'
        assert "x-client" not in asked
        run.site.open.set()
        assert run.until(lambda response: response.text == "2").status_code == 200


def test_a_copy_of_which_a_tag_changed_is_never_used() -> None:
    version = 1
    broken = False

    def answer(_: Headers) -> Answer:
        said = {"cache-control": f"max-age=1, {WHILE}, {ON_ERROR}", "cache-groups": '"a"'}
        return (503, {}, "broken") if broken else (200, said, str(version))

    with running(answer) as run, ThreadPoolExecutor() as pool:
        run.get()
        run.site.open.clear()
        run.until(lambda response: status(response).startswith("hit; ttl=-"))
        run.site.was_asked(2)
        version = 2
        run.live.changed("a")
        # What is under way may have been made before the change; nobody gets it who asks after.
        after = pool.submit(run.get)
        run.site.open.set()
        assert after.result().text == "2"
        broken = True
        run.live.changed("a")
        assert run.get().status_code == 503


def test_a_stale_copy_is_used_when_asking_fails_and_then_for_a_while_without_asking() -> None:
    broken = False

    def answer(_: Headers) -> Answer:
        return (503, {}, "broken") if broken else (200, {"cache-control": f"max-age=1, {ON_ERROR}"}, "good")

    with running(answer) as run:
        run.get()
        broken = True
        rescued = run.until(lambda response: status(response) != "hit")
        assert (rescued.status_code, rescued.text) == (200, "good")
        assert status(rescued) == "fwd=stale; detail=stale-if-error"
        before = len(run.site.asked)
        with ThreadPoolExecutor(8) as pool:
            assert {found.text for found in pool.map(lambda _: run.get(), range(8))} == {"good"}
        assert len(run.site.asked) <= before + 1
        broken = False
        assert run.until(lambda response: "stored" in status(response)).text == "good"


def test_an_error_is_an_error_where_the_application_allowed_nothing_else() -> None:
    broken = False

    def answer(_: Headers) -> Answer:
        said = {"cache-control": f"max-age=1, must-revalidate, {ON_ERROR}, {WHILE}"}
        return (503, {}, "broken") if broken else (200, said, "good")

    with running(answer) as run:
        run.get()
        broken = True
        assert run.until(lambda response: status(response) != "hit").status_code == 503


def test_a_304_makes_a_copy_good_again_with_its_tags_and_the_new_fields() -> None:
    version = 1

    def answer(asked: Headers) -> Answer:
        said = {
            "cache-control": "max-age=1",
            "etag": f'"{version}"',
            "x-asked": asked.get("if-none-match", ""),
        }
        if asked.get("if-none-match") == said["etag"]:
            return 304, said, ""
        return 200, said | {"cache-groups": '"a"', "content-type": "text/plain"}, str(version)

    with running(answer) as run:
        assert run.get().headers["x-asked"] == ""
        again = run.until(lambda response: status(response) != "hit", if_none_match='"mine"')
        assert (again.status_code, again.text, status(again)) == (200, "1", "fwd=stale; stored")
        assert (again.headers["x-asked"], again.headers["content-type"]) == ('"1"', "text/plain")
        assert again.headers["cache-groups"] == '"a"'
        assert status(run.get()) == "hit"
        assert run.get(if_none_match='"1"').status_code == 304
        version = 2
        run.live.changed("a")
        assert run.get().text == "2"


def test_what_must_be_asked_about_each_time_is_asked_about_and_not_shared_without() -> None:
    def answer(asked: Headers) -> Answer:
        said = {"cache-control": "no-cache", "etag": '"1"'}
        return (304, said, "") if asked.get("if-none-match") == '"1"' else (200, said, "body")

    with running(answer) as run:
        assert [run.get().text for _ in range(3)] == ["body"] * 3
        assert ["if-none-match" in asked for asked in run.site.asked] == [False, True, True]


def test_who_has_credentials_neither_gets_nor_asks_about_what_was_made_for_one_without() -> None:
    def answer(asked: Headers) -> Answer:
        said = {"cache-control": f"max-age=1, {WHILE}, {ON_ERROR}", "etag": '"1"'}
        return 200, said, asked.get("cookie", "nobody")

    with running(answer) as run:
        assert run.get().text == "nobody"
        run.until(lambda response: status(response) != "hit")
        assert run.get(cookie="user=1").text == "user=1"
        assert "if-none-match" not in run.site.asked[-1]


def test_a_part_of_a_fresh_copy_is_answered_by_the_node_and_any_other_by_the_application() -> None:
    def answer(_: Headers) -> Answer:
        return 200, {"cache-control": "max-age=600", "etag": '"1"'}, "0123456789"

    with running(answer) as run:
        run.get()
        part = run.get(range="bytes=2-4", if_range='"1"')
        assert (part.status_code, part.text, part.headers["content-range"]) == (206, "234", "bytes 2-4/10")
        assert "fresh-position" not in part.headers
        assert run.get(range="bytes=0-1", if_none_match='"1"').status_code == 304
        assert len(run.site.asked) == 1
        for other in (
            {"range": "bytes=0-1,4-5"},
            {"range": "bytes=99-"},
            {"range": "bytes=0-1", "if_range": '"2"'},
        ):
            run.get(**other)
        assert len(run.site.asked) == 4
