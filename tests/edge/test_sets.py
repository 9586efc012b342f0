"""Sets: many resources in one, who may wait on which, and how they end."""

import json

from ..security.wire import Closed, request
from ..waiting import block_until
from .site import Edge, assert_cacheable, at_cycle, edge, monitor, offset, position, told

ALICE, BOB = "Authorization: Bearer alice", "Authorization: Bearer bob"


def unite(live: Edge, *monitors: str) -> str:
    """One set of many."""
    answer = live.post("/.fresh/watch", {"monitors": monitors})
    assert_cacheable(answer)
    assert answer.status == 200, answer
    said = json.loads(answer.body)
    assert list(said) == ["monitor", "position"]
    assert offset(said["position"]) >= offset(position(said["monitor"]))
    return str(said["monitor"])


def name(url: str) -> str:
    """The set in a monitor URL."""
    return url.split("/")[3]


def test_a_page_waits_once_for_all_its_resources(long: Edge) -> None:
    monitors = [long.monitor(path) for path in ("/a", "/b?x=1", "/c")]
    url = unite(long, *monitors)
    peer = long.connect()
    for path, target in (("/b", "/b?x=1"), ("/c", "/c")):
        peer.send(request(url, host=peer.host))
        block_until(lambda: long.held() == 1)
        changed = long.change(path)
        said = told(peer.response())
        separator = "&" if "?" in target else "?"
        assert said["changes"] == [{"url": target, "pinned": f"{target}{separator}fresh={changed}"}]
        url = said["next"]
    assert name(url) == name(unite(long, *monitors))


def test_the_same_resources_are_the_same_set_in_whatever_order(long: Edge) -> None:
    a, b, c = (long.monitor(path) for path in ("/a", "/b", "/c"))
    one = unite(long, a, b, c)
    assert unite(long, c, b, a, a) == one
    assert name(unite(long, unite(long, a, b), c)) == name(one), "sets of many are made of what is in them"
    assert unite(long, a) == a
    assert name(unite(long, a, b)) != name(one)


def test_whoever_has_not_seen_a_change_is_told_of_it(long: Edge) -> None:
    a, b = long.monitor("/a"), long.monitor("/b")
    changed = long.change("/a")
    long.change("/b")
    b = long.monitor("/b")
    said = told(long.get(unite(long, a, b)))
    assert {"url": "/a", "pinned": f"/a?fresh={changed}"} in said["changes"]
    peer = long.connect()
    peer.send(request(unite(long, long.monitor("/a"), b), host=peer.host))
    block_until(lambda: long.held() == 1)


def test_one_change_of_what_all_depend_on_is_one_answer(long: Edge) -> None:
    url = unite(long, *(long.monitor(path) for path in ("/a", "/b", "/c")))
    peer = long.connect()
    peer.send(request(url, host=peer.host))
    block_until(lambda: long.held() == 1)
    changed = long.live.changed("all")
    said = told(peer.response())
    assert said["position"] == changed
    assert [c["url"] for c in said["changes"]] == ["/a", "/b", "/c"]


def test_a_set_that_cannot_be_made_says_why(long: Edge) -> None:
    good = long.monitor("/a")
    gone = good.replace(name(good), "A" * 22)
    later = good.replace(position(good), f"{position(good).partition('-')[0]}-{offset(position(good)) + 99}")
    bad: list[tuple[object, int]] = [
        (b"", 422),
        (b"{", 422),
        (b"[" * 100, 422),
        ([], 422),
        ({"monitors": []}, 422),
        ({"monitors": good}, 422),
        ({"monitors": [1]}, 422),
        ({"monitors": ["/a"]}, 422),
        ({"monitors": [good], "more": 1}, 422),
        ({"monitors": [good, gone]}, 410),
        ({"monitors": [later]}, 410),
        ({"monitors": [good] * 257}, 413),
    ]
    for body, status in bad:
        answer = long.post("/.fresh/watch", body)
        assert_cacheable(answer)
        assert answer.status == status, (body, answer)
        assert answer.problem
    assert gone in long.post("/.fresh/watch", {"monitors": [good, gone]}).problem
    assert long.get("/.fresh/watch").status == 405
    assert long.post(good, {}).status == 405


def test_a_set_has_at_most_so_many_resources() -> None:
    with edge(max_set_resources=3) as live:
        urls = [live.monitor(f"/{n}") for n in range(4)]
        assert unite(live, *urls[:3])
        answer = live.post("/.fresh/watch", {"monitors": [unite(live, *urls[:2]), unite(live, *urls[2:])]})
        assert answer.status == 413
        assert "max_set_resources" in answer.problem


def test_two_users_have_sets_that_say_nothing_of_each_other(long: Edge) -> None:
    """Who has the URL of a private set hears that it changed, in words that it had already."""
    mine = long.get("/me", ALICE)
    url = monitor(mine)
    assert mine["cache-control"] == ""
    changed = long.change("/me")
    said = told(long.get(url))
    assert said["changes"] == [{"url": "/me", "pinned": f"/me?fresh={changed}"}]
    alices, bobs = (long.get(said["changes"][0]["pinned"], who) for who in (ALICE, BOB))
    assert json.loads(alices.body)["who"] == "Bearer alice"
    assert json.loads(bobs.body)["who"] == "Bearer bob"
    for answer in (alices, bobs):
        assert answer["cache-control"] == "private"
        assert offset(answer["fresh-position"]) >= offset(changed)


