"""Pinned reads: what they are answered with, how long it keeps, and that the application is asked once."""

import json

import pytest

from ..security.wire import Response, request
from ..waiting import block_until
from .site import Edge, edge, monitor, offset

LONG = "max-age=86400, immutable"


def lifetime(answer: Response) -> str:
    """What it says to caches."""
    return ", ".join(answer.all("cache-control"))


def test_it_is_the_same_resource_at_that_position_or_later(long: Edge) -> None:
    long.get("/a?x=1")
    changed = long.change("/a")
    pinned = long.get(f"/a?x=1&fresh={changed}")
    assert json.loads(pinned.body) == {"path": "/a", "version": 1, "query": "x=1"}
    assert offset(pinned["fresh-position"]) >= offset(changed)
    plain = long.get("/a?x=1")
    assert plain["cache-status"] == "freshwire; hit"
    assert (plain["etag"], plain.body) == (pinned["etag"], pinned.body)
    assert monitor(plain) == monitor(pinned)
    assert long.site.targets == ["/a?x=1", "/a?x=1"], "the application never sees the parameter"


def test_the_parameter_goes_wherever_it_stands(long: Edge) -> None:
    at = long.change("/a")
    for query in (f"fresh={at}", f"fresh={at}&x=1", f"x=1&fresh={at}&y", f"x=%20&fresh={at}&fresh={at}"):
        long.get(f"/a?{query}")
    assert long.site.targets == ["/a", "/a?x=1", "/a?x=1&y", "/a?x=%20"]


@pytest.mark.parametrize("value", ["", "=", "=1", "=yes", "=01234567-01", "=0123456-1", "=01234567-1x"])
def test_what_is_no_position_is_the_applications_own(long: Edge, value: str) -> None:
    answer = long.get(f"/a?fresh{value}")
    assert json.loads(answer.body)["query"] == f"fresh{value}"
    assert lifetime(answer) == ""


def test_other_methods_keep_theirs(long: Edge) -> None:
    at = long.change("/a")
    assert json.loads(long.post(f"/a?fresh={at}", {}).body)["query"] == f"fresh={at}"


def test_a_position_that_this_log_does_not_have_is_gone(long: Edge) -> None:
    at = long.change("/a")
    epoch, _, number = at.partition("-")
    other = "0" * 8 if epoch != "0" * 8 else "1" * 8
    peer = long.connect()
    for position in (f"{other}-{number}", f"{epoch}-{int(number) + 1000}"):
        answer = peer.get(f"/a?fresh={position}")
        assert answer.status == 410
        assert answer.problem
        assert answer["cache-control"] == "public, max-age=1"
    assert long.site.reads["/a"] == 0
    assert peer.get(f"/a?fresh={at}").status == 200


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/public", f"public, {LONG}"),
        ("/a", LONG),
        ("/language", LONG),
        ("/brief", "public, max-age=5"),
        ("/never", "no-store"),
        ("/asked", "public, no-cache"),
        ("/own", "private"),
        ("/untagged", ""),
    ],
)
def test_it_keeps_as_long_as_the_application_leaves_open(long: Edge, path: str, said: str) -> None:
    at = long.live.changed("all")
    for _ in range(2):
        answer = long.get(f"{path}?fresh={at}")
        assert lifetime(answer) == said
        assert offset(answer["fresh-position"]) >= offset(at)
        # What says nothing of `public` is what anybody gets who does not say who he is.
        assert ("authorization, cookie" in answer.all("vary")) == (said == LONG)
        ordinary = long.get(path)
        assert "immutable" not in lifetime(ordinary)


def test_a_condition_is_evaluated_and_the_lifetime_is_the_same(long: Edge) -> None:
    at = long.live.changed("all")
    etag = long.get("/public")["etag"]
    same = long.get(f"/public?fresh={at}", f"If-None-Match: {etag}")
    assert same.status == 304
    assert lifetime(same) == f"public, {LONG}"
    assert long.get(f"/public?fresh={at}", method="HEAD").status == 200


def test_an_error_gets_no_lifetime(long: Edge) -> None:
    at = long.change("/gone")
    answer = long.get(f"/gone?fresh={at}")
    assert answer.status == 404
    assert lifetime(answer) == ""


def test_what_is_private_stays_private(long: Edge) -> None:
    at = long.change("/me")
    for who in ("Authorization: Bearer a", "Cookie: session=b"):
        answer = long.get(f"/me?fresh={at}", who)
        assert lifetime(answer) == "private"


def test_a_herd_is_one_call_of_the_application(long: Edge) -> None:
    long.get("/public")
    at = long.change("/public")
    before = long.site.reads["/public"]
    long.site.close_gate()
    peers = [long.connect() for _ in range(50)]
    for peer in peers:
        peer.send(request(f"/public?fresh={at}", host=peer.host))
    block_until(lambda: long.live.stats()["pinned_reads"] == len(peers))
    long.site.open_gate()
    for peer in peers:
        answer = peer.response()
        assert json.loads(answer.body)["version"] == 1
        assert offset(answer["fresh-position"]) >= offset(at)
        assert lifetime(answer) == f"public, {LONG}"
    assert long.site.reads["/public"] == before + 1


def test_a_read_that_began_before_is_not_the_answer(long: Edge) -> None:
    """A read under way has looked before the change: who is pinned to it waits for another one."""
    long.site.close_gate()
    early, late = long.connect(), long.connect()
    early.send(request("/public", host=early.host))
    block_until(lambda: long.site.reads["/public"] == 1)
    at = long.change("/public")
    late.send(request(f"/public?fresh={at}", host=late.host))
    block_until(lambda: long.live.stats()["pinned_reads"] == 1)
    long.site.open_gate()
    old, new = early.response(), late.response()
    assert json.loads(old.body)["version"] == 0
    assert json.loads(new.body)["version"] == 1
    assert offset(new["fresh-position"]) >= offset(at)
    assert long.site.reads["/public"] == 2


def test_one_that_is_overtaken_while_it_is_made_keeps_for_a_second(long: Edge) -> None:
    at = long.change("/public")
    long.site.close_gate()
    peer = long.connect()
    peer.send(request(f"/public?fresh={at}", host=peer.host))
    block_until(lambda: long.site.reads["/public"] == 1)
    changed = long.change("/public")
    long.site.open_gate()
    answer = peer.response()
    assert lifetime(answer) == "public, max-age=1"
    # Who waits from there is told of the change at once.
    said = json.loads(long.get(monitor(answer)).body)
    assert said["changes"][0]["pinned"] == f"/public?fresh={changed}"


def test_a_fresh_copy_is_as_good_as_one_read_at_any_later_position(long: Edge) -> None:
    long.get("/public")
    reads = long.site.reads["/public"]
    for _ in range(3):
        at = long.change("/b")
        answer = long.get(f"/public?fresh={at}")
        assert offset(answer["fresh-position"]) >= offset(at)
    assert long.site.reads["/public"] == reads


def test_the_name_of_the_nodes_own_paths_is_not_touched() -> None:
    with edge(public_stats=True) as live:
        at = live.change("/a")
        assert live.get(f"/.fresh/stats?fresh={at}").status == 200
