"""The same waits as event streams: they say each change, and end with their cycle."""

import json

import pytest

from ..security.wire import Closed, Response, request
from ..waiting import block_until
from .site import Edge, assert_cacheable, at_cycle, cycle, edge, position


def assert_streams(answer: Response) -> None:
    assert_cacheable(answer)
    assert answer.status == 200
    assert answer["content-type"] == "text/event-stream"
    assert answer["x-accel-buffering"] == "no"
    assert answer["incremental"] == "?1"


def test_a_stream_says_each_change_with_its_position(long: Edge) -> None:
    url = long.monitor("/a")
    for target, lines in ((url + "&sse", ()), (url, ("Accept: text/event-stream",))):
        peer = long.connect()
        peer.send(request(target, *lines, host=peer.host))
        assert_streams(peer.stream())
        # The second stream begins with what changed before it came.
        for _ in range(1 if lines else 0):
            peer.event()
        block_until(lambda: long.held() > 0)
        for _ in range(3):
            changed = long.change("/a")
            event = peer.event()
            said = json.loads(event.data)
            assert (event.type, event.id) == ("message", changed) == ("message", said["position"])
            assert said["changes"] == [{"url": "/a", "pinned": f"/a?fresh={changed}"}]
            assert position(said["next"]) == changed
        peer.close()
        block_until(lambda: long.held() == 0)


def test_a_stream_begins_with_what_changed_since_its_position(long: Edge) -> None:
    url = long.monitor("/a")
    changed = long.change("/a")
    peer = long.connect()
    peer.send(request(url + "&sse", host=peer.host))
    assert_streams(peer.stream())
    assert json.loads(peer.event().data)["position"] == changed
    again = long.change("/a")
    assert peer.event().id == again


def test_a_stream_ends_with_its_cycle_and_names_what_to_ask_next(short: Edge) -> None:
    url = short.monitor("/a")
    url = at_cycle(url, cycle(url) + 1)
    peer = short.connect()
    peer.send(request(url + "&sse", host=peer.host))
    assert_streams(peer.stream())
    block_until(lambda: short.held() == 1)
    changed = short.change("/a")
    assert json.loads(peer.event().data)["changes"]
    last = json.loads(peer.event().data)
    assert last["changes"] == []
    assert last["position"] == changed
    assert cycle(last["next"]) == cycle(url) + 1
    with pytest.raises(Closed):
        peer.event()
    assert short.held() == 0


def test_a_stream_of_a_cycle_that_has_ended_says_so_at_once(long: Edge) -> None:
    url = long.monitor("/a")
    answer = long.get(at_cycle(url, 7) + "&sse")
    assert_streams(answer)
    data = [line for line in answer.body.decode().splitlines() if line.startswith("data: ")]
    assert json.loads(data[0].removeprefix("data: "))["next"] == url


def test_a_reader_that_is_behind_gets_all_that_changed_in_one_event() -> None:
    with edge(watch_cycle_s=3600.0, max_set_resources=256) as live:
        paths = [f"/{'x' * 240}/{n}" for n in range(100)]
        monitors = [live.monitor(path) for path in paths]
        url = json.loads(live.post("/.fresh/watch", {"monitors": monitors}).body)["monitor"]
        peer = live.connect(receive_buffer=4096)
        peer.send(request(url + "&sse", host=peer.host))
        block_until(lambda: live.held() == 1)
        # Far more than the kernel takes for somebody who reads nothing.
        for _ in range(30):
            for path in paths:
                changed = live.change(path)
        peer.stream()
        events = 1
        while (event := peer.event()).id != changed:
            events += 1
        assert events < 30 * len(paths), "it was behind"
        assert [change["url"] for change in json.loads(event.data)["changes"]] == paths


def test_an_old_client_gets_a_stream_without_chunks(long: Edge) -> None:
    peer = long.connect()
    peer.send(f"GET {long.monitor('/a')}&sse HTTP/1.0\r\nHost: {peer.host}\r\n\r\n".encode())
    head = peer.until(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    block_until(lambda: long.held() == 1)
    changed = long.change("/a")
    assert f"id: {changed}\n".encode() in peer.until(b"}\n\n")