def test_the_public_and_the_private_of_one_url_are_different_sets(long: Edge) -> None:
    assert name(long.monitor("/a")) != name(long.monitor("/a", ALICE))


def test_a_private_set_ends_after_a_while_and_is_given_out_anew() -> None:
    with edge(private_set_s=1.0, watch_cycle_s=3600.0) as live:
        url = live.monitor("/me", ALICE)
        public = live.monitor("/a")
        block_until(lambda: live.get(at_cycle(url, 1)).status == 410)
        again = live.monitor("/me", ALICE)
        assert name(again) != name(url)
        assert live.get(at_cycle(again, 1)).status == 200
        assert live.get(at_cycle(public, 1)).status == 200


def test_what_waits_on_a_private_set_while_it_ends_ends_with_its_cycle() -> None:
    with edge(private_set_s=1.0, watch_cycle_s=3.0) as live:
        url = live.monitor("/me", ALICE)
        peer = live.connect()
        said = told(peer.get(url))
        while said["changes"] == [] and (answer := peer.get(said["next"])).status == 200:
            said = told(answer)
        assert answer.status == 410


def test_nobody_waits_on_a_set_that_was_revoked(long: Edge) -> None:
    a, b = long.monitor("/a"), long.monitor("/b")
    page = unite(long, a, b)
    peers = [long.connect() for _ in range(3)]
    for peer, url in zip(peers, (a, page, a + "&sse"), strict=True):
        peer.send(request(url, host=peer.host))
    block_until(lambda: long.held() == 3)
    answer = long.admin("/sets/revoke", {"sets": [name(a)]})
    assert (answer.status, json.loads(answer.body)) == (200, {"revoked": 2})
    for peer in peers[:2]:
        ended = peer.response()
        assert_cacheable(ended)
        assert ended.status == 410
        assert ended.problem
    assert peers[2].stream().status == 200
    try:
        raise AssertionError(peers[2].event())
    except Closed:
        pass
    assert long.held() == 0
    for url in (a, page):
        assert long.get(at_cycle(url, 1)).status == 410
    assert told(long.get(at_cycle(b, 1)))
    # Who may read it still may wait; the name is another, also on a copy that is kept.
    again = long.monitor("/a")
    assert name(again) != name(a)
    assert told(long.get(at_cycle(again, 1)))
    assert name(unite(long, again, b)) != name(page)


def test_a_tag_is_revoked_also_for_those_who_come_later(long: Edge) -> None:
    before = long.monitor("/a")
    other = long.monitor("/b")
    assert json.loads(long.admin("/sets/revoke", {"tags": ["/a", "/c"]}).body) == {"revoked": 1}
    assert long.get(at_cycle(before, 1)).status == 410
    assert name(long.monitor("/a")) != name(before)
    assert long.monitor("/b") == other
    assert long.get(at_cycle(before, 1)).status == 410, "and it stays so"


def test_a_revocation_of_nothing_or_nonsense_is_refused(long: Edge) -> None:
    bodies: list[dict[str, object]] = [
        {},
        {"sets": []},
        {"sets": ["x"]},
        {"sets": "x"},
        {"tags": [""]},
        {"names": []},
    ]
    for body in bodies:
        answer = long.admin("/sets/revoke", body)
        assert answer.status == 422
        assert answer.problem
    # Only on the admin socket: elsewhere it is a path like others.
    assert json.loads(long.post("/sets/revoke", {"tags": ["all"]}).body)["path"] == "/sets/revoke"


def test_what_nobody_waits_on_makes_room_and_what_is_waited_on_stays() -> None:
    with edge(max_sets=20, watch_cycle_s=3600.0) as live:
        held = live.monitor("/held")
        peer = live.connect()
        peer.send(request(held, host=peer.host))
        block_until(lambda: live.held() == 1)
        first = live.monitor("/0")
        for n in range(100):
            live.monitor(f"/{n}")
            assert live.live.stats()["sets"] <= 20
        assert live.get(at_cycle(first, 1)).status == 410
        # The copy is still kept, and its set is made anew: the old URL is good again.
        assert live.get("/0")["cache-status"] == "freshwire; hit"
        assert live.monitor("/0") == first
        assert told(live.get(at_cycle(first, 1)))
        changed = live.change("/held")
        assert told(peer.response())["position"] == changed


def test_a_change_while_a_set_was_away_is_told_all_the_same() -> None:
    with edge(max_sets=4, watch_cycle_s=3600.0) as live:
        url = live.monitor("/a")
        for n in range(10):
            live.monitor(f"/{n}")
        assert live.get(url).status == 410
        changed = live.change("/a")
        assert live.monitor("/a") == url.replace(position(url), changed)
        assert told(live.get(url))["position"] == changed


def test_a_full_table_costs_its_monitors_and_nothing_else() -> None:
    with edge(max_sets=2, watch_cycle_s=3600.0) as live:
        urls = [live.monitor(path) for path in ("/a", "/b")]
        peers = [live.connect() for _ in urls]
        for peer, url in zip(peers, urls, strict=True):
            peer.send(request(url, host=peer.host))
        block_until(lambda: live.held() == 2)
        answer = live.get("/c")
        assert answer.status == 200
        assert answer.all("link") == []
        full = live.post("/.fresh/watch", {"monitors": urls})
        assert_cacheable(full)
        assert full.status == 503
        assert "max_sets" in full.problem
        assert full["retry-after"]
