"""A wait on a monitor URL: what it is answered with, when, and that any cache may keep it."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..security.wire import Closed, Peer, request
from ..waiting import block_until
from .site import Edge, assert_cacheable, at_cycle, cycle, edge, monitor, offset, position, told


def test_every_watchable_answer_to_a_get_says_where_to_wait(long: Edge) -> None:
    for target in ("/a", "/public", "/brief", "/never", "/own", "/language", "/untagged", "/a?x=1"):
        first = long.get(target)
        assert monitor(first).startswith("/.fresh/watch/"), target
        assert monitor(long.get(target)) == monitor(first)
    assert monitor(long.get("/me", "Authorization: Bearer a"))
    etag = long.get("/a")["etag"]
    same = long.get("/a", f"If-None-Match: {etag}")
    assert same.status == 304
    assert monitor(same) == long.monitor("/a")
    assert monitor(long.get("/a", method="HEAD")) == long.monitor("/a")


def test_what_cannot_be_watched_has_no_monitor(long: Edge) -> None:
    long.site.versions["/gone"] = 1
    assert long.get("/gone").all("link") == []
    assert long.post("/a", {}).all("link") == []


def test_the_applications_own_links_stay(long: Edge) -> None:
    for _ in range(2):
        answer = long.get("/linked")
        assert '</>; rel="up"' in answer.all("link")
        assert monitor(answer)


def test_a_held_wait_is_answered_by_the_change(long: Edge) -> None:
    url = long.monitor("/a")
    peer = long.connect()
    peer.send(request(url, host=peer.host))
    block_until(lambda: long.held() == 1)
    changed = long.change("/a")
    said = told(peer.response())
    assert said["position"] == changed
    assert said["changes"] == [{"url": "/a", "pinned": f"/a?fresh={changed}"}]
    assert position(said["next"]) == changed
    assert cycle(said["next"]) in (cycle(url), cycle(url) + 1)
    assert json.loads(peer.get(said["changes"][0]["pinned"]).body)["version"] == 1, "on the same connection"
    assert long.held() == 0


def test_the_same_url_still_says_what_changed_since(long: Edge) -> None:
    url = long.monitor("/a")
    first, second = long.change("/a"), long.change("/a")
    said = told(long.get(url))
    assert (said["position"], said["changes"][0]["pinned"]) == (second, f"/a?fresh={second}")
    between = told(long.get(url.replace(position(url), first)))
    assert between == said


def test_a_change_of_something_else_ends_no_wait(long: Edge) -> None:
    peer = long.connect()
    peer.send(request(long.monitor("/a"), host=peer.host))
    block_until(lambda: long.held() == 1)
    other = long.change("/b")
    mine = long.change("/a")
    assert told(peer.response())["position"] == mine != other


def test_the_end_of_a_lifetime_is_a_change_to_those_who_wait(long: Edge) -> None:
    first = long.monitor("/second")
    page = json.loads(long.post("/.fresh/watch", {"monitors": [first, long.monitor("/a")]}).body)["monitor"]
    with long.connect() as one, long.connect() as many:
        for peer, url in ((one, first), (many, page)):
            peer.send(request(url, host=peer.host))
        said = told(one.response())
        assert told(many.response())["changes"] == said["changes"]
        assert said["changes"] == [{"url": "/second", "pinned": f"/second?fresh={said['position']}"}]
        again = one.get(said["changes"][0]["pinned"])
        assert again.all("cache-control") == ["public, max-age=1"]
        assert offset(again["fresh-position"]) > offset(said["position"])
        assert monitor(again) == said["next"]
        # Read again, it lasts as long again; also if nobody waits at its end.
        assert told(one.get(said["next"]))["changes"]


def test_everybody_with_the_newest_representation_waits_on_one_url(long: Edge) -> None:
    for _ in range(5):
        long.change("/b")
        assert long.get("/me", "Authorization: Bearer x").status == 200
        urls = {long.monitor("/a"), long.monitor("/a", "Cookie: c=1", "X-Y: 1")}
        assert {position(url) for url in urls} == {position(long.monitor("/a"))}
    changed = long.change("/a")
    assert position(long.monitor("/a")) == changed


def test_a_wait_in_vain_ends_with_its_cycle_and_the_next_is_one_more(short: Edge) -> None:
    url = short.monitor("/a")
    with short.connect() as peer:
        for _ in range(2):
            said = told(peer.get(url))
            assert said == {"position": position(url), "changes": [], "next": at_cycle(url, cycle(url) + 1)}
            url = said["next"]


def test_a_cycle_that_has_ended_is_answered_at_once_with_the_current_one(long: Edge) -> None:
    url = long.monitor("/a")
    said = told(long.get(at_cycle(url, 7)))
    assert said["changes"] == []
    assert said["next"] == long.monitor("/a")


def test_the_next_cycle_may_be_asked_for_already(long: Edge) -> None:
    url = long.monitor("/a")
    peer = long.connect()
    peer.send(request(at_cycle(url, cycle(url) + 1), host=peer.host))
    block_until(lambda: long.held() == 1)
    changed = long.change("/a")
    assert told(peer.response())["position"] == changed


def test_cycles_end_at_times_that_everybody_can_work_out(short: Edge) -> None:
    """All who wait on one URL are told at the same moment, whenever they came."""
    url = short.monitor("/a")
    url = at_cycle(url, cycle(url) + 1)
    peers = [short.connect() for _ in range(3)]
    for held, peer in enumerate(peers):
        peer.send(request(url, host=peer.host))
        block_until(lambda held=held: short.held() > held)  # type: ignore[misc]
    assert len({peer.response().body for peer in peers}) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda url: url.partition("?")[0],
        lambda url: url + "&c=1",
        lambda url: url + "&x=1",
        lambda url: url + "&sse=1",
        lambda url: "&".join(reversed((url + "&sse").partition("?")[2].split("&"))).join(
            [url.partition("?")[0] + "?", ""]
        ),
        lambda url: at_cycle(url, cycle(url) + 2),
        lambda url: url.replace("?c=", "?c=0"),
        lambda url: url.replace("?c=", "?c=-"),
        lambda url: url.replace("/.fresh/watch/", "/.fresh/watch/x"),
        lambda url: url.replace(position(url), position(url) + "x"),
        lambda url: url.replace(position(url), "0"),
        lambda _: "/.fresh/watch/",
    ],
)
def test_what_is_no_monitor_url_is_a_bad_request(long: Edge, spoil: object) -> None:
    assert callable(spoil)
    answer = long.get(spoil(long.monitor("/a")))
    assert_cacheable(answer)
    assert answer.status == 400
    assert answer["cache-control"] == "public, max-age=1"
    assert answer.problem


def test_what_is_not_known_here_is_gone(long: Edge) -> None:
    url = long.monitor("/a")
    at = position(url)
    unknown = [
        url.replace(at, at.replace(at[0], "0" if at[0] != "0" else "1", 1)),
        url.replace(at, f"{at.partition('-')[0]}-{offset(at) + 1_000_000}"),
        url.replace(url.split("/")[3], "A" * 22),
    ]
    for target in unknown:
        answer = long.get(target)
        assert_cacheable(answer)
        assert answer.status == 410
        assert answer["cache-control"] == "public, max-age=1"
        assert answer.problem
        # What is read at the position that it names comes from no cache, which might lead here again.
        at = json.loads(answer.body)["position"]
        assert offset(at) > offset(long.get("/a")["fresh-position"])
        assert offset(long.get(f"/a?fresh={at}")["fresh-position"]) >= offset(at)


def test_after_a_restart_every_url_of_before_is_gone(long: Edge) -> None:
    url = long.monitor("/a")
    with edge() as after:
        after.get("/a")
        assert after.get(url).status == 410


def test_head_tells_without_waiting(long: Edge) -> None:
    url = long.monitor("/a")
    for _ in range(2):
        answer = long.get(url, method="HEAD")
        assert_cacheable(answer)
        assert (answer.status, answer.body) == (200, b"")
        assert int(answer["content-length"]) > 0
        long.change("/a")


def test_other_methods_are_refused_and_can_be_kept_too(long: Edge) -> None:
    for method in ("PUT", "DELETE", "PATCH"):
        answer = long.get(long.monitor("/a"), method=method)
        assert_cacheable(answer)
        assert answer.status == 405
        assert answer.problem


def test_a_page_of_any_origin_may_wait_and_is_told_so_beforehand(long: Edge) -> None:
    url = at_cycle(long.monitor("/a"), 1)
    elsewhere = "Origin: https://elsewhere.example"
    for lines in ([elsewhere], [elsewhere, "Accept: text/event-stream"], [elsewhere, "Cookie: a=1"]):
        answer = long.get(url, *lines)
        assert answer.status == 200
        assert answer["access-control-allow-origin"] == "*"
    for target in (url, "/.fresh/watch"):
        asked = long.get(
            target,
            elsewhere,
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: content-type",
            method="OPTIONS",
        )
        assert asked.status == 200
        assert asked["access-control-allow-origin"] == "*"
        assert "POST" in asked["access-control-allow-methods"]
        assert "content-type" in asked["access-control-allow-headers"]


def test_fields_that_ask_for_something_else_change_nothing(long: Edge) -> None:
    url = at_cycle(long.monitor("/a"), 1)
    plain = long.get(url)
    for line in (
        "If-None-Match: *",
        "Range: bytes=0-3",
        "Prefer: wait=1",
        "Accept: text/html",
        "Last-Event-ID: x",
    ):
        answer = long.get(url, line)
        assert (answer.status, answer.body) == (200, plain.body), line


def test_no_change_is_lost_between_the_read_and_the_wait(long: Edge) -> None:
    """A change that comes at any moment around the beginning of a wait is told by it."""
    stop = threading.Event()
    changes = 0

    def go_on_changing() -> None:
        nonlocal changes
        while not stop.is_set():
            long.change("/a")
            changes += 1
            time.sleep(0.0007)

    thread = threading.Thread(target=go_on_changing)
    with long.connect() as peer:
        thread.start()
        try:
            said = told(peer.get(long.monitor("/a")))
            for _ in range(400):
                body = json.loads(peer.get(said["changes"][0]["pinned"]).body)
                seen = body["version"]
                assert offset(said["position"]) >= offset(said["changes"][0]["pinned"].rpartition("=")[2])
                said = told(peer.get(said["next"]))
                assert len(said["changes"]) == 1
        finally:
            stop.set()
            thread.join()
        # Quiet now: whoever follows `next` has the last version in the end.
        while said["changes"]:
            seen = json.loads(peer.get(said["changes"][0]["pinned"]).body)["version"]
            peer.send(request(said["next"], host=peer.host))
            if seen == long.site.versions["/a"]:
                block_until(lambda: long.held() == 1)
                break
            said = told(peer.response())
        assert seen == long.site.versions["/a"] == changes


def test_each_of_many_changes_reaches_a_wait_that_begins_with_it(long: Edge) -> None:
    url = long.monitor("/a")
    with long.connect() as peer, ThreadPoolExecutor(1) as other:
        for _ in range(300):
            change = other.submit(long.change, "/a")
            said = told(peer.get(url))
            assert said["position"] == change.result()
            url = said["next"]


def test_thousands_wait_on_one_url_and_one_change_answers_them_all() -> None:
    with edge(watch_cycle_s=3600.0) as live:
        url = live.monitor("/a")
        peers = [live.connect() for _ in range(2000)]
        for peer in peers:
            peer.send(request(url, host=peer.host))
        block_until(lambda: live.held() == len(peers))
        changed = live.change("/a")
        bodies = {peer.response().body for peer in peers}
        assert len(bodies) == 1
        assert json.loads(bodies.pop())["position"] == changed
        assert live.held() == 0
        assert live.live.stats()["wait_changes"] == len(peers)


def test_a_client_that_leaves_is_waited_for_no_longer(long: Edge) -> None:
    url = long.monitor("/a")
    for end in (Peer.close, lambda peer: peer.socket.shutdown(1)):
        with long.connect() as peer:
            peer.send(request(url, host=peer.host))
            block_until(lambda: long.held() == 1)
            end(peer)
            block_until(lambda: long.held() == 0)


def test_requests_behind_a_wait_are_answered_after_it(long: Edge) -> None:
    url = long.monitor("/a")
    peer = long.connect()
    peer.send(request(url, host=peer.host) + request("/b", host=peer.host) + request(url, host=peer.host))
    block_until(lambda: long.held() == 1)
    changed = long.change("/a")
    assert told(peer.response())["position"] == changed
    assert json.loads(peer.response().body)["path"] == "/b"
    assert told(peer.response())["position"] == changed


def test_an_old_client_gets_its_answer_and_the_end(long: Edge) -> None:
    url = long.monitor("/a")
    peer = long.connect()
    peer.send(f"GET {url} HTTP/1.0\r\nHost: {peer.host}\r\n\r\n".encode())
    block_until(lambda: long.held() == 1)
    changed = long.change("/a")
    head, _, body = peer.rest().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert json.loads(body)["position"] == changed


def test_waits_are_answered_not_cut_when_the_node_ends() -> None:
    with edge(watch_cycle_s=3600.0, drain_timeout_s=0.5) as live:
        url = live.monitor("/a")
        json_peer, event_peer = live.connect(), live.connect()
        json_peer.send(request(url, host=json_peer.host))
        event_peer.send(request(url + "&sse", host=event_peer.host))
        block_until(lambda: live.held() == 2)
        ending = threading.Thread(target=live.live.close)
        ending.start()
        said = told(json_peer.response())
        assert said["changes"] == []
        assert said["next"] != url
        assert event_peer.stream().status == 200
        assert json.loads(event_peer.event().data)["changes"] == []
        with pytest.raises(Closed):
            event_peer.event()
        ending.join()


def test_the_log_says_what_became_of_a_wait(capfd: pytest.CaptureFixture[str]) -> None:
    with edge(watch_cycle_s=3600.0, access_log=True) as live:
        url = live.monitor("/a")
        assert live.get(at_cycle(url, 1)).status == 200
        peer = live.connect()
        peer.send(request(url, host=peer.host))
        block_until(lambda: live.held() == 1)
        live.get(f"/a?fresh={position(url)}")
    lines = [line for line in capfd.readouterr().out.splitlines() if "GET" in line]
    assert f"GET {at_cycle(url, 1)} HTTP/1.1" in lines[1]
    assert lines[1].endswith(" at-once")
    assert f"GET {url} HTTP/1.1" in lines[2]
    assert lines[2].endswith(" held")
    assert f"GET /a?fresh={position(url)} HTTP/1.1" in lines[3]
    assert lines[3].endswith(" hit")
