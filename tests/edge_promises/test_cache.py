"""The model of a shared cache, by itself: what a node's promises are judged behind must be an honest cache."""

from typing import Any

import pytest

from .cache import DEAF, HASTY, HONEST, MISERLY, Cache, Done, Request, Response, Temper, directives


class Scripted:
    """An upstream whose answers the test gives."""

    def __init__(self) -> None:
        self.asked: list[tuple[Request, Done]] = []

    def ask(self, request: Request, done: Done) -> None:
        self.asked.append((request, done))

    def answer(
        self, control: str = "max-age=60", status: int = 200, body: bytes = b"1", **fields: str
    ) -> None:
        """Answer the request that has waited longest."""
        said = {"cache-control": control} if control else {}
        said |= {name.replace("_", "-"): value for name, value in fields.items()}
        self.asked.pop(0)[1](Response(status, tuple(said.items()), body))


class Ground:
    def __init__(self, temper: Temper = HONEST) -> None:
        self.origin = Scripted()
        self.cache = Cache(self.origin, temper)
        self.got: list[Response | None] = []

    def get(self, target: str = "/x", **fields: str) -> None:
        named = tuple((name.replace("_", "-"), value) for name, value in fields.items())
        self.cache.ask(Request(target, named), self.got.append)

    @property
    def last(self) -> Response:
        assert isinstance(self.got[-1], Response)
        return self.got[-1]


def test_what_is_fresh_is_served_and_what_is_stale_is_validated() -> None:
    ground = Ground()
    ground.get()
    ground.origin.answer(etag='"a"', age="50")
    ground.cache.step(9)
    ground.get()
    assert (len(ground.got), ground.last.get("age")) == (2, "59")
    ground.cache.step(1)
    ground.get()
    assert len(ground.got) == 2
    assert ground.origin.asked[0][0].get("if-none-match") == '"a"'
    ground.origin.answer(status=304, body=b"", etag='"a"', fresh_position="e-7")
    assert (ground.last.status, ground.last.body, ground.last.get("fresh-position")) == (200, b"1", "e-7")
    ground.get(if_none_match='"a"')
    assert (ground.last.status, ground.origin.asked) == (304, [])


@pytest.mark.parametrize(
    ("control", "fields", "kept"),
    [
        ("max-age=60", {}, True),
        ("no-store", {}, False),
        ("private, max-age=60", {}, False),
        ("max-age=0", {}, False),
        ("no-cache, max-age=60", {}, False),
        ("no-cache", {"cdn_cache_control": "max-age=60"}, True),
        ("max-age=60", {"cdn_cache_control": "no-store"}, False),
        ("max-age=0, s-maxage=60", {}, True),
        ("", {}, False),
        ("max-age=60", {"vary": "*"}, False),
        (
            "",
            {"expires": "Thu, 01 Jan 2026 00:01:00 GMT", "date": "Thu, 01 Jan 2026 00:00:00 GMT"},
            True,
        ),
    ],
)
def test_what_a_shared_cache_reuses(control: str, fields: Any, kept: bool) -> None:
    ground = Ground()
    ground.get()
    ground.origin.answer(control, **fields)
    ground.get()
    assert (len(ground.got) == 2) is kept


def test_what_is_answered_to_a_token_is_kept_if_it_says_so() -> None:
    for control, kept in [("max-age=60", False), ("public, max-age=60", True), ("s-maxage=60", True)]:
        ground = Ground()
        ground.get(authorization="Bearer alice")
        ground.origin.answer(control)
        ground.get()
        assert (len(ground.got) == 2) is kept, control


def test_vary_chooses() -> None:
    ground = Ground()
    for language in ("de", "en"):
        ground.get(accept_language=language)
        ground.origin.answer(vary="Accept-Language", body=language.encode())
    ground.get(accept_language="de")
    assert (ground.last.body, ground.origin.asked) == (b"de", [])


@pytest.mark.parametrize(("temper", "requests"), [(HONEST, 1), (HASTY, 3)])
def test_one_request_is_made_for_all_that_ask_at_the_same_time(temper: Temper, requests: int) -> None:
    ground = Ground(temper)
    for _ in range(3):
        ground.get()
    assert len(ground.origin.asked) == requests
    while ground.origin.asked:
        ground.origin.answer()
    assert len(ground.got) == 3


def test_what_is_private_is_asked_for_by_each_alone() -> None:
    ground = Ground()
    for user in ("alice", "bob", "carol"):
        ground.get(cookie=user)
    ground.origin.answer("private, max-age=60", body=b"alice's")
    assert [asked.get("cookie") for asked, _ in ground.origin.asked] == ["bob", "carol"]
    ground.origin.answer("private", body=b"bob's")
    ground.origin.answer("private", body=b"carol's")
    assert [got.body for got in ground.got if got] == [b"alice's", b"bob's", b"carol's"]


@pytest.mark.parametrize(("temper", "forgets"), [(HONEST, True), (DEAF, False)])
def test_a_purge_forgets_but_not_what_is_on_its_way(temper: Temper, forgets: bool) -> None:
    ground = Ground(temper)
    ground.get("/x")
    ground.origin.answer(cache_groups='"a", "b"')
    ground.get("/y")
    ground.cache.purge(tags=["b"])
    ground.cache.purge(target="/y")
    ground.origin.answer(cache_groups='"b"', body=b"late")
    ground.get("/y")
    assert (ground.last.body, ground.origin.asked) == (b"late", [])
    ground.get("/x")
    assert bool(ground.origin.asked) is forgets


def test_what_is_written_is_forgotten() -> None:
    ground = Ground()
    for target in ("/x", "/y", "/z"):
        ground.get(target)
        ground.origin.answer(cache_groups='"z"' if target == "/z" else '"none"')
    ground.cache.ask(Request("/x", method="POST"), ground.got.append)
    ground.origin.answer("", status=201, location="/y", cache_group_invalidation='"z"')
    assert ground.cache.kept == {}


def test_a_miser_serves_what_is_stale_as_far_as_it_may() -> None:
    ground = Ground(MISERLY)
    ground.get()
    ground.origin.answer("max-age=60, stale-while-revalidate=30, stale-if-error=100", etag='"a"')
    ground.cache.step(70)
    ground.get()
    assert (ground.last.body, len(ground.origin.asked)) == (b"1", 1)
    ground.origin.answer(status=500)
    ground.cache.step(60)
    ground.get()
    assert len(ground.got) == 2
    ground.origin.answer(status=500)
    assert (ground.last.status, ground.last.body) == (200, b"1")
    ground.cache.step(60)
    ground.get()
    ground.origin.answer(status=500)
    assert ground.last.status == 500


def test_a_miser_gives_a_lifetime_to_what_has_none() -> None:
    ground = Ground(MISERLY)
    ground.get()
    ground.origin.answer("")
    ground.cache.step(119)
    ground.get()
    assert len(ground.got) == 2
    ground.cache.step(1)
    ground.get()
    assert len(ground.got) == 2


def test_two_caches_in_a_row_add_up_the_age() -> None:
    origin = Scripted()
    shield = Cache(origin, name="shield")
    edge = Cache(shield, name="edge")
    got: list[Any] = []
    edge.ask(Request("/x"), got.append)
    origin.answer("max-age=60")
    shield.step(40)
    edge.evict()
    edge.ask(Request("/x"), got.append)
    edge.step(19)
    edge.ask(Request("/x"), got.append)
    assert [response.get("age") for response in got] == ["0", "40", "59"]
    edge.step(1)
    edge.ask(Request("/x"), got.append)
    assert (len(got), origin.asked) == (4, [])  # the shield's copy is fresh by its own clock


def test_a_connection_that_breaks_is_no_answer() -> None:
    ground = Ground()
    ground.get()
    ground.origin.asked.pop()[1](None)
    assert (ground.got, ground.cache.kept) == ([None], {})


def test_directives_of_a_list_in_quotes_are_one() -> None:
    assert directives('Private="a, b", max-age=1, ,max-age=2') == {"private": "a, b", "max-age": "1"}
